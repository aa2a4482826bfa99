#!/usr/bin/env python3
"""Somebody writes to the secondary's directory round its read-only mount: log, condition, and roflags=0x10000."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import MIRROR, Sandbox, compare_trees, later, note, until  # noqa: E402

DATA = "/srv/data"


def behind_its_back(box, script):
    box.exec("node2", "unshare", "-m", "sh", "-ec", f"umount {DATA}; cd {DATA}; {script}; exec sleep 0.5")


def main():
    directory = tempfile.mkdtemp(prefix="safekit-outside-", dir="/var/tmp")
    later(harness.remove, directory)
    box = Sandbox(f"outside{os.getpid()}", f"{directory}/sandbox")
    for node in box.nodes:
        box.exec(node, "mkdir", DATA)
    box.safekit("node1", "apply", "-f", "-", input=MIRROR)
    box.safekit("node1", "prim", "-m", "app")
    box.wait_state("node1", "app", "ALONE Ready")
    box.exec("node1", "sh", "-ec", f"echo right > {DATA}/f; sync")
    box.safekit("node2", "start", "-m", "app")
    box.wait_pair("app")

    note("told, and undone")
    behind_its_back(box, "echo wrong > f; : > more")
    until(lambda: "WrittenOutside" in box.safekit("node2", "state", "-v", "-m", "app"), 10, "the condition is told")
    until(lambda: f"not by the replication: '{DATA}/" in box.safekit("node2", "log", "-m", "app"), 10, "the log names it")
    roots = [box.root(node, DATA) for node in box.nodes]
    until(lambda: not compare_trees(*roots), 20, lambda: compare_trees(*roots))
    box.wait_pair("app")

    note("stops")
    box.safekit("node1", "apply", "-f", "-", input=MIRROR + "    writeFlags: 65536\n")
    box.safekit("node2", "stopstart", "-m", "app")
    box.wait_pair("app")
    until(lambda: "WrittenOutside" not in box.safekit("node2", "state", "-v", "-m", "app"), 10, "the condition goes with the role")
    behind_its_back(box, "echo wrong > f")
    box.wait_state("node2", "app", "STOP NotReady", 20)
    assert "roflags" in box.safekit("node2", "log", "-m", "app")
    box.wait_state("node1", "app", "ALONE Ready")
    box.safekit("node2", "start", "-m", "app")
    box.wait_pair("app")
    until(lambda: not compare_trees(*roots), 20, lambda: compare_trees(*roots))


harness.test_main(main)
