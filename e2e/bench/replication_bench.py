"""Throughput of a replicated directory: this mirror, the native file system, a GlusterFS replica-2 volume (bricks on the
same disk), the least that a synchronous replication can do (`limit`, replication_limit.cpp), and for pgbench PostgreSQL's
own synchronous standby. Rounds are interleaved: every system runs each row once
before any runs it again, another one first each time, so that a drift of the disk hits all alike."""
import os
import shutil
import signal
import subprocess

import common
from common import note, sh, until

WRITE_BACK_ROW = "rand_write_4k_buffered_writeback"  # the mirror with `writeBack: true`
FSYNC_ROW = "create_10k_fsync"  # the mirror with `durability: fsync`
FILE_ROWS = ["seq_write_1m", "rand_write_4k_fsync", "rand_write_4k_buffered", WRITE_BACK_ROW, "rand_read_4k_cached", "create_10k",
             FSYNC_ROW]
PG_ROWS = ["pgbench_1", "pgbench_4"]
# Where nothing is sent, or nothing waited for, there is no limit.
NOT_OF = {"limit": ["rand_read_4k_cached", WRITE_BACK_ROW, FSYNC_ROW], "gluster": [FSYNC_ROW]}
PG_BIN = "/usr/lib/postgresql/15/bin"
MODULE = """apiVersion: safekit/v1
kind: Module
metadata: {name: %(name)s}
spec:
  mode: mirror
  id: %(id)d
  nodes: [node1, node2]
  heartbeats: {lans: [default, replication]}
  replication:
    lan: replication
    writeBack: %(write_back)s
    durability: %(durability)s
    directories: [{path: /srv/%(name)s}]
"""


class Place:
    """A directory to load, and the words that bring a command there."""

    def __init__(self, name, directory, prefix=()):
        self.name, self.directory, self.prefix, self.count = name, directory, list(prefix), 0
        self.write_back = self.fsync = self  # where WRITE_BACK_ROW and FSYNC_ROW are measured

    def sh(self, *command, **options):
        return sh(*self.prefix, *command, **options)

    def measure(self, row, seconds):
        """What is done per second, and of a write with fsync also its median time."""
        if row == "create_10k":
            # Never delete between rounds: creates after deletes are slow for a while on ext4 without a journal.
            self.count += 1
            target = f"{self.directory}/create-{self.count}"
            return float(self.sh(os.path.join(common.BIN, "safekit-create-files"), target, "10000")), None
        if row == FSYNC_ROW:
            return self.fsync.measure("create_10k", seconds)
        if row == WRITE_BACK_ROW:
            return self.write_back.measure("rand_write_4k_buffered", seconds)
        job = common.fio(self.directory, row, seconds, self.prefix)
        if row == "seq_write_1m":
            return job["write"]["io_bytes"] / 2**20 / (job["job_runtime"] / 1000), None
        if row == "rand_write_4k_fsync":
            halves = (job["write"]["clat_ns"], job["sync"]["lat_ns"])
            return job["write"]["iops"], sum(half["percentile"]["50.000000"] for half in halves) / 1000
        return job["read" if "read" in row else "write"]["iops"], None


class Limit(Place):
    """The program replication_limit.cpp, from one directory to another."""

    def measure(self, row, seconds):
        self.count += 1
        sides = [f"{self.directory}/{side}{self.count if row == 'create_10k' else ''}" for side in ("local", "peer")]
        for side in sides:
            os.makedirs(side, exist_ok=True)
        rate, p50 = map(float, self.sh(os.path.join(common.BIN, "safekit-replication-limit"), row, *sides, seconds).split())
        if row == "seq_write_1m":
            for side in sides:
                os.unlink(f"{side}/limit-0")
        return rate, p50 if row == "rand_write_4k_fsync" else None


class Postgres:
    """One cluster in a place, started there as user postgres."""

    def __init__(self, place, port=5499):
        self.place, self.port = place, port
        self.data = f"{place.directory}/pgdata"
        self.socket = "/tmp"

    def as_postgres(self, *command, **options):
        return self.place.sh("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command, **options)

    def start(self, extra=""):
        self.place.sh("mkdir", "-p", self.data)
        self.place.sh("chown", "postgres:postgres", self.data)
        self.place.sh("chmod", "700", self.data)
        self.as_postgres(f"{PG_BIN}/initdb", "-D", self.data, "-A", "trust", "--no-sync")
        with_options = (f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.socket} "
                        f"-c shared_buffers=256MB {extra}")
        self.as_postgres(f"{PG_BIN}/pg_ctl", "-D", self.data, "-w", "-l", f"{self.data}/log", "-o", with_options, "start")
        common.later(self.stop)

    def load(self):
        self.psql("create database bench")
        self.as_postgres(f"{PG_BIN}/pgbench", "-h", "127.0.0.1", "-p", self.port, "-i", "-q", "-s", "10", "bench")

    def psql(self, text, database="postgres"):
        return self.as_postgres(f"{PG_BIN}/psql", "-h", "127.0.0.1", "-p", self.port, "-Atc", text, database)

    def tps(self, clients, seconds):
        out = self.as_postgres(f"{PG_BIN}/pgbench", "-h", "127.0.0.1", "-p", self.port, "-n", "-c", clients, "-j", clients,
                               "-T", seconds, "bench")
        return float(next(line for line in out.splitlines() if line.startswith("tps")).split()[2])

    def stop(self):
        self.as_postgres(f"{PG_BIN}/pg_ctl", "-D", self.data, "-m", "immediate", "stop", check=False)


