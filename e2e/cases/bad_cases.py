#!/usr/bin/env python3
"""What goes wrong in real life, as a user meets it: each case must end in a message that names the place and the fix, change
nothing else, and go on by itself or after the fix. usage: bad_cases.py [CASE...]"""
import contextlib
import glob
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import BIN, SAFEKIT, Sandbox, later, note, sh, until  # noqa: E402

DATA, PRIVATE = "/srv/data", "/etc/safekit-e2e"  # PRIVATE: what the test tells a node's scripts and clock
STATE = "/var/lib/safekit"
YEAR = 365 * 86400
MODULE = """apiVersion: safekit/v1
kind: Module
metadata:
  name: app
spec:
  mode: mirror
  id: 7
  nodes: [node1, node2]
  heartbeats:
    timeout: 1s
    lans: [default, replication]
  virtualIPs:
    - ADDRESS
  replication:
    lan: replication
    directories:
      - path: /srv/data
  scripts:
    directory: bin
  processes:
    - name: bad-app
      action: restart
"""
API_PORT, PEER_PORT, REPLICATION_PORT = 9453, 4800, 5600 + 4 * (7 - 1)  # the last of module id 7
SCRIPTS = {
    # Counts in a file, each number on the disk before the next.
    "bad-app": f"""#!/bin/bash
n=$((10#0$(tail -n 1 {DATA}/log 2>/dev/null)))
while :; do
  n=$((n + 1))
  # 256 bytes, so that on a full disk a line is there or not.
  until printf '%0255d\\n' $n >>{DATA}/log && sync {DATA}/log; do sleep 0.1; done
  sleep 0.05
done
""",
    "start_prim": f"""#!/bin/sh
case "$(cat {PRIVATE}/how 2>/dev/null)" in
  fail) echo "the licence of the application has expired"; exit 3 ;;
  hang) exec sleep 1000 ;;
esac
[ "$(cat {PRIVATE}/how 2>/dev/null)" != fork ] || sleep 1000 &  # a daemon that keeps our output open
setsid "$SAFEUSERBIN/bad-app" </dev/null >/dev/null 2>&1 &
""",
    "stop_prim": """#!/bin/sh
[ "$1" = force ] && signal=KILL || signal=TERM
pkill -$signal -x bad-app
exit 0
""",
}


def expect(text, *parts):
    """The message has every part: the place, the rule, the fix."""
    for part in parts:
        if part not in text:
            raise RuntimeError(f"'{part}' is missing in:\n{text}")


