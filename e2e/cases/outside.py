#!/usr/bin/env python3
"""Who writes to the copy of a secondary round its read-only mount is found, named and undone; between two real safekit-replicad.
Usage: outside.py PROGRAM [CASE...]"""
import os, random, signal, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from replica_nodes import IDLE, PRIMARY, SECONDARY, assert_equal, mirrored, run_cases

LOG, STOP = 0x10, 0x10000
ME = f"by='python3 (pid {os.getpid()})'"


def tree(top):
    for d in range(3):
        os.makedirs(f"{top}/d{d}/deep")
        for f in range(20):
            with open(f"{top}/d{d}/f{f}", "wb") as file:
                file.write(random.randbytes(random.choice((10, 5000, 70000))))
    with open(f"{top}/big", "wb") as file:
        file.write(random.randbytes(8 << 20))


def pair_of(pair, flags=LOG, **settings):
    tree(pair.a.data)
    mirrored(pair, write_flags=flags, **settings)
    if "watch=off" in pair.b.log_since(0):
        print("skipped: this kernel or file system tells of no changes")
        sys.exit(77)


def undone(pair, since):
    """The copies have met again, and are equal."""
    pair.a.wait_for_log("synchronise=zones", since, 20)
    pair.a.wait_for_log("synchronisation=done", since, 20)
    pair.b.synchronised()
    assert_equal(pair)


def case_found_and_undone(pair):
    """Round the mount in all ways, at once: another mount of the file system, a descriptor of before, a mount made writable again."""
    os.makedirs(pair.b.data, exist_ok=True)
    before = os.open(pair.b.data, os.O_RDONLY)
    pair_of(pair)
    assert pair.b.report["outside_writes"] == 0
    since = pair.a.log_size()
    with open(f"{pair.b.data}/d0/f0", "r+b") as file:
        file.write(b"not the primary's")
    fd = os.open("d1/f1", os.O_WRONLY, dir_fd=before)
    os.ftruncate(fd, 3)
    os.close(fd)
    os.rename(f"{pair.b.data}/d2/deep", f"{pair.b.data}/d0/moved")
    os.unlink(f"{pair.b.data}/d2/f2")
    os.chmod(f"{pair.b.data}/big", 0o600)
    pair.b.run("sh", "-ec", f"mount -o remount,rw,bind {pair.mount}; echo x > {pair.mount}/d1/by-a-shell; mkdir {pair.mount}/more")
    pair.b.wait(lambda r: r["outside_writes"] > 0 and "pid " in r["outside_last"], "found")
    undone(pair, since)
    log = pair.b.log_since(0)
    for path in ("d0/f0", "d1/f1", "d2/deep", "d0/moved", "d2/f2", "big"):
        assert f"written-outside='{pair.mount}/{path}' {ME}" in log, (path, log)
    # Who has ended before it is read of has no name any more.
    assert f"written-outside='{pair.mount}/d1/by-a-shell' by='" in log and f"written-outside='{pair.mount}/more'" in log, log
    assert pair.b.report["outside_writes"] >= 8 and pair.b.report["up_to_date"], pair.b.report
    # At most once a minute: what comes before that is found, and waits.
    connections = pair.a.log_since(0).count("connection=made")
    with open(f"{pair.b.data}/d0/f3", "ab") as file:
        file.write(b"x")
    pair.b.wait_for_log("d0/f3", 0)
    pair.b.settle(IDLE)
    assert pair.a.log_since(0).count("connection=made") == connections
    pair.b.settle(SECONDARY)
    pair.b.synchronised()
    assert_equal(pair)
    os.close(before)


def case_own_work_is_not_taken_for_somebodys(pair):
    """Of any kind, with files and directories of others on the same file system changing as well."""
    pair_of(pair, not_replicated=(("cache", ""), ("", r"\.tmp$")))
    top, beside = pair.mount_of_a, f"{pair.root}/beside"
    os.makedirs(f"{pair.b.data}/cache")
    end, number = time.monotonic() + 3, 0
    while time.monotonic() < end:
        number += 1
        os.makedirs(f"{top}/n{number}/x")
        with open(f"{top}/n{number}/f", "wb", buffering=0) as file:
            file.write(random.randbytes(random.randrange(100000)))
            os.fsync(file.fileno())
        os.chmod(f"{top}/n{number}/f", 0o600)
        os.truncate(f"{top}/big", random.randrange(8 << 20))
        os.rename(f"{top}/n{number}/f", f"{top}/n{number}/x/g")
        os.setxattr(f"{top}/n{number}", "user.a", b"b")
        os.utime(f"{top}/d0/f0", ns=(number, number))
        os.makedirs(f"{beside}/{number}")
        for path in (f"{beside}/{number}/f", f"{pair.b.data}/cache/{number}", f"{pair.b.data}/d0/x.tmp"):
            with open(path, "wb") as file:
                file.write(b"x")
    with open(f"{pair.b.data}/d1/f1", "ab") as file:
        file.write(b"x")
    pair.b.wait(lambda r: r["outside_writes"] > 0, "found")
    assert pair.b.report["outside_writes"] == 1 and pair.b.log_since(0).count("written-outside") == 1, pair.b.log_since(0)


def case_stops_when_told_to(pair):
    pair_of(pair, STOP)
    made = pair.a.log_since(0).count("connection=made")
    os.unlink(f"{pair.b.data}/d0/f0")
    pair.b.wait(lambda r: r["fatal"] and "d0/f0" in r["problem"] and "roflags" in r["problem"], "fatal")
    assert pair.a.log_since(0).count("connection=made") == made
    pair.b.settle(IDLE)
    pair.b.settle(SECONDARY)
    pair.a.synchronised()
    assert not pair.b.report["fatal"] and pair.b.report["outside_writes"] == 0
    assert_equal(pair)


def case_outlives_a_crash(pair):
    """What was found and not undone yet is found again by the next start."""
    pair_of(pair, STOP)  # nothing is undone by itself
    with open(f"{pair.b.data}/d0/f0", "r+b") as file:
        file.write(b"!")
    pair.b.wait(lambda r: r["fatal"], "found")
    pair.b.kill_replica()
    pair.b.start(write_flags=LOG)
    pair.b.settle(SECONDARY)
    pair.b.synchronised()
    assert_equal(pair)


def case_too_much_at_once(pair):
    """When the kernel drops events, anything may have been written: all is compared."""
    pair_of(pair)
    since = pair.a.log_size()
    os.makedirs(f"{pair.root}/beside")
    pair.b.process.send_signal(signal.SIGSTOP)
    try:
        for number in range(17000):
            os.mknod(f"{pair.root}/beside/{number}")
        with open(f"{pair.b.data}/d0/f0", "r+b") as file:
            file.write(b"!")
    finally:
        pair.b.process.send_signal(signal.SIGCONT)
    pair.b.wait_for_log("written-outside=unknown", 0, 20)
    pair.a.wait_for_log("synchronise=full", since, 20)
    pair.a.wait_for_log("synchronisation=done", since, 30)
    assert_equal(pair)


def prepare(pair):
    pair.mount_of_a = f"/proc/{pair.a.keeper.pid}/root{pair.mount}"


run_cases(dict(globals()), prepare)
