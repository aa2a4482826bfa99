#!/usr/bin/env python3
"""The ways of synchronising that a person chooses: from a backup, by date, within a bandwidth, without zones. What is to be copied is
copied, what need not be is not even read, and whatever does not fit leads to a comparison of everything.
Usage: resync_policy.py PROGRAM [CASE...]"""
import collections, os, random, re, shutil, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from replica_nodes import IDLE, PRIMARY, SECONDARY, assert_equal, mirrored, run_cases

FULL, BACKUP_PRIMARY, BACKUP_SECONDARY, DATE = 1, 2, 3, 4
FILES, SIZE = 40, 200_000
TOTAL = FILES * SIZE
numbers = iter(range(1, 1000))


def policy(mode, uid="", detect=True, chosen=None):
    return next(numbers), mode, uid, detect, time.time_ns() if chosen is None else chosen


def fill(directory):
    for f in range(FILES):
        os.makedirs(f"{directory}/d{f % 4}", exist_ok=True)
        with open(f"{directory}/d{f % 4}/f{f}", "wb") as out:
            out.write(random.Random(f).randbytes(SIZE))
    os.link(f"{directory}/d0/f0", f"{directory}/d1/second-name")
    os.symlink("f1", f"{directory}/d1/link")


def let_stamps_age(directory):
    """What is chosen from now on lies after all that was done there: a choice counts in what was stamped up to 20 ms before it
    (datapath/resync/backup.cpp)."""
    newest = max(os.lstat(os.path.join(path, name)).st_ctime_ns for path, _, names in os.walk(directory) for name in [".", *names])
    while (left := newest + 30_000_000 - time.time_ns()) > 0:
        time.sleep(left / 1e9)


def change_byte(path, offset):
    """As somebody who hides it: size and mtime stay."""
    before = os.stat(path)
    with open(path, "r+b") as file:
        byte = os.pread(file.fileno(), 1, offset)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), offset)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def backup(node, into):
    """As a good backup program would: everything of every inode, through the mount."""
    subprocess.run(node.enter("sh", "-ec", f"cp -a {node.pair.mount}/. {into}/"), check=True)


def choose(node, mode, uid):
    """At once, of a copy that has a role. Gives why it was refused."""
    while True:
        chosen = policy(mode, uid)
        node.configure(policy=chosen)
        node.wait(lambda r: r["policy"] == chosen[0], "the choice is taken")
        if "try again" not in node.report["policy_refused"]:  # it looks for what was changed while it was stopped
            return node.report["policy_refused"]


def alone(pair, **settings):
    pair.a.start(**settings)
    pair.a.settle(PRIMARY, may_be_alone=True)


def follow(pair, chosen=None, **settings):
    """b becomes secondary and is synchronised; what that has cost."""
    pair.b.start(policy=chosen, **settings)
    pair.b.settle(SECONDARY)
    pair.b.synchronised()
    pair.a.synchronised()
    assert_equal(pair)
    for node in (pair.a, pair.b):
        node.wait(lambda r: not r["full_wanted"] and r["backup"] == "", "the default again", 5)
    return pair.a.report["bytes_compared"], pair.a.report["bytes_copied"]


def seeded(pair, uid="nov28"):
    """a serves alone; its backup is restored to b; then a is changed in every way."""
    fill(pair.a.data)
    alone(pair)
    assert choose(pair.a, BACKUP_PRIMARY, uid) == ""
    backup(pair.a, pair.b.data)
    let_stamps_age(pair.b.data)
    pair.a.run("sh", "-ec", f"""cd {pair.mount}
        printf x | dd of=d2/f2 bs=1 seek=150000 conv=notrunc 2>/dev/null
        echo new > d3/new; rm d3/f3; mv d0/f4 d3/moved; chmod 751 d1/f5; truncate -s 1000 d2/f6
        mkdir deep; mv d3 deep/d3; ln d1/f9 d1/f9-too""")
    # Hidden: neither size nor time say so.
    pair.a.run("sh", "-ec", f"""cd {pair.mount}; touch -r d1/f1 {pair.root}/time
        printf y | dd of=d1/f1 bs=1 seek=70000 conv=notrunc 2>/dev/null; touch -r {pair.root}/time d1/f1""")


def case_from_a_hot_backup_only_what_was_changed_since(pair):
    seeded(pair)
    compared, copied = follow(pair, policy(BACKUP_SECONDARY, "nov28"))
    # f1, f2: a zone each; f9 as a whole, by both names; d3 has a new place, so all below it is sent.
    assert copied < TOTAL / 2 and compared < TOTAL / 8, (compared, copied)
    pair.b.settle(IDLE)
    pair.a.want(PRIMARY, may_be_alone=True)
    pair.a.run("sh", "-ec", f"echo later >> {pair.mount}/d1/f5")
    pair.b.settle(SECONDARY)
    pair.b.synchronised()
    assert_equal(pair)
    assert "synchronise=zones" in open(f"{pair.root}/a.log").read(), "as usual again"


