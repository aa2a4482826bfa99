"""Applications on a replicated directory, for tests: random changes, or appends that are known when they were acknowledged."""
import os, signal, subprocess, sys, threading, time

LOAD = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "replica_load.py")]


class Load:
    """Random changes in the background, at most `rate` a second; `stop` fails when the application saw an unexpected error."""

    def __init__(self, node, seed, sub="load", rate=None):
        # Inherited: a `stop` that comes before the load listens to it waits for that.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self.process = node.popen(*LOAD, "random", f"{node.pair.mount}/{sub}", str(seed), *(["-", str(rate)] if rate else []), stdout=subprocess.PIPE, text=True)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def stop(self):
        self.process.terminate()
        out, _ = self.process.communicate(timeout=60)
        assert out.startswith("done"), f"the load failed: {out}"
        return int(out.split()[1])


class Appends:
    """A client that appends and syncs; knows what has been acknowledged."""

    def __init__(self, node, name="appended"):
        self.name, self.acknowledged = name, 0
        self.process = node.popen(*LOAD, "append", f"{node.pair.mount}/{name}", stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.acknowledged = int(line)

    def wait_for(self, count, timeout=30):
        deadline = time.monotonic() + timeout
        goal = self.acknowledged + count
        while self.acknowledged < goal:
            assert time.monotonic() < deadline, f"appends do not go on: {self.acknowledged} < {goal}"
            time.sleep(0.01)

    def end(self):
        self.process.kill()
        self.process.wait()

    def check(self, directory):
        with open(f"{directory}/{self.name}") as file:
            lines = file.read().split()
        assert len(lines) >= self.acknowledged, f"lost: {len(lines)} of {self.acknowledged} acknowledged appends are there"
        assert lines == ["%08d" % (i + 1) for i in range(len(lines))], "appends are out of order"
