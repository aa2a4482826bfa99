#!/bin/bash
# Two real replicas on this machine, with a line between them that is slow, or loses one of several connections.
exec python3 "$(dirname "$0")/replica_wire.py" "$SK_BIN/safekit-replicad" "$@"
