#!/bin/bash
#
# check-core.sh
#   Run PostgreSQL's own regression and isolation tests with kyro tables.  The
#   tests come from the server's source package; nothing of them is kept.
#
#   MODES="heap kyro sealed isolation"   which of
#       heap       regression tests as they are: what differs here differs for
#                  reasons of the environment, and is not counted below
#       kyro       regression tests, default_table_access_method = kyro
#       sealed     the same, while another session seals all tables all the time
#       isolation  isolation tests, default_table_access_method = kyro
#   PG_SRC=dir     an unpacked source of the same major version; else it is
#                  fetched with apt-get source into ~/.cache/kyrodb
#   KEEP=1         keep the temporary directory
#
#   A test whose output differs fails unless test/core/known.txt lists it with
#   the reason.  Differences are left in build/check-core.  The last line is
#   "N passed, N failed".

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT" || exit 1

MODES=${MODES:-heap kyro sealed isolation}
LOGS=$ROOT/build/check-core
KNOWN=$ROOT/test/core/known.txt

bash tools/setup.sh check || exit 1
rm -rf "$LOGS"
mkdir -p "$LOGS"

# ---------------------------------------------------------------------------
# The source.
if [ -z "${PG_SRC:-}" ]; then
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/kyrodb
  mkdir -p "$cache"
  PG_SRC=$(find "$cache" -maxdepth 1 -type d -name 'postgresql-15-*' | sort | tail -n 1)
  if [ -z "$PG_SRC" ]; then
    say "check-core: fetching the source of PostgreSQL"
    command -v dpkg-source >/dev/null ||
      as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends install dpkg-dev >/dev/null ||
      die "cannot install dpkg-dev"
    (cd "$cache" && apt-get -q source postgresql-15 >"$LOGS/source.log" 2>&1) ||
      { tail -n 5 "$LOGS/source.log"; die "cannot fetch the source: is there a deb-src entry? Or set PG_SRC"; }
    PG_SRC=$(find "$cache" -maxdepth 1 -type d -name 'postgresql-15-*' | sort | tail -n 1)
  fi
fi
[ -e "$PG_SRC/src/test/regress/parallel_schedule" ] || die "no regression tests in $PG_SRC"

# ---------------------------------------------------------------------------
W=$(server_tmpdir kyrodb-core) || die "no temporary directory"
SRC="" INSTALL="" BIN=""         # set by private_copy
# shellcheck disable=SC2329,SC2317	# called by the trap
cleanup() {
  touch "$W/stop" 2>/dev/null
  [ ! -e "$W/data/postmaster.pid" ] || as_server "$BIN/pg_ctl" -D "$W/data" -m immediate -w stop >/dev/null 2>&1
  cp -r "$W/out/." "$LOGS/" 2>/dev/null
  [ -n "${KEEP:-}" ] || rm -rf "$W"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

PGXS_DIR=$(cd "$(dirname "$("$PG_CONFIG" --pgxs)")/../.." && pwd)
say "check-core: $("$PG_CONFIG" --version), tests of $(basename "$PG_SRC")"
private_copy "$W" ASSERTS=1 >"$LOGS/build.log" 2>&1 || { tail -n 30 "$LOGS/build.log"; die "the build failed"; }

# The C functions of the tests, and the tests where the server's user can read them.
mkdir -p "$W/lib" "$W/out"
cp -r "$PG_SRC/src/test/regress" "$PG_SRC/src/test/isolation" "$W/lib/"
include=$("$PG_CONFIG" --includedir-server)
for file in "$PG_SRC/src/test/regress/regress.c" "$PG_SRC/contrib/spi/autoinc.c" "$PG_SRC/contrib/spi/refint.c"; do
  gcc -shared -fPIC -O1 -w -I"$include" -o "$W/lib/regress/$(basename "$file" .c).so" "$file" ||
    die "cannot compile $(basename "$file")"
done
[ "$(id -u)" != 0 ] || chown -R "$(server_user)" "$W"

as_server "$BIN/initdb" -D "$W/data" -A trust -N -U postgres --no-locale -E UTF8 >"$LOGS/initdb.log" 2>&1 || die "initdb failed"
cat >>"$W/data/postgresql.conf" <<END
listen_addresses = ''
unix_socket_directories = '$W'
shared_preload_libraries = 'kyrodb'
max_prepared_transactions = 10
END
as_server "$BIN/pg_ctl" -D "$W/data" -l "$W/out/server.log" -w start >/dev/null || { tail "$W/out/server.log"; die "no server"; }

psql_core() { as_server "$BIN/psql" -h "$W" -U postgres -X -q -At "$@"; }

# A database in which every new table is of this access method.
new_database() {
  local name=$1 am=$2 setting

  psql_core -d postgres -c "CREATE DATABASE $name TEMPLATE template0"
  psql_core -d "$name" -c "CREATE EXTENSION kyrodb"
  for setting in "lc_messages TO 'C'" "lc_monetary TO 'C'" "lc_numeric TO 'C'" "lc_time TO 'C'" \
    "bytea_output TO 'hex'" "timezone_abbreviations TO 'Default'" "default_table_access_method TO $am"; do
    psql_core -d "$name" -c "ALTER DATABASE $name SET $setting"
  done
}

# What tests leave outside their database.
drop_leftovers() {
  local role

  psql_core -d postgres -c "DROP DATABASE $1" >/dev/null
  psql_core -d postgres -c "DROP TABLESPACE IF EXISTS regress_tblspace" >/dev/null 2>&1
  psql_core -d postgres -c "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname LIKE 'regress%'" |
    while read -r role; do
      psql_core -d postgres -c "DROP ROLE $role" >/dev/null 2>&1
    done
}

# Seal every table of a database, again and again.
seal_all() {
  while [ ! -e "$W/stop" ]; do
    psql_core -d "$1" >/dev/null 2>&1 <<'END'
SET lock_timeout = '30ms';
SELECT format('SELECT kyro.snapshot(%s)', c.oid)
	FROM pg_class c JOIN pg_am a ON a.oid = c.relam
	WHERE a.amname = 'kyro' AND c.relkind IN ('r', 'm') AND c.relpersistence <> 't' \gexec
END
    sleep 0.1
  done
}

passed=0 failed=0
: >"$W/environment"
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); say "FAILED: $*"; }

