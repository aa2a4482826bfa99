#!/usr/bin/env python3
"""Two real replicas of a module with leases: what a primary acknowledges is within its right to (docs/leases.md), whoever stands still."""
import os, signal, subprocess, sys, time

from replica_clients import Appends
from replica_nodes import IDLE, PRIMARY, SECONDARY, assert_equal, mirrored, run_cases

PROMISE = 1.0
SOON = 0.3


def leased_pair(pair, **settings):
    mirrored(pair, promise=PROMISE, **settings)
    pair.a.wait(lambda r: not r["frozen"], "the right")


def assert_held(appends, seconds=2 * PROMISE):
    """A call that began before may return still."""
    time.sleep(SOON)
    before = appends.acknowledged
    time.sleep(seconds)
    assert appends.acknowledged == before, f"{appends.acknowledged - before} were acknowledged without a right"


def assert_failed(appends, timeout=5):
    assert appends.process.wait(timeout) != 0, "it ended without an error"


def case_a_primary_that_stood_still_acknowledges_nothing_more(pair):
    leased_pair(pair)
    appends = Appends(pair.a)
    appends.wait_for(100)
    os.kill(pair.a.process.pid, signal.SIGSTOP)
    began = time.monotonic()
    pair.b.lease(60)
    pair.b.settle(PRIMARY, may_be_alone=True, by_lease=True)
    took = time.monotonic() - began
    print("   takeover in s:", round(took, 2))
    assert PROMISE - SOON < took < PROMISE + 2 * SOON, f"it promised {PROMISE} s: {took}"
    acknowledged = appends.acknowledged
    appends.check(pair.b.data)
    os.kill(pair.a.process.pid, signal.SIGCONT)
    time.sleep(SOON)
    assert_held(appends)
    assert appends.acknowledged == acknowledged, "it acknowledged what the new primary does not have"
    pair.a.wait(lambda r: r["frozen"], "frozen")
    pair.a.settle(IDLE, timeout=10)
    assert_failed(appends)
    assert appends.acknowledged == acknowledged
    pair.a.settle(SECONDARY)
    pair.b.synchronised()
    assert_equal(pair)


def case_a_secondary_that_left_its_primary_in_order_is_bound_by_nothing(pair):
    leased_pair(pair)
    pair.a.settle(IDLE)
    began = time.monotonic()
    pair.b.lease(60)
    pair.b.settle(PRIMARY, may_be_alone=True, by_lease=True, peer_left=True)
    assert time.monotonic() - began < PROMISE - SOON


def case_a_process_that_starts_is_bound_by_what_the_one_before_may_have_promised(pair):
    began = time.monotonic()
    pair.a.start(promise=PROMISE)
    pair.a.settle(PRIMARY, may_be_alone=True)
    assert PROMISE - SOON < time.monotonic() - began < PROMISE + 2 * SOON


def case_a_wish_for_another_role_ends_the_wait(pair):
    leased_pair(pair)
    os.kill(pair.a.process.pid, signal.SIGSTOP)
    pair.b.want(PRIMARY, may_be_alone=True, by_lease=True)
    pair.b.wait_for_log("waits=", 0)
    began = time.monotonic()
    pair.b.settle(SECONDARY)
    assert time.monotonic() - began < SOON
    os.kill(pair.a.process.pid, signal.SIGCONT)
    pair.a.synchronised()


def case_held_while_the_secondary_stands_still(pair):
    leased_pair(pair)
    appends = Appends(pair.a)
    appends.wait_for(100)
    os.kill(pair.b.process.pid, signal.SIGSTOP)
    pair.a.wait(lambda r: r["frozen"], "frozen", 5)
    assert_held(appends)
    os.kill(pair.b.process.pid, signal.SIGCONT)
    appends.wait_for(100)
    pair.a.wait(lambda r: not r["frozen"], "the right")
    appends.end()


def case_the_right_has_no_gap_under_load(pair):
    leased_pair(pair)
    frozen = []
    pair.a.on_report = lambda report: frozen.append(report["frozen"])
    appends = Appends(pair.a)
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        pair.a.run("sh", "-c", f"head -c 50000000 /dev/zero > {pair.mount}/big; sync {pair.mount}/big; rm {pair.mount}/big")
    appends.wait_for(1)
    appends.end()
    assert frozen and not any(frozen), frozen


