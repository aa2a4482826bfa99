#!/bin/bash
# Acceptance cases of detection: see acceptance/detection.py and docs/acceptance.md.
[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { echo "needs root and FUSE"; exit 77; }
SAFEKIT_BIN=$SK_BIN exec python3 "$(dirname "$0")/acceptance/detection.py" "$@"
