#!/usr/bin/env python3
"""Each part of a pair fails on each side under each load. Afterwards no acknowledged append is missing, the application has seen an
error only where its own disk failed or its node was lost, nothing has hung, and both copies are equal again.
Usage: replica_faults.py PROGRAM [case_FAULT_SIDE_LOAD...]. Without names a core of them; SK_FAULTS=all: all."""
import os, signal, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from replica_clients import Appends, Load
from replica_line import Line
from replica_nodes import IDLE, PRIMARY, SECONDARY, assert_equal, mirrored, run_cases

SENDS_WITHIN = 3.0  # the replicas' send_timeout
GOES_ON_WITHIN = 15  # seconds, on a loaded machine: the time-out, and what the test itself takes to give leave
FILLING = 24 << 20  # that a synchronisation has to copy, so slowly that the fault strikes in its middle


class Disk:
    """Of a node: a small ext4 on a loop device whose image cannot grow any more when `strike` has taken the room."""

    def __init__(self, pair, node):
        self.node, self.mount = node, pair.mount
        self.store = f"{pair.root}/store-{node.name}"
        os.makedirs(self.store)
        node.run("sh", "-ec", f"""
            mount -t tmpfs -o size=120m none {self.store}
            truncate -s 200m {self.store}/image
            mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 {self.store}/image
            mount -o loop {self.store}/image {self.mount}""")
        node.data = f"/proc/{node.keeper.pid}/root{self.mount}"

    def strike(self):
        self.node.run("sh", "-c", f"cat /dev/zero > {self.store}/filler 2>/dev/null; :")

    def repair(self):
        self.node.run("sh", "-ec", f"""
            rm {self.store}/filler
            while umount {self.mount} 2>/dev/null; do :; done
            e2fsck -fy {self.store}/image >/dev/null || [ $? -le 2 ]
            mount -o loop {self.store}/image {self.mount}""")


