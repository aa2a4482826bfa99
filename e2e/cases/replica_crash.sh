#!/bin/bash
# Two real replicas on this machine that crash and lose power: see replica_crash.py.
[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] && [ -e /dev/loop-control ] || { echo "needs root, FUSE and loop devices"; exit 77; }
exec python3 "$(dirname "$0")/replica_crash.py" "$SK_BIN/safekit-replicad" "$@"
