#!/usr/bin/env python3
"""Processes of a node, or all of them, are stopped (SIGSTOP) for random times while clients write; a witness grants leases. Seen from
outside, never do two nodes answer writes at once, and no answered write is lost (docs/leases.md).
Usage: pauses.py [--rounds N] [--seed S] [--without-witness]"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [os.path.dirname(os.path.realpath(__file__)), os.path.dirname(os.path.dirname(os.path.realpath(__file__)))]
import harness  # noqa: E402
from harness import MIRROR, Sandbox, later, note, until  # noqa: E402
from witness_servers import WitnessServers  # noqa: E402

HERE = os.path.dirname(os.path.realpath(__file__))
PORT = 5000
LEASE = 3
KINDS = ("safekitd", "replicad", "both", "node")
PROGRAMS = {"safekitd": ("safekitd",), "replicad": ("safekit-replica",), "both": ("safekitd", "safekit-replica")}
START = """#!/bin/sh
exec setsid python3 {here}/pauses_server.py {port} /srv/data/written $(hostname) </dev/null >/dev/null 2>&1 &
"""
STOP = """#!/bin/sh
pkill -KILL -f pauses_server.py
exit 0
"""


class Pauses:
    def __init__(self, leased):
        self.directory = tempfile.mkdtemp(prefix="safekit-pauses-", dir="/var/tmp")
        later(harness.remove, self.directory)
        self.box = Sandbox(f"pause{os.getpid()}", f"{self.directory}/sandbox")
        self.servers = WitnessServers(self.box, self.directory)
        self.address = self.box.address("node1").rsplit(".", 1)[0] + ".100"
        self.client = None
        checkers = "  checkers: {splitBrain: {ident: w, exec: http, lease: %ds, witnesses: [\"%s\"]}}\n" % (LEASE, self.servers.witness())
        self.apply(checkers if leased else "")

    def apply(self, checkers):
        for node in self.box.nodes:
            self.box.exec(node, "mkdir", "/srv/data")
        folder = f"{self.directory}/module"
        os.makedirs(f"{folder}/bin")
        for name, text in (("start_prim", START.format(here=HERE, port=PORT)), ("stop_prim", STOP)):
            with open(f"{folder}/bin/{name}", "w") as out:
                out.write(text)
            os.chmod(f"{folder}/bin/{name}", 0o755)
        with open(f"{folder}/module.yaml", "w") as out:
            out.write(MIRROR + f"  virtualIPs: [{self.address}]\n  scripts: {{directory: bin}}\n  maxLoop: 1000\n" + checkers)
        self.box.safekit("node1", "apply", "-f", folder)
        until(lambda: self.box.state("node2", "app"), 20, "the module reaches the second node")
        self.box.safekit("node1", "prim", "-m", "app")
        self.box.wait_state("node1", "app", "ALONE Ready")
        self.box.safekit("node2", "start", "-m", "app")
        self.box.wait_pair("app")

    def begin_load(self):
        self.client = subprocess.Popen([*self.box.words("client"), "python3", f"{HERE}/pauses_client.py", self.address, str(PORT)],
                                       stdout=open(f"{self.directory}/answers", "w"))
        later(self.end_load)
        until(self.answers, 20, "writes are answered")

    def end_load(self):
        if self.client.poll() is None:
            self.box.exec("client", "pkill", "-f", "pauses_client.py", check=False)
            self.client.wait()

    def answers(self):
        """In the order in which they came: (when, node, number, whether its connection was an old one)."""
        with open(f"{self.directory}/answers") as text:
            whole = [line for line in text if line.endswith("\n")]
        return sorted(tuple(json.loads(line)) for line in whole)

    def signal(self, node, kind, number):
        if kind == "node":  # all but the first process of the node, and the one that says it
            self.box.exec(node, "kill", f"-{number}", "--", "-1", check=False)
            return
        for program in PROGRAMS[kind]:
            self.box.kill_processes(node, program, number)

    def pause(self, node, kind, seconds):
        self.signal(node, kind, "STOP")
        later(self.signal, node, kind, "CONT")
        time.sleep(seconds)  # the fault itself
        self.signal(node, kind, "CONT")

    def primary_periods(self):
        """So often a node took the primary role, by its own log, or went on with it after a start."""
        return sum(self.box.safekit(node, "log", "-m", "app", "-A", "-s", "100000").count("Script start_prim") for node in self.box.nodes)

    def check(self):
        """Each change of the node that answers has a reason: an application that was started. One answer out of turn is two changes."""
        answers = self.answers()
        changes = [(one, two) for one, two in zip(answers, answers[1:]) if one[1] != two[1]]
        starts = self.primary_periods() - 1
        assert len(changes) <= starts, f"{len(changes)} changes of who answers, {starts} starts: {changes}"
        return answers

    def check_written(self, answers):
        primary, second = self.box.wait_pair("app")
        held = {int(line) for line in self.box.exec(primary, "cat", "/srv/data/written").split()}
        lost = {one[2] for one in answers} - held
        assert not lost, f"answered, and lost: {sorted(lost)[:20]} of {len(answers)}"
        self.box.safekit(primary, "stop", "-m", "app")
        self.box.wait_state(second, "app", "ALONE Ready")
        lost = {one[2] for one in answers} - {int(line) for line in self.box.exec(second, "cat", "/srv/data/written").split()}
        assert not lost, f"answered, and lost on the other node: {sorted(lost)[:20]}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--without-witness", action="store_true")
    options = parser.parse_args()

    def body():
        note(f"seed {options.seed}")
        random.seed(options.seed)
        w = Pauses(not options.without_witness)
        w.begin_load()
        kinds = list(KINDS)
        for number in range(options.rounds):
            if number % len(kinds) == 0:
                random.shuffle(kinds)
            kind = kinds[number % len(kinds)]
            primary, second = w.box.wait_pair("app", 120)
            node = second if random.random() < 0.2 else primary
            seconds = random.choice((0.3, 0.8, 1.2, 2, 4, 7)) * random.uniform(0.8, 1.2)
            count = len(w.answers())
            note(f"round {number + 1}: {kind} of {node} ({'primary' if node == primary else 'secondary'}) for {seconds:.1f} s")
            w.pause(node, kind, seconds)
            until(lambda: len(w.answers()) > count + 5, 60, lambda: f"writes are answered again: {w.box.states('app')}")
            w.box.wait_pair("app", 120)
            w.check()
        w.end_load()
        answers = w.check()
        w.check_written(answers)
        changes = sum(one[1] != two[1] for one, two in zip(answers, answers[1:]))
        note(f"{len(answers)} answered writes, the node that answers changed {changes} times")
    harness.test_main(body)


if __name__ == "__main__":
    main()
