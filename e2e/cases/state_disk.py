#!/usr/bin/env python3
"""The disk of a replica's own files, journal and log of activity, is full or refuses. The application goes on, or is told by an error
that nothing was done; no acknowledged append is missing; and all is as before once the disk takes writes again."""
import os, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from replica_clients import Appends
from replica_nodes import PRIMARY, SECONDARY, assert_equal, mirrored, run_cases

SOON = 20


class StateDisk:
    """A small file system of its own for what a node's replica keeps."""

    def __init__(self, node):
        self.node, self.at = node, f"{node.pair.root}/state-{node.name}"
        image = f"{self.at}.img"
        node.run("sh", "-ec", f"truncate -s 4m {image}; mkfs.ext4 -q -b 1024 -O ^has_journal {image}; mount -o loop {image} {self.at}; "
                              f"mkdir {self.at}/replica")

    def fill(self):
        self.node.run("sh", "-c", f"cat /dev/zero > {self.at}/filler 2>/dev/null; echo 2>/dev/null >> {self.at}/filler; "
                                  f"for i in $(seq 2000); do echo $i > {self.at}/filler-$i 2>/dev/null || break; done; :")

    def free(self):
        self.node.run("sh", "-c", f"rm {self.at}/filler*")

    def refuse(self):
        self.node.run("sh", "-ec", f"mount --bind {self.at} {self.at}; mount -o remount,bind,ro {self.at}")

    def obey(self):
        self.node.run("umount", self.at)


def touch_much(node, name):
    """More than the log has room for without growing."""
    node.run("sh", "-ec", f"cd {node.pair.mount}; for i in $(seq 200); do mkdir {name}$i; done; sync {name}1")


def lose(primary, secondary):
    secondary.kill()
    primary.wait(lambda r: not r["connected"], "the loss is noticed", SOON)
    primary.want(PRIMARY, may_be_alone=True)


def follow(primary, secondary):
    secondary.start()
    secondary.settle(SECONDARY)
    primary.synchronised()
    secondary.synchronised()
    primary.want(PRIMARY)


def protected_again(node, since):
    """What a crash leaves in doubt is known again."""
    node.wait_for_log("log=begun-anew", since, SOON)
    node.wait_for_log("checkpoint=", since + node.log_since(since).index("log=begun-anew"), SOON)
    node.wait(lambda r: "make room" not in r["problem"], "the problem is over", SOON)


def case_full_on_the_primary(pair):
    disk = StateDisk(pair.a)
    mirrored(pair)
    appends, since = Appends(pair.a), pair.a.log_size()
    appends.wait_for(20)
    disk.fill()
    touch_much(pair.a, "full")
    pair.a.wait_for_log("log=unusable", since)
    pair.a.wait(lambda r: "make room" in r["problem"] and not r["fatal"], "what is to be done", SOON)
    appends.wait_for(20)
    lose(pair.a, pair.b)  # a new data generation has to be noted
    appends.wait_for(20)
    follow(pair.a, pair.b)
    appends.wait_for(20)
    assert not pair.a.report["fatal"], pair.a.report
    disk.free()
    protected_again(pair.a, since)
    appends.wait_for(20)
    for node in (pair.a, pair.b):
        node.kill()
    appends.end()
    since = pair.a.log_size()
    pair.a.start()
    pair.a.settle(PRIMARY, may_be_alone=True)
    follow(pair.a, pair.b)
    made = pair.a.log_since(since)
    assert "synchronise=zones reason='what was touched since the last checkpoint is known'" in made, made
    assert_equal(pair)
    appends.check(pair.a.data)


def case_full_on_the_secondary(pair):
    disk = StateDisk(pair.b)
    mirrored(pair)
    appends = Appends(pair.a)
    appends.wait_for(20)
    disk.fill()
    touch_much(pair.a, "full")
    lose(pair.a, pair.b)
    appends.wait_for(20)
    follow(pair.a, pair.b)
    appends.wait_for(20)
    pair.a.kill()
    appends.end()
    since = pair.b.log_size()
    pair.b.settle(PRIMARY, may_be_alone=True)  # what it needs to know is in its journal, what it could not begin is a log
    pair.b.wait_for_log("log=unusable", since)
    more = Appends(pair.b, "more")
    more.wait_for(20)
    disk.free()
    pair.b.wait_for_log("log=begun-anew", since, SOON)
    follow(pair.b, pair.a)
    more.wait_for(20)
    more.end()
    assert_equal(pair)
    for client in (appends, more):
        client.check(pair.b.data)


def case_refused_on_the_primary(pair):
    """Nothing can be noted: nothing is changed either, and the control plane is told to move the service."""
    disk = StateDisk(pair.a)
    mirrored(pair)
    appends = Appends(pair.a)
    appends.wait_for(20)
    disk.refuse()
    lose(pair.a, pair.b)
    pair.a.wait(lambda r: r["fatal"] and "Read-only file system" in r["problem"], "the role has failed", SOON)
    appends.process.wait(timeout=SOON)  # by an error
    before = os.listdir(pair.a.data)
    for change in ("echo x > new", "mkdir new", "rm appended", "mv appended new", "chmod 600 appended", "truncate -s 1 appended"):
        done = subprocess.run(pair.a.enter("sh", "-c", f"cd {pair.mount}; {change}"), stderr=subprocess.PIPE, text=True)
        assert done.returncode != 0 and "Input/output error" in done.stderr, (change, done)
    assert os.listdir(pair.a.data) == before
    disk.obey()
    pair.a.wait(lambda r: not r["fatal"] and "Read-only" not in r["problem"], "it serves again", SOON)
    more = Appends(pair.a, "more")
    more.wait_for(20)
    follow(pair.a, pair.b)
    more.wait_for(20)
    more.end()
    assert_equal(pair)
    for client in (appends, more):
        client.check(pair.a.data)


def case_refused_on_the_secondary(pair):
    """It cannot note how far it is: the primary goes on without it."""
    disk = StateDisk(pair.b)
    mirrored(pair)
    appends = Appends(pair.a)
    appends.wait_for(20)
    disk.refuse()
    pair.b.kill_replica()
    pair.a.wait(lambda r: not r["connected"], "the loss is noticed", SOON)
    pair.a.want(PRIMARY, may_be_alone=True)
    appends.wait_for(20)
    disk.obey()
    pair.b.start()
    disk.refuse()
    pair.b.want(SECONDARY)
    pair.b.wait(lambda r: "Read-only file system" in r["problem"], "why it does not follow", SOON)
    appends.wait_for(20)
    disk.obey()
    pair.b.want(SECONDARY)
    pair.a.synchronised()
    pair.b.synchronised()
    appends.wait_for(20)
    appends.end()
    assert_equal(pair)
    appends.check(pair.a.data)


run_cases(dict(globals()))
