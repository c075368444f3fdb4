#!/bin/bash
#
# check-load.sh
#   The tests under load (test/t/03*.pl), for longer than in make check: many
#   clients, growth, full disks, little memory, cancels.  On a private copy of
#   PostgreSQL, with assertions, as make check.  The last line counts the tests;
#   what failed is kept.
#
#   LOAD_SECONDS=n  of load in each (default 60)
#   SEED=n          of the random choices (default: of the day)
#   TESTS="..."     some of them (default: all)
#   RELEASE=1       a build as it is installed, without assertions

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT" || exit 1

LOAD_SECONDS=${LOAD_SECONDS:-60}
SEED=${SEED:-$(date +%Y%m%d)}
TESTS=${TESTS:-$(cd test/t && ls 03*.pl | sed 's/\.pl$//')}

bash tools/setup.sh check || exit 1
W=$(server_tmpdir kyrodb-load) || die "no temporary directory"
SRC="" INSTALL="" BIN=""         # set by private_copy
PROVE_PID=""
passed=0 failed=0

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
    say "check-load: kept: $W"
  fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

if [ -n "${RELEASE:-}" ]; then
  flags=""
else
  flags="ASSERTS=1 DEBUG_POINTS=1"
fi
say "check-load: $("$PG_CONFIG" --version), building ${flags:-as it is installed}"
# shellcheck disable=SC2086
private_copy "$W" $flags >"$W/build.log" 2>&1 || { tail -n 60 "$W/build.log"; failed=1; exit 1; }
PGXS_DIR=$(cd "$(dirname "$("$PG_CONFIG" --pgxs)")/../.." && pwd)
export PATH=$BIN:$PATH HOME=$W
export PG_REGRESS=$PGXS_DIR/src/test/regress/pg_regress

for t in $TESTS; do
  dir=$W/$t start=$SECONDS
  as_server mkdir -p "$dir"
  # in a process group of its own, so that it can be stopped with all it started
  set -m
  as_server env KYRO_SEED="$SEED" KYRO_LOAD_SECONDS="$LOAD_SECONDS" \
    TESTDIR="$dir" TEMP_CONFIG="$SRC/test/regress.conf" top_builddir="$W" \
    prove --verbose -I "$PGXS_DIR/src/test/perl" -I "$SRC/test/perl" "$SRC/test/t/$t.pl" >"$dir.log" 2>&1 &
  PROVE_PID=$!
  set +m
  wait $PROVE_PID
  rc=$?
  PROVE_PID=""
  if [ $rc = 0 ]; then
    passed=$((passed + 1))
    say "check-load: $t passed in $((SECONDS - start)) s"
    rm -rf "$dir"
  else
    failed=$((failed + 1))
    grep -a -A 30 -E '^# +Failed test|^Bailout' "$dir.log" | cut -c1-300 | head -n 80
    say "check-load: $t failed, log in $dir.log"
  fi
done
say "$passed passed, $failed failed, seed $SEED, $LOAD_SECONDS s of load each, $SECONDS s in all"
[ $failed = 0 ]
