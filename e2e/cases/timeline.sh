#!/bin/bash
# Time lines, drill and preflight on real daemons: see timeline.py.
[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { echo "needs root and FUSE"; exit 77; }
SAFEKIT_BIN=$SK_BIN exec python3 "$(dirname "$0")/timeline.py" "$@"
