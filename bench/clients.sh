#!/bin/bash
#
# clients.sh [option...] [SET...]
#   What clients see: pgbench with prepared statements against nbtree and
#   kyro_rmi, on a private cluster with a private copy of PostgreSQL; README.md
#   says what is measured.  SET is dense (serial ids, heap in key order) or
#   uniform (random keys, heap in random order); default both.
#
#   -n N        rows (default 10000000)
#   -t N        seconds of each run of pgbench (default 20)
#   -r N        interleaved runs, of which the median counts (default 3)
#   -c "N..."   numbers of clients (default "1 4 16")
#   -w N        transactions per second of each writer of "tails" (default 200)
#   -s WHAT     any of: clients connects writers tails memory (default all)
#   -O FILE     CSV, appended (default results/index-<date>.csv)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

rows=10000000 seconds=20 rounds=3 clients="1 4 16" rate=200 csv=""
what="clients connects writers tails memory"
command="bench/clients.sh $*"
while getopts n:t:r:c:w:s:O: option; do
  case $option in
    n) rows=$OPTARG ;; t) seconds=$OPTARG ;; r) rounds=$OPTARG ;; c) clients=$OPTARG ;;
    w) rate=$OPTARG ;; s) what=$OPTARG ;; O) csv=$(realpath -m "$OPTARG") ;;
    *) sed -n '3,16s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
