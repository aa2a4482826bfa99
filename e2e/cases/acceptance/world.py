"""What the acceptance cases share: a cluster with one mirror, whose scripts do nothing unless a case says what, and its log since the case began."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))
import harness  # noqa: E402
from harness import MIRROR, Sandbox, later, note, until  # noqa: E402

DATA = "/srv/data"
LINES = 5000  # of a log that are looked at


class World:
    def __init__(self, name):
        self.directory = tempfile.mkdtemp(prefix=f"safekit-{name}-", dir="/var/tmp")
        later(harness.remove, self.directory)
        self.box = Sandbox(f"{name}{os.getpid()}", f"{self.directory}/sandbox")
        for node in self.box.nodes:
            self.box.exec(node, "mkdir", DATA)
        self.address = self.box.address("node1").rsplit(".", 1)[0] + ".100"
        self.before = {}
        self.scripts = {name: "#!/bin/sh\nexit 0\n" for name in ("start_prim", "stop_prim", "update")}

    def apply(self, replication="", module="", node="node1"):
        """The module, with more settings of its replication and of itself; gives what apply says."""
        folder = f"{self.directory}/module"
        os.makedirs(f"{folder}/bin", exist_ok=True)
        for name, text in self.scripts.items():
            with open(f"{folder}/bin/{name}", "w") as out:
                out.write(text)
            os.chmod(f"{folder}/bin/{name}", 0o755)
        with open(f"{folder}/module.yaml", "w") as out:
            out.write(MIRROR + replication + f"  virtualIPs: [{self.address}]\n  scripts: {{directory: bin}}\n" + module)
        done = subprocess.run([*self.box.words(node), harness.SAFEKIT, "apply", "-f", folder], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60)
        assert done.returncode == 0, done.stdout

        def generation(of):
            text = self.box.safekit(of, "get", "module", "app", "-o", "json", check=False)
            return json.loads(text)["metadata"]["generation"] if text and self.box.state(of, "app") else None
        until(lambda: generation("node1") == generation("node2") is not None, 20, "both nodes have the module")
        return done.stdout

    def command(self, node, *words, **options):
        return self.box.safekit(node, *words, "-m", "app", **options)

    def code(self, node, *words):
        """The exit code of a command, and all that it printed."""
        done = subprocess.run([*self.box.words(node), harness.SAFEKIT, *words, "-m", "app"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60)
        return done.returncode, done.stdout

    def value(self, node, resource):
        return self.command(node, "get", "-r", resource, check=False).strip()

    def do(self, node, script):
        return self.box.exec(node, "sh", "-ec", f"cd {DATA}; {script}")

    def lines(self, node):
        return self.command(node, "log", "-A", "-s", str(LINES), check=False).splitlines()

    def begin(self):
        """`said` looks at what comes from here on."""
        self.before = {node: len(self.lines(node)) for node in self.box.nodes}

    def log(self, node):
        return "\n".join(self.lines(node)[self.before[node]:])

    def said(self, node, *parts):
        """The log of the case has these parts, in this order."""
        def is_there():
            text, at = self.log(node), 0
            for part in parts:
                at = text.find(part, at)
                if at < 0:
                    return False
            return True
        until(is_there, 15, lambda: f"{node} says {parts} in:\n{self.log(node)}")

    def silent(self, node, *parts):
        text = self.log(node)
        for part in parts:
            assert part not in text, f"{node} said '{part}':\n{text}"

    def states(self, one, two):
        """Of node1 and node2, such as `PRIM Ready`."""
        self.box.wait_state("node1", "app", one)
        self.box.wait_state("node2", "app", two)

    def stop(self, node):
        self.command(node, "stop")
        self.box.wait_state(node, "app", "STOP NotReady")

    def boot(self, node):
        self.box.call("start", node)
        until(lambda: self.box.state(node, "app"), 20, "safekitd answers")

    def silence(self, node):
        """The other node is known to be silent there."""
        until(lambda: self.value(node, "state.remote").startswith("UNKNOWN"), 20, lambda: self.value(node, "state.remote"))

    def equal(self):
        """Both copies, below all mounts."""
        roots = [self.box.root(node, DATA) for node in self.box.nodes]
        until(lambda: not harness.compare_trees(*roots), 10, lambda: harness.compare_trees(*roots))


def run(name, cases, prepare=None):
    """Each case begins where the one before has left the cluster."""
    def body():
        world = World(name)
        if prepare:
            prepare(world)
        for case in cases:
            note(case.__name__)
            world.begin()
            case(world)
    harness.test_main(body)
