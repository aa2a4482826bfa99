#!/usr/bin/env python3
"""Scripts of a module beside those of its roles: of its configuration, asked for by a person, the application by hand, and what they
leave behind. Usage: scripts.py [CASE...]"""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import MIRROR, Sandbox, later, note, until  # noqa: E402

SCRIPTS = """  scripts:
    niceStopTimeout: 1s
    forceStopTimeout: 1s
    environment: {COLOUR: green}
    files:
"""
TRACE = "#!/bin/sh\necho \"$(basename $0) $*\" >> /srv/trace\n"


class World:
    def __init__(self):
        directory = tempfile.mkdtemp(prefix="safekit-scripts-", dir="/var/tmp")
        later(harness.remove, directory)
        self.box = Sandbox(f"script{os.getpid()}", f"{directory}/sandbox")
        for node in self.box.nodes:
            self.box.exec(node, "mkdir", "/srv/data")

    def spec(self, more="", **files):
        text = MIRROR + more + SCRIPTS
        for name, body in files.items():
            text += f"      {name}: |\n" + "".join(f"        {line}\n" for line in body.splitlines())
        return text

    def apply(self, text):
        """The exit code of apply, and all that it printed."""
        done = subprocess.run([*self.box.words("node1"), harness.SAFEKIT, "apply", "-f", "-"], input=text, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        return done.returncode, done.stdout

    def code(self, node, *words):
        done = subprocess.run([*self.box.words(node), harness.SAFEKIT, *words, "-m", "app"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60)
        return done.returncode, done.stdout

    def fine(self, node, *words):
        code, text = self.code(node, *words)
        assert code == 0, text
        return text

    def trace(self, node):
        return self.box.exec(node, "cat", "/srv/trace", check=False).splitlines()

    def log(self, node):
        return self.code(node, "log", "-A")[1]

    def says(self, node, text):
        until(lambda: text in self.log(node), 20, lambda: f"{text}:\n{self.log(node)}")

    def groups(self, node):
        return int(self.box.exec(node, "sh", "-c", "cat $(find /sys/fs/cgroup -path '*safekit/app*' -name cgroup.procs) /dev/null | wc -l"))


def case_of_the_configuration(w):
    fails = TRACE + "echo 'no such service'\nexit 1\n"
    config = TRACE + '[ "$COLOUR" = green ] && [ "$SAFEMODULE" = app ] && [ -d "$SAFEUSERBIN" ] && [ -d "$SAFECONF" ]\n'
    code, text = w.apply(w.spec(config=config, postconfig=fails, deconfig=TRACE))
    assert code == 1, text
    for said in ("no such service", "configuration failed on node1: script postconfig ended with exit code 1", "failed on node2"):
        assert said in text, text
    for node in w.box.nodes:
        assert w.trace(node) == ["config ", "postconfig "], w.trace(node)
        assert "ScriptFailed" in w.box.safekit(node, "describe", "module", "app")
    code, text = w.code("node1", "prim")
    assert code != 0 and "its configuration failed here: script postconfig" in text, text
    note("   mended, it is configured with what the whole spec says, and starts")
    good = TRACE + 'grep -q \'name="COLOUR"\' "$SAFEUSERCONF/safeconf.xml"\n'
    code, text = w.apply(w.spec(config=config, postconfig=good, deconfig=TRACE))
    assert code == 0, text
    w.fine("node1", "prim")
    w.box.wait_state("node1", "app", "ALONE Ready")
    assert w.trace("node1") == ["config ", "postconfig "] * 2, w.trace("node1")
    w.says("node1", "Script postconfig > userlog_")
    w.fine("node1", "config")
    assert len(w.trace("node1")) == 6, w.trace("node1")
    note("   a restarted safekitd does not configure again, and a deleted module is deconfigured")
    w.box.kill_processes("node1", "safekitd")
    until(lambda: w.box.state("node1", "app") == "ALONE Ready", 20, "it is back")
    w.fine("node1", "stop")
    w.box.wait_state("node1", "app", "STOP NotReady")
    assert len(w.trace("node1")) == 6, w.trace("node1")
    w.box.safekit("node1", "delete", "module", "app")
    for node in w.box.nodes:
        until(lambda: w.trace(node)[-1] == "deconfig ", 20, lambda: w.trace(node))


def case_asked_for(w):
    look = TRACE + "echo 3 sessions\n"
    code, text = w.apply(w.spec(state=look, level=TRACE + "echo app 1.5\n", confcheck=TRACE + "echo checked; test ! -e /srv/bad\n"))
    assert code == 0, text
    assert "3 sessions" in w.fine("node1", "state", "-v")
    assert "3 sessions" not in w.fine("node1", "state")
    text = w.fine("node1", "level")
    assert "Host: node1" in text and "SafeKit: " in text and "app 1.5" in text, text
    assert "checked" in w.fine("node1", "confcheck")
    note("   helpers")

    def helper(*words):
        done = subprocess.run([*w.box.words("node1"), harness.SAFEKIT, "-r", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout
    assert helper("boundcmd", "5", "sh", "-c", "exit 7")[0] == 7
    assert helper("boundcmd", "1", "sleep", "60")[0] == 2
    assert "safekitd" in helper("processtree", "list", "safekitd")[1]
    assert helper("errdpoll_running")[0] == 0 and "(parent=" in w.box.exec("node1", "cat", "/var/lib/safekit/errdpoll_reserrd")
    assert helper("/bin/sh", "-c", "echo $SAFEBIN") == (0, harness.BIN + "\n"), helper("/bin/sh", "-c", "echo $SAFEBIN")
    w.box.exec("node1", "touch", "/srv/bad")
    code, text = w.code("node1", "confcheck")
    assert code == 1 and "confcheck ended with exit code 1" in text, text
    w.says("node1", "Script confcheck > userlog_")


def case_a_script_stops_its_module(w):
    code, text = w.apply(w.spec(start_prim=TRACE + "safekit printe 'no service'; safekit stop -i start_prim\n", stop_prim=TRACE))
    assert code == 0, text
    w.fine("node1", "prim")
    w.says("node1", "Action stop called by start_prim")
    w.box.wait_state("node1", "app", "STOP NotReady")
    w.says("node1", "no service")
    assert w.trace("node1") == ["start_prim WAIT ALONE", "stop_prim ALONE WAIT stop", "stop_prim force WAIT STOP stop"], w.trace("node1")


def case_left_behind(w):
    daemon = TRACE + "setsid sh -c 'trap : TERM; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 &\n"
    slow = TRACE + "[ -e /srv/slow ] || exit 0\nsetsid sleep 1000 &\nsleep 1000\n"
    code, text = w.apply(w.spec(start_prim=daemon, stop_prim=slow))
    assert code == 0, text
    w.fine("node1", "prim")
    w.box.wait_state("node1", "app", "ALONE Ready")
    assert w.groups("node1") > 0
    w.fine("node1", "stop")
    w.box.wait_state("node1", "app", "STOP NotReady")
    w.says("node1", "Processes that its scripts have started go on: sh (pid ")
    w.fine("node1", "forcestop")
    until(lambda: w.groups("node1") == 0, 20, "they are ended")
    w.says("node1", "Processes that its scripts have started are ended: ")
    note("   a stop script over its time limit goes with what it has started, and forcestop of a running module ends all")
    w.fine("node1", "prim")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.box.exec("node1", "touch", "/srv/slow")
    w.box.kill_processes("node1", "safekitd")
    until(lambda: w.box.state("node1", "app") == "ALONE Ready", 20, "it is back")
    w.fine("node1", "forcestop")
    w.box.wait_state("node1", "app", "STOP NotReady")
    assert w.groups("node1") == 0
    assert not w.box.pids("node1", "sleep"), w.box.pids("node1", "sleep")
    w.fine("node1", "prim")
    w.box.wait_state("node1", "app", "ALONE Ready")
    w.fine("node1", "stop")
    w.box.wait_state("node1", "app", "STOP NotReady")
    for said in ("Script stop_prim was ended after its time limit of 1s", 'Script stop_prim "force" > userlog_'):
        assert said in w.log("node1"), w.log("node1")
    assert not w.box.exec("node1", "pgrep", "-f", "sleep 1000", check=False)


def case_the_application_by_hand(w):
    address = w.box.address("node1").rsplit(".", 1)[0] + ".100"

    def has_address():
        return f" {address}/" in w.box.exec("node1", "ip", "-4", "addr")
    seen = TRACE + f"ip -4 addr | grep -q ' {address}/'\n"
    code, text = w.apply(w.spec(f"  virtualIPs: [{address}]\n", start_prim=seen, stop_prim=seen))
    assert code == 0, text
    bin_path = "/var/lib/safekit/private/modules/app/bin"
    text = w.box.exec("node1", f"{bin_path}/app_start_wrapper")
    assert "prim -m app" in text, text
    assert has_address() and w.trace("node1") == ["start_prim "], w.trace("node1")
    assert w.box.state("node1", "app") == "STOP NotReady"
    code, text = w.code("node1", "prim")
    assert code != 0 and "AM_stop_wrapper" in text, text
    w.box.kill_processes("node1", "safekitd")
    until(lambda: w.box.state("node1", "app") == "STOP NotReady", 20, "it is back")
    assert has_address()
    w.box.exec("node1", f"{bin_path}/app_stop_wrapper.sh")
    assert not has_address() and w.trace("node1") == ["start_prim ", "stop_prim "], w.trace("node1")
    w.fine("node1", "prim")
    w.box.wait_state("node1", "app", "ALONE Ready")
    refused = subprocess.run([*w.box.words("node1"), f"{bin_path}/app_start_wrapper"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert refused.returncode == 1 and "stop it first" in refused.stdout, refused.stdout


harness.cases_main(globals(), lambda _: World())
