#!/usr/bin/env python3
"""The checkers of a module on a cluster: the link of the virtual address, custom programs that tell changes or are run again and
again, witnesses. Usage: checkers.py [CASE...]"""
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import MIRROR, Sandbox, later, note, until  # noqa: E402

CUSTOM = """  maxLoop: 50
  checkers:
    custom:
    - {ident: tells, exec: tells, arg: /srv/tells, when: pre, action: wait}
    - {ident: asked, exec: asked, arg: /srv/asked, when: prim, action: restart, interval: 200ms, timeout: 500ms}
    splitBrain: {ident: witness, witnesses: [192.0.2.1, ADDRESS]}
  scripts:
    files:
      tells: |
        #!/bin/sh
        # A program of the author's: tells the changes of a file, for ever.
        old=
        while :; do
          new=up; [ -e "$3" ] && new=down
          [ "$new" = "$old" ] || safekit set -m "$1" -r "$2" -v "$new" -i teller
          old=$new
          sleep 0.1
        done
      asked: |
        #!/bin/sh
        [ ! -e "$3" ] || sleep "$(cat "$3")"
        [ ! -e "$3" ]
"""


class World:
    def __init__(self):
        directory = tempfile.mkdtemp(prefix="safekit-checkers-", dir="/var/tmp")
        later(harness.remove, directory)
        self.box = Sandbox(f"check{os.getpid()}", f"{directory}/sandbox")
        for node in self.box.nodes:
            self.box.exec(node, "mkdir", "/srv/data")

    def command(self, node, *words, **options):
        return self.box.safekit(node, *words, "-m", "app", **options)

    def value(self, node, resource):
        return self.command(node, "get", "-r", resource, check=False).strip()

    def wait_value(self, node, resource, value):
        until(lambda: self.value(node, resource) == value, 20, lambda: f"{resource} is {self.value(node, resource)}, not {value}")

    def pair(self, more):
        self.box.safekit("node1", "apply", "-f", "-", input=MIRROR + more)
        until(lambda: self.box.state("node2", "app"), 20, "the module reaches the second node")
        self.command("node1", "prim")
        self.box.wait_state("node1", "app", "ALONE Ready")
        self.command("node2", "start")
        self.box.wait_pair("app")

    def log(self, node):
        return self.command(node, "log", "-A")

    def says(self, node, text):
        until(lambda: text in self.log(node), 20, lambda: f"{text}:\n{self.log(node)}")

    def address(self):
        return self.box.call("status").split("taken from ")[1].split()[0]


def case_the_link_of_the_virtual_address(w):
    w.pair(f"  virtualIPs: [{w.address()}]\n")
    link = f"intf.{w.box.address('node1').rsplit('.', 1)[0]}.0"
    for node in w.box.nodes:
        w.wait_value(node, link, "up")
    w.box.call("cut", "default", "node1")
    w.says("node1", f"Resource {link} set to down by intfcheck")
    w.says("node1", "Action wait from failover rule interface_failure")
    w.box.wait_state("node1", "app", "WAIT NotReady")
    w.box.wait_state("node2", "app", "ALONE Ready")
    w.box.call("heal")
    w.says("node1", "Action wakeup from failover rule Implicit_wakeup")
    w.box.wait_state("node1", "app", "SECOND Ready")
    w.box.wait_state("node2", "app", "PRIM Ready")
    note("   where the address is taken away by hand, the other node serves it")
    w.box.exec("node2", "ip", "addr", "del", f"{w.address()}/24", "dev", "eth0")
    w.says("node2", f"Resource ip.{w.address()} set to down by ipcheck")
    w.says("node2", "Action stopstart from failover rule ip_failure")
    w.box.wait_state("node1", "app", "PRIM Ready")
    w.box.wait_state("node2", "app", "SECOND Ready")


def case_programs(w):
    w.pair(CUSTOM.replace("ADDRESS", w.box.address("node2", 1)))
    warned = w.command("node1", "state", "-v")
    assert "spec.checkers.custom" not in warned, warned
    for node in w.box.nodes:
        w.wait_value(node, "custom.tells", "up")
        w.wait_value(node, "splitbrain.witness", "up")
    w.wait_value("node1", "custom.asked", "up")
    assert w.value("node2", "custom.asked") == "init", "it is for the primary"
    note("   a program that is run again and again: by its exit code, and by its time limit")
    for hold, text in (("0", "Resource custom.asked set to down by asked"), ("9", "The checker custom.asked was ended after its time limit")):
        before = w.log("node1").count("Action restart from failover rule c_asked")
        w.box.exec("node1", "sh", "-c", f"echo {hold} > /srv/asked")
        w.says("node1", text)
        until(lambda: w.log("node1").count("Action restart from failover rule c_asked") > before, 20, lambda: w.log("node1"))
        w.box.exec("node1", "rm", "/srv/asked")
        w.wait_value("node1", "custom.asked", "up")
        w.box.wait_state("node1", "app", "PRIM Ready")
    note("   a program that tells: the node waits and goes on")
    w.box.exec("node1", "touch", "/srv/tells")
    w.says("node1", "Resource custom.tells set to down by teller")
    w.says("node1", "Action wait from failover rule c_tells")
    w.box.wait_state("node1", "app", "WAIT NotReady")
    w.box.wait_state("node2", "app", "ALONE Ready")
    w.box.exec("node1", "rm", "/srv/tells")
    w.box.wait_state("node1", "app", "SECOND Ready")
    note("   a safekitd that is killed leaves no second program")
    before = w.box.pids("node2", "tells")
    assert len(before) == 1, before
    w.box.kill_processes("node2", "safekitd")
    until(lambda: w.box.pids("node2", "tells") and w.box.pids("node2", "tells") != before, 20, lambda: w.box.pids("node2", "tells"))
    w.wait_value("node2", "custom.tells", "up")
    assert len(w.box.pids("node2", "tells")) == 1
    w.box.wait_state("node2", "app", "PRIM Ready")
    w.command("node2", "stop")
    w.box.wait_state("node2", "app", "STOP NotReady")
    until(lambda: not w.box.pids("node2", "tells"), 10, "it ends with the module")


