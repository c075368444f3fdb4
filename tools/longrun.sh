#!/bin/bash
#
# longrun.sh crashes|operations|statements|tests
#   Run randomised TAP tests with one seed after the other, each on a cluster of
#   its own, on a private copy of PostgreSQL, until enough was done: crashes of a loaded server
#   (make crashloop: test/t/rmi_crash.pl and store_crash.pl), or row operations compared
#   with a btree (make soak: test/t/both_soak.pl), or random SQL statements compared with a heap
#   (make fuzz-sql: test/t/both_sql_fuzz.pl); or the tests under load once, for longer than
#   make check runs them (make check-load: load, growth, full disks, little memory, cancels).  The last line
#   is what was done; a failure ends it, keeps the cluster, and names the seed to try again with.
#
#   CRASHES=n      how many (default 500; 0: until stopped)
#   OPERATIONS=n   how many (default 100000000; 0: until stopped)
#   STATEMENTS=n   how many (default 0: until stopped)
#   SEED=n         the first seed (default: of the day)
#   LOAD_SECONDS=n of load in each of the tests under load (default 60)
#   TESTS="..."    of these tests only some
#   JOBS=n         seeds at once (default 1)
#   RELEASE=1      build as make does, instead of with assertions
#   ROUNDS=n, SECONDS_MAX=n   crashes of each seed, load before one at most (default 10 each)
#   CHUNK=n        operations (default 2000000) or statements (12000) of each seed

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT" || exit 1

UNIT=${1:-}
case $UNIT in
  crashes) TARGET=${CRASHES:-500} TESTS=${TESTS:-rmi_crash store_crash} ;;
  operations) TARGET=${OPERATIONS:-100000000} TESTS=${TESTS:-both_soak} ;;
  statements) TARGET=${STATEMENTS:-0} TESTS=${TESTS:-both_sql_fuzz} CHUNK=${CHUNK:-12000} ;;
  tests) TESTS=${TESTS:-both_load both_growth both_disk_full both_memory both_cancel}
         TARGET=$(wc -w <<<"$TESTS") ;;
  *) die "crashes, operations, statements or tests?" ;;
esac
SEED=${SEED:-$(date +%Y%m%d)}
JOBS=${JOBS:-1}
FLAGS="ASSERTS=1 DEBUG_POINTS=1"
[ -z "${RELEASE:-}" ] || FLAGS=""

bash tools/setup.sh check || exit 1
W=$(server_tmpdir kyrodb-longrun) || die "no temporary directory"
SRC="" BIN=""                    # set by private_copy
declare -A RUNNING=()            # process group: test and seed
failed=""

# shellcheck disable=SC2329,SC2317	# called by the trap
cleanup() {
  local pid

  trap '' INT TERM
  for pid in "${!RUNNING[@]}"; do
    kill -- "-$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
  done
  stop_clusters "$W"
  if [ -z "$failed" ]; then
    rm -rf "$W"
  else
    say "longrun: kept: $W"
  fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say "longrun: $("$PG_CONFIG" --version), make $FLAGS"
# shellcheck disable=SC2086
private_copy "$W" $FLAGS >"$W/build.log" 2>&1 || { tail -n 60 "$W/build.log"; exit 1; }
test_environment

# In a process group of its own, so that it can be stopped with all it started.
start() {  # start TEST SEED
  local dir=$W/$1-$2

  set -m
  run_tap "$dir" "$SRC/test/t/$1.pl" env KYRO_SEED="$2" KYRO_ROUNDS="${ROUNDS:-10}" KYRO_SECONDS="${SECONDS_MAX:-10}" \
    KYRO_OPERATIONS="${CHUNK:-2000000}" KYRO_STATEMENTS="${CHUNK:-12000}" KYRO_LOAD_SECONDS="${LOAD_SECONDS:-60}" >"$dir.log" 2>&1 &
  set +m
  RUNNING[$!]="$1-$2"
}

finish_one() {
  local pid rc name did

  wait -n -p pid "${!RUNNING[@]}"
  rc=$?
  name=${RUNNING[$pid]}
  unset "RUNNING[$pid]"
  did=$(sed -n -E "s/^# ([0-9]+) $UNIT.*/\1/p" "$W/$name.log" | tail -n 1)
  [ "$UNIT" != tests ] || did=1
  sum=$((sum + ${did:-0}))
  if [ $rc = 0 ] && [ -n "$did" ]; then
    passed=$((passed + 1))
    say "longrun: $(date +%T) $name passed, $SECONDS s, $sum $UNIT so far: $(sed -n -E "s/^# ([0-9]+ $UNIT.*)/\1/p" "$W/$name.log" | tail -n 1)"
    rm -rf "${W:?}/$name" "$W/$name.log"
  else
    failed="$failed $name"
    grep -a -A 30 -E '^# +Failed test|^Bailout' "$W/$name.log" | cut -c1-300 | head -n 80
    say "longrun: $name failed, log in $W/$name.log; again with SEED=${name##*-} TESTS=${name%-*}"
  fi
}

sum=0 passed=0 n=0
read -r -a tests <<<"$TESTS"
while [ -z "$failed" ] && { [ "$TARGET" = 0 ] || [ $sum -lt "$TARGET" ]; }; do
  while [ ${#RUNNING[@]} -lt "$JOBS" ]; do
    start "${tests[n % ${#tests[@]}]}" $((SEED + n))
    n=$((n + 1))
  done
  finish_one
done
while [ ${#RUNNING[@]} -gt 0 ]; do
  finish_one
done
say "$sum $UNIT, seeds $SEED to $((SEED + n - 1)), in $SECONDS s, $passed passed, $(wc -w <<<"$failed") failed"
[ -z "$failed" ]
