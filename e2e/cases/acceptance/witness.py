#!/usr/bin/env python3
"""Acceptance cases M15 to M18: all networks between the nodes are cut, and a witness decides (docs/acceptance.md, docs/leases.md). Each
with a witness that grants leases and with SafeKit's, which only answers."""
import os
import sys

sys.path[:0] = [os.path.dirname(os.path.realpath(__file__)), os.path.dirname(os.path.dirname(os.path.realpath(__file__)))]
from world import World, run, until  # noqa: E402
from witness_servers import WitnessServers  # noqa: E402

NETWORKS = ("default", "replication")
LEASE = 3


def isolate(w, node):
    for network in NETWORKS:
        w.box.call("cut", network, node, "--silent")


def part(w):
    """The nodes of each other; both reach the witness."""
    for node, other in (("node1", "node2"), ("node2", "node1")):
        for network in range(len(NETWORKS)):
            w.box.exec(node, "ip", "route", "add", "blackhole", w.box.address(other, network))


def join(w):
    for node, other in (("node1", "node2"), ("node2", "node1")):
        for network in range(len(NETWORKS)):
            w.box.exec(node, "ip", "route", "del", "blackhole", w.box.address(other, network))


def use(w, kind, *addresses, lease=""):
    names = ", ".join(f'"{address}"' for address in addresses)
    w.apply(module=f"  checkers: {{splitBrain: {{ident: w, exec: {kind}, witnesses: [{names}]{lease}}}}}\n")
    w.witnesses, w.kind = addresses, kind


def use_server(w):
    w.servers = WitnessServers(w.box, w.directory)
    w.url = w.servers.witness()
    use(w, "http", w.url, lease=f", lease: {LEASE}s")
    for node in w.box.nodes:
        w.do(node, f"echo {node} > of-{node}")
    w.command("node1", "prim")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.command("node2", "second", "fullsync")
    w.states("PRIM Ready", "SECOND Ready")
    for node in w.box.nodes:
        until(lambda: w.value(node, "splitbrain.w") == "up", 20, lambda: w.value(node, "splitbrain.w"))
        assert w.value(node, "splitbrain.uptodate") == "init", w.value(node, "splitbrain.uptodate")


def survives(w, kept, lost):
    """`lost` reaches neither the other node nor the witness."""
    isolate(w, lost)
    w.box.wait_state(kept, "app", "ALONE Ready")
    w.box.wait_state(lost, "app", "WAIT NotReady")
    assert w.value(kept, "splitbrain.uptodate") == "up"
    assert w.value(lost, "splitbrain.uptodate") == "down"
    w.said(kept, "Resource splitbrain.uptodate set to up", "Local state ALONE Ready")
    w.said(lost, "Resource splitbrain.uptodate set to down", "Action wait from failover rule splitbrain_failure", "Local state WAIT NotReady")
    w.silent(lost, "Local state ALONE")
    assert "splitbrain_failure" in w.command(lost, "why")
    assert w.address not in w.box.exec(lost, "ip", "addr")
    w.do(kept, "echo kept > written-alone; sync written-alone")
    w.box.call("heal")
    w.box.wait_state(kept, "app", "PRIM Ready")
    w.box.wait_state(lost, "app", "SECOND Ready")
    w.equal()
    for node in w.box.nodes:
        assert w.value(node, "splitbrain.uptodate") == "init", w.value(node, "splitbrain.uptodate")
        assert w.value(node, "heart.maxloop") == "false"


def m15(w):
    survives(w, "node1", "node2")
    w.silent("node1", "Script stop_prim")


def m16(w):
    survives(w, "node2", "node1")
    w.said("node1", "Script stop_prim")


def m17(w):
    """node2 is primary. The witness dies, then all networks are cut."""
    if w.kind == "http":
        w.servers.end()
    isolate(w, "node1")
    isolate(w, "node2")
    w.states("WAIT NotReady", "WAIT NotReady")
    for node in w.box.nodes:
        w.said(node, "Resource splitbrain.uptodate set to down", "Action wait from failover rule splitbrain_failure", "Local state WAIT NotReady")
    w.said("node2", "Script stop_prim")
    w.stop("node2")
    w.command("node2", "prim")
    w.box.wait_state("node2", "app", "ALONE Ready")
    w.said("node2", "Action prim called by root", "Local state ALONE Ready")
    w.do("node2", "echo forced > written-by-hand; sync written-by-hand")
    w.box.call("heal")
    w.states("SECOND Ready", "PRIM Ready")
    w.equal()
    if w.kind == "http":
        w.servers.witness()
        for node in w.box.nodes:
            until(lambda: w.value(node, "splitbrain.w") == "up", 20, lambda: w.value(node, "splitbrain.w"))


