#!/usr/bin/env python3
"""What somebody changes in a plain directory while its node is stopped is found at the next start: the copies become equal, and
nothing else is looked at. Usage: stopped.py PROGRAM [CASE...]. SK_EACH=1 makes each kind of change in a stop of its own."""
import ctypes, os, random, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from replica_nodes import IDLE, PRIMARY, SECONDARY, assert_equal, lost_sets, mirrored, run_cases

DIRECTORIES, FILES = 30, 20
EXCHANGE = 2
libc = ctypes.CDLL(None, use_errno=True)


def fill(directory):
    for d in range(DIRECTORIES):
        os.makedirs(f"{directory}/d{d}/deep")
        for f in range(FILES):
            with open(f"{directory}/d{d}/f{f}", "wb") as out:
                out.write(random.Random(d * 100 + f).randbytes(2000 + f))
        with open(f"{directory}/d{d}/deep/x", "w") as out:
            out.write(f"deep {d}")
    with open(f"{directory}/big", "wb") as out:
        out.write(random.Random(7).randbytes(3 << 20))


def change_byte(path, offset=100):
    """As somebody who hides it: size and mtime stay."""
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def exchange(one, other):
    assert libc.renameat2(-100, one.encode(), -100, other.encode(), EXCHANGE) == 0, os.strerror(ctypes.get_errno())


def keeping_times(change, *directories):
    before = [(d, os.stat(d)) for d in directories]
    change()
    for directory, st in before:
        os.utime(directory, ns=(st.st_atime_ns, st.st_mtime_ns))


def change_byte_of_big(top):
    change_byte(f"{top}/big", 2 << 20)


def change_mode(top):
    os.chmod(f"{top}/d1/f1", 0o751)
    os.chmod(f"{top}/d2", 0o700)


def change_xattr(top):
    os.setxattr(f"{top}/d3/f3", "user.by", b"hand")


def change_names(top):
    with open(f"{top}/d4/new", "w") as file:
        file.write("new")
    os.makedirs(f"{top}/d4/made/within")
    with open(f"{top}/d4/made/within/y", "w") as file:
        file.write("y")
    os.unlink(f"{top}/d5/f5")
    os.unlink(f"{top}/d5/deep/x")
    os.rmdir(f"{top}/d5/deep")
    os.rename(f"{top}/d6/f6", f"{top}/d6/renamed")
    os.rename(f"{top}/d6/f7", f"{top}/d7/f7")  # over another one
    os.symlink("f1", f"{top}/d7/link")


def move_directory(top):
    os.rename(f"{top}/d8", f"{top}/d9/moved")
    change_byte(f"{top}/d9/moved/deep/x", 2)


def replace_directory(top):
    """The new one has the same names with other content, all of it old."""
    os.rename(f"{top}/d10/deep", f"{top}/d10/gone")
    os.rename(f"{top}/d11/deep", f"{top}/d10/deep")


def exchange_directories(top):
    """Nobody has touched what is in them, and their parents look as before."""
    keeping_times(lambda: exchange(f"{top}/d12", f"{top}/d13"), top)
    keeping_times(lambda: exchange(f"{top}/d14/deep", f"{top}/d15/deep"), f"{top}/d14", f"{top}/d15")


def exchange_files(top):
    keeping_times(lambda: exchange(f"{top}/d16/f1", f"{top}/d17/f2"), f"{top}/d16", f"{top}/d17")


ROUNDS = ((change_byte_of_big, change_mode, change_xattr, change_names, exchange_files),
          (move_directory, replace_directory, exchange_directories))
CHANGES = sum(ROUNDS, ())
if os.environ.get("SK_EACH"):
    ROUNDS = [(change,) for change in CHANGES]


def log_lines(node, began, words):
    with open(f"{node.pair.root}/{node.name}.log") as log:
        log.seek(began)
        return [line for line in log.read().splitlines() if words in line]


def stop(pair, *nodes):
    for node in nodes:
        node.settle(IDLE)
    for node in nodes:
        assert node.stop() == 0


def start(primary, secondary):
    """Both; returns what the primary decided, and its report."""
    began = {node.name: node.log_size() for node in (primary, secondary)}
    primary.start()
    secondary.start()
    primary.settle(PRIMARY, may_be_alone=True)
    secondary.settle(SECONDARY)
    primary.synchronised()
    secondary.synchronised()
    primary.want(PRIMARY)
    (made,) = log_lines(primary, began[primary.name], "connection=made")
    found = {node.name: log_lines(node, began[node.name], "changed-while-stopped=") for node in (primary, secondary)}
    print("  ", made.split("synchronise=")[1], {name: [l.split("changed-")[1] for l in lines] for name, lines in found.items()}, flush=True)
    return made, found


