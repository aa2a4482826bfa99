#!/usr/bin/env python3
"""The primary of a module is lost for good in the middle of a synchronisation; `safekit prim` brings the last consistent copy back."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import MIRROR, Sandbox, later, note, until  # noqa: E402

DATA = "/srv/data"


def case_prim_brings_it_back():
    directory = tempfile.mkdtemp(prefix="safekit-kept-", dir="/var/tmp")
    later(harness.remove, directory)
    box = Sandbox(f"kept{os.getpid()}", f"{directory}/sandbox")
    for node in box.nodes:
        box.exec(node, "mkdir", DATA)
    applied = box.safekit("node1", "apply", "-f", "-", input=MIRROR + "    snapshot: always\n    resyncBandwidthKb: 2000\n")
    note(applied)
    box.safekit("node1", "prim", "-m", "app")
    box.wait_state("node1", "app", "ALONE Ready")
    box.exec("node1", "sh", "-ec", f"cd {DATA}; mkdir d; echo old > d/file; echo kept > gone; sync .")
    box.safekit("node2", "start", "-m", "app")
    box.wait_pair("app")
    box.safekit("node2", "stop", "-m", "app")
    box.wait_state("node2", "app", "STOP NotReady")
    box.wait_state("node1", "app", "ALONE Ready")
    before = f"{directory}/before"
    harness.sh("cp", "-a", box.root("node2", DATA), before)
    box.exec("node1", "sh", "-ec", f"cd {DATA}; echo new > d/file; rm gone; for i in $(seq 16); do head -c 1000000 /dev/urandom > $i; done; sync .")
    box.safekit("node2", "start", "-m", "app")
    until(lambda: "OldCopyKept" in box.safekit("node2", "state", "-v", "-m", "app"), 30, "the condition is there")
    until(lambda: not os.path.exists(box.root("node2", f"{DATA}/gone")), 30, "the copy is changed")
    box.call("kill", "node1")
    box.safekit("node2", "stop", "-m", "app")
    box.wait_state("node2", "app", "STOP NotReady")
    assert harness.compare_trees(before, box.root("node2", DATA))
    until(lambda: all(box.safekit("node2", "get", "-m", "app", "-r", f"heartbeat.{lan}", check=False).strip() == "down"
                      for lan in ("default", "replication")), 20, "the other node is known to be silent")
    box.safekit("node2", "prim", "-m", "app")
    box.wait_state("node2", "app", "ALONE Ready")
    different = harness.compare_trees(before, box.root("node2", DATA))
    assert not different, different
    assert "The last consistent copy of the data is put back" in box.safekit("node2", "log", "-A", "-m", "app")
    assert "OldCopyKept" not in box.safekit("node2", "state", "-v", "-m", "app")
    box.exec("node2", "sh", "-ec", f"cd {DATA}; echo goes-on > d/file; sync d/file")
    note("    the old primary comes back: what it alone had is set aside")
    box.call("start", "node1")
    until(lambda: box.state("node1", "app"), 20, "safekitd answers")
    box.safekit("node1", "start", "-m", "app")
    assert box.wait_pair("app") == ("node2", "node1")
    assert "node1" in box.safekit("node1", "lost-writes", "list", "-m", "app")


def main():
    for name, case in list(globals().items()):
        if name.startswith("case_") and (not sys.argv[1:] or name in sys.argv[1:]):
            note(name)
            case()


if __name__ == "__main__":
    harness.test_main(main)
