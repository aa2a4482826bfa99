#!/usr/bin/env python3
"""Acceptance cases of a mirror's roles by their ids (docs/acceptance.md), each from where the one before has left the cluster."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from world import DATA, World, run, until  # noqa: E402


def m1(w: World):
    """First start, and both have data."""
    for node in w.box.nodes:
        w.do(node, f"echo {node} > of-{node}")
        w.command(node, "start")
    w.states("WAIT NotReady", "WAIT NotReady")
    for node in w.box.nodes:
        w.said(node, "Action start called by root", "Action wait from failover rule notuptodate_server", "Data may be not uptodate",
               "run safekit stop, then safekit prim to force start as primary")
        assert w.value(node, "rfs.uptodate") == "down"
        why = w.command(node, "why")
        assert "held by rule first_start" in why and "the copy here has data and was never synchronised" in why, why
        assert w.code(node, "state", "-lq") == (1, "WAIT\n")


def m2(w):
    for node in w.box.nodes:
        w.stop(node)
        assert w.code(node, "state", "-lq") == (0, "STOP\n")
    w.command("node1", "prim")
    w.box.wait_state("node1", "app", "ALONE Ready")
    assert w.code("node1", "state", "-lq") == (2, "ALONE\n")
    assert ready("node1", w) == 200 and ready("node2", w) == 404
    w.command("node2", "second", "fullsync")  # what it has was never synchronised
    w.states("PRIM Ready", "SECOND Ready")
    w.said("node1", "Action prim called by root", "Script start_prim", "Local state ALONE Ready", "Local state PRIM Ready")
    w.said("node2", "Action second called by root", "Local state SECOND Transient", "Local state SECOND Ready")
    w.equal()
    assert w.do("node1", "ls") == "of-node1\n"
    assert w.code("node1", "state", "-lq")[0] == 3 and w.code("node2", "state", "-lq")[0] == 4
    assert ready("node1", w) == 200 and ready("node2", w) == 404


def ready(node, w):
    """What the probe answers, over the local socket."""
    return int(w.box.exec(node, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", "/run/safekit/safekitd.sock",
                          "http://x/var/modules/app/ready.txt"))


def m8(w):
    w.do("node1", "echo one > file1; sync")
    refused = w.box.exec("node2", "sh", "-c", f"rm -f {DATA}/file1 2>&1; true")
    assert "Read-only" in refused, refused
    w.equal()
    assert "file1" in w.do("node2", "ls")


def m6(w):
    w.command("node1", "restart")
    w.said("node1", "Action restart called by root", "Local state PRIM Transient", "Script stop_prim", "Script start_prim",
           "Local state PRIM Ready")
    w.silent("node2", "Local state")


def m26(w):
    w.command("node1", "swap")
    w.states("SECOND Ready", "PRIM Ready")
    w.said("node1", "Action swap called by root", "Begin of Swap", "Script stop_prim", "Local state SECOND Transient",
           "Local state SECOND Ready")
    w.said("node2", "Script start_prim", "Local state PRIM Ready")
    assert time_of(w, "node1", "Local state SECOND Transient") <= time_of(w, "node2", "Script start_prim")
    for node in w.box.nodes:
        assert w.value(node, "rfs.swapping") == "down"


def time_of(w, node, part):
    line = next(line for line in w.log(node).splitlines() if part in line)
    return re.search(r"\d{4}-\d\d-\d\d[ T_][\d:.]+", line).group()


def m27(w):
    w.command("node2", "swap", "nosync")
    w.states("PRIM Ready", "SECOND Ready")
    w.said("node2", "Action swap called by root")
    assert not re.search("Copied [1-9]", w.log("node2")), w.log("node2")


def m7(w):
    """The client's neighbour entry of the virtual address is that of its holder."""
    def holder():
        w.box.exec("client", "ping", "-c1", "-W1", w.address, check=False)
        mac = re.search(r"lladdr (\S+)", w.box.exec("client", "ip", "neigh", "show", w.address))
        return next((n for n in w.box.nodes if mac and mac.group(1) in w.box.exec(n, "ip", "link", "show", "eth0")), None)
    until(lambda: holder() == "node1", 10, holder)
    w.command("node1", "stopstart")
    w.states("SECOND Ready", "PRIM Ready")
    w.said("node1", "Action stopstart called by root", "Action start called automatically")
    w.said("node2", f"Virtual IP <ip {w.address} of app> set")
    until(lambda: holder() == "node2", 10, holder)
    for address in (w.address, w.box.address("node1"), w.box.address("node2")):
        w.box.exec("client", "ping", "-c1", "-W2", address)
    assert w.address not in w.box.exec("node1", "ip", "addr")
    w.command("node2", "swap")
    w.states("PRIM Ready", "SECOND Ready")


