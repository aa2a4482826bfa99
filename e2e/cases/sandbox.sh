#!/bin/bash
# The sandbox itself: networks, cuts, power loss, exit codes, supervision, and that nothing is left behind.
. "$(dirname "$0")/lib.sh"

gone() { [ ! -e "/proc/$1" ] || grep -q '^State:.*Z' "/proc/$1/status"; } # nobody may have reaped it
ping_ok() { on "$1" -- ping -n -q -c1 -W1 "$2" >/dev/null; }

mounts_before=$(wc -l </proc/self/mountinfo)
srv_before=$(ls -la /srv)

daemon=$SK_WORK/daemon
cat >"$daemon" <<'END'
#!/bin/sh
echo "daemon $*"
setsid sleep 1000 & # as replicad or a script: outlives the daemon
exec sleep 1001
END
chmod +x "$daemon"

step "three nodes, two networks, up twice"
sandbox_up --nodes 3 --daemon "$daemon" --private /srv --private /e2e-private/data
up_again=$(sandbox up)
expect 4 "$(grep -c 'runs already' <<<"$up_again")" "nodes that a second up leaves alone"
expect 1 "$(sandbox up --nodes 4 >/dev/null 2>&1 && echo 0 || echo 1)" "up with another shape is refused"

step "every node reaches every node on every network; the client the first"
for from in node1 node2 node3; do
  for to in node1 node2 node3; do
    ping_ok $from $to
    ping_ok $from $to-replication
  done
  ping_ok client $from
done
fails ping_ok client node1-replication

step "each node has its own name, processes and files"
expect node2 "$(on node2 hostname)" "host name"
on node1 -- sh -c 'echo one >/srv/file; echo one >/e2e-private/data/file; echo one >/var/lib/safekit/file; echo one >/etc/safekit/file'
fails on node2 cat /srv/file
fails on node2 cat /e2e-private/data/file
expect one "$(cat "$SK_DIR/node1/root/srv/file")" "file of node1 seen from the machine"
expect "$srv_before" "$(ls -la /srv)" "/srv of the machine"
[ ! -e /e2e-private ] || fail "/e2e-private was made on the machine"
on node1 test -c /dev/fuse
expect 1 "$(on node1 -- sh -c 'ps -o args= -p 1' | grep -c 'init --dir')" "PID 1 is ours"

step "exec gives exit codes, signals and input through"
expect 7 "$(on node1 -- sh -c 'exit 7' || echo $?)" "exit code"
expect 137 "$(on node1 -- sh -c 'kill -9 $$' || echo $?)" "killed by a signal"
expect 127 "$(on node1 -- no-such-program 2>/dev/null || echo $?)" "program not found"
expect text "$(echo text | on node1 cat)" "standard input"
expect 143 "$(timeout -s TERM --preserve-status 1 "$SK_BIN/safekit-sandbox" exec --name "$SK_NAME" node1 -- sleep 30 || echo $?)" "terminated"

step "the daemon is started again when it dies, and what it started lives on"
on node1 -- pgrep -fx 'sleep 1000' >/dev/null
first=$(on node1 -- pgrep -fx 'sleep 1001')
orphan=$(on node1 -- pgrep -fx 'sleep 1000')
on node1 -- kill -9 "$first"
daemon_replaced() { local now; now=$(on node1 -- pgrep -fx 'sleep 1001') && [ "$now" != "$first" ]; }
wait_for 5 daemon_replaced
on node1 -- kill -0 "$orphan"
grep -q -- '--node node1 --state-dir /var/lib/safekit --run-dir /run/safekit' "$SK_DIR/node1/log/safekitd.log"

step "cut and heal"
sandbox cut replication node2
fails ping_ok node1 node2-replication
ping_ok node1 node3-replication
ping_ok node1 node2
expect 0 "$(on node2 cat /sys/class/net/eth1/carrier)" "carrier of a cut interface"
sandbox cut default node3 --silent
fails ping_ok node1 node3
expect 1 "$(on node3 cat /sys/class/net/eth0/carrier)" "carrier of a silently cut interface"
sandbox heal
ping_ok node1 node2-replication
ping_ok node1 node3

step "power off and on"
sandbox cut replication node1
boot_id() { on node1 cat /proc/sys/kernel/random/boot_id; }
first_boot=$(boot_id)
node1_pid=$(sandbox status | awk '$1 == "node1" { print $3 }')
sandbox kill node1
gone "$node1_pid" || fail "PID 1 of node1 is still there"
expect 1 "$(on node1 true 2>/dev/null || echo $?)" "exec on a node that is off"
fails ping_ok node2 node1
sandbox start node1
expect one "$(on node1 cat /srv/file)" "files after power on"
[ "$(boot_id)" != "$first_boot" ] || fail "a node that was powered on again has the same boot identity"
ping_ok node2 node1
fails ping_ok node2 node1-replication # a cut outlives the power
sandbox heal replication
ping_ok node2 node1-replication

step "a sandbox whose switch died is repaired"
switch_pid=$(sed -n '/"switch"/,/}/ s/.*"pid": \([0-9]*\).*/\1/p' "$SK_DIR/sandbox.json")
kill -9 "$switch_pid"
wait_for 5 gone "$switch_pid"
wait_for 5 sandbox up
ping_ok node1 node2
ping_ok node3 node1-replication

step "nothing is left behind"
sandbox down --purge
left() { ps -eo stat=,args= | grep -F -- "$SK_NAME" | grep -v '^Z' | grep -Fv 'grep '; }
wait_for 5 fails left
[ ! -e "/var/lib/safekit-sandbox/$SK_NAME" ] || fail "the name is still taken"
[ ! -e "$SK_DIR" ] || fail "files are left in $SK_DIR"
expect "$mounts_before" "$(wc -l </proc/self/mountinfo)" "mounts of the machine"

step "an up or a down that is killed at any moment can be completed"
killed_after() { timeout -s KILL "$@" >/dev/null 2>&1 || true; }
for hundredths in 1 2 3 4 5 6 7 8 9 10; do
  delay=$(printf '0.%02d' "$hundredths")
  killed_after "$delay" "$SK_BIN/safekit-sandbox" up --bare --name "$SK_NAME" --dir "$SK_DIR"
  sandbox up --bare --dir "$SK_DIR" >/dev/null
  ping_ok node1 node2-replication
  killed_after "$delay" "$SK_BIN/safekit-sandbox" down --name "$SK_NAME"
  sandbox up --bare --dir "$SK_DIR" >/dev/null
  ping_ok node2 node1
  killed_after "$delay" "$SK_BIN/safekit-sandbox" down --name "$SK_NAME"
  sandbox down --purge >/dev/null
  wait_for 5 fails left
done
sandbox down # again: fine
echo "ok"
