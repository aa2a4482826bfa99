#!/usr/bin/env python3
"""Verification between two real safekit-replicad: no difference is told that is none, under any load; each that is one is told, and
nothing is changed. Usage: verify.py PROGRAM [CASE...]"""
import os, random, signal, sys, threading, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from replica_nodes import IDLE, PRIMARY, SECONDARY, assert_equal, describe, mirrored, run_cases

VERIFY, ESTIMATE, STOP = 0, 1, 2
DONE, FAILED = 1, 2
RULES = (("in/path", ""), ("other/path", ""), ("", r"\.tmp$"))


def tree(top, files=300):
    for d in range(6):
        os.makedirs(f"{top}/d{d}/deep/er")
        for f in range(files // 6):
            with open(f"{top}/d{d}/f{f}", "wb") as file:
                file.write(random.randbytes(random.choice((0, 10, 5000, 70000, 200000))))
    with open(f"{top}/big", "wb") as file:
        file.write(random.randbytes(20 << 20))
    os.truncate(f"{top}/big", 100 << 20)
    os.symlink("d0/f0", f"{top}/link")
    os.mkfifo(f"{top}/fifo")
    os.setxattr(f"{top}/d1/f1", "user.a", b"b")


def change(top, number, others, rules):
    """One thing that an application might do."""
    d = lambda: f"{top}/d{number}/{random.choice(('', 'deep/', 'deep/er/'))}"
    some = f"{d()}w{random.randrange(40)}"
    what = random.randrange(12 if rules else 11)
    if what < 3:
        with open(some, "r+b" if os.path.exists(some) else "wb") as file:
            file.seek(random.randrange(100000))
            file.write(random.randbytes(random.randrange(1, 90000)))
    elif what == 3:
        fd = others.setdefault("big", os.open(f"{top}/big", os.O_RDWR))
        os.pwrite(fd, random.randbytes(3000), random.randrange(20 << 20))
    elif what == 4:
        os.replace(some, f"{d()}w{random.randrange(40)}")
    elif what == 5:
        os.unlink(some)
    elif what == 6:
        os.chmod(some, random.choice((0o600, 0o644, 0o755)))
        os.chown(some, random.randrange(3), random.randrange(3))
    elif what == 7:
        os.setxattr(some, "user.x", random.randbytes(20))
    elif what == 8:
        os.truncate(some, random.randrange(150000))
    elif what == 9:
        # A directory with all that it holds, to where the walk may have been.
        at = f"{top}/moving{number}"
        os.makedirs(f"{at}/below", exist_ok=True)
        with open(f"{at}/below/x", "wb") as file:
            file.write(random.randbytes(3000))
        os.rename(at, f"{d()}moved{random.randrange(10 ** 9)}")
    elif what == 10:
        os.link(some, f"{d()}w{random.randrange(40)}")
    else:
        # Across what is not replicated, and so that what lies in it comes in after its name.
        os.makedirs(f"{top}/in/path", exist_ok=True)
        with open(f"{top}/in/path/z{number}", "wb") as file:
            file.write(random.randbytes(2_000_000))
        os.rename(f"{top}/in", f"{top}/out{number}-{random.randrange(10 ** 9)}")


class Load:
    """Processes that change things until they are stopped."""

    def __init__(self, pair, rules=False, processes=4):
        self.pids = []
        for number in range(processes):
            pid = os.fork()
            if pid == 0:
                random.seed(number)
                others = {}
                while True:
                    try:
                        change(pair.mount_of_a, number, others, rules)
                    except OSError:
                        pass  # another one was faster
            self.pids.append(pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def verified(pair):
    found = pair.a.inspect(VERIFY)
    assert found["state"] == DONE, found
    return found


def case_equal_under_load(pair):
    tree(pair.a.data)
    mirrored(pair)
    with Load(pair):
        for _ in range(3):
            found = verified(pair)
            assert found["differences"] == {} and found["files"] > 300 and found["bytes"] > 100 << 20, found
    assert verified(pair)["differences"] == {}
    assert pair.a.report["peer_synchronised"] and "connection=lost" not in pair.logs()
    assert_equal(pair)


def case_equal_with_rules_under_load(pair):
    tree(pair.a.data, 60)
    mirrored(pair, not_replicated=RULES)
    with open(f"{pair.mount_of_a}/x.tmp", "w") as file:
        file.write("of a alone")
    with Load(pair, rules=True, processes=2):
        until, compared = time.monotonic() + 4, 0
        while time.monotonic() < until:
            found = pair.a.inspect(VERIFY)
            assert found["differences"] == {}, found
            # It says so rather than tell what may be no difference.
            assert found["state"] == DONE or "change faster" in found["reason"], found
            compared += found["state"] == DONE
    assert compared > 0 and verified(pair)["differences"] == {}


def keep_time(path, work):
    before = os.lstat(path)
    work(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns), follow_symlinks=False)


def flip(path):
    with open(path, "r+b") as file:
        file.seek(13 << 20)
        byte = file.read(1)
        file.seek(13 << 20)
        file.write(bytes([byte[0] ^ 1]))


def spoil(top):
    """Behind the secondary's back. Gives what has to be found."""
    keep_time(f"{top}/big", flip)
    os.chmod(f"{top}/d2/f3", 0o604)
    keep_time(f"{top}/d0", lambda at: open(f"{at}/additional", "w").close())
    keep_time(f"{top}/d0", lambda at: os.makedirs(f"{at}/more/than/one"))
    keep_time(f"{top}/d3", lambda at: os.unlink(f"{at}/f4"))
    keep_time(f"{top}/d4", lambda at: os.rename(f"{at}/deep", f"{os.path.dirname(top)}/taken-away"))
    os.setxattr(f"{top}/d1/f1", "user.a", b"c")
    os.chown(f"{top}/d1/f2", 7, 8)
    keep_time(f"{top}/d5", lambda at: (os.unlink(f"{at}/f5"), os.mkfifo(f"{at}/f5")))
    keep_time(top, lambda at: (os.unlink(f"{at}/link"), os.symlink("d0/f1", f"{at}/link")))
    keep_time(f"{top}/d1/deep/er", lambda at: os.rmdir(at) or os.symlink("/etc", at))
    os.utime(f"{top}/d2/f4", ns=(0, 5))
    return {"big": "content", "d2/f3": "mode", "d0/additional": "only on the secondary", "d0/more": "only on the secondary",
            "d3/f4": "missing on the secondary", "d4/deep": "missing on the secondary", "d1/f1": "xattrs", "d1/f2": "owner",
            "d5/f5": "type", "link": "link target", "d1/deep/er": "type", "d2/f4": "mtime"}


def case_differences(pair):
    tree(pair.a.data)
    mirrored(pair)
    assert verified(pair)["differences"] == {}
    expected = spoil(pair.b.data)
    before = describe(pair.b.data, False)
    found = {path.removeprefix(pair.mount + "/"): what for path, what in verified(pair)["differences"].items()}
    # Of what was made anew the time is another one too, and so is that of the directory it lies in.
    assert found.pop("d1/deep") == "mtime" and found["link"] == "mtime, link target", found
    found["link"] = "link target"
    assert found == expected, (found, expected)
    after = describe(pair.b.data, False)
    assert after == before, {path: (before.get(path), after.get(path)) for path in before.keys() | after.keys()
                             if before.get(path) != after.get(path)}
    assert pair.a.report["peer_synchronised"] and pair.b.report["up_to_date"]
    # By the way that is named: stop the secondary, start it for a full synchronisation.
    pair.b.settle(IDLE)
    pair.a.want(PRIMARY, may_be_alone=True)
    pair.a.wait(lambda r: not r["peer_synchronised"], "without the peer")
    pair.b.settle(SECONDARY, full=True)
    pair.a.synchronised()
    pair.a.want(PRIMARY)
    assert verified(pair)["differences"] == {}
    assert_equal(pair)


def case_differences_under_load(pair):
    """Of files that the load leaves alone, each; and of no other one."""
    tree(pair.a.data)
    mirrored(pair)
    keep_time(f"{pair.b.data}/d3/f7", lambda at: open(at, "ab").close() or os.truncate(at, os.path.getsize(at) + 1))
    os.chmod(f"{pair.b.data}/d5/f1", 0o601)
    with Load(pair, processes=2):
        found = verified(pair)["differences"]
    assert found.pop(f"{pair.mount}/d3/f7").startswith("size") and found == {f"{pair.mount}/d5/f1": "mode"}, found


def case_many_differences(pair):
    mirrored(pair)
    os.makedirs(f"{pair.mount_of_a}/many")
    for i in range(1100):
        open(f"{pair.mount_of_a}/many/{i}", "w").close()
    os.sync()
    verified(pair)
    for i in range(1100):
        os.chmod(f"{pair.b.data}/many/{i}", 0o600)
    found = verified(pair)
    assert found["ended_early"] and len(found["differences"]) == 1000 and set(found["differences"].values()) == {"mode"}, found["reason"]


def case_by_the_clock(pair):
    """At its rate, beside a load; it makes way for one that a person asks for, and not the other way round."""
    tree(pair.a.data)
    mirrored(pair)
    with Load(pair, processes=1):
        began = time.monotonic()
        pair.a.begin_inspection(VERIFY, scheduled=True, rate=30 << 20)
        found = pair.a.inspection()
        took = time.monotonic() - began
    assert found["state"] == DONE and found["cause"] == 1 and found["differences"] == {} and found["bytes"] > 100 << 20, found
    at_rate = found["bytes"] / (30 << 20)  # 110 MB, and what the load has added: the faster it is, the more
    assert 0.8 * at_rate < took < 2 * at_rate + 5, (took, found)
    pair.a.begin_inspection(VERIFY, scheduled=True, rate=1 << 20)
    slow = pair.a.inspections
    found = verified(pair)  # at full speed, not after the two minutes of the slow one
    assert found["number"] > slow and found["cause"] == 0, found
    pair.a.begin_inspection(VERIFY, rate=1 << 20)
    slow = pair.a.inspections
    pair.a.begin_inspection(VERIFY, scheduled=True)
    pair.a.inspections += 1
    pair.a.begin_inspection(STOP)
    pair.a.inspections = slow
    assert "stopped by a command" in pair.a.inspection(10)["reason"]


class Spoiler:
    """Somebody on the secondary who changes one mode whenever it is right."""

    def __init__(self, path):
        self.path, self.stopped = path, threading.Event()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        while not self.stopped.wait(0.005):
            try:
                if os.lstat(self.path).st_mode & 0o777 != 0o604:
                    os.chmod(self.path, 0o604)
            except FileNotFoundError:
                pass  # not yet

    def stop(self):
        self.stopped.set()
        self.thread.join()


def of_itself(pair, state, **wanted):
    """The state of the verification that the primary has begun by itself."""
    with pair.a.changed:
        seen = lambda: pair.a.inspected
        assert pair.a.changed.wait_for(lambda: seen() and seen()["cause"] == 2 and seen()["state"] == state, 20), seen()
        assert all(seen()[name] == value for name, value in wanted.items()), seen()
        return seen()


def begin_verified(pair):
    pair.a.start(verify=True)
    pair.b.start(verify=True)
    pair.a.settle(PRIMARY, may_be_alone=True)
    pair.b.settle(SECONDARY)


def case_after_synchronisation(pair):
    """The secondary has all, and says that it is unverified until it was compared; what is written meanwhile is mirrored."""
    tree(pair.a.data)
    with open(f"{pair.a.data}/huge", "wb"):
        os.truncate(f"{pair.a.data}/huge", 200 << 30)
    begin_verified(pair)
    pair.b.wait(lambda r: r["unverified"] and r["peer_synchronised"] and r["up_to_date"], "unverified")
    pair.a.synchronised()
    pair.a.want(PRIMARY)
    with open(f"{pair.mount_of_a}/meanwhile", "wb", buffering=0) as file:
        file.write(b"x")
        os.fsync(file.fileno())
    assert open(f"{pair.b.data}/meanwhile", "rb").read() == b"x" and pair.b.report["unverified"]
    of_itself(pair, 0)
    pair.a.begin_inspection(STOP)
    pair.b.wait(lambda r: not r["unverified"] and r["peer_synchronised"], "ready after stop", 10)
    of_itself(pair, FAILED)
    os.unlink(f"{pair.mount_of_a}/huge")
    # Also when only a little has to be synchronised.
    pair.b.settle(IDLE)
    pair.a.want(PRIMARY, may_be_alone=True)
    with open(f"{pair.mount_of_a}/alone", "wb", buffering=0) as file:
        file.write(b"x")
        os.fsync(file.fileno())
    pair.b.settle(SECONDARY)
    pair.a.wait_for_log("verify=done", 0)
    pair.b.wait(lambda r: not r["unverified"] and r["peer_synchronised"], "verified")
    assert of_itself(pair, DONE, differences={})["files"] > 300


def case_after_synchronisation_differs_once(pair):
    tree(pair.a.data)
    spoiler = Spoiler(f"{pair.b.data}/d1/f1")
    try:
        begin_verified(pair)
        pair.a.wait_for_log("connection=lost reason='the copies differ'", 0, 30)
    finally:
        spoiler.stop()
    pair.a.wait_for_log("verify=done differences=0", 0, 30)
    pair.b.wait(lambda r: not r["unverified"] and r["peer_synchronised"] and r["up_to_date"], "ready")
    assert pair.a.log_since(0).count("verify=done differences=1") == 1
    assert_equal(pair)


def case_after_synchronisation_differs_for_good(pair):
    tree(pair.a.data)
    spoiler = Spoiler(f"{pair.b.data}/d1/f1")
    try:
        begin_verified(pair)
        pair.b.wait(lambda r: r["fatal"] and not r["up_to_date"] and not r["unverified"] and "differs" in r["problem"], "given up")
        pair.a.wait(lambda r: not r["connected"], "alone")
    finally:
        spoiler.stop()
    assert pair.a.log_since(0).count("verify=done differences=1") == 2
    assert "second fullsync" in of_itself(pair, DONE, differences={f"{pair.mount}/d1/f1": "mode"})["reason"]
    with open(f"{pair.mount_of_a}/goes-on", "wb", buffering=0) as file:
        file.write(b"x")
        os.fsync(file.fileno())
    # Started anew for a full synchronisation.
    pair.b.settle(IDLE)
    pair.b.settle(SECONDARY, full=True)
    pair.b.wait(lambda r: not r["unverified"] and r["peer_synchronised"] and r["up_to_date"], "ready")
    assert_equal(pair)


def case_ends(pair):
    """With a reason, and at once, whatever takes its ground away."""
    tree(pair.a.data)
    with open(f"{pair.a.data}/huge", "wb"):
        os.truncate(f"{pair.a.data}/huge", 200 << 30)  # reading its zeros takes minutes
    pair.a.start()
    pair.b.start()
    pair.a.settle(PRIMARY, may_be_alone=True)
    assert "synchronised secondary" in pair.a.inspect(VERIFY)["reason"]
    estimate = pair.a.inspect(ESTIMATE)
    assert estimate["state"] == DONE and estimate["everything"], estimate
    pair.b.settle(SECONDARY)
    assert "does not serve" in pair.b.inspect(VERIFY)["reason"]
    pair.a.synchronised()
    pair.a.want(PRIMARY)

    def under_way():
        pair.a.begin_inspection(VERIFY)
        deadline = time.monotonic() + 10
        while not (pair.a.inspected.get("number") == pair.a.inspections and pair.a.inspected["state"] == 0):
            assert time.monotonic() < deadline, pair.a.inspected
            time.sleep(0.01)

    under_way()
    number = pair.a.inspections
    pair.a.begin_inspection(STOP)
    pair.a.inspections = number
    assert "stopped by a command" in pair.a.inspection(10)["reason"]
    under_way()
    pair.b.kill_replica()
    assert "was lost" in pair.a.inspection(10)["reason"]
    pair.a.want(PRIMARY, may_be_alone=True)
    with open(f"{pair.mount_of_a}/new", "wb", buffering=0) as file:
        file.write(bytes(100000))
        os.fsync(file.fileno())
    with open(f"{pair.mount_of_a}/big", "r+b", buffering=0) as file:
        file.write(b"x")
        os.fsync(file.fileno())
    estimate = pair.a.inspect(ESTIMATE)
    assert not estimate["everything"] and 100000 + 65536 <= estimate["bytes"] <= 100000 + 2 * 65536 and estimate["files"] == 2, estimate
    assert estimate["bytes_per_second"] > 0
    pair.b.start()
    pair.b.settle(SECONDARY)
    pair.a.synchronised()
    pair.a.want(PRIMARY)
    copied = pair.a.report["bytes_copied"]
    assert copied <= estimate["bytes"] and pair.a.inspect(ESTIMATE)["bytes"] == 0, (copied, estimate)
    under_way()
    pair.a.settle(IDLE, timeout=10)
    assert "leaves the primary role" in pair.a.inspection(10)["reason"]


def prepare(pair):
    pair.mount_of_a = f"/proc/{pair.a.keeper.pid}/root{pair.mount}"


run_cases(dict(globals()), prepare)