def m4(w):
    w.stop("node1")
    w.box.wait_state("node2", "app", "ALONE Ready")
    w.said("node1", "Action stop called by root", "Script stop_prim", "Local state WAIT Transient", "Local state STOP NotReady")
    w.said("node2", "Action alone called by heart: remote stop", "Script start_prim", "Local state ALONE Ready")


def m9(w):
    w.do("node2", "echo two > file2; sync")
    assert not os.path.exists(w.box.root("node1", f"{DATA}/file2"))


def m10(w):
    """With M5: the application is not restarted."""
    w.command("node1", "start")
    w.states("SECOND Ready", "PRIM Ready")
    w.said("node1", "Action start called by root", "Local state SECOND Transient", "Updating directory tree from", "Reintegration ended (synchronize)",
           "Local state SECOND Ready")
    w.said("node2", "Remote state SECOND Transient", "Local state PRIM Ready")
    for node in w.box.nodes:
        w.silent(node, "Script start_prim")
    w.equal()


def write_without_node1(w, text):
    """Both are stopped then, and node1 has the older data."""
    w.stop("node1")
    w.box.wait_state("node2", "app", "ALONE Ready")
    w.do("node2", f"echo {text} > file3; sync")
    w.stop("node2")


def m20(w):
    """node1 was SECOND."""
    write_without_node1(w, "newer")
    w.command("node1", "start")
    w.box.wait_state("node1", "app", "WAIT NotReady")
    w.said("node1", "Action wait from failover rule notuptodate_server")
    assert w.value("node1", "rfs.uptodate") == "down" and w.value("node1", "rule.notuptodate_server") == "true"
    why = w.command("node1", "why")
    assert "held by rule notuptodate_server" in why and "known to be old" in why and "stopped on the other node" in why, why
    w.command("node2", "start")
    w.states("SECOND Ready", "PRIM Ready")
    assert w.do("node1", "cat file3") == "newer\n"
    assert w.value("node1", "rule.notuptodate_server") == "false"


def m21(w):
    write_without_node1(w, "lost")
    w.command("node1", "prim")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.said("node1", "Action prim called by root")
    assert w.do("node1", "cat file3") == "newer\n"
    w.command("node2", "start")
    w.states("PRIM Ready", "SECOND Ready")
    assert w.do("node2", "cat file3") == "newer\n"


def m12(w):
    w.box.call("kill", "node1")
    w.box.wait_state("node2", "app", "ALONE Ready")
    w.said("node2", "Resource heartbeat.default set to down by heart", "Remote state UNKNOWN", "Action alone called by heart: no heartbeat",
           "Script start_prim")
    w.said("node2", "Resource heartbeat.replication set to down by heart")
    w.boot("node1")
    w.command("node1", "start")
    w.states("SECOND Ready", "PRIM Ready")


def m11(w):
    """The system goes down and comes back, of a module that starts at boot; node2 is the primary."""
    w.command("node2", "boot", "on")
    w.box.safekit("node2", "shutdown")
    assert w.box.state("node2", "app") == "STOP NotReady", "shutdown waits for the end"
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.said("node2", "Action shutdown called by root", "Script stop_prim", "Local state STOP NotReady")
    w.said("node1", "Action alone called by heart: remote stop", "Script start_prim")
    w.box.call("kill", "node2")
    w.silence("node1")
    w.boot("node2")
    w.states("PRIM Ready", "SECOND Ready")
    w.said("node2", "Action start called at boot time")
    assert w.value("node2", "usersetting.boot") == "on"
    w.command("node2", "boot", "off")


def m19(w):
    w.box.call("cut", "default", "--silent")
    until(lambda: w.value("node1", "heartbeat.default") == "down" == w.value("node2", "heartbeat.default"), 15, "both know of it")
    w.states("PRIM Ready", "SECOND Ready")
    for node in w.box.nodes:
        w.silent(node, "Local state")
    w.box.call("heal")
    until(lambda: w.value("node1", "heartbeat.default") == "up" == w.value("node2", "heartbeat.default"), 15, "both hear")


def m13(w):
    for network in ("default", "replication"):
        w.box.call("cut", network, "--silent")
    w.states("ALONE Ready", "ALONE Ready")
    for node in w.box.nodes:
        w.said(node, "Remote state UNKNOWN", "Local state ALONE Ready")
    w.do("node2", "echo lost > of-the-isolated; sync")


