#!/usr/bin/env python3
"""First synchronisations and deletions: data that was never synchronised is not replaced unasked, a new module under an old
name begins as new, and an edit may begin on one node and end on another."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import MIRROR, Sandbox, later, note, until  # noqa: E402


class World:
    def __init__(self):
        directory = tempfile.mkdtemp(prefix="safekit-first-", dir="/var/tmp")
        later(harness.remove, directory)
        self.box = Sandbox(f"first{os.getpid()}", f"{directory}/sandbox")
        for node in self.box.nodes:
            self.box.exec(node, "mkdir", "/srv/data")
            self.box.exec(node, "sh", "-c", f"echo {node} > /srv/data/of-{node}")

    def there(self, node):
        return self.box.exec(node, "ls", "/srv/data").split()

    def journal(self, node):
        return self.box.exec(node, "sh", "-c", "ls -A /var/lib/safekit/modules/app/replica 2>/dev/null || true").split()

    def known(self, node):
        return "app" in self.box.safekit(node, "get", "modules", "-o", "name", check=False).split()

    def reason(self, node):
        return self.box.safekit(node, "state", "-m", "app", "-v")


def equal(found, wanted):
    if found != wanted:
        raise RuntimeError(f"{found} instead of {wanted}")


def contains(text, *parts):
    for part in parts:
        if part not in text:
            raise RuntimeError(f"'{part}' is missing in:\n{text}")


def unsynchronised_data_is_kept(world):
    box = world.box
    box.safekit("node1", "apply", "-f", "-", input=MIRROR)
    box.safekit("node1", "prim", "-m", "app")
    box.wait_state("node1", "app", "ALONE Ready")
    box.safekit("node2", "start", "-m", "app")
    box.wait_state("node2", "app", "WAIT NotReady")
    contains(world.reason("node2"), "'/srv/data' is not empty", "safekit second fullsync")
    equal(world.there("node2"), ["of-node2"])
    box.safekit("node2", "stop", "-m", "app")
    box.wait_state("node2", "app", "STOP NotReady")
    box.safekit("node2", "second", "fullsync", "-m", "app")
    box.wait_pair("app")
    equal(world.there("node2"), ["of-node1"])


def a_running_module_is_not_deleted(world):
    done = world.box.safekit("node2", "delete", "module", "app", check=False)
    equal(done, "")
    equal(world.known("node1"), True)


def an_edit_goes_from_node_to_node(world):
    box = world.box
    text = box.safekit("node1", "get", "module", "app", "-o", "yaml")
    contains(text, "resourceVersion")
    edited = text.replace("name: app", "name: app\n  labels: {round: 'two'}", 1)
    box.safekit("node2", "apply", "-f", "-", input=edited)
    until(lambda: "round" in box.safekit("node1", "get", "module", "app", "-o", "yaml"), 10, "node1 has the edit")
    late = text.replace("name: app", "name: app\n  labels: {round: 'late'}", 1)
    try:
        box.safekit("node1", "apply", "-f", "-", input=late)
    except RuntimeError as refused:
        contains(str(refused), "was changed meanwhile by")
    else:
        raise RuntimeError("an edit of an older revision was taken")


def a_new_module_of_the_name_begins_as_new(world):
    box = world.box
    for node in ("node2", "node1"):
        box.safekit(node, "stop", "-m", "app")
        box.wait_state(node, "app", "STOP NotReady")
    box.safekit("node2", "delete", "module", "app")
    for node in box.nodes:
        until(lambda: not world.known(node) and not world.journal(node), 20, f"{node} has forgotten the module")
        equal(world.there(node), ["of-node1"])
    box.safekit("node1", "apply", "-f", "-", input=MIRROR)
    for node in box.nodes:
        box.safekit(node, "start", "-m", "app")
    for node in box.nodes:
        box.wait_state(node, "app", "WAIT NotReady")
        contains(world.reason(node), "both nodes have data")
    for node in box.nodes:
        box.safekit(node, "stop", "-m", "app")
        box.wait_state(node, "app", "STOP NotReady")


def a_node_that_missed_the_deletion_begins_as_new(world):
    box = world.box
    box.safekit("node1", "prim", "-m", "app")
    box.wait_state("node1", "app", "ALONE Ready")
    box.safekit("node2", "second", "fullsync", "-m", "app")
    box.wait_pair("app")
    box.safekit("node2", "stop", "-m", "app")
    box.wait_state("node2", "app", "STOP NotReady")
    box.call("kill", "node2")
    box.safekit("node1", "stop", "-m", "app")
    box.wait_state("node1", "app", "STOP NotReady")
    box.safekit("node1", "delete", "module", "app")
    until(lambda: not world.journal("node1"), 20, "node1 has forgotten the module")
    box.safekit("node1", "apply", "-f", "-", input=MIRROR.replace("timeout: 1s", "timeout: 2s"))
    box.safekit("node1", "prim", "-m", "app")
    box.wait_state("node1", "app", "ALONE Ready")
    box.call("start", "node2")
    until(lambda: "2s" in box.safekit("node2", "get", "module", "app", "-o", "yaml", check=False), 30, "node2 has the new module")
    box.safekit("node2", "start", "-m", "app", check=False)
    box.wait_state("node2", "app", "WAIT NotReady")
    contains(world.reason("node2"), "'/srv/data' is not empty")


def main():
    world = World()
    try:
        for case in (unsynchronised_data_is_kept, a_running_module_is_not_deleted, an_edit_goes_from_node_to_node,
                     a_new_module_of_the_name_begins_as_new, a_node_that_missed_the_deletion_begins_as_new):
            note(case.__name__)
            case(world)
    except BaseException:
        world.box.logs()
        raise
    finally:
        harness.clean_up()


main()
