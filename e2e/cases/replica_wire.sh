#!/bin/bash
# Two real replicas on this machine, with a line between them that is slow, or loses one of several connections. In a network of
# their own, for its loopback is made slow.
exec unshare -n sh -c 'ip link set lo up && exec python3 "$0" "$@"' "$(dirname "$0")/replica_wire.py" "$SK_BIN/safekit-replicad" "$@"
