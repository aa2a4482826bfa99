#!/bin/bash
# Two real replicas on this machine: see replica.py.
exec python3 "$(dirname "$0")/replica.py" "$SK_BIN/safekit-replicad" "$@"
