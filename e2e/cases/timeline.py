#!/usr/bin/env python3
"""What a move of the primary role took, part by part; a rehearsed one; and what is measured before. Usage: timeline.py"""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import MIRROR, Sandbox, later, note, until  # noqa: E402

SCRIPTS = """  scripts:
    files:
      start_prim: |
        #!/bin/sh
        sleep 0.3
      stop_prim: |
        #!/bin/sh
        [ "$1" = force ] || sleep 0.2
"""


def main():
    directory = tempfile.mkdtemp(prefix="safekit-timeline-", dir="/var/tmp")
    later(harness.remove, directory)
    box = Sandbox(f"line{os.getpid()}", f"{directory}/sandbox")
    for node in box.nodes:
        box.exec(node, "mkdir", "/srv/data")

    def code(node, *words):
        done = subprocess.run([*box.words(node), harness.SAFEKIT, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        return done.returncode, done.stdout

    def last_move(node):
        rows = json.loads(box.safekit(node, "get", "module", "app", "-o", "json"))["status"]["nodes"]
        return next(row for row in rows if row["local"]).get("lastMove")

    note("preflight")
    box.safekit("node1", "apply", "-f", "-", input=MIRROR + SCRIPTS)
    until(lambda: box.state("node2", "app"), 20, "the module reaches the second node")
    status, text = code("node1", "preflight", "-m", "app")
    assert status == 0 and "recommended heartbeat time-out" in text and "/srv/data: durable write" in text, text
    report = json.loads(code("node1", "preflight", "-m", "app", "-o", "json")[1])
    peer = report["peers"][0]
    assert peer["node"] == "node2" and peer["bytesPerSecond"] > 0 and abs(peer["clockOffsetMs"]) < 500, report
    assert [lan["portOpen"] for lan in peer["networks"]] == [True, True] and all("roundTripMs" in lan for lan in peer["networks"]), report
    assert [node["node"] for node in report["nodes"]] == ["node1", "node2"], report

    note("no drill without a pair")
    box.safekit("node1", "prim", "-m", "app")
    box.wait_state("node1", "app", "ALONE Ready")
    status, text = code("node1", "drill", "-m", "app")
    assert status == 1 and "it needs one node PRIM Ready and the other SECOND Ready" in text, text
    box.safekit("node2", "start", "-m", "app")
    box.wait_pair("app")
    assert last_move("node1") is None

    note("drill")
    box.safekit("node2", "failover", "off", "-m", "app")
    status, text = code("node1", "drill", "-m", "app")
    assert status == 1 and "failover is off on node2" in text, text
    box.safekit("node2", "failover", "on", "-m", "app")
    status, text = code("node1", "drill", "-m", "app")
    assert status == 0 and "verdict: fine" in text, text
    assert box.states("app") == {"node1": "SECOND Ready", "node2": "PRIM Ready"}
    move = last_move("node2")
    assert move["kind"] == "swap" and move["phases"]["fence"] >= 200 and move["phases"]["application"] >= 300, move
    status, text = code("node2", "drill", "-m", "app", "-o", "json")
    report = json.loads(text)
    assert report["verdict"] == "fine" and report["to"] == "node1" and report["timeline"]["kind"] == "swap", report

    note("a failover")
    box.call("kill", "node1")
    box.wait_state("node2", "app", "ALONE Ready")
    move = last_move("node2")
    assert move["kind"] == "failover" and move["phases"]["detect"] >= 900 and move["phases"]["application"] >= 300, move
    assert move["milliseconds"] == sum(move["phases"].values()) or abs(move["milliseconds"] - sum(move["phases"].values())) <= 5, move
    text = code("node2", "log", "-m", "app")[1]
    assert f"Primary role taken by failover in {move['milliseconds'] // 1000}." in text, text
    assert "failover in " in code("node2", "describe", "module", "app")[1]
    box.kill_processes("node2", "safekitd")
    until(lambda: box.state("node2", "app") == "ALONE Ready" and last_move("node2") == move, 20, "it is kept")

    note("a stopped primary")
    box.call("start", "node1")
    until(lambda: box.state("node1", "app"), 20, "safekitd answers")
    box.safekit("node1", "start", "-m", "app")
    box.wait_pair("app")
    box.safekit("node2", "stop", "-m", "app")
    box.wait_state("node1", "app", "ALONE Ready")
    move = last_move("node1")
    assert move["kind"] == "hand-over" and move["phases"]["detect"] == 0 and move["phases"]["fence"] >= 200, move


harness.test_main(main)
