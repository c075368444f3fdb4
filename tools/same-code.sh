#!/bin/bash
#
# same-code.sh [COMMIT]
#   Does the tree compile to what COMMIT (default: HEAD) does?  For commits that
#   move, format, or speak: whatever is no code.  Compares the library's objects,
#   and those of the tests if PostgreSQL is 15; line numbers left out.

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT" || exit 1

commit=${1:-HEAD}
W=$(mktemp -d) || die "no temporary directory"
trap 'rm -rf "$W"' EXIT
FLAGS="-g0 -D__LINE__=0 -Wno-error"

# compile DIR: in the same place each time, since names of files are in assertions
compile() {
  rm -rf "$W/tree" && mv "$1" "$W/tree" || return
  (
    cd "$W/tree" || exit
    make -s -j"$(nproc)" -f Makefile.pgxs OPTFLAGS="-O2 $FLAGS" ASSERTS=1 DEBUG_POINTS=1 all || exit
    ! "$PG_CONFIG" --version | grep '^PostgreSQL 15' >/dev/null ||
      make -s -j"$(nproc)" -f test/fuzz/Makefile PG_CONFIG="$PG_CONFIG" OUT=fuzz MAIN=test/fuzz/replay.c FLAGS="$FLAGS" || exit
    mkdir unit && cd unit &&
      # shellcheck disable=SC2086
      gcc -std=gnu11 -O1 $FLAGS -I../src -I../bench -I../test/unit -c ../test/unit/test_*.c
  ) >"$W/log" 2>&1 || { tail -n 20 "$W/log"; return 1; }
  (cd "$W/tree" && find . -name '*.o' -exec sha256sum {} + | sort -k 2) >"$2"
}

mkdir "$W/old" "$W/new"
git archive "$commit" | tar -x -C "$W/old" || die "no commit $commit"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$W/new" 2>/dev/null
compile "$W/old" "$W/old.sums" || die "$commit does not compile"
compile "$W/new" "$W/new.sums" || die "the tree does not compile"
n=$(wc -l <"$W/new.sums")
[ "$n" -gt 100 ] || die "only $n objects"
if diff <(sed 's/^.* //' "$W/old.sums") <(sed 's/^.* //' "$W/new.sums"); then
  diff "$W/old.sums" "$W/new.sums" | sed -n 's/^> [^ ]* *//p' >"$W/differ"
  [ -s "$W/differ" ] || { say "same code as $commit: $n objects"; exit 0; }
  sed 's/^/differs: /' "$W/differ"
fi
exit 1
