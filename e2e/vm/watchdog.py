#!/usr/bin/env python3
"""A watchdog resets a node whose safekitd hangs while a module is started, and only then (docs/watchdog.md): softdog of a real kernel, in
an emulated machine. Usage: watchdog.py BIN"""
import sys

from machine import Machine

LIMIT = 8
CLUSTER = "apiVersion: safekit/v1\nkind: Cluster\nmetadata: {name: c}\nspec: {lans: [{name: default, nodes: [{name: n, address: 127.0.0.1}, {name: other, address: 127.0.0.2}]}]}\n"
MODULE = "apiVersion: safekit/v1\nkind: Module\nmetadata: {name: app}\nspec: {id: 1, mode: light, nodes: [n]}\n"
BEGIN = f"""
ip link set lo up
printf '{CLUSTER}' > /tmp/cluster.yaml
printf '{MODULE}' > /tmp/module.yaml
serve() {{
  safekitd --node n --watchdog /dev/watchdog --watchdog-timeout {LIMIT} > /tmp/log 2>&1 &
  daemon=$!
  until safekit state > /dev/null 2>&1; do sleep 0.2; done
}}
dog() {{ cat /sys/class/watchdog/watchdog0/state; }}
until_dog() {{ until [ "$(dog)" = "$1" ]; do sleep 0.1; done; }}
serve
safekit cluster init -f /tmp/cluster.yaml && safekit apply -f /tmp/module.yaml || cat /tmp/log
echo "before: $(dog)"
safekit start -m app
until_dog active
echo "started: $(cat /sys/class/watchdog/watchdog0/timeout) s"
""".strip().split("\n")


def machine(bin_directory, lines, module="softdog"):
    programs = [f"{bin_directory}/{name}" for name in ("safekitd", "safekit", "safekit-runner")]
    return Machine(BEGIN + lines.strip().split("\n"), programs, [module])


def who_hangs_is_reset(bin_directory):
    with machine(bin_directory, f"""
sleep {2 * LIMIT}
echo "fed: $(dog)"
kill -STOP $daemon
echo hangs
sleep {4 * LIMIT}
echo "it goes on"
""") as m:
        m.wait_for("before: inactive", 60)
        m.wait_for(f"started: {LIMIT} s", 60)
        m.wait_for("fed: active", 60)
        hangs = m.wait_for("hangs", 20)
        took = m.wait_for_reset(3 * LIMIT) - hangs
        assert not m.said("it goes on"), m.lines
        # Fed last up to a quarter of the limit before.
        assert LIMIT * 0.7 < took < LIMIT + 3, took
        print(f"hung safekitd: reset after {took:.1f} s, the limit is {LIMIT} s")


def who_dies_for_a_moment_is_not(bin_directory):
    with machine(bin_directory, f"""
kill -9 $daemon
wait $daemon
echo "dead: $(dog)"
serve
echo "again: $(safekit state -m app)"
sleep {2 * LIMIT}
echo "fed again: $(dog)"
kill -9 $daemon
echo gone
sleep {4 * LIMIT}
echo "it goes on"
""") as m:
        m.wait_for("dead: active", 60)
        m.wait_for("again: ", 60)
        m.wait_for("fed again: active", 60)
        m.wait_for("gone", 20)
        m.wait_for_reset(3 * LIMIT)
        assert not m.said("it goes on"), m.lines
        print("killed safekitd: started again in time nothing happens, else the node is reset")


def what_is_stopped_in_order_ends_it(bin_directory):
    with machine(bin_directory, f"""
safekit stop -m app
until_dog inactive
echo stopped
safekit start -m app
until_dog active
kill $daemon
wait $daemon
echo "ended: $(dog)"
sleep {2 * LIMIT}
echo "it goes on"
""") as m:
        m.wait_for("stopped", 90)
        m.wait_for("ended: inactive", 60)
        m.wait_for("it goes on", 60)
        print("stopped module, and safekitd that ends in order: the watchdog is stopped")


def one_that_cannot_be_stopped_is_fed_on(bin_directory):
    with machine(bin_directory, f"""
safekit stop -m app
until safekit state -m app | grep -q STOP; do sleep 0.2; done
sleep {2 * LIMIT}
echo "stopped: $(dog)"
kill $daemon
wait $daemon
serve
sleep {2 * LIMIT}
echo "it goes on: $(dog)"
""", "softdog nowayout=1") as m:
        m.wait_for("stopped: active", 120)
        m.wait_for("it goes on: active", 120)
        print("nowayout: fed on when all is stopped, and by the next safekitd")


if __name__ == "__main__":
    for case in (who_hangs_is_reset, who_dies_for_a_moment_is_not, what_is_stopped_in_order_ends_it, one_that_cannot_be_stopped_is_fed_on):
        case(sys.argv[1])
