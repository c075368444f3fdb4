#!/bin/bash
#
# check-core.sh
#   Run PostgreSQL's own regression and isolation tests with our access methods, on
#   private clusters.  test/core/README.md says what the modes are and what passes.
#   The last line is "N passed, N failed"; what differs is in build/check-core.
#
#   MODE=...    baseline, kyro, kyro-sealed, kyro-seals, kyro-background, rmi, keys: some of them (default: all)
#   SUITES=...  regress, isolation (default: both)
#   PG_SRC=dir  unpacked source of PostgreSQL; otherwise that of the Debian package
#               is downloaded, once, to ${XDG_CACHE_HOME:-~/.cache}/kyrodb
#   KEEP=1      keep the temporary directory
#   PG_CONFIG, SANITIZE, ASSERTS=0: as for check.sh

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT" || exit 1

ALL_MODES="baseline kyro kyro-sealed kyro-seals kyro-background rmi keys"
MODES=${MODE:-${MODES:-$ALL_MODES}}
SUITES=${SUITES:-regress isolation}
PG_SRC=${PG_SRC:-}
SUITE_TIMEOUT=${SUITE_TIMEOUT:-1800}
LOGS=$ROOT/build/check-core

for mode in $MODES; do
  case " $ALL_MODES " in *" $mode "*) ;; *) die "no mode $mode; there are: $ALL_MODES" ;; esac
done

rm -rf "$LOGS"
mkdir -p "$LOGS" || die "cannot write to $LOGS"

bash tools/setup.sh check || exit 1

# Core's tests are in no binary package.
fetch_source "$LOGS/source.log"
CORE=$PG_SRC/src/test
[ -e "$CORE/regress/parallel_schedule" ] || die "PG_SRC=$PG_SRC is not a source tree of PostgreSQL"
source_version=$(sed -n "s/^PACKAGE_VERSION='\(.*\)'/\1/p" "$PG_SRC/configure")
server_version=$("$PG_CONFIG" --version | sed -n 's/^PostgreSQL \([0-9.]*\).*/\1/p')

# Tests of another minor version do not quite fit: then what a heap does on this
# server is right, too.
if [ "$source_version" != "$server_version" ]; then
  say "check-core: tests of $source_version on a server of $server_version: heap's answers count as right"
  MODES="baseline ${MODES/baseline/}"
fi

# ---------------------------------------------------------------------------

W=$(server_tmpdir kyrodb-core) || die "no temporary directory"
SRC="" INSTALL="" BIN=""         # set by private_copy
mkdir -p "$W/res"
PID=""

