#!/usr/bin/env python3
"""Random operations of several processes (fsx.cpp) on a mirror mount whose secondary is connected: every answer is the model's, and
both copies are identical afterwards, holes included.

usage: fsx.py BINARIES [--operations N] [--seed N] [--processes N] [--write-back] [--restart]
--restart: the secondary is lost and comes back, in the middle, again and again. A seed that fails is replayed by --seed.
"""
import argparse, os, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cases"))
from replica_nodes import PRIMARY, SECONDARY, Pair, assert_equal, mirrored


def restart(pair, number):
    """The other node leaves, in order or not, and returns; open files and mappings here go on."""
    pair.b.stop() if number % 2 else pair.b.kill()
    pair.a.want(PRIMARY, may_be_alone=True)
    time.sleep(1)
    pair.b.start()
    pair.b.settle(SECONDARY)
    pair.a.synchronised(timeout=120)
    pair.a.want(PRIMARY)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries")
    parser.add_argument("--operations", type=int, default=1000000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--write-back", action="store_true")
    parser.add_argument("--restart", action="store_true")
    args = parser.parse_args()
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("skipped: needs root and /dev/fuse")
        return 77
    binaries = os.path.abspath(args.binaries)
    pair = Pair(f"{binaries}/safekit-replicad")
    try:
        mirrored(pair, write_back=args.write_back)
        began = time.monotonic()
        run = pair.a.popen(f"{binaries}/safekit-fsx", pair.mount, str(args.seed), str(args.operations), str(args.processes))
        returns = 0
        while args.restart and run.poll() is None:
            restart(pair, returns)
            returns += 1
        assert run.wait() == 0, f"not as the model says; replay with --seed {args.seed}"
        pair.a.run("sync", "-f", pair.mount)
        assert pair.a.report["peer_synchronised"], "the secondary was lost"
        assert_equal(pair, holes=not args.restart)
        print(f"both copies are identical; {args.operations / (time.monotonic() - began):.0f} operations/s, {returns} returns")
        return 0
    except Exception:
        print(pair.logs())
        raise
    finally:
        pair.close()


if __name__ == "__main__":
    sys.exit(main())
