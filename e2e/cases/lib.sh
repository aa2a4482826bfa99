# Base of the system tests: one sandbox of real daemons per test, always taken down again.
# A case sources this file, calls `sandbox_up`, does its work with the helpers below and ends. Any command that fails,
# a signal, or `fail` ends the case: the logs of all nodes are shown and nothing is left behind.
#
# From the environment: SK_BIN, the directory of the programs (ctest sets it). SK_KEEP=1 leaves a failed sandbox running.

set -Eeuo pipefail

SK_BIN=${SK_BIN:?set SK_BIN to the directory of the programs, such as build/release/bin}
SK_CASE=$(basename "$0" .sh)
SK_NAME=${SK_CASE:0:20}-$$
SK_SKIP=77 # what ctest takes for "skipped"
SK_WORK=$(mktemp -d "${TMPDIR:-/tmp}/$SK_CASE.XXXXXX") # the case's own files; removed at the end
SK_DIR=$SK_WORK/sandbox

skip() {
  echo "SKIPPED: $*"
  exit $SK_SKIP
}

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

step() { echo "== $(date +%T) $*"; }

need_root() { [ "$(id -u)" = 0 ] || skip "this case makes namespaces, which needs root"; }
need_program() { command -v "$1" >/dev/null || skip "program '$1' is missing: apt-get install $2"; }

sandbox() {
  local verb=$1
  shift
  "$SK_BIN/safekit-sandbox" "$verb" --name "$SK_NAME" "$@"
}

# sandbox_up [option...]: a sandbox of this case alone, in $SK_DIR.
sandbox_up() {
  need_root
  sandbox up --dir "$SK_DIR" "$@"
}

# The address for a virtual IP in the sandbox's first network.
virtual_ip() { sandbox status --json | sed -n 's/.*"virtualAddress": "\(.*\)".*/\1/p'; }

on() { sandbox exec "$@"; } # on NODE COMMAND...
safekit_on() {              # safekit_on NODE ARGUMENT...
  local node=$1
  shift
  on "$node" -- safekit "$@"
}

# wait_for SECONDS COMMAND...: until the command succeeds; fails the case when it does not in time.
wait_for() {
  local limit=$1
  shift
  local end=$((SECONDS + limit))
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || fail "not within $limit s: $*"
    sleep 0.1
  done
}

expect() { # expect EXPECTED ACTUAL WHAT
  [ "$1" = "$2" ] || fail "$3: expected '$1', got '$2'"
}

fails() { ! "$@" >/dev/null 2>&1; } # for conditions: `wait_for 5 fails on node1 true`

dump_logs() {
  [ -e "$SK_DIR/sandbox.json" ] || return 0
  sandbox status || true
  find "$SK_DIR" \( -path '*/log/*' -o -path '*/state/*.log' -o -name '*.ulog' -o -name switch.log \) -type f -size +0 |
    sort | while read -r file; do
      echo "---- ${file#"$SK_DIR"/} (last 60 lines)"
      tail -n 60 "$file"
    done
}

sandbox_end() {
  local code=$?
  trap - EXIT INT TERM HUP
  set +e
  if [ $code != 0 ] && [ $code != $SK_SKIP ]; then
    dump_logs >&2
    if [ -n "${SK_KEEP:-}" ]; then
      echo "left running: safekit sandbox status --name $SK_NAME" >&2
      exit $code
    fi
  fi
  if sandbox down --purge >/dev/null; then
    rm -rf --one-file-system "$SK_WORK" || code=1
  else
    echo "not taken down; its record is $SK_DIR/sandbox.json" >&2
    code=1
  fi
  exit $code
}
trap sandbox_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
trap 'echo "FAILED: line ${BASH_LINENO[*]} $BASH_COMMAND" >&2' ERR
