"""What system tests and benchmarks share: running commands, waiting for conditions, a sandbox, undoing in reverse order."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
BIN = os.environ.get("SAFEKIT_BIN", os.path.join(ROOT, "build", "release", "bin"))
SAFEKIT = os.path.join(BIN, "safekit")
SKIP = 77  # ctest: skipped
# A mirror of one directory. Its last lines are those of `replication`: more settings of it may follow.
MIRROR = """apiVersion: safekit/v1
kind: Module
metadata: {name: app}
spec:
  mode: mirror
  id: 11
  nodes: [node1, node2]
  heartbeats: {timeout: 1s, lans: [default, replication]}
  replication:
    lan: replication
    directories: [/srv/data]
"""

_undo = []


def later(action, *arguments):
    """Runs at the end, last first, also after a failure or a signal."""
    _undo.append((action, arguments))


def clean_up():
    while _undo:
        action, arguments = _undo.pop()
        try:
            action(*arguments)
        except Exception as problem:  # the next one must still be undone
            print(f"clean-up: {problem}", file=sys.stderr)


def on_signal(number, _frame):
    raise SystemExit(128 + number)


signal.signal(signal.SIGTERM, on_signal)


def sh(*command, check=True, timeout=600, env=None, input=None):
    """Runs a command and gives its standard output; an exit other than 0 is an error that shows what it printed."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=timeout, env=env, input=input)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def note(text):
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def until(condition, seconds, what):
    """Polls a condition of another program; the time is a bound, not a wait."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise RuntimeError(f"not within {seconds} s: {what() if callable(what) else what}")


def remove(path):
    shutil.rmtree(path, ignore_errors=True)


class Sandbox:
    """Nodes on this machine; see `safekit sandbox --help`."""

    def __init__(self, name, directory, private=("/srv",), networks="default,replication", nodes=2):
        self.name, self.directory, self.nodes = name, directory, [f"node{i + 1}" for i in range(nodes)]
        self.program = os.path.join(BIN, "safekit-sandbox")
        later(self.down)
        words = ["--nodes", nodes, "--networks", networks, "--dir", directory]
        for path in private:
            words += ["--private", path]
        self.call("up", *words)

    def call(self, verb, *words, check=True, **options):
        return sh(self.program, verb, "--name", self.name, *words, check=check, **options)

    def words(self, node):
        """The words that bring a command into a node."""
        return [self.program, "exec", "--name", self.name, node, "--"]

    def exec(self, node, *command, **options):
        return sh(*self.words(node), *command, **options)

    def safekit(self, node, *words, **options):
        return self.exec(node, SAFEKIT, *words, **options)

    def state(self, node, module):
        """`PRIM Ready`, or empty while the node does not answer."""
        return self.safekit(node, "get", "-m", module, "-r", "state.local", check=False).strip()

    def states(self, module):
        return {node: self.state(node, module) for node in self.nodes}

    def wait_state(self, node, module, wanted, seconds=60):
        until(lambda: self.state(node, module) == wanted, seconds,
              lambda: f"{node} is to be {wanted}: {self.states(module)}")

    def primary(self, module):
        """The node that is PRIM or ALONE, Ready."""
        for node in self.nodes:
            if self.state(node, module) in ("PRIM Ready", "ALONE Ready"):
                return node
        return None

    def wait_pair(self, module, seconds=90):
        """Until one node is PRIM Ready and another SECOND Ready; gives both."""
        def pair():
            states = self.states(module)
            prim = [n for n, s in states.items() if s == "PRIM Ready"]
            second = [n for n, s in states.items() if s == "SECOND Ready"]
            return (prim[0], second[0]) if prim and second else None
        return until(pair, seconds, lambda: f"a PRIM and a SECOND: {self.states(module)}")

    def other(self, node):
        return next(n for n in self.nodes if n != node)

    def address(self, node, network=0):
        out = self.exec(node, "ip", "-j", "-4", "addr", "show", "dev", f"eth{network}")
        return json.loads(out)[0]["addr_info"][0]["local"]

    def pids(self, node, command):
        """Processes of a node by their exact command name, in the node's own numbers; not one that has ended and only waits to be told of."""
        return [int(p) for p in self.exec(node, "pgrep", "-r", "D,R,S,T", "-x", command[:15], check=False).split()]

    def kill_processes(self, node, command, number="KILL"):
        pids = self.pids(node, command)
        for pid in pids:
            self.exec(node, "kill", f"-{number}", str(pid), check=False)
        return pids

    def root(self, node, path):
        """Where a private path of a node lies on this machine, below any mount of the node."""
        return f"{self.directory}/{node}/root{path}"

    def logs(self):
        """What the daemons and modules said, for a failed test."""
        for node in self.nodes:
            for where in (f"{self.directory}/{node}",):
                for folder, _, files in os.walk(where):
                    for name in sorted(files):
                        if name.endswith((".log", ".ulog")) and "/root/" not in folder + "/":
                            path = os.path.join(folder, name)
                            with open(path, errors="replace") as text:
                                tail = text.read()[-6000:]
                            print(f"--- {path}\n{tail}", file=sys.stderr)

    def down(self):
        self.call("down", "--purge", check=False)


