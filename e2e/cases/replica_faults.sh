#!/bin/bash
# Faults of every part of a pair, on each side, under each load: see replica_faults.py.
[ -e /dev/loop-control ] || { echo "needs loop devices"; exit 77; }
exec python3 "$(dirname "$0")/replica_faults.py" "$SK_BIN/safekit-replicad" "$@"
