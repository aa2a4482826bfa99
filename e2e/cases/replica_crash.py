#!/usr/bin/env python3
"""After a crash of either node, or of both, the next synchronisation looks only at what was touched since the last checkpoint.
Power losses are real to the file system: the node's disk is an image, and what is mounted afterwards is a copy of the image as it
was at that moment, without what was in the page cache; the boot has another id. Usage: replica_crash.py PROGRAM [CASE...]
SK_SEED chooses the load."""
import os, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from replica_disks import Disk
from replica_nodes import PRIMARY, SECONDARY, assert_equal, mirrored, run_cases

LOAD = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "replica_load.py")]
SEED = int(os.environ.get("SK_SEED", "1"))
DIRECTORIES, FILES, BIG = 30, 40, 32 << 20  # the tree, and a database beside it
TOUCHED = 16  # directories, at most
RATE = "150"  # random changes a second: how much is touched is not a matter of how fast the machine is


class Load:
    """Random changes, an appended and a database file, and names that move, until the node is lost."""

    def __init__(self, node, number):
        at, given = node.pair.mount, {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.processes = [node.popen(*LOAD, "random", f"{at}/load", str(SEED * 100 + number), "link", RATE, **given),
                          node.popen(*LOAD, "append", f"{at}/d7/appended-{number}", **given)]
        node.run("sh", "-ec", f"""
            cd {at}
            for i in 1 2 3 4 5 6 7 8; do
                dd if=/dev/urandom of=db/big bs=4k count=1 seek=$((i * 97 + {number})) conv=notrunc,fsync status=none
            done
            mv d8/f{number} d9/moved-{number}
            rm d9/f{number}
            mv d1{number} moved-{number}
            mkdir d1{number}
            echo new > d1{number}/f0
            mv moved-{number}/f1 d8/f{number}""")
        time.sleep(1.5)

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


def fill(directory):
    for d in range(DIRECTORIES):
        os.makedirs(f"{directory}/d{d}")
        for f in range(FILES):
            with open(f"{directory}/d{d}/f{f}", "wb") as out:
                out.write(os.urandom(1000 + d * 50 + f))
    os.makedirs(f"{directory}/db")
    with open(f"{directory}/db/big", "wb") as out:
        out.write(os.urandom(BIG))


def filled(pair, *disks):
    made = [Disk(node, 400 << 20) for node in disks]
    fill(pair.a.data)
    mirrored(pair)
    return made


def measure(directory):
    """Files in all, and the bytes of those that the load may have touched."""
    files = load_bytes = 0
    for path, _, names in os.walk(directory):
        files += len(names)
        if os.path.relpath(path, directory).split("/")[0] != "db":
            load_bytes += sum(os.lstat(f"{path}/{name}").st_blocks * 512 for name in names)
    return files, load_bytes


def serve_again(node):
    """Alone. It has looked for what others changed: what the application does meanwhile would be found too, all of it."""
    began = node.log_size()
    node.start()
    node.settle(PRIMARY, may_be_alone=True)
    node.wait_for_log("outside changed-", began)


def meet(primary, secondary):
    """They synchronise, and look at little; both are as they say."""
    began = primary.log_size()
    if secondary.process.poll() is not None:
        secondary.start()
    secondary.settle(SECONDARY)
    primary.synchronised()
    secondary.synchronised()
    primary.want(PRIMARY)
    primary.wait_for_log("synchronisation=sent", began)
    report, log = primary.report, primary.log_since(began)
    print("  ", next(line for line in log.splitlines() if "synchronisation=sent" in line).split("synchronisation=")[1], flush=True)
    assert "synchronise=zones" in log, f"all was compared: {log}"
    files, load_bytes = measure(primary.data)
    untouched = (DIRECTORIES - TOUCHED) * FILES
    assert 0 < report["files_done"] < files - untouched // 2, (files, report)
    assert report["bytes_compared"] < load_bytes + BIG // 2 and report["bytes_copied"] < load_bytes + BIG // 4, (load_bytes, report)
    assert_equal(primary.pair)


def case_primary_killed(pair):
    """kill -9 of the primary's replicad: it goes on as primary, then the other takes over."""
    filled(pair)
    load = Load(pair.a, 1)
    pair.a.kill()
    load.end()
    pair.a.start()
    pair.a.settle(PRIMARY, may_be_alone=True)
    meet(pair.a, pair.b)
    load = Load(pair.a, 2)
    pair.a.kill()
    pair.b.settle(PRIMARY, may_be_alone=True)
    load.end()
    load = Load(pair.b, 3)
    load.end()
    meet(pair.b, pair.a)


def case_secondary_loses_power(pair):
    (disk,) = filled(pair, pair.b)
    load = Load(pair.a, 1)
    disk.lose_power()
    pair.a.want(PRIMARY, may_be_alone=True)
    load.end()
    meet(pair.a, pair.b)


def case_primary_loses_power(pair):
    """Once as a node that comes back as primary, once as one that finds another primary, which has crashed meanwhile too."""
    (disk,) = filled(pair, pair.a)
    load = Load(pair.a, 1)
    disk.lose_power()
    load.end()
    with open(f"{pair.a.data}/d25/f7", "r+b") as file:
        file.write(b"by hand, before the module was started again")
    pair.a.start()
    pair.a.settle(PRIMARY, may_be_alone=True)
    meet(pair.a, pair.b)
    assert "changed-while-stopped=1 " in pair.a.log_since(0), pair.logs()
    load = Load(pair.a, 2)
    disk.lose_power()
    load.end()
    pair.b.settle(PRIMARY, may_be_alone=True)
    load = Load(pair.b, 3)
    pair.b.kill()
    load.end()
    pair.b.start()
    pair.b.settle(PRIMARY, may_be_alone=True)
    meet(pair.b, pair.a)


def case_both_lose_power(pair):
    """Either may be the one that serves then."""
    one, two = filled(pair, pair.a, pair.b)
    load = Load(pair.a, 1)
    one.lose_power()
    two.lose_power()
    load.end()
    serve_again(pair.b)
    load = Load(pair.b, 2)
    load.end()
    meet(pair.b, pair.a)
    load = Load(pair.b, 3)
    two.lose_power()
    one.lose_power()
    load.end()
    pair.b.start()
    pair.b.settle(PRIMARY, may_be_alone=True)
    meet(pair.b, pair.a)


def case_damaged_log_compares_all(pair):
    filled(pair)
    load = Load(pair.a, 1)
    pair.a.kill()
    load.end()
    (log_file,) = [name for name in os.listdir(f"{pair.root}/state-a/replica") if name.startswith("activity.")]
    with open(f"{pair.root}/state-a/replica/{log_file}", "r+b") as log:
        log.seek(200)
        log.write(b"damage")
    pair.a.start()
    pair.a.settle(PRIMARY, may_be_alone=True)
    pair.a.synchronised()
    text = open(f"{pair.root}/a.log").read()
    assert "log=unusable" in text and "is damaged" in text and "compared in full" in text, text
    assert pair.a.report["files_done"] > DIRECTORIES * FILES, pair.a.report
    assert not pair.differences()


run_cases(dict(globals()))
