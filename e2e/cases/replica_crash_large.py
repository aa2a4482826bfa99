#!/usr/bin/env python3
"""Power loss of a primary that holds 20 GB in 200,000 files, of which 200 zones are written each second: the next synchronisation
copies no more than 1.5 times the zones that were changed since the last checkpoint. Takes about 65 GB of disk for a while.
Usage: replica_crash_large.py PROGRAM. SK_SCALE shrinks the tree."""
import os, random, struct, subprocess, sys, threading, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from replica_disks import Disk
from replica_nodes import PRIMARY, assert_equal, mirrored, run_cases

SCALE = float(os.environ.get("SK_SCALE", "1"))
FILES, BYTES, PER_DIRECTORY, ZONE = int(200_000 * SCALE), 100_000, 500, 1 << 16
ZONES_A_SECOND, LOAD_SECONDS = 200, 150
# Writes one place of a random zone at a time, each tenth with fdatasync, and tells of each before and after.
WRITER = f"""import os, random, sys, time
random.seed(1)
began, count = time.monotonic(), 0
while True:
    file, zone = random.randrange({FILES}), random.randrange({-(-BYTES // ZONE)})
    at = min(zone * {ZONE} + random.randrange({ZONE}), {BYTES} - 100)
    print('w', file, zone, time.monotonic(), flush=True)
    fd = os.open(f'{{sys.argv[1]}}/d{{file // {PER_DIRECTORY}}}/f{{file}}', os.O_WRONLY)
    os.pwrite(fd, b'%99d\\n' % count, at)
    if count % 10 == 0:
        os.fdatasync(fd)
        print('s', file, at, count, flush=True)
    os.close(fd)
    count += 1
    time.sleep(max(0, began + count / {ZONES_A_SECOND} - time.monotonic()))
"""


def fill(directory):
    content = bytearray(random.Random(1).randbytes(BYTES))
    for number in range(FILES):
        folder = f"{directory}/d{number // PER_DIRECTORY}"
        if number % PER_DIRECTORY == 0:
            os.makedirs(folder)
        struct.pack_into("<Q", content, 0, number)
        with open(f"{folder}/f{number}", "wb") as out:
            out.write(content)


class Checkpoints:
    """When each log of activity was begun (docs/on-disk.md), and which is there."""

    def __init__(self, node):
        self.place, self.begun, self.ended = f"{node.pair.root}/state-{node.name}/replica", {}, False
        self.node = node
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def numbers(self):
        found = set()
        for name in ("activity.0", "activity.1"):
            try:
                with open(f"/proc/{self.node.keeper.pid}/root{self.place}/{name}", "rb") as log:
                    found.add(struct.unpack_from("<Q", log.read(36), 28)[0])
            except (OSError, struct.error):
                pass  # not there, or just being made
        return found

    def watch(self):
        while not self.ended:
            for number in self.numbers():
                self.begun.setdefault(number, time.monotonic())
            time.sleep(0.05)

    def end(self):
        self.ended = True
        self.thread.join()
        return self.begun[min(self.numbers())]


def case_primary_with_much_data(pair):
    size = int(FILES * BYTES * 1.2) + (1 << 30)
    disks = [Disk(node, size) for node in (pair.a, pair.b)]
    fill(pair.a.data)
    print(f"   {FILES} files, {FILES * BYTES / 1e9:.1f} GB", flush=True)
    began = time.monotonic()
    mirrored(pair, timeout=1800)
    print(f"   first synchronisation: {time.monotonic() - began:.0f} s", flush=True)
    checkpoints = Checkpoints(pair.a)
    with open(f"{pair.root}/writes", "w+") as told:
        writer = pair.a.popen(sys.executable, "-c", WRITER, pair.mount, stdout=told, stderr=subprocess.DEVNULL)
        time.sleep(LOAD_SECONDS * min(1, SCALE * 4))  # what is measured is what such a time of load leads to
        lost_at = time.monotonic()
        since = checkpoints.end()
        disks[0].lose_power()
        writer.kill()
        writer.wait()
        told.seek(0)
        lines = [line.split() for line in told if line.endswith("\n")]
    zones = {(line[1], line[2]) for line in lines if line[0] == "w" and float(line[3]) >= since}
    assert zones, "nothing was written since the last checkpoint"
    pair.a.start()
    pair.a.settle(PRIMARY, may_be_alone=True)
    began = time.monotonic()
    pair.a.synchronised(timeout=600)
    report = pair.a.report
    ratio = report["bytes_copied"] / (len(zones) * ZONE)
    print(f"   {lost_at - since:.0f} s after the last checkpoint, {len(zones)} zones changed: copied {report['bytes_copied']} bytes "
          f"({ratio:.2f} of the zones), compared {report['bytes_compared']}, in {time.monotonic() - began:.1f} s", flush=True)
    assert "synchronise=zones" in pair.a.log_since(0).rsplit("connection=made", 1)[1], "all was compared"
    assert ratio <= 1.5, ratio
    # The last write to each place that was acknowledged, if no later one may have been made there.
    last = {}
    for line in lines:
        last[line[1]] = line
    for line in last.values():
        if line[0] == "s":
            file, at, count = int(line[1]), int(line[2]), int(line[3])
            with open(f"{pair.a.data}/d{file // PER_DIRECTORY}/f{file}", "rb") as data:
                assert os.pread(data.fileno(), 100, at) == b"%99d\n" % count, f"an acknowledged write to f{file} was lost"
    pair.a.want(PRIMARY)
    pair.a.settle(PRIMARY)
    assert_equal(pair)


run_cases(dict(globals()))
