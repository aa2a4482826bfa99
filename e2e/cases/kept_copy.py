#!/usr/bin/env python3
"""The primary is lost for good in the middle of a synchronisation: the last consistent copy was kept, and comes back as it was."""
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from replica_nodes import IDLE, PRIMARY, SECONDARY, assert_equal, describe, mirrored, run_cases

NEVER, AUTO, ALWAYS = 0, 1, 2
SOON = 20
NEW_BYTES = 16 << 20
SLOW = 2 << 20  # bytes a second


def prepare(pair, shares):
    """Each node's data lies in a directory of a file system of its own, which can share blocks or cannot."""
    disk, under = f"{pair.root}/disk", f"{pair.root}/under"
    os.makedirs(disk)
    os.makedirs(under)
    for node in (pair.a, pair.b):
        if shares:
            image = f"{pair.root}/{node.name}.xfs"
            node.run("sh", "-ec", f"truncate -s 400m {image}; mkfs.xfs -q -m reflink=1 {image}; mount -o loop {image} {disk}")
        else:
            os.makedirs(f"{pair.root}/disk-{node.name}")
            node.run("mount", "--bind", f"{pair.root}/disk-{node.name}", disk)
        node.run("sh", "-ec", f"mkdir {disk}/data; mount --bind {disk} {under}")
        node.data = f"/proc/{node.keeper.pid}/root{under}/data"  # below whatever is mounted over the directory
    pair.mount = f"{disk}/data"


def beside(node):
    return sorted(name for name in os.listdir(os.path.dirname(node.data)) if name.startswith(".safekit-"))


def fill(node):
    node.run("sh", "-ec", f"""cd {node.pair.mount}; for d in $(seq 20); do mkdir d$d; for f in $(seq 20); do echo $d $f > d$d/f$f; done; done
        head -c 3000000 /dev/urandom > big; ln big d1/big-too; ln -s nowhere link; mkfifo fifo; setfattr -n user.a -v b d2/f2
        chown 3:4 d3/f3; chmod 640 d3/f3; truncate -s 1G sparse; echo end >> sparse; sync .""")


def change(node):
    node.run("sh", "-ec", f"""cd {node.pair.mount}; rm -r d4; mv d5 d6/moved; echo new > d1/f1; rm link d1/big-too; chmod 600 d3/f3
        echo x | dd of=big bs=1 seek=1000000 conv=notrunc 2>/dev/null; truncate -s 5 sparse
        mkdir new; for i in $(seq 16); do head -c {NEW_BYTES // 16} /dev/urandom > new/$i; done; sync .""")


def part_is_copied(node):
    files = [f"{node.data}/new/{i}" for i in range(1, 17)]
    return not os.path.exists(f"{node.data}/d4") and any(os.path.exists(path) and os.path.getsize(path) for path in files)


def lost_in_the_middle(pair, snapshot):
    """b is half synchronised and a is gone; returns what b had before."""
    settings = {"snapshot": snapshot}
    pair.a.start(rate=SLOW, **settings)
    pair.b.start(**settings)
    pair.a.settle(PRIMARY, may_be_alone=True)
    fill(pair.a)
    pair.b.settle(SECONDARY)
    pair.a.synchronised()
    pair.b.synchronised()
    assert_equal(pair)
    pair.b.settle(IDLE)
    assert pair.b.stop() == 0
    before = describe(pair.b.data, True)
    pair.a.wait(lambda r: not r["connected"], "the loss is noticed", SOON)
    pair.a.want(PRIMARY, may_be_alone=True)
    change(pair.a)
    pair.b.start(**settings)
    pair.b.settle(SECONDARY, out_of_date=True)
    pair.b.settle(SECONDARY)
    pair.b.wait(lambda r: r["inconsistent"] and r["restorable"] and part_is_copied(pair.b), "a part is copied, and what was is kept", SOON)
    assert not pair.a.report["peer_synchronised"], pair.a.report
    pair.a.kill()
    pair.b.settle(IDLE)
    assert pair.b.report["inconsistent"] and not pair.b.report["up_to_date"], pair.b.report
    assert describe(pair.b.data, True) != before
    return before


def comes_back(pair, snapshot):
    before = lost_in_the_middle(pair, snapshot)
    pair.b.kill()  # it is on the disk
    pair.b.start(snapshot=snapshot)
    since = pair.b.log_size()
    pair.b.settle(PRIMARY, may_be_alone=True, force=True)
    pair.b.wait_for_log("last-consistent-copy=put-back", since)
    assert not pair.b.report["inconsistent"] and not pair.b.report["restorable"]
    found = describe(pair.b.data, True)
    assert found == before, [path for path in found.keys() | before.keys() if found.get(path) != before.get(path)]
    pair.b.run("sh", "-ec", f"cd {pair.mount}; echo goes-on > d1/f1; sync d1/f1")
    pair.a.start(snapshot=snapshot)
    pair.a.settle(SECONDARY)
    pair.a.synchronised()
    pair.b.synchronised()
    assert_equal(pair)
    assert open(f"{pair.a.data}/d1/f1").read() == "goes-on\n"
    nothing_is_left(pair.a, pair.b)


