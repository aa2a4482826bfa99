#!/bin/bash
# Two real replicas on this machine, with rules of what is not replicated: see not_replicated.py.
exec python3 "$(dirname "$0")/not_replicated.py" "$SK_BIN/safekit-replicad" "$@"
