#!/usr/bin/env python3
"""rfsverify and rfsdiff on a cluster: from either node, exit codes, condition, and the way to repair that the output names."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import SAFEKIT, Sandbox, later, note, until  # noqa: E402

DATA = "/srv/data"
MIRROR = harness.MIRROR + "    writeFlags: 0\n"  # what is done below is to be found by verifications alone


def command(box, node, *words, input=None):
    done = subprocess.run([*box.words(node), SAFEKIT, *words], input=input, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def behind_its_back(box, node, script):
    """Below the read-only view of the secondary, as who has opened the directory before could do."""
    box.exec(node, "unshare", "-m", "sh", "-ec", f"umount {DATA}; cd {DATA}; {script}")


def main():
    directory = tempfile.mkdtemp(prefix="safekit-verify-", dir="/var/tmp")
    later(harness.remove, directory)
    box = Sandbox(f"verify{os.getpid()}", f"{directory}/sandbox")
    for node in box.nodes:
        box.exec(node, "mkdir", DATA)
    box.safekit("node1", "apply", "-f", "-", input=MIRROR)
    box.safekit("node1", "prim", "-m", "app")
    box.wait_state("node1", "app", "ALONE Ready")
    box.exec("node1", "sh", "-ec", f"cd {DATA}; mkdir d; head -c 3000000 /dev/urandom > d/f; echo x > \"$(printf 'any\\377byte')\"; sync")
    code, out, err = command(box, "node1", "rfsverify", "-m", "app")
    assert code == 1 and "synchronised secondary" in err, (code, out, err)
    code, out, err = command(box, "node1", "rfsdiff", "-m", "app")
    assert code == 0 and "compares everything" in out, (code, out, err)
    box.safekit("node2", "start", "-m", "app")
    box.wait_pair("app")

    note("equal, from both nodes")
    for node in box.nodes:
        code, out, err = command(box, node, "rfsverify", "-m", "app")
        assert code == 0 and "2 files, 2 directories, 3000002 bytes compared: no difference" in out, (code, out, err)
        code, out, err = command(box, node, "rfsdiff", "-m", "app")
        assert code == 0 and "copies 0 bytes of 0 files" in out, (code, out, err)

    note("a changed mode, changed bytes, one file too many, one too few")
    behind_its_back(box, "node2", "chmod 600 d; printf zzzzzzzz | dd of=d/f bs=1 seek=2500000 conv=notrunc; touch -d @1000000000 d/f; : > more; rm any*")
    wanted = {f"{DATA}/d": "mode", f"{DATA}/more": "only on the secondary", f"{DATA}/any\\xffbyte": "missing on the secondary"}
    for node in box.nodes:
        code, out, err = command(box, node, "rfsverify", "-m", "app", "-o", "json")
        found = {one["path"]: one["what"] for one in json.loads(out)["differences"]}
        content = found.pop(f"{DATA}/d/f")
        root = found.pop(DATA, "mtime")  # names came and went
        assert code == 3 and content == "mtime, content" and root == "mtime" and found == wanted, (code, out, err)
    code, out, err = command(box, "node2", "rfsverify", "-m", "app")
    assert code == 3 and f"{DATA}/d: mode\n" in out and "safekit second fullsync -m app" in out, (code, out, err)
    assert command(box, "node1", "-r", "flatlogdump", "-O", "stdout", input=out) == (0, out, "")
    until(lambda: "CopiesDiffer" in box.safekit("node1", "state", "-v", "-m", "app"), 10, "the condition is told")
    assert "Verification: the secondary's copy differs" in box.safekit("node1", "log", "-A", "-m", "app")
    assert box.states("app") == {"node1": "PRIM Ready", "node2": "SECOND Ready"}

    note("repaired")
    box.safekit("node2", "stop", "-m", "app")
    box.wait_state("node1", "app", "ALONE Ready")
    box.exec("node1", "sh", "-ec", f"printf y | dd of={DATA}/d/f bs=1 seek=70000 conv=notrunc,fsync")
    code, out, err = command(box, "node2", "rfsdiff", "-m", "app")
    assert code == 0 and "copies 65536 bytes of 1 files" in out and "Estimated duration: " in out, (code, out, err)
    box.safekit("node2", "second", "fullsync", "-m", "app")
    box.wait_pair("app")
    code, out, err = command(box, "node2", "rfsverify", "-m", "app")
    assert code == 0 and "no difference" in out, (code, out, err)
    until(lambda: "CopiesDiffer" not in box.safekit("node1", "state", "-v", "-m", "app"), 10, "the condition goes")

    note("by the clock")
    behind_its_back(box, "node2", "chmod 601 d/f")
    code, out, err = command(box, "node1", "apply", "-f", "-", input=MIRROR + "    verifyEvery: 2s\n")
    assert code == 0 and "once an hour" in out + err, (code, out, err)
    until(lambda: "CopiesDiffer" in box.safekit("node1", "state", "-v", "-m", "app"), 20, "a verification by the clock finds it")
    assert box.states("app") == {"node1": "PRIM Ready", "node2": "SECOND Ready"}

    note("after a synchronisation, before the secondary is ready; it takes over all the same")
    box.safekit("node1", "apply", "-f", "-", input=MIRROR + "    verifyAfterResync: true\n")
    box.safekit("node2", "stop", "-m", "app")
    box.wait_state("node1", "app", "ALONE Ready")
    box.exec("node1", "truncate", "-s", "200G", f"{DATA}/huge")
    box.safekit("node2", "second", "fullsync", "-m", "app")
    until(lambda: "verifying" in box.safekit("node2", "describe", "module", "app"), 60, "it is verified")
    assert box.states("app") == {"node1": "ALONE Ready", "node2": "SECOND Transient"}
    box.safekit("node1", "rfsverify", "stop", "-m", "app")
    box.wait_pair("app")
    box.safekit("node2", "stop", "-m", "app")
    box.wait_state("node1", "app", "ALONE Ready")
    box.exec("node1", "sh", "-c", f"echo y > {DATA}/written-last; sync {DATA}/written-last")
    box.safekit("node2", "start", "-m", "app")
    until(lambda: "verifying" in box.safekit("node2", "describe", "module", "app"), 60, "it is verified again")
    box.call("kill", "node1")
    box.wait_state("node2", "app", "ALONE Ready", 30)
    assert box.exec("node2", "cat", f"{DATA}/written-last") == "y\n"


harness.test_main(main)
