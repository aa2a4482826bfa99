#!/usr/bin/env python3
"""xfstests, the public file system suite: its 'generic' quick tests on mirror mounts whose secondary is connected; those that fail
there are run on ext4 too. What passes on ext4 must pass on the mount, or be skipped there by the suite, or be listed with a reason in
xfstests.known; and both copies must be identical afterwards.

usage: XFSTESTS_DIR=<source of xfstests> xfstests.py [--workers N] [--report FILE] SAFEKIT_REPLICAD [TEST...]     tests: 001, 013, ...
--report: every result is written there at once; a run that was ended goes on with the tests that are not in it yet.
Without the suite it is skipped (77): `e2e/conformance/fetch xfstests DIRECTORY` brings it. Nothing of it is built or run in place.

Every run of the suite is in mount and process namespaces of its own: what a test mounts, starts or leaves ends with them.
"""
import argparse, collections, ctypes, json, os, queue, re, select, shutil, subprocess, sys, tempfile, threading, traceback
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "cases"))
from replica_nodes import Pair, assert_equal, mirrored

SKIP = 77
TEST_SECONDS_MAX = 600  # without a sign of life
TESTS_AT_ONCE = 8  # of one run of the suite, after which the copies are compared
IMAGE_BYTES = 12 << 30  # sparse
USERS = ("fsgqa", "fsgqa2", "123456-fsgqa")  # the suite's ordinary users
PASS, FAIL, NOT_RUN = "pass", "fail", "not run"
Result = collections.namedtuple("Result", "state seconds detail")

# Runs in namespaces of its own: WORK is the worker's directory, the rest is the command.
PREPARE = """set -e
work=$1; shift
mount --bind "$work/tmp" /tmp
mount --bind "$work/passwd" /etc/passwd
mount --bind "$work/group" /etc/group
mount --bind "$work/kmsg" /dev/kmsg && mount -o remount,bind,ro /dev/kmsg
ulimit -c 0
cd "$work/suite" && exec "$@"
"""


def words_of(*words, **options):
    return subprocess.run(words, check=True, capture_output=True, text=True, **options).stdout.strip()


def loop_device(path, size):
    """A device for the file, and what holds it: it goes with the last user, whatever becomes of this process."""
    with open(path, "wb") as file:
        file.truncate(size)
    device = words_of("losetup", "--find", "--show", path)
    held = os.open(device, os.O_RDONLY)
    words_of("losetup", "--detach", device)
    return device, held


def bring_mount(source, path, target, place):
    """A mount of one node's namespace, seen in another's too."""
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        here, at_cwd, clone, from_empty_path = 0x20000, -100, 1, 4
        spaces = [os.open(f"/proc/{node.keeper.pid}/ns/mnt", os.O_RDONLY) for node in (source, target)]
        done = libc.unshare(0x200) == 0 and libc.setns(spaces[0], here) == 0
        tree = libc.syscall(428, at_cwd, path.encode(), clone) if done else -1  # open_tree
        done = tree >= 0 and libc.setns(spaces[1], here) == 0 and \
            libc.syscall(429, tree, b"", at_cwd, place.encode(), from_empty_path) == 0  # move_mount
        os._exit(0 if done else ctypes.get_errno() or 1)
    status = os.waitpid(child, 0)[1]
    assert status == 0, f"'{path}' is not brought to '{place}': {os.strerror(os.waitstatus_to_exitcode(status))}"


class Worker:
    """A place to run the suite in: its copy of it, its /tmp, its users."""

    def __init__(self, top, number, suite):
        self.work = f"{top}/{number}"
        for name in ("tmp", "results", "test", "scratch"):
            os.makedirs(f"{self.work}/{name}")
        os.chmod(f"{self.work}/tmp", 0o1777)
        words_of("cp", "-al", suite, f"{self.work}/suite")
        open(f"{self.work}/kmsg", "w").close()
        for name, entry in (("passwd", "{0}:*:{1}:{1}::/:/bin/bash\n"), ("group", "{0}:*:{1}:\n")):
            with open(f"/etc/{name}") as old, open(f"{self.work}/{name}", "w") as new:
                new.write(old.read() + "".join(entry.format(user, 20000 + i) for i, user in enumerate(USERS)))
        self.environment = {"TEST_DIR": f"{self.work}/test", "SCRATCH_MNT": f"{self.work}/scratch",
                            "RESULT_BASE": f"{self.work}/results", "HOST_OPTIONS": "/dev/null", "DIFF_LENGTH": "20"}

    def enter(self, *command):
        return list(command)

    def run(self, tests):
        """Results by test. One that does not end is killed with all that it started, and the others go on."""
        results, left = {}, list(tests)
        while left:
            before = len(left)
            for name, result in self.run_until_stuck(left):
                results[name] = result
                left.remove(name)
            assert len(left) < before, f"the suite runs nothing of {left} (exit {self.code}):\n{self.said[-2000:]}"
        return results

    def run_until_stuck(self, tests):
        command = self.enter("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc",
                             "bash", "-c", PREPARE, "prepare", self.work, "./check", *(f"generic/{name}" for name in tests))
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env={**os.environ, **self.environment})
        self.said, stuck = "", False
        while True:
            if not select.select([process.stdout], [], [], TEST_SECONDS_MAX)[0]:
                stuck = True
                break
            if not (data := os.read(process.stdout.fileno(), 65536)):
                break
            self.said += data.decode(errors="replace")
        process.kill()
        process.stdout.read()  # until the last of its processes has ended
        self.code = process.wait()
        results = parse(self.said)
        if stuck and results:
            name, result = results.pop()
            results.append((name, Result(FAIL, TEST_SECONDS_MAX, f"did not end within {TEST_SECONDS_MAX} s")))
        return results


