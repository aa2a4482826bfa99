#!/usr/bin/env python3
"""The process that serves the mounts of a primary is killed under running applications, and another one takes them over: the
applications see no error, no acknowledged write is lost, both copies are identical afterwards.
Usage: takeover.py PROGRAM [CASE...]; SK_KILLS, SK_SEED choose how often and when."""
import os, random, signal, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from replica_nodes import IDLE, PRIMARY, SECONDARY, assert_equal, mirrored, run_cases

HERE = os.path.dirname(os.path.abspath(__file__))
KILLS = int(os.environ.get("SK_KILLS", "3"))


class Application:
    """A program in the replicated directory that prints `done N` when it is told to end, and ends at its first error."""

    def __init__(self, node, *words):
        self.process = node.popen(sys.executable, *words, stdout=subprocess.PIPE, text=True)
        self.name = " ".join(map(str, words[1:3]))

    def end(self):
        assert self.process.poll() is None, f"{self.name} has ended: {self.process.stdout.read()[-2000:]}"
        self.process.terminate()
        out, _ = self.process.communicate(timeout=60)
        assert out.splitlines()[-1:] and out.splitlines()[-1].startswith("done"), f"{self.name} failed: {out[-2000:]}"
        return int(out.splitlines()[-1].split()[1])


def load(node, seed):
    return Application(node, f"{HERE}/replica_load.py", "random", f"{node.pair.mount}/load{seed}", str(seed))


def steady(node, what):
    return Application(node, f"{HERE}/takeover_load.py", what, f"{node.pair.mount}/{what}")


def kill_and_take_over(pair, **settings):
    began = time.monotonic()
    pair.a.kill_replica()
    pair.a.take_over(**settings)
    order = pair.a.order
    pair.a.wait(lambda r: r["order"] == order and r["settled"] and r["role"] == PRIMARY, "the role taken over", 10)
    return time.monotonic() - began


def rounds(pair, applications, chance, **settings):
    """Kills one after the other, some before the peer has been synchronised again."""
    times = []
    for number in range(KILLS):
        time.sleep(chance.random() * 0.4)
        if chance.random() < 0.3:  # one that does not get far
            pair.a.kill_replica()
            pair.a.take_over(**settings)
            time.sleep(chance.random() * 0.04)
        times.append(kill_and_take_over(pair, **settings))
        if chance.random() < 0.7:
            pair.a.synchronised()
            pair.b.synchronised()
    time.sleep(0.2)
    done = [application.end() for application in applications]
    pair.a.synchronised()
    print(f"   {KILLS} kills, served again after ms: {[round(t * 1000) for t in times]}, done: {done}", flush=True)


def case_changes_of_every_kind(pair):
    mirrored(pair)
    rounds(pair, [load(pair.a, 1), load(pair.a, 2), load(pair.a, 3)], random.Random(int(os.environ.get("SK_SEED", "1"))))
    assert_equal(pair)


def case_what_is_in_use(pair):
    """Appends with fsync, names given and taken, open files without a name, directories being read, mappings."""
    mirrored(pair)
    names = "append names unnamed directory mapped".split()
    rounds(pair, [steady(pair.a, name) for name in names], random.Random(int(os.environ.get("SK_SEED", "2"))))
    assert_equal(pair)


def case_writes_in_the_page_cache(pair):
    mirrored(pair, write_back=True)
    applications = [load(pair.a, 6), steady(pair.a, "append"), steady(pair.a, "mapped"), steady(pair.a, "unnamed")]
    rounds(pair, applications, random.Random(int(os.environ.get("SK_SEED", "3"))), write_back=True)
    pair.a.run("sync", "-f", pair.mount)
    assert_equal(pair)


