#!/bin/bash
# What `safekit simulate` foretells, and what then happens: see simulate.py.
[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { echo "needs root and FUSE"; exit 77; }
SAFEKIT_BIN=$SK_BIN exec python3 "$(dirname "$0")/simulate.py" "$@"
