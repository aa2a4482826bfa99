#!/usr/bin/env python3
"""Witnesses: safekit witness, another node, etcd, an echo. Who holds a lease keeps it alone, over a restart of the witness too, and
knows that it is over before another has it. Usage: witness.py [CASE...]"""
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path[:0] = [os.path.dirname(os.path.realpath(__file__)), os.path.dirname(os.path.dirname(os.path.realpath(__file__)))]
import harness  # noqa: E402
from harness import BIN, MIRROR, Sandbox, later, note, until  # noqa: E402
from witness_servers import WitnessServers  # noqa: E402

LEASE = 3.0  # seconds; renewed each second
ROUND = 2.0  # what a question, its repetition and two busy cores may take


class Asker:
    """The lease controller of one node, alone."""

    def __init__(self, box, node, witness, *addresses, env=()):
        self.box, self.node, self.lines = box, node, queue.Queue()
        self.process = subprocess.Popen([*box.words(node), "env", *env, f"{BIN}/safekit-witness-asker", node, witness, f"{LEASE:.0f}s", *addresses],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        later(self.kill)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put((time.monotonic(), line.strip()))

    def say(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def wait(self, begin, seconds):
        """When it first says that from now on."""
        end, seen = time.monotonic() + seconds, []
        while True:
            try:
                at, line = self.lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{self.node} does not say '{begin}' in {seconds} s: {seen}") from None
            seen.append(line)
            if line.startswith(begin):
                return at, line

    def want(self, begin, seconds=5):
        self.say("want")
        return self.wait(begin, seconds)

    def quiet(self):
        assert self.lines.empty(), self.lines.get()

    def quiet_but(self, begin):
        while not self.lines.empty():
            _, line = self.lines.get()
            assert line.startswith(begin), line

    def kill(self):
        if self.process.poll() is None:  # killed alone, what brought it into the node would leave it there
            self.box.kill_processes(self.node, "safekit-witness-asker")
            self.process.wait()


class World(WitnessServers):
    def __init__(self, nodes=2):
        self.directory = tempfile.mkdtemp(prefix="safekit-witness-", dir="/var/tmp")
        later(harness.remove, self.directory)
        super().__init__(Sandbox(f"wit{os.getpid()}", f"{self.directory}/sandbox", nodes=nodes), self.directory)


def leases(w, kind, begin, url, env=()):
    """What holds of each witness that grants leases."""
    a, b = Asker(w.box, "node1", kind, url, env=env), Asker(w.box, "node2", kind, url, env=env)
    a.want("Granted up", 10)
    _, line = b.want("Refused down")
    assert "node1" in line, line
    note("   one that dies with it: nobody else gets it, for nobody knows what it has written")
    killed = time.monotonic()
    a.kill()
    at, line = b.wait("Refused down 'node1' had", LEASE + ROUND + 2)
    assert at - killed > LEASE - 1 - 0.7, f"told after {at - killed:.2f} s"
    note("   given back, it is another's at once")
    a = Asker(w.box, "node1", kind, url, env=env)
    a.want("Granted up", 10)
    b.quiet_but("Refused down")
    a.say("drop")
    b.wait("Granted up", 1 + ROUND)
    a.wait("NotAsked init", 2)
    note("   the witness dies and is there again: the holder keeps its lease")
    if w.server:
        w.end()
        begin()
    a.want("Refused down", 10)
    b.quiet()
    note("   who is cut off knows that it is over before anybody else does, and has it again")
    cut = time.monotonic()
    w.box.call("cut", "default", "node2", "--silent")
    over, line = b.wait("Silent down", LEASE + ROUND)
    told, _ = a.wait("Refused down 'node2' had", LEASE + ROUND + 2)
    assert "ran out" in line, line
    assert cut < over < told, (cut, over, told)
    w.box.call("heal")
    b.wait("Granted up", 10)
    a.kill()
    b.say("drop")
    b.wait("NotAsked init", 2)


def case_safekit_witness(w):
    url = w.witness()
    leases(w, "http", w.witness, url)
    note("   a wrong key, a wrong certificate")
    host, key = url.rsplit("/", 1)
    for wrong, text in (("0" * 32 + key[32:], "does not know this key"), (key[:32] + "0" * 32, "another certificate")):
        _, line = Asker(w.box, "node1", "http", f"{host}/{wrong}").want("Silent down", 10)
        assert text in line, line


def case_etcd(w):
    if not shutil.which("etcd"):
        note("   etcd-server is not installed")
        return
    leases(w, "etcd", w.etcd, w.etcd())


def case_ping(w):
    a, b = Asker(w.box, "node1", "ping", "192.0.2.1", w.host), Asker(w.box, "node2", "ping", w.host)
    w.box.call("cut", "default", "node1", "--silent")
    begun = time.monotonic()
    at, line = a.want("Silent down", 3 + ROUND)
    assert at - begun > 2.5, line
    b.want("Granted up")
    w.box.call("heal")
    w.box.call("cut", "default", "node2", "--silent")
    time.sleep(3)  # both verdicts stand
    a.quiet()
    b.quiet()


def case_another_node(w):
    host = w.box.address("node3")
    # As if it had been up for a minute: a new one grants nothing until leases that it may have forgotten are over.
    w.box.exec("node3", "sh", "-c", "mkdir -p /var/lib/safekit/witness && echo safekit-leases 1 38d394c2 > /var/lib/safekit/witness/leases")
    w.box.kill_processes("node3", "safekitd")
    until(lambda: "node3" in w.box.safekit("node3", "get", "nodes", check=False), 20, "it is there again")
    leases(w, "node", None, "node3", env=[f"WITNESS_HOST={host}"])
    note("   and the daemons follow it")
    for node in ("node1", "node2"):
        w.box.exec(node, "mkdir", "/srv/data")
    follow(w, "node", "node3", lambda: w.box.call("kill", "node3"))


case_another_node.nodes = 3


def follow(w, kind, address, end):
    w.box.safekit("node1", "apply", "-f", "-", input=MIRROR + f"""  checkers:
    splitBrain: {{ident: w, exec: {kind}, witnesses: ["{address}"]}}
""")
    until(lambda: w.box.state("node2", "app"), 20, "the module reaches the second node")
    w.box.safekit("node1", "prim", "-m", "app")
    w.box.wait_state("node1", "app", "ALONE Ready")

    def value(resource):
        return w.box.safekit("node1", "get", "-m", "app", "-r", resource, check=False).strip()
    until(lambda: value("splitbrain.w") == "up", 20, lambda: value("splitbrain.w"))
    assert value("splitbrain.uptodate") in ("init", "up"), value("splitbrain.uptodate")
    end()
    until(lambda: value("splitbrain.w") == "down", 30, lambda: value("splitbrain.w"))


harness.cases_main(globals(), lambda case: World(getattr(case, "nodes", 2)))
