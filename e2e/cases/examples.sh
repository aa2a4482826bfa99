#!/bin/bash
# examples/light and examples/mirror/sqlite do what their pages say. PostgreSQL has a case of its own.
. "$(dirname "$0")/lib.sh"

for program in safekit safekitd safekit-replicad safekit-keeper safekit-runner; do
  [ -x "$SK_BIN/$program" ] || skip "'$program' is not built"
done
need_program sqlite3 sqlite3
EXAMPLES=$(readlink -f "$(dirname "$0")/../../examples")

state_is() { [ "$(safekit_on "$1" get -m "$2" -r state.local)" = "$3" ]; }
pid_of() { on "$1" -- pgrep -o -x "$2"; }

sandbox_up

step "light: started, restarted when it dies, stopped"
safekit_on node1 apply -f "$EXAMPLES/light/module.yaml"
safekit_on node1 start -m light
wait_for 30 state_is node1 light "UP Ready"
wait_for 5 pid_of node1 ticker
first=$(pid_of node1 ticker)
on node1 -- pkill -9 -x ticker
restarted() { local now; now=$(pid_of node1 ticker) && [ "$now" != "$first" ]; }
wait_for 10 restarted
safekit_on node1 stop -m light
wait_for 30 state_is node1 light "STOP NotReady"
fails pid_of node1 ticker

step "sqlite: applied on the other node, replicated"
rows() { on "$1" -- sqlite3 /srv/sqlite/events.db "SELECT count(*) FROM event WHERE node = '$2'"; }
has_rows() { [ "$(rows "$1" "$2")" -ge "$3" ]; }
on node1 mkdir -p /srv/sqlite
on node2 mkdir -p /srv/sqlite
safekit_on node2 apply -f "$EXAMPLES/mirror/sqlite/module.yaml"
safekit_on node1 start -m sqlite
safekit_on node2 start -m sqlite
wait_for 60 state_is node1 sqlite "PRIM Ready"
wait_for 60 state_is node2 sqlite "SECOND Ready"
wait_for 20 has_rows node1 node1 3

step "sqlite: node1 loses its power, node2 goes on with all its rows"
before=$(rows node1 node1)
sandbox kill node1
wait_for 20 state_is node2 sqlite "ALONE Ready"
has_rows node2 node1 "$before" || fail "rows of node1 are missing on node2: $(rows node2 node1) of $before"
wait_for 20 has_rows node2 node2 2

step "sqlite: node1 comes back and catches up; its copy is whole"
sandbox start node1
wait_for 30 safekit_on node1 state
safekit_on node1 start -m sqlite
wait_for 60 state_is node1 sqlite "SECOND Ready"
safekit_on node1 stop -m sqlite
wait_for 60 state_is node1 sqlite "STOP NotReady"
cp -r "$SK_DIR/node1/root/srv/sqlite" "$SK_WORK/copy" # as the machine sees it: no mount of the node is in between
expect ok "$(sqlite3 "$SK_WORK/copy/events.db" 'PRAGMA integrity_check')" "integrity of the copy"
[ "$(sqlite3 "$SK_WORK/copy/events.db" 'SELECT count(*) FROM event')" -ge "$((before + 2))" ] || fail "rows are missing in the copy"
echo "ok"
