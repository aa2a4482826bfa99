#!/bin/bash
# The ways of synchronising that a person chooses: between two real replicas (resync_policy.py), and as commands (resync_policy_module.py).
set -e
here=$(dirname "$0")
python3 "$here/resync_policy.py" "$SK_BIN/safekit-replicad" "$@"
[ $# != 0 ] || SAFEKIT_BIN=$SK_BIN exec python3 "$here/resync_policy_module.py"
