"""How long a service is away. `node_kill_to_vip`: power loss of the primary to the first answer at the virtual address by the
other node; `stop_to_vip`: the same for an orderly stop; `process_death_to_restart`: kill -9 of the application to its stop
script. Time-out of the heartbeats 1 s, as the YAML default; keepalived with its least advert interval that it can be compared
with: 0.3 s, three of which it waits for."""
import os
import statistics
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
  heartbeats: {{lans: [default, replication]}}
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


def mirror(options, report):
    directory = tempfile.mkdtemp(prefix="safekit-bench-", dir="/var/tmp")
    later(common.remove, directory)
    sandbox = Sandbox("benchfo", f"{directory}/sandbox")
    address = sandbox.address("node1").rsplit(".", 1)[0] + ".100"
    for node in sandbox.nodes:
        sandbox.exec(node, "mkdir", "-p", "/srv/echo")
    sandbox.safekit("node1", "apply", "-f", "-", input=MODULE.format(address=address, echo=ECHO, port=PORT))
    until(lambda: sandbox.state("node2", "echo"), 30, "the module reaches the second node")
    for node in sandbox.nodes:
        sandbox.safekit(node, "start", "-m", "echo")
    sandbox.wait_pair("echo")
    probe = Probe(sandbox.words("client"), address)
    for number in range(options.rounds):
        until(probe.alive, 30, "the echo answers")
        primary, _ = sandbox.wait_pair("echo")
        note(f"round {number + 1}: power loss of {primary}")
        moment = time.time()
        sandbox.call("kill", primary)
        report.add("node_kill_to_vip", "ms", False, "mirror", probe.gap_after(moment))
        sandbox.call("start", primary)
        until(lambda: sandbox.state(primary, "echo"), 30, "safekitd answers")
        sandbox.safekit(primary, "start", "-m", "echo", check=False)
        primary, _ = sandbox.wait_pair("echo")

        note(f"round {number + 1}: stop of {primary}")
        until(probe.alive, 30, "the echo answers")
        moment = time.time()
        sandbox.safekit(primary, "stop", "-m", "echo")
        report.add("stop_to_vip", "ms", False, "mirror", probe.gap_after(moment))
        sandbox.wait_state(primary, "echo", "STOP NotReady")
        sandbox.safekit(primary, "start", "-m", "echo")
        primary, _ = sandbox.wait_pair("echo")

        note(f"round {number + 1}: death of the process on {primary}")
        times = sandbox.root(primary, "/srv/stop_times")
        seen = len(open(times).readlines()) if os.path.exists(times) else 0
        victims = sandbox.pids(primary, "python3")
        moment = time.time()
        for pid in victims:
            sandbox.exec(primary, "kill", "-KILL", str(pid))
        until(lambda: os.path.exists(times) and len(open(times).readlines()) > seen, 30, "the stop script runs")
        report.add("process_death_to_restart", "ms", False, "mirror", (float(open(times).readlines()[seen]) - moment) * 1000)
        sandbox.wait_state(primary, "echo", "PRIM Ready")


def keepalived(options, report):
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
                      f" priority {100 - index}\n advert_int 0.3\n nopreempt\n virtual_ipaddress {{ 10.96.0.100/24 }}\n}}\n")
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
        note(f"keepalived round {number + 1}")
        until(probe.alive, 30, "keepalived serves")
        index = master()
        moment = time.time()
        sh("ip", "-n", "skkS", "link", "set", f"p{index}", "down")
        report.add("node_kill_to_vip", "ms", False, "keepalived", probe.gap_after(moment))
        sh("ip", "-n", "skkS", "link", "set", f"p{index}", "up")
        until(probe.alive, 30, "keepalived serves")
        index = until(master, 10, "a master")
        moment = time.time()
        stop(index)
        report.add("stop_to_vip", "ms", False, "keepalived", probe.gap_after(moment))
        start(index)


def run(options, report):
    wanted = options.systems.split(",") if options.systems else ["mirror", "keepalived"]
    if "mirror" in wanted:
        mirror(options, report)
    if "keepalived" in wanted:
        keepalived(options, report)
