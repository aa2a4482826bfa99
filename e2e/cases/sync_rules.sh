#!/bin/bash
# Which copy may start, when a secondary is synchronised, what is told of it: see sync_rules.py.
[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { echo "needs root and FUSE"; exit 77; }
SAFEKIT_BIN=$SK_BIN exec python3 "$(dirname "$0")/sync_rules.py" "$@"
