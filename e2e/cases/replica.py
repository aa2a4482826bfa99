#!/usr/bin/env python3
"""Replication of one directory between two real safekit-replicad: synchronisation under load, loss and return of either side,
failover, swap, divergence. Usage: replica.py PROGRAM [CASE...]"""
import os, random, signal, socket, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from replica_clients import Appends, Load
from replica_disks import Disk
from replica_nodes import IDLE, PRIMARY, SECONDARY, assert_equal, lost_sets, mirrored, run_cases

def fill(directory, other):
    """Data on the primary, and on the secondary all that can be in the way of it."""
    for i in range(30):
        os.makedirs(f"{directory}/d{i}/e")
        with open(f"{directory}/d{i}/f", "wb") as out:
            out.write(os.urandom(i * 9973))
    os.symlink("d0", f"{directory}/link")
    os.mkfifo(f"{directory}/fifo")
    os.link(f"{directory}/d1/f", f"{directory}/d2/e/same")
    with open(f"{directory}/sparse", "wb") as out:
        out.seek(1 << 30)
        out.write(b"end")
    os.setxattr(f"{directory}/d3", "user.x", b"y")
    os.makedirs(f"{other}/d0/f/deep")
    os.makedirs(f"{other}/extra/deep/er")
    with open(f"{other}/d1", "w") as out:
        out.write("a file where a directory is to be")
    os.makedirs(f"{other}/d4")
    with open(f"{other}/d4/f", "wb") as out:
        out.write(os.urandom(100000))
    os.makedirs(f"{other}/d5")
    os.link(f"{other}/d4/f", f"{other}/d5/f")
    os.symlink("elsewhere", f"{other}/link")
    os.makedirs(f"{other}/fifo")
    with open(f"{other}/sparse", "wb") as out:
        out.write(b"not a hole" * 100000)


def case_full_under_load(pair):
    fill(pair.a.data, pair.b.data)
    pair.a.start()
    pair.b.start()
    pair.a.settle(PRIMARY, may_be_alone=True)
    loads = [Load(pair.a, 1), Load(pair.a, 2), Load(pair.a, 3, "d7")]
    time.sleep(1)
    pair.b.settle(SECONDARY)
    pair.a.synchronised()
    time.sleep(1)
    print("   changes:", [load.stop() for load in loads])
    assert_equal(pair)
    assert os.stat(f"{pair.b.data}/sparse").st_blocks < 1000, "the hole was filled"
    assert not pair.b.report["inconsistent"] and pair.b.report["up_to_date"]


def case_secondary_killed_returns_by_zones(pair):
    fill(pair.a.data, pair.b.data)
    mirrored(pair)
    load, appends = Load(pair.a, 4), Appends(pair.a)
    appends.wait_for(20)
    pair.b.kill()
    pair.a.wait(lambda r: r["waiting_for_alone"], "waiting for the leave")
    pair.a.want(PRIMARY, may_be_alone=True)
    appends.wait_for(200)
    pair.b.start()
    pair.b.settle(SECONDARY)
    pair.a.synchronised()
    appends.wait_for(20)
    load.stop()
    appends.end()
    assert_equal(pair)
    log = open(f"{pair.root}/a.log").read()
    assert "synchronise=zones" in log, "zones were not used"
    print("   copied", pair.a.report["bytes_copied"])


def case_names_given_and_taken_while_away(pair):
    """Hard links that change in some directories only: a zone map names directories, not all names of a file."""
    mirrored(pair)

    def do(script):
        pair.a.run("sh", "-ec", f"cd {pair.mount}; {script}")

    def while_away(script):
        assert_equal(pair)
        pair.b.kill()
        pair.a.wait(lambda r: not r["connected"], "the loss")
        pair.a.want(PRIMARY, may_be_alone=True)
        do(script)
        pair.b.start()
        pair.b.settle(SECONDARY)
        pair.a.synchronised()
        assert_equal(pair)

    do("mkdir p q s; echo one > p/one; echo two > p/two; ln p/two q/two")
    while_away("rm q/two; echo another > q/two")
    while_away("ln p/one s/one")


