#!/bin/bash
# Memory of two real replicas: see replica_memory.py.
exec python3 "$(dirname "$0")/replica_memory.py" "$SK_BIN/safekit-replicad" "$@"
