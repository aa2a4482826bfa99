"""Two replicas on one machine for tests: each safekit-replicad in its own mount namespace, driven through its control socket."""
import hashlib, os, shutil, signal, socket, stat, struct, subprocess, sys, tempfile, threading, time

IDLE, PRIMARY, SECONDARY = 0, 1, 2
FLAGS = ("settled configured up_to_date inconsistent ever_synchronised has_data last_primary connected "
         "peer_synchronised waiting_for_alone diverged fatal replaceable full_wanted unverified").split()
NUMBERS = "files_total files_done bytes_copied zones_dirty generation pairing bytes_compared policy".split()


def text(value):
    data = value.encode()
    return struct.pack("<I", len(data)) + data


def clock_setting():
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Node:
    """One node: a mount namespace kept by a sleeping process, in which its replicad runs."""

    def __init__(self, pair, name, peer, address, peer_address):
        self.pair, self.name, self.peer, self.address, self.peer_address = pair, name, peer, address, peer_address
        self.data = f"{pair.root}/{name}"
        os.makedirs(self.data)
        if pair.on_data:
            pair.on_data(self.data)
        os.makedirs(f"{pair.root}/state-{name}/replica")
        self.keeper = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c",
                                        f"mount --bind {self.data} {pair.mount} && echo ready && exec sleep infinity"],
                                       stdout=subprocess.PIPE)
        assert self.keeper.stdout.readline() == b"ready\n"
        self.process, self.socket, self.report, self.order, self.wish = None, None, {}, 0, b""
        self.inspected, self.inspections = {}, 0
        self.on_report = None
        self.wrap = os.environ.get("SK_WRAP", "").split()
        self.changed = threading.Condition()
        self.log = open(f"{pair.root}/{name}.log", "ab")

    def enter(self, *command):
        return ["nsenter", "-t", str(self.keeper.pid), "-m", "--", *command]

    def start(self, take_over=False, **settings):
        path = f"{self.pair.root}/{self.name}.sock"
        self.process = subprocess.Popen(self.enter(*self.wrap, self.pair.program, "--module", "AM", "--state-dir",
                                                   f"{self.pair.root}/state-{self.name}/replica", "--socket", path,
                                                   *(["--take-over"] if take_over else [])), stderr=self.log)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.connect(path)
                break
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None, "replicad does not start"
                time.sleep(0.02)
        threading.Thread(target=self.listen, args=(self.socket,), daemon=True).start()
        self.configure(**settings)

    def configure(self, durability=0, ack=1, send_timeout=5.0, lock_timeout=20.0, port=19600, zone=65536, must_exist=(), write_back=False,
                  not_replicated=(), lost_max=1 << 30, verify=False, write_flags=0, policy=None, rate=0, zones=True, detail=False,
                  snapshot=0, connections=1, promise=None, guarded=()):
        """`promise`: in seconds, of a module with leases."""
        certificates = self.pair.certificates
        ns = 10**9
        body = b"\x01" + b"".join(text(t) for t in (
            "AM", self.name, self.peer, "cluster-1", self.address, self.peer_address, f"{certificates}/{self.name}.pem",
            f"{certificates}/{self.name}.key", f"{certificates}/ca.pem")) + struct.pack("<HI", port, 1) + \
            text(self.pair.mount) + struct.pack("<I", len(must_exist)) + b"".join(text(m) for m in must_exist) + \
            struct.pack("<I", len(not_replicated)) + b"".join(text(path) + text(regex) for path, regex in not_replicated) + \
            struct.pack("<BBqqqIIBQBI", durability, ack, int(send_timeout * ns), int(lock_timeout * ns), 150 * ns, zone, 4, write_back, lost_max, verify, write_flags)
        number, mode, uid, detect, chosen = policy or (0, 0, "", True, 0)
        body += struct.pack("<QB", number, mode) + text(uid) + struct.pack("<BqqQBBBI", detect, chosen, clock_setting(), rate, zones, detail, snapshot, connections)
        if promise is not None:
            body += struct.pack("<qBqI", int(promise * ns * 20 / 27), True, int(promise * ns), len(guarded)) + \
                b"".join(text(address) + text(interface) for address, interface in guarded)
        self.socket.sendall(struct.pack("<I", len(body)) + body)

    def want(self, role, may_be_alone=False, out_of_date=False, force=False, full=False, pairing=0, by_lease=False, peer_left=False):
        self.order += 1
        body = struct.pack("<BQBBBBBQBB", 2, self.order, role, may_be_alone, out_of_date, force, full, pairing, by_lease, peer_left)
        self.wish = struct.pack("<I", len(body)) + body
        self.socket.sendall(self.wish)

    def lease(self, length, refused=False):
        """`length`: seconds from now; 0: there is none."""
        until = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(length * 10**9) if length else 0
        body = struct.pack("<BqB", 6, until, refused)
        self.socket.sendall(struct.pack("<I", len(body)) + body)

    def take_over(self, **settings):
        """As the control plane does after the death of the process: the next one serves its mounts on, with the same wish."""
        self.report = {}
        self.start(take_over=True, **settings)
        self.socket.sendall(self.wish)

    def listen(self, connection):
        buffer = b""
        while True:
            try:
                got = connection.recv(65536)
            except OSError:
                return
            if not got:
                return
            buffer += got
            while len(buffer) >= 4 and len(buffer) >= 4 + struct.unpack_from("<I", buffer)[0]:
                size = struct.unpack_from("<I", buffer)[0]
                (self.take_inspection if buffer[4] == 5 else self.take)(buffer[4:4 + size])
                buffer = buffer[4 + size:]

    def take(self, body):
        report = {"order": struct.unpack_from("<Q", body, 1)[0], "role": body[9]}
        for i, name in enumerate(FLAGS):
            report[name] = bool(body[10 + i])
        at = 10 + len(FLAGS)
        report["phase"] = body[at]
        for i, value in enumerate(struct.unpack_from("<8Q", body, at + 1)):
            report[NUMBERS[i]] = value
        at += 65
        for name in ("problem", "policy_refused", "backup"):
            size = struct.unpack_from("<I", body, at)[0]
            report[name] = body[at + 4:at + 4 + size].decode()
            at += 4 + size
        report["outside_writes"], size = struct.unpack_from("<QI", body, at)
        report["outside_last"] = body[at + 12:at + 12 + size].decode(errors="replace")
        names = ("written", "received", "sent", "directories_total", "directories_done", "bytes_total", "bytes_done", "scanning", "restorable",
                 "frozen")
        report.update(zip(names, struct.unpack_from("<7Q3B", body, at + 12 + size)))
        if self.on_report:
            self.on_report(report)
        with self.changed:
            self.report = report
            self.changed.notify_all()

    def take_inspection(self, body):
        found = {"number": struct.unpack_from("<Q", body, 1)[0], "kind": body[9], "cause": body[10], "state": body[11], "differences": {}}
        size = struct.unpack_from("<I", body, 12)[0]
        found["reason"] = body[16:16 + size].decode()
        at = 16 + size
        for name, value in zip("files directories bytes compared_bytes bytes_per_second".split(), struct.unpack_from("<5Q", body, at)):
            found[name] = value
        at += 40
        found["ended_early"], found["everything"], found["compares_more"] = (bool(flag) for flag in body[at:at + 3])
        count, at = struct.unpack_from("<I", body, at + 3)[0], at + 7
        for _ in range(count):
            words = []
            for _ in range(2):
                size = struct.unpack_from("<I", body, at)[0]
                words.append(body[at + 4:at + 4 + size].decode(errors="replace"))
                at += 4 + size
            found["differences"][words[0]] = words[1]
        with self.changed:
            self.inspected = found
            self.changed.notify_all()

    def begin_inspection(self, kind, scheduled=False, rate=0):
        """`scheduled`: by the clock, not by a person; `rate`: bytes read on each node in a second."""
        self.inspections += 1
        body = struct.pack("<BQBBQ", 4, self.inspections, kind, scheduled, rate)
        self.socket.sendall(struct.pack("<I", len(body)) + body)

    def inspection(self, timeout=120):
        """How the one that was begun last has ended."""
        with self.changed:
            done = self.changed.wait_for(lambda: self.inspected.get("number") == self.inspections and self.inspected["state"] != 0, timeout)
        assert done, f"{self.name}: the inspection does not end: {self.inspected}"
        return self.inspected

    def inspect(self, kind, timeout=120):
        self.begin_inspection(kind)
        return self.inspection(timeout)

    def wait(self, condition, what, timeout=30):
        with self.changed:
            done = self.changed.wait_for(lambda: self.report and condition(self.report), timeout)
        assert done, f"{self.name}: no '{what}' within {timeout} s: {self.report}"

    def settle(self, role, timeout=30, **flags):
        self.want(role, **flags)
        order = self.order
        self.wait(lambda r: r["order"] == order and r["settled"] and r["role"] == role, f"role {role}", timeout)

    def synchronised(self, timeout=60):
        self.wait(lambda r: r["peer_synchronised"], "synchronised", timeout)

    def log_size(self):
        return os.path.getsize(f"{self.pair.root}/{self.name}.log")

    def log_since(self, since):
        return open(f"{self.pair.root}/{self.name}.log").read()[since:]

    def wait_for_log(self, words, since, timeout=10):
        deadline = time.monotonic() + timeout
        while words not in self.log_since(since):
            assert time.monotonic() < deadline, f"{self.name}: no '{words}' in its log"
            time.sleep(0.02)

    def kill(self):
        """As a node that dies: nothing is put in order; the namespace stays."""
        self.kill_replica()
        self.kill_keeper()

    def kill_replica(self):
        """As kill -9: its mounts are kept for another one."""
        self.process.kill()
        self.process.wait()
        self.report = {}

    def kill_keeper(self):
        for pid in self.keepers():
            os.kill(pid, signal.SIGKILL)

    def keepers(self):
        wanted, found = f"--for\0{self.pair.root}/state-{self.name}/replica\0".encode(), []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if wanted in open(f"/proc/{pid}/cmdline", "rb").read():
                    found.append(int(pid))
            except OSError:
                pass  # it has just ended
        return found

    def stop(self):
        self.process.terminate()
        code = self.process.wait(timeout=30)
        self.report = {}
        return code

    def run(self, *command, **options):
        return subprocess.run(self.enter(*command), check=True, **options)

    def popen(self, *command, **options):
        return subprocess.Popen(self.enter(*command), **options)

    def close(self):
        self.kill_keeper()
        for process in (self.process, self.keeper):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