def parse(text):
    """The tests that `check` began, in order."""
    results = []
    for part in re.split(r"^(?=generic/\d+)", text, flags=re.M)[1:]:
        part = re.split(r"^(?:Ran: |Not run: |Failures: |Passed all|Failed )", part, flags=re.M)[0]
        name, rest = re.match(r"generic/(\d+)\s*(.*)", part, flags=re.S).groups()
        if found := re.search(r"\[not run\]\s*(.*)", rest):
            results.append((name, Result(NOT_RUN, 0, found[1].strip())))
        elif found := re.search(r"^(?:\d+s \.\.\.)?\s*(\d+)s\s*$", rest):
            results.append((name, Result(PASS, int(found[1]), "")))
        else:
            results.append((name, Result(FAIL, 0, rest.strip())))
    return results


class Native(Worker):
    def __init__(self, top, number, suite):
        super().__init__(top, f"native-{number}", suite)
        self.held = []
        for name in ("test", "scratch"):
            device, held = loop_device(f"{self.work}/{name}.image", IMAGE_BYTES)
            self.held.append(held)
            self.environment[f"{name.upper()}_DEV"] = device
        words_of("mkfs.ext4", "-q", self.environment["TEST_DEV"])
        self.environment["FSTYP"] = "ext4"

    def close(self):
        for held in self.held:
            os.close(held)


class Mirror(Worker):
    """Both file systems of the suite are mirrors, each copy on a disk of its own: tests may fill it."""

    def __init__(self, top, number, suite, program):
        super().__init__(top, f"mirror-{number}", suite)
        bin_directory, scratch = f"{self.work}/bin", f"{self.work}/scratch-mirror"
        for path in (bin_directory, scratch):
            os.makedirs(path)
        for name in ("mount", "umount", "df", "findmnt"):
            os.symlink(os.path.join(HERE, "xfstests_mount"), f"{bin_directory}/{name}")
        self.disks, self.pairs = [], []
        os.environ["SK_TEST_DIR"] = self.work
        for name in ("test", "scratch"):
            pair = Pair(program, on_data=self.add_disk)
            self.pairs.append(pair)
            os.chmod(pair.root, 0o755)
            mirrored(pair, port=19600 + 10 * number + len(self.pairs))
            self.environment[f"{name.upper()}_DEV"] = f"safekit-{name}"
        bring_mount(self.pairs[1].a, self.pairs[1].mount, self.pairs[0].a, scratch)
        self.environment |= {"FSTYP": "fuse", "PATH": f"{bin_directory}:{os.environ['PATH']}",
                             "SK_TEST_MIRROR": self.pairs[0].mount, "SK_SCRATCH_MIRROR": scratch}

    def add_disk(self, directory):
        """The secondary's is larger, so that a test which fills the disk meets the end of the primary's."""
        device, held = loop_device(f"{self.work}/disk-{len(self.disks)}.image", IMAGE_BYTES + (len(self.disks) % 2 << 30))
        words_of("mkfs.ext4", "-q", device)
        words_of("mount", device, directory)
        os.close(held)
        os.rmdir(f"{directory}/lost+found")
        self.disks.append(directory)

    def enter(self, *command):
        return self.pairs[0].a.enter(*command)

    def judge(self, tests):
        for pair in self.pairs:
            assert pair.a.report["peer_synchronised"], f"the secondary was lost during {tests}"
            try:
                assert_equal(pair)
            except AssertionError as difference:
                raise AssertionError(f"during {tests}: {difference}")

    def close(self):
        for pair in self.pairs:
            pair.close(keep=True)
        for disk in self.disks:
            words_of("umount", "--lazy", disk)

    def logs(self):
        return "".join(pair.logs() for pair in self.pairs)


