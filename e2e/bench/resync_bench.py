"""Synchronisations: a first one of large files beside `cp` of the same tree, one of many small files beside `rsync -a` over
loopback, one after few zones have changed, the reconnection of two equal trees, and what an application's fsync pays
meanwhile, and the memory of both replicas. `--scale` shrinks all sizes for a quick look; at full size up to 35 GB of disk.
Each part has an ext4 of its own, in an image: where many inodes were removed in the last five minutes ext4 makes new ones several
times slower, and what was removed before is discarded meanwhile. Whoever is measured second would pay for both."""
import contextlib
import os
import random
import subprocess
import time

import common
from common import Sandbox, note, sh, until

MODULE = """apiVersion: safekit/v1
kind: Module
metadata: {name: bench}
spec:
  mode: mirror
  id: 1
  nodes: [node1, node2]
  heartbeats: {lans: [default, replication]}
  replication:
    lan: replication
    directories: [{path: /srv/bench}]
"""
LARGE_FILES, LARGE_BYTES = 1000, 10 << 20
SMALL_FILES, SMALL_BYTES, PER_DIRECTORY = 200_000, 1024, 500
CHANGED_SHARE = 0.01
ZONE_BYTES = 1 << 16
EQUAL_FILES = 1_000_000
IMAGE_BYTES, INODE_EVERY_BYTES = 64 << 30, 8192


@contextlib.contextmanager
def file_system(base):
    """A fresh one at `base`. Not through the page cache a second time."""
    image = f"{base}.img"
    with open(image, "xb") as out:
        out.truncate(IMAGE_BYTES)
    common.later(os.unlink, image)
    sh("mkfs.ext4", "-q", "-i", INODE_EVERY_BYTES, image)
    device = sh("losetup", "--direct-io=on", "--find", "--show", image).strip()
    common.later(sh, "losetup", "--detach", device)
    os.makedirs(base)
    common.later(os.rmdir, base)
    sh("mount", "-o", "noinit_itable", device, base)
    common.later(sh, "umount", base)
    try:
        yield
    finally:
        common.clean_up()


class Mirror:
    """A sandbox with one module; node1 gets the data, node2 is synchronised."""

    def __init__(self, base, name):
        self.box = Sandbox(name, f"{base}/{name}")
        for node in self.box.nodes:
            self.box.exec(node, "mkdir", "-p", "/srv/bench")
        self.data = self.box.root("node1", "/srv/bench")
        self.box.safekit("node1", "apply", "-f", "-", input=MODULE)
        until(lambda: self.box.state("node2", "bench"), 30, "the module reaches the second node")

    def start(self, node, wanted, seconds, *verb):
        """How long it takes until the node has its role."""
        began = time.monotonic()
        self.box.safekit(node, *(verb or ("start",)), "-m", "bench")
        # One process that waits: asking again and again would take a part of the machine that is measured.
        self.box.safekit(node, "wait", "-m", "bench", "--for", wanted, "--timeout", f"{seconds}s")
        took = time.monotonic() - began
        if self.box.state(node, "bench") != f"{wanted} Ready":
            raise RuntimeError(f"{node} is {self.box.state(node, 'bench')}")
        return took

    def copied_bytes(self):
        return int(self.box.safekit("node1", "get", "-m", "bench", "-r", "rfs.rei_copy_size_metric")) * 1024

    def add_memory(self, report, moment):
        """Of both replicas: what they hold now, and the most since the last time."""
        for node, role in (("node1", "primary"), ("node2", "secondary")):
            pid = self.box.pids(node, "safekit-replicad")[0]
            status = self.box.exec(node, "cat", f"/proc/{pid}/status").splitlines()
            for field, what in (("VmRSS", "now"), ("VmHWM", "most")):
                kib = next(line for line in status if line.startswith(field)).split()[1]
                report.add(f"memory_{moment}_{role}_{what}", "MiB", False, "mirror", int(kib) / 1024)
            self.box.exec(node, "sh", "-c", f"echo 5 > /proc/{pid}/clear_refs")

    def end(self):
        self.box.call("down")  # the files go with their file system


@contextlib.contextmanager
def fresh(base, name):
    mirror = Mirror(base, name)
    try:
        yield mirror
    finally:
        mirror.end()


def large_tree(path, files):
    os.makedirs(path, exist_ok=True)
    piece = os.urandom(LARGE_BYTES)
    for number in range(files):
        with open(f"{path}/large-{number}", "wb") as out:
            out.write(number.to_bytes(8, "little") + piece[8:])
    sh("sync", "-f", path)