def case_alone_only_as_long_as_the_lease(pair):
    leased_pair(pair, send_timeout=1.0)
    appends = Appends(pair.a)
    appends.wait_for(50)
    pair.b.kill()
    pair.a.wait(lambda r: r["waiting_for_alone"] and r["frozen"], "waiting")
    assert_held(appends, 3)  # longer than the send time-out, which gives nothing
    pair.a.want(PRIMARY, may_be_alone=True, by_lease=True)
    assert_held(appends)
    pair.a.lease(2)
    appends.wait_for(50)
    pair.a.wait(lambda r: r["frozen"], "the end of the lease", 5)
    assert_held(appends)
    pair.a.lease(2)
    appends.wait_for(50)
    assert os.listdir(pair.a.data), "reads go on"
    pair.a.lease(0, refused=True)
    assert_failed(appends)
    # A peer whose copy is out of date needs no lease to be left behind.
    pair.b.start(promise=PROMISE)
    pair.b.settle(SECONDARY)
    pair.a.synchronised()
    again = Appends(pair.a, "again")
    again.wait_for(50)
    again.end()
    assert_equal(pair)


def case_whoever_takes_the_mounts_over_waits_for_the_lease(pair):
    leased_pair(pair)
    appends = Appends(pair.a)
    pair.b.kill()
    pair.a.wait(lambda r: r["waiting_for_alone"], "waiting")
    pair.a.want(PRIMARY, may_be_alone=True, by_lease=True)
    pair.a.lease(60)
    appends.wait_for(50)
    pair.a.kill_replica()
    pair.a.take_over(promise=PROMISE)
    pair.a.wait(lambda r: r["role"] == PRIMARY and r["frozen"], "taken over")
    assert_held(appends)
    pair.a.lease(60)
    appends.wait_for(50)
    appends.end()


def case_taken_over_from_one_that_was_mirrored(pair):
    leased_pair(pair)
    appends = Appends(pair.a)
    appends.wait_for(50)
    pair.a.kill_replica()
    pair.a.take_over(promise=PROMISE)
    appends.wait_for(50, 10)
    appends.end()


def case_leaving_ends_what_is_held(pair):
    leased_pair(pair)
    appends = Appends(pair.a)
    appends.wait_for(50)
    pair.b.kill()
    pair.a.wait(lambda r: r["waiting_for_alone"] and r["frozen"], "frozen")
    began = time.monotonic()
    pair.a.want(IDLE)
    assert_failed(appends)
    pair.a.settle(IDLE, timeout=10)
    assert time.monotonic() - began < 3
    pair.a.stop()


def case_the_addresses_are_guarded(pair):
    """That it filters: case/address_guard."""
    def filters(interface):
        return subprocess.run(["tc", "filter", "show", "dev", interface, "ingress"], capture_output=True, text=True, check=True).stdout

    def add(interface):
        subprocess.run(["ip", "link", "add", interface, "type", "veth", "peer", "name", f"{interface}-peer"], check=True)
    for interface in ("sk0", "sk1"):
        add(interface)
    leased_pair(pair, guarded=[("10.77.0.1", "sk0")])
    pair.a.wait_for_log("role=primary", 0)
    assert "bpf" in filters("sk0") and not filters("sk1"), filters("sk0")
    # Another one, on an interface that does not exist yet.
    subprocess.run(["ip", "link", "del", "sk1"], check=True)
    since = pair.a.log_size()
    pair.b.stop()
    pair.a.configure(promise=PROMISE, guarded=[("10.77.0.1", "sk1")])
    pair.a.wait_for_log("address-guard=incomplete", since)
    add("sk1")
    deadline = time.monotonic() + 5
    while "bpf" not in filters("sk1"):
        assert time.monotonic() < deadline, "not guarded"
        time.sleep(0.05)
    pair.a.kill_replica()
    assert "bpf" in filters("sk1"), "it outlives its process"
    pair.a.take_over(promise=PROMISE, guarded=[("10.77.0.1", "sk1")])
    pair.a.settle(IDLE)
    assert pair.a.stop() == 0
    assert "bpf" not in filters("sk1"), "it was left behind"


if __name__ == "__main__":
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    run_cases(globals())
