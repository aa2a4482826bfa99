#!/bin/bash
# Two real replicas of a module with leases, in a network of their own: see replica_rights.py.
exec unshare -n python3 "$(dirname "$0")/replica_rights.py" "$SK_BIN/safekit-replicad" "$@"
