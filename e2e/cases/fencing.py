#!/usr/bin/env python3
"""A witness that is a program: who has switched the other node off goes on (docs/witness.md, "Fencing"). Here it asks the test to cut the
power. Usage: fencing.py"""
import os
import sys
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [f"{HERE}/acceptance", HERE, os.path.dirname(HERE)]
from harness import later  # noqa: E402
from world import World, run, until  # noqa: E402

NETWORKS = ("default", "replication")
PROGRAM = """#!/bin/sh
echo "$*" >> {desk}/asked
[ -e {desk}/fails ] && echo "no route to the power switch" && exit 1
[ "$2" = secondary ] && sleep 5
: > {desk}/off-$1
while [ -e {desk}/off-$1 ]; do sleep 0.05; done
"""


class Switch:
    """Cuts the power of a node whose name a program has put on the desk, after `delay` seconds."""

    def __init__(self, w):
        self.w, self.desk, self.delay, self.stopped = w, f"{w.directory}/desk", 0, False
        os.mkdir(self.desk)
        self.program = f"{self.desk}/fence"
        with open(self.program, "w") as out:
            out.write(PROGRAM.format(desk=self.desk))
        os.chmod(self.program, 0o755)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
        later(self.end)

    def end(self):
        self.stopped = True
        self.thread.join()

    def serve(self):
        while not self.stopped:
            for node in self.w.box.nodes:
                if os.path.exists(f"{self.desk}/off-{node}"):
                    time.sleep(self.delay)
                    self.w.box.call("kill", node)
                    os.unlink(f"{self.desk}/off-{node}")
            time.sleep(0.02)

    def asked(self):
        return open(f"{self.desk}/asked").read().split("\n")[:-1] if os.path.exists(f"{self.desk}/asked") else []

    def forget(self):
        if os.path.exists(f"{self.desk}/asked"):
            os.unlink(f"{self.desk}/asked")

    def fail(self, on):
        if on:
            open(f"{self.desk}/fails", "w").close()
        else:
            os.unlink(f"{self.desk}/fails")


def cut(w):
    for network in NETWORKS:
        w.box.call("cut", network, "node1", "--silent")


def prepare(w):
    w.switch = Switch(w)
    w.apply(module=f"  checkers: {{splitBrain: {{ident: w, exec: fence, witnesses: [{w.switch.program}]}}}}\n")
    w.command("node1", "prim")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.command("node2", "second", "fullsync")
    w.states("PRIM Ready", "SECOND Ready")
    until(lambda: w.value("node1", "splitbrain.w") == "up", 20, lambda: w.value("node1", "splitbrain.w"))


def a_primary_that_dies_is_switched_off(w):
    w.box.call("kill", "node1")
    w.box.wait_state("node2", "app", "ALONE Ready")
    w.said("node2", "is to switch 'node1' off", "'node1' is switched off", "Resource splitbrain.uptodate set to up",
           "Action alone called by heart: no heartbeat", "Script start_prim")
    assert w.switch.asked() == ["node1 secondary"], w.switch.asked()
    w.boot("node1")
    w.command("node1", "start")
    w.states("SECOND Ready", "PRIM Ready")
    w.command("node1", "swap")
    w.states("PRIM Ready", "SECOND Ready")


def of_two_that_are_cut_off_the_primary_is_the_first(w):
    """It holds its writes as long as the other one may take over, and its application runs on."""
    w.switch.forget()
    w.switch.delay = 4  # longer than any other witness is waited for
    began = time.monotonic()
    cut(w)
    w.do("node1", "echo held > written-alone; sync written-alone")
    assert time.monotonic() - began >= w.switch.delay, "acknowledged before the other one was off"
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.said("node1", "is to switch 'node2' off", "'node2' is switched off", "Local state ALONE Ready")
    w.silent("node1", "Script stop_prim", "Local state WAIT")
    assert sorted(w.switch.asked()) == ["node1 secondary", "node2 primary"], w.switch.asked()
    w.switch.delay = 0


def who_was_switched_off_waits(w):
    """It is back, and the networks are cut still."""
    w.switch.forget()
    w.boot("node2")
    w.command("node2", "start")
    until(lambda: w.box.state("node2", "app") == "WAIT NotReady", 30, lambda: w.box.state("node2", "app"))
    w.silence("node2")
    assert w.box.state("node1", "app") == "ALONE Ready"
    assert w.switch.asked() == [], w.switch.asked()
    w.box.call("heal")
    w.states("PRIM Ready", "SECOND Ready")
    w.equal()


def a_failure_is_a_no(w):
    """The secondary might have taken over, by a person's word: the primary's copy is in doubt, and it waits."""
    w.switch.forget()
    w.switch.fail(True)
    w.box.call("kill", "node2")
    w.box.wait_state("node1", "app", "WAIT NotReady")
    w.said("node1", "'node2' was not switched off", "no route to the power switch", "Action wait from failover rule splitbrain_failure",
           "Script stop_prim", "Local state WAIT NotReady")
    assert "no route to the power switch" in w.command("node1", "why"), w.command("node1", "why")
    w.switch.fail(False)
    w.boot("node2")
    w.command("node2", "start")
    w.states("PRIM Ready", "SECOND Ready")


def who_has_the_newest_copy_tries_again(w):
    """And what was switched off, was heard again and is silent, is switched off anew."""
    w.box.call("kill", "node2")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.boot("node2")
    until(lambda: w.value("node1", "state.remote").startswith("STOP"), 20, lambda: w.value("node1", "state.remote"))
    w.stop("node1")
    w.switch.forget()
    w.switch.fail(True)
    w.box.call("kill", "node2")
    w.silence("node1")
    w.command("node1", "start")
    w.box.wait_state("node1", "app", "WAIT NotReady")
    w.switch.fail(False)
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.said("node1", "'node2' was not switched off", "Local state WAIT NotReady", "'node2' is switched off", "Local state ALONE Ready")
    assert w.switch.asked() == ["node2 secondary"] * 2, w.switch.asked()
    w.boot("node2")
    w.command("node2", "start")
    w.states("PRIM Ready", "SECOND Ready")


def who_has_stopped_in_order_is_left_alone(w):
    w.switch.forget()
    w.stop("node2")
    w.box.wait_state("node1", "app", "ALONE Ready")
    cut(w)
    w.silence("node1")
    w.do("node1", "echo still > written-while-the-other-one-is-down; sync written-while-the-other-one-is-down")
    assert w.box.state("node1", "app") == "ALONE Ready"
    assert w.switch.asked() == [], w.switch.asked()
    w.box.call("heal")
    w.command("node2", "start")
    w.states("PRIM Ready", "SECOND Ready")
    w.equal()


CASES = (a_primary_that_dies_is_switched_off, of_two_that_are_cut_off_the_primary_is_the_first, who_was_switched_off_waits,
         a_failure_is_a_no, who_has_the_newest_copy_tries_again, who_has_stopped_in_order_is_left_alone)

if __name__ == "__main__":
    run("fencing", CASES, prepare)
