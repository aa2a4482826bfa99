#!/usr/bin/env python3
"""PostgreSQL on a mirror under failures, one kind after the other: the primary node loses power, its replica process, its
postgres, its safekitd is killed, its replication network is cut. A client records each commit that was acknowledged to it.
After every round: no acknowledged commit is missing, pg_amcheck is clean, both copies are byte-identical.

usage: postgresql_rounds.py [--rounds 20] [--keep]
"""
import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import ROOT, Sandbox, later, note, sh, until  # noqa: E402

MODULE = "postgresql"
EXAMPLE = os.path.join(ROOT, "examples", "mirror", "postgresql", "module.yaml")
DATA = "/srv/postgresql"
PG_BIN = "/usr/lib/postgresql/15/bin"


class Client:
    """Commits numbers one by one through the virtual address and records those that were acknowledged."""

    def __init__(self, sandbox, address):
        self.sandbox, self.address = sandbox, address
        self.acknowledged, self.next = [], 1
        self.lock, self.end = threading.Lock(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def psql(self, *words):
        return [*self.sandbox.words("client"), "env", "PGCONNECT_TIMEOUT=2", "psql", "-h", self.address, "-U", "demo",
                "-XAtq", *words, "demo"]

    def query(self, text, timeout=30):
        return sh(*self.psql("-c", text), timeout=timeout)

    def run(self):
        while not self.end.is_set():
            try:
                self.session()
            except (OSError, ValueError):
                pass  # the connection broke: the next one shows what was committed

    def session(self):
        with subprocess.Popen(self.psql("-v", "ON_ERROR_STOP=1"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, bufsize=1) as process:
            watchdog = threading.Timer(20, process.kill)
            watchdog.start()
            try:
                while not self.end.is_set():
                    number = self.next
                    self.next += 1
                    process.stdin.write(f"insert into commits values ({number}) returning n;\n")
                    process.stdin.flush()
                    if process.stdout.readline().strip() != str(number):
                        return
                    with self.lock:
                        self.acknowledged.append(number)
                    watchdog.cancel()
                    watchdog = threading.Timer(20, process.kill)
                    watchdog.start()
            finally:
                watchdog.cancel()
                process.kill()

    def start(self):
        self.end.clear()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def stop(self):
        self.end.set()
        self.thread.join(60)
        if self.thread.is_alive():
            raise RuntimeError("the client hangs: a commit is neither acknowledged nor refused")

    def count(self):
        with self.lock:
            return len(self.acknowledged)


class Load:
    """pgbench, started again whenever the service moved."""

    def __init__(self, client):
        self.client, self.end, self.process = client, threading.Event(), None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.end.clear()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        words = [*self.client.sandbox.words("client"), "env", "PGCONNECT_TIMEOUT=2", f"{PG_BIN}/pgbench", "-h",
                 self.client.address, "-U", "demo", "-n", "-c", "2", "-T", "5", "demo"]
        while not self.end.is_set():
            self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while self.process.poll() is None and not self.end.is_set():
                self.end.wait(0.1)
            self.process.kill()
            self.process.wait()

    def stop(self):
        self.end.set()
        self.thread.join(30)


def bring_up(name):
    directory = tempfile.mkdtemp(prefix="safekit-e2e-", dir="/var/tmp")
    later(harness.remove, directory)
    sandbox = Sandbox(name, f"{directory}/sandbox")
    subnet = sandbox.address("node1").rsplit(".", 1)[0]
    address = f"{subnet}.100"
    module = open(EXAMPLE).read().replace("10.99.0.100", address)
    folder = f"{directory}/module"
    sh("cp", "-r", os.path.dirname(EXAMPLE), folder)
    with open(f"{folder}/module.yaml", "w") as out:
        out.write(module)
    for node in sandbox.nodes:
        sandbox.exec(node, "mkdir", "-p", DATA)
    sandbox.safekit("node1", "apply", "-f", f"{folder}/module.yaml")
    until(lambda: sandbox.state("node2", MODULE), 30, "the module reaches the second node")
    for node in sandbox.nodes:
        sandbox.safekit(node, "start", "-m", MODULE)
    sandbox.wait_pair(MODULE)
    client = Client(sandbox, address)
    until(lambda: answers(client), 60, "PostgreSQL answers at the virtual address")
    administer(sandbox, "psql", "-qc", "create extension amcheck", "demo")
    client.query("create table commits (n bigint primary key)")
    sh(*sandbox.words("client"), f"{PG_BIN}/pgbench", "-h", address, "-U", "demo", "-i", "-q", "-s", "2", "demo")
    return sandbox, client


def administer(sandbox, *command):
    """As the database's superuser, on the node where it runs."""
    return sandbox.exec(sandbox.primary(MODULE), "runuser", "-u", "postgres", "--", "env", "PGHOST=/run/postgresql", *command)


def answers(client):
    done = subprocess.run([*client.sandbox.words("client"), "env", "PGCONNECT_TIMEOUT=1", "psql", "-h", client.address, "-U",
                           "demo", "-XAtqc", "select 1", "demo"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout.strip() == b"1"


def break_it(sandbox, kind, primary):
    if kind == "node":
        sandbox.call("kill", primary)
        until(lambda: sandbox.state(sandbox.other(primary), MODULE) == "ALONE Ready", 30,
              lambda: f"the other node serves: {sandbox.states(MODULE)}")
        sandbox.call("start", primary)
    elif kind == "network":
        sandbox.call("cut", "replication", primary)
        until(lambda: sandbox.state(primary, MODULE) == "ALONE Ready", 30,
              lambda: f"the primary goes on alone: {sandbox.states(MODULE)}")
        sandbox.call("heal", "replication", primary)
    elif kind == "swap":
        sandbox.safekit(primary, "swap", "-m", MODULE)
        until(lambda: sandbox.primary(MODULE) == sandbox.other(primary), 60,
              lambda: f"the roles change: {sandbox.states(MODULE)}")
    elif kind == "stop":
        sandbox.safekit(primary, "stop", "-m", MODULE)
        sandbox.wait_state(primary, MODULE, "STOP NotReady", 60)
    else:
        command = {"replicad": "safekit-replicad", "postgres": "postgres", "safekitd": "safekitd"}[kind]
        if not sandbox.kill_processes(primary, command):
            raise RuntimeError(f"there is no {command} on {primary}")


def repair(sandbox):
    """What an administrator would do: start what is stopped. Gives the pair."""
    def running():
        for node in sandbox.nodes:
            if sandbox.state(node, MODULE) == "STOP NotReady":
                sandbox.safekit(node, "start", "-m", MODULE, check=False)
        states = list(sandbox.states(MODULE).values())
        return sorted(states) == ["PRIM Ready", "SECOND Ready"]
    until(running, 120, lambda: f"a pair again: {sandbox.states(MODULE)}")
    return sandbox.wait_pair(MODULE)


def check(sandbox, client, primary, second):
    until(lambda: answers(client), 30, "PostgreSQL answers after the repair")
    stored = set(map(int, client.query("select n from commits", timeout=120).split()))
    missing = [n for n in client.acknowledged if n not in stored]
    if missing:
        raise RuntimeError(f"{len(missing)} acknowledged commits are missing, the first {missing[:5]}")
    administer(sandbox, f"{PG_BIN}/pg_amcheck", "demo")
    administer(sandbox, "psql", "-qc", "checkpoint", "postgres")
    differences = []

    def identical():
        differences[:] = harness.compare_trees(sandbox.root(primary, DATA), sandbox.root(second, DATA))
        return not differences
    until(identical, 60, lambda: f"both copies are identical: {differences[:10]}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--kinds", default="node,replicad,postgres,safekitd,network")
    parser.add_argument("--name", default=f"pg{os.getpid()}")
    options = parser.parse_args()
    sandbox, client = bring_up(options.name)
    load = Load(client)
    kinds = options.kinds.split(",")
    for number in range(options.rounds):
        kind = kinds[number % len(kinds)]
        primary, _ = sandbox.wait_pair(MODULE)
        client.start()
        load.start()
        before = client.count()
        until(lambda: client.count() > before + 50, 60, "commits before the failure")
        times = [time.monotonic()]
        break_it(sandbox, kind, primary)
        served = client.count()
        until(lambda: client.count() > served + 50, 60, lambda: f"commits after {kind}: {sandbox.states(MODULE)}")
        times.append(time.monotonic())
        primary, second = repair(sandbox)
        times.append(time.monotonic())
        load.stop()
        client.stop()
        check(sandbox, client, primary, second)
        times.append(time.monotonic())
        served, paired, checked = (b - a for a, b in zip(times, times[1:]))
        note(f"round {number + 1}: {kind}: {client.count()} commits acknowledged, none missing, copies identical; primary is "
             f"{primary}; served again after {served:.1f} s, a pair {paired:.1f} s later, checked in {checked:.1f} s")


if __name__ == "__main__":
    harness.test_main(main)