class Pair:
    def __init__(self, program, on_data=None):
        """on_data: called with the directory of each copy before its node's namespace is made, to mount a disk there."""
        self.program, self.on_data = program, on_data
        self.root = tempfile.mkdtemp(prefix="replica-", dir=os.environ.get("SK_TEST_DIR"))
        self.mount = f"{self.root}/data"
        os.makedirs(self.mount)
        self.certificates = f"{self.root}/certificates"
        make_certificates(self.certificates, "a", "b")
        self.a = Node(self, "a", "b", "127.0.0.2", "127.0.0.3")
        self.b = Node(self, "b", "a", "127.0.0.3", "127.0.0.2")

    def close(self, keep=False):
        self.a.close()
        self.b.close()
        if not keep:
            shutil.rmtree(self.root, ignore_errors=True)

    def differences(self, holes=False):
        return compare(self.a.data, self.b.data, holes)

    def logs(self):
        return "".join(f"--- {n}\n" + open(f"{self.root}/{n}.log").read()[-6000:] for n in "ab")


def lost_sets(node):
    """The sets of lost writes of a node (docs/on-disk.md): for each its items by number, with the bytes of their pieces."""
    place, sets = f"{node.pair.root}/state-{node.name}/lost-writes", []
    for name in sorted(os.listdir(place) if os.path.isdir(place) else []):
        manifest, data = (open(f"{place}/{name}/{file}", "rb").read() for file in ("manifest", "data"))
        at, items = 8, {}
        while at + 8 <= len(manifest):
            size = struct.unpack_from("<I", manifest, at)[0]
            body = manifest[at + 4:at + 4 + size]
            at += size + 8
            if body[0] == 2:
                number, kind, length = struct.unpack_from("<QBI", body, 1)
                path_at = 14 + length + 4
                path = body[path_at + 4:path_at + 4 + struct.unpack_from("<I", body, path_at)[0]]
                items[number] = {"kind": kind, "path": path.decode(errors="replace"), "pieces": [], "removed": False}
            elif body[0] == 3:
                number, offset, length, place_at, state = struct.unpack_from("<QQQQB", body, 1)
                items[number]["pieces"].append((offset, length, state, data[place_at:place_at + length] if state == 0 else b""))
            elif body[0] == 4:
                items[struct.unpack_from("<Q", body, 1)[0]]["removed"] = True
        sets.append(items)
    return sets


