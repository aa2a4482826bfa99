#!/usr/bin/env python3
"""What `safekit simulate` foretells and what then really happens: the states that last, in their order, on each node, and the end.
Usage: simulate.py [CASE...]"""
import datetime
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import MIRROR, Sandbox, later, note, until  # noqa: E402

SCRIPTS = """  scripts:
    files:
      start_prim: "#!/bin/sh\\nexec sleep 1\\n"
      stop_prim: "#!/bin/sh\\nexec sleep 1\\n"
"""
STATE = "Local state "
LASTS = 0.5  # seconds; a primary may be ALONE for a moment when its script has ended


class World:
    def __init__(self):
        directory = tempfile.mkdtemp(prefix="safekit-simulate-", dir="/var/tmp")
        later(harness.remove, directory)
        self.box = Sandbox(f"sim{os.getpid()}", f"{directory}/sandbox")
        for node in self.box.nodes:
            self.box.exec(node, "mkdir", "/srv/data")
        self.box.safekit("node1", "apply", "-f", "-", input=MIRROR + SCRIPTS)
        until(lambda: self.box.state("node2", "app"), 20, "the module reaches the second node")

    def command(self, node, *words, **options):
        return self.box.safekit(node, *words, "-m", "app", **options)

    def pair(self):
        self.command("node1", "prim")
        self.box.wait_state("node1", "app", "ALONE Ready")
        self.command("node2", "start")
        self.box.wait_pair("app")

    def foretold(self, node, *words):
        answer = json.loads(self.command(node, "simulate", *words, "-o", "json"))
        assert answer["kind"] == "Simulation" and answer["serves"], answer
        return answer

    def says(self, node, text):
        until(lambda: text in self.command(node, "log", "-A"), 20, lambda: f"{node}: {text}")

    def states(self, node):
        """Seconds and state of each line of the log that tells of one."""
        found = []
        for line in self.command(node, "log", "-s", "2000").splitlines():
            if STATE in line:
                time = datetime.datetime.fromisoformat(line.split("|")[1].strip())
                found.append((time.timestamp(), line.split(STATE)[1].strip()))
        return found

    def compare(self, foretold, act, nodes=("node1", "node2")):
        """Acts, waits for the end that was foretold, and compares what lasted on the way there."""
        ends = {one["node"]: one["state"] for one in foretold["end"]}
        before = {node: len(self.states(node)) for node in nodes}
        act()
        for node in nodes:
            self.box.wait_state(node, "app", ends[node], 40)
        for node in nodes:
            begin = (0, next(one["state"] for one in foretold["begin"] if one["node"] == node))
            told = lasting([begin] + [(1 + step["milliseconds"] / 1000, step["text"][len(STATE):])
                                      for step in foretold["steps"] if step["kind"] == "state" and step["node"] == node])
            until(lambda: lasting([begin] + self.states(node)[before[node]:]) == told, 3,
                  lambda: f"{node}: foretold {told}, happened {self.states(node)[before[node]:]}\n{json.dumps(foretold, indent=1)}")


def lasting(states):
    """Those that are no step on the way, by name or by time, without repetition."""
    states = list(states)
    kept = []
    for (begin, state), (end, _) in zip(states, states[1:] + [(float("inf"), "")]):
        if not state.endswith("Transient") and end - begin >= LASTS and kept[-1:] != [state]:
            kept.append(state)
    return kept


def case_swap_and_stop(w):
    w.pair()
    swap = w.foretold("node1", "command", "swap")
    assert [one["state"] for one in swap["begin"]] == ["PRIM Ready", "SECOND Ready"], swap
    assert [one["state"] for one in swap["end"]] == ["SECOND Ready", "PRIM Ready"], swap
    assert w.box.states("app") == {"node1": "PRIM Ready", "node2": "SECOND Ready"}, "a simulation touches nothing"
    w.compare(swap, lambda: w.command("node1", "swap"))
    note("   stop of the primary, asked on the other node")
    stop = w.foretold("node1", "command", "stop", "--on", "node2")
    assert stop["end"] == [{"node": "node1", "state": "ALONE Ready"}, {"node": "node2", "state": "STOP NotReady"}], stop
    w.compare(stop, lambda: w.command("node2", "stop"))
    note("   and its start")
    w.compare(w.foretold("node2", "command", "start"), lambda: w.command("node2", "start"))


