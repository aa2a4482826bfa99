#!/bin/bash
# Verification of two copies: between two real replicas on this machine (verify.py), and as a command (verify_module.py).
set -e
here=$(dirname "$0")
python3 "$here/verify.py" "$SK_BIN/safekit-replicad" "$@"
[ $# != 0 ] || SAFEKIT_BIN=$SK_BIN exec python3 "$here/verify_module.py"