def make_certificates(directory, *names):
    os.makedirs(directory)

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, stderr=subprocess.DEVNULL, cwd=directory)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-days", "30", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
    for name in names:
        openssl("req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
                "-out", f"{name}.pem")


def data_of(path, size):
    """Where the file has data and no holes."""
    found, at = [], 0
    if size == 0:
        return found
    with open(path, "rb") as file:
        # Pages that someone has read would make preallocated space look like data.
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.append((start, at))
    return found


def digest_of(path, data):
    """Of all that is not zero, so that a file of terabytes costs only its data."""
    digest, done = hashlib.blake2b(digest_size=16), -1
    with open(path, "rb") as file:
        for start, end in data:
            for block in range(max(done + 1, start >> 16), (end - 1 >> 16) + 1):
                bytes_there = os.pread(file.fileno(), 1 << 16, block << 16)
                if bytes_there.strip(b"\0"):
                    digest.update(b"%d:%d:" % (block, len(bytes_there)) + bytes_there)
                done = block
    return digest.hexdigest()


def describe(root, holes):
    """Every inode by path: type, mode, owner, size, time, xattrs, content; and which paths are one inode."""
    found, links = {}, {}
    paths = [""]
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            paths.append(os.path.relpath(os.path.join(directory, name), root))
    for path in paths:
        full = os.path.join(root, path) if path else root
        st = os.lstat(full)
        entry = {"mode": st.st_mode, "uid": st.st_uid, "gid": st.st_gid, "mtime": st.st_mtime_ns}
        if stat.S_ISREG(st.st_mode):
            entry["size"] = st.st_size
            data = data_of(full, st.st_size)
            entry["content"] = digest_of(full, data)
            if holes:
                entry["data"] = data
        if stat.S_ISLNK(st.st_mode):
            entry["target"] = os.readlink(full)
        if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
            entry["device"] = st.st_rdev
        try:
            entry["xattrs"] = {n: os.getxattr(full, n, follow_symlinks=False) for n in os.listxattr(full, follow_symlinks=False)}
        except OSError:
            pass
        if st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode):
            links.setdefault(st.st_ino, []).append(path)
        found[path] = entry
    for group in links.values():
        for path in group:
            found[path]["links"] = sorted(group)
    return found


