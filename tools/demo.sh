#!/bin/bash
#
# demo.sh [stop]
#   Install what is missing, build and install the extension, and show it at
#   work on a private cluster: a socket in a directory of its own, no port, no
#   change to any other cluster.  The data are the files of this machine and a
#   table of events.  "stop" removes what the last run left.
#
#   DEMO_ROWS=n    events (default 5000000)
#   DEMO_PROBES=n  random look-ups per measurement (default 300000)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

ROWS=${DEMO_ROWS:-5000000}
PROBES=${DEMO_PROBES:-300000}
STATE=$ROOT/build/demo/state    # the directory of the running cluster
PORT=54329                      # names the socket, nothing listens on it
START=$(now_ms)

case "$ROWS$PROBES" in *[!0-9]*) die "DEMO_ROWS and DEMO_PROBES are numbers" ;; esac

STEPS=$(grep -c '^step ' "$ROOT/tools/demo.sh")
steps=0

step() {
  local ms=$(($(now_ms) - START))

  steps=$((steps + 1))
  printf '\n[%3d.%d s] %d of %d: %s\n' $((ms / 1000)) $((ms % 1000 / 100)) $steps "$STEPS" "$*"
}

stop_demo() {
  local dir=""

  [ ! -e "$STATE" ] || dir=$(cat "$STATE")
  case $dir in
    /tmp/kyrodb-demo.*/*) dir="" ;;
    /tmp/kyrodb-demo.*) ;;
    *) dir="" ;;
  esac
  if [ -n "$dir" ] && [ -d "$dir" ]; then
    [ ! -e "$dir/data/postmaster.pid" ] ||
      as_server "$BIN/pg_ctl" -D "$dir/data" -m fast -w stop >/dev/null || true
    rm -rf "$dir"
    say "demo: stopped and removed the cluster in $dir"
  elif [ "${1:-}" = told ]; then
    say "demo: no cluster is running"
  fi
  rm -f "$STATE"
}

if [ "${1:-}" = stop ]; then
  BIN=$("$PG_CONFIG" --bindir)
  stop_demo told
  exit
fi

# ---------------------------------------------------------------------------
say "demo: takes about two minutes with $((ROWS / 1000000)) million rows, and a few more if packages are to be installed"
step "set-up"
bash tools/setup.sh demo
BIN=$("$PG_CONFIG" --bindir)
stop_demo

step "building and installing the extension"
make -s -j"$(nproc)" -f Makefile.pgxs all
if [ -w "$("$PG_CONFIG" --pkglibdir)" ]; then
  make -s -f Makefile.pgxs install
else
  as_root make -s -f Makefile.pgxs install PG_CONFIG="$PG_CONFIG"
fi
say "installed in $("$PG_CONFIG" --pkglibdir)"

# ---------------------------------------------------------------------------
step "starting a private cluster"
DIR=$(server_tmpdir kyrodb-demo)
mkdir -p "$(dirname "$STATE")"
echo "$DIR" >"$STATE"
cp -r demo "$DIR/sql"           # where the server's user can read it
finished=no
trap '[ $finished = yes ] || stop_demo' EXIT
trap 'exit 130' INT TERM

memory_mb=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo 2>/dev/null || true)
memory_mb=${memory_mb:-2048}
buffers_mb=$((memory_mb / 4 < 1024 ? memory_mb / 4 : 1024))

as_server "$BIN/initdb" -D "$DIR/data" -A trust -U postgres --no-locale -E UTF8 >"$DIR/initdb.log" 2>&1 ||
  { cat "$DIR/initdb.log"; exit 1; }
cat >>"$DIR/data/postgresql.conf" <<EOF
listen_addresses = ''
port = $PORT
unix_socket_directories = '$DIR'
unix_socket_permissions = 0700
shared_preload_libraries = 'kyrodb'
shared_buffers = '${buffers_mb}MB'
maintenance_work_mem = '$((buffers_mb / 2))MB'
max_wal_size = '4GB'
checkpoint_timeout = '30min'
# nothing runs beside what is measured, and both kinds of index are built by one process
autovacuum_naptime = '30min'
max_parallel_maintenance_workers = 0
max_parallel_workers_per_gather = 0
jit = off
timezone = 'UTC'
EOF
as_server "$BIN/pg_ctl" -D "$DIR/data" -l "$DIR/log" -w start >/dev/null ||
  { cat "$DIR/log"; exit 1; }

psql_demo() {
  as_server "$BIN/psql" -h "$DIR" -p $PORT -U postgres -d demo -X -q -v ON_ERROR_STOP=1 "$@"
}
as_server "$BIN/createdb" -h "$DIR" -p $PORT -U postgres demo
psql_demo -f "$DIR/sql/schema.sql"
psql_demo -c 'TABLE kyro.build_info'

# ---------------------------------------------------------------------------
# Names with tabs, line breaks or bytes that are not UTF-8 are left out.
step "table files: every file on this machine (30 seconds at most)"
{
  TZ=UTC timeout 30 find / -xdev -path "$DIR" -prune -o ! -path $'*[\t\n\r]*' \
    -printf '%i\t%TY-%Tm-%Td %TH:%TM:%TS+00\t%s\t%p\n' 2>/dev/null || true
} | sed 's/\\/\\\\/g' | { iconv -c -f UTF-8 -t UTF-8 || true; } |
  awk -F '\t' 'NF == 4' |       # find may be stopped in the middle of a line
  psql_demo -c 'COPY files (inode, mtime, size, path) FROM STDIN'

step "table events: $ROWS rows"
psql_demo -v rows="$ROWS" -f "$DIR/sql/events.sql"
psql_demo -A -t -F ' ' -c "
  SELECT format('%s: %s rows, %s distinct keys of %s, %s', t, n, d, k, s) FROM (
    SELECT 'files' t, count(*) n, count(DISTINCT mtime) d, 'mtime' k,
           pg_size_pretty(pg_table_size('files')) s FROM files
    UNION ALL
    SELECT 'events', count(*), count(DISTINCT id), 'id',
           pg_size_pretty(pg_table_size('events')) FROM events) x"

step "creating a btree and a kyro_rmi index on each"
for column in files.mtime files.inode events.id events.ts; do
  psql_demo -A -t -c "SELECT demo.build('${column%.*}', '${column#*.}')"
done

step "sizes"
psql_demo -c 'TABLE demo.sizes'

step "plans: the same queries through each kind of index"
psql_demo -v rows="$ROWS" -f "$DIR/sql/explain.sql"

step "probes: $PROBES random look-ups by nested loop, median of 3 interleaved runs"
psql_demo -v rows="$ROWS" -v probes="$PROBES" -f "$DIR/sql/probe.sql"

step "a look inside"
psql_demo -v rows="$ROWS" -f "$DIR/sql/inspect.sql"

step "a kyro table: sealed rows beside a heap"
psql_demo -v rows="$ROWS" -v probes="$PROBES" -f "$DIR/sql/store.sql"

# Four clients go by the primary key of events all the time: look-ups, rows that refer to
# it, new ones, upserts.  No transaction may fail.
step "keys: the primary key of events exchanged while pgbench uses it, there and back"
psql_demo -v rows="$ROWS" -f "$DIR/sql/keys.sql"
say "before:"
psql_demo -c 'TABLE demo.keys'
# shellcheck disable=SC2016	# $$ is that of the shell that becomes pgbench
as_server sh -c 'echo $$ >"$1/pgbench.pid"; cd "$1" && shift && exec "$@"' sh "$DIR" \
  "$BIN/pgbench" -n -h "$DIR" -p $PORT -U postgres -c 4 -j 2 -T 3600 -D rows="$ROWS" \
  -l --aggregate-interval=1 -f "$DIR/sql/keys.pgbench" demo >"$DIR/pgbench.out" 2>&1 &
load=$!
for call in "CALL kyro.replace_btree('events_pkey')" "CALL kyro.replace_btree('alarms')"; do
  say "$call"
  psql_demo -c "$call" 2>&1 | sed 's/^psql:[^ ]* //'
done
say "after:"
psql_demo -c 'TABLE demo.keys'
say "and back: CALL kyro.restore_btree('events_pkey')"
psql_demo -c "CALL kyro.restore_btree('events_pkey')" 2>&1 | sed 's/^psql:[^ ]* //'
# as its own timer would, so that it ends what it has begun, and reports
as_server kill -ALRM "$(cat "$DIR/pgbench.pid")"
wait $load || { cat "$DIR/pgbench.out"; die "pgbench failed"; }
if grep -q 'aborted' "$DIR/pgbench.out" || ! grep -q '^number of failed transactions: 0 ' "$DIR/pgbench.out"; then
  cat "$DIR/pgbench.out"
  die "transactions failed while the index was exchanged"
fi
grep -E '^(number of (transactions actually|failed)|latency average)' "$DIR/pgbench.out"
awk '{if ($6 > max) max = $6} END {printf "longest transaction: %.1f ms\n", max / 1000}' "$DIR"/pgbench_log.*
psql_demo -A -t -c "
  SELECT format('%s alarms, %s without an event; kyro.verify finds %s problems', count(*), count(*) FILTER (WHERE e.id IS NULL),
    (SELECT count(*) FROM kyro.verify('alarms_pkey', deep => true)))
  FROM alarms a LEFT JOIN events e ON e.id = a.event"

finished=yes
step "done"
psql=psql
command -v psql >/dev/null || psql=$BIN/psql
as=""
[ "$(id -u)" != 0 ] || [ "$(server_user)" = postgres ] || as="runuser -u $(server_user) -- "
cat <<EOF

The cluster is still running.  Connect with

    $as$psql -h $DIR -p $PORT -U postgres demo

and stop and remove it with

    make demo-stop
EOF
