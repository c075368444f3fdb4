#!/bin/bash
#
# fuzz.sh
#   Run the fuzz targets of test/fuzz with libFuzzer and the address and
#   undefined-behaviour sanitizers, each for a while.  Installs what is missing.
#   What was found grows in build/fuzz/corpus; an input that fails is kept in
#   build/fuzz/crashes.  The last line is "N passed, N failed".
#
#   FUZZ_SECONDS=n    for each target (default 60; 0: until stopped, which suits one target only)
#   TARGETS="..."     which of (default all)
#   SEED=n            of libFuzzer (default: random, and printed)
#   MERGE=1           then make test/fuzz/corpus anew: what covers most, in the smallest files

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT" || exit 1

FUZZ_SECONDS=${FUZZ_SECONDS:-60}
TARGETS=${TARGETS:-$(sed -n 's/^TARGETS = //p' test/fuzz/Makefile)}
SEED=${SEED:-$((RANDOM * 32768 + RANDOM + 1))}
B=$ROOT/build/fuzz
mkdir -p "$B/crashes"

bash tools/setup.sh fuzz || exit 1
build=(make -s -f test/fuzz/Makefile -j"$(nproc)" "PG_CONFIG=$PG_CONFIG")
"${build[@]}" OUT="$B" CC=clang TARGETS="$TARGETS" FLAGS="-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all" || die "the build failed"

# What commands do to an index is found sooner by many of them than by cunning:
# the target ops is also built without sanitizers, and fed with random bytes.
random_ops() {
  "${build[@]}" OUT="$B/fast" CC=gcc MAIN=test/fuzz/replay.c TARGETS=ops FLAGS=-O2 || die "the build failed"
  say "fuzz: ops with random bytes, $FUZZ_SECONDS s, seeds from $SEED"
  timeout "$FUZZ_SECONDS" "$B/fast/fuzz_ops" -random "$SEED" 0 >"$B/random.log" 2>"$B/random.err"
  if [ $? = 124 ]; then
    tail -n 1 "$B/random.log"
    passed=$((passed + 1))
  else
    tail -n 3 "$B/random.err"
    say "FAILED: ops with random bytes; again with build/fuzz/fast/fuzz_ops -random SEED 1"
    failed=$((failed + 1))
  fi
}

passed=0 failed=0
for target in $TARGETS; do
  [ "$target" != ops ] || random_ops
  corpus=$B/corpus/$target
  mkdir -p "$corpus" "test/fuzz/corpus/$target"
  case $target in
    ops) max=1000 ;;
    index | store) max=40000 ;;
    *) max=9000 ;;
  esac
  say "fuzz: $target, $FUZZ_SECONDS s, seed $SEED"
  # no look for leaks: the server of test/fuzz keeps what a session keeps
  if "$B/fuzz_$target" -seed="$SEED" -max_total_time="$FUZZ_SECONDS" -max_len=$max -timeout=60 -rss_limit_mb=4096 \
      -detect_leaks=0 -len_control=20 -print_final_stats=1 -verbosity=1 -artifact_prefix="$B/crashes/$target-" \
      "$corpus" "test/fuzz/corpus/$target" >"$B/$target.log" 2>&1; then
    grep -aE '^#[0-9]+.*(DONE|cov:)' "$B/$target.log" | tail -n 1
    passed=$((passed + 1))
  else
    grep -avE '^#[0-9]' "$B/$target.log" | tail -n 60
    say "FAILED: $target, log in build/fuzz/$target.log, input in build/fuzz/crashes"
    failed=$((failed + 1))
    continue
  fi
  if [ -n "${MERGE:-}" ]; then
    mkdir -p "$B/merged/$target"
    rm -f "$B/merged/$target"/*
    "$B/fuzz_$target" -merge=1 -use_counters=0 -max_len=$max -detect_leaks=0 "$B/merged/$target" "test/fuzz/corpus/$target" "$corpus" \
      >"$B/$target.merge.log" 2>&1 || die "merging $target failed"
    say "fuzz: $(find "$B/merged/$target" -type f | wc -l) inputs cover all that $target has come to, in build/fuzz/merged/$target"
  fi
done
say "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