def m14(w):
    w.box.call("heal")
    w.states("PRIM Ready", "SECOND Ready")
    # `staying alone` is said only where the other one's ALONE Ready was heard before it gave way.
    w.said("node1", "Local state PRIM Ready")
    w.silent("node1", "Script stop_prim", "exiting alone")
    w.said("node2", "Split brain recovery: exiting alone", "Script stop_prim", "Local state SECOND Transient", "Local state SECOND Ready")
    w.equal()
    assert "of-the-isolated" not in w.do("node2", "ls")


def deaf(w):
    """node1 hears nothing, and is heard: it goes on alone. When it stops, node2 has an older copy, and must not serve it."""
    for link in ("eth0", "eth1"):
        there = json.loads(w.box.exec("node2", "ip", "-j", "addr", "show", "dev", link))[0]
        own = next(one["local"] for one in there["addr_info"] if one["family"] == "inet")
        w.box.exec("node1", "ip", "neigh", "replace", own, "lladdr", there["address"], "dev", link, "nud", "permanent")  # it asks in vain
        w.box.exec("node2", "tc", "qdisc", "add", "dev", link, "root", "blackhole")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.do("node1", "echo newer > of-the-deaf; sync of-the-deaf")
    w.box.wait_state("node2", "app", "SECOND Transient")
    w.stop("node1")
    w.box.wait_state("node2", "app", "WAIT NotReady")
    w.said("node2", "Resource rfs.uptodate set to down")
    w.silent("node2", "Script start_prim")
    for link in ("eth0", "eth1"):
        w.box.exec("node2", "tc", "qdisc", "del", "dev", link, "root")
    w.command("node1", "start")
    w.states("PRIM Ready", "SECOND Ready")
    w.equal()
    assert w.do("node2", "cat of-the-deaf") == "newer\n", w.do("node2", "cat of-the-deaf")


def m22(w):
    w.do("node1", "echo both > file4; sync")
    for node in w.box.nodes:
        w.box.call("kill", node)
    w.boot("node1")
    w.command("node1", "start")
    w.box.wait_state("node1", "app", "WAIT NotReady")
    assert "was one of a pair when this node went down" in w.command("node1", "why")
    w.boot("node2")
    w.command("node2", "start")
    w.states("PRIM Ready", "SECOND Ready")
    assert w.do("node2", "cat file4") == "both\n"


def m24(w):
    for node in w.box.nodes:
        w.command(node, "failover", "off")
        assert w.value(node, "usersetting.failover") == "off"
    w.stop("node1")
    w.box.wait_state("node2", "app", "WAIT NotReady")
    w.said("node2", "Failover-off configured", "Action stopstart called by failover-off", "Transition STOPSTART from failover-off",
           "Local state WAIT NotReady")
    assert "held by rule failover-off" in w.command("node2", "why")


def m25(w):
    w.command("node1", "start")
    w.states("PRIM Ready", "SECOND Ready")
    for node in w.box.nodes:
        w.command(node, "failover", "on")


def m31(w):
    w.do("node1", "head -c 40000000 /dev/urandom > big; sync")
    w.stop("node2")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.do("node1", "printf changed | dd of=big bs=1 seek=20000000 conv=notrunc 2>/dev/null; sync")
    w.command("node2", "start")
    w.states("PRIM Ready", "SECOND Ready")
    w.equal()
    copied = int(w.value("node2", "rfs.rei_copy_size_metric"))
    assert copied <= 8192, f"{copied} KB for one zone"


def m33(w):
    w.stop("node2")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.command("node2", "second", "fullsync")
    w.states("PRIM Ready", "SECOND Ready")
    looked_into_all(w, "node2")
    assert w.value("node2", "usersetting.rfssyncmode") == "default"


def looked_into_all(w, node):
    """Its last synchronisation was a full one: every file is compared, and what differs is copied."""
    files = int(w.do(node, "find . -type f | wc -l"))
    assert int(w.value(node, "rfs.rei_copy_count_metric")) == files, (w.value(node, "rfs.rei_copy_count_metric"), files)


def m28(w):
    w.apply(module="  defaultPrimary: node1\n")
    w.stop("node1")
    w.box.wait_state("node2", "app", "ALONE Ready")
    w.command("node1", "start")
    w.states("PRIM Ready", "SECOND Ready")
    w.said("node1", "Local state SECOND Ready", "Transition SWAP from defaultprim", "Local state PRIM Ready")
    w.said("node2", "Begin of Swap", "Local state SECOND Ready")