def compare(left, right, holes=False):
    one, two = describe(left, holes), describe(right, holes)
    different = []
    for path in sorted(one.keys() | two.keys()):
        if path not in one or path not in two:
            different.append(f"{path}: only in {left if path in one else right}")
            continue
        for key in one[path].keys() | two[path].keys():
            if one[path].get(key) != two[path].get(key):
                different.append(f"{path}: {key} {one[path].get(key)} / {two[path].get(key)}")
    return different


def mirrored(pair, timeout=60, **settings):
    """a is primary, b secondary, synchronised."""
    pair.a.start(**settings)
    pair.b.start(**settings)
    pair.a.settle(PRIMARY, may_be_alone=True, peer_left=True)
    pair.b.settle(SECONDARY)
    pair.a.synchronised(timeout)
    pair.b.synchronised()
    pair.a.want(PRIMARY)


def assert_equal(pair, holes=False):
    """Times of last change follow within a moment, so look again for a while. After a synchronisation preallocated space may be
    zeros on the peer (docs/posix.md), so holes are compared where there was none."""
    deadline = time.monotonic() + 10
    while (different := pair.differences(holes)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not different, "the copies differ:\n" + "\n".join(different[:20])


def run_cases(names, prepare=None):
    """`main` of a script: each case_* of `names` (or those named on the command line, after the program) on a new pair."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("skipped: needs root and /dev/fuse")
        sys.exit(77)
    program, wanted = os.path.abspath(sys.argv[1]), sys.argv[2:]
    failed = []
    for name, case in [(name, value) for name, value in names.items() if name.startswith("case_")]:
        if wanted and name not in wanted:
            continue
        pair, began = Pair(program), time.monotonic()
        print(f"{name} ...", flush=True)
        try:
            if prepare is not None:
                prepare(pair)
            case(pair)
            print(f"{name} ok ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception as error:
            failed.append(name)
            print(f"{name} FAILED: {error!r}\n{error}\n{pair.logs()}", flush=True)
        finally:
            pair.close(keep=bool(failed) and bool(os.environ.get("SK_KEEP")))
    sys.exit(1 if failed else 0)
