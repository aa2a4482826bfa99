#!/usr/bin/env python3
"""Both nodes wrote: what the losing side had written alone is set aside, listed, given back, and purged."""
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import MIRROR, Sandbox, later, note, until  # noqa: E402

DATA, MEGA = "/srv/data", 1 << 20
FIRST = f"""
mkdir kept gone deep; echo a > kept/a; echo old > gone/file; echo moved > before; echo both > deleted; echo winners > by-winner
head -c 4194304 /dev/zero | tr '\\0' o > big; cp big untouched; sync; """
# What the losing side does alone.
LOSER = f"""
echo loser | dd of=big bs=1 seek=1048576 conv=notrunc; echo created > created; chmod 640 created; ln created deep/linked
printf x > "$(printf 'any\\377byte')"; mkdir -p new/er; echo deep > new/er/file; ln -s target new/link; mkfifo new/fifo
truncate -s 8G sparse; echo end >> sparse
rm deleted; mv before after; touch -d @1000000000 created; sync"""
WINNER = """echo winner > kept/a; rm by-winner; echo winner | dd of=untouched bs=1 seek=100 conv=notrunc; echo new > of-winner; sync"""


class World:
    def __init__(self, quota=1 << 30):
        self.directory = tempfile.mkdtemp(prefix="safekit-lost-", dir="/var/tmp")
        later(harness.remove, self.directory)
        self.box = Sandbox(f"lost{os.getpid()}", f"{self.directory}/sandbox")
        for node in self.box.nodes:
            self.box.exec(node, "mkdir", DATA)
        self.box.safekit("node1", "apply", "-f", "-", input=MIRROR + f"    lostWritesMax: {quota}\n")
        self.box.safekit("node1", "prim", "-m", "app")
        self.box.wait_state("node1", "app", "ALONE Ready")
        self.box.safekit("node2", "start", "-m", "app")
        self.box.wait_pair("app")

    def do(self, node, script):
        self.box.exec(node, "sh", "-ec", f"cd {DATA}; {script}")

    def sets(self, node):
        return json.loads(self.box.safekit(node, "lost-writes", "list", "-m", "app", "-o", "json"))["items"]

    def items(self, node, name, through=None):
        where = ["-H", node] if through else []
        out = self.box.safekit(through or node, *where, "lost-writes", "show", name, "-m", "app", "-o", "json")
        return {item["path"].removeprefix(DATA + "/"): item for item in json.loads(out[out.index("{"):out.rindex("}") + 1])["items"]}

    def restore(self, node, name):
        into = f"{self.directory}/back-{name}"
        self.box.safekit(node, "lost-writes", "restore", name, "-m", "app", "--into", into)
        return into

    def equal_copies(self):
        problems = []

        def equal():
            problems[:] = harness.compare_trees(self.box.root("node1", DATA), self.box.root("node2", DATA))
            return not problems
        until(equal, 20, lambda: f"the copies are equal: {problems}")

    def one_set(self, node):
        self.box.wait_pair("app")
        self.equal_copies()
        found = until(lambda: [s for s in self.sets(node) if s.get("ended")], 10, lambda: f"a set is complete: {self.sets(node)}")
        assert len(found) == 1, found
        for name in found[0]["name"], "LostWrites":
            until(lambda: name in self.box.safekit(node, "log", "-A", "-m", "app") + self.box.safekit(node, "state", "-v", "-m", "app"),
                  10, f"the log and the conditions name {name}")
        assert self.sets(self.box.other(node)) == []
        return found[0]


def text(path):
    with open(path, "rb") as file:
        return file.read()


