#!/bin/bash
# errd on a real daemon: see errd.py.
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
SAFEKIT_BIN=$SK_BIN exec python3 "$(dirname "$0")/errd.py" "$@"