def small_tree(path, files, size):
    content = os.urandom(size)
    for number in range(files):
        if number % PER_DIRECTORY == 0:
            folder = f"{path}/d{number // PER_DIRECTORY}"
            os.makedirs(folder)
        with open(f"{folder}/f{number}", "wb") as out:
            out.write(content)
    sh("sync", "-f", path)


def timed_copy(source, target):
    """cp -a, on the disk at its end as a synchronisation is."""
    began = time.monotonic()
    sh("cp", "-a", source, target)
    sh("sync", "-f", target)
    return time.monotonic() - began


def timed_rsync(base, source, target):
    """rsync -a from a daemon on loopback."""
    config = f"{base}/rsyncd.conf"
    with open(config, "w") as out:
        out.write(f"port = 8730\naddress = 127.0.0.1\nuse chroot = no\n[tree]\npath = {source}\nuid = root\ngid = root\n")
    daemon = subprocess.Popen(["rsync", "--daemon", "--no-detach", f"--config={config}"], stdout=subprocess.DEVNULL)
    try:
        until(lambda: "tree" in sh("rsync", "rsync://127.0.0.1:8730/", check=False), 10, "the rsync daemon answers")
        began = time.monotonic()
        sh("rsync", "-a", "rsync://127.0.0.1:8730/tree/", f"{target}/", timeout=1200)
        sh("sync", "-f", target)
        return time.monotonic() - began
    finally:
        daemon.terminate()
        daemon.wait()


class FsyncLoad:
    """An application beside: 4 KiB writes, each with fsync, at a pace, and how long each took."""

    SCRIPT = """import os, sys, time
fd = os.open('/srv/bench/load', os.O_WRONLY | os.O_CREAT)
block = os.urandom(4096)
while not os.path.exists('/srv/bench-stop'):
    began = time.monotonic()
    os.pwrite(fd, block, int.from_bytes(os.urandom(2), 'little') % 4096 * 4096)
    os.fsync(fd)
    took = time.monotonic() - began
    print(took * 1000, flush=True)
    time.sleep(max(0, 0.005 - took))
"""

    def __init__(self, box, base):
        self.box, self.path = box, f"{base}/load-{random.getrandbits(32)}"
        self.out = open(self.path, "w")
        self.process = subprocess.Popen([*box.words("node1"), "python3", "-c", self.SCRIPT], stdout=self.out)

    def done(self):
        with open(self.path) as text:
            return [float(line) for line in text if line.endswith("\n")]

    def end(self):
        self.box.exec("node1", "touch", "/srv/bench-stop")
        self.process.wait(timeout=30)
        self.out.close()
        self.box.exec("node1", "rm", "/srv/bench-stop")
        return sorted(self.done())


def p99(values):
    return values[min(len(values) - 1, int(len(values) * 0.99))]


def first_of_large(base, report, scale):
    files = max(10, int(LARGE_FILES * scale))
    mib = files * LARGE_BYTES / 2**20
    with fresh(base, "rsl") as mirror:
        large_tree(mirror.data, files)
        # The copy stays until the end: its room would be discarded while the mirror is measured.
        report.add("resync_first_large", "MiB/s", True, "cp", mib / timed_copy(mirror.data, f"{base}/cp"))
        mirror.start("node1", "ALONE", 60, "prim")
        report.add("resync_first_large", "MiB/s", True, "mirror", mib / mirror.start("node2", "SECOND", 1200))
        note("large files: first synchronisation done")
        zones_changed(mirror, report, files)
        fsync_beside(base, mirror, report)


def zones_changed(mirror, report, files):
    """The secondary is away; some zones change; the bytes copied per byte of changed zones."""
    mirror.box.safekit("node2", "stop", "-m", "bench")
    mirror.box.wait_state("node2", "bench", "STOP NotReady")
    mirror.box.wait_state("node1", "bench", "ALONE Ready")
    zones = max(10, int(files * LARGE_BYTES / ZONE_BYTES * CHANGED_SHARE))
    script = f"""import os, random
random.seed(1)
seen = set()
while len(seen) < {zones}:
    seen.add((random.randrange({files}), random.randrange({LARGE_BYTES // ZONE_BYTES})))
for file, zone in sorted(seen):
    fd = os.open(f'/srv/bench/large-{{file}}', os.O_WRONLY)
    os.pwrite(fd, os.urandom(100), zone * {ZONE_BYTES} + 1000)
    os.close(fd)
"""
    mirror.box.exec("node1", "python3", "-c", script)
    took = mirror.start("node2", "SECOND", 600)
    report.add("resync_zones_bytes_per_changed", "ratio", False, "mirror", mirror.copied_bytes() / (zones * ZONE_BYTES))
    report.add("resync_zones", "s", False, "mirror", took)
    note(f"{zones} zones changed: done in {took:.1f} s")


