#!/usr/bin/env python3
"""What a module says of old copies (`syncDelta`) and of the dates of synchronisations (`syncAt`), on a cluster. Usage: sync_rules.py [CASE...]"""
import os
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import MIRROR, Sandbox, later, note, until  # noqa: E402

DATA, PRIVATE = "/srv/data", "/etc/safekit-e2e"


class World:
    """A cluster with a module, which runs nowhere yet."""

    def __init__(self, settings):
        directory = tempfile.mkdtemp(prefix="safekit-sync-rules-", dir="/var/tmp")
        later(harness.remove, directory)
        self.box = Sandbox(f"rules{os.getpid()}", f"{directory}/sandbox", private=("/srv", PRIVATE))
        for node in self.box.nodes:
            self.box.exec(node, "mkdir", DATA)
        self.applied = self.box.safekit("node1", "apply", "-f", "-", input=MIRROR + settings)

    def command(self, node, *words):
        return self.box.safekit(node, *words, "-m", "app")

    def value(self, node, resource):
        return self.box.safekit(node, "get", "-m", "app", "-r", resource, check=False).strip()

    def do(self, node, script):
        self.box.exec(node, "sh", "-ec", f"cd {DATA}; {script}")

    def pair(self, first="node1"):
        self.command(first, "prim")
        self.box.wait_state(first, "app", "ALONE Ready")
        self.command(self.box.other(first), "start")
        self.box.wait_pair("app")

    def boot(self, node):
        self.box.call("start", node)
        until(lambda: self.box.state(node, "app"), 20, "safekitd answers")

    def set_clock(self, node, seconds):
        with open(self.box.root(node, f"{PRIVATE}/clock-offset"), "r+b") as out:
            out.write(struct.pack("q", seconds))

    def own_clock(self, node):
        """Until its next boot the node has one (wrong_clock.cpp)."""
        with open(self.box.root(node, f"{PRIVATE}/clock-offset"), "wb") as out:
            out.write(struct.pack("q", 0))
        self.box.exec(node, "sh", "-c", f"echo {harness.BIN}/libsafekit-wrong-clock.so >/etc/ld.so.preload")
        old = self.box.kill_processes(node, "safekitd")
        until(lambda: self.box.pids(node, "safekitd") not in ([], old) and self.box.state(node, "app"), 20, "another safekitd")

    def equal_copies(self):
        trees = [self.box.exec(node, "sh", "-ec", f"cd {DATA}; find . -type f | sort | xargs md5sum") for node in self.box.nodes]
        assert trees[0] == trees[1], trees


def case_an_old_copy_starts_in_silence(w):
    w.pair()
    for node in w.box.nodes:
        until(lambda: w.value(node, "rfs.synced") == "up", 10, "the copies are equal")
    w.do("node1", "echo before > file; sync")
    note("    power loss of both; the former secondary comes first")
    for node in w.box.nodes:
        w.box.call("kill", node)
    w.boot("node2")
    w.command("node2", "start")
    w.box.wait_state("node2", "app", "ALONE Ready")
    log = w.command("node2", "log", "-A")
    assert "set to up by failover rule rfs_forceuptodate" in log and "less than 10m ago" in log, log
    w.do("node2", "grep -q before file; echo after > file")
    w.boot("node1")
    w.command("node1", "start")
    w.box.wait_pair("app")
    w.equal_copies()

    note("    a node that is there is asked, and its answer is waited for")
    w.command("node2", "stop")
    w.box.wait_state("node2", "app", "STOP NotReady")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.command("node1", "stop")
    w.box.wait_state("node1", "app", "STOP NotReady")
    w.command("node2", "start")
    w.box.wait_state("node2", "app", "WAIT NotReady")
    assert w.value("node2", "rfs.synced") == "up"
    note("    until it goes away")
    w.box.call("kill", "node1")
    w.box.wait_state("node2", "app", "ALONE Ready")


def case_a_secondary_is_synchronised_at_dates(w):
    w.own_clock("node2")
    w.do("node1", "echo one > file")
    w.command("node1", "prim")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.command("node2", "start")
    w.box.wait_state("node2", "app", "WAIT NotReady")
    assert "rfs_syncat_wait" in w.command("node2", "log"), w.command("node2", "log")
    assert w.value("node2", "rfs.syncat") == "down" and "set -r rfs.syncat -v up" in w.command("node2", "state", "-v")
    refused = subprocess.run([*w.box.words("node1"), harness.SAFEKIT, "set", "-r", "rfs.syncat", "-v", "up", "-m", "app"],
                             capture_output=True, text=True, timeout=60)
    assert refused.returncode != 0 and "waits for its date" in refused.stderr, refused

    def synchronised(times):
        until(lambda: w.command("node2", "log", "-A").count("set to down by heart") >= times, 60, "it was synchronised")
        w.box.wait_state("node2", "app", "WAIT NotReady")
        w.box.wait_state("node1", "app", "ALONE Ready")
        w.equal_copies()
        assert w.value("node2", "rfs.syncat") == "down"

    note("    when a person wants it")
    w.command("node2", "set", "-r", "rfs.syncat", "-v", "up")
    synchronised(1)
    w.do("node1", "echo two > file; sync")
    note("    at a date: its clock is set to 01:29:58 of tomorrow")
    now = time.localtime()
    w.set_clock("node2", 86400 + (1 * 3600 + 29 * 60 + 58) - (now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec))
    synchronised(2)
    assert "set to up by scheduler" in w.command("node2", "log", "-A")
    w.do("node1", "echo three > file; sync")
    note("    with `second`, and then it waits again")
    w.command("node2", "stop")
    w.box.wait_state("node2", "app", "STOP NotReady")
    w.command("node2", "second")
    synchronised(3)


SETTINGS = {case_a_secondary_is_synchronised_at_dates: "    syncAt: 30 1 * * *\n",
            case_an_old_copy_starts_in_silence: "    syncDelta: 10m\n"}


def main():
    for case, settings in SETTINGS.items():
        if sys.argv[1:] and case.__name__ not in sys.argv[1:]:
            continue
        note(case.__name__)
        w = World(settings)
        try:
            case(w)
        except BaseException:
            w.box.logs()
            raise
        finally:
            harness.clean_up()


harness.test_main(main)
