#!/bin/bash
# Acceptance cases of a mirror's roles: see acceptance/mirror.py and docs/acceptance.md.
[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { echo "needs root and FUSE"; exit 77; }
SAFEKIT_BIN=$SK_BIN exec python3 "$(dirname "$0")/acceptance/mirror.py" "$@"