def case_partition(w):
    w.do("node1", FIRST)
    w.box.wait_pair("app")
    for network in ("default", "replication"):
        w.box.call("cut", network)
    for node in w.box.nodes:
        w.box.wait_state(node, "app", "ALONE Ready")
    w.do("node2", LOSER)  # the one that became primary by the cut gives way
    before = os.stat(w.box.root("node2", f"{DATA}/created"))
    w.do("node1", WINNER)
    w.box.call("heal")
    found = w.one_set("node2")
    note(f"    {found}")
    assert found["node"] == "node2" and found["keptCopyOf"] == "node1" and found["missedBytes"] == 0, found
    items = w.items("node2", found["name"])
    assert w.items("node2", found["name"], through="node1") == items, "another node shows something else"
    note(f"    {sorted(items)}")
    # Only what the loser wrote: not what the winner changed or removed.
    wanted = {"big", "any\\xffbyte", "new", "new/er", "new/er/file", "new/link", "new/fifo", "sparse", "deleted", "before", "after"}
    linked = {"created", "deep/linked"}
    assert wanted <= set(items) and set(items) - wanted - {"of-winner"} <= linked and set(items) & linked, sorted(items)
    assert items["big"]["pieces"] == [f"{MEGA}+4096 kept " + items["big"]["pieces"][0].split()[-1]], items["big"]
    assert not items["big"]["removed"] and items["after"]["removed"]
    assert items["deleted"]["kind"] == items["before"]["kind"] == "absent"
    back = w.restore("node2", found["name"])
    files = f"{back}/files{DATA}"
    assert text(f"{files}/created") == b"created\n" and os.stat(f"{files}/created").st_mtime_ns == before.st_mtime_ns
    assert os.path.samefile(f"{files}/created", f"{files}/deep/linked")
    assert os.stat(f"{files}/created").st_mode & 0o7777 == 0o640
    assert text(f"{files}/after") == b"moved\n" and text(f"{files}/new/er/file") == b"deep\n"
    assert text(os.fsencode(f"{files}/any") + b"\xffbyte") == b"x"
    assert os.readlink(f"{files}/new/link") == "target" and os.path.exists(f"{files}/new/fifo")
    sparse = os.stat(f"{files}/sparse")
    assert sparse.st_size == (8 << 30) + 4 and sparse.st_blocks < 100, sparse
    part = text(f"{back}/parts{DATA}/big")
    assert len(part) == 4 * MEGA and part[MEGA:MEGA + 4096] == b"loser\n" + b"o" * 4090 and not part[:MEGA].strip(b"\0")
    refused = w.box.safekit("node2", "lost-writes", "restore", found["name"], "-m", "app", "--into", f"{DATA}/x", check=False)
    assert refused == "" and not os.path.exists(w.box.root("node2", f"{DATA}/x"))
    w.box.safekit("node2", "lost-writes", "purge", found["name"], "-m", "app")
    assert w.sets("node2") == []
    until(lambda: "LostWrites" not in w.box.safekit("node2", "state", "-v", "-m", "app"), 10, "the condition goes")


def case_forced_older_copy(w):
    w.do("node1", "rm -rf *; echo one > one; head -c 1048576 /dev/zero | tr '\\0' o > big; sync")
    primary, second = w.box.wait_pair("app")
    w.equal_copies()
    note(f"    {primary} is killed, {second} goes on, then {primary} is forced")
    w.box.call("kill", primary)
    w.box.wait_state(second, "app", "ALONE Ready")
    w.do(second, "echo two > one; echo new > new; printf N | dd of=big bs=1 seek=500000 conv=notrunc; sync")
    w.box.call("kill", second)
    w.box.call("start", primary)
    until(lambda: w.box.state(primary, "app"), 20, "safekitd answers")
    w.box.safekit(primary, "prim", "-m", "app")
    w.box.wait_state(primary, "app", "ALONE Ready")
    w.box.call("start", second)
    until(lambda: w.box.state(second, "app"), 20, "safekitd answers")
    w.box.safekit(second, "start", "-m", "app")
    found = w.one_set(second)
    note(f"    {found}")
    items = w.items(second, found["name"])
    assert {"one", "new", "big"} <= set(items), sorted(items)
    back = w.restore(second, found["name"])
    assert text(f"{back}/files{DATA}/new") == b"new\n"
    assert text(f"{back}/parts{DATA}/one") == b"two\n"
    assert text(f"{back}/parts{DATA}/big")[500000:500001] == b"N"
    assert text(w.box.root(second, f"{DATA}/one")) == b"one\n"


def main():
    world = World()
    for name, case in list(globals().items()):
        if name.startswith("case_") and (not sys.argv[1:] or name in sys.argv[1:]):
            note(name)
            case(world)


if __name__ == "__main__":
    harness.test_main(main)
