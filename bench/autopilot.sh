#!/bin/bash
#
# autopilot.sh [option...]
#   What the autopilot costs: processor time of all processes of a server with many databases and
#   indexes, with the autopilot and without it, while nothing is written, and while a row is written in every
#   database once in each naptime.  A naptime is a second here and a minute by default, so
#   a minute shows what goes on in an hour; what is said is the part of a processor with a naptime of a minute.
#   And look-ups of clients while a database's index is retrained and its table sealed, again
#   and again, against those of the same clients with nothing of it: p50 and p99.
#
#   -d N    databases (default 20)
#   -i N    indexes in each (default 250)
#   -t N    seconds of each measurement (default 120)
#   -c N    clients of the second part (default 1)
#   -R N    look-ups a second, altogether (default 200)
#   -p PART idle or tails (default both)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

databases=20 indexes=250 seconds=120 clients=1 rate=200 part="idle tails"
while getopts d:i:t:c:R:p: option; do
  case $option in
    d) databases=$OPTARG ;; i) indexes=$OPTARG ;; t) seconds=$OPTARG ;; c) clients=$OPTARG ;; R) rate=$OPTARG ;; p) part=$OPTARG ;;
    *) sed -n '3,18s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done

bench_begin
bench_cluster "kyro.autopilot_naptime = 1s" "kyro.retrain_threshold = 5" "kyro.retrain_scale_factor = 0" "max_worker_processes = 16"
say "$(machine)"

setting() {
  echo "$1" >>"$W/data/postgresql.conf"
  as_server "$BIN/pg_ctl" -D "$W/data" reload >/dev/null
}

sql_in() { as_server "$BIN/psql" -h "$W" -U postgres -d "$1" -X -q -v ON_ERROR_STOP=1 -c "$2"; }

# Clock ticks of the server's processes, those that have ended included.
ticks() {
  local pid postmaster

  postmaster=$(head -n 1 "$W/data/postmaster.pid")
  {
    # utime stime cutime cstime of the postmaster, utime stime of its children
    sed 's/.*) //' "/proc/$postmaster/stat" | awk '{print $12 + $13 + $14 + $15}'
    for pid in $(pgrep -P "$postmaster"); do
      sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | awk '{print $12 + $13}'
    done
  } | awk '{n += $1} END {print n}'
}

# spent SECONDS COMMAND...: ticks of the server in so many seconds, while a command is run each second
spent() {
  local until before

  until=$((SECONDS + $1))
  shift
  before=$(ticks)
  while [ $SECONDS -lt "$until" ]; do
    [ $# = 0 ] || "$@"
    sleep 1
  done
  echo $(($(ticks) - before))
}

# A session in each database adds a row; what that costs is measured without the autopilot, too.
write_rows() {
  local i
  for i in $(seq 1 "$databases"); do
    sql_in "d$i" 'INSERT INTO t0 VALUES (0)'
  done
}

if [[ $part == *idle* ]]; then
  say "$databases databases, $indexes indexes in each; $seconds s"
  bench_psql -c 'CREATE DATABASE d1'
  sql_in d1 "CREATE EXTENSION kyrodb;
    DO \$\$ BEGIN FOR i IN 0..$indexes - 1 LOOP EXECUTE format('CREATE TABLE t%s AS SELECT g::bigint AS k FROM generate_series(1, 300) g', i); EXECUTE format('CREATE INDEX ON t%s USING kyro_rmi (k)', i); END LOOP; END \$\$"
  for i in $(seq 2 "$databases"); do
    bench_psql -c "CREATE DATABASE d$i TEMPLATE d1"
  done
  bench_psql -c CHECKPOINT
  for what in rest writes; do
    [ $what = rest ] && command="" || command=write_rows
    declare -A found
    for autopilot in off on; do
      setting "kyro.autopilot = $autopilot"
      # the first visit of all databases
      sleep $((databases / 2 + 10))
      # shellcheck disable=SC2086
      found[$autopilot]=$(spent "$seconds" $command)
    done
    awk -v on="${found[on]}" -v off="${found[off]}" -v hz="$(getconf CLK_TCK)" -v s="$seconds" -v what="$what" 'BEGIN {
      printf "%s: %.2f s of %d with the autopilot, %.2f without; with a naptime of a minute %.4f %% of a processor\n", what, on / hz, s, off / hz, (on - off) / hz / s / 60 * 100 }'
  done
  setting "kyro.autopilot = off"
