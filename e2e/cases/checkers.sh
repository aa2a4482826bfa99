#!/bin/bash
# The checkers of a module on real daemons: see checkers.py.
[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { echo "needs root and FUSE"; exit 77; }
SAFEKIT_BIN=$SK_BIN exec python3 "$(dirname "$0")/checkers.py" "$@"
