#!/usr/bin/env python3
"""What a module says of old copies (`syncDelta`), of dates of synchronisations (`syncAt`) and of callbacks, and what the metrics say,
on a cluster. Usage: sync_rules.py [CASE...]"""
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
        os.makedirs(f"{directory}/module/bin")
        files = {"module.yaml": MIRROR + settings} | ({"bin/_rfs_callback": CALLBACK} if "scripts" in settings else {})
        for name, text in files.items():
            with open(f"{directory}/module/{name}", "w") as out:
                out.write(text)
            os.chmod(f"{directory}/module/{name}", 0o755)
        self.box.safekit("node1", "apply", "-f", f"{directory}/module")

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


def case_metrics_say_what_goes_on(w):
    files, size, rate = 20, 400_000, 2000
    w.do("node1", f"mkdir -p a/b c; for i in $(seq {files}); do head -c {size} /dev/urandom > a/b/f$i; done")
    w.command("node1", "prim")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.command("node2", "start")
    until(lambda: int(w.value("node1", "rfs.rei_bandwidth") or 0) > rate / 4, 30, "a synchronisation is seen")
    def estimate():
        value = w.value("node1", "rfs.rei_left_time_metric")
        return value if value.isdigit() else None
    left = until(estimate, 10, "it can be said how long it takes")
    assert int(left) <= 60, left
    w.box.wait_pair("app")
    until(lambda: int(w.value("node1", "rfs.rei_copy_size_metric")) == files * size // 1024, 5, "the last report")
    metrics = {name: w.value("node1", f"rfs.rei_{name}_metric") for name in
               ("scan_count", "copy_count", "copy_time", "scan_time", "syncdir_count", "left_time")}
    note(f"    {metrics}")
    assert metrics["scan_count"] == metrics["copy_count"] == str(files) and metrics["syncdir_count"] == "4/4", metrics
    assert int(metrics["copy_time"]) >= files * size / 1024 / rate - 2 and metrics["left_time"] == "0", metrics
    assert int(metrics["scan_time"]) <= int(metrics["copy_time"]), metrics
    assert w.value("node1", "rfs.reintegre_failed") == w.value("node2", "rfs.reintegre_failed") == "false"
    received = int(w.value("node2", "rfs.rei_copy_size_metric"))
    assert received == files * size // 1024 and w.value("node2", "rfs.rei_copy_count_metric") == str(files), received
    for resource in ("rei_bandwidth", "netout_bandwidth"):
        until(lambda: w.value("node1", f"rfs.{resource}") == "0", 10, f"{resource} is 0 again")

    note("    live writes")
    writer = subprocess.Popen([*w.box.words("node1"), "sh", "-c",
                               f"for i in $(seq 60); do head -c 200000 /dev/zero > {DATA}/live; sync {DATA}/live; sleep 0.1; done"])
    for node, resource in (("node1", "rep_bandwidth"), ("node1", "netout_bandwidth"), ("node2", "netin_bandwidth")):
        until(lambda: int(w.value(node, f"rfs.{resource}")) > 100, 10, f"{resource} of {node}")
    assert w.value("node1", "rfs.rei_bandwidth") == "0"
    writer.wait(timeout=60)
    assert "rfs.rep_bandwidth" in w.command("node1", "state", "-v")


CALLBACK = f"""#!/bin/sh
echo "$1 on $(hostname)" >>{PRIVATE}/called
exit $(cat {PRIVATE}/code 2>/dev/null || echo 0)
"""


def case_callbacks_are_run_and_obeyed(w):
    """`_rfs_callback` of the module, before a synchronisation and when a primary becomes secondary."""
    def called(node):
        return w.box.exec(node, "sh", "-c", f"cat {PRIVATE}/called 2>/dev/null; true").split("\n")[:-1]

    def words(node):
        return [line.split()[0] for line in called(node)]
    w.pair()
    assert words("node1") == [] and words("node2") == ["_rfs_startsynch"], (called("node1"), called("node2"))
    note("    a swap")
    w.command("node1", "swap")
    w.box.wait_state("node2", "app", "PRIM Ready")
    w.box.wait_state("node1", "app", "SECOND Ready")
    assert words("node1") == ["_rfs_pritoscd"] and words("node2") == ["_rfs_startsynch"], (called("node1"), called("node2"))
    note("    one that refuses")
    w.command("node1", "stop")
    w.box.wait_state("node1", "app", "STOP NotReady")
    w.box.wait_state("node2", "app", "ALONE Ready")
    w.do("node2", "echo new > new; sync")
    w.box.exec("node1", "sh", "-c", f"echo 2 >{PRIVATE}/code")
    w.command("node1", "start")
    until(lambda: "callback _rfs_startsynch ended with exit code 2" in w.command("node1", "state", "-v"), 30, "the reason is shown")
    w.box.wait_state("node1", "app", "STOP NotReady")
    assert w.box.exec("node1", "ls", DATA).split() == [], "nothing was synchronised"
    w.box.wait_state("node2", "app", "ALONE Ready")
    w.box.exec("node1", "rm", f"{PRIVATE}/code")
    w.command("node1", "start")
    w.box.wait_pair("app")
    w.equal_copies()


SETTINGS = {case_metrics_say_what_goes_on: "    resyncBandwidthKb: 2000\n",
            case_callbacks_are_run_and_obeyed: "    callbacks: true\n  scripts:\n    directory: bin\n",
            case_a_secondary_is_synchronised_at_dates: "    syncAt: 30 1 * * *\n",
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