run_mode() {
  local mode=$1 am=kyro suite=regress program=$PGXS_DIR/src/test/regress/pg_regress schedule=parallel_schedule database=regression
  local out=$W/out/$mode status name known=0 log

  if [ "$mode" = isolation ]; then
    suite=isolation program=$PGXS_DIR/src/test/isolation/pg_isolation_regress
    schedule=isolation_schedule database=isolation_regression
  fi
  [ "$mode" != heap ] || am=heap
  as_server mkdir -p "$out/sql" "$out/expected" "$out/testtablespace"
  new_database $database $am
  rm -f "$W/stop"
  [ "$mode" != sealed ] || seal_all $database &
  log=$out/log
  (cd "$out" && as_server env PGTZ=PST8PDT PGDATESTYLE="Postgres, MDY" "$program" --use-existing --bindir="$BIN" \
    --dlpath="$W/lib/$suite" --inputdir="$W/lib/$suite" --outputdir="$out" --host="$W" --user=postgres \
    --dbname=$database --max-concurrent-tests=20 --schedule="$W/lib/$suite/$schedule") >"$log" 2>&1
  touch "$W/stop"
  wait

  # "test name ... ok 5 ms", with or without the word test
  while read -r name status; do
    if [ "$status" = ok ]; then
      ok
    elif [ "$mode" = heap ]; then
      echo "$name" >>"$W/environment"
    elif [ $suite = regress ] && grep -qx "$name" "$W/environment"; then
      known=$((known + 1))
    elif grep -q "^$mode[[:space:]]\+$name[[:space:]]" "$KNOWN"; then
      known=$((known + 1))
      ok
    else
      bad "$mode: $name differs, see build/check-core/$mode/regression.diffs"
    fi
  done < <(sed -n -E 's/^(test)? +([a-z0-9_.-]+) +\.\.\. (ok|FAILED|failed).*/\2 \3/p' "$log")
  grep -qE '\.\.\. ok' "$log" || { tail -n 5 "$log"; bad "$mode: nothing ran"; }

  if [ "$mode" = sealed ]; then
    say "check-core: sealed: $(psql_core -d $database -c \
      "SELECT format('%s tables, %s rows in %s seals', count(*), sum(rows_sealed), sum(seals)) FROM kyro.stat_tables")"
  fi
  if [ -z "$(psql_core -d $database -c "
      SELECT c.oid::regclass, v.block, v.problem
        FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname = 'kyro',
             LATERAL kyro.verify(c.oid, deep => true) v
       WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'" 2>&1 | tee "$out/verify")" ]; then
    ok
  else
    head -n 5 "$out/verify"
    bad "$mode: kyro.verify"
  fi
  if grep -qE 'TRAP|PANIC|terminated by signal' "$W/out/server.log"; then
    grep -E 'TRAP|PANIC|terminated by signal' "$W/out/server.log" | head -n 3
    bad "$mode: the server crashed"
  fi
  [ "$mode" != heap ] || say "check-core: heap: these tests differ in this environment:" $(cat "$W/environment")
  say "check-core: $mode: $known known differences"
  drop_leftovers $database
}

for mode in $MODES; do
  case $mode in
    heap | kyro | sealed | isolation) run_mode "$mode" ;;
    *) die "no mode $mode" ;;
  esac
done
say "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
