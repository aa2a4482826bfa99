"""Two replicas on one machine for tests: each safekit-replicad in its own mount namespace, driven through its control socket."""
import os, shutil, signal, socket, stat, struct, subprocess, tempfile, threading, time

IDLE, PRIMARY, SECONDARY = 0, 1, 2
FLAGS = ("settled configured up_to_date inconsistent ever_synchronised has_data last_primary connected "
         "peer_synchronised waiting_for_alone diverged fatal").split()
NUMBERS = "files_total files_done bytes_copied zones_dirty generation pairing bytes_compared".split()


def text(value):
    data = value.encode()
    return struct.pack("<I", len(data)) + data


class Node:
    """One node: a mount namespace kept by a sleeping process, in which its replicad runs."""

    def __init__(self, pair, name, peer, address, peer_address):
        self.pair, self.name, self.peer, self.address, self.peer_address = pair, name, peer, address, peer_address
        self.data = f"{pair.root}/{name}"
        os.makedirs(self.data)
        os.makedirs(f"{pair.root}/state-{name}")
        self.keeper = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c",
                                        f"mount --bind {self.data} {pair.mount} && echo ready && exec sleep infinity"],
                                       stdout=subprocess.PIPE)
        assert self.keeper.stdout.readline() == b"ready\n"
        self.process, self.socket, self.report, self.order = None, None, {}, 0
        self.on_report = None
        self.changed = threading.Condition()
        self.log = open(f"{pair.root}/{name}.log", "ab")

    def enter(self, *command):
        return ["nsenter", "-t", str(self.keeper.pid), "-m", "--", *command]

    def start(self, **settings):
        path = f"{self.pair.root}/{self.name}.sock"
        wrapper = os.environ.get("SK_WRAP", "").split()
        self.process = subprocess.Popen(self.enter(*wrapper, self.pair.program, "--module", "AM", "--state-dir",
                                                   f"{self.pair.root}/state-{self.name}", "--socket", path), stderr=self.log)
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

    def configure(self, durability=0, ack=1, send_timeout=5.0, lock_timeout=20.0, port=19600, zone=65536, must_exist=(), write_back=False):
        certificates = self.pair.certificates
        ns = 10**9
        body = b"\x01" + b"".join(text(t) for t in (
            "AM", self.name, self.peer, "cluster-1", self.address, self.peer_address, f"{certificates}/{self.name}.pem",
            f"{certificates}/{self.name}.key", f"{certificates}/ca.pem")) + struct.pack("<HI", port, 1) + \
            text(self.pair.mount) + struct.pack("<I", len(must_exist)) + b"".join(text(m) for m in must_exist) + \
            struct.pack("<BBqqqIIB", durability, ack, int(send_timeout * ns), int(lock_timeout * ns), 150 * ns, zone, 4, write_back)
        self.socket.sendall(struct.pack("<I", len(body)) + body)

    def want(self, role, may_be_alone=False, out_of_date=False, force=False, full=False, pairing=0):
        self.order += 1
        body = struct.pack("<BQBBBBBQ", 2, self.order, role, may_be_alone, out_of_date, force, full, pairing)
        self.socket.sendall(struct.pack("<I", len(body)) + body)

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
                self.take(buffer[4:4 + size])
                buffer = buffer[4 + size:]

    def take(self, body):
        report = {"order": struct.unpack_from("<Q", body, 1)[0], "role": body[9]}
        for i, name in enumerate(FLAGS):
            report[name] = bool(body[10 + i])
        at = 10 + len(FLAGS)
        report["phase"] = body[at]
        for i, value in enumerate(struct.unpack_from("<7Q", body, at + 1)):
            report[NUMBERS[i]] = value
        size = struct.unpack_from("<I", body, at + 57)[0]
        report["problem"] = body[at + 61:at + 61 + size].decode()
        if self.on_report:
            self.on_report(report)
        with self.changed:
            self.report = report
            self.changed.notify_all()

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

    def wait_for_log(self, words, since, timeout=10):
        deadline = time.monotonic() + timeout
        while words not in open(f"{self.pair.root}/{self.name}.log").read()[since:]:
            assert time.monotonic() < deadline, f"{self.name}: no '{words}' in its log"
            time.sleep(0.02)

    def kill(self):
        """As kill -9: nothing is put in order; the namespace stays."""
        self.process.kill()
        self.process.wait()
        self.report = {}

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
        for process in (self.process, self.keeper):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


class Pair:
    def __init__(self, program):
        self.program = program
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

    def differences(self):
        return compare(self.a.data, self.b.data)

    def logs(self):
        return "".join(f"--- {n}\n" + open(f"{self.root}/{n}.log").read()[-6000:] for n in "ab")


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


def describe(root):
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
            with open(full, "rb") as file:
                entry["content"] = hash(file.read())
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


def compare(left, right):
    one, two = describe(left), describe(right)
    different = []
    for path in sorted(one.keys() | two.keys()):
        if path not in one or path not in two:
            different.append(f"{path}: only in {left if path in one else right}")
            continue
        for key in one[path].keys() | two[path].keys():
            if one[path].get(key) != two[path].get(key):
                different.append(f"{path}: {key} {one[path].get(key)} / {two[path].get(key)}")
    return different
