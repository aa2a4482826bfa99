#!/bin/bash
# What goes wrong in real life, each as a user meets it: see bad_cases.py.
[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { echo "needs root and FUSE"; exit 77; }
SAFEKIT_BIN=$SK_BIN exec python3 "$(dirname "$0")/bad_cases.py" "$@"
