#!/bin/bash
# The disk of the replicas' own files is full or refuses: see state_disk.py.
[ -e /dev/loop-control ] || { echo "needs loop devices"; exit 77; }
exec python3 "$(dirname "$0")/state_disk.py" "$SK_BIN/safekit-replicad" "$@"