def case_an_address_that_another_machine_takes(w):
    w.pair(f"  maxLoop: 50\n  virtualIPs: [{w.address()}]\n  checkers:\n    ip:\n    - {{ident: vip, address: {w.address()}, interval: 300ms}}\n")
    w.wait_value("node1", "ip.vip", "up")
    note("   the other node has it as well: that is told, and no reason to stop")
    w.box.exec("node2", "ip", "addr", "add", f"{w.address()}/24", "dev", "eth0")
    w.says("node1", "The address of ip.vip is also set on node 'node2'")
    assert w.value("node1", "ip.vip") == "up" and w.box.state("node1", "app") == "PRIM Ready"
    w.box.exec("node2", "ip", "addr", "del", f"{w.address()}/24", "dev", "eth0")
    note("   a machine that nobody knows has it: nobody serves there until it is free again")
    w.box.exec("client", "ip", "addr", "add", f"{w.address()}/24", "dev", "eth0")
    w.says("node1", "The address of ip.vip is also in use by the machine with MAC address")
    w.says("node1", "Resource ip.vip set to down by ipcheck")
    w.says("node1", "Action stopstart from failover rule ip_failure")
    w.box.exec("client", "ip", "addr", "del", f"{w.address()}/24", "dev", "eth0")
    w.box.wait_pair("app")


def light(name, checker):
    return f"""apiVersion: safekit/v1
kind: Module
metadata: {{name: {name}}}
spec:
  mode: light
  id: {12 if name == "beside" else 13}
  nodes: [node1, node2]
  maxLoop: 50
  checkers:
    modules:
    - {checker}
"""


def case_modules_that_depend_on_another(w):
    """C10: one on the module of its own node, one on wherever the virtual address is."""
    w.pair(f"  virtualIPs: [{w.address()}]\n  scripts: {{}}\n")
    w.box.safekit("node1", "apply", "-f", "-", input=light("beside", "{name: app, interval: 300ms}"))
    w.box.safekit("node1", "apply", "-f", "-", input=light("client", f"{{name: app, ident: app, address: {w.address()}, port: 9010, interval: 300ms}}"))
    for node in w.box.nodes:
        until(lambda node=node: w.box.state(node, "client"), 20, "the modules reach the second node")
        for name in ("beside", "client"):
            w.box.safekit(node, "start", "-m", name)
    w.box.wait_state("node1", "beside", "UP Ready")
    w.box.wait_state("node2", "beside", "WAIT NotReady")
    for node in w.box.nodes:
        w.box.wait_state(node, "client", "UP Ready")
    log = w.box.safekit("node2", "log", "-m", "beside", "-A")
    assert "Resource module.app_127.0.0.1 set to down by modulecheck" in log and "module_failure" in w.box.safekit("node2", "why", "-m", "beside"), log
    note("   it fails over, and both clients with it")
    w.command("node1", "swap")
    w.box.wait_state("node2", "app", "PRIM Ready")
    w.box.wait_state("node2", "beside", "UP Ready")
    w.box.wait_state("node1", "beside", "WAIT NotReady")

    def begun(node, name):
        log = w.box.safekit(node, "log", "-m", name, "-A")
        return log.count("Action stopstart called by modulecheck") + log.count("Action wait from failover rule module_failure")
    for node in w.box.nodes:
        until(lambda node=node: begun(node, "client"), 20, lambda node=node: w.box.safekit(node, "log", "-m", "client", "-A"))
        w.box.wait_state(node, "client", "UP Ready")
    note("   it restarts in its place")
    before = {node: begun(node, "client") for node in w.box.nodes}
    w.command("node2", "restart")
    for node in w.box.nodes:
        until(lambda node=node: begun(node, "client") > before[node], 20, lambda node=node: w.box.safekit(node, "log", "-m", "client", "-A"))
        w.box.wait_state(node, "client", "UP Ready")
    note("   it stops, and starts again")
    for node in w.box.nodes:
        w.command(node, "stop")
    for node in w.box.nodes:
        w.box.wait_state(node, "client", "WAIT NotReady")
    for node in w.box.nodes:
        w.command(node, "start")
    for node in w.box.nodes:
        w.box.wait_state(node, "client", "UP Ready")


harness.cases_main(globals(), lambda _: World())
