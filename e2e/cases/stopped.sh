#!/bin/bash
# Two real replicas on this machine, changed by others while they were stopped: see stopped.py.
exec python3 "$(dirname "$0")/stopped.py" "$SK_BIN/safekit-replicad" "$@"
