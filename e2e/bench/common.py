"""The report of a benchmark and its loads; the rest is e2e/harness.py."""
import json
import os
import platform
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
from harness import BIN, SAFEKIT, Sandbox, clean_up, later, note, remove, sh, until  # noqa: E402,F401


class Report:
    def __init__(self):
        self.rows = {}

    def add(self, name, unit, higher_is_better, system, value):
        row = self.rows.setdefault(name, {"unit": unit, "higher": higher_is_better, "values": {}})
        row["values"].setdefault(system, []).append(float(value))

    def as_json(self):
        rows = []
        for name, row in self.rows.items():
            out = {"name": name, "unit": row["unit"], "higher_is_better": row["higher"]}
            for system, values in row["values"].items():
                ordered = sorted(values)
                out[system] = {"median": statistics.median(values), "min": ordered[0], "max": ordered[-1]}
                if row["unit"] == "ms":
                    out[system]["p50"] = statistics.median(values)
                    out[system]["p99"] = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
            rows.append(out)
        machine = {"cpus": os.cpu_count(), "kernel": platform.release(),
                   "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)}
        return {"machine": machine, "rows": rows}

    def write(self, path):
        with open(path, "w") as out:
            json.dump(self.as_json(), out, indent=1)

    def print_table(self):
        systems = []
        for row in self.rows.values():
            systems += [s for s in row["values"] if s not in systems]
        print(f"{'row':28} {'unit':7}" + "".join(f"{s:>16}" for s in systems) + "   mirror / others")
        for name, row in self.rows.items():
            medians = {s: statistics.median(v) for s, v in row["values"].items()}
            cells = "".join(f"{medians[s]:16,.1f}" if s in medians else f"{'-':>16}" for s in systems)
            ratios = ""
            if medians.get("mirror"):
                ratios = "  ".join(f"{s} {medians['mirror'] / m:.3f}" for s, m in medians.items() if s != "mirror" and m)
            print(f"{name:28} {row['unit']:7}{cells}   {ratios}")


def fio(directory, job, seconds, prefix=()):
    """One fio job; returns its JSON."""
    common = ["fio", "--ioengine=psync", "--group_reporting", "--output-format=json", f"--directory={directory}"]
    jobs = {
        "seq_write_1m": ["--name=seqw", "--rw=write", "--bs=1M", "--size=512m", "--end_fsync=1", "--unlink=1"],
        "rand_write_4k_fsync": ["--name=rwf", "--rw=randwrite", "--bs=4k", "--size=64m", "--fsync=1", "--time_based"],
        "rand_write_4k_buffered": ["--name=rwb", "--rw=randwrite", "--bs=4k", "--size=64m", "--time_based", "--norandommap"],
        "rand_read_4k_cached": ["--name=rwb", "--rw=randread", "--bs=4k", "--size=64m", "--time_based", "--invalidate=0",
                                "--pre_read=1"],
    }[job]
    if "--time_based" in jobs:
        jobs = [*jobs, f"--runtime={seconds}"]
    out = sh(*prefix, *common, *jobs)
    return json.loads(out[out.index("{"):])["jobs"][0]
