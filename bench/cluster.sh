# shellcheck shell=bash
# The private cluster that the benchmarks run on, with a private copy of
# PostgreSQL.  To be sourced, under set -e.

. "$(dirname "${BASH_SOURCE[0]}")/../tools/common.sh"
cd "$ROOT" || exit 1
SRC="" BIN="" INSTALL=""

# shellcheck disable=SC2329,SC2317	# called by the trap
bench_cleanup() {
  if [ -n "$BIN" ] && [ -e "$W/data/postmaster.pid" ]; then
    as_server "$BIN/pg_ctl" -D "$W/data" -m immediate -w stop >/dev/null 2>&1 || true
  fi
  rm -rf "$W"
}

# Make W, a directory that goes when the script ends, and in it kyro_datasets.
bench_begin() {
  W=$(server_tmpdir kyrodb-bench)
  trap bench_cleanup EXIT
  trap 'exit 130' INT TERM
  gcc -std=gnu11 -O2 -DDATASETS_MAIN -Isrc -o "$W/kyro_datasets" bench/datasets.c src/model/radix.c -lm
}

# bench_cluster SETTING...: build, make a cluster with these settings besides, start it.
bench_cluster() {
  local memory_mb

  private_copy "$W"
  as_server "$BIN/initdb" -D "$W/data" -A trust -N -U postgres --no-locale -E UTF8 >"$W/initdb.log"
  memory_mb=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
  cat >>"$W/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$W'
shared_preload_libraries = 'kyrodb'
shared_buffers = '$((memory_mb / 3 < 8192 ? memory_mb / 3 : 8192))MB'
maintenance_work_mem = '1GB'
work_mem = '256MB'
max_wal_size = '32GB'
checkpoint_timeout = '1h'
autovacuum = off
kyro.autopilot = off
max_parallel_maintenance_workers = 0
max_parallel_workers_per_gather = 0
jit = off
client_min_messages = warning
CONF
  [ $# = 0 ] || printf '%s\n' "$@" >>"$W/data/postgresql.conf"
  start_server
}

start_server() { as_server "$BIN/pg_ctl" -D "$W/data" -l "$W/log" -w -t 600 start >/dev/null; }
stop_server() { as_server "$BIN/pg_ctl" -D "$W/data" -w -t 600 stop >/dev/null; }

bench_psql() {
  as_server "$BIN/psql" -h "$W" -U postgres -d postgres -X -q -v ON_ERROR_STOP=1 "$@"
}

load() { cut -d ' ' -f 1-3 /proc/loadavg 2>/dev/null || echo unknown; }
load_before=$(load)

# The machine, for the comments of the CSVs.
machine() {
  printf '%s processors (%s), %s MB, Linux %s\n' "$(nproc)" \
    "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)" \
    "$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)" "$(uname -r)"
}

# csv_columns FILE HEADER: begin the CSV, or make sure that it has these columns.
csv_columns() {
  mkdir -p "$(dirname "$1")"
  [ -s "$1" ] || say "$2" >"$1"
  grep -qxF "$2" "$1" || die "$1 has other columns: give another file with -O"
}

# shellcheck disable=SC2034  # for those who source this
INDEX_COLUMNS="time,build,set,heap_order,n,measure,unit,nbtree,kyro_rmi,ratio,kyro_generic,hash,brin"

# append_report CSV COMMENT: what bench.report has.
append_report() {
  local version

  version="kyrodb $(version_of_control) on PostgreSQL $(bench_psql -A -t -c 'SHOW server_version')"
  say "# $2; load $load_before before, $(load) after; $(machine)" >>"$1"
  bench_psql --csv -t -c "SELECT '$(date -u +%FT%TZ)', '$version', r.* FROM bench.report r" >>"$1"
  bench_psql -c "SELECT * FROM bench.report"
  say "bench: appended to $1"
}