def nothing_is_left(*nodes):
    for node in nodes:
        node.wait(lambda r: not beside(node), "what was kept is removed", SOON)


def case_blocks_are_shared(pair):
    prepare(pair, True)
    comes_back(pair, AUTO)


def case_copied_where_asked_for(pair):
    prepare(pair, False)
    comes_back(pair, ALWAYS)


def case_a_return_is_broken_off(pair):
    prepare(pair, True)
    before = lost_in_the_middle(pair, AUTO)
    pair.b.run("mount", "-t", "tmpfs", "none", pair.mount)  # in the way of the rename
    pair.b.want(PRIMARY, may_be_alone=True, force=True)
    pair.b.wait(lambda r: "cannot be put back" in r["problem"], "it fails", SOON)
    pair.b.kill()
    pair.b.run("sh", "-ec", f"umount {pair.mount}; cd {pair.root}/disk; mv data .safekit-old.data")  # as far as it may have come
    pair.b.start(snapshot=AUTO)
    pair.b.settle(IDLE)
    assert describe(pair.b.data, True) == before
    assert not pair.b.report["inconsistent"] and not pair.b.report["up_to_date"], pair.b.report
    nothing_is_left(pair.b)


def case_one_that_the_journal_does_not_name_goes(pair):
    """A crash between the clone and the note of it, or between the end of the synchronisation and the removal. Not where the journal
    is new: then it may be the only copy that is whole."""
    prepare(pair, False)
    pair.b.run("sh", "-ec", f"mkdir -p {pair.root}/disk/.safekit-kept.data/d1; echo old > {pair.root}/disk/.safekit-kept.data/d1/f1")
    assert beside(pair.b)
    mirrored(pair, snapshot=NEVER)
    assert beside(pair.b) == [".safekit-kept.data"] and os.path.exists(f"{pair.root}/disk-b/.safekit-kept.data/d1/f1")
    pair.b.settle(IDLE)
    assert pair.b.stop() == 0
    pair.b.start(snapshot=NEVER)
    nothing_is_left(pair.b)


def case_an_ended_synchronisation_keeps_nothing(pair):
    for node in (pair.a, pair.b):
        assert not beside(node)
    prepare(pair, True)
    mirrored(pair, snapshot=AUTO)
    fill(pair.a)
    for times in range(2):
        pair.b.kill()
        pair.a.wait(lambda r: not r["connected"], "the loss is noticed", SOON)
        pair.a.want(PRIMARY, may_be_alone=True)
        pair.a.run("sh", "-ec", f"cd {pair.mount}; echo {times} > d1/f1; sync d1/f1")
        since = pair.b.log_size()
        pair.b.start(snapshot=AUTO)
        pair.b.settle(SECONDARY)
        pair.a.synchronised()
        pair.b.synchronised()
        pair.b.wait_for_log("last-consistent-copy=kept", since)
        assert not pair.b.report["restorable"]
        nothing_is_left(pair.b)
    assert_equal(pair)


def case_the_synchronisation_needs_the_room(pair):
    prepare(pair, True)
    mirrored(pair, snapshot=AUTO)
    pair.a.run("sh", "-ec", f"cd {pair.mount}; head -c 180000000 /dev/urandom > big; sync big")
    pair.b.kill()
    pair.a.wait(lambda r: not r["connected"], "the loss is noticed", SOON)
    pair.a.want(PRIMARY, may_be_alone=True)
    pair.a.run("sh", "-ec", f"cd {pair.mount}; head -c 180000000 /dev/urandom | dd of=big conv=notrunc bs=1M iflag=fullblock 2>/dev/null; sync big")
    since = pair.b.log_size()
    pair.b.start(snapshot=AUTO)
    pair.b.settle(SECONDARY)
    pair.a.synchronised()
    pair.b.synchronised()
    assert "last-consistent-copy=given-up" in pair.b.log_since(since)
    nothing_is_left(pair.b)
    assert_equal(pair)


def case_nothing_is_kept_unasked(pair):
    prepare(pair, False)
    for snapshot in (AUTO, NEVER):
        since = pair.b.log_size()
        mirrored(pair, snapshot=snapshot)
        pair.b.kill()
        pair.a.wait(lambda r: not r["connected"], "the loss is noticed", SOON)
        pair.a.want(PRIMARY, may_be_alone=True)
        pair.a.run("sh", "-ec", f"cd {pair.mount}; echo {snapshot} > new; sync new")
        pair.b.start(snapshot=snapshot)
        pair.b.settle(SECONDARY)
        pair.a.synchronised()
        pair.b.synchronised()
        assert "last-consistent-copy" not in pair.b.log_since(since)
        for node in (pair.a, pair.b):
            node.settle(IDLE)
            assert node.stop() == 0
    assert_equal(pair)


run_cases(dict(globals()))