def compare_trees(a, b):
    """What differs between two directory trees: names, kinds, contents, modes, owners, link targets, mtimes."""
    def seen(root):
        found = {}
        for folder, folders, files in os.walk(root):
            for name in folders + files:
                path = os.path.join(folder, name)
                info = os.lstat(path)
                found[os.path.relpath(path, root)] = (path, info)
        return found
    left, right = seen(a), seen(b)
    problems = [f"only in {a}: {n}" for n in left.keys() - right.keys()]
    problems += [f"only in {b}: {n}" for n in right.keys() - left.keys()]
    for name in left.keys() & right.keys():
        (path_a, x), (path_b, y) = left[name], right[name]
        facts = ["st_mode", "st_uid", "st_gid", "st_nlink"]
        if not os.path.isdir(path_a) or os.path.islink(path_a):
            facts += ["st_size", "st_mtime_ns"]
        for fact in facts:
            if getattr(x, fact) != getattr(y, fact):
                problems.append(f"{name}: {fact} {getattr(x, fact)} and {getattr(y, fact)}")
        if os.path.islink(path_a) and os.readlink(path_a) != os.readlink(path_b):
            problems.append(f"{name}: link target")
        elif os.path.isfile(path_a) and not os.path.islink(path_a):
            with open(path_a, "rb") as f, open(path_b, "rb") as g:
                while True:
                    chunk = f.read(1 << 20)
                    if chunk != g.read(1 << 20):
                        problems.append(f"{name}: content")
                        break
                    if not chunk:
                        break
    return problems


def test_main(body):
    """Runs one test: skips without root, shows the logs of its sandboxes on failure, undoes everything."""
    if os.geteuid() != 0:
        print("skipped: namespaces and mounts need root")
        sys.exit(SKIP)
    sandboxes = []
    original = Sandbox.__init__

    def remember(self, *arguments, **options):
        sandboxes.append(self)
        original(self, *arguments, **options)
    Sandbox.__init__ = remember
    try:
        body()
        print("passed")
    except BaseException:
        for sandbox in sandboxes:
            sandbox.logs()
        raise
    finally:
        clean_up()


def cases_main(names, make_world, on_failure=None):
    """Each case_* of `names` (or those named on the command line) in a world of its own."""
    def body():
        for name, case in [(name, value) for name, value in names.items() if name.startswith("case_")]:
            if sys.argv[1:] and name not in sys.argv[1:]:
                continue
            note(name)
            world = make_world(case)
            try:
                case(world)
            except BaseException:
                if on_failure:
                    on_failure(world)
                raise
            clean_up()
    test_main(body)
