"""The control plane: 1,000 applies of changed specs in a row (time of each, until both nodes have the last one, memory before
and after), and what an idle safekitd with ten running light modules costs."""
import os
import tempfile
import time

import common
from common import SAFEKIT, Sandbox, later, note, sh, until

METRICS = """import socket
s = socket.socket(socket.AF_UNIX)
s.connect('/run/safekit/safekitd.sock')
s.sendall(b'GET /apis/safekit/v1/metrics HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n')
while part := s.recv(65536):
    print(part.decode(), end='')
"""

LIGHT = """apiVersion: safekit/v1
kind: Module
metadata: {{name: light{number}}}
spec:
  mode: light
  id: {number}
  nodes: [node1, node2]
  scripts:
    environment: {{ROUND: "{round}"}}
    files:
      start_both: |
        #!/bin/sh
        exit 0
"""


def resident_kib(sandbox, node):
    pid = sandbox.pids(node, "safekitd")[0]
    status = sandbox.exec(node, "cat", f"/proc/{pid}/status")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def cpu_seconds(sandbox, node):
    pid = sandbox.pids(node, "safekitd")[0]
    fields = sandbox.exec(node, "cat", f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(options, report):
    directory = tempfile.mkdtemp(prefix="safekit-bench-", dir="/var/tmp")
    later(common.remove, directory)
    sandbox = Sandbox("benchctl", f"{directory}/sandbox")
    for number in range(1, 11):
        sandbox.safekit("node1", "apply", "-f", "-", input=LIGHT.format(number=number, round=0))
    for number in range(1, 11):
        for node in sandbox.nodes:
            until(lambda: sandbox.state(node, f"light{number}"), 30, "the module reaches both nodes")
            sandbox.safekit(node, "start", "-m", f"light{number}")
            sandbox.wait_state(node, f"light{number}", "UP Ready")
    note("ten light modules run on both nodes; idle for 20 s")
    before = cpu_seconds(sandbox, "node1")
    time.sleep(20)  # the measurement itself: cost per time of doing nothing
    report.add("control_idle_cpu", "%", False, "mirror", (cpu_seconds(sandbox, "node1") - before) / 20 * 100)
    report.add("control_idle_rss", "KiB", False, "mirror", resident_kib(sandbox, "node1"))

    # One shell inside the node makes all applies, so that entering the namespaces is not measured.
    applies = 1000
    script = f"{directory}/applies.sh"
    with open(script, "w") as out:
        out.write("set -e\nfor i in $(seq 1 %d); do\n  cat <<END | %s apply -f - > /dev/null\n%sEND\ndone\n"
                  % (applies, SAFEKIT, LIGHT.format(number=1, round="$i")))
    sandbox.exec("node1", "sh", script, timeout=1200)
    first = {node: resident_kib(sandbox, node) for node in sandbox.nodes}
    note(f"after a first {applies} applies: {first}")
    began = time.monotonic()
    sandbox.exec("node1", "sh", script, timeout=1200)
    took = time.monotonic() - began
    report.add("control_apply", "ms", False, "mirror", took / applies * 1000)

    def last_one(node):
        return f'"ROUND": "{applies}"' in sandbox.safekit(node, "get", "module", "light1", "-o", "json", check=False)
    began = time.monotonic()
    for node in sandbox.nodes:
        until(lambda: last_one(node), 60, "both nodes have the last revision")
    report.add("control_converge", "ms", False, "mirror", (time.monotonic() - began) * 1000)
    for node in sandbox.nodes:
        report.add("control_rss_growth_1000_applies", "KiB", False, "mirror", resident_kib(sandbox, node) - first[node])
    metrics = sandbox.exec("node1", "python3", "-c", METRICS)
    for line in metrics.splitlines():
        for wanted in ("waited_p99_microseconds", "took_p50_microseconds", "took_p99_microseconds"):
            if line.startswith(f"safekit_reconcile_{wanted}{{"):
                controller = line.split('"')[1]
                report.add(f"reconcile_{wanted[:-13]}_{controller}", "us", False, "mirror", line.split()[-1])
