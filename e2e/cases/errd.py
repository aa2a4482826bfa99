#!/usr/bin/env python3
"""errd on one real daemon of this machine itself, in no sandbox: only there the kernel tells of processes. Deaths of processes that
have just come, classes and handlers of the author's own, services (of a stub of systemd), kill. Usage: errd.py [CASE...]"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import BIN, SAFEKIT, later, note, sh, until  # noqa: E402

WORK = f"skw{os.getpid()}"[:15]  # the command name of all processes here: nobody else's
KILLS = int(os.environ.get("SK_KILLS", "10"))
BUS = """<busconfig><type>system</type><listen>unix:path={0}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
"""
HEAD = """apiVersion: safekit/v1
kind: Module
metadata: {name: app}
spec:
  mode: light
  id: 12
  nodes: [here]
  maxLoop: 10000
"""


def end(process):
    process.kill()
    process.wait()


class World:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="safekit-errd-", dir="/var/tmp")
        later(harness.remove, self.directory)
        self.work = f"{self.directory}/{WORK}"
        sh("cp", "/bin/sleep", self.work)
        self.environment = {**os.environ, "SAFEKIT_SOCKET": f"{self.directory}/run/safekitd.sock",
                            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.directory}/bus"}
        self.daemon = None
        later(sh, "sh", "-c", f"pkill -KILL -x {WORK} || true")
        later(self.end_daemon)
        self.start_daemon()

    def start_daemon(self):
        log = open(f"{self.directory}/safekitd.log", "ab")
        self.daemon = subprocess.Popen([f"{BIN}/safekitd", "--node", "here", "--state-dir", f"{self.directory}/state", "--run-dir",
                                        f"{self.directory}/run"], stdout=log, stderr=log, env=self.environment)
        until(lambda: self.safekit("state", check=False), 20, "safekitd answers")

    def end_daemon(self):
        if self.daemon.poll() is None and self.safekit("get", "-m", "app", "-r", "state.local", check=False):
            self.safekit("forcestop", "-m", "app", check=False)
            self.safekit("waitstop", "-m", "app", "--timeout", "20s", check=False)
        end(self.daemon)

    def safekit(self, *words, **options):
        return sh(SAFEKIT, *words, env=self.environment, **options)

    def up(self, text):
        self.safekit("apply", "-f", "-", input=HEAD + text.replace("WORK", WORK).replace("DIR", self.directory))
        self.safekit("start", "-m", "app")
        self.wait("state.local", "UP Ready")

    def value(self, resource):
        return self.safekit("get", "-m", "app", "-r", resource, check=False).strip()

    def wait(self, resource, value):
        until(lambda: self.value(resource) == value, 20, lambda: f"{resource} is {self.value(resource)}, not {value}\n{self.log()}")

    def log(self):
        return self.safekit("log", "-m", "app", "-A", "-s", "1000")

    def says(self, text, count=1):
        until(lambda: self.log().count(text) >= count, 20, lambda: f"{text}:\n{self.log()}")

    def pids(self):
        return [int(p) for p in sh("pgrep", "-r", "D,R,S,T", "-x", WORK, check=False).split()]

    def begin(self):
        """A process that no script of the module has started."""
        process = subprocess.Popen([self.work, "100000"], start_new_session=True)
        until(lambda: process.pid in self.pids(), 5, "it has its name")
        return process

    def times(self, text):
        """When the log said so, in seconds."""
        found = [line for line in self.log().splitlines() if text in line]
        return [datetime.fromisoformat(re.search(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d+", line).group()).timestamp() for line in found]


def kernel_tells():
    """Only the first PID namespace is told of its processes."""
    return os.readlink("/proc/self/ns/pid") == "pid:[4026531836]"


def case_a_process_that_has_just_come(w):
    w.up("""  scripts: {}
  errd:
    poll: 1h
    processes: [{name: WORK, class: both, action: restart}]
""".replace("scripts: {}", """scripts:
    files:
      start_both: |
        #!/bin/sh
        pgrep -r D,R,S,T -x WORK > /dev/null || setsid DIR/WORK 100000 < /dev/null > /dev/null 2>&1 &"""))
    w.wait(f"proc.{WORK}", "up")
    if not kernel_tells():
        note("   the kernel does not tell of processes in this namespace: left out")
        return
    took = []
    for _ in range(KILLS):
        w.wait("state.local", "UP Ready")
        old, count = w.pids(), w.log().count("Action restart called by errd")
        new = w.begin()  # counted from now on: no poll comes for an hour
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)  # the process lives for a moment only: that is the case
        killed = time.time()
        end(new)
        w.says("Action restart called by errd", count + 1)
        took.append(w.times("Action restart called by errd")[-1] - killed)
        w.wait(f"proc.{WORK}", "up")
    took.sort()
    note(f"   {KILLS} deaths, restart begun after: median {took[len(took) // 2] * 1000:.1f} ms, longest {took[-1] * 1000:.1f} ms")
    assert took[0] > -0.01 and took[-1] < 0.5, took  # of a loaded machine; the bench says how long it takes
    assert w.log().count("set to down by errd") == KILLS, "and never while the new one lived"


def case_classes_and_handlers(w):
    w.up("""  scripts:
    files:
      start_both: |
        #!/bin/sh
        setsid DIR/WORK 100000 < /dev/null > /dev/null 2>&1 &
        safekit errd enable mine
      stop_both: |
        #!/bin/sh
        [ "$1" = force ] || safekit errd disable mine
        safekit kill -name=WORK -level=9
      mend: |
        #!/bin/sh
        echo "$@" >> DIR/mended
        safekit incloop -i mend || exit 1
        [ -e DIR/fail ] && exit 3
        setsid DIR/WORK 100000 < /dev/null > /dev/null 2>&1 &
  errd:
    poll: 1h
    processes: [{name: WORK, class: mine, action: mend}]
