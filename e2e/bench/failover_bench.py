"""How long a service is away. `node_kill_to_vip_T`: power loss of the primary to the first answer at the virtual address by the
other node, at a time-out T of the heartbeats (rows `300ms`, `1s`, `3s`); `stop_to_vip` (row `stop`): the same for an orderly stop at
the last time-out; `process_death_to_restart` (row `death`): kill -9 of the application to its stop script. Row `calm`, only when asked
for: false failovers in --seconds under full load. Keepalived beside it with the advert interval of which it waits for three in T."""
import json
import os
import subprocess
import tempfile
import threading
import time

import common
from common import Sandbox, later, note, sh, until

ECHO = os.path.join(os.path.dirname(os.path.realpath(__file__)), "echo.py")
PORT = 7007
MODULE = """apiVersion: safekit/v1
kind: Module
metadata: {{name: echo}}
spec:
  mode: mirror
  id: 1
  nodes: [node1, node2]
  maxLoop: 1000
  heartbeats: {{lans: [default, replication], timeout: {timeout}}}
  virtualIPs: [{address}]
  replication:
    lan: replication
    directories: [{{path: /srv/echo}}]
  scripts:
    files:
      start_prim: |
        #!/bin/sh
        exec setsid python3 {echo} serve {port} </dev/null >/dev/null 2>&1 &
      stop_prim: |
        #!/bin/sh
        date +%s.%N >> /srv/stop_times
        pkill -f 'echo.py serve'
        exit 0
  processes:
    - name: python3
      action: restart
"""


class Probe:
    """Answers at an address as they come, by the time of their question."""

    def __init__(self, words, address):
        self.answers = []
        self.process = subprocess.Popen([*map(str, words), "python3", ECHO, "probe", address, str(PORT)],
                                        stdout=subprocess.PIPE, text=True)
        later(self.process.kill)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.answers.append(float(line))

    def alive(self):
        return bool(self.answers) and time.time() - self.answers[-1] < 0.1

    def gap_after(self, moment, seconds=60):
        """Milliseconds from `moment` to the first answered question after the service went silent."""
        def back():
            late = [a for a in self.answers[-400:] if a > moment]
            before = [a for a in self.answers[-400:] if a <= moment]
            chain = ([before[-1]] if before else [moment]) + late
            for earlier, later_one in zip(chain, chain[1:]):
                if later_one - earlier > 0.03:
                    return later_one
            return None
        return (until(back, seconds, "the address answers again") - moment) * 1000


class Cluster:
    """Two nodes with the echo service, and a client that asks at the virtual address all the time."""

    def __init__(self):
        directory = tempfile.mkdtemp(prefix="safekit-bench-", dir="/var/tmp")
        later(common.remove, directory)
        self.box = Sandbox("benchfo", f"{directory}/sandbox")
        self.address = self.box.address("node1").rsplit(".", 1)[0] + ".100"
        for node in self.box.nodes:
            self.box.exec(node, "mkdir", "-p", "/srv/echo")
        self.apply("1s")
        until(lambda: self.box.state("node2", "echo"), 30, "the module reaches the second node")
        for node in self.box.nodes:
            self.box.safekit(node, "start", "-m", "echo")
        self.box.wait_pair("echo")
        self.probe = Probe(self.box.words("client"), self.address)

    def apply(self, timeout):
        """In place when the module runs."""
        self.box.safekit("node1", "apply", "-f", "-",
                         input=MODULE.format(address=self.address, echo=ECHO, port=PORT, timeout=timeout))
        wanted = self.generation("node1")
        until(lambda: self.generation("node2") == wanted, 30, "both nodes have the module")

    def generation(self, node):
        text = self.box.safekit(node, "get", "module", "echo", "-o", "json", check=False)
        return json.loads(text)["metadata"]["generation"] if text.startswith("{") else None

    def pair(self):
        """The primary, of a pair that serves."""
        until(self.probe.alive, 30, "the echo answers")
        return self.box.wait_pair("echo")[0]

    def log(self, node):
        return self.box.safekit(node, "log", "-A", "-s", "5000", "-m", "echo").splitlines()

    def start(self, node):
        self.box.safekit(node, "start", "-m", "echo", check=False)
        self.box.wait_pair("echo")


def node_kill(cluster, options, report, timeout):
    cluster.apply(timeout)
    for number in range(options.rounds):
        primary = cluster.pair()
        note(f"round {number + 1}, time-out {timeout}: power loss of {primary}")
        moment = time.time()
        cluster.box.call("kill", primary)
        report.add(f"node_kill_to_vip_{timeout}", "ms", False, "mirror", cluster.probe.gap_after(moment))
        cluster.box.call("start", primary)
        until(lambda: cluster.box.state(primary, "echo"), 30, "safekitd answers")
        cluster.start(primary)


def stop(cluster, options, report):
    for number in range(options.rounds):
        primary = cluster.pair()
        note(f"round {number + 1}: stop of {primary}")
        moment = time.time()
        cluster.box.safekit(primary, "stop", "-m", "echo")
        report.add("stop_to_vip", "ms", False, "mirror", cluster.probe.gap_after(moment))
        cluster.box.wait_state(primary, "echo", "STOP NotReady")
        cluster.start(primary)


