#!/usr/bin/env python3
"""A mirror module whose replication processes are killed, and replaced by `safekit upgrade-datapath`, under a running
application: it sees no error and the roles stay what they are. usage: takeover_module.py [--kills N]"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import MIRROR, ROOT, SAFEKIT, Sandbox, later, note, until  # noqa: E402

REPLICA = "safekit-replicad"


class Application:
    def __init__(self, box, node, what, name):
        self.output = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([*box.words(node), "python3", f"{ROOT}/e2e/cases/takeover_load.py", what, f"/srv/data/{name}"],
                                        stdout=self.output, stderr=subprocess.STDOUT, text=True)
        self.box, self.node, self.what = box, node, what

    def said(self):
        self.output.seek(0)
        return self.output.read()

    def end(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.what} has ended: {self.said()}")
        self.box.exec(self.node, "pkill", "-TERM", "-f", f"takeover_load.py {self.what} ")
        self.process.wait(60)
        if not self.said().strip().splitlines()[-1].startswith("done"):
            raise RuntimeError(f"{self.what} failed: {self.said()}")
        return int(self.said().split()[-1])


class World:
    def __init__(self):
        directory = tempfile.mkdtemp(prefix="safekit-takeover-", dir="/var/tmp")
        later(harness.remove, directory)
        self.box = box = Sandbox(f"takeover{os.getpid()}", f"{directory}/sandbox")
        for node in box.nodes:
            box.exec(node, "mkdir", "/srv/data")
        box.safekit("node1", "apply", "-f", "-", input=MIRROR)
        for node in box.nodes:
            until(lambda: box.state(node, "app"), 30, f"{node} has the module")
            box.safekit(node, "start", "-m", "app")
        self.primary, self.second = box.wait_pair("app")

    def applications(self, number):
        return [Application(self.box, self.primary, what, f"{what}{number}") for what in ("append", "names", "unnamed", "mapped")]

    def pid(self, node):
        pids = self.box.pids(node, REPLICA)
        return pids[0] if len(pids) == 1 else None

    def wait_other(self, node, old):
        until(lambda: self.pid(node) not in (None, old), 10, f"another {REPLICA} on {node} than {old}")

    def kill(self, node, what=REPLICA):
        old = self.pid(node)
        self.box.kill_processes(node, what)
        return old

    def pair_again(self):
        if self.box.wait_pair("app", 60) != (self.primary, self.second):
            raise RuntimeError(f"the roles have changed: {self.box.states('app')}")

    def identical(self):
        differences = []

        def same():
            differences[:] = harness.compare_trees(*(self.box.root(node, "/srv/data") for node in self.box.nodes))
            return not differences
        until(same, 30, lambda: f"both copies are identical: {differences[:10]}")

    def log(self, node):
        return self.box.safekit(node, "log", "-m", "app", "-A")


def kills_of_the_primarys_process(world, kills):
    applications = world.applications("k")
    for number in range(kills):
        old = world.kill(world.primary)
        world.wait_other(world.primary, old)
        if number % 3 == 2:
            world.pair_again()
        else:
            until(lambda: all(a.process.poll() is None for a in applications), 1, lambda: [a.said() for a in applications])
            time.sleep(1.2)
    world.pair_again()
    note(f"{kills} kills, done: {[a.end() for a in applications]}")
    world.identical()
    if "died; the module is stopped" in world.log(world.primary):
        raise RuntimeError("the module was stopped")


def kills_of_the_secondarys_process(world, kills):
    applications = world.applications("s")
    for _ in range(kills):
        old = world.kill(world.second)
        world.wait_other(world.second, old)
        world.pair_again()
    note(f"{kills} kills, done: {[a.end() for a in applications]}")
    world.identical()


def an_upgrade_under_load(world):
    applications = world.applications("u")
    for node in (world.primary, world.second):
        old = world.pid(node)
        world.box.safekit(node, "upgrade-datapath", "-m", "app")
        pids = world.box.pids(node, REPLICA)
        if len(pids) != 1 or old in pids:  # that one has ended before another one is begun
            raise RuntimeError(f"the process {old} of {node} was not replaced: {pids} run")
    world.pair_again()
    note(f"upgraded, done: {[a.end() for a in applications]}")
    world.identical()


def both_daemons_of_the_primary_die(world):
    """The old way: it is not known what the peer did meanwhile. Nothing acknowledged is lost."""
    application = Application(world.box, world.primary, "append", "both")
    until(lambda: os.path.exists(world.box.root(world.primary, "/srv/data/both/log")), 10, "the first line")
    time.sleep(0.5)
    world.box.kill_processes(world.primary, "safekitd", "KILL")
    world.box.kill_processes(world.primary, REPLICA, "KILL")
    application.process.wait(60)
    world.box.wait_pair("app", 90)
    world.primary, world.second = world.box.wait_pair("app", 90)
    world.identical()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    world = World()
    kills_of_the_primarys_process(world, options.kills)
    kills_of_the_secondarys_process(world, max(1, options.kills // 5))
    an_upgrade_under_load(world)
    both_daemons_of_the_primary_die(world)


if __name__ == "__main__":
    harness.test_main(main)
