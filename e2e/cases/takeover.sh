#!/bin/bash
# A replication process dies under running applications and another one takes its mounts over: takeover.py, takeover_module.py.
set -e
python3 "$(dirname "$0")/takeover.py" "$SK_BIN/safekit-replicad"
SAFEKIT_BIN=$SK_BIN exec python3 "$(dirname "$0")/takeover_module.py"
