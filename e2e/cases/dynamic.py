#!/usr/bin/env python3
"""A module is changed while it runs: what is in force at once, what waits, what is refused, and what an apply says of it before.
Usage: dynamic.py"""
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import MIRROR, Sandbox, later, note, until  # noqa: E402

SCRIPTS = """  scripts:
    environment: [{name: COLOUR, value: red}]
    files:
      start_prim: |
        #!/bin/sh
        echo "$COLOUR" >> /srv/data/colours
      stop_prim: |
        #!/bin/sh
        exit 0
"""


class World:
    def __init__(self):
        directory = tempfile.mkdtemp(prefix="safekit-dynamic-", dir="/var/tmp")
        later(harness.remove, directory)
        self.box = Sandbox(f"dyn{os.getpid()}", f"{directory}/sandbox")
        for node in self.box.nodes:
            self.box.exec(node, "mkdir", "/srv/data")
        network = self.box.address("node1").rpartition(".")[0]
        self.addresses = [f"{network}.{last}" for last in (200, 201)]

    def module(self, vip=0, more="", mirror=MIRROR, scripts=SCRIPTS):
        return mirror + more + scripts + f"  vip: {{interfaces: [{{addresses: [{{address: {self.addresses[vip]}}}]}}]}}\n"

    def apply(self, text, *words, node="node1"):
        """What it prints, both ways, and whether it was taken."""
        done = self.box.exec(node, "sh", "-c", '"$0" "$@" 2>&1; echo "code=$?"', harness.SAFEKIT, "apply", "-f", "-",
                             *words, input=text)
        said, _, code = done.rpartition("code=")
        return said, code.strip() == "0"

    def taken(self, text, *words, **options):
        said, good = self.apply(text, *words, **options)
        assert good, said
        return said

    def refused(self, text, *parts, words=(), **options):
        said, good = self.apply(text, *words, **options)
        assert not good, f"it was taken: {said}"
        for part in parts:
            assert part in said, f"'{part}' is not in: {said}"

    def generation(self):
        return self.box.safekit("node1", "get", "module", "app", "-o", "json").split('"generation"')[1].split(",")[0]

    def addresses_of(self, node):
        return [one for one in self.addresses if f" {one}/" in self.box.exec(node, "ip", "-4", "-o", "address")]

    def colours(self):
        return self.box.exec("node1", "cat", "/srv/data/colours").split()


def run():
    w = World()
    w.taken(w.module())
    until(lambda: w.box.state("node2", "app"), 20, "the module reaches the second node")
    w.box.safekit("node1", "prim", "-m", "app")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.box.safekit("node2", "start", "-m", "app")
    w.box.wait_pair("app")
    begun = w.box.safekit("node1", "log", "-m", "app", "-A").count("Transition")

    note("the address of a primary is another one, without any transition")
    assert w.addresses_of("node1") == w.addresses[:1], w.addresses_of("node1")
    w.taken(w.module(vip=1))
    until(lambda: w.addresses_of("node1") == w.addresses[1:], 20, lambda: f"the new address only: {w.addresses_of('node1')}")
    assert w.addresses_of("node2") == [], w.addresses_of("node2")

    note("heartbeats of another time-out and on one network only; a checker that was not there")
    slower = MIRROR.replace("timeout: 1s, lans: [default, replication]", "timeout: 2s, lans: [replication]")
    checker = "  checkers:\n    tcp: [{ident: web, address: 127.0.0.1, port: 9, interval: 300ms, timeout: 200ms, action: noaction}]\n"
    w.taken(w.module(vip=1, mirror=slower, scripts=SCRIPTS + checker))
    until(lambda: "down" in w.box.safekit("node1", "get", "-m", "app", "-r", "tcp.web", check=False), 20, "the checker has found out")
    until(lambda: "up" not in w.box.safekit("node1", "get", "-m", "app", "-r", "heartbeat.default", check=False), 20, "one network less")
    assert "up" in w.box.safekit("node1", "get", "-m", "app", "-r", "heartbeat.replication")

    note("what the application sees waits for its restart, and that is said")
    said = w.taken(w.module(vip=1, mirror=slower, scripts=SCRIPTS.replace("red", "blue") + checker))
    assert "spec.scripts.environment[COLOUR].value: in force when the application is started again (safekit restart -m app)" in said, said
    assert w.colours() == ["red"], w.colours()
    w.box.safekit("node1", "restart", "-m", "app")
    until(lambda: w.colours() == ["red", "blue"], 30, lambda: str(w.colours()))
    w.box.wait_pair("app")

    note("what needs a stop is refused, as a plan too, with what blocks it; nothing of the file is taken")
    before = w.generation()
    zones = w.module(vip=0, mirror=slower.replace("[/srv/data]", "[/srv/other]"), more="    zoneSize: 1048576\n", scripts=SCRIPTS + checker)
    blocks = ("'spec.replication.zoneSize' cannot be changed while the module runs on node1 (PRIM), node2 (SECOND)",
              "'spec.replication.directories[/srv/data]' cannot be changed", "safekit stop -m app", "nothing was applied")
    w.refused(zones, *blocks)
    w.refused(zones, "node2 (SECOND), node1 (PRIM)", node="node2")
    plan = w.taken(zones, "--dry-run")
    for part in ("spec.replication.zoneSize", "(needs the module stopped on all nodes)", "(in force at once)",
                 "refused while it runs on node1 (PRIM), node2 (SECOND)"):
        assert part in plan, plan
    assert w.generation() == before and w.addresses_of("node1") == w.addresses[1:]

    note("some settings of the replication wait for the next start; all this was one life of the module")
    said = w.taken(w.module(vip=1, mirror=slower, more="    resyncThreads: 2\n", scripts=SCRIPTS.replace("red", "blue") + checker))
    assert "spec.replication.resyncThreads: in force when the module is started again (safekit stopstart -m app)" in said, said
    w.box.wait_pair("app")
    ended = w.box.safekit("node1", "log", "-m", "app", "-A")
    assert ended.count("Transition") == begun, ended

    note("stopped on one node is not stopped; stopped on both it is taken")
    w.box.safekit("node1", "stop", "-m", "app")
    w.box.wait_state("node1", "app", "STOP NotReady")
    w.box.wait_state("node2", "app", "ALONE Ready")
    w.refused(zones, "while the module runs on node2 (ALONE)")
    w.box.safekit("node2", "stop", "-m", "app")
    w.box.wait_state("node2", "app", "STOP NotReady")
    until(lambda: w.apply(zones)[1], 10, "node1 has heard that node2 is stopped")
    assert "/srv/other" in w.box.safekit("node1", "get", "module", "app", "-o", "yaml")


harness.test_main(run)
