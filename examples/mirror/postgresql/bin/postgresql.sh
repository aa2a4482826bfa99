# What the scripts of this module share; read by them, not run.
: "${PGDATA:?set it in scripts.environment of the module}" "${PGPORT:=5432}"
PGBIN=${PGBIN:-/usr/lib/postgresql/15/bin}
SOCKETS=/run/postgresql                    # of this node alone: never a replicated directory
LOG=${SAFEUSERVAR:-/var/tmp}/postgresql.log # the server's own log
START_SECONDS=300                          # recovery after a power loss may take long

as_postgres() { runuser -u postgres -- env PGDATA="$PGDATA" "$@"; }

# The server and its children on this node: they work in the data directory. The file postmaster.pid tells nothing here,
# it may have been written on the other node.
server_processes() {
  for pid in $(pgrep -u postgres -f '^(/.*/postgres|postgres:) '); do
    [ "$(readlink "/proc/$pid/cwd")" != "$PGDATA" ] || echo "$pid"
  done
}

# stop_server SIGNAL SECONDS: INT ends it in good order, QUIT at once. It may take long; true when nothing is left.
stop_server() {
  kill -s "$1" $(pgrep -u postgres -f "^$PGBIN/postgres -D $PGDATA( |\$)") 2>/dev/null
  for _ in $(seq $(($2 * 20))); do
    [ -n "$(server_processes)" ] || return 0
    sleep 0.05
  done
  return 1
}
