#!/bin/bash
# M15 to M18, and what else follows from a lease: see acceptance/witness.py and docs/acceptance.md.
[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { echo "needs root and FUSE"; exit 77; }
SAFEKIT_BIN=$SK_BIN exec python3 "$(dirname "$0")/acceptance/witness.py" "$@"
