#!/usr/bin/env python3
"""notReplicated between two real safekit-replicad: what is excluded stays on its node, in steady state and in a synchronisation, and
renames between what is replicated and what is not are right on the peer. Usage: not_replicated.py PROGRAM [CASE...]"""
import ctypes, os, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from replica_nodes import IDLE, PRIMARY, SECONDARY, compare, mirrored, run_cases

RULES = (("temp", ""), ("app/cache", ""), ("", r"\.tmp$"))
EXCHANGE = 2


def excluded(path):
    parts = path.split("/")
    return parts[0] == "temp" or parts[:2] == ["app", "cache"] or any(part.endswith(".tmp") for part in parts)


def differences(pair):
    lines = [line for line in compare(pair.a.data, pair.b.data) if not excluded(line.split(": ")[0])]
    return [line for line in lines if ": links " not in line]  # names that are not replicated count here and not there


def assert_equal(pair):
    deadline = time.monotonic() + 10
    while (different := differences(pair)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not different, "the copies differ:\n" + "\n".join(different[:20])


def sh(node, script):
    node.run("sh", "-ec", f"cd {node.pair.mount}; {script}")


def read(node, path):
    with open(f"{node.data}/{path}") as file:
        return file.read()


def there(node, *paths):
    return [path for path in paths if os.path.lexists(f"{node.data}/{path}")]


def case_steady_state(pair):
    mirrored(pair, not_replicated=RULES)
    sh(pair.a, "mkdir temp app app/cache app/x.tmp app/kept; echo 1 > temp/a; echo 2 > app/cache/b; echo 3 > app/x.tmp/c;"
               "echo 4 > app/d.tmp; echo 5 > app/e; echo 6 > app/f.tmp.swap; ln app/e app/e.tmp; mkdir temp/deep; echo 7 > temp/deep/g;"
               "rm app/d.tmp; chmod 600 temp/a; rm -r temp/deep; echo 8 >> app/e; sync app/e")
    assert_equal(pair)
    assert there(pair.b, "temp", "app/cache", "app/x.tmp", "app/d.tmp", "app/e.tmp") == []
    assert read(pair.b, "app/e") == "5\n8\n" and read(pair.b, "app/f.tmp.swap") == "6\n"
    # Through the name that is not replicated too: it is one file.
    sh(pair.a, "echo 9 >> app/e.tmp; sync app/e.tmp")
    assert_equal(pair)
    sh(pair.a, "rm app/e; echo 10 >> app/e.tmp; ln app/e.tmp app/again; echo 11 >> app/e.tmp; sync app/again")
    assert_equal(pair)
    assert read(pair.b, "app/again").split()[-2:] == ["10", "11"] and there(pair.b, "app/e") == []
    # What is no file gets its first replicated name by a link.
    sh(pair.a, "mkfifo temp/p; ln temp/p p; ln -s again app/l.tmp; ln -P app/l.tmp app/l; sync app/again")
    assert_equal(pair)
    assert there(pair.b, "p", "app/l") == ["p", "app/l"] and "connection=lost" not in open(f"{pair.root}/a.log").read()


def case_renames_across(pair):
    mirrored(pair, not_replicated=RULES)
    sh(pair.a, "mkdir temp app; echo old > app/config; echo new > app/config.tmp; setfattr -n user.a -v b app/config.tmp;"
               "mv app/config.tmp app/config; echo more >> app/config; sync app/config")
    assert_equal(pair)
    assert read(pair.b, "app/config") == "new\nmore\n" and os.getxattr(f"{pair.b.data}/app/config", "user.a") == b"b"
    sh(pair.a, "mv app/config app/config.tmp; echo unseen >> app/config.tmp; mv app/config.tmp app/other.tmp")
    assert_equal(pair)
    assert there(pair.b, "app/config", "app/config.tmp", "app/other.tmp") == []
    # Whole trees, with what is excluded inside.
    sh(pair.a, "mkdir -p temp/t/u temp/t/v.tmp; echo 1 > temp/t/a; echo 2 > temp/t/u/b; echo 3 > temp/t/v.tmp/c; ln -s a temp/t/s;"
               "mkfifo temp/t/f; ln temp/t/a temp/t/u/same; echo 4 > temp/t/w.tmp; mv temp/t tree; echo 5 >> tree/u/b; sync tree/u/b")
    assert_equal(pair)
    assert there(pair.b, "tree/v.tmp", "tree/w.tmp") == [] and read(pair.b, "tree/u/b") == "2\n5\n"
    sh(pair.a, "mv tree tree.tmp; echo 6 >> tree.tmp/u/b; echo 7 > tree.tmp/new; mv tree.tmp tree2; sync tree2/u/b")
    assert_equal(pair)
    assert there(pair.b, "tree", "tree.tmp") == [] and read(pair.b, "tree2/u/b").split() == ["2", "5", "6"]
    # A directory whose move changes what a path rule names below it.
    sh(pair.a, "mkdir app/cache; echo 8 > app/cache/x; echo 9 > app/y; mv app ppa; sync ppa/y; echo 10 >> ppa/y; sync ppa/y")
    assert_equal(pair)
    assert read(pair.b, "ppa/cache/x") == "8\n" and read(pair.b, "ppa/y") == "9\n10\n" and there(pair.b, "app") == []
    sh(pair.a, "mv ppa app; echo 11 >> app/cache/x; echo 12 >> app/y; sync app/y")
    assert_equal(pair)
    assert there(pair.b, "app/cache", "ppa") == [] and read(pair.b, "app/y").split()[-1] == "12"
    # Open files go along, and what is refused changes nothing.
    with open(f"{pair.mount_of_a}/open.tmp", "w") as file:
        file.write("one ")
        file.flush()
        os.rename(file.name, f"{pair.mount_of_a}/open")
        file.write("two")
    sh(pair.a, "mkdir full; echo x > full/x; mkdir empty.tmp; ! mv -T empty.tmp full 2> /dev/null; ! mv -T full/x empty.tmp 2> /dev/null")
    assert_equal(pair)
    assert read(pair.b, "open") == "one two" and there(pair.b, "empty.tmp") == [] and read(pair.b, "full/x") == "x\n"
    libc = ctypes.CDLL(None, use_errno=True)
    sh(pair.a, "echo in > in.tmp; echo out > out; mkdir dir.tmp; echo d > dir.tmp/d")
    top = pair.mount_of_a
    assert libc.renameat2(-100, f"{top}/in.tmp".encode(), -100, f"{top}/out".encode(), EXCHANGE) == 0
    assert_equal(pair)
    assert read(pair.b, "out") == "in\n" and there(pair.b, "in.tmp") == []
    assert libc.renameat2(-100, f"{top}/dir.tmp".encode(), -100, f"{top}/out".encode(), EXCHANGE) == 0
    assert_equal(pair)
    assert read(pair.b, "out/d") == "d\n" and not [n for n in os.listdir(pair.b.data) if n.startswith(".safekit")]
    assert pair.a.report["peer_synchronised"] and "synchronisation=begin" in open(f"{pair.root}/b.log").read()


def case_synchronisation_leaves_alone(pair):
    for node in (pair.a, pair.b):
        os.makedirs(f"{node.data}/temp/of-{node.name}")
        os.makedirs(f"{node.data}/app/cache")
        for path in ("temp/x", "app/cache/y", "app/z.tmp", "app/same"):
            with open(f"{node.data}/{path}", "w") as file:
                file.write(node.name)
    os.makedirs(f"{pair.b.data}/extra")
    open(f"{pair.a.data}/app/only-a.tmp", "w").close()
    open(f"{pair.b.data}/app/only-b.tmp", "w").close()
    mirrored(pair, not_replicated=RULES)

    def check():
        assert_equal(pair)
        for node in (pair.a, pair.b):
            assert {read(node, path) for path in ("temp/x", "app/cache/y", "app/z.tmp")} == {node.name}
            assert there(node, f"temp/of-{node.name}", f"app/only-{node.name}.tmp") != []
        assert there(pair.b, "extra", "app/only-a.tmp") == [] and read(pair.b, "app/same") == "a"

    check()
    # By zones, with renames across while the peer is away.
    pair.b.kill()
    pair.a.want(PRIMARY, may_be_alone=True)
    sh(pair.a, "echo z >> app/same; mv app/same app/out.tmp; echo c > app/new.tmp; mv app/new.tmp app/same; sync app/same; mkdir temp/t;"
               "echo d > temp/t/d; mv temp/t app/t; sed -i s/a/a/ app/z.tmp")
    pair.b.start(not_replicated=RULES)
    pair.b.settle(SECONDARY)
    pair.a.synchronised()
    pair.a.want(PRIMARY)
    assert_equal(pair)
    assert "synchronise=zones" in open(f"{pair.root}/a.log").read()
    assert read(pair.b, "app/same") == "c\n" and read(pair.b, "app/t/d") == "d\n" and read(pair.b, "app/z.tmp") == "b"
    assert there(pair.b, "app/out.tmp", "temp/t") == [] and read(pair.b, "app/cache/y") == "b"
    # A removed directory takes what is local in it along; other rules than before mean that all is compared.
    sh(pair.a, "rm app/cache/y app/*.tmp; rmdir app/cache; rm -r app; sync -f .")
    assert_equal(pair)
    assert there(pair.b, "app") == []
    pair.a.settle(IDLE)
    pair.b.settle(IDLE)
    for node, role in ((pair.a, PRIMARY), (pair.b, SECONDARY)):
        node.configure()
        node.settle(role, may_be_alone=role == PRIMARY)
    pair.a.synchronised()
    assert not compare(pair.a.data, pair.b.data), "what is replicated now has been compared"


def case_takeover_in_the_middle(pair):
    """What was on its way in is not seen on the node that takes over."""
    mirrored(pair, not_replicated=RULES)
    sh(pair.a, "echo old > file; sync file; head -c 300000000 /dev/zero | tr '\\0' x > big.tmp")
    mover = pair.a.popen("mv", f"{pair.mount}/big.tmp", f"{pair.mount}/file", stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not any(name.startswith(".safekit") for name in os.listdir(pair.b.data)) and mover.poll() is None:
        assert time.monotonic() < deadline
    pair.a.kill()
    mover.wait()
    pair.b.settle(PRIMARY, may_be_alone=True)
    assert os.listdir(pair.b.data) == ["file"]
    assert os.path.getsize(f"{pair.b.data}/file") in (4, 300000000), "half of it"


def prepare(pair):
    pair.mount_of_a = f"/proc/{pair.a.keeper.pid}/root{pair.mount}"


run_cases(dict(globals()), prepare)