def case_failover_and_return(pair):
    mirrored(pair)
    load, appends = Load(pair.a, 5), Appends(pair.a)
    appends.wait_for(300)
    pair.a.kill()
    began = time.monotonic()
    pair.b.settle(PRIMARY, may_be_alone=True)
    print("   takeover in ms:", round((time.monotonic() - began) * 1000, 1))
    appends.end()
    load.process.wait()
    appends.check(pair.b.data)
    second = Load(pair.b, 6)
    time.sleep(1)
    pair.a.start()
    pair.a.settle(SECONDARY)
    pair.b.synchronised()
    pair.a.synchronised()
    second.stop()
    assert_equal(pair)


def case_times_of_an_acknowledged_fsync_survive_the_primary(pair):
    mirrored(pair)
    # Killed by the load itself: before the time of the last write is told once more.
    write = """import os, signal, sys
fd = os.open(sys.argv[1] + "/f", os.O_WRONLY | os.O_CREAT)
for i in range(20):
    os.pwrite(fd, b"x" * 4096, i * 4096)
    os.fsync(fd)
time = os.fstat(fd).st_mtime_ns
os.kill(int(sys.argv[2]), signal.SIGKILL)
print(time, flush=True)
"""
    load = pair.a.popen(sys.executable, "-c", write, pair.mount, str(pair.a.process.pid), stdout=subprocess.PIPE)
    time_ns = int(load.stdout.readline())
    pair.a.kill()
    load.wait()
    pair.b.settle(PRIMARY, may_be_alone=True)
    assert os.stat(f"{pair.b.data}/f").st_mtime_ns == time_ns
    assert os.stat(f"{pair.b.data}/f").st_size == 20 * 4096
    pair.a.start()
    pair.a.settle(SECONDARY)
    pair.b.synchronised()
    pair.a.synchronised()
    assert_equal(pair)


def case_swap_copies_nothing(pair):
    mirrored(pair)
    load = Load(pair.a, 7)
    time.sleep(1)
    load.stop()
    pair.a.settle(IDLE)
    pair.b.settle(PRIMARY)
    pair.a.settle(SECONDARY)
    pair.a.synchronised()
    pair.b.synchronised()
    assert pair.b.report["bytes_copied"] == 0
    assert "synchronise=nothing" in open(f"{pair.root}/b.log").read()
    load = Load(pair.b, 8)
    time.sleep(1)
    load.stop()
    assert_equal(pair)


def case_stop_both_and_start_again(pair):
    """Orderly: the secondary first, the primary goes on alone, stops, starts: zones survive on disk."""
    mirrored(pair)
    load = Load(pair.a, 9)
    time.sleep(1)
    assert pair.b.stop() == 0
    pair.a.want(PRIMARY, may_be_alone=True)
    time.sleep(1)
    load.stop()
    assert pair.a.stop() == 0
    pair.a.start()
    pair.a.settle(PRIMARY, may_be_alone=True)
    pair.b.start()
    pair.b.settle(SECONDARY)
    pair.a.synchronised()
    assert_equal(pair)
    assert "synchronise=zones" in open(f"{pair.root}/a.log").read()


def case_divergence_is_overwritten(pair):
    mirrored(pair)
    pair.b.kill()
    pair.a.want(PRIMARY, may_be_alone=True)
    pair.a.run("sh", "-c", f"echo a > {pair.mount}/one; sync {pair.mount}/one")
    pair.a.kill()
    pair.b.start()
    pair.b.settle(PRIMARY, may_be_alone=True)
    pair.b.run("sh", "-c", f"echo b > {pair.mount}/one; echo b > {pair.mount}/two; sync {pair.mount}/two")
    pair.a.start()
    pair.a.settle(SECONDARY)
    pair.b.synchronised()
    assert "generations=diverged" in open(f"{pair.root}/b.log").read()
    assert_equal(pair)
    assert open(f"{pair.a.data}/one").read() == "b\n"
    # It crashed, so there is no telling what it wrote itself: all that differed is set aside.
    (items,) = lost_sets(pair.a)
    assert {(i["path"], i["kind"]) for i in items.values()} >= {("one", 0), ("two", 4)}, items
    (one,) = [i for i in items.values() if i["path"] == "one"]
    assert one["pieces"] == [(0, 2, 0, b"a\n")], one


