#!/usr/bin/env python3
"""pjdfstest, the public POSIX suite, on a native directory and on a mirror mount whose secondary is connected: exactly the
assertions that pass natively must pass on the mount, and both copies must be identical afterwards.

usage: PJDFSTEST_DIR=<source of pjdfstest> pjdfstest.py SAFEKIT_REPLICAD [GROUP...]     groups: chmod, rename, ...
Without the suite it is skipped (77): `e2e/conformance/fetch pjdfstest DIRECTORY` brings it. Nothing of it is built in place.
"""
import concurrent.futures, glob, os, re, shutil, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cases"))
from replica_nodes import Pair, assert_equal, mirrored

SKIP = 77
AT_ONCE = 4  # many assertions only wait for the clock to move on
SCRIPT_SECONDS_MAX = 300

# What configure finds on every Linux that we support.
CONFIG = [f"HAVE_{name}" for name in """SYS_SYSMACROS_H FACCESSAT FCHMODAT FCHOWNAT FSTATAT LINKAT MKDIRAT MKFIFOAT MKNODAT
    OPENAT POSIX_FALLOCATE READLINKAT RENAMEAT SYMLINKAT UTIMENSAT STRUCT_STAT_ST_ATIM STRUCT_STAT_ST_CTIM
    STRUCT_STAT_ST_MTIM""".split()]


def build(source, target, file_system):
    shutil.copytree(os.path.join(source, "tests"), os.path.join(target, "tests"))
    with open(os.path.join(target, "config.h"), "w") as file:
        file.write("#define _GNU_SOURCE 1\n" + "".join(f"#define {name} 1\n" for name in CONFIG))
    subprocess.run(["cc", "-O1", "-w", "-I", target, "-o", os.path.join(target, "pjdfstest"),
                    os.path.join(source, "pjdfstest.c")], check=True)
    # The suite asks less of some file systems by name: the mount must do what the native one does.
    conf = os.path.join(target, "tests", "conf")
    with open(conf) as file:
        text = file.read()
    text, changed = re.subn(r"fs=`df -PT \. [^`]*`", f'fs="{file_system}"', text)
    assert changed == 1, f"'{conf}' is not as expected"
    with open(conf, "w") as file:
        file.write(text)


def run_script(script, directory, enter):
    """The lines of a script by number: True for ok. Each script works in a directory of its own."""
    command = enter("sh", "-c", 'mkdir -p "$1" && cd "$1" && exec sh "$2"', "sh", directory, script)
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SCRIPT_SECONDS_MAX)
    results, plan = {}, None
    for line in done.stdout.splitlines():
        if found := re.match(r"(not )?ok (\d+)(.*)", line):
            results[int(found[2])] = (not found[1], found[3])
        elif found := re.match(r"1\.\.(\d+)", line):
            plan = int(found[1])
    for number in range(1, (plan or 0) + 1):
        results.setdefault(number, (False, " - not run"))
    if plan is None:
        results[0] = (False, " - no plan: " + done.stderr[-200:])
    return results


def run_suite(scripts, base, enter):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        names = ["/".join(script.split("/")[-2:]) for script in scripts]
        runs = [pool.submit(run_script, script, f"{base}/{name}", enter) for script, name in zip(scripts, names)]
        return {name: run.result() for name, run in zip(names, runs)}


def count(results):
    passed = sum(ok for script in results.values() for ok, _ in script.values())
    return passed, sum(len(script) for script in results.values()) - passed


def differences(native, mirror):
    for name in native:
        for number in sorted(native[name].keys() | mirror[name].keys()):
            here, there = (side[name].get(number, (None, " - missing")) for side in (native, mirror))
            if here[0] != there[0]:
                yield f"{name} {number}: native {'passes' if here[0] else 'fails' + here[1]}, " \
                      f"mirror {'passes' if there[0] else 'fails' + there[1]}"


def main():
    source = os.environ.get("PJDFSTEST_DIR", "")
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("skipped: needs root and /dev/fuse")
        return SKIP
    if not os.path.exists(os.path.join(source, "pjdfstest.c")):
        print("skipped: set PJDFSTEST_DIR to the source of pjdfstest (e2e/conformance/fetch pjdfstest DIRECTORY)")
        return SKIP
    if not shutil.which("cc"):
        print("skipped: no C compiler")
        return SKIP
    pair = Pair(os.path.abspath(sys.argv[1]))
    os.chmod(pair.root, 0o755)  # some of the tests are done by ordinary users
    try:
        suite, native = f"{pair.root}/suite", f"{pair.root}/native"
        os.makedirs(native)
        file_system = subprocess.run(["stat", "-f", "-c", "%T", native], capture_output=True, text=True).stdout
        build(source, suite, "EXT4" if "ext" in file_system else file_system.strip().upper())
        wanted = sys.argv[2:] or [""]
        scripts = sorted(script for group in wanted for script in glob.glob(f"{suite}/tests/{group or '*'}/*.t"))
        assert scripts, f"no tests in {wanted}"
        mirrored(pair)
        on_native = run_suite(scripts, native, lambda *command: list(command))
        on_mirror = run_suite(scripts, pair.mount, pair.a.enter)
        assert pair.a.report["peer_synchronised"], "the secondary was lost"
        print("native: %d passed, %d failed; " % count(on_native) + "mirror: %d passed, %d failed" % count(on_mirror))
        different = list(differences(on_native, on_mirror))
        print("\n".join(different) or f"no difference in {len(scripts)} scripts")
        assert_equal(pair, holes=True)
        print("both copies are identical")
        return 1 if different else 0
    except Exception:
        print(pair.logs())
        raise
    finally:
        pair.close()


if __name__ == "__main__":
    sys.exit(main())
