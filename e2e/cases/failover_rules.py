#!/usr/bin/env python3
"""Failover rules that a module brings along, on a cluster: each action, the resources of the other node, `why`, and what is refused.
Usage: failover_rules.py [CASE...]"""
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import MIRROR, Sandbox, later, note, until  # noqa: E402

RULES = """    durability: fsync
  failoverRules:
    rules:
    - |
      /* of this node, and of both */
      c_again: if (custom.again == down) then restart();
      c_over: if (custom.over == down) then stopstart();
      c_swap: if (custom.load == down && remote.custom.load == up) then swap();
    - |
      c_hold: if (custom.hold == down) then wait();
    - |
      --Lua Rules
      Rules = Rules + { c_end = if_then("custom.end", "down", Action.stop) }
"""


class World:
    def __init__(self):
        directory = tempfile.mkdtemp(prefix="safekit-failover-rules-", dir="/var/tmp")
        later(harness.remove, directory)
        self.box = Sandbox(f"frules{os.getpid()}", f"{directory}/sandbox")
        for node in self.box.nodes:
            self.box.exec(node, "mkdir", "/srv/data")

    def apply(self, text, **options):
        return self.box.safekit("node1", "apply", "-f", "-", input=text, **options)

    def command(self, node, *words, **options):
        return self.box.safekit(node, *words, "-m", "app", **options)

    def set(self, node, resource, value):
        self.command(node, "set", "-r", resource, "-v", value)

    def pair(self):
        self.apply(MIRROR + RULES)
        until(lambda: self.box.state("node2", "app"), 20, "the module reaches the second node")
        self.command("node1", "prim")
        self.box.wait_state("node1", "app", "ALONE Ready")
        self.command("node2", "start")
        self.box.wait_pair("app")
        assert "failoverRules" not in self.command("node1", "state", "-v"), "some of it is left undone"

    def says(self, node, text):
        until(lambda: text in self.command(node, "log", "-A"), 20, lambda: f"{text}:\n{self.command(node, 'log', '-A')}")


def case_each_action(w):
    w.pair()
    w.set("node1", "custom.again", "down")
    w.says("node1", "Action restart from failover rule c_again")
    w.set("node1", "custom.again", "up")
    w.box.wait_state("node1", "app", "PRIM Ready")
    note("   swap, once the other node says that it could")
    w.set("node1", "custom.load", "down")
    w.box.wait_state("node1", "app", "PRIM Ready")
    w.set("node2", "custom.load", "up")
    w.says("node1", "Action swap from failover rule c_swap")
    w.box.wait_state("node2", "app", "PRIM Ready")
    w.box.wait_state("node1", "app", "SECOND Ready")
    w.set("node1", "custom.load", "up")  # or the rule would give the role back as soon as this node has it again
    note("   stopstart of the primary: the other node takes over")
    w.set("node2", "custom.over", "down")
    w.says("node2", "Action stopstart from failover rule c_over")
    w.set("node2", "custom.over", "up")
    w.box.wait_state("node1", "app", "PRIM Ready")
    w.box.wait_state("node2", "app", "SECOND Ready")
    note("   wait, and on as soon as the rule does not hold any more")
    w.set("node2", "custom.hold", "down")
    w.box.wait_state("node2", "app", "WAIT NotReady")
    why = w.command("node2", "why")
    assert "held by rule c_hold" in why and "c_hold holds since" in why and "custom.hold is down" in why, why
    assert why.index("c_hold holds") < why.index("does not hold"), why
    w.set("node2", "custom.hold", "up")
    w.says("node2", "Action wakeup from failover rule Implicit_wakeup")
    w.box.wait_state("node2", "app", "SECOND Ready")
    w.set("node2", "custom.end", "down")
    w.says("node2", "Action stop from failover rule c_end")
    w.box.wait_state("node2", "app", "STOP NotReady")


def case_an_echo_that_fails_holds_the_node(w):
    gateway = w.box.address("node2", 1)
    w.apply(MIRROR + f"""  checkers:
    ping: [{{ident: gw, address: {gateway}, interval: 500ms, timeout: 300ms}}]
""")
    until(lambda: w.box.state("node2", "app"), 20, "the module reaches the second node")
    w.command("node1", "prim")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.box.exec("node2", "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
    w.says("node1", "Resource ping.gw set to down by pingcheck")
    w.says("node1", "Action wait from failover rule p_gw")
    w.box.wait_state("node1", "app", "WAIT NotReady")
    assert "p_gw holds since" in w.command("node1", "why")
    w.box.exec("node2", "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=0")
    w.box.wait_state("node1", "app", "ALONE Ready")


def case_what_is_no_rule_is_refused(w):
    try:
        w.apply(MIRROR + RULES.replace("then swap()", "then reboot()").replace("custom.hold == down", "down"))
    except RuntimeError as refused:
        text = str(refused)
        for part in ("line 4, column", "there is no action 'reboot();'", "use stop(), stopstart(), wait(), restart() or swap()",
                     "line 1, column", "a state alone is no condition: 'down'"):
            assert part in text, text
    else:
        raise AssertionError("it was taken")
    assert "app" not in w.box.safekit("node1", "get", "modules"), "half of it was taken"


harness.cases_main(globals(), lambda _: World())