fi

if [[ $part == *tails* ]]; then
  # keys and rows at the pace of an application that is not at its limit; what the autopilot does meanwhile is throttled as by default
  say "look-ups: $clients clients, $rate a second; $seconds s each"
  bench_psql -c "CREATE EXTENSION kyrodb; CREATE TABLE r (k bigint NOT NULL, v bigint); INSERT INTO r SELECT hashint8(g)::bigint * 1000, g FROM generate_series(1, 2000000) g;
    CREATE INDEX r_k ON r USING kyro_rmi (k); CREATE TABLE s (id bigint NOT NULL, v text) USING kyro;
    INSERT INTO s SELECT g, md5(g::text) FROM generate_series(1, 1000000) g; CREATE INDEX s_id ON s USING kyro_rmi (id);
    SELECT kyro.set_policy('s', seal_rows => 20000, batch => 10000)" -c 'VACUUM ANALYZE'
  cat >"$W/read.sql" <<'SQL'
\set x random(1, 2000000)
SELECT v FROM r WHERE k = hashint8(:x)::bigint * 1000;
SELECT v FROM s WHERE id = :x;
SQL
  # what makes work for the autopilot goes on in both cases
  cat >"$W/write.sql" <<'SQL'
\set x random(1, 1000000000)
INSERT INTO r SELECT (hashint8(:x + g)::bigint % 3000000) * 1000 + 1, g FROM generate_series(1, 200) g;
INSERT INTO s SELECT 1000000000 + :x + g, 'v' FROM generate_series(1, 1000) g;
SQL
  chmod a+r "$W"/*.sql
  # quantiles LOG...: of transactions, in microseconds, from their start, not from when they were due
  quantiles() { cat "$@" | awk '{print $3 - $7}' | sort -n | awk '{t[NR] = $1} END {printf "%d %d %d", t[int(NR * 0.5) + 1], t[int(NR * 0.99) + 1], NR}'; }
  declare -A p
  for round in 1 2 3; do
    for autopilot in off on; do
      setting "kyro.autopilot = $autopilot"
      sleep 3
      as_server bash -c "cd '$W' && '$BIN/pgbench' -h '$W' -U postgres -n -M prepared -T $seconds -c 1 -R 4 -f write.sql postgres >/dev/null 2>&1 & cd '$W' &&
        '$BIN/pgbench' -h '$W' -U postgres -n -M prepared -T $seconds -c $clients -R $rate -l --log-prefix='tail.$round.$autopilot' -f read.sql postgres >'$W/bench.log' 2>&1; wait"
      p[$round$autopilot]=$(quantiles "$W"/tail."$round"."$autopilot".*)
      say "round $round, autopilot $autopilot: p50 and p99 of a transaction of two look-ups (us), number: ${p[$round$autopilot]}"
    done
  done
  bench_psql -c "SELECT action, count(*), max(result) FROM kyro.stat_worker GROUP BY 1" -c "SELECT count(*) AS retrained FROM kyro.model_history('r_k') WHERE reason = 'autopilot'" -c "SELECT runs, sealed_rows FROM kyro.stat_tables WHERE relname = 's'"
  for round in 1 2 3; do
    say "$(echo "${p[${round}on]} ${p[${round}off]}" | awk '{printf "p99 with the autopilot / without: %.2f; p50: %.2f", $2 / $5, $1 / $4}')"
  done
fi
say "load $load_before before, $(load) after"