def case_an_orderly_stop_forgets_nothing(pair):
    seeded(pair)
    pair.a.settle(IDLE)
    change_byte(f"{pair.a.data}/d1/f21", 70000)
    assert pair.a.stop() == 0
    pair.a.start()
    pair.a.settle(PRIMARY, may_be_alone=True)
    compared, copied = follow(pair, policy(BACKUP_SECONDARY, "nov28"))
    assert copied < TOTAL / 2 and compared < TOTAL / 4, (compared, copied)


def case_changes_under_way_during_the_backup(pair):
    fill(pair.a.data)
    alone(pair)
    assert choose(pair.a, BACKUP_PRIMARY, "busy") == ""
    writer = pair.a.popen("sh", "-c", f"""cd {pair.mount}; i=0; while [ ! -e stop ]; do i=$((i+1))
        printf $i | dd of=d$((i%4))/f$((i%40)) bs=1 seek=$((i*37)) conv=notrunc,nocreat 2>/dev/null
        echo $i > d$((i%4))/n$i; mv d$((i%4))/n$i d$(((i+1)%4))/n$i; done""")
    try:
        for _ in range(2):  # names go away under it
            subprocess.run(pair.a.enter("sh", "-c", f"cp -a {pair.mount}/. {pair.b.data}/ 2>/dev/null"), check=False)
        let_stamps_age(pair.b.data)
        pair.b.start(policy=policy(BACKUP_SECONDARY, "busy"))
        pair.b.settle(SECONDARY)
        pair.b.synchronised()
    finally:
        pair.a.run("touch", f"{pair.mount}/stop")
        writer.wait(timeout=30)
    assert_equal(pair)
    assert "synchronise=chosen" in open(f"{pair.root}/a.log").read()


def case_from_a_cold_backup_with_changes_before_the_start(pair):
    fill(pair.a.data)
    let_stamps_age(pair.a.data)
    source = policy(BACKUP_PRIMARY, "cold")
    subprocess.run(["cp", "-a", f"{pair.a.data}/.", f"{pair.b.data}/"], check=True)
    let_stamps_age(pair.b.data)
    change_byte(f"{pair.a.data}/d1/f1", 70000)  # on either side, hidden
    target = policy(BACKUP_SECONDARY, "cold")
    change_byte(f"{pair.b.data}/d2/f2", 70000)
    alone(pair, policy=source)
    compared, copied = follow(pair, target)
    assert compared < TOTAL / 8 and copied < 200_000, (compared, copied)


def case_a_cold_backup_that_is_told_to_look_for_nothing(pair):
    fill(pair.a.data)
    subprocess.run(["cp", "-a", f"{pair.a.data}/.", f"{pair.b.data}/"], check=True)
    alone(pair, policy=policy(BACKUP_PRIMARY, "blind", detect=False))
    compared, copied = follow(pair, policy(BACKUP_SECONDARY, "blind", detect=False))
    assert compared == copied == 0, (compared, copied)


def case_what_the_backup_lacks_is_found(pair):
    seeded(pair, "holes")
    os.unlink(f"{pair.b.data}/d1/f13")
    open(f"{pair.b.data}/d1/too-much", "w").close()
    os.truncate(f"{pair.b.data}/d1/f17", 5)
    shutil.rmtree(f"{pair.b.data}/d2")
    os.chmod(f"{pair.b.data}/d0/f8", 0o600)
    follow(pair, policy(BACKUP_SECONDARY, "holes"))


def case_another_uid_or_none_is_compared_in_full(pair):
    seeded(pair)
    compared, copied = follow(pair, policy(BACKUP_SECONDARY, "nov29"))
    assert compared > TOTAL / 2 and copied < TOTAL / 2, (compared, copied)
    assert "external-synchronisation=impossible uid='nov28'" in open(f"{pair.root}/a.log").read()
    assert not os.path.exists(f"{pair.root}/state-b/lost-writes"), "nothing was written there alone"
    pair.b.settle(IDLE)
    pair.a.want(PRIMARY, may_be_alone=True)
    pair.a.wait(lambda r: not r["connected"] and not r["waiting_for_alone"], "alone")
    assert "used before" in choose(pair.a, BACKUP_PRIMARY, "nov28")


def case_a_crash_after_the_backup_is_compared_in_full(pair):
    seeded(pair)
    pair.a.kill()
    pair.a.start()
    pair.a.settle(PRIMARY, may_be_alone=True)
    compared, _ = follow(pair, policy(BACKUP_SECONDARY, "nov28"))
    assert compared > TOTAL / 2, compared