# shellcheck disable=SC2329,SC2317	# called by the trap
cleanup() {
  trap '' INT TERM
  [ -z "$PID" ] || kill -- "-$PID" 2>/dev/null
  stop_clusters "$W"
  chmod -R u+rwX,go+rX "$LOGS" 2>/dev/null
  [ "$(id -u)" != 0 ] || chown -R "$(stat -c %u:%g "$ROOT")" "$ROOT/build" 2>/dev/null
  keep_or_remove "$W"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

PKGLIBDIR=$("$PG_CONFIG" --pkglibdir) || die "cannot run $PG_CONFIG"

say "check-core: $("$PG_CONFIG" --version): $MODES"
if ! private_copy "$W" ASSERTS="${ASSERTS:-1}" >"$LOGS/build.log" 2>&1; then
  tail -n 60 "$LOGS/build.log"
  say "check-core: the build failed"
  say "0 passed, 1 failed"
  exit 1
fi
test_environment
# A step that waits although nobody expects it is cancelled after this many seconds.
export PGISOLATIONTIMEOUT=${PGISOLATIONTIMEOUT:-30}

# The libraries that core's tests load, and ours.  The tests find the former
# beside one another, in --dlpath.
DLPATH=$W/lib
build_library() {  # build_library TO FILE.c...
  local to=$1
  shift

  # shellcheck disable=SC2046
  gcc -shared -fPIC -O2 -w -I"$("$PG_CONFIG" --includedir-server)" \
    $("$PG_CONFIG" --cppflags) -DREFINT_VERBOSE -I"$PG_SRC/contrib/spi" -o "$to" "$@" >>"$LOGS/build.log" 2>&1 ||
    { tail -n 20 "$LOGS/build.log"; die "cannot build $(basename "$to")"; }
}
mkdir -p "$DLPATH"
build_library "$DLPATH/regress.so" "$CORE/regress/regress.c"
build_library "$DLPATH/refint.so" "$PG_SRC/contrib/spi/refint.c"
build_library "$DLPATH/autoinc.so" "$PG_SRC/contrib/spi/autoinc.c"
build_library "$INSTALL$PKGLIBDIR/kyro_core_rmi_indexes.so" "$ROOT/test/core/rmi_indexes.c"

# The server's user may not be able to read PG_SRC: copies.
for suite in regress isolation; do
  mkdir -p "$W/core/$suite"
  cp -rL "$CORE/$suite"/*_schedule "$CORE/$suite/expected" "$W/core/$suite/"
done
cp -rL "$CORE/regress/sql" "$CORE/regress/data" "$W/core/regress/"
cp -rL "$CORE/isolation/specs" "$W/core/isolation/"
# these need max_prepared_transactions, and so are in no schedule of core's
printf '%s\n' "test: prepared-transactions" "test: prepared-transactions-cic" \
  >>"$W/core/isolation/isolation_schedule"
cp -r "$W/core" "$W/core-kyro"
cp -r "$W/core" "$W/core-sealed"
# The first block of a kyro table holds no rows: where tests name TIDs, they mean
# the next block.  compare.pl does the reverse with the output.
for t in tidscan tidrangescan combocid; do
  perl test/core/compare.pl --shift "$W/core/regress/sql/$t.sql" >"$W/core-kyro/regress/sql/$t.sql" || die "compare.pl failed"
done
perl test/core/compare.pl --shift "$W/core/isolation/specs/eval-plan-qual.spec" \
  >"$W/core-kyro/isolation/specs/eval-plan-qual.spec" || die "compare.pl failed"
# Rows that transactions of other tests do not see yet stay in the log, where
# CLUSTER does not order them.
sed -i -E 's/^(test:.*) cluster( .*)?$/\1\2\ntest: cluster/' "$W/core-kyro/regress/parallel_schedule" "$W/core-sealed/regress/parallel_schedule"
perl test/core/seal.pl "$W/core/regress/sql" "$W/core-sealed/regress/sql" || die "seal.pl failed"
perl test/core/seal.pl "$W/core/isolation/specs" "$W/core-sealed/isolation/specs" || die "seal.pl failed"
# Those about SERIALIZABLE, with seals between the steps: no regression tests.
mkdir -p "$W/core-seals/isolation/specs" "$W/core-seals/isolation/expected"
perl test/core/serializable.pl specs "$W/core/isolation/specs" "$W/core-seals/isolation/specs" >"$W/core-seals/isolation/names" ||
  die "serializable.pl failed"
sed 's/^/test: /' "$W/core-seals/isolation/names" >"$W/core-seals/isolation/isolation_schedule"
while read -r t; do : >"$W/core-seals/isolation/expected/$t.out"; done <"$W/core-seals/isolation/names"
[ "$(id -u)" != 0 ] || chown -R "$(server_user)" "$W"

# ---------------------------------------------------------------------------

pass() { printf 'ok %s\n' "$*" >>"$RES"; }
fail() { printf 'not ok %s\n' "$*" >>"$RES"; say "FAILED: $*"; }

sql() {  # sql DATABASE ARGUMENT...
  local db=$1
  shift
  as_server "$BIN/psql" -h "$S" -U postgres -d "$db" -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

start_server() {
  as_server "$BIN/pg_ctl" -D "$S/data" -l "$S/server.log" -w -t 600 start >"$S/start.log" 2>&1 ||
    { cat "$S/start.log"; tail -n 30 "$S/server.log"; return 1; }
}

# The database that pg_regress would make, with our additions.
create_database() {  # create_database NAME
  local setting

  sql postgres -c "CREATE DATABASE $1 TEMPLATE template0" || return 1
  for setting in "lc_messages TO 'C'" "lc_monetary TO 'C'" "lc_numeric TO 'C'" "lc_time TO 'C'" \
      "bytea_output TO 'hex'" "timezone_abbreviations TO 'Default'"; do
    sql postgres -c "ALTER DATABASE $1 SET $setting" || return 1
  done
  [ "$mode" = baseline ] || sql "$1" -c "CREATE EXTENSION kyrodb" || return 1
  case $mode in
    kyro*) sql "$1" -c "ALTER DATABASE $1 SET default_table_access_method TO kyro" || return 1 ;;
    keys)  sql "$1" -c "ALTER DATABASE $1 SET kyro.constraint_index_method TO kyro_rmi" || return 1 ;;
  esac
  case $mode in
    kyro-seal*) sql "$1" -f "$SRC/test/core/setup.sql" ;;
  esac
}

# Seals all tables of a database, one batch after the other, again and again, until $S/out/done is there.
# What it is refused it tries again in the next round: tables that are gone, or that somebody else seals or vacuums.
seal_in_background() {  # seal_in_background DATABASE
  local db=$1

  until [ -e "$S/out/done" ]; do
    sql "$db" -v ON_ERROR_STOP=0 >>"$S/background.out" 2>&1 <<'END'
SET lock_timeout = '200ms';
SELECT format('CALL kyro.seal(%s, batch => 500)', c.oid)
  FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname = 'kyro' WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' ORDER BY random() \gexec
END
  done
}

# One suite in one mode, on a cluster of its own.
run_suite() {
  local S=$W/$mode.$suite input=$W/core/$suite program rc line sealer
  local preload="" db=regression

  mkdir -p "$S/out/testtablespace"
  [ "$(id -u)" != 0 ] || chown -R "$(server_user)" "$S"
  case $mode in
    kyro | kyro-background) input=$W/core-kyro/$suite ;;
    kyro-sealed) input=$W/core-sealed/$suite ;;
    kyro-seals)  input=$W/core-seals/$suite ;;
  esac
  [ "$suite" != isolation ] || db=isolation_regression
  case $mode in
    rmi)  preload="kyrodb, kyro_core_rmi_indexes" ;;
    keys) preload=kyrodb ;;
  esac

  as_server "$BIN/initdb" -D "$S/data" -A trust -N -U postgres --no-locale -E UTF8 >"$S/initdb.log" 2>&1 ||
    { cat "$S/initdb.log"; fail "$mode/$suite: initdb"; return; }
  {
    cat "$SRC/test/regress.conf"
    printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$S'" \
      "shared_preload_libraries = '$preload'" \
      "max_prepared_transactions = 10" "max_connections = 60"
  } >>"$S/data/postgresql.conf"
  start_server && create_database $db || { fail "$mode/$suite: no database"; return; }

  case $suite in
    regress)   program=("$PGXS_DIR/src/test/regress/pg_regress" --dlpath="$DLPATH" --max-concurrent-tests=20
                        --schedule="$input/parallel_schedule") ;;
    isolation) program=("$PGXS_DIR/src/test/isolation/pg_isolation_regress" --schedule="$input/isolation_schedule") ;;
  esac
  if [ "$mode" = kyro-background ]; then
    seal_in_background $db &
    sealer=$!
  fi
  as_server timeout -k 10 "$SUITE_TIMEOUT" "${program[@]}" --use-existing --bindir="$BIN" --host="$S" \
    --user=postgres --dbname=$db --inputdir="$input" --outputdir="$S/out" >"$LOGS/$mode/$suite.log" 2>&1
  rc=$?
  if [ "$mode" = kyro-background ]; then
    touch "$S/out/done"
    wait "$sealer"
    cp "$S/background.out" "$LOGS/$mode/$suite.background.out"
    seals_were_sound
  fi
  [ $rc -lt 2 ] || { tail -n 20 "$LOGS/$mode/$suite.log"; fail "$mode/$suite: exit status $rc"; }

  if [ "$mode" = kyro-seals ]; then
    perl "$SRC/test/core/serializable.pl" compare "$W/core/$suite/expected" "$S/out/results" \
      "$W/core-seals/isolation/names" >"$S/compare" 2>&1 || fail "$mode/$suite: an anomaly has passed, or an answer is another"
  else
    perl "$SRC/test/core/compare.pl" "$mode" "$suite" "$W/core/$suite" "$S/out/results" \
      "$SRC/test/core/known.txt" "$LOGS/$mode/$suite" "$LOGS/baseline/$suite/results" >"$S/compare" ||
      fail "$mode/$suite: compare.pl failed"
  fi
  while read -r line; do
    case $line in
      "ok "*)     pass "$mode/$suite/${line#ok }" ;;
      "not ok "*) if [ "$mode" = baseline ] && [ "$source_version" != "$server_version" ]; then
                    say "other version: ${line#not ok }"
                  else
                    fail "$mode/$suite/${line#not ok }"
                  fi ;;
      "# "*)      say "differences: ${line#\# }" ;;
    esac
  done <"$S/compare"
  cp -r "$S/out/results" "$LOGS/$mode/$suite/"

  # a crash of a process is a failure, whatever the output looks like
  if grep -E 'PANIC:|TRAP:|was terminated by signal' "$S/server.log"; then
    fail "$mode/$suite: no process of the server crashed"
  else
    pass "$mode/$suite: no process of the server crashed"
  fi
  [ "$mode" = baseline ] || crash_and_verify
  as_server "$BIN/pg_ctl" -D "$S/data" -m fast -w stop >/dev/null 2>&1
  cp "$S/server.log" "$LOGS/$mode/$suite.server.log"
  [ -n "${KEEP:-}" ] || rm -rf "$S"
}

# How much was sealed in the background, and was it refused for good reasons only?
seals_were_sound() {
  local rows bad

  rows=$(sed -n 's/^NOTICE:  sealed \([0-9]*\) rows .*/\1/p' "$S/background.out" | awk '$1 > 0 { rows += $1; n++ } END { printf "%d rows, tables: %d", rows, n }')
  bad=$(grep -E '^(ERROR|FATAL|PANIC|WARNING|server closed|connection)' "$S/background.out" |
    grep -vE 'there is no relation with OID|could not lock ".*" to seal it within lock_timeout' | sort | uniq -c)
  if [ -z "$bad" ] && [ "$rows" != "0 rows, tables: 0" ]; then
    pass "$mode/$suite: sealed in the background: $rows"
    say "sealed in the background: $rows"
  else
    say "$bad" | head -n 20
    fail "$mode/$suite: sealed in the background: $rows"
  fi
}

