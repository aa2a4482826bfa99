#!/bin/bash
# What others write to the copy of a secondary: between two real replicas on this machine (outside.py), and on a cluster.
set -e
here=$(dirname "$0")
python3 "$here/outside.py" "$SK_BIN/safekit-replicad" "$@"
[ $# != 0 ] || SAFEKIT_BIN=$SK_BIN exec python3 "$here/outside_module.py"