class World:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="safekit-bad-", dir="/var/tmp")
        name = f"bad{os.getpid()}"
        # `down --purge` cannot remove what is a mount point, and leaves its link to the directory for that.
        later(sh, "rm", "-f", f"/var/lib/safekit-sandbox/{name}")
        later(harness.remove, self.directory)
        self.box_directory = f"{self.directory}/sandbox"
        # Small file systems of its own for node1, so that a full disk is node1's alone.
        for path, size in (("node1/state", "48m"), ("node1/root/srv", "32m")):
            place = f"{self.box_directory}/{path}"
            os.makedirs(place)
            sh("mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", place)
            later(sh, "umount", "-l", place)
        self.box = Sandbox(name, self.box_directory, private=("/srv", PRIVATE))
        self.subnet = self.box.address("node1").rsplit(".", 1)[0]
        self.address = f"{self.subnet}.100"
        self.folder = f"{self.directory}/module"
        os.makedirs(f"{self.folder}/bin")
        for name, text in SCRIPTS.items():
            self.write(f"bin/{name}", text)
            os.chmod(f"{self.folder}/bin/{name}", 0o755)
        self.module = self.write("module.yaml", MODULE.replace("ADDRESS", self.address))
        for node in self.box.nodes:
            self.set_clock(node, 0)
            library = os.path.join(BIN, "libsafekit-wrong-clock.so")
            self.box.exec(node, "sh", "-c", f"echo {library} >/etc/ld.so.preload")
        for node in self.box.nodes:
            self.restart_daemon(node)
        self.written = 0  # the last number that is known to be on both disks

    def write(self, name, text):
        path = f"{self.folder}/{name}"
        with open(path, "w") as out:
            out.write(text)
        return path

    def set_clock(self, node, seconds):
        path = self.box.root(node, f"{PRIVATE}/clock-offset")
        with open(path, "r+b" if os.path.exists(path) else "wb") as out:
            out.write(struct.pack("q", int(seconds)))

    def how(self, word):
        for node in self.box.nodes:
            with open(self.box.root(node, f"{PRIVATE}/how"), "w") as out:
                out.write(word)

    def run(self, node, *words, timeout=30):
        done = subprocess.run([*self.box.words(node), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=timeout, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout

    def refused(self, node, *words, code=1, parts=(), timeout=30):
        """A command that must fail, with this exit code and these words."""
        got, text = self.run(node, *words, timeout=timeout)
        if got != code:
            raise RuntimeError(f"{' '.join(words)}: exit {got}, not {code}\n{text}")
        expect(text, *parts)
        note("    " + text.strip().replace("\n", "\n             "))
        return text

    def specs(self):
        lists = [json.loads(self.box.safekit(node, "get", kind, "-o", "json"))["items"]
                 for node in self.box.nodes for kind in ("modules", "clusters")]
        return [(item["metadata"], item["spec"]) for items in lists for item in items]

    @contextlib.contextmanager
    def unchanged(self):
        """Neither what is wanted nor who does what changes."""
        before = self.specs(), self.box.states("app")
        yield
        after = self.specs(), self.box.states("app")
        if before != after:
            raise RuntimeError(f"something changed:\n{before}\n{after}")

    def tells(self, node, *parts, seconds=15, what=("state", "-v", "-m", "app")):
        """What the user looks at says so, soon."""
        seen = []

        def there():
            seen[:] = [self.run(node, SAFEKIT, *what)[1]]
            return all(part in seen[0] for part in parts)
        until(there, seconds, lambda: f"{node} says {parts}:\n{seen[0]}")
        note("    " + "\n             ".join(line for line in seen[0].splitlines() if any(p in line for p in parts)))
        return seen[0]

    def log(self, node):
        return self.box.safekit(node, "log", "-A", "-m", "app")

    def log_tells(self, node, *parts, seconds=15):
        return self.tells(node, *parts, seconds=seconds, what=("log", "-A", "-s", "30", "-m", "app"))

    def daemon_log(self, node):
        with open(f"{self.box_directory}/{node}/log/safekitd.log", errors="replace") as text:
            return text.read()

    def restart_daemon(self, node):
        old = self.box.kill_processes(node, "safekitd")
        self.await_daemon(node, old)

    def await_daemon(self, node, old=()):
        until(lambda: self.box.pids(node, "safekitd") not in ([], list(old)) and
              self.run(node, SAFEKIT, "get", "nodes")[0] == 0, 20, f"safekitd answers on {node}")

    def both(self, verb):
        for node in self.box.nodes:
            self.box.safekit(node, verb, "-m", "app")

    def stop(self):
        """The secondary first, so that no write of the primary is caught waiting for it."""
        for node in sorted(self.box.nodes, key=lambda n: self.box.state(n, "app").startswith(("PRIM", "ALONE"))):
            self.box.safekit(node, "stop", "-m", "app")
            self.box.wait_state(node, "app", "STOP NotReady", 40)

    def start_pair(self):
        self.both("start")
        return self.pair()

    def pair(self):
        primary, second = self.box.wait_pair("app", 40)
        self.counts(primary)
        return primary, second

    def count(self, node):
        with contextlib.suppress(OSError, IndexError, ValueError):
            with open(self.box.root(node, f"{DATA}/log")) as text:
                return int(text.read().split()[-1])
        return 0

    def counts(self, node, seconds=20):
        """The application goes on; gives its last number."""
        before = self.count(node)
        until(lambda: self.count(node) > before + 3, seconds, lambda: f"the application on {node} goes on: {self.box.states('app')}")
        return self.count(node)

    def primary_to_be(self):
        return next((node for node in self.box.nodes if self.box.state(node, "app") == "ALONE Transient"), None)

    def nothing_lost(self):
        """A pair whose application has every number that it ever wrote, in order, on both copies."""
        primary, second = self.pair()
        self.box.kill_processes(primary, "bad-app", "STOP")
        problems = []

        def equal():
            problems[:] = harness.compare_trees(self.box.root(primary, DATA), self.box.root(second, DATA))
            return not problems
        until(equal, 20, lambda: f"the copies are equal: {problems}")
        with open(self.box.root(primary, f"{DATA}/log")) as text:
            numbers = list(map(int, text.read().split()))
        if numbers != list(range(1, len(numbers) + 1)) or len(numbers) < self.written:
            raise RuntimeError(f"numbers are missing: {self.written} written, {len(numbers)} there")
        self.written = len(numbers)
        self.box.kill_processes(primary, "bad-app", "CONT")


# --- what is written in a file or on the command line --------------------------------------------------------------

def case_wrong_files(w):
    w.box.safekit("node1", "apply", "-f", w.module)
    until(lambda: w.box.state("node2", "app"), 20, "the module reaches node2")
    text = open(w.module).read()
    with w.unchanged():
        path = w.write("wrong.yaml", text.replace("mirror", "miror").replace("timeout: 1s", "timout: 1s"))
        w.refused("node1", SAFEKIT, "apply", "-f", path,
                  parts=(f"{path}:6:9: error: invalid value 'miror'", "mirror|farm|light", f"{path}:10:5:", "'timout'",
                         "did you mean 'timeout'?"))
        path = w.write("syntax.yaml", "spec: [1\n b: }")
        w.refused("node1", SAFEKIT, "apply", "-f", path, parts=(f"{path}:2:", "[syntax]"))
        # One good object beside a bad one: neither is taken.
        path = w.write("half.yaml", "apiVersion: safekit/v1\nkind: Module\nmetadata: {name: good}\nspec: {mode: light, id: 8, nodes: [node1]}\n---\n" +
                       text.replace("id: 7", "id: seven"))
        w.refused("node1", SAFEKIT, "apply", "-f", path, parts=(f"{path}:12:7:", "seven"))
        path = w.write("userconfig.xml", '<safe>\n<service mode="mirror" failovr="off">\n</service>\n</safe>\n')
        w.refused("node1", SAFEKIT, "apply", "-f", path, "--name", "app",
                  parts=(f"{path}:2:24:", "failovr", "did you mean 'failover'?"))
        path = w.write("userconfig.xml", '<safe>\n<service mode="mirror">\n</servce>\n</safe>\n')
        w.refused("node1", SAFEKIT, "apply", "-f", path, "--name", "app", parts=(f"{path}:3:3:", "mismatched tag"))
        w.refused("node1", SAFEKIT, "apply", "-f", "/no/such.yaml", parts=("/no/such.yaml", "No such file"))


def case_unknown_names(w):
    text = open(w.module).read()
    with w.unchanged():
        path = w.write("unknown.yaml", text.replace("node2", "node3").replace("lan: replication", "lan: replicaton"))
        w.refused("node1", SAFEKIT, "apply", "-f", path,
                  parts=(f"{path}:8:18:", "node3 is not defined in the cluster", f"{path}:15:10:",
                         "did you mean 'replication'?", "nothing was applied"))
        w.refused("node1", SAFEKIT, "start", "-m", "ap", parts=("no module 'ap'", "safekit get modules"))
        w.refused("node1", SAFEKIT, "get", "module", "ap", parts=("no module 'ap'",))
        w.refused("node1", SAFEKIT, "start", "-m", "app", "--node", "node9", parts=("node9", "node1, node2"))
        w.refused("node1", SAFEKIT, "strat", "-m", "app", code=2, parts=("strat", "did you mean 'start'?"))


# --- the machine is not as the module needs it ---------------------------------------------------------------------

def case_no_directory(w):
    with w.unchanged():
        w.both("start")
        for node in w.box.nodes:  # also the one that would only wait and follow
            w.tells(node, f"replicated directory '{DATA}': No such file or directory; make it on this node")
        w.stop()
        for node in w.box.nodes:
            if os.path.exists(w.box.root(node, DATA)):
                raise RuntimeError("the directory was made; on an unmounted file system that hides the data")


def case_both_have_data(w):
    for node in w.box.nodes:
        os.makedirs(w.box.root(node, DATA))
        with open(w.box.root(node, f"{DATA}/of-{node}"), "w") as out:
            out.write(node)
    w.both("start")
    for node in w.box.nodes:
        w.tells(node, "first start, and both nodes have data in the replicated directories", "`safekit prim`")
    for node in w.box.nodes:
        if os.listdir(w.box.root(node, DATA)) != [f"of-{node}"]:
            raise RuntimeError("data was touched")
    w.stop()
    w.box.safekit("node2", "prim", "-m", "app")
    w.box.safekit("node1", "start", "-m", "app")
    # Its own data is not given up unasked.
    w.tells("node1", f"'{DATA}' is not empty here, and never synchronised", "`safekit second fullsync`")
    assert os.listdir(w.box.root("node1", DATA)) == ["of-node1"]
    w.box.safekit("node1", "stop", "-m", "app")
    w.box.wait_state("node1", "app", "STOP NotReady", 20)
    w.box.safekit("node1", "second", "fullsync", "-m", "app")
    assert w.pair() == ("node2", "node1")
    assert sorted(os.listdir(w.box.root("node1", DATA))) == ["log", "of-node2"]
    w.nothing_lost()


def case_no_fuse(w):
    w.stop()
    # As in a container that may not use the device.
    w.box.exec("node1", "sh", "-c", "mount --bind /dev/fuse /dev/fuse && mount -o remount,bind,nodev /dev/fuse")
    w.box.safekit("node1", "prim", "-m", "app")
    w.tells("node1", "cannot open '/dev/fuse'", "modprobe fuse")
    w.box.wait_state("node1", "app", "STOP NotReady", 20)
    w.box.exec("node1", "umount", "/dev/fuse")
    assert w.start_pair()[0] == "node2", "a start that failed left a mark that its copy is the newest"
    w.nothing_lost()


def case_address_in_use(w):
    w.stop()
    w.box.exec("client", "ip", "addr", "add", f"{w.address}/24", "dev", "eth0")
    w.both("start")
    w.tells("node2", f"virtual address {w.address} is in use by the machine with MAC address", "stop it there, or give the module")
    for node in w.box.nodes:
        if w.address in w.box.exec(node, "ip", "-4", "addr"):
            raise RuntimeError("the address was taken though it is in use")
    w.box.exec("client", "ip", "addr", "del", f"{w.address}/24", "dev", "eth0")
    w.pair()  # asked again from time to time: nobody has to do anything


def case_both_stopped_at_once(w):
    w.both("stop")
    for node in w.box.nodes:
        w.box.wait_state(node, "app", "STOP NotReady", 60)
    w.start_pair()  # neither copy is taken for an old one
    w.nothing_lost()


def case_script_fails(w):
    w.stop()
    w.how("fail")
    w.both("start")
    primary, _ = w.box.wait_pair("app", 40)
    w.log_tells(primary, "Script start_prim ended with exit code 3, see userlog_")
    # It is tried again a few times, then given up in order, with the cause.
    w.box.wait_state(primary, "app", "STOP NotReady", 60)
    w.tells(primary, "stopped after 3 corrective actions", "mend the cause, then `safekit start`")
    logs = "".join(open(path).read() for path in sorted(glob.glob(f"{w.box_directory}/{primary}/state/modules/app/*start_prim.ulog")))
    expect(logs, "the licence of the application has expired")
    w.stop()
    w.how("")
    w.start_pair()
    w.nothing_lost()


def case_script_hangs(w):
    w.stop()
    w.how("hang")
    w.both("start")
    until(lambda: w.primary_to_be(), 20, "one becomes primary")
    primary = w.primary_to_be()
    w.tells(primary, "script start_prim is running", "`safekit forcestop`")
    w.both("forcestop")
    for node in w.box.nodes:
        w.box.wait_state(node, "app", "STOP NotReady", 20)
    if w.box.pids(primary, "sleep"):
        raise RuntimeError("the script still runs")
    w.how("")
    w.start_pair()
    w.nothing_lost()


def case_script_leaves_a_daemon(w):
    w.stop()
    w.how("fork")  # what it leaves keeps the script's output open; the script is over all the same
    w.start_pair()
    w.how("")
    for node in w.box.nodes:
        w.box.kill_processes(node, "sleep")
    w.nothing_lost()


# --- a node is not as its cluster needs it -------------------------------------------------------------------------

@contextlib.contextmanager
def held(w, node, *places):
    """Another program has these ports, as soon as they can be had: (kind, address, port)."""
    code = f"""import socket, sys, time
held = []
for kind, address, port in {places!r}:
    while True:
        try:
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == 'tcp')
            s.bind((address, port))
            if kind == 'tcp': s.listen()
            break
        except OSError: s.close(); time.sleep(0.001)
    held.append(s)
print('held', flush=True)
sys.stdin.read()"""
    with subprocess.Popen([*w.box.words(node), "python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        yield process
        process.stdin.close()


def case_ports_taken(w):
    primary, second = w.pair()
    addresses = [w.box.address(second, n) for n in (0, 1)]
    # The daemon of the secondary finds its ports taken when it is started again.
    places = [("tcp", "0.0.0.0", API_PORT)]
    places += [(kind, address, PEER_PORT) for kind in ("tcp", "udp") for address in addresses]
    with held(w, second, *places) as holder:
        w.box.kill_processes(second, "safekitd")
        assert holder.stdout.readline() == "held\n"
        w.await_daemon(second)

        def told():
            return w.daemon_log(second) + w.run(second, SAFEKIT, "cluster", "status")[1]
        for words in (f"TCP port {API_PORT} ", f"UDP port {PEER_PORT} on {addresses[0]} is taken by python3",
                      "tries again by itself"):
            until(lambda: words in told(), 15, lambda: f"the log or the status names {words}: {told()[-2000:]}")
            note("    " + next(line for line in told().splitlines() if words in line))
        w.counts(primary)
        if w.box.states("app")[primary] not in ("PRIM Ready", "ALONE Ready"):
            raise RuntimeError(f"the primary was disturbed: {w.box.states('app')}")
    for port in (API_PORT, PEER_PORT):
        until(lambda: w.run(second, "ss", "-Hltn", f"sport = {port}")[1], 40, f"port {port} is taken up when it is free")
    w.pair()


def case_replication_port_taken(w):
    w.stop()
    w.how("")
    node = "node1"
    with held(w, node, ("tcp", w.box.address(node, 1), REPLICATION_PORT)) as holder:
        assert holder.stdout.readline() == "held\n"
        w.box.safekit("node2", "prim", "-m", "app")
        w.box.safekit("node1", "start", "-m", "app")
        w.tells(node, f"port {REPLICATION_PORT}")
        w.counts("node2")
    w.nothing_lost()  # by itself, when the port is free


def case_second_safekitd(w):
    primary, _ = w.pair()
    with w.unchanged():
        w.refused("node1", f"{BIN}/safekitd", "--node", "node1",
                  parts=(f"state directory '{STATE}' is in use by another safekitd (pid ", "stop that one first"))
        w.refused("node1", f"{BIN}/safekitd", "--node", "node1", "--state-dir", f"{PRIVATE}/state",
                  parts=("another safekitd answers on '/run/safekit/safekitd.sock'", "stop it first"))
    w.counts(primary)


def case_newer_state(w):
    """A node whose safekit was downgraded: the daemon does not touch what it does not understand, the module goes on."""
    primary, _ = w.pair()
    path = f"{w.box_directory}/{primary}/state/control.db"

    def set_format(number):
        with contextlib.closing(sqlite3.connect(path)) as database:
            before = database.execute("pragma user_version").fetchone()[0]
            database.execute(f"pragma user_version = {number}")
        return before
    before = set_format(99)
    w.box.kill_processes(primary, "safekitd")
    words = f"'{STATE}/control.db' was written by a newer safekit: it has format 99"
    until(lambda: words in w.daemon_log(primary), 20, "the daemon refuses the state")
    note("    " + next(line for line in w.daemon_log(primary).splitlines() if words in line))
    w.refused(primary, SAFEKIT, "state", "-m", "app", parts=("safekitd",))
    if set_format(before) != 99:
        raise RuntimeError("the state was written to")
    w.await_daemon(primary)
    w.nothing_lost()


# --- another cluster, another time ---------------------------------------------------------------------------------

def reinstall(w, node):
    """The node is set up anew: its state is gone, its data is there."""
    place = f"{w.box_directory}/{node}/state"
    old = w.box.pids(node, "safekitd")
    w.box.exec(node, "kill", "-STOP", *map(str, old))
    for name in os.listdir(place):
        path = os.path.join(place, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    w.restart_daemon(node)


def leave(w, node):
    """Stopped on that node, served by the other one."""
    w.box.safekit(node, "stop", "-m", "app")
    w.box.wait_state(node, "app", "STOP NotReady", 30)
    other = w.box.other(node)
    w.box.wait_state(other, "app", "ALONE Ready", 30)
    reinstall(w, node)
    return other


def come_back(w, node, token=None):
    """Joins the cluster of the other node; its old copy gives way to that node's."""
    token = token or w.box.safekit(w.box.other(node), "cluster", "token").strip()
    w.box.safekit(node, "cluster", "join", token, "--node", node)
    until(lambda: w.box.state(node, "app"), 20, "the module reaches the node that joined")
    w.box.safekit(node, "second", "fullsync", "-m", "app")
    w.nothing_lost()


def case_other_cluster(w):
    w.pair()
    other = leave(w, "node2")
    w.box.safekit("node2", "cluster", "init", "-f", f"{w.box_directory}/cluster.yaml", "--node", "node2")
    for node, peer in (("node1", "node2"), ("node2", "node1")):
        w.tells(node, f"'{peer}' belongs to another cluster", "join that node to this cluster anew",
                what=("cluster", "status"))
    w.counts(other)
    token = w.box.safekit(other, "cluster", "token").strip()
    w.refused("node2", SAFEKIT, "cluster", "join", token, "--node", "node2",
              parts=("belongs to cluster", f"stop safekitd and move '{STATE}/pki' away"))
    reinstall(w, "node2")
    come_back(w, "node2")


def case_clock_wrong_at_join(w):
    w.pair()
    other = leave(w, "node2")
    token = w.box.safekit(other, "cluster", "token").strip()
    for years, words in ((2, "certificate has expired"), (-2, "certificate is not yet valid")):
        w.set_clock("node2", years * YEAR)
        w.refused("node2", SAFEKIT, "cluster", "join", token, "--node", "node2",
                  parts=(f"port {API_PORT}", "the certificate of 'node1' is refused", words, "check the clocks of both nodes"))
    w.counts(other)
    w.set_clock("node2", 0)
    come_back(w, "node2", token)  # a refused attempt does not use the token up


def case_clock_jumps(w):
    primary, second = w.pair()
    for node in (primary, second):
        for seconds in (3600, -3600, 2 * YEAR, -2 * YEAR):
            w.set_clock(node, seconds)
            w.counts(primary)
            if w.box.states("app") != {primary: "PRIM Ready", second: "SECOND Ready"}:
                raise RuntimeError(f"a clock moved a role: {w.box.states('app')}")
        w.set_clock(node, 0)
    # New connections are refused while a clock is wrong; the primary goes on, and so does the pair when the clock is right.
    w.set_clock(second, 2 * YEAR)
    w.box.kill_processes(second, "safekit-replicad")
    w.tells(second, "certificate has expired", "the clocks of both nodes", seconds=20)
    w.box.wait_state(primary, "app", "ALONE Ready", 20)
    w.counts(primary)
    w.set_clock(second, 0)
    w.nothing_lost()


# --- a full disk ---------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def full(w, node, directory):
    with open(w.box.root(node, f"{directory}/filler") if directory == "/srv" else f"{w.box_directory}/{node}/state/filler", "wb",
              buffering=0) as filler:
        with contextlib.suppress(OSError):
            while True:
                filler.write(bytes(4096))
        try:
            yield
        finally:
            os.remove(filler.name)


def case_disk_of_the_primary_full(w):
    primary = to_node1(w)
    with full(w, primary, "/srv"):
        time_of_states = time.monotonic()

        def stands():
            before = w.count(primary)
            time.sleep(0.5)
            return w.count(primary) == before
        until(stands, 20, "the application gets no more space")
        w.refused(primary, "dd", "if=/dev/zero", f"of={DATA}/more", "bs=64k", "count=1", parts=("No space left on device",))
        until(lambda: time.monotonic() > time_of_states + 4, 5, "")
        if sorted(w.box.states("app").values()) != ["PRIM Ready", "SECOND Ready"]:
            raise RuntimeError(f"a full disk moved a role: {w.box.states('app')}")
    w.box.exec(primary, "rm", "-f", f"{DATA}/more")
    w.counts(primary)
    w.nothing_lost()


def case_disk_of_the_daemon_full(w):
    primary = to_node1(w)
    changed = w.write("changed.yaml", open(w.module).read().replace("timeout: 1s", "timeout: 2s"))
    with w.unchanged(), full(w, primary, STATE):
        w.refused(primary, SAFEKIT, "apply", "-f", changed, parts=(f"'{STATE}/control.db'", "disk is full", "free some space"))
        w.refused(primary, SAFEKIT, "swap", "-m", "app", parts=("disk is full", "free some space"))
        w.counts(primary)
        w.restart_daemon(primary)
        w.counts(primary)
        if sorted(w.box.states("app").values()) != ["PRIM Ready", "SECOND Ready"]:
            raise RuntimeError(f"a full disk moved a role: {w.box.states('app')}")
    w.box.safekit(primary, "apply", "-f", changed)
    w.box.safekit(primary, "apply", "-f", w.module)
    w.nothing_lost()


def to_node1(w):
    """node1 has the small disks."""
    if w.pair()[0] != "node1":
        w.box.safekit("node2", "swap", "-m", "app")
        w.box.wait_state("node1", "app", "PRIM Ready", 40)
    return w.pair()[0]


CASES = [value for name, value in list(globals().items()) if name.startswith("case_")]


def main():
    world = World()
    without = os.environ.get("SK_WITHOUT", "").split(",")
    for case in CASES:
        if case.__name__ in without or (sys.argv[1:] and case.__name__ not in sys.argv[1:]):
            continue
        began = time.monotonic()
        note(f"{case.__name__}")
        case(world)
        note(f"{case.__name__}: good, {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    harness.test_main(main)