def case_times_of_what_was_removed(pair):
    """The kernel brings them when it likes, as to what is held here without being open: that is gone with the process that knew it, and no
    error for whoever syncs."""
    mirrored(pair)
    late = """import os, sys
fd = os.open(sys.argv[1] + "/f", os.O_PATH)
os.unlink(sys.argv[1] + "/f")
print("removed", flush=True)
sys.stdin.readline()
os.utime(f"/proc/self/fd/{fd}")
print("set", flush=True)
"""
    pair.a.run("touch", f"{pair.mount}/f")
    application = pair.a.popen(sys.executable, "-c", late, pair.mount, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert application.stdout.readline() == "removed\n"
    kill_and_take_over(pair)
    out, _ = application.communicate("\n", timeout=30)
    assert out == "set\n", out
    pair.a.run("sync", "-f", pair.mount)
    assert_equal(pair)


def case_acknowledged_writes_are_on_the_peer(pair):
    """The node is lost right after the take-over: what was acknowledged before or since is on the other node, or that one says
    that it cannot serve."""
    mirrored(pair)
    application = pair.a.popen(sys.executable, f"{HERE}/replica_load.py", "append", f"{pair.mount}/log", stdout=subprocess.PIPE,
                               text=True)
    for _ in range(200):
        acknowledged = int(application.stdout.readline())
    kill_and_take_over(pair)
    pair.a.kill()
    application.kill()
    lines = application.stdout.read().split()
    application.wait()
    acknowledged = int(lines[-1]) if lines else acknowledged
    pair.b.wait(lambda r: not r["connected"], "told of the loss")
    if pair.b.report["up_to_date"]:
        found = open(f"{pair.b.data}/log").read().split()
        assert len(found) >= acknowledged, f"{len(found)} of {acknowledged} acknowledged lines"
    print("   acknowledged:", acknowledged, "the peer may serve:", pair.b.report["up_to_date"])


def case_alone(pair):
    """Without a peer calls go on returning; what was written then is there when the peer is back."""
    mirrored(pair)
    pair.b.kill()
    pair.a.wait(lambda r: r["waiting_for_alone"], "the loss")
    pair.a.settle(PRIMARY, may_be_alone=True)
    applications = [load(pair.a, 4), steady(pair.a, "append")]
    time.sleep(0.3)
    kill_and_take_over(pair)
    began = time.monotonic()
    pair.a.run("sh", "-c", f"echo x > {pair.mount}/x && sync {pair.mount}/x")
    assert time.monotonic() - began < 1, "a call waits for a peer that it had the leave to do without"
    pair.b.start()
    pair.b.settle(SECONDARY)
    pair.a.synchronised()
    for application in applications:
        application.end()
    assert_equal(pair)


def case_a_permission_that_was_used_up_is_none(pair):
    """The wish still says that it may go on alone, but the peer has everything since: after a take-over it is waited for."""
    pair.a.start()
    pair.b.start()
    pair.a.settle(PRIMARY, may_be_alone=True)
    pair.b.settle(SECONDARY)
    pair.a.synchronised()
    pair.b.synchronised()
    os.kill(pair.b.process.pid, signal.SIGSTOP)
    kill_and_take_over(pair)
    writer = pair.a.popen("sh", "-c", f"echo x > {pair.mount}/x && sync {pair.mount}/x")
    try:
        writer.wait(2)
        raise AssertionError("a write was acknowledged that the peer, which may take over, has not")
    except subprocess.TimeoutExpired:
        pass
    os.kill(pair.b.process.pid, signal.SIGCONT)
    assert writer.wait(20) == 0
    pair.a.synchronised()
    assert_equal(pair)


def case_hand_over(pair):
    """An orderly change of the process under load: nothing is compared again."""
    mirrored(pair)
    applications = [load(pair.a, 5), steady(pair.a, "append"), steady(pair.a, "unnamed")]
    for _ in range(2):
        time.sleep(0.3)
        began = time.monotonic()
        since = pair.a.log_size()
        pair.a.process.send_signal(signal.SIGHUP)
        assert pair.a.process.wait(15) == 0
        pair.a.take_over()
        pair.a.synchronised()
        pair.a.wait_for_log("synchronise=", since)
        first = pair.a.log_since(since).split("synchronise=")[1].split()[0]
        assert first in ("nothing", "zones"), "the trees were compared"  # zones: a call was quicker than the peer
        print("   in ms:", round((time.monotonic() - began) * 1000), flush=True)
    for application in applications:
        application.end()
    assert_equal(pair)


def holds_mount(pid):
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/fuse" for fd in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False  # it has just ended


def case_a_lost_keeper_is_replaced(pair):
    mirrored(pair)
    application = steady(pair.a, "unnamed")
    time.sleep(0.3)
    lost = pair.a.keepers()
    pair.a.kill_keeper()
    # A report may be of before the loss, and a killed process is seen for a moment still: what counts is who holds the mount now.
    deadline = time.monotonic() + 30
    while not any(holds_mount(pid) for pid in pair.a.keepers() if pid not in lost):
        assert time.monotonic() < deadline, f"no other keeper: {pair.a.report}"
        time.sleep(0.02)
    pair.a.wait(lambda r: r["replaceable"], "all is kept again")
    kill_and_take_over(pair)
    application.end()
    assert_equal(pair)


def case_nobody_takes_over(pair):
    """Then the mount ends after a while, so that nobody waits for ever; one that does not take over lets it go at once."""
    mirrored(pair)
    pair.a.kill_replica()
    reader = pair.a.popen("ls", pair.mount, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert reader.wait(15) != 0
    pair.a.start()
    pair.a.settle(PRIMARY, may_be_alone=True)
    pair.a.kill_replica()
    began = time.monotonic()
    pair.a.start()
    pair.a.settle(IDLE)
    pair.a.run("ls", pair.mount, stdout=subprocess.DEVNULL)
    assert time.monotonic() - began < 3


def case_what_cannot_be_taken_over_is_told(pair):
    mirrored(pair)
    pair.a.settle(IDLE)
    assert pair.a.stop() == 0
    since = pair.a.log_size()
    process = subprocess.run(pair.a.enter(pair.program, "--module", "AM", "--state-dir", f"{pair.root}/state-a/replica", "--socket",
                                          f"{pair.root}/a.sock", "--take-over"), stderr=pair.a.log)
    assert process.returncode == 3
    pair.a.wait_for_log("cannot take over: nobody keeps", since)


run_cases(dict(globals()))