def prepare_suite(source, target):
    """A built copy of the suite."""
    words_of("cp", "-a", source, target)
    if not os.path.exists(f"{target}/ltp/fsstress"):
        done = subprocess.run(["make", "-C", target, f"-j{os.cpu_count()}"], capture_output=True, text=True)
        assert done.returncode == 0, f"the suite does not build (.ci/packages xfstests):\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def quick_tests(suite):
    with open(f"{suite}/tests/generic/group.list") as groups:
        return [line.split()[0] for line in groups if "quick" in line.split()[1:]]


def work_off(native, mirror, chunks, report):
    while True:
        try:
            tests = chunks.get_nowait()
        except queue.Empty:
            return
        try:
            on_mirror = mirror.run(tests)
            failed = [name for name in tests if on_mirror[name].state == FAIL]
            on_native = native.run(failed) if failed else {}
            mirror.judge(tests)
            for name in tests:
                report.add(name, on_mirror[name], on_native.get(name))
        except Exception as problem:
            report.fail(f"{tests}: {problem!r}\n{problem}\n{traceback.format_exc()}\n{mirror.logs()}")


class Report:
    def __init__(self, path):
        self.path, self.lock, self.results, self.failures = path, threading.Lock(), {}, []
        if path and os.path.exists(path):
            with open(path) as file:
                for name, (mirror, native) in json.load(file).items():
                    self.results[name] = (Result(*mirror), native and Result(*native))

    def fail(self, text):
        with self.lock:
            self.failures.append(text)
            print(f"FAILED: {text}", flush=True)

    def add(self, name, mirror, native):
        with self.lock:
            self.results[name] = (mirror, native)
            there = f"; native {native.state}" if native else ""
            print(f"generic/{name}: {mirror.state} ({mirror.seconds} s){there} {mirror.detail}", flush=True)
            if self.path:
                with open(self.path, "w") as file:
                    json.dump(self.results, file, indent=1)

    def names(self, mirror, native=None):
        return sorted(name for name, (there, here) in self.results.items()
                      if there.state == mirror and (native is None or here.state == native))


def known_failures():
    """Number and reason of tests that pass on ext4 and cannot pass on a mirror."""
    with open(f"{HERE}/xfstests.known") as file:
        return dict(line.strip().split(" ", 1) for line in file if line.strip() and not line.startswith("#"))


def judge(report):
    known, bad = known_failures(), len(report.failures)
    reasons = collections.defaultdict(list)
    for name in report.names(NOT_RUN):
        reasons[report.results[name][0].detail].append(name)
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        print(f"not run, {len(names)}, '{reason}': {' '.join(names)}")
    print(f"passed, {len(report.names(PASS))}: {' '.join(report.names(PASS))}")
    for state, words in ((FAIL, "fail on ext4 as well"), (NOT_RUN, "not run on ext4")):
        print(f"{words}, {len(report.names(FAIL, state))}: {' '.join(report.names(FAIL, state))}")
    for name in report.names(FAIL, PASS):
        print(f"fails on the mirror alone: generic/{name}: {known.get(name, 'UNEXPECTED: ' + report.results[name][0].detail)}")
        bad += name not in known
    return 1 if bad else 0


def main():
    source = os.environ.get("XFSTESTS_DIR", "")
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse") or not os.path.exists("/dev/loop-control"):
        print("skipped: needs root, /dev/fuse and loop devices")
        return SKIP
    if not os.path.exists(os.path.join(source, "tests", "generic")):
        print("skipped: set XFSTESTS_DIR to the source of xfstests (e2e/conformance/fetch xfstests DIRECTORY)")
        return SKIP
    if "SK_XFSTESTS_INSIDE" not in os.environ:
        os.execvpe("unshare", ["unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child",
                               "--mount-proc", sys.executable, *sys.argv], {**os.environ, "SK_XFSTESTS_INSIDE": "1"})
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--report")
    parser.add_argument("tests", nargs="*")
    args = parser.parse_args()
    words_of("ip", "link", "set", "lo", "up")
    top = tempfile.mkdtemp(prefix="xfstests-", dir=os.environ.get("SK_TEST_DIR", "/var/tmp"))
    os.chmod(top, 0o755)
    natives, mirrors = [], []
    try:
        prepare_suite(source, f"{top}/suite")
        chunks, report = queue.Queue(), Report(args.report)
        tests = [name for name in args.tests or quick_tests(f"{top}/suite") if name not in report.results]
        for at in range(0, len(tests), TESTS_AT_ONCE):
            chunks.put(tests[at:at + TESTS_AT_ONCE])
        for number in range(args.workers):
            natives.append(Native(top, number, f"{top}/suite"))
            mirrors.append(Mirror(top, number, f"{top}/suite", os.path.abspath(args.program)))
        threads = [threading.Thread(target=work_off, args=(native, mirror, chunks, report))
                   for native, mirror in zip(natives, mirrors)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return judge(report)
    finally:
        for worker in natives + mirrors:
            worker.close()
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