def both_reach_it(w):
    """What SafeKit's witness cannot decide: who has the lease goes on, the other one waits; and takes over nothing when that one is gone."""
    part(w)
    until(lambda: sorted(w.box.states("app").values()) == ["ALONE Ready", "WAIT NotReady"], 60, lambda: w.box.states("app"))
    kept = w.box.primary("app")
    lost = w.box.other(kept)
    w.silent(lost, "Local state ALONE")
    assert kept in w.command(lost, "why"), w.command(lost, "why")
    w.do(kept, "echo more > written-with-the-lease; sync written-with-the-lease")
    w.box.call("kill", kept)
    w.said(lost, "Local state WAIT NotReady")
    join_one(w, lost, kept)
    assert w.box.state(lost, "app") == "WAIT NotReady", "its copy is not the newest"
    w.boot(kept)
    w.command(kept, "start")
    w.box.wait_state(kept, "app", "PRIM Ready")
    w.box.wait_state(lost, "app", "SECOND Ready")
    w.equal()


def join_one(w, node, other):
    """What was added on the other one has gone with it."""
    for network in range(len(NETWORKS)):
        w.box.exec(node, "ip", "route", "del", "blackhole", w.peer_addresses[node][network])


def come_back(w, node, primary):
    w.boot(node)
    w.command(node, "start")
    w.box.wait_state(primary, "app", "PRIM Ready")
    w.box.wait_state(node, "app", "SECOND Ready")


def death(w):
    """The primary dies. The other node reaches the witness, and serves."""
    primary = w.box.primary("app")
    other = w.box.other(primary)
    w.box.call("kill", primary)
    w.box.wait_state(other, "app", "ALONE Ready")
    w.said(other, "the witness is asked", "Resource splitbrain.uptodate set to up", "Action alone called by heart: no heartbeat")
    come_back(w, primary, other)


def restart(w):
    """Alone by the lease, the witness goes for longer than that: the application stops, and comes back with the witness."""
    primary = w.box.primary("app")
    other = w.box.other(primary)
    w.box.call("kill", other)
    w.box.wait_state(primary, "app", "ALONE Ready")
    w.servers.end()
    w.box.wait_state(primary, "app", "WAIT NotReady")
    w.said(primary, "Resource splitbrain.uptodate set to down", "Action wait from failover rule splitbrain_failure", "Local state WAIT NotReady")
    w.servers.witness()
    w.box.wait_state(primary, "app", "ALONE Ready")
    come_back(w, other, primary)


def not_needed(w):
    """Alone because the other one has stopped: the witness may go."""
    primary = w.box.primary("app")
    other = w.box.other(primary)
    w.stop(other)
    w.box.wait_state(primary, "app", "ALONE Ready")
    until(lambda: w.value(primary, "splitbrain.uptodate") == "up", 10, "it has the lease all the same")
    w.servers.end()
    until(lambda: w.value(primary, "splitbrain.uptodate") == "init", 20, "the lease has run out")
    w.box.call("kill", other)
    w.silence(primary)
    w.do(primary, "echo still > written-without-witness; sync written-without-witness")
    assert w.box.state(primary, "app") == "ALONE Ready"
    w.silent(primary, "Local state WAIT")
    come_back(w, other, primary)


def ping(w):
    """From here on with an echo."""
    w.servers.end()
    use(w, "ping", w.servers.host)
    if w.box.primary("app") == "node2":
        w.command("node2", "swap")
    w.states("PRIM Ready", "SECOND Ready")


def m15_ping(w):
    m15(w)


def m16_ping(w):
    m16(w)


def m17_ping(w):
    m17(w)


def m18(w):
    """Two, and one of them is dead."""
    use(w, "ping", "192.0.2.1", w.servers.host)
    until(lambda: w.value("node2", "splitbrain.w") == "up" == w.value("node1", "splitbrain.w"), 20, "one is enough")
    survives(w, "node2", "node1")


def prepare(w):
    w.peer_addresses = {node: [w.box.address(w.box.other(node), network) for network in range(len(NETWORKS))] for node in w.box.nodes}
    use_server(w)


CASES = (m15, m16, m17, both_reach_it, death, restart, not_needed, ping, m15_ping, m16_ping, m17_ping, m18)

if __name__ == "__main__":
    run("acceptw", CASES, prepare)