def case_a_backup_is_refused_while_the_secondary_is_there(pair):
    fill(pair.a.data)
    mirrored(pair)
    assert "stop the module there first" in choose(pair.a, BACKUP_PRIMARY, "nov28")
    assert "stop it on this node first" in choose(pair.b, BACKUP_SECONDARY, "nov28")
    assert pair.a.report["backup"] == pair.b.report["backup"] == ""


def parted(pair):
    """b is stopped, and of it nothing is known any more; d1/f1 there was changed long ago, hidden."""
    fill(pair.a.data)
    mirrored(pair)
    pair.b.settle(IDLE)
    assert pair.b.stop() == 0
    change_byte(f"{pair.b.data}/d1/f1", 70000)
    pair.a.want(PRIMARY, may_be_alone=True)
    pair.a.wait(lambda r: not r["connected"], "alone")
    pair.a.kill()
    os.unlink(f"{pair.root}/state-b/replica/journal")
    let_stamps_age(pair.b.data)
    since = time.time_ns()
    pair.a.start()
    pair.a.settle(PRIMARY, may_be_alone=True)
    pair.a.run("sh", "-ec", f"cd {pair.mount}; printf x | dd of=d2/f2 bs=1 seek=150000 conv=notrunc 2>/dev/null; touch -d @1000000000 d2/f2; "
               "echo new > d3/new; rm d3/f3")
    return since


def differing(pair):
    return [line for line in pair.differences() if "mtime" not in line]


def case_by_date_older_files_are_not_looked_into(pair):
    since = parted(pair)
    pair.b.start(policy=policy(DATE, chosen=since))
    pair.b.settle(SECONDARY)
    pair.b.synchronised()
    pair.a.synchronised()
    report = pair.a.report
    assert 0 < report["bytes_compared"] < TOTAL / 8 and report["bytes_copied"] < 300_000, report
    left = differing(pair)
    assert len(left) == 1 and left[0].startswith("d1/f1: content"), left  # what the person answered for


def case_by_date_an_interrupted_one_is_compared_in_full(pair):
    since = parted(pair)
    pair.a.run("sh", "-ec", f"cd {pair.mount}; head -c 3000000 /dev/urandom > big; sync big")
    pair.a.configure(rate=300_000)
    pair.b.start(policy=policy(DATE, chosen=since))
    pair.b.settle(SECONDARY)
    pair.a.wait(lambda r: r["bytes_copied"] > 0, "copies")
    pair.b.kill()
    pair.a.configure()
    pair.b.start()
    pair.b.settle(SECONDARY)
    pair.b.synchronised()
    assert_equal(pair)


def case_bandwidth_is_kept_and_live_writes_are_not_held(pair):
    rate, size = 2 << 20, 10 << 20
    fill(pair.a.data)
    with open(f"{pair.a.data}/big", "wb") as out:
        out.write(os.urandom(size - TOTAL))
    alone(pair, rate=rate)
    began = time.monotonic()
    pair.b.start()
    pair.b.settle(SECONDARY)
    pair.a.wait(lambda r: r["bytes_copied"] > 0, "copies")
    live = time.monotonic()
    pair.a.run("sh", "-ec", f"head -c 8000000 /dev/zero | dd of={pair.mount}/live bs=1M conv=fsync 2>/dev/null")
    live = time.monotonic() - live
    assert not pair.a.report["peer_synchronised"], "it was under way"
    pair.b.synchronised()
    took, copied = time.monotonic() - began, pair.a.report["bytes_copied"]
    assert took > copied / rate * 0.9 and copied >= size - TOTAL, (took, copied / rate)
    assert live < 3, live  # its 8 MB alone would take 4 s
    assert_equal(pair)


def case_without_zones_and_with_a_line_for_each_file(pair):
    fill(pair.a.data)
    mirrored(pair, zones=False, detail=True)
    log = open(f"{pair.root}/a.log").read()
    lines = collections.Counter(re.findall("copied file='([^']*)'", log))
    # Of two names the second is compared beside the first's copying, and may find it not there yet.
    assert 1 <= lines.pop("d0/f0", 0) + lines.pop("d1/second-name", 0) <= 2, log[-2000:]
    assert len(lines) == FILES - 1 and set(lines.values()) == {1} and f"copied file='d1/f5' directory=0 bytes={SIZE}" in log, log[-2000:]
    pair.b.settle(IDLE)
    pair.a.want(PRIMARY, may_be_alone=True)
    since = pair.a.log_size()
    pair.b.settle(SECONDARY)
    pair.b.synchronised()
    pair.a.synchronised()
    assert "synchronise=full" in pair.a.log_since(since) and pair.a.report["bytes_compared"] >= TOTAL, pair.a.report


if __name__ == "__main__":
    run_cases(globals())
