#!/bin/bash
#
# crashloop.sh
#   A long run of test/t/011_store_crash.pl: a kyro table and its heap twin
#   under random load, the server killed again and again, and compared after
#   each recovery.  On a private copy of PostgreSQL, with assertions, as make
#   check.  Each seed is a cluster of its own.  The last line is what was done;
#   the first failure ends it and keeps the cluster.
#
#   SEEDS=n        clusters (default 10; 0: until stopped)
#   ROUNDS=n       crashes of each (default 10)
#   SECONDS_MAX=n  of load before a crash at most (default 20)
#   SEED=n         the first seed (default: of the day); odd and even differ in full_page_writes
#   TEST=name      another test that heeds KYRO_ROUNDS and KYRO_SECONDS (default 011_store_crash)

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT" || exit 1

SEEDS=${SEEDS:-10}
ROUNDS=${ROUNDS:-10}
SECONDS_MAX=${SECONDS_MAX:-20}
SEED=${SEED:-$(date +%Y%m%d)}
TEST=${TEST:-011_store_crash}

bash tools/setup.sh check || exit 1
W=$(server_tmpdir kyrodb-crashloop) || die "no temporary directory"
SRC="" INSTALL="" BIN=""         # set by private_copy
PROVE_PID=""
failed=0

# shellcheck disable=SC2329,SC2317	# called by the trap
cleanup() {
  trap '' INT TERM
  if [ -n "$PROVE_PID" ]; then
    kill -- "-$PROVE_PID" 2>/dev/null
    wait "$PROVE_PID" 2>/dev/null
  fi
  find "$W" -name postmaster.pid 2>/dev/null | while read -r pidfile; do
    as_server "$BIN/pg_ctl" -D "$(dirname "$pidfile")" -m immediate -w stop >/dev/null 2>&1
  done
  if [ $failed = 0 ]; then
    rm -rf "$W"
  else
    say "crashloop: kept: $W"
  fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say "crashloop: $("$PG_CONFIG" --version), building with assertions"
private_copy "$W" ASSERTS=1 DEBUG_POINTS=1 >"$W/build.log" 2>&1 || { tail -n 60 "$W/build.log"; failed=1; exit 1; }
PGXS_DIR=$(cd "$(dirname "$("$PG_CONFIG" --pgxs)")/../.." && pwd)
export PATH=$BIN:$PATH HOME=$W
export PG_REGRESS=$PGXS_DIR/src/test/regress/pg_regress

crashes=0 statements=0 n=0
while [ "$SEEDS" = 0 ] || [ $n -lt "$SEEDS" ]; do
  seed=$((SEED + n))
  dir=$W/seed-$seed
  # in a process group of its own, so that it can be stopped with all it started
  # shellcheck disable=SC2046
  set -m
  as_server env KYRO_SEED=$seed KYRO_ROUNDS="$ROUNDS" KYRO_SECONDS="$SECONDS_MAX" \
    $(tap_env "$dir") TEMP_CONFIG="$SRC/test/regress.conf" top_builddir="$W" \
    prove --verbose -I "$PGXS_DIR/src/test/perl" -I "$SRC/test/perl" "$SRC/test/t/$TEST.pl" >"$dir.log" 2>&1 &
  PROVE_PID=$!
  set +m
  wait $PROVE_PID
  rc=$?
  PROVE_PID=""
  done_now=$(sed -n -E 's/.*# (([0-9]+) crashes, )?([0-9]+) statements for both.*/\2 \3/p' "$dir.log" | tail -n 1)
  read -r c s <<<"${done_now/#  /0 }"
  crashes=$((crashes + ${c:-0})) statements=$((statements + ${s:-0})) n=$((n + 1))
  if [ $rc != 0 ]; then
    failed=1
    grep -a -A 30 -E '^# +Failed test|^Bailout' "$dir.log" | cut -c1-300 | head -n 80
    say "crashloop: seed $seed failed, log in $dir.log"
    break
  fi
  say "crashloop: seed $seed passed; $crashes crashes, $statements statements for both, $SECONDS s so far"
  rm -rf "$dir"
done
say "$n seeds, $crashes crashes, $statements statements for both in $SECONDS s, $((failed == 0 ? n : n - 1)) passed, $failed failed"
[ $failed = 0 ]
