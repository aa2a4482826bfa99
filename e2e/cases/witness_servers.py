"""Witnesses on the client's node of a sandbox, which reaches the network `default` alone."""
import subprocess

from harness import BIN, later, sh, until


class WitnessServers:
    def __init__(self, box, directory):
        self.box, self.folder, self.server = box, directory, None
        out = box.exec("client", "ip", "-4", "-o", "addr", "show", "dev", "eth0")
        self.host = out.split("inet ")[1].split("/")[0]

    def serve(self, *command):
        self.server = subprocess.Popen([*self.box.words("client"), *command], stdout=subprocess.DEVNULL,
                                       stderr=open(f"{self.folder}/server.log", "a"))
        later(self.end, self.server)

    def end(self, server=None):
        server = server or self.server
        if server.poll() is None:
            for program in ("safekit-witness", "etcd"):
                self.box.kill_processes("client", program)
            server.wait()

    def witness(self):
        """safekit witness; gives its URL. Again after `end`: the same one."""
        state = f"{self.folder}/state"
        self.serve(f"{BIN}/safekit", "witness", "--state-dir", state, "--listen", self.host)
        show = (f"{BIN}/safekit", "witness", "--show", "--state-dir", state)
        key = until(lambda: sh(*show, check=False).strip(), 10, "the witness has a key")
        return f"https://{self.host}:9454/{key}"

    def etcd(self):
        url = f"http://{self.host}:2379"
        self.serve("etcd", "--data-dir", f"{self.folder}/etcd", "--listen-client-urls", url, "--advertise-client-urls", url,
                   "--listen-peer-urls", "http://127.0.0.1:2380", "--unsafe-no-fsync=false")
        return url
