#!/bin/bash
# The primary is lost in the middle of a synchronisation: on the replicas alone (kept_copy.py), and as a module (kept_copy_module.py).
[ -e /dev/loop-control ] || { echo "needs loop devices"; exit 77; }
command -v mkfs.xfs >/dev/null || { echo "needs mkfs.xfs: apt-get install xfsprogs"; exit 77; }
cd "$(dirname "$0")" || exit 1
python3 kept_copy.py "$SK_BIN/safekit-replicad" "$@" || exit
[ $# -gt 0 ] || SAFEKIT_BIN=$SK_BIN python3 kept_copy_module.py