def process_death(cluster, options, report):
    for number in range(options.rounds):
        primary = cluster.pair()
        note(f"round {number + 1}: death of the process on {primary}")
        times = cluster.box.root(primary, "/srv/stop_times")
        seen = len(open(times).readlines()) if os.path.exists(times) else 0
        victims = cluster.box.pids(primary, "python3")
        moment = time.time()
        for pid in victims:
            cluster.box.exec(primary, "kill", "-KILL", str(pid))
        until(lambda: os.path.exists(times) and len(open(times).readlines()) > seen, 30, "the stop script runs")
        report.add("process_death_to_restart", "ms", False, "mirror", (float(open(times).readlines()[seen]) - moment) * 1000)
        cluster.box.wait_state(primary, "echo", "PRIM Ready")


def false_failover(cluster, options, report):
    """--seconds of full load on all processors at the shortest time-out: no state may change, no heartbeat be missed for so long."""
    cluster.apply(TIMEOUTS[0])
    cluster.pair()
    lines = {node: len(cluster.log(node)) for node in cluster.box.nodes}
    load = subprocess.Popen(["stress-ng", "--quiet", "--cpu", str(os.cpu_count()), "--timeout", str(options.seconds)])
    later(load.kill)
    note(f"{options.seconds} s at {TIMEOUTS[0]} with stress-ng on {os.cpu_count()} processors")
    load.wait()
    changes = [line for node in cluster.box.nodes for line in cluster.log(node)[lines[node]:]
               if "Local state" in line or ("heartbeat." in line and "set to down" in line)]
    for line in changes:
        note(line)
    report.add("false_failover_lines", f"per {options.seconds} s", False, "mirror", len(changes))


def mirror(options, report, rows):
    cluster = Cluster()
    for row in rows:
        if row in TIMEOUTS:
            node_kill(cluster, options, report, row)
        else:
            OTHER_ROWS[row](cluster, options, report)


TIMEOUTS = ("300ms", "1s", "3s")
ADVERT_INTERVALS = {"300ms": 0.1, "1s": 0.3, "3s": 1}  # of keepalived: it waits for three of them
OTHER_ROWS = {"stop": stop, "death": process_death, "calm": false_failover}


def keepalived(options, report, timeout, interval):
    """Two nodes and a client on a bridge; the link of the master is cut, or it is stopped in order."""
    directory = tempfile.mkdtemp(prefix="safekit-bench-", dir="/var/tmp")
    later(common.remove, directory)
    sh("ip", "netns", "add", "skkS")
    later(sh, "ip", "netns", "del", "skkS")
    sh("ip", "-n", "skkS", "link", "add", "br0", "type", "bridge")
    sh("ip", "-n", "skkS", "link", "set", "br0", "up")
    for index, name in enumerate(["skkC", "skk1", "skk2"]):
        sh("ip", "netns", "add", name)
        later(sh, "ip", "netns", "del", name)
        sh("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", f"p{index}", "netns", "skkS")
        sh("ip", "-n", "skkS", "link", "set", f"p{index}", "master", "br0", "up")
        for link in ("lo", "eth0"):
            sh("ip", "-n", name, "link", "set", link, "up")
        sh("ip", "-n", name, "addr", "add", f"10.96.0.{index + 1}/24", "dev", "eth0")
    processes = {}

    def start(index):
        conf = f"{directory}/k{index}.conf"
        with open(conf, "w") as out:
            out.write("global_defs { vrrp_version 3 }\nvrrp_instance V {\n state BACKUP\n interface eth0\n virtual_router_id 51\n"
                      f" priority {100 - index}\n advert_int {interval}\n nopreempt\n virtual_ipaddress {{ 10.96.0.100/24 }}\n}}\n")
        processes[index] = subprocess.Popen(
            ["ip", "netns", "exec", f"skk{index}", "keepalived", "-n", "-l", "-f", conf, "-p", f"{directory}/k{index}.pid",
             "-r", f"{directory}/v{index}.pid", "-c", f"{directory}/c{index}.pid"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(index):
        processes[index].terminate()
        processes[index].wait()

    for index in (1, 2):
        start(index)
        later(stop, index)
        server = subprocess.Popen(["ip", "netns", "exec", f"skk{index}", "python3", ECHO, "serve", str(PORT)])
        later(server.wait)
        later(server.kill)
    probe = Probe(["ip", "netns", "exec", "skkC"], "10.96.0.100")

    def master():
        for index in (1, 2):
            if "10.96.0.100/" in sh("ip", "-n", f"skk{index}", "addr", "show", "dev", "eth0"):
                return index
        return None
    for number in range(options.rounds):
        note(f"keepalived round {number + 1}, time-out {timeout}")
        until(probe.alive, 30, "keepalived serves")
        index = master()
        moment = time.time()
        sh("ip", "-n", "skkS", "link", "set", f"p{index}", "down")
        report.add(f"node_kill_to_vip_{timeout}", "ms", False, "keepalived", probe.gap_after(moment))
        sh("ip", "-n", "skkS", "link", "set", f"p{index}", "up")
        until(probe.alive, 30, "keepalived serves")
        index = until(master, 10, "a master")
        moment = time.time()
        stop(index)
        report.add("stop_to_vip", "ms", False, "keepalived", probe.gap_after(moment))
        start(index)


def run(options, report):
    rows = options.rows.split(",") if options.rows else [*TIMEOUTS, "stop", "death"]
    for row in rows:
        if row not in TIMEOUTS and row not in OTHER_ROWS:
            raise RuntimeError(f"no row '{row}': there are {', '.join([*TIMEOUTS, *OTHER_ROWS])}")
    systems = options.systems.split(",") if options.systems else ["mirror", "keepalived"]
    if "mirror" in systems:
        mirror(options, report, rows)
    if "keepalived" in systems:
        for timeout, interval in ADVERT_INTERVALS.items():
            if timeout in rows:
                keepalived(options, report, timeout, interval)
                common.clean_up()
