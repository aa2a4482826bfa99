#!/usr/bin/env python3
"""Acceptance cases of detection by their ids (docs/acceptance.md), each from where the one before has left the cluster: node1 is PRIM."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from world import World, later, run, until  # noqa: E402

# The application: processes `procp` and `procq`, and listeners on two ports.
START = """#!/bin/sh
mkdir -p /srv/bin
for name in procp procq; do
  [ -e /srv/bin/$name ] || cp /bin/sleep /srv/bin/$name
  setsid /srv/bin/$name 1000000 </dev/null >/dev/null 2>&1 &
done
for port in 7001 7002; do
  setsid python3 {listen} $port </dev/null >/dev/null 2>&1 &
done
"""
STOP = """#!/bin/sh
pkill -KILL -x procp
pkill -KILL -x procq
pkill -KILL -f listen.py
exit 0
"""
LISTEN = """import socket, sys
listener = socket.create_server(("", int(sys.argv[1])), backlog=16)
while True:
    listener.accept()[0].close()
"""
QUICK = "interval: 200ms, timeout: 1s"


def settings(w, limit=50, more=""):
    return f"""  maxLoop: {limit}
  errd:
    poll: 1s
    processes:
    - {{name: procp, atLeast: 1, action: restart, class: prim}}
    - {{name: procq, atLeast: 1, action: stopstart, class: prim}}
  checkers:
    tcp:
    - {{ident: again, address: 127.0.0.1, port: 7001, when: prim, action: restart, {QUICK}}}
    - {{ident: over, address: 127.0.0.1, port: 7002, when: prim, action: stopstart, {QUICK}}}
    - {{ident: outside, address: {w.outside}, port: 7003, when: pre, action: wait, {QUICK}}}
    ping:
    - {{ident: path, address: {w.outside}, when: pre, action: wait, {QUICK}}}
{more}"""


def prepare(w):
    w.scripts["start_prim"] = START.format(listen=f"{w.directory}/listen.py")
    w.scripts["stop_prim"] = STOP
    with open(f"{w.directory}/listen.py", "w") as out:
        out.write(LISTEN)
    w.outside = w.box.exec("client", "ip", "-4", "-o", "addr", "show", "dev", "eth0").split("inet ")[1].split("/")[0]
    w.listener = None
    listen(w)
    w.apply(module=settings(w))
    w.command("node1", "prim")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.command("node2", "start")
    w.states("PRIM Ready", "SECOND Ready")


def listen(w):
    """The service outside."""
    w.listener = subprocess.Popen([*w.box.words("client"), "python3", f"{w.directory}/listen.py", "7003"])
    later(end_listener, w)


def end_listener(w):
    if w.listener.poll() is None:
        w.box.exec("client", "pkill", "-KILL", "-f", "listen.py", check=False)
        w.listener.wait()


def kill(w, node, name):
    w.box.exec(node, "pkill", "-KILL", "-x", name)


def stop_listening(w, node, port):
    w.box.exec(node, "pkill", "-KILL", "-f", f"listen.py {port}")


def back(w):
    """The role goes back to node1."""
    w.states("SECOND Ready", "PRIM Ready")
    w.command("node1", "swap")
    w.states("PRIM Ready", "SECOND Ready")


def c1(w):
    kill(w, "node1", "procp")
    w.said("node1", "Process procp not running", "Action restart called by errd", "Local state PRIM Transient", "Local state PRIM Ready")
    until(lambda: w.value("node1", "proc.procp") == "up", 10, lambda: w.value("node1", "proc.procp"))
    w.silent("node2", "Local state")


def c2(w):
    kill(w, "node1", "procq")
    w.said("node1", "Process procq not running", "Action stopstart called by errd", "Action start called automatically", "Local state SECOND Ready")
    w.said("node2", "Local state ALONE Ready", "Local state PRIM Ready")
    back(w)


def c4(w):
    stop_listening(w, "node1", 7001)
    w.said("node1", "Resource tcp.again set to down by tcpcheck", "Action restart from failover rule t_again", "Local state PRIM Ready")
    until(lambda: w.value("node1", "tcp.again") == "up", 10, lambda: w.value("node1", "tcp.again"))
    w.silent("node2", "Local state")


def c5(w):
    stop_listening(w, "node1", 7002)
    w.said("node1", "Resource tcp.over set to down by tcpcheck", "Action stopstart from failover rule t_over", "Action start called automatically",
           "Local state SECOND Ready")
    back(w)


def c6(w):
    """For all nodes alike."""
    end_listener(w)
    for node in w.box.nodes:
        w.said(node, "Resource tcp.outside set to down by tcpcheck", "Action wait from failover rule t_outside", "Local state WAIT NotReady")
    w.states("WAIT NotReady", "WAIT NotReady")
    listen(w)
    for node in w.box.nodes:
        w.said(node, "Resource tcp.outside set to up by tcpcheck", "Action wakeup from failover rule Implicit_wakeup")
    if w.box.wait_pair("app")[0] == "node2":  # the one that waited last may have had the role in between
        back(w)


def c9(w):
    """node1 reaches the service, and its echoes go nowhere."""
    w.box.exec("node1", "ip", "route", "add", "blackhole", w.outside)
    w.said("node1", "Resource ping.path set to down by pingcheck", "Action wait from failover rule", "Local state WAIT NotReady")
    w.box.wait_state("node2", "app", "ALONE Ready")
    assert "p_path" in w.command("node1", "why"), w.command("node1", "why")
    w.box.exec("node1", "ip", "route", "del", "blackhole", w.outside)
    w.said("node1", "Resource ping.path set to up by pingcheck", "Action wakeup from failover rule Implicit_wakeup", "Local state SECOND Ready")
    back(w)


def c8(w):
    """The interface of a network that carries heartbeats and the address is switched off."""
    w.box.exec("node1", "ip", "link", "set", "eth0", "down")
    w.box.wait_state("node2", "app", "ALONE Ready")
    w.said("node1", "Action wait from failover rule", "Local state WAIT")
    w.silent("node1", "Local state ALONE")
    w.box.exec("node1", "ip", "link", "set", "eth0", "up")
    back(w)


def c15(w):
    w.command("node1", "errd", "off")
    w.command("node1", "checker", "off")
    w.said("node1", "Action errd off called by", "Action checker off called by")
    kill(w, "node1", "procp")
    stop_listening(w, "node1", 7001)
    for node, states in (("node1", ("STOP NotReady", "ALONE Ready")), ):
        w.stop(node)
        w.states(*states)
    w.silent("node1", "called by errd", "from failover rule t_again")
    w.command("node1", "start")
    w.states("SECOND Ready", "PRIM Ready")
    assert w.value("node1", "usersetting.errd") == "off" == w.value("node1", "usersetting.checker")
    w.command("node1", "errd", "on")
    w.command("node1", "checker", "on")
    back(w)
    kill(w, "node1", "procp")
    w.said("node1", "Process procp not running", "Action restart called by errd", "Local state PRIM Ready")


def c3(w):
    w.apply(module=settings(w, limit=3))
    w.stop("node2")
    w.stop("node1")
    w.command("node1", "start")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.command("node2", "start")
    w.states("PRIM Ready", "SECOND Ready")
    for count in range(3):
        kill(w, "node1", "procp")
        until(lambda: w.log("node1").count("Action restart called by errd") > count, 10, "it is found")
        w.box.wait_state("node1", "app", "PRIM Ready")
        until(lambda: w.value("node1", "proc.procp") == "up", 10, "it is watched again")
    kill(w, "node1", "procp")
    w.box.wait_state("node1", "app", "STOP NotReady")
    w.said("node1", "Action restart called by errd", "Action stop called by maxloop")
    w.box.wait_state("node2", "app", "ALONE Ready")
    assert w.value("node1", "heart.maxloop") == "true"
    w.command("node1", "start")
    w.states("SECOND Ready", "PRIM Ready")


def c17(w):
    """A program that never says anything of what it looks at."""
    for node in ("node1", "node2"):
        w.stop(node)
    w.scripts["silent"] = "#!/bin/sh\nexec sleep 1000000\n"
    w.apply(module=settings(w, more="    custom:\n    - {ident: silent, exec: silent, when: pre, action: wait}\n"))
    w.command("node1", "start")
    w.box.wait_state("node1", "app", "WAIT Transient")
    until(lambda: w.value("node1", "tcp.outside") == "up", 10, "the others are known")
    assert w.value("node1", "custom.silent") == "init" and w.box.state("node1", "app") == "WAIT Transient"
    w.silent("node1", "Script start_prim")
    w.stop("node1")


CASES = (c1, c2, c4, c5, c6, c9, c8, c15, c3, c17)

if __name__ == "__main__":
    run("acceptd", CASES, prepare)
