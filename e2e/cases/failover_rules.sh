#!/bin/bash
# Failover rules of a module's own: see failover_rules.py.
[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { echo "needs root and FUSE"; exit 77; }
SAFEKIT_BIN=$SK_BIN exec python3 "$(dirname "$0")/failover_rules.py" "$@"