def fsync_beside(base, mirror, report):
    """p99 of an application's fsync without and during a full synchronisation."""
    load = FsyncLoad(mirror.box, base)
    until(lambda: len(load.done()) > 1000, 120, "1,000 calls without a synchronisation")
    calm = load.end()
    mirror.box.safekit("node2", "stop", "-m", "bench")
    mirror.box.wait_state("node2", "bench", "STOP NotReady")
    load = FsyncLoad(mirror.box, base)
    report.add("resync_fsync_took", "s", False, "mirror", mirror.start("node2", "SECOND", 1200, "second", "fullsync"))
    busy = load.end()
    for name, values in (("calm", calm), ("resync", busy)):
        report.add(f"resync_fsync_p99_{name}", "ms", False, "mirror", p99(values))
    report.add("resync_fsync_p99_ratio", "ratio", False, "mirror", p99(busy) / p99(calm))


def first_of_small(base, report, scale):
    files = max(1000, int(SMALL_FILES * scale))
    with fresh(base, "rss") as mirror:
        small_tree(mirror.data, files, SMALL_BYTES)
        os.makedirs(f"{base}/rsync")
        report.add("resync_first_small", "files/s", True, "rsync", files / timed_rsync(base, mirror.data, f"{base}/rsync"))
        mirror.start("node1", "ALONE", 60, "prim")
        report.add("resync_first_small", "files/s", True, "mirror", files / mirror.start("node2", "SECOND", 1200))


def reconnects(base, report, scale):
    """Equal trees: the network is cut and healed; then the secondary is stopped and started; then all is compared."""
    files = max(1000, int(EQUAL_FILES * scale))
    with fresh(base, "rse") as mirror:
        small_tree(mirror.data, files, 16)
        note(f"{files} files are there")
        mirror.start("node1", "ALONE", 60, "prim")
        took = mirror.start("node2", "SECOND", 1800)
        report.add("resync_first_tiny", "files/s", True, "mirror", files / took)
        mirror.add_memory(report, "first")
        mirror.box.call("cut", "replication")
        mirror.box.wait_state("node1", "bench", "ALONE Ready")
        began = time.monotonic()
        mirror.box.call("heal", "replication")
        mirror.box.wait_pair("bench", 300)
        report.add("resync_reconnect_unchanged", "s", False, "mirror", time.monotonic() - began)
        mirror.box.safekit("node2", "stop", "-m", "bench")
        mirror.box.wait_state("node2", "bench", "STOP NotReady")
        report.add("resync_restart_unchanged", "s", False, "mirror", mirror.start("node2", "SECOND", 600))
        mirror.add_memory(report, "idle")
        mirror.box.safekit("node2", "stop", "-m", "bench")
        mirror.box.wait_state("node2", "bench", "STOP NotReady")
        began = time.monotonic()
        mirror.box.safekit("node2", "second", "fullsync", "-m", "bench")
        mirror.box.wait_state("node2", "bench", "SECOND Ready", 600)
        report.add("resync_compare_equal", "s", False, "mirror", time.monotonic() - began)
        mirror.add_memory(report, "compared")
        note(f"{mirror.box.exec('node1', 'sh', '-c', 'find /srv/bench -ls | wc -l').strip()} names looked at by the application")
        mirror.add_memory(report, "walked")


def run(options, report):
    base = options.dir
    for left in (base, f"{base}.img"):
        if os.path.exists(left):
            raise RuntimeError(f"{left} exists: a run that was killed left it; remove it first")
    parts = {"large": lambda: first_of_large(base, report, options.scale),
             "small": lambda: first_of_small(base, report, options.scale),
             "equal": lambda: reconnects(base, report, options.scale)}
    for name in options.rows.split(",") if options.rows else parts:
        if name not in parts:
            raise RuntimeError(f"no part '{name}': there are {', '.join(parts)}")
        with file_system(base):
            parts[name]()
