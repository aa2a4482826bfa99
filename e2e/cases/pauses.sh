#!/bin/bash
# Stopped processes and nodes with a witness that grants leases: see pauses.py. SK_ROUNDS: how many.
[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { echo "needs root and FUSE"; exit 77; }
SAFEKIT_BIN=$SK_BIN exec python3 "$(dirname "$0")/pauses.py" --rounds "${SK_ROUNDS:-10}" "$@"