# Replay all WAL, comparing pages, and verify every index and table of ours.
crash_and_verify() {
  local db problems objects

  as_server "$BIN/pg_ctl" -D "$S/data" -m immediate -w stop >/dev/null
  if start_server && ! grep -q 'inconsistent page found' "$S/server.log"; then
    pass "$mode/$suite: replay after a crash is consistent"
  else
    fail "$mode/$suite: replay after a crash is consistent"
    return
  fi
  for db in $(sql postgres -c "SELECT datname FROM pg_database WHERE oid >= 16384"); do
    [ "$(sql "$db" -c "SELECT 1 FROM pg_extension WHERE extname = 'kyrodb'")" = 1 ] || continue
    objects=$(sql "$db" -c "SELECT count(*) FROM pg_class c JOIN pg_am a ON a.oid = c.relam
        WHERE a.amname IN ('kyro_rmi', 'kyro') AND c.relkind IN ('i', 'r', 'm')")
    if problems=$(sql "$db" -c "
        SELECT format('%s: block %s: %s', c.oid::regclass, v.block, v.problem)
          FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname IN ('kyro_rmi', 'kyro'),
               LATERAL kyro.verify(c.oid::regclass, deep => true) v
         WHERE c.relkind IN ('i', 'r', 'm') AND c.relpersistence <> 't'" 2>&1) && [ -z "$problems" ]; then
      pass "$mode/$suite: all $objects indexes and kyro tables of $db are sound"
    else
      say "$problems" | tee "$LOGS/$mode/$suite.$db.verify" | head -n 20
      fail "$mode/$suite: all $objects indexes and kyro tables of $db are sound"
    fi
  done
}

# ---------------------------------------------------------------------------

passed=0 failed=0
set -m                          # each run is a process group, see cleanup
for mode in $MODES; do
  for suite in $SUITES; do
    case $mode/$suite in kyro-seals/regress | kyro-background/isolation) continue ;; esac
    mkdir -p "$LOGS/$mode/$suite"
    started=$SECONDS
    RES=$W/res/$mode.$suite
    : >"$RES"
    (trap - EXIT INT TERM; run_suite) >"$LOGS/$mode/$suite.out" 2>&1 </dev/null &
    PID=$!
    wait $PID
    PID=""
    p=$(grep -c '^ok ' "$RES")
    f=$(grep -c '^not ok ' "$RES")
    if [ $((p + f)) = 0 ]; then
      echo "not ok $mode/$suite: nothing was tested" >>"$RES"
      f=1
    fi
    sed 's/^/    /' "$LOGS/$mode/$suite.out"
    printf 'check-core: %-12s %-10s %4d passed %4d failed %5d s\n' "$mode" "$suite" "$p" "$f" $((SECONDS - started))
    passed=$((passed + p)) failed=$((failed + f))
  done
done
set +m

cat "$W"/res/* >"$LOGS/results"
if [ $failed -gt 0 ]; then
  say "check-core: failed; the differences are in build/check-core/MODE/SUITE/TEST.diff:"
  sed -n 's/^not ok /  /p' "$LOGS/results"
fi
say "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
