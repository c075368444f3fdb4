#!/bin/bash
#
# static.sh
#   What can be found without running anything: headers that do not stand alone,
#   and what cppcheck and clang's analyzer warn of.  Installs the programs if they are
#   missing.  The last line is "N passed, N failed".
#
#   CHECKS="headers cppcheck clang"   which of

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT" || exit 1

CHECKS=${CHECKS:-headers cppcheck clang}
LOGS=$ROOT/build/static
rm -rf "$LOGS"
mkdir -p "$LOGS"
bash tools/setup.sh static || exit 1

server=$("$PG_CONFIG" --includedir-server)
flags="-std=gnu11 -D_GNU_SOURCE -Isrc -DKYRODB_VERSION=\"0\" -DKYRO_DEBUG_POINTS=1 -DUSE_ASSERT_CHECKING=1 -isystem $server"
passed=0 failed=0

# verdict NAME LOG: an empty log is good.
verdict() {
  if [ -s "$2" ]; then
    head -n 40 "$2"
    say "FAILED: $1"
    failed=$((failed + 1))
  else
    passed=$((passed + 1))
  fi
}

# Every header compiles on its own: those of the model in plain C, the others
# after postgres.h, as everywhere in PostgreSQL.
check_headers() {
  local header first

  for header in src/*.h src/*/*.h; do
    first=(-include postgres.h)
    [[ $header != src/model/* ]] || first=()
    # shellcheck disable=SC2086
    gcc $flags "${first[@]}" -Wall -Wextra -Wno-unused-parameter -Wno-unused-function -fsyntax-only -x c "$header" >"$LOGS/header" 2>&1
    verdict "$header stands alone" "$LOGS/header"
  done
}

check_cppcheck() {
  cppcheck --quiet --inline-suppr --std=c11 --enable=warning,performance,portability \
    --suppressions-list=tools/cppcheck.txt --library=posix -Isrc -DKYRO_DEBUG_POINTS=1 -DPG_VERSION_NUM=150000 -DKYRODB_VERSION='"0"' \
    --template='{file}:{line}: {severity}: {message} [{id}]' src >"$LOGS/cppcheck" 2>&1
  verdict cppcheck "$LOGS/cppcheck"
}

check_clang() {
  local file

  for file in src/*.c src/*/*.c; do
    # shellcheck disable=SC2086
    clang --analyze -Xclang -analyzer-output=text -Xclang -analyzer-disable-checker=deadcode.DeadStores \
      $flags -o /dev/null "$file" >"$LOGS/clang" 2>&1
    verdict "clang: $file" "$LOGS/clang"
  done
}

for check in $CHECKS; do
  case $check in
    headers) check_headers ;;
    cppcheck) check_cppcheck ;;
    clang) check_clang ;;
    *) die "no check $check" ;;
  esac
done
say "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
