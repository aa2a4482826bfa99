#!/bin/bash
# A witness that switches the other node off: see fencing.py.
[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { echo "needs root and FUSE"; exit 77; }
SAFEKIT_BIN=$SK_BIN exec python3 "$(dirname "$0")/fencing.py" "$@"