def native(base):
    directory = f"{base}/native"
    os.makedirs(directory)
    return Place("native", directory)


def limit(base):
    directory = f"{base}/limit"
    os.makedirs(directory)
    return Limit("limit", directory)


def mirror(base):
    sandbox = common.Sandbox("bench", f"{base}/sandbox")
    places = []
    modules = (("bench", "false", "barrier"), ("back", "true", "barrier"), ("fsync", "false", "fsync"))
    for number, (name, write_back, durability) in enumerate(modules, 1):
        for node in sandbox.nodes:
            sandbox.exec(node, "mkdir", "-p", f"/srv/{name}")
        spec = MODULE % {"name": name, "id": number, "write_back": write_back, "durability": durability}
        sandbox.safekit("node1", "apply", "-f", "-", input=spec)
        until(lambda: sandbox.state("node2", name), 30, "the module reaches the second node")
        for node in sandbox.nodes:
            sandbox.safekit(node, "start", "-m", name)
        primary, _ = sandbox.wait_pair(name)
        places.append(Place("mirror", f"/srv/{name}", sandbox.words(primary)))
    place, place.write_back, place.fsync = places
    return place


def gluster(base):
    """Two servers in namespaces of their own, client mounted beside the first (feasibility notes, section 5)."""
    names = ["skgA", "skgB"]
    sh("ip", "netns", "add", "skgS")
    common.later(sh, "ip", "netns", "del", "skgS")
    sh("ip", "-n", "skgS", "link", "add", "br0", "type", "bridge")
    sh("ip", "-n", "skgS", "link", "set", "br0", "up")
    daemons = []
    for index, name in enumerate(names, 1):
        sh("ip", "netns", "add", name)
        common.later(sh, "ip", "netns", "del", name)
        sh("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", f"p{index}", "netns", "skgS")
        sh("ip", "-n", "skgS", "link", "set", f"p{index}", "master", "br0", "up")
        sh("ip", "-n", name, "link", "set", "lo", "up")
        sh("ip", "-n", name, "link", "set", "eth0", "up")
        sh("ip", "-n", name, "addr", "add", f"10.97.0.{index}/24", "dev", "eth0")
        for part in ("lib", "run", "log", "brick/b"):
            os.makedirs(f"{base}/g{index}/{part}")
        script = (f"mount --bind {base}/g{index}/lib /var/lib/glusterd; mount --bind {base}/g{index}/run /var/run; "
                  f"mount --bind {base}/g{index}/log /var/log/glusterfs; mkdir -p /var/run/gluster "
                  "/var/lib/glusterd/vols /var/lib/glusterd/peers /var/lib/glusterd/geo-replication "
                  "/var/lib/glusterd/hooks /var/lib/glusterd/groups; "
                  f"exec glusterd -N --pid-file={base}/g{index}/gd.pid -l {base}/g{index}/glusterd.log")
        # A PID namespace: its end takes every daemon of the volume along.
        daemon = subprocess.Popen(["ip", "netns", "exec", name, "unshare", "-m", "--propagation", "private", "-p", "-f",
                                   "--kill-child", "--mount-proc", "sh", "-c", script],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        daemons.append(daemon)
        common.later(daemon.wait)
        common.later(daemon.send_signal, signal.SIGKILL)

    def inside(index):
        child = int(sh("cat", f"/proc/{daemons[index].pid}/task/{daemons[index].pid}/children").split()[0])
        return ["nsenter", "-t", child, "-m", "-n", "-p"]

    def cli(*words, check=True):
        return sh(*inside(0), "gluster", "--mode=script", *words, check=check)

    until(lambda: "Number of Peers" in cli("peer", "status", check=False), 30, "glusterd answers")
    cli("peer", "probe", "10.97.0.2")
    until(lambda: "Connected" in cli("peer", "status", check=False), 30, "gluster peers")
    until(lambda: "success" in cli("volume", "create", "gv", "replica", "2", f"10.97.0.1:{base}/g1/brick/b",
                                   f"10.97.0.2:{base}/g2/brick/b", "force", check=False), 30, "gluster volume")
    cli("volume", "start", "gv")
    mount = f"{base}/gluster"
    os.makedirs(mount)
    prefix = ["nsenter", "-t", inside(0)[2], "-m", "-n"]
    sh(*prefix, "mount", "-t", "glusterfs", "10.97.0.1:/gv", mount)
    common.later(lambda: sh(*prefix, "umount", mount, check=False))
    return Place("gluster", mount, prefix)


def pg_standby(base):
    """PostgreSQL's own synchronous streaming replication between two instances on this machine."""
    place = native(f"{base}/pg")
    primary = Postgres(place, 5498)
    primary.start("-c synchronous_standby_names=s1")
    primary.psql("alter system set synchronous_commit=local")  # until there is a standby; on the command line it would hold for ever
    primary.psql("select pg_reload_conf()")
    standby = f"{base}/pg/standby"
    sh("install", "-d", "-o", "postgres", "-g", "postgres", "-m", "700", standby)
    primary.as_postgres(f"{PG_BIN}/pg_basebackup", "-h", "127.0.0.1", "-p", "5498", "-D", standby, "-R", "-c", "fast",
                        "-d", "host=127.0.0.1 port=5498 application_name=s1")
    second = Postgres(place, 5497)
    second.data = standby
    second.as_postgres(f"{PG_BIN}/pg_ctl", "-D", standby, "-w", "-l", f"{standby}/log", "-o",
                       f"-p 5497 -c listen_addresses=127.0.0.1 -c unix_socket_directories=/tmp -c shared_buffers=256MB", "start")
    common.later(second.stop)
    until(lambda: "sync" in primary.psql("select sync_state from pg_stat_replication"), 30, "the standby is synchronous")
    primary.psql("alter system set synchronous_commit=on")
    primary.psql("select pg_reload_conf()")
    until(lambda: primary.psql("show synchronous_commit").strip() == "on", 30, "commits wait for the standby")
    primary.load()
    return primary


def run(options, report):
    base = options.dir
    if os.path.exists(base):
        raise RuntimeError(f"{base} exists: a run that was killed left it; remove it first")
    os.makedirs(base)
    os.chmod(base, 0o755)
    common.later(common.remove, base)
    makers = {"native": native, "limit": limit, "mirror": mirror, "gluster": gluster}
    wanted = options.systems.split(",") if options.systems else [*makers, "pg_sync_rep"]
    if "gluster" in wanted and not shutil.which("glusterd"):
        note("no glusterd: `.ci/packages bench` installs it; its column is left out")
        wanted.remove("gluster")
    rows = options.rows.split(",") if options.rows else FILE_ROWS + PG_ROWS
    places = []
    for name in [w for w in wanted if w in makers]:
        note(f"setting up {name}")
        places.append(makers[name](base))
    for round_number in range(options.rounds):
        # Whoever writes much leaves a slower disk to the next one (its cache, discarded blocks, a limit of the hypervisor).
        first = round_number % len(places)
        for row in [r for r in rows if r in FILE_ROWS]:
            for place in places[first:] + places[:first]:
                if row in NOT_OF.get(place.name, ()):
                    continue
                os.sync()  # or the disk still works on what the one before has written
                value, p50 = place.measure(row, options.seconds)
                unit = "MiB/s" if row == "seq_write_1m" else "files/s" if row.startswith("create_10k") else "ops/s"
                report.add(row, unit, True, place.name, value)
                if p50 is not None:
                    report.add(f"{row}_p50", "us", False, place.name, p50)
                note(f"round {round_number + 1} {row} {place.name} {value:,.0f}")
    pg_rows = [r for r in rows if r in PG_ROWS]
    if not pg_rows:
        return
    databases = []
    for index, place in enumerate(p for p in places if p.name != "limit"):
        note(f"loading a database on {place.name}")
        database = Postgres(place, 5490 + index)
        database.start()
        database.load()
        databases.append((place.name, database))
    if "pg_sync_rep" in wanted:
        note("setting up PostgreSQL's synchronous standby")
        os.makedirs(f"{base}/pg")
        databases.append(("pg_sync_rep", pg_standby(base)))
    for round_number in range(options.rounds):
        for row in pg_rows:
            for name, database in databases:
                value = database.tps(row.split("_")[1], max(options.seconds, 5))
                report.add(row, "tps", True, name, value)
                note(f"round {round_number + 1} {row} {name} {value:,.0f}")
