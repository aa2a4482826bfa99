#!/bin/bash
# Which copy may start and when a secondary is synchronised, as a module says it: see sync_rules.py.
[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { echo "needs root and FUSE"; exit 77; }
SAFEKIT_BIN=$SK_BIN exec python3 "$(dirname "$0")/sync_rules.py" "$@"
