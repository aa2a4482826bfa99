#!/usr/bin/env python3
"""Memory of both replicas per file, from two trees of different size: docs/resync.md, "Memory". Usage: replica_memory.py PROGRAM."""
import os, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from replica_nodes import PRIMARY, SECONDARY, Pair, run_cases

FEW, MANY, PER_DIRECTORY = 4_000, 34_000, 500
SYNCHRONISING, ENDED, WALKED = 1000, 400, 900  # bytes a file at most


def fill(directory, files):
    for number in range(files):
        if number % PER_DIRECTORY == 0:
            folder = f"{directory}/d{number // PER_DIRECTORY}"
            os.makedirs(folder)
        os.close(os.open(f"{folder}/file-{number}", os.O_WRONLY | os.O_CREAT))


def memory(node, field):
    status = open(f"/proc/{node.process.pid}/status").read()
    return int(status.split(f"{field}:")[1].split()[0]) * 1024


def given_back(node):
    """The least within some seconds: what is not needed any more is given back after 2 s."""
    least, end = memory(node, "VmRSS"), time.monotonic() + 5
    while time.monotonic() < end:
        least = min(least, memory(node, "VmRSS"))
        time.sleep(0.1)
    return least


def measured(pair, files):
    """Bytes at each moment."""
    a, b = pair.a, pair.b
    fill(a.data, files)
    a.start()
    b.start()
    a.settle(PRIMARY, may_be_alone=True)
    b.settle(SECONDARY)
    a.synchronised()
    found = {f"{node.name} synchronising": memory(node, "VmHWM") for node in (a, b)}
    found |= {f"{node.name} ended": given_back(node) for node in (a, b)}
    seen = a.run("find", pair.mount, "-type", "f", "-size", "0", capture_output=True).stdout
    assert seen.count(b"\n") == files
    found["a walked"] = memory(a, "VmRSS")
    for node in (a, b):
        node.stop()
    return found


def case_bytes_per_file(pair):
    few, other = measured(pair, FEW), Pair(pair.program)
    try:
        many = measured(other, MANY)
    finally:
        other.close()
    per_file = {moment: (many[moment] - few[moment]) / (MANY - FEW) for moment in many}
    print(" ".join(f"{moment}: {value:.0f}" for moment, value in per_file.items()), flush=True)
    bounds = {"synchronising": SYNCHRONISING, "ended": ENDED, "walked": WALKED}
    for moment, value in per_file.items():
        assert value <= bounds[moment.split()[1]], f"{moment}: {value:.0f} bytes a file"


run_cases(dict(globals()))