def case_lost_writes_of_an_interrupted_synchronisation(pair):
    """Under live writes and over two attempts each byte of the loser is set aside once, and none of the winner's."""
    count, size = 120, 160 << 10
    write = "import sys, os\nfor i in range(%d):\n with open(f'%s/f{i}', 'r+b' if os.path.exists(f'%s/f{i}') else 'wb') as f: f.write((%r %% i) * %d)\nos.sync()"

    def content(word, i):
        return (word % i) * (size // 8)

    def write_all(node, word, files=count):
        node.run(sys.executable, "-c", write % (files, pair.mount, pair.mount, word, size // 8))
    mirrored(pair)
    write_all(pair.a, b"o%06d ")
    pair.a.run("sh", "-ec", f"cd {pair.mount}; mkdir d; for i in $(seq 50); do echo old > d/$i; done; sync .")
    assert pair.b.stop() == 0
    pair.a.want(PRIMARY, may_be_alone=True)
    write_all(pair.a, b"a%06d ", count - 20)
    pair.a.run("sh", "-ec", f"cd {pair.mount}; for i in $(seq 20); do echo lost > mine$i; done; sync .")
    assert pair.a.stop() == 0
    pair.b.start()
    pair.b.settle(PRIMARY, may_be_alone=True, force=True)
    write_all(pair.b, b"b%06d ")
    pair.b.run("rm", "-r", f"{pair.mount}/d")
    live = pair.b.popen(sys.executable, "-c", f"""
import random
while True:
    with open(f'{pair.mount}/f{{random.randrange({count})}}', 'r+b') as f:
        f.seek(random.randrange({size // 4096}) * 4096)
        f.write(b'L' * 4096)""")
    pair.a.start()
    pair.a.settle(SECONDARY)
    pair.b.wait(lambda r: r["bytes_copied"] > 2 << 20, "some bytes copied")
    pair.a.kill()
    pair.b.want(PRIMARY, may_be_alone=True)
    assert sum(len(i["pieces"]) for i in lost_sets(pair.a)[0].values()) > 0
    pair.a.start()
    pair.a.settle(SECONDARY)
    pair.b.synchronised()
    live.kill()
    live.wait()
    assert_equal(pair)
    (items,) = lost_sets(pair.a)
    by_path = {i["path"]: i for i in items.values() if i["kind"] == 0}
    assert len(by_path) == sum(i["kind"] == 0 for i in items.values()), "a file is there twice"
    assert set(by_path) == {f"f{i}" for i in range(count - 20)} | {f"mine{i + 1}" for i in range(20)}, sorted(by_path)
    for i in range(count - 20):
        pieces = sorted(by_path[f"f{i}"]["pieces"])
        assert b"".join(p[3] for p in pieces) == content(b"a%06d ", i), f"f{i}: {[p[:3] for p in pieces]}"
    assert all(by_path[f"mine{i + 1}"]["pieces"][0][3] == b"lost\n" for i in range(20))


def case_lost_writes_without_room(pair):
    mirrored(pair, lost_max=1 << 20)
    assert pair.b.stop() == 0
    pair.a.want(PRIMARY, may_be_alone=True)
    pair.a.run("sh", "-ec", f"cd {pair.mount}; head -c 3000000 /dev/zero | tr '\\0' a > big; echo small > small; sync .")
    assert pair.a.stop() == 0
    pair.b.start(lost_max=1 << 20)
    pair.b.settle(PRIMARY, may_be_alone=True, force=True)
    pair.b.run("sh", "-ec", f"echo b > {pair.mount}/of-b; sync {pair.mount}")
    pair.a.start(lost_max=1 << 20)
    told = []
    pair.a.on_report = lambda report: told.append(report["problem"])
    pair.a.settle(SECONDARY)
    pair.b.synchronised()
    assert_equal(pair)
    (items,) = lost_sets(pair.a)
    by_path = {i["path"]: i for i in items.values() if i["kind"] == 0}
    assert sum(p[1] for p in by_path["big"]["pieces"] if p[2] == 2) == 3000000 - sum(p[1] for p in by_path["big"]["pieces"] if p[2] == 0)
    assert by_path["small"]["pieces"] == [(0, 6, 0, b"small\n")] and any("lostWritesMax is reached" in p for p in told), (by_path, told)


def case_lost_writes_disk_broken(pair):
    """Without a place that can be written nothing is overwritten."""
    mirrored(pair)
    assert pair.b.stop() == 0
    pair.a.want(PRIMARY, may_be_alone=True)
    pair.a.run("sh", "-ec", f"echo a > {pair.mount}/one; sync {pair.mount}/one")
    assert pair.a.stop() == 0
    pair.b.start()
    pair.b.settle(PRIMARY, may_be_alone=True, force=True)
    pair.b.run("sh", "-ec", f"echo b > {pair.mount}/one; sync {pair.mount}/one")
    broken = f"{pair.root}/state-a/lost-writes"
    open(broken, "w").close()
    pair.a.start()
    pair.a.settle(SECONDARY)
    pair.b.wait(lambda r: "cannot be set aside" in r["problem"] or "lost-writes" in r["problem"], "the problem")
    assert open(f"{pair.a.data}/one").read() == "a\n"
    os.remove(broken)
    pair.b.synchronised()
    assert_equal(pair)
    (items,) = lost_sets(pair.a)
    assert [i["pieces"] for i in items.values()] == [[(0, 2, 0, b"a\n")]], items


def case_writes_in_the_page_cache(pair):
    """With writeBack an fsync still means both nodes, and all that is written back arrives."""
    mirrored(pair, write_back=True)
    loads = [Load(pair.a, 1), Load(pair.a, 2, "other")]
    appends = Appends(pair.a)
    appends.wait_for(200)
    appends.end()
    acknowledged = appends.acknowledged
    print("   changes:", [load.stop() for load in loads], "appends:", acknowledged)
    appends.check(pair.b.data)
    pair.a.run("sync", "-f", pair.mount)
    assert_equal(pair)


def case_silent_secondary(pair):
    """The peer hangs: writers wait, then go on when told so, in time; the hung one is synchronised again."""
    mirrored(pair)
    appends = Appends(pair.a)
    appends.wait_for(50)
    os.kill(pair.b.process.pid, signal.SIGSTOP)
    began = time.monotonic()
    # As the control plane does: no leave while the stream may still be alive; its last answers would contradict it.
    pair.a.wait(lambda r: not r["connected"], "told that the peer is silent")
    pair.a.want(PRIMARY, may_be_alone=True)
    appends.wait_for(20)
    print("   went on after s:", round(time.monotonic() - began, 2))
    assert time.monotonic() - began < 3
    pair.a.wait(lambda r: not r["peer_synchronised"], "told that the peer is lost")
    os.kill(pair.b.process.pid, signal.SIGCONT)
    pair.a.synchronised()
    pair.a.want(PRIMARY)
    appends.wait_for(20)
    # Without the leave: at most the send time-out.
    os.kill(pair.b.process.pid, signal.SIGSTOP)
    began = time.monotonic()
    appends.wait_for(20, timeout=20)
    assert 4 < time.monotonic() - began < 14, time.monotonic() - began
    os.kill(pair.b.process.pid, signal.SIGCONT)
    pair.a.synchronised()
    appends.end()
    assert_equal(pair)


def case_stalled_handshakes_hold_up_nobody(pair):
    """Connections that say nothing, or half of something: heartbeats, a new connection and a takeover are as quick as ever."""
    def stall():
        connection = socket.create_connection((pair.b.address, 19600))
        connection.send(b"\x16\x03\x01\x02" if len(stalled) % 2 else b"")
        stalled.append(connection)
    stalled = []
    mirrored(pair)
    appends = Appends(pair.a)
    silent = []
    pair.a.on_report = lambda report: report["connected"] or silent.append(report)
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        stall()
        time.sleep(0.2)
    appends.wait_for(20, timeout=2)
    assert not silent, f"the stream was silent: {silent[0]}"
    pair.a.on_report = None
    pair.a.kill()
    pair.a.start()
    pair.a.settle(PRIMARY, may_be_alone=True, force=True)
    pair.a.synchronised(timeout=4)
    pair.a.kill()
    stall()
    began = time.monotonic()
    pair.b.settle(PRIMARY, may_be_alone=True)
    assert time.monotonic() - began < 1, f"the takeover took {time.monotonic() - began:.1f} s"
    appends.end()
    for connection in stalled:
        connection.close()


def case_busy_unmount_is_refused(pair):
    mirrored(pair)
    holder = pair.a.popen("sh", "-c", f"cd {pair.mount} && exec sleep 60")
    time.sleep(0.3)
    pair.a.want(IDLE)
    pair.a.wait(lambda r: "in use by" in r["problem"] and str(holder.pid) in r["problem"], "holder named")
    holder.kill()
    holder.wait()
    pair.a.wait(lambda r: r["settled"] and r["role"] == IDLE, "idle")


def case_problems_are_told(pair):
    pair.a.start(must_exist=["mounted"])
    pair.a.want(PRIMARY)
    pair.a.wait(lambda r: r["fatal"] and "mounted" in r["problem"], "must exist")
    print("  ", pair.a.report["problem"])
    os.mkdir(f"{pair.a.data}/mounted")
    pair.a.settle(PRIMARY, may_be_alone=True)
    pair.b.start(port=19601)
    pair.b.settle(SECONDARY)
    time.sleep(0.5)
    assert not pair.b.report["connected"]


def case_nested_mounts_are_told_and_not_crossed(pair):
    for node in (pair.a, pair.b):
        os.mkdir(f"{node.data}/d")
        node.run("mount", "-t", "tmpfs", "none", f"{pair.mount}/d")
        node.run("sh", "-c", f"echo precious > {pair.mount}/d/precious")
    mirrored(pair)
    for node in (pair.a, pair.b):
        node.wait(lambda r: f"'{pair.mount}/d' is mounted inside" in r["problem"], "told what is not replicated")
    pair.a.run("sh", "-c", f"echo new > {pair.mount}/d/new; sync {pair.mount}/d/new")
    assert_equal(pair)
    assert os.listdir(f"{pair.b.data}/d") == ["new"]
    for node in (pair.a, pair.b):
        node.settle(IDLE)
        node.run("sh", "-c", f"test $(ls {pair.mount}/d) = precious")


def case_full_disk_of_the_secondary(pair):
    """The application goes on at once; the secondary is out of date and says why and where; with room again it is synchronised,
    though the application writes on while the file that takes the room is still there."""
    pair.b.run("mount", "-t", "tmpfs", "-o", "size=16m", "none", pair.mount)
    pair.b.data = f"/proc/{pair.b.keeper.pid}/root{pair.mount}"
    mirrored(pair)
    appends = Appends(pair.a)
    appends.wait_for(20)
    pair.a.run("sh", "-c", f"head -c 30000000 /dev/urandom > {pair.mount}/big; sync {pair.mount}/big")
    pair.b.wait(lambda r: not r["up_to_date"] and "No space left" in r["problem"] and pair.mount in r["problem"],
                "told that the disk is full, and which")
    appends.wait_for(50, timeout=3)
    pair.a.wait(lambda r: "node 'b'" in r["problem"] and pair.mount in r["problem"], "the primary tells it too")
    # A synchronisation that cannot be leaves all as it is, and the application goes on.
    refused = pair.a.log_size()
    pair.a.wait_for_log("synchronise=", refused)
    appends.wait_for(50, timeout=3)
    assert not pair.b.report["up_to_date"] and not pair.a.report["peer_synchronised"]
    pair.a.run("rm", f"{pair.mount}/big")
    pair.a.synchronised(timeout=10)
    appends.wait_for(20)
    appends.end()
    assert_equal(pair)
    assert pair.b.report["up_to_date"] and not pair.b.report["problem"]


def case_an_allocation_that_finds_no_room_changes_nothing(pair):
    """ext4 itself leaves the file as large as it could make it."""
    Disk(pair.a, 300 << 20)
    mirrored(pair)
    pair.a.run("sh", "-ec", f"cd {pair.mount}; echo old > file; ! fallocate -l 1G file 2> /dev/null; sync file")
    assert os.path.getsize(f"{pair.a.data}/file") == len("old\n")
    assert_equal(pair)


def case_the_time_of_a_write_that_finds_no_room_is_told(pair):
    """ext4 has set it before it looks for room."""
    Disk(pair.a, 300 << 20)
    mirrored(pair)
    pair.a.run("sh", "-ec", f"""cd {pair.mount}; echo old > file; sync file; ! head -c 1G /dev/zero > filler 2> /dev/null; sync filler
        ! dd if=/dev/zero of=file bs=4096 seek=256 count=1 conv=notrunc 2> /dev/null; sync file""")
    assert os.stat(f"{pair.a.data}/file").st_mtime > os.stat(f"{pair.a.data}/filler").st_mtime, "the case needs an ext4 that does so"
    assert os.path.getsize(f"{pair.a.data}/file") == len("old\n")
    assert_equal(pair)


def case_a_range_that_is_zeroed_without_room_is_compared(pair):
    """XFS has punched it when it finds no room for the zeros: the call fails, and the content is another."""
    image, disk = f"{pair.root}/a.xfs", f"{pair.root}/disk-a"
    os.makedirs(disk)
    pair.a.run("sh", "-ec", f"truncate -s 300m {image}; mkfs.xfs -q {image}; mount -o loop {image} {disk}; mount --bind {disk} {pair.mount}")
    pair.a.data = f"/proc/{pair.a.keeper.pid}/root{disk}"
    mirrored(pair)
    pair.a.run("sh", "-ec", f"cd {pair.mount}; yes | head -c 4000000 > file; sync file; ! fallocate --zero-range -n -o 0 -l 1G file 2> /dev/null")
    pair.a.synchronised()
    pair.a.run("sync", f"{pair.mount}/file")
    with open(f"{pair.a.data}/file", "rb") as file:
        assert file.read(4) == bytes(4), "the case needs a call that fails in its middle"
    assert_equal(pair)


def case_rounds_of_losses(pair):
    """Random losses under load, also in the middle of a synchronisation; after each both copies are equal again and no
    acknowledged append is missing. SK_ROUNDS and SK_SEED choose how many and which."""
    seed = int(os.environ.get("SK_SEED", "1"))
    chance = random.Random(seed)
    fill(pair.a.data, pair.b.data)
    mirrored(pair)
    primary, other = pair.a, pair.b
    for number in range(int(os.environ.get("SK_ROUNDS", "5"))):
        what = chance.choice(("lose secondary", "lose primary", "stop secondary", "swap", "lose secondary in resync", "freeze"))
        loads = [Load(primary, seed * 1000 + number * 10 + i) for i in range(2)]
        appends = Appends(primary, f"appended{number}")
        appends.wait_for(10)
        time.sleep(chance.random())
        if what == "lose primary":
            primary.kill()
            other.settle(PRIMARY, may_be_alone=True)
            for load in loads:
                load.process.wait()
            loads = [Load(other, seed * 1000 + number * 10 + 5)]
            primary, other = other, primary
        elif what == "swap":
            for load in loads:
                load.stop()
            appends.end()
            primary.settle(IDLE)
            other.settle(PRIMARY)
            primary, other = other, primary
            loads = [Load(primary, seed * 1000 + number * 10 + 5)]
        elif what == "freeze":
            os.kill(other.process.pid, signal.SIGSTOP)
            primary.want(PRIMARY, may_be_alone=True)
            time.sleep(1.5)
            os.kill(other.process.pid, signal.SIGCONT)
        else:
            other.stop() if what == "stop secondary" else other.kill()
            primary.want(PRIMARY, may_be_alone=True)
            time.sleep(chance.random() * 2)
        if other.process.poll() is not None:
            other.start()
        if other.report.get("role") != SECONDARY:
            other.settle(SECONDARY)
        if what == "lose secondary in resync":
            time.sleep(chance.random() * 0.5)
            other.kill()
            other.start()
            other.settle(SECONDARY)
        primary.synchronised()
        other.synchronised()
        primary.want(PRIMARY)
        time.sleep(0.3)
        for load in loads:
            load.stop()
        appends.end()
        assert_equal(pair)
        appends.check(primary.data)
        print(f"   round {number}: {what}, {appends.acknowledged} appends", flush=True)


run_cases(dict(globals()))
