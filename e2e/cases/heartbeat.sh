#!/bin/bash
# Two ends of a heartbeat link in a network namespace of their own: an address that goes and comes back, an end that is
# killed, and an end that does not run for a while and must not take that for a loss of the other.
set -u
[ "$(id -u)" = 0 ] || exit 77
if [ "${1:-}" != inside ]; then exec timeout 60 unshare --net -- "$0" inside; fi

work=$(mktemp -d)
trap 'kill -KILL $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; tail -n 20 "$work"/*; exit 1; }
lines() { cat "$work/$1" 2>/dev/null | grep -c "$2"; }
await() { # node pattern count
  for _ in $(seq 500); do [ "$(lines "$1" "$2")" -ge "$3" ] && return; read -rt 0.02 <> <(:); done
  fail "$1 did not say '$2' $3 times"
}

ip link set lo up
ip address add 10.9.0.1/32 dev lo
ip address add 10.9.0.2/32 dev lo
start() { "$SK_BIN/heartbeat_check" "$1" 10.9.0."$2" "$3" 10.9.0."$4" 4711 "$5" >> "$work/$1" & }
start a 1 b 2 300; a=$!
start b 2 a 1 600; b=$!
await a '^up b' 1; await b '^up a' 1

ip address del 10.9.0.1/32 dev lo
await b '^down' 1; await a '^down' 1
ip address add 10.9.0.1/32 dev lo
await b '^up a' 2; await a '^up b' 2

kill -STOP $a                       # a does not run for twice the time-out ...
await b '^down' 2
kill -CONT $a
await b '^up a' 3
[ "$(lines a '^down')" = 1 ] || fail "a took its own absence for a loss of b"

kill -KILL $b; wait $b 2>/dev/null
await a '^down' 2
start b 2 a 1 600; b=$!
await a '^up b' 3                   # the next life of b, with its new payload
kill -TERM $a; wait $a
late=$(awk '/^down/ { if ($2 > worst) worst = $2 } END { print worst }' "$work/a")
[ "$late" -le 500 ] || fail "a loss was told only after $late ms"
echo "a loss is told after at most $late ms of 300; $(tail -n 1 "$work/a")"