def loops(w):
    """C13, C14, C18 and the commands of the counter, on a node that is ALONE."""
    w.stop("node2")
    w.box.wait_state("node1", "app", "ALONE Ready")
    for _ in range(5):  # more than the limit
        w.command("node1", "restart")
        w.box.wait_state("node1", "app", "ALONE Ready")
    for count in range(3):
        w.command("node1", "restart", "-i", "me")
        until(lambda: w.log("node1").count("Action restart called by me") > count, 10, "it was taken")
        w.box.wait_state("node1", "app", "ALONE Ready")
    assert w.value("node1", "heart.maxloop") == "false" and int(w.value("node1", "heart.stopstartloop")) > 1_700_000_000
    assert w.code("node1", "checkloop")[0] == 0
    w.command("node1", "restart", "-i", "me")
    w.box.wait_state("node1", "app", "STOP NotReady")
    w.said("node1", "Action restart called by me", "Action stop called by maxloop", "Local state ALONE Transient",
           "Action stop called by heart : local fault", "Local state WAIT Transient", "Action stop called by maxloop", "Local state STOP NotReady")
    assert w.value("node1", "heart.maxloop") == "true" and w.code("node1", "checkloop")[0] == 1
    w.command("node1", "start")
    w.box.wait_state("node1", "app", "ALONE Ready")
    assert w.value("node1", "heart.maxloop") == "false"
    assert [w.code("node1", "incloop", "-i", "me")[0] for _ in range(4)] == [0, 0, 0, 1]
    assert w.code("node1", "incloop")[0] != 0, "who counts has a name"
    w.command("node1", "resetloop")
    assert w.code("node1", "checkloop")[0] == 0
    assert w.box.state("node1", "app") == "ALONE Ready"


def updates(w):
    """Row 53 of the states' table: a turned switch and the command run the script `update`."""
    w.command("node1", "checker", "off")
    w.said("node1", "Action checker off called by", "Script update")
    assert w.value("node1", "usersetting.checker") == "off" and w.value("node1", "rule.ip_failure") == "off"
    assert "usersetting.checker is off" in w.command("node1", "why")
    w.command("node1", "checker", "on")
    w.command("node1", "update")
    w.said("node1", "Action update called by root", "Script update")
    w.silent("node1", "Local state")


def reboots(w):
    """`automaticReboot`: safekitd may not reboot this machine, says so, and the module goes on."""
    assert "--may-reboot" in w.apply(module="  automaticReboot: true\n")
    w.command("node1", "stopstart", "-i", "me")
    w.said("node1", "Action stopstart called by me", "Local state STOP NotReady", "The node is not rebooted", "--may-reboot",
           "Action start called automatically", "Local state ALONE Ready")


def m35(w):
    """No failover before SECOND Ready."""
    w.apply(replication="    resyncBandwidthKb: 1000\n")
    w.do("node1", "head -c 20000000 /dev/urandom > more; sync")
    w.command("node2", "start")
    w.box.wait_state("node2", "app", "SECOND Transient")
    until(lambda: w.value("node2", "rfs.uptodate") == "down" and int(w.value("node2", "rfs.rei_copy_size_metric") or 0) > 1000, 20, "it is copied")
    w.box.call("kill", "node1")
    w.box.wait_state("node2", "app", "WAIT NotReady")
    w.silent("node2", "Script start_prim")


def m30(w):
    w.stop("node2")
    w.command("node2", "prim")
    w.said("node2", "Action prim called by root", "Data may be inconsistent for replicated directories (stopped during reintegration)",
           "run safekit primforce to force start as primary", "Requested prim start aborted", "Local state STOP NotReady")
    w.box.wait_state("node2", "app", "STOP NotReady")
    w.command("node2", "primforce")
    w.box.wait_state("node2", "app", "ALONE Ready")
    w.said("node2", "Action primforce called by root")
    w.boot("node1")
    w.apply(node="node2")  # at full speed
    w.command("node1", "start")
    w.states("SECOND Ready", "PRIM Ready")
    w.equal()
    looked_into_all(w, "node1")


CASES = (m1, m2, m8, m6, m26, m27, m7, m4, m9, m10, m20, m21, m12, m11, m19, m13, m14, deaf, m22, m24, m25, m31, m33, m28, loops, updates, reboots, m35, m30)

if __name__ == "__main__":
    run("accept", CASES, lambda w: w.apply())
