#!/bin/bash
# Two real replicas on this machine: see replica.py.
[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { echo "needs root and FUSE"; exit 77; }
exec python3 "$(dirname "$0")/replica.py" "$SK_BIN/safekit-replicad" "$@"