def filled(pair):
    fill(pair.a.data)
    mirrored(pair)
    pair.a.run("sh", "-ec", f"cd {pair.mount}; echo mine > d0/mine; sync d0/mine; chmod 640 d0/f1")
    assert_equal(pair)


def untouched(pair, primary, secondary):
    made, found = start(primary, secondary)
    assert "synchronise=nothing" in made and "nothing was changed" in made, made
    for lines in found.values():
        assert len(lines) == 1 and "changed-while-stopped=0 " in lines[0], lines
    assert primary.report["bytes_compared"] == primary.report["bytes_copied"] == primary.report["files_done"] == 0, primary.report
    assert_equal(pair)


def case_untouched_copies_are_not_compared(pair):
    filled(pair)
    stop(pair, pair.a, pair.b)
    untouched(pair, pair.a, pair.b)
    stop(pair, pair.b, pair.a)
    untouched(pair, pair.b, pair.a)


def changed_on(pair, who, changes, limit=DIRECTORIES * FILES * 3 // 4):
    """Both are stopped, one is changed, both are started: the changes of the primary stay, those of the secondary go."""
    stop(pair, pair.a, pair.b)
    before = pair.differences()
    assert not before, before
    for change in changes:
        change(who.data)
    expected = snapshot(pair.a.data)
    print("  ", *(change.__name__ for change in changes), "on", who.name, flush=True)
    made, found = start(pair.a, pair.b)
    assert_equal(pair)
    assert snapshot(pair.a.data) == expected, "the primary's copy was changed"
    assert "synchronise=zones" in made, made
    (line,) = found[who.name]
    assert "changed-while-stopped=0" not in line and "first='" in line, line
    assert "changed-while-stopped=0 " in found["a" if who is pair.b else "b"][0], found
    assert pair.a.report["files_done"] < limit, pair.a.report


def snapshot(directory):
    entries = {}
    for top, directories, files in os.walk(directory):
        for name in directories + files:
            path = os.path.join(top, name)
            st = os.lstat(path)
            content = open(path, "rb").read() if os.path.isfile(path) and not os.path.islink(path) else None
            entries[path] = (st.st_mode, st.st_size, content)
    return entries


def case_changed_primary(pair):
    filled(pair)
    for changes in ROUNDS:
        changed_on(pair, pair.a, changes)
    stop(pair, pair.a, pair.b)
    untouched(pair, pair.a, pair.b)


def case_changed_secondary(pair):
    filled(pair)
    for changes in ROUNDS:
        changed_on(pair, pair.b, changes)
    stop(pair, pair.a, pair.b)
    untouched(pair, pair.a, pair.b)


def case_changed_both(pair):
    filled(pair)
    stop(pair, pair.a, pair.b)
    for change in CHANGES:
        change(pair.a.data)
    exchange(f"{pair.b.data}/d12", f"{pair.b.data}/d14")
    os.rename(f"{pair.b.data}/d4", f"{pair.b.data}/d18/d4")
    change_byte(f"{pair.b.data}/d1/f1")
    change_byte(f"{pair.b.data}/d19/f1")
    made, _ = start(pair.a, pair.b)
    assert "synchronise=zones" in made, made
    assert_equal(pair)


def read_at(path, offset, size=4096):
    with open(path, "rb") as file:
        return os.pread(file.fileno(), size, offset)


def set_aside(pair, changes):
    """The secondary is changed by others, and the primary by its own; returns what is set aside of the former, by path."""
    sets = len(lost_sets(pair.b))
    pair.a.run("sh", "-ec", f"cd {pair.mount}; echo ours >> d20/f1; echo ours > d4/ours; sync d20/f1")
    stop(pair, pair.a, pair.b)
    changes(pair.b.data)
    began = pair.b.log_size()
    start(pair.a, pair.b)
    assert_equal(pair)
    assert log_lines(pair.b, began, "by-others=true"), "nothing is set aside"
    found = lost_sets(pair.b)
    assert len(found) == sets + 1 and not lost_sets(pair.a), found
    return {item["path"]: item for item in found[-1].values()}


def case_what_others_changed_is_set_aside(pair):
    filled(pair)
    changed = []

    def first(top):
        for change in (change_byte_of_big, change_mode, change_names):
            change(top)
        changed.append(read_at(f"{top}/big", 2 << 20))

    items = set_aside(pair, first)
    assert items["big"]["pieces"] == [(2 << 20, 4096, 0, changed[0])], items["big"]["pieces"]
    assert items["d4/new"]["removed"] and items["d4/new"]["pieces"][0][3] == b"new"
    assert items["d4/made/within/y"]["removed"] and items["d4/made/within"]["removed"] and items["d4/made"]["removed"]
    assert items["d6/renamed"]["removed"] and items["d7/link"]["removed"]
    for removed in ("d5/f5", "d6/f6"):
        assert items[removed]["kind"] == 4, items[removed]
    assert not items["d1/f1"]["removed"] and not items["d1/f1"]["pieces"]
    assert not {"d20/f1", "d0/f0"} & set(items), sorted(items)  # the primary's own changes, and what nobody changed

    def second(top):
        change_byte(f"{top}/big", (2 << 20) + 7)
        changed.append(read_at(f"{top}/big", 2 << 20))

    items = set_aside(pair, second)
    assert set(items) == {"big"} and items["big"]["pieces"] == [(2 << 20, 4096, 0, changed[1])], items


def case_hard_links_compare_all(pair):
    filled(pair)
    stop(pair, pair.a, pair.b)
    assert not lost_sets(pair.a) and not lost_sets(pair.b)
    os.link(f"{pair.b.data}/d1/f1", f"{pair.b.data}/d2/f1-too")
    made, found = start(pair.a, pair.b)
    assert "synchronise=full" in made and "has several names" in found["b"][0], (made, found)
    assert_equal(pair)


def found_alone(pair, node, path, role, **flags):
    """Changed on a node that is started then, finds it, and is stopped before it meets the other one."""
    change_byte(f"{node.data}/{path}")
    began = node.log_size()
    node.start()
    node.settle(role, **flags)
    node.wait_for_log("changed-while-stopped=1 ", began)
    stop(pair, node)


def case_found_but_not_told(pair):
    """What was found is not forgotten by a stop before the other node was met, in either role; nor does that hide it."""
    filled(pair)
    stop(pair, pair.a, pair.b)
    found_alone(pair, pair.a, "d1/f1", PRIMARY, may_be_alone=True)
    found_alone(pair, pair.b, "d2/f2", SECONDARY)
    made, found = start(pair.a, pair.b)
    assert "synchronise=zones" in made, made
    assert_equal(pair)
    # The other one serves: it must see that the first one has something.
    stop(pair, pair.a, pair.b)
    found_alone(pair, pair.a, "d1/f1", PRIMARY, may_be_alone=True)
    pair.b.start()
    pair.a.start()
    pair.b.settle(PRIMARY, may_be_alone=True)
    pair.a.settle(SECONDARY)
    pair.b.synchronised()
    pair.a.synchronised()
    assert_equal(pair)


def case_changed_after_a_crash(pair):
    """A dead process leaves its mount over the directory: what is changed once that is gone is somebody else's, and nothing more."""
    filled(pair)
    pair.a.run("sh", "-ec", f"cd {pair.mount}; echo ours >> big; sync big")
    for node in (pair.a, pair.b):
        node.kill()
        node.start()
        node.settle(IDLE)
    began = {node.name: node.log_size() for node in (pair.a, pair.b)}
    change_byte(f"{pair.a.data}/d1/f1")
    change_byte(f"{pair.b.data}/d2/f2")
    pair.a.settle(PRIMARY, may_be_alone=True)
    pair.b.settle(SECONDARY)
    pair.a.synchronised()
    pair.b.synchronised()
    for node, path in ((pair.a, "d1/f1"), (pair.b, "d2/f2")):
        (line,) = log_lines(node, began[node.name], "changed-")
        assert "changed-while-stopped=1 " in line and path in line, line
    # And what was touched since the last checkpoint: the files of d0, if that was not made since.
    assert pair.a.report["files_done"] < FILES + 10, pair.a.report
    assert_equal(pair)


def case_a_failover_looks_at_nothing(pair):
    filled(pair)
    began = pair.b.log_size()
    pair.a.kill()
    pair.b.settle(PRIMARY, may_be_alone=True)
    pair.b.run("sh", "-ec", f"cd {pair.mount}; echo more >> d20/f1; sync d20/f1")
    pair.a.start()
    pair.a.settle(SECONDARY)
    pair.a.synchronised()
    pair.b.synchronised()
    assert not log_lines(pair.b, began, "changed-")
    assert_equal(pair)


run_cases(dict(globals()))