def case_apply(w):
    primary, second = w.box.wait_pair("app")
    watched = MIRROR + "  errd: {poll: 1s, processes: [{name: nosuchd}]}\n" + SCRIPTS
    answer = json.loads(w.command(primary, "simulate", "apply", "-f", "-", "-o", "json", input=watched))
    assert any("nosuchd" in step["text"] for step in answer["steps"]), answer
    assert w.box.states("app") == {primary: "PRIM Ready", second: "SECOND Ready"}
    assert "nosuchd" not in w.box.safekit(primary, "get", "module", "app", "-o", "yaml"), "a simulation applies nothing"
    note("   what an apply would refuse")
    try:
        w.command(primary, "simulate", "apply", "-f", "-", input=MIRROR.replace("/srv/data", "/srv/other") + SCRIPTS)
    except RuntimeError as refused:
        assert "can only be changed while the module is stopped" in str(refused), refused
    else:
        raise AssertionError("it was taken")


def case_process(w):
    note("   the replica of the primary: the next process takes its place")
    primary, _ = w.box.wait_pair("app")
    replica = w.foretold(primary, "process", "replica")

    def kill():
        w.box.kill_processes(primary, "safekit-replica")
        w.says(primary, "The replication process died")
        w.box.wait_pair("app")
    w.compare(replica, kill)


def case_network(w):
    w.box.wait_pair("app")
    one = w.foretold("node1", "network", "default")
    assert one["outageMilliseconds"] == 0 and one["begin"] == one["end"], one

    def cut():
        w.box.call("cut", "default", "--silent")
        for node in w.box.nodes:
            w.says(node, "heartbeat.default set to down")
    w.compare(one, cut)
    foretold = w.foretold("node1", "network", "default")
    assert not [s for s in foretold["steps"] if "heartbeat.default" in s["text"]], "it is cut already"
    w.box.call("heal", "default")
    until(lambda: w.command("node1", "get", "-r", "heartbeat.default", check=False).strip() == "up", 20, "the network is back")


def case_killed_node(w):
    primary, second = w.box.wait_pair("app")
    killed = w.foretold(second, "node", primary)
    ends = {one["node"]: one["state"] for one in killed["end"]}
    assert ends == {primary: "off", second: "ALONE Ready"}, killed
    assert 1000 <= killed["outageMilliseconds"] <= 5000, "a time-out and a script of 1 s each"
    text = w.command(second, "simulate", "node", primary)
    assert f"{primary} off" in text and "without service for" in text, text
    w.compare(killed, lambda: w.box.call("kill", primary), nodes=(second,))
    note("   with one node off there is still something to ask")
    stop = json.loads(w.command(second, "simulate", "command", "stop", "-o", "json"))
    assert {one["node"]: one["state"] for one in stop["end"]} == {primary: "off", second: "STOP NotReady"}, stop
    assert not stop["serves"]


def case_refusals(w):
    second = next(node for node in w.box.nodes if w.box.state(node, "app") == "ALONE Ready")
    for words in (["node", "node9"], ["network", "moon"], ["checker", "tcp.none"], ["witness"], ["earthquake"], ["command", "explode"]):
        out = w.box.exec(second, "sh", "-c", f"{harness.SAFEKIT} simulate {' '.join(words)} -m app 2>&1; echo code $?", check=False)
        assert "Error: " in out and "code 1" in out, out


CASES = [case_swap_and_stop, case_apply, case_process, case_network, case_killed_node, case_refusals]


def main():
    world = World()
    for case in CASES:
        if len(sys.argv) > 1 and case.__name__[len("case_"):] not in sys.argv[1:]:
            continue
        note(case.__name__[len("case_"):].replace("_", " "))
        case(world)


harness.test_main(main)
