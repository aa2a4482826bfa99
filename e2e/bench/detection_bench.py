"""What detection costs: a light module with 500 checkers (250 tcp, 250 ping, each 10 s) and 200 watched processes, all well:
CPU of safekitd over --seconds (at least 30, so that a poll of the processes is in it)."""
import subprocess
import sys
import tempfile
import time

import common
from common import Sandbox, later, note, until
from control_bench import cpu_seconds, resident_kib

CHECKERS = 500
PROCESSES = 200
PORT = 7000
SERVE = f"""import socket
listener = socket.create_server(('', {PORT}), backlog=512)
while True:
    listener.accept()[0].close()
"""


def module():
    lines = ["apiVersion: safekit/v1", "kind: Module", "metadata: {name: watched}", "spec:", "  mode: light", "  id: 21",
             "  nodes: [node1, node2]", "  scripts:", "    files:", "      start_both: |", "        #!/bin/sh",
             f"        for i in $(seq 1 {PROCESSES}); do",
             "          pgrep -x work$i > /dev/null || setsid /srv/work$i 100000 < /dev/null > /dev/null 2>&1 &", "        done",
             f"        until [ $(pgrep -c ^work) -ge {PROCESSES} ]; do sleep 0.1; done",
             "  checkers:", "    tcp:"]
    half = CHECKERS // 2
    lines += [f"    - {{ident: port{i}, address: 127.0.0.1, port: {PORT}, when: both}}" for i in range(half)]
    lines += ["    ping:"] + [f"    - {{ident: host{i}, address: 127.0.0.1}}" for i in range(CHECKERS - half)]
    lines += ["  errd:", "    processes:"]
    lines += [f"    - {{name: work{i}, action: restart}}" for i in range(1, PROCESSES + 1)]
    return "\n".join(lines) + "\n"


def end(process):
    process.kill()
    process.wait()


def run(options, report):
    directory = tempfile.mkdtemp(prefix="safekit-bench-", dir="/var/tmp")
    later(common.remove, directory)
    sandbox = Sandbox("benchdetect", f"{directory}/sandbox")
    server = subprocess.Popen([*sandbox.words("node1"), sys.executable, "-c", SERVE])
    later(end, server)
    # The command name of a process is the name of the file that was started.
    sandbox.exec("node1", "sh", "-c", f"for i in $(seq 1 {PROCESSES}); do cp /bin/sleep /srv/work$i; done")
    sandbox.safekit("node1", "apply", "-f", "-", input=module())
    sandbox.safekit("node1", "start", "-m", "watched")
    sandbox.wait_state("node1", "watched", "UP Ready")

    def all_up():
        text = sandbox.safekit("node1", "get", "-m", "watched", "-r", "proc.work1", check=False)
        return text.strip() == "up"
    until(all_up, 30, "the processes are found")
    seconds = max(30, options.seconds)
    note(f"{CHECKERS} checkers and {PROCESSES} processes are watched; measured for {seconds} s")
    time.sleep(12)  # the first look of each is not the rhythm
    before, began = cpu_seconds(sandbox, "node1"), time.monotonic()
    time.sleep(seconds)  # the measurement itself: cost per time
    share = (cpu_seconds(sandbox, "node1") - before) / (time.monotonic() - began) * 100
    report.add("detection_cpu_of_a_core", "%", False, "mirror", share)
    report.add("detection_rss", "KiB", False, "mirror", resident_kib(sandbox, "node1"))
    log = sandbox.safekit("node1", "log", "-A", "-m", "watched")
    down = [line for line in log.splitlines() if "set to down" in line]
    assert not down, log[max(0, log.index(down[0]) - 1000):][:2000]