sets=("$@")
[ ${#sets[@]} -gt 0 ] || sets=(dense uniform)
case $rows$seconds$rounds${clients// /}$rate in *[!0-9]*) die "-n, -t, -r, -c and -w are numbers" ;; esac
for w in $what "${sets[@]}"; do
  case $w in clients | connects | writers | tails | memory | dense | uniform) ;; *) die "no such measurement or set: $w" ;; esac
done
csv=${csv:-$ROOT/bench/results/index-$(date +%Y-%m-%d).csv}
csv_columns "$csv" "$INDEX_COLUMNS"

say "bench: PostgreSQL and the extension, in a copy"
bench_begin
# a commit does not wait for the disk: it is not the index's
bench_cluster 'synchronous_commit = off'
bench_psql -f "$SRC/bench/cpu.sql" -f "$SRC/bench/measure.sql" -c 'CREATE SEQUENCE bench.new'

# ---------------------------------------------------------------------------
note() { bench_psql -A -t -c "SELECT bench.note('$1', '$2', '$3', $4)" >/dev/null; }

# The k-th key of the set, in SQL.
key() { [ "$set" = dense ] && echo "$1" || echo "hashint8extended($1, 0)"; }

# A table with the index of this variant; its writers have keys of their own.
fill() { # VARIANT
  bench_psql -o /dev/null -c 'SELECT bench.drop_indexes()' -c 'TRUNCATE bench.t' \
    -c "INSERT INTO bench.t SELECT $(key g), g FROM generate_series(1, $rows) g" \
    -c "SELECT bench.create_index('$1')" -c "SELECT setval('bench.new', $rows)" -c 'VACUUM (ANALYZE) bench.t' -c CHECKPOINT
  warm_up
}
warm_up() { bench_psql -o /dev/null -c 'SET enable_seqscan = off' -c 'SELECT count(*) FROM bench.t WHERE k IS NOT NULL'; }

# pgbench ARGUMENT...: prepared statements, quietly
bench_pgbench() {
  as_server "$BIN/pgbench" -h "$W" -U postgres -n -M prepared -D n="$rows" "$@" postgres >"$W/pgbench.out" 2>&1 ||
    { cat "$W/pgbench.out" >&2; die "pgbench failed"; }
}
tps() { sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$W/pgbench.out"; }
clients() { [ "$1" = 1 ] && echo "1 client" || echo "$1 clients"; }
transactions() { sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$W/pgbench.out"; }

make_scripts() {
  as_server mkdir -p "$W/logs"
  printf '%s\n' '\set i random(1, :n)' "SELECT v FROM bench.t WHERE k = $(key :i);" >"$W/uniform.pgbench"
  # pgbench's Zipf; permute() scatters the frequent ones over the keys
  printf '%s\n' '\set i permute(random_zipfian(1, :n, 1.05), :n, 42)' "SELECT v FROM bench.t WHERE k = $(key :i);" >"$W/zipf.pgbench"
  printf '%s\n' "INSERT INTO bench.t SELECT $(key i), i FROM nextval('bench.new') i;" >"$W/insert.pgbench"
  printf '%s\n' '\set i random(1, :n)' "UPDATE bench.t SET v = v + 1 WHERE k = $(key :i);" >"$W/update.pgbench"
  [ "$(id -u)" != 0 ] || chown "$(server_user)" "$W"/*.pgbench
}

# Point reads by 1 to 16 clients.
measure_clients() {
  local round v n mix

  for v in btree kyro_rmi; do
    fill $v
    for ((round = 1; round <= rounds; round++)); do
      for mix in uniform zipf; do
        for n in $clients; do
          bench_pgbench -c "$n" -j "$(((n + 7) / 8))" -T "$seconds" -f "$W/$mix.pgbench"
          note "$mix point reads by $(clients "$n")" tps $v "$(tps)"
        done
      done
    done
  done
}

# Inserts by several clients: at the right end (dense) or anywhere (uniform).
measure_writers() {
  local round v n

  for ((round = 1; round <= rounds; round++)); do
    for v in btree kyro_rmi kyro_generic; do
      fill $v
      for n in 1 2 8; do
        bench_pgbench -c "$n" -T "$seconds" -f "$W/insert.pgbench"
        note "inserts by $(clients "$n")" tps $v "$(tps)"
      done
    done
  done
}

# percentiles BEFORE AFTER VARIANT OPTION...: of the time of point reads by one client;
# the measures are "BEFORE p50AFTER" and so on.
percentiles() {
  local p x n before=$1 after=$2 v=$3
  shift 3

  rm -f "$W"/logs/reader*
  bench_pgbench -c 1 -T "$seconds" -f "$W/uniform.pgbench" -l --log-prefix="$W/logs/reader" "$@"
  cat "$W"/logs/reader* | awk '{print $3}' | sort -n >"$W/times"
  n=$(wc -l <"$W/times")
  for p in 500:p50 990:p99 999:p99.9; do
    x=$(sed -n "$((n * ${p%:*} / 1000 + 1))p" "$W/times")
    note "$before ${p#*:}$after" us "$v" "${x:-NULL}"
  done
}

# The first point read of a session, which fills the session's caches: one for each
# connection, whose making does not count.
measure_connects() {
  local round v

  for ((round = 1; round <= rounds; round++)); do
    for v in btree kyro_rmi; do
      fill $v
      [ $v = btree ] || bench_psql -o /dev/null -c "SELECT kyro.warmup('bench.t_$v')"
      percentiles "first point read of a session" "" $v -C
    done
  done
}

# Point reads by one client while nothing else goes on, while two writers do
# (one inserts, one updates), and while the index is built anew besides: again
# and again, until the reader is done.
measure_tails() {
  local round v w writers rebuilder rebuild

  for ((round = 1; round <= rounds; round++)); do
    for v in btree kyro_rmi; do
      case $v in
        btree) rebuild='REINDEX INDEX CONCURRENTLY bench.t_btree' ;;
        kyro_rmi) rebuild="SELECT kyro.rebuild('bench.t_kyro_rmi')" ;;
      esac
      fill $v
      percentiles "point read" ", idle" $v
      writers=()
      for w in insert update; do
        as_server "$BIN/pgbench" -h "$W" -U postgres -n -M prepared -D n="$rows" -c 1 -R "$rate" -T 3600 \
          -f "$W/$w.pgbench" postgres >/dev/null 2>&1 &
        writers+=($!)
      done
      percentiles "point read" ", 2 writers" $v
      : >"$W/rebuilds"
      (while [ -e "$W/rebuilds" ]; do
        bench_psql -o /dev/null -c "$rebuild" || exit
        echo >>"$W/rebuilds.$v"
      done) &
      rebuilder=$!
      percentiles "point read" ", 2 writers and rebuild" $v
      rm "$W/rebuilds"
      wait "$rebuilder" || die "failed: $rebuild"
      # the writers end with their connections
      bench_psql -o /dev/null -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'"
      wait "${writers[@]}" || true
      say "bench: $set: tails: $v: $(wc -l <"$W/rebuilds.$v") rebuilds so far"
    done
  done
  bench_psql -c "INSERT INTO bench.result (set, heap_order, n, measure, unit, variant, value)
    SELECT b.set, b.heap_order, b.n, replace(b.measure, ', 2', ' over idle, 2'), 'x', variant, b.value / i.value
    FROM bench.median b JOIN bench.median i USING (set, heap_order, n, variant)
    WHERE b.set = '$set' AND b.measure LIKE 'point read p%, 2%' AND i.measure = regexp_replace(b.measure, ',.*', ', idle')"
}

# Shared buffers a quarter of table and btree: what a smaller index leaves to
# the rows.  The system's cache still has all, so the time says little.  Nor does
# the hit ratio say much: most of a btree's hits are its upper pages.  What a
# look-up has to read does.
measure_memory() {
  local round v mix mb measure
  local statio="(SELECT heap_blks_hit + idx_blks_hit AS hit, heap_blks_read + idx_blks_read AS read
    FROM pg_statio_user_tables WHERE relid = 'bench.t'::regclass) s"

  fill btree
  mb=$(bench_psql -A -t -c "SELECT greatest(pg_total_relation_size('bench.t') / 4 / 1048576, 1)")
  bench_psql -c "ALTER SYSTEM SET shared_buffers = '${mb}MB'"
  for v in btree kyro_rmi; do
    [ $v = btree ] || fill $v
    stop_server
    start_server
    for ((round = 1; round <= rounds; round++)); do
      for mix in uniform zipf; do
        bench_pgbench -c 2 -T $((seconds > 20 ? seconds : 20)) -f "$W/$mix.pgbench" # fills the buffers
        bench_psql -o /dev/null -c "SELECT pg_stat_reset()"
        bench_pgbench -c 2 -T "$seconds" -f "$W/$mix.pgbench"
        measure="$mix point reads, shared_buffers a quarter of table and btree"
        note "$measure" tps $v "$(tps)"
        note "$measure" "hit ratio" $v "(SELECT hit::float8 / (hit + read) FROM $statio)"
        note "$measure" "blocks read" $v "(SELECT read::float8 / $(transactions) FROM $statio)"
      done
    done
  done
  bench_psql -c 'ALTER SYSTEM RESET shared_buffers'
  stop_server
  start_server
}

# ---------------------------------------------------------------------------
for set in "${sets[@]}"; do
  make_scripts
  bench_psql -c 'TRUNCATE bench.param' -c "INSERT INTO bench.param
    VALUES ('$set', '$([ "$set" = dense ] && echo key || echo random)', $rows, $rounds, 0, 90, '{}')"
  for w in clients connects writers tails memory; do
    case " $what " in
      *" $w "*)
        say "bench: $set: $w, load $(load)"
        "measure_$w"
        ;;
    esac
  done
done
append_report "$csv" "$command; $seconds s each, $rounds rounds"