class Cell:
    """One fault on one side under one load. `primary` is who serves: the roles may change."""

    def __init__(self, pair, fault, side, load):
        self.pair, self.fault, self.side, self.load = pair, fault, side, load
        self.primary, self.secondary = pair.a, pair.b
        self.lines = {pair.a: Line("127.0.0.13", "127.0.0.3"), pair.b: Line("127.0.0.12", "127.0.0.2")}
        pair.a.peer_address, pair.b.peer_address = "127.0.0.13", "127.0.0.12"
        self.appends, self.storm = [], None

    def run(self):
        struck = self.pair.b if self.side == "secondary" else self.pair.a
        if self.fault == "full":
            struck.run("mount", "-t", "tmpfs", "-o", "size=48m", "none", self.pair.mount)
            struck.data = f"/proc/{struck.keeper.pid}/root{self.pair.mount}"
        self.disk = Disk(self.pair, struck) if self.fault == "eio" else None
        mirrored(self.pair, send_timeout=SENDS_WITHIN)
        self.begin_load()
        getattr(self, self.fault)()
        self.end()

    # Loads.
    def begin_load(self):
        if self.load == "resync":
            self.secondary.kill()
            self.go_on_alone()
            self.primary.run("sh", "-ec", f"cd {self.pair.mount}; mkdir new; for i in $(seq 24); do "
                             f"head -c {FILLING // 24} /dev/urandom > new/$i; done; sync .")
            self.lines[self.primary].slow = True
            self.secondary.start(send_timeout=SENDS_WITHIN)
            self.secondary.settle(SECONDARY)
            self.primary.wait(lambda r: r["bytes_copied"] > FILLING // 8, "a part is copied")
            assert not self.primary.report["peer_synchronised"]
        if self.load != "idle":
            self.append()
        if self.load == "storm":
            self.storm = Load(self.primary, 7)

    def append(self):
        """A further application; what it was acknowledged is checked at the end."""
        appends = Appends(self.primary, f"appended{len(self.appends)}")
        self.appends.append(appends)
        appends.wait_for(20, timeout=GOES_ON_WITHIN)

    def goes_on(self):
        if self.appends and self.appends[-1].process.poll() is None:
            self.appends[-1].wait_for(20, timeout=GOES_ON_WITHIN)
        else:
            self.append()

    def application_is_lost(self):
        for appends in self.appends:
            appends.end()
        if self.storm is not None:
            self.storm.process.kill()
            self.storm.process.wait()
            self.storm = None

    # What the control plane does.
    def go_on_alone(self):
        self.primary.wait(lambda r: not r["connected"], "the loss is noticed", GOES_ON_WITHIN)
        self.primary.want(PRIMARY, may_be_alone=True)

    def fail_over(self):
        """The other one serves; in the middle of a synchronisation only the old one can."""
        if self.load != "resync":
            self.primary, self.secondary = self.secondary, self.primary
        elif self.primary.process.poll() is not None:
            self.primary.start(send_timeout=SENDS_WITHIN)
        self.primary.settle(PRIMARY, may_be_alone=True)

    def follow(self):
        if self.secondary.process.poll() is not None:
            self.secondary.start(send_timeout=SENDS_WITHIN)
        self.secondary.settle(SECONDARY)

    # Faults.
    def replicad(self):
        self.lines[self.primary].slow = False
        if self.side == "secondary":
            self.secondary.kill_replica()
            self.go_on_alone()
            self.goes_on()
            self.follow()
        else:
            self.primary.kill_replica()
            self.primary.take_over(send_timeout=SENDS_WITHIN)
            self.primary.wait(lambda r: r["settled"], "it has taken over")
            self.goes_on()

    def node(self):
        self.lines[self.primary].slow = False
        if self.side == "secondary":
            self.secondary.kill()
            self.go_on_alone()
        else:
            self.primary.kill()
            self.application_is_lost()
            self.fail_over()
        self.goes_on()
        self.follow()

    def cut(self):
        """On the primary's side: the other node is to serve, and this one has to stop while it reaches nobody."""
        line = self.lines[self.primary]
        line.lost = {"out", "back"}
        if self.side == "secondary" or self.load == "resync":
            self.go_on_alone()
        else:
            self.primary.wait(lambda r: not r["connected"], "the loss is noticed", GOES_ON_WITHIN)
            self.application_is_lost()
            self.primary.settle(IDLE, timeout=GOES_ON_WITHIN)
            self.fail_over()
        self.goes_on()
        line.heal()
        self.follow()

    def one_way(self):
        """What that side sends is lost."""
        line = self.lines[self.primary]
        line.lost = {"back"} if self.side == "secondary" else {"out"}
        self.go_on_alone()
        self.goes_on()
        line.heal()
        self.follow()

    def corruption(self):
        """A byte of what that side sends is another: nothing of it is taken, and the next connection goes on."""
        line, struck = self.lines[self.primary], self.secondary if self.side == "secondary" else self.primary
        line.slow = False
        since = self.primary.log_size()
        line.spoilt = "back" if struck is self.secondary else "out"
        self.primary.wait_for_log("connection=lost", since, GOES_ON_WITHIN)
        self.goes_on()

    def slow(self):
        """No fault: the application waits for the peer, and is let go by nobody."""
        self.lines[self.primary].slow = True
        self.goes_on()
        assert self.load == "resync" or self.primary.report["connected"]

    def full(self):
        big = f"{self.pair.mount}/big"
        self.lines[self.primary].slow = False
        filled = subprocess.run(self.primary.enter("sh", "-c", f"head -c 60000000 /dev/urandom > {big} && sync {big}"),
                                stderr=subprocess.DEVNULL)
        if self.side == "secondary":
            assert filled.returncode == 0, "the secondary's disk is no business of the application"
            self.secondary.wait(lambda r: "No space left" in r["problem"], "why it is out of date", GOES_ON_WITHIN)
            self.goes_on()
        else:
            assert filled.returncode != 0
            self.application_is_lost()  # whatever it was told
        self.primary.run("rm", big)
        self.goes_on()

    def eio(self):
        self.lines[self.primary].slow = False
        self.disk.strike()
        if self.load == "idle":
            with_errors = self.primary.popen("sh", "-c", f"head -c 4000000 /dev/urandom > {self.pair.mount}/written && "
                                             f"sync {self.pair.mount}/written", stderr=subprocess.DEVNULL)
            assert (with_errors.wait(timeout=GOES_ON_WITHIN) == 0) == (self.side == "secondary")
        if self.side == "secondary":
            self.secondary.wait(lambda r: not r["up_to_date"] and r["problem"], "why it is out of date", GOES_ON_WITHIN)
            self.goes_on()
            self.secondary.kill()
        else:
            if self.appends:
                self.appends[-1].process.wait(timeout=GOES_ON_WITHIN)  # its disk failed, and it was told
            self.primary.kill()
            self.application_is_lost()
            if self.load == "resync":
                self.disk.repair()
            self.fail_over()
            self.goes_on()
        if self.side == "secondary" or self.load != "resync":
            self.disk.repair()
        self.follow()

    def stall(self):
        self.lines[self.primary].slow = False
        stalled = self.secondary if self.side == "secondary" else self.primary
        os.kill(stalled.process.pid, signal.SIGSTOP)
        if self.side == "secondary":
            self.go_on_alone()
            self.goes_on()
        else:
            self.secondary.wait(lambda r: not r["connected"], "the loss is noticed", GOES_ON_WITHIN)
        os.kill(stalled.process.pid, signal.SIGCONT)
        if self.side == "primary":
            self.primary.want(PRIMARY, may_be_alone=True)
        self.goes_on()

    def end(self):
        self.primary.synchronised()
        self.secondary.synchronised()
        self.primary.want(PRIMARY)
        self.goes_on()
        if self.storm is not None:
            self.storm.stop()
        for appends in self.appends:
            appends.end()
        assert_equal(self.pair)
        for appends in self.appends:
            appends.check(self.primary.data)

    def close(self):
        for line in self.lines.values():
            line.close()


FAULTS = ("replicad", "node", "cut", "one_way", "corruption", "slow", "full", "eio", "stall")
LOADS = ("idle", "fsync", "storm", "resync")
CORE = ("replicad_primary_storm", "replicad_secondary_resync", "node_primary_resync", "node_secondary_storm", "cut_primary_storm",
        "cut_secondary_fsync", "one_way_primary_fsync", "one_way_secondary_storm", "corruption_primary_resync", "corruption_secondary_storm",
        "slow_primary_resync", "full_primary_idle", "full_primary_fsync",
        "eio_secondary_fsync", "eio_primary_fsync", "stall_primary_fsync", "stall_secondary_resync")


def case_of(fault, side, load):
    def case(pair):
        cell = Cell(pair, fault, side, load)
        try:
            cell.run()
        finally:
            cell.close()
    return case


def cases():
    for fault in FAULTS:
        for side in ("primary", "secondary"):
            for load in LOADS:
                name = f"{fault}_{side}_{load}"
                named = f"case_{name}" in sys.argv[2:]
                if fault == "slow" and side == "secondary":
                    continue  # a line has no side
                if named or name in CORE or os.environ.get("SK_FAULTS") == "all":
                    yield f"case_{name}", case_of(fault, side, load)


run_cases(dict(cases()))
