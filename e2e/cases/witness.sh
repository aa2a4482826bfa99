#!/bin/bash
# Witnesses, real ones, asked by lease controllers and by the daemons: see witness.py.
[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { echo "needs root and FUSE"; exit 77; }
SAFEKIT_BIN=$SK_BIN exec python3 "$(dirname "$0")/witness.py" "$@"
