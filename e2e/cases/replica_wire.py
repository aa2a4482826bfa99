#!/usr/bin/env python3
"""What goes between two real safekit-replicad over a line: the stream over several connections, and packed when the line is slow.
Usage, in a network namespace of its own: replica_wire.py PROGRAM [CASE...]"""
import os, re, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from replica_clients import Appends, Load
from replica_line import Line, hang_up
from replica_nodes import IDLE, PRIMARY, SECONDARY, assert_equal, mirrored, run_cases

CONNECTIONS = 4
RATE = 4 << 20  # bytes per second that one connection carries
FILLING = 32 << 20
FILES = 6000


def with_line(pair, **options):
    line = Line("127.0.0.13", "127.0.0.3", **options)
    pair.a.peer_address = "127.0.0.13"
    return line


def case_several_connections_share_a_synchronisation(pair):
    """Only the primary is told how many: the other one may have another setting."""
    line = with_line(pair, rate=RATE)
    try:
        pair.a.run("sh", "-ec", f"cd {pair.mount}; for i in $(seq 32); do head -c {FILLING // 32} /dev/urandom > f$i; done")
        pair.a.start(connections=CONNECTIONS)
        pair.b.start()
        pair.a.settle(PRIMARY, may_be_alone=True)
        load, appends = Load(pair.a, 1), Appends(pair.a)
        pair.b.settle(SECONDARY)
        pair.a.wait(lambda report: report["bytes_copied"] > FILLING // 2, "copied under load")
        load.stop()  # it writes faster than the line carries: the end would never come
        pair.a.synchronised()
        pair.a.want(PRIMARY)
        appends.wait_for(20)
        appends.end()
        assert_equal(pair)
        appends.check(pair.b.data)
        print("   sent by each:", line.sent)
        assert len(line.sent) == CONNECTIONS
        assert min(line.sent) > FILLING // CONNECTIONS // 2, "one connection carried little"
    finally:
        line.close()


def case_the_loss_of_one_of_several_connections(pair):
    """It is closed, or it loses what it carries: all of them end, and the stream goes on over new ones."""
    line = with_line(pair)
    try:
        mirrored(pair, send_timeout=2.0, connections=CONNECTIONS)
        load, appends = Load(pair.a, 2), Appends(pair.a)
        for lost in range(CONNECTIONS):
            pair.a.synchronised()
            appends.wait_for(20)
            made, since = len(line.sent), pair.a.log_size()
            if lost % 2 == 0:
                hang_up(line.ends[-2 * CONNECTIONS:][2 * lost])
            else:
                line.lost = {("out", made - CONNECTIONS + lost)}
                # What is small goes over the first one: so much that the others are needed.
                pair.a.run("sh", "-c", f"head -c 16000000 /dev/urandom > {pair.mount}/big; :")
            pair.a.wait_for_log("connection=lost", since)
            line.lost = set()
            pair.a.wait_for_log("connection=made", since)
            assert len(line.sent) >= made + CONNECTIONS
        pair.a.synchronised()
        appends.wait_for(20)
        load.stop()
        appends.end()
        assert_equal(pair)
        appends.check(pair.b.data)
    finally:
        line.close()


def case_everything_is_compared_beside_an_application_that_syncs(pair):
    """Each answer of the peer takes 50 ms; another question need not wait for it."""
    for directory in range(FILES // 100):
        os.makedirs(f"{pair.a.data}/d{directory}")
        for file in range(100):
            with open(f"{pair.a.data}/d{directory}/f{file}", "wb") as out:
                out.write(os.urandom(5000))
    line = with_line(pair, delay=0.025)
    try:
        mirrored(pair)
        pair.b.settle(IDLE)
        pair.a.want(PRIMARY, may_be_alone=True)
        load, appends = Load(pair.a, 2), Appends(pair.a)
        appends.wait_for(20)
        pair.b.settle(SECONDARY, full=True)
        pair.a.synchronised()
        assert pair.a.report["bytes_compared"] >= FILES * 5000
        appends.wait_for(20)
        load.stop()
        appends.end()
        assert_equal(pair)
        appends.check(pair.b.data)
    finally:
        line.close()


def carried():
    """Bytes on the loopback."""
    fields = next(line for line in open("/proc/self/net/dev") if line.strip().startswith("lo:")).split(":")[1].split()
    return int(fields[8])


def synchronise(pair, connections, rate=None, size=24 << 20):
    """First synchronisation of data of which a half can be packed well. How many bytes went, and how many were saved."""
    table = "".join(f"record {i}: {i * 7919 % 100003} of {i % 97}\n" for i in range(size // 24))[:size // 2].encode()
    for i in range(12):
        with open(f"{pair.a.data}/f{i}", "wb") as out:
            out.write(table[i * size // 24:(i + 1) * size // 24] + os.urandom(size // 24))
    if rate is not None:
        subprocess.run(["tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", rate, "burst", "200k", "latency", "300ms"], check=True)
    try:
        before = carried()
        mirrored(pair, timeout=60, connections=connections)
        went = carried() - before
    finally:
        if rate is not None:
            subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], check=True)
    assert_equal(pair)
    log = pair.a.log_since(0)
    saved = int(re.findall(r"synchronisation=sent .*bytes-copied=%d bytes-saved=(\d+)" % size, log)[-1])
    print(f"   {size} bytes: {went} went, {saved} saved")
    return size, went, saved


def case_over_a_slow_line_a_synchronisation_is_packed(pair):
    size, went, saved = synchronise(pair, 1, "60mbit")
    assert saved > 0.1 * size and went < 0.9 * size, "it was not packed"


if os.environ.get("SK_WIRE") == "all":
    # Beside other work the processors are the bound rather than four connections over one line.
    def case_so_it_is_over_several_connections(pair):
        # Their kernels hold so many times as much before it is seen that the line is the bound.
        size, went, saved = synchronise(pair, CONNECTIONS, "60mbit", size=72 << 20)
        assert saved > 0.1 * size and went < 0.9 * size, "it was not packed"


def case_on_a_quick_line_nothing_is_packed(pair):
    size, went, saved = synchronise(pair, 1)
    assert saved == 0 and went > size


run_cases(dict(globals()))
