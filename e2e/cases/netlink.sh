#!/bin/bash
# Addresses, announcements, conflict detection and connection resets on a real kernel: two network namespaces joined by
# a cable. Everything ends with the processes, so nothing is left behind.
set -u
[ "$(id -u)" = 0 ] || exit 77
if [ "${1:-}" != inside ]; then exec timeout 60 unshare --net -- "$0" inside; fi

check=$SK_BIN/netlink_check
fail() { echo "FAILED: $*"; exit 1; }
expect() { [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"; }

unshare --net -- sleep 50 &
other=$!
trap 'kill $other' EXIT
until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done  # unshare has not run yet
there() { nsenter --net=/proc/$other/ns/net -- "$@"; }

ip link set lo up
ip link add veth0 address 02:00:00:00:00:01 type veth peer name veth1 address 02:00:00:00:00:02 netns $other || exit 77
there ip address add 192.0.2.9/24 dev veth1
there ip address add 2001:db8::9/64 dev veth1 nodad
ip link set veth0 up; there ip link set veth1 up

$check list | grep -q '^lo .*loopback=1 127.0.0.1/8' || fail "loopback is not listed"
$check list | grep -q '^veth0 mac=02:00:00:00:00:01 up=1 carrier=1 loopback=0' || fail "veth0 is not listed"
for address in 192.0.2.7/24 2001:db8::7/64; do
  ip=${address%/*}
  $check add veth0 $address && $check add veth0 $address || fail "$address cannot be added twice"
  $check list | grep -q "^veth0 .* $address" || fail "$address is not listed"
  ip address show dev veth0 | grep -q "$address" || fail "the kernel does not show $address"
  $check remove veth0 $address && $check remove veth0 $address || fail "$address cannot be removed twice"
  $check list | grep -q "$address" && fail "$address is still there"
  expect "change of $address" told "$($check change veth0 $address)"

  expect "probe of a free address" free "$($check probe veth0 $ip)"
  expect "probe of a taken address" 02:00:00:00:00:02 "$($check probe veth0 ${ip%7}9)"

  there ip neighbour replace $ip lladdr 02:00:00:00:00:99 dev veth1 nud reachable
  $check add veth0 $address
  $check announce veth0 $ip || fail "cannot announce $ip"
  for _ in $(seq 100); do there ip neighbour show $ip | grep -q 02:00:00:00:00:01 && break; done
  there ip neighbour show $ip | grep -q 02:00:00:00:00:01 || fail "the neighbour did not believe the announcement of $ip"
  expect "probe by the other side" 02:00:00:00:00:01 "$(there $check probe veth1 $ip)"
  reset=$($check reset $ip); code=$?
  case $code in 77) echo "reset of connections: $reset" ;; *) expect "reset of connections of $ip" reset "$reset" ;; esac
done
ip address show dev veth0 | grep -q 'inet 192.0.2.7/24 brd 192.0.2.255' || fail "no broadcast address"
$check add none 192.0.2.7/24 >/dev/null && fail "an unknown interface was accepted"
ip link set veth0 down
expect "probe on a dead link" 1 "$($check probe veth0 192.0.2.9 >/dev/null; echo $?)"
echo "all good"
