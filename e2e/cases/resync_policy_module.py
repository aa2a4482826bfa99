#!/usr/bin/env python3
"""rfssync and secondforce as commands, on a cluster; and a replicated file system that does not answer."""
import os
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import MIRROR, SAFEKIT, Sandbox, later, note, until  # noqa: E402

DATA = "/srv/data"


def refused(box, node, *words):
    done = subprocess.run([*box.words(node), SAFEKIT, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0, done.stdout
    return done.stderr


def stop(box, node):
    box.safekit(node, "stop", "-m", "app")
    box.wait_state(node, "app", "STOP NotReady")


def policy(box, node):
    return [line.split()[1] for line in box.safekit(node, "rfssync", "-m", "app").splitlines()]


def same(box):
    trees = [box.exec(node, "sh", "-ec", f"cd {DATA}; find . -type f | sort | xargs md5sum") for node in box.nodes]
    assert trees[0] == trees[1], trees


def main():
    directory = tempfile.mkdtemp(prefix="safekit-policy-", dir="/var/tmp")
    later(harness.remove, directory)
    box = Sandbox(f"policy{os.getpid()}", f"{directory}/sandbox")
    for node in box.nodes:
        box.exec(node, "mkdir", DATA)
    box.safekit("node1", "apply", "-f", "-", input=MIRROR + "    checkTimeout: 5s\n    checkInterval: 1s\n")
    box.safekit("node1", "prim", "-m", "app")
    box.wait_state("node1", "app", "ALONE Ready")

    note("from a backup")
    box.exec("node1", "sh", "-ec", f"cd {DATA}; for i in 1 2 3 4 5 6 7 8; do head -c 500000 /dev/urandom > f$i; done")
    assert policy(box, "node1") == ["default"] * 3
    assert "24" in refused(box, "node1", "rfssync", "external", "prim", "x" * 25, "-m", "app")
    box.safekit("node1", "rfssync", "external", "prim", "nov28", "-m", "app")
    assert policy(box, "node1") == ["external", "prim", "nov28"]
    box.exec("node1", "sh", "-ec", f"cd {DATA}; tar cf /srv/backup.tar .; printf x | dd of=f3 bs=1 seek=300000 conv=notrunc; echo new > new")
    tar = subprocess.run([*box.words("node1"), "cat", "/srv/backup.tar"], capture_output=True, check=True).stdout
    subprocess.run([*box.words("node2"), "tar", "xpf", "-", "-C", DATA], input=tar, check=True)
    box.safekit("node2", "rfssync", "external", "second", "nov28", "-m", "app")
    box.safekit("node2", "start", "-m", "app")
    box.wait_pair("app")
    for node in box.nodes:
        until(lambda: policy(box, node) == ["default"] * 3, 10, lambda: f"the default again: {policy(box, node)}")
    same(box)
    copied = int(box.safekit("node1", "get", "-m", "app", "-r", "rfs.rei_copy_size_metric"))
    assert copied < 500, f"{copied} KB copied"
    assert "ALONE" in refused(box, "node1", "rfssync", "external", "prim", "dec1", "-m", "app")
    assert "stopped" in refused(box, "node2", "rfssync", "external", "second", "dec1", "-m", "app")

    note("by date, and in full")
    stop(box, "node2")
    box.wait_state("node1", "app", "ALONE Ready")
    box.exec("node1", "sh", "-ec", f"echo more >> {DATA}/f4")
    assert "date" in refused(box, "node2", "secondforce", "-d", "yesterday", "-m", "app")
    box.safekit("node2", "secondforce", "-d", "2020-01-01 00:00:00Z", "-m", "app")
    box.wait_pair("app")
    same(box)
    stop(box, "node2")
    box.safekit("node2", "rfssync", "full", "-m", "app")
    assert policy(box, "node2")[0] == "full"
    box.safekit("node2", "start", "-m", "app")
    box.wait_pair("app")
    until(lambda: policy(box, "node2") == ["default"] * 3, 10, "the default again")

    note("a replicated file system that does not answer")
    stop(box, "node2")
    box.wait_state("node1", "app", "ALONE Ready")
    pid = box.pids("node1", "safekit-replica")[0]
    box.exec("node1", "kill", f"-{int(signal.SIGSTOP)}", pid)
    until(lambda: "does not answer" in box.safekit("node1", "log", "-m", "app"), 30, "that is noticed")
    box.exec("node1", "kill", f"-{int(signal.SIGCONT)}", pid)
    until(lambda: box.pids("node1", "safekit-replica") not in ([], [pid]), 30, "another replica")
    box.wait_state("node1", "app", "ALONE Ready")
    box.exec("node1", "sh", "-ec", f"echo again >> {DATA}/f4")


harness.test_main(main)