""")
    resource = f"proc.{WORK}"
    w.wait(resource, "up")
    assert "NotHonoured" not in w.safekit("describe", "module", "app"), w.safekit("describe", "module", "app")
    listed = w.safekit("errd", "list", "-m", "app")
    assert f"process {WORK} class=mine (enabled) action=mend: up" in listed and str(w.pids()[0]) in listed, listed
    note("   the handler mends, and counts for the loop limit only by itself")
    old = w.pids()
    os.kill(old[0], signal.SIGKILL)
    until(lambda: w.pids() and w.pids() != old, 10, w.log)
    w.wait(resource, "up")
    w.says("Action mend called by errd")
    w.says("Action incloop called by mend")
    with open(f"{w.directory}/mended") as text:
        assert text.read() == f"app {resource}\n"
    assert w.value("state.local") == "UP Ready" and "Action stopstart" not in w.log()
    note("   the class stays enabled over a new safekitd, and nothing is found where it is disabled")
    end(w.daemon)
    w.start_daemon()
    w.wait(resource, "up")
    w.safekit("errd", "disable", "mine", "-m", "app")
    w.wait(resource, "init")
    w.safekit("kill", f"-name={WORK}", "-level=terminate")
    until(lambda: not w.pids(), 5, w.pids)
    refused = subprocess.run([SAFEKIT, "errd", "enable", "both", "-m", "app"], env=w.environment, capture_output=True, text=True)
    assert refused.returncode == 1 and "with the module's state" in refused.stderr, refused
    note("   a handler that fails is followed by a stopstart")
    sh("touch", f"{w.directory}/fail")
    w.safekit("errd", "enable", "mine", "-m", "app")
    w.says("The handler mend of")
    w.says("Action stopstart called by errd")
    sh("rm", f"{w.directory}/fail")
    w.wait("state.local", "UP Ready")
    w.wait(resource, "up")
    w.safekit("stop", "-m", "app")
    w.wait("state.local", "STOP NotReady")
    assert not w.pids(), "stop_both has killed it"


def case_services(w):
    if sh("sh", "-c", "command -v dbus-daemon || true") == "":
        note("   no dbus-daemon: left out")
        return
    services = """  scripts:
    files:
      stop_both: |
        #!/bin/sh
        echo "stop $@" >> DIR/scripts
      start_both: |
        #!/bin/sh
        echo "start $@" >> DIR/scripts
        [ ! -p DIR/systemd ] || echo web.service active > DIR/systemd
  errd:
    processes: [{name: web, service: true, class: both, action: restart, restartServices: [db, web]}]
"""
    w.up(services)
    w.says("Services are not watched: systemd does not answer on D-Bus (No such file or directory); watch their processes by name")
    assert w.value("proc.web") == "init"
    note("   with a systemd that comes")
    with open(f"{w.directory}/bus.conf", "w") as conf:
        conf.write(BUS.format(w.directory))
    bus = subprocess.Popen(["dbus-daemon", "--nofork", f"--config-file={w.directory}/bus.conf"], stderr=subprocess.DEVNULL)
    later(end, bus)
    until(lambda: os.path.exists(f"{w.directory}/bus"), 5, "dbus-daemon")
    os.mkfifo(f"{w.directory}/systemd")
    fifo = os.open(f"{w.directory}/systemd", os.O_RDWR)
    later(os.close, fifo)
    later(end, subprocess.Popen([f"{BIN}/systemd_stub"], stdin=fifo, stdout=subprocess.DEVNULL, env=w.environment))
    os.write(fifo, b"web.service active\n")
    w.wait("proc.web", "up")
    with open(f"{w.directory}/scripts", "w"):
        pass
    before = time.time()
    os.write(fifo, b"web.service failed\n")
    w.says("Service web not running")
    w.says("Action restart called by errd")
    note(f"   restart begun after {(w.times('Action restart called by errd')[-1] - before) * 1000:.1f} ms")
    w.wait("proc.web", "up")
    w.wait("state.local", "UP Ready")
    with open(f"{w.directory}/scripts") as text:
        scripts = text.read().splitlines()
    assert scripts == ["stop UP UP -Services db, web", "stop force UP UP -Services db, web", "start UP UP -Services db, web"], scripts


def show_log(world):
    print(world.safekit("log", "-m", "app", "-A", check=False), file=sys.stderr)


harness.cases_main(globals(), lambda _: World(), show_log)
