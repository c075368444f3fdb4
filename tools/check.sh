#!/bin/bash
#
# check.sh
#   Build with assertions and run every test, on a private copy of PostgreSQL
#   and private clusters: nothing outside the temporary directory is touched,
#   except that missing Debian packages are installed.  test/README.md says
#   what the parts are.  The last line is "N passed, N failed".
#
#   JOBS=n     parts that run at once (default: one more than processors, since
#              tests of clusters wait a lot)
#   PARTS=...  run only these parts
#   TESTS=...  run only these tests of them: names or patterns, as "rmi_oracle store_* t/both_*"
#   KEEP=1     keep the temporary directory
#   PROGRESS=s seconds between two lines that say how far it is (default 60, 0: none)

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT" || exit 1

ALL_PARTS="tap tap-2 regress regress-preload isolation isolation-generic unit pgtap guards"
PARTS=${PARTS:-$ALL_PARTS}
JOBS=${JOBS:-$(($(nproc) + 1))}
PART_TIMEOUT=${PART_TIMEOUT:-1500}
LOGS=${CHECK_LOGS:-$ROOT/build/check}

rm -rf "$LOGS"
mkdir -p "$LOGS" || die "cannot write to $LOGS"

bash tools/setup.sh check || exit 1

W=$(server_tmpdir kyrodb-check) || die "no temporary directory"
SRC="" INSTALL="" BIN=""         # set by private_copy
OUT=$W/out                      # logs and results, kept in build/check
mkdir -p "$OUT" "$W/res" "$W/done"   # done: a file for each test program that ended
PIDS=""

# shellcheck disable=SC2329,SC2317	# called by the trap
cleanup() {
  local pid

  trap '' INT TERM
  for pid in $PIDS; do
    kill -- "-$pid" 2>/dev/null
  done
  stop_clusters "$W"
  cp -a "$OUT/." "$LOGS/" 2>/dev/null
  chmod -R u+rwX,go+rX "$LOGS" 2>/dev/null
  [ "$(id -u)" != 0 ] || chown -R "$(stat -c %u:%g "$ROOT")" "$ROOT/build" 2>/dev/null
  keep_or_remove "$W"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# ---------------------------------------------------------------------------
# A private copy of PostgreSQL with our build in it.

PKGLIBDIR=$("$PG_CONFIG" --pkglibdir) || die "cannot run $PG_CONFIG"
SHAREDIR=$("$PG_CONFIG" --sharedir)

say "check: $("$PG_CONFIG" --version) as $(server_user), $JOBS at once"
say "check: building with assertions${SANITIZE:+ and -fsanitize=$SANITIZE}"
if ! private_copy "$W" ASSERTS=1 DEBUG_POINTS=1 >"$OUT/build.log" 2>&1; then
  tail -n 60 "$OUT/build.log"
  say "check: the build failed"
  say "0 passed, 1 failed"
  exit 1
fi
cat "$OUT/build.log"

test_environment
PG_ISOLATION=$PGXS_DIR/src/test/isolation/pg_isolation_regress

# ---------------------------------------------------------------------------
# Counting.  Each part appends lines "ok NAME", "not ok NAME" or "skip NAME"
# to its result file; what is not counted there did not happen.

pass() { printf 'ok %s\n' "$*" >>"$RES"; }
fail() { printf 'not ok %s\n' "$*" >>"$RES"; say "FAILED: $*"; }
skip() { printf 'skip %s\n' "$*" >>"$RES"; say "SKIPPED: $*"; }

# count_tap NAME RC FILE: the test lines of one TAP stream.  Nothing counted, a
# plan not kept, or a bad exit status is a failure of its own.
count_tap() {
  local name=$1 rc=$2 file=$3 planned seen before

  before=$(grep -c '^not ok ' "$RES")
  sed -n -E "/^(not )?ok +[^ ]/{
      /^ok.*# *[Ss][Kk][Ii][Pp]/{s~^ok *~skip $name: ~p;d}
      /^not ok.*# *TODO/{s~^not ok *~skip $name: ~p;d}
      s~^(not ok|ok) *~\1 $name: ~p
    }" "$file" >>"$RES"
  grep -E '^not ok +[^ ]' "$file" | grep -v -i '# *TODO' | sed "s~^not ok *~FAILED: $name: ~"
  seen=$(grep -c -E '^(not )?ok +[^ ]' "$file")
  planned=$(sed -n -E 's/^1\.\.([0-9]+).*/\1/p' "$file" | tail -n 1)
  if [ "$(grep -c '^not ok ' "$RES")" -gt "$before" ]; then
    :
  elif [ "$rc" != 0 ]; then
    fail "$name: exit status $rc"
  elif [ "$seen" = 0 ] && grep -q '^Result: NOTESTS' "$file"; then
    skip "$name: $(sed -n 's/.*[.][.] skipped: //p' "$file")"
  elif [ -z "$planned" ] || [ "$planned" != "$seen" ]; then
    fail "$name: ran $seen tests of ${planned:-no plan}"
  elif [ "$seen" = 0 ]; then
    skip "$name: $(grep -m1 '^1\.\.0' "$file")"
  fi
}

# count_regress NAME RC FILE TEST...: what pg_regress said of each test.
count_regress() {
  local name=$1 rc=$2 file=$3 t failed=0
  shift 3

  for t in "$@"; do
    if grep -qE "^(test)? +$t +\.\.\. ok|^ok [0-9]+ +[-+] $t " "$file"; then
      pass "$name: $t"
    else
      fail "$name: $t"
      failed=1
    fi
  done
  [ "$rc" = 0 ] || [ $failed = 1 ] || fail "$name: exit status $rc"
}

# The names of the tests in a directory, from its files; those that TESTS names.
tests_in() {
  local file name pattern patterns dir=${1##*/}

  read -r -a patterns <<<"${TESTS:-*}"
  for file in "$SRC/$1"/*."$2"; do
    [ -e "$file" ] || continue
    name=$(basename "$file" ".$2")
    for pattern in "${patterns[@]}"; do
      # shellcheck disable=SC2053	# a pattern
      [[ $name != $pattern && $dir/$name != $pattern ]] || { echo "$name"; break; }
    done
  done
}

# ---------------------------------------------------------------------------
# A cluster with the library preloaded; the resource manager is known only there.
PRELOAD=("shared_preload_libraries = 'kyrodb'" "wal_consistency_checking = 'generic, kyro_rmi'")

# As the server's user, and not for ever.
limited() { as_server timeout -k 10 "$PART_TIMEOUT" "$@"; }

# A cluster for a part: start_cluster NAME [setting...]

start_cluster() {
  local name=$1 dir=$W/$1 setting
  shift

  mkdir -p "$dir/s"
  [ "$(id -u)" != 0 ] || chown -R "$(server_user)" "$dir"
  as_server "$BIN/initdb" -D "$dir/data" -A trust -N -U postgres --no-locale -E UTF8 \
    >"$OUT/$name.initdb.log" 2>&1 || { cat "$OUT/$name.initdb.log"; return 1; }
  {
    cat "$SRC/test/regress.conf"
    printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$dir/s'"
    for setting in "$@"; do
      printf '%s\n' "$setting"
    done
  } >>"$dir/data/postgresql.conf"
  start_again "$name"
}

start_again() {
  as_server "$BIN/pg_ctl" -D "$W/$1/data" -l "$OUT/$1.server.log" -w -t "${PGCTLTIMEOUT:-300}" start >"$OUT/$1.start.log" 2>&1 ||
    { cat "$OUT/$1.start.log"; tail -n 30 "$OUT/$1.server.log"; return 1; }
}

sql() {  # sql NAME DATABASE COMMAND
  as_server "$BIN/psql" -h "$W/$1/s" -U postgres -d "$2" -X -q -A -t -v ON_ERROR_STOP=1 -c "$3"
}

# After the tests of a cluster: crash it, let it replay every change with
# wal_consistency_checking, then verify each index against its table, and each
# kyro table against its indexes.
crash_and_verify() {
  local name=$1 db problems

  as_server "$BIN/pg_ctl" -D "$W/$name/data" -m immediate -w stop >/dev/null
  if start_again "$name" && ! grep -q 'inconsistent page found' "$OUT/$name.server.log"; then
    pass "$name: replay after a crash is consistent"
  else
    grep -B2 -A2 -m5 'inconsistent page found' "$OUT/$name.server.log"
    fail "$name: replay after a crash is consistent"
    return
  fi

  for db in $(sql "$name" postgres "SELECT datname FROM pg_database WHERE oid >= 16384"); do
    [ "$(sql "$name" "$db" "SELECT 1 FROM pg_extension WHERE extname = 'kyrodb'")" = 1 ] || continue
    if problems=$(sql "$name" "$db" "
        SELECT format('%s: block %s: %s', c.oid::regclass, v.block, v.problem)
          FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname IN ('kyro_rmi', 'kyro'),
               LATERAL kyro.verify(c.oid::regclass, deep => true) v
         WHERE c.relkind IN ('i', 'r', 'm') AND c.relpersistence <> 't'" 2>&1) && [ -z "$problems" ]; then
      pass "$name: every index and kyro table of $db is sound"
    else
      say "$problems" | head -n 20
      fail "$name: every index and kyro table of $db is sound"
    fi
  done
}

# ---------------------------------------------------------------------------
# The parts.

part_unit() {
  local t extra flags

  flags="-std=gnu11 -g -O1 -Wall -Wextra -Werror -fno-omit-frame-pointer"
  flags="$flags -fsanitize=address,undefined -fno-sanitize-recover=all"
  extra=""
  [ ! -e "$SRC/bench/datasets.c" ] || extra=$SRC/bench/datasets.c
  mkdir -p "$W/unit"
  for t in $(tests_in test/unit c); do
    case $t in test_*) ;; *) continue ;; esac
    # shellcheck disable=SC2086
    if ! gcc $flags -I"$SRC/src" -I"$SRC/bench" -I"$SRC/test/unit" -o "$W/unit/$t" \
        "$SRC/test/unit/$t.c" "$SRC"/src/model/*.c $extra -lxxhash -lm >"$OUT/unit.$t.log" 2>&1; then
      tail -n 30 "$OUT/unit.$t.log"
      fail "unit: $t does not compile"
      continue
    fi
    (cd "$W/unit" && "./$t") >"$OUT/unit.$t.log" 2>&1
    count_unit "$t" $? "$OUT/unit.$t.log"
    : >"$W/done/unit.$t"
  done
  unit_fuzz
}

# The fuzz targets over what they have met so far, and over random bytes.
unit_fuzz() {
  local target

  if ! "$PG_CONFIG" --version | grep '^PostgreSQL 15' >/dev/null; then
    skip "unit: the server of the fuzz targets is made of PostgreSQL 15's headers"
    return
  fi
  if ! make -s -C "$SRC" -f test/fuzz/Makefile OUT="$W/unit/fuzz" MAIN=test/fuzz/replay.c CC=gcc PG_CONFIG="$PG_CONFIG" \
      FLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all" >"$OUT/unit.fuzz.log" 2>&1; then
    tail -n 30 "$OUT/unit.fuzz.log"
    fail "unit: fuzz targets do not compile"
    return
  fi
  for target in $(sed -n 's/^TARGETS = //p' "$SRC/test/fuzz/Makefile"); do
    "$W/unit/fuzz/fuzz_$target" -random 1 20 "$SRC/test/fuzz/corpus/$target"/* >"$OUT/unit.fuzz_$target.log" 2>&1
    count_unit "fuzz_$target" $? "$OUT/unit.fuzz_$target.log"
    : >"$W/done/unit.fuzz_$target"
  done
}

# Programs that speak TAP are counted by line, others as one test.
count_unit() {
  if grep -qE '^(not )?ok\b' "$3"; then
    count_tap "unit: $1" "$2" "$3"
  elif [ "$2" = 0 ]; then
    pass "unit: $1"
  else
    fail "unit: $1: exit status $2"
  fi
  [ "$2" = 0 ] || tail -n 40 "$3"
}

regress_driver() {  # regress_driver NAME PROGRAM TEST...
  local name=$1 program=$2 rc
  shift 2

  as_server mkdir -p "$OUT/$name"
  limited "$program" --bindir="$BIN" --host="$W/$name/s" --user=postgres \
    --dbname=contrib_regression --load-extension=kyrodb --encoding=UTF8 \
    --inputdir="$SRC/test" --outputdir="$OUT/$name" "$@" >"$OUT/$name.log" 2>&1
  rc=$?
  [ ! -e "$OUT/$name/regression.diffs" ] || head -n 200 "$OUT/$name/regression.diffs"
  [ $rc = 0 ] || tail -n 5 "$OUT/$name.log"
  return $rc
}

run_regress() {  # run_regress NAME [setting...]
  local name=$1 tests rc
  shift

  read -r -d "" -a tests <<<"$(tests_in test/sql sql)"
  [ ${#tests[@]} -gt 0 ] || return 0
  start_cluster "$name" "$@" || { count_regress "$name" 1 /dev/null "${tests[@]}"; return; }

  regress_driver "$name" "$PG_REGRESS" "${tests[@]}"
  rc=$?
  count_regress "$name" $rc "$OUT/$name.log" "${tests[@]}"
  crash_and_verify "$name"
}

# Generic WAL is all there is without preloading; on purpose, so that nobody is told what it costs.
part_regress() { run_regress regress "kyro.resource_manager = off"; }
part_regress-preload() { run_regress regress-preload "${PRELOAD[@]}"; }

run_isolation() {  # run_isolation NAME [setting...]
  local name=$1 tests rc
  shift

  read -r -d "" -a tests <<<"$(tests_in test/specs spec)"
  [ ${#tests[@]} -gt 0 ] || return 0
  start_cluster "$name" "${PRELOAD[@]}" "$@" ||
    { count_regress "$name" 1 /dev/null "${tests[@]}"; return; }
  regress_driver "$name" "$PG_ISOLATION" "${tests[@]}"
  rc=$?
  count_regress "$name" $rc "$OUT/$name.log" "${tests[@]}"
  crash_and_verify "$name"
}

part_isolation() { run_isolation isolation; }
part_isolation-generic() { run_isolation isolation-generic "kyro.resource_manager = off"; }

# The TAP tests; with .generic behind those that also run with all indexes under generic WAL.
tap_tests() {
  local t

  for t in $(tests_in test/t pl); do
    echo "$t"
    ! grep -q '^# Runs with both carriers' "$SRC/test/t/$t.pl" || echo "$t.generic"
  done
}

# Takes tests from the list until none is left; so it can run twice at once.
part_tap() {
  local t rc carrier

  for t in $(tap_tests); do
    mkdir "$W/taken-$t" 2>/dev/null || continue
    carrier=${KYRO_CARRIER:-own}
    [ "$t" = "${t%.generic}" ] || carrier=generic
    run_tap "$W/tap/$t" "$SRC/test/t/${t%.generic}.pl" env KYRO_CARRIER="$carrier" \
      timeout -k 10 "$PART_TIMEOUT" >"$OUT/tap.$t.log" 2>&1
    rc=$?
    count_tap "tap: $t" $rc "$OUT/tap.$t.log"
    if [ $rc != 0 ]; then
      # what each failed test said, else how it ended
      grep -A 20 '^# *Failed test ' "$OUT/tap.$t.log" | head -n 80 || tail -n 40 "$OUT/tap.$t.log"
      cp -r "$W/tap/$t/tmp_check/log" "$OUT/tap.$t.servers" 2>/dev/null
    fi
    rm -rf "${W:?}/tap/$t"
    : >"$W/done/tap.$t"
  done
}

part_tap-2() {
  part_tap
  [ -s "$RES" ] || skip "tap-2: nothing was left to do"
}

part_pgtap() {
  local t tests rc

  read -r -d "" -a tests <<<"$(tests_in test/pgtap sql)"
  [ ${#tests[@]} -gt 0 ] || return 0
  if ! [ -e "$INSTALL$SHAREDIR/extension/pgtap.control" ]; then
    if [ "$PG_CONFIG" = "$DEBIAN_PG_CONFIG" ]; then
      fail "pgtap: the extension is missing"
    else
      skip "pgtap: $PG_CONFIG has no pgTAP"
    fi
    return
  fi
  start_cluster pgtap "${PRELOAD[@]}" || { fail "pgtap: no cluster"; return; }
  for t in "${tests[@]}"; do
    if ! { sql pgtap postgres "CREATE DATABASE \"$t\"" &&
           sql pgtap "$t" "CREATE EXTENSION pgtap; CREATE EXTENSION kyrodb"; }; then
      fail "pgtap: $t: no database"
      continue
    fi
    limited pg_prove --verbose --host "$W/pgtap/s" --username postgres --dbname "$t" \
      "$SRC/test/pgtap/$t.sql" >"$OUT/pgtap.$t.log" 2>&1
    rc=$?
    count_tap "pgtap: $t" $rc "$OUT/pgtap.$t.log"
    [ $rc = 0 ] || tail -n 30 "$OUT/pgtap.$t.log"
    : >"$W/done/pgtap.$t"
  done
  crash_and_verify pgtap
}

# Small rules of the house.  guard NAME COMMAND: no output is good.
guard() {
  local found

  if found=$(shift; "$@" 2>&1) && [ -z "$found" ]; then
    pass "guards: $1"
  else
    say "$found" | head -n 20
    fail "guards: $1"
  fi
}

# The model layer stands alone: headers of its own, of C, and xxHash.
guard_layers() {
  local file header

  grep -HE '^[[:space:]]*#[[:space:]]*include' src/model/*.[ch] |
    sed -E 's/^([^:]*):[^<"]*([<"][^>"]*).*/\1 \2/' |
    while read -r file header; do
      case $header in
        '<xxhash.h' | '<xxh_x86dispatch.h' | '<immintrin.h' | '<emmintrin.h' | '<cpuid.h') ;;
        '<std'*'.h' | '<string.h' | '<limits.h' | '<inttypes.h' | '<assert.h' | '<errno.h' | '<math.h') ;;
        '"'*) header=${header#\"}
              [ -e "src/model/${header#model/}" ] || say "$file includes $header" ;;
        *) say "$file includes $header>" ;;
      esac
    done
}

# Which folder of src may include which, as src/README.md has it.
guard_folders() {
  local file header folder allowed

  grep -HoE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"[a-z]+/[^"]*' src/*.[ch] src/*/*.[ch] |
    sed -E 's/^([^:]*):.*"(.*)/\1 \2/' |
    while read -r file header; do
      [ -e "src/$header" ] || continue        # the server's
      folder=$(dirname "${file#src/}")
      case $folder in
        model)   allowed="model" ;;
        usage)   allowed="usage" ;;
        rmi)     allowed="rmi usage model" ;;
        store)   allowed="store usage model" ;;
        hooks)   allowed="hooks keys rmi model" ;;
        events)  allowed="events" ;;
        keys)    allowed="keys" ;;
        inspect) allowed="inspect keys rmi store usage model" ;;
        worker)  allowed="worker inspect rmi store usage model" ;;
        .)       allowed=""; [ "$file" != src/kyrodb.c ] || allowed="model usage rmi store hooks keys inspect worker" ;;
        *)       allowed=""; say "$folder is not in src/README.md" ;;
      esac
      case " $allowed " in *" ${header%%/*} "*) ;; *) say "$file includes $header" ;; esac
    done
}

guard_versions() {
  grep -rl --include='*.[ch]' 'PG_VERSION_NUM' src | grep -vx 'src/compat\.[ch]'
  return 0
}

# A static function has no module's name in front, so that one sees where it is
# called whether it can be elsewhere; but one whose place in a struct of the server
# is its name, or a hook's (src/README.md, Names).
guard_statics() {
  awk 'FNR == 1 { static = 0 }
       static && /^(kyro|leaf|learned|rmi|store|keys|usage|event)_[a-z_0-9A-Z]+\(/ { print FILENAME ": static " $1 }
       { static = /^static / }' src/*.c src/[!m]*/*.c src/model/*.c |
    grep -Ev '_(ProcessUtility|object_access|ExecutorRun|ExecutorStart|set_rel_pathlist|get_relation_info)\(|src/rmi/(redo|handler)\.c|src/store/handler\.c' || [ $? = 1 ]
}

guard_expected() {
  local file name

  for file in test/sql/*.sql test/specs/*.spec; do
    [ -e "$file" ] || continue
    name=$(basename "${file%.*}")
    [ -e "expected/$name.out" ] || say "$file has no expected/$name.out"
    [ "${file%/*}" != test/specs ] || [ ! -e "test/sql/$name.sql" ] || say "$name is a test and a spec"
    [ ! -e "sql/$name.sql" ] || say "$file is named like a file in sql/, pg_regress would run that"
  done
  for file in expected/*.out; do
    [ -e "$file" ] || continue
    name=$(basename "${file%.out}")
    [ -e "test/sql/$name.sql" ] || [ -e "test/specs/$name.spec" ] ||
      [ -e "test/sql/${name%_[0-9]}.sql" ] || [ -e "test/specs/${name%_[0-9]}.spec" ] ||
      say "$file belongs to no test"
  done
  for file in test/sql/*.sql test/specs/*.spec test/t/*.pl; do
    case ${file##*/} in
      rmi_*|store_*|both_*|keys_*|worker_*|log_*|kv_*|past_*) ;;
      *) say "$file: the name says not what it is about (rmi_, store_, both_, keys_, worker_, log_, kv_, past_)" ;;
    esac
  done
  for file in test/t/*.pl; do
    name=$(basename "$file" .pl)
    grep -q "^| \`$name\`" test/README.md || say "test/README.md does not list t/$name"
  done
}

guard_exports() {
  local name

  nm -D --defined-only "$INSTALL$PKGLIBDIR/kyrodb.so" | awk '{print $3}' >"$W/exports"
  cat sql/kyrodb--*.sql >"$W/sql"       # what the parts were put together to
  sed -n -E "s/.*AS 'MODULE_PATHNAME', *'([^']*)'.*/\1/p" "$W/sql" >"$W/wanted"
  # Without a second string the C name is that of the SQL function.
  awk '/^CREATE (OR REPLACE )?FUNCTION/ {sub(/.*FUNCTION +/, ""); sub(/\(.*/, ""); sub(/.*\./, ""); f = $0}
       /MODULE_PATHNAME/ && !/MODULE_PATHNAME. *,/ {print f}' "$W/sql" >>"$W/wanted"
  while read -r name; do
    grep -qx "$name" "$W/exports" || say "kyrodb.so does not export $name"
  done <"$W/wanted"
  grep -v -E '^(Pg_magic_func|_PG_init|pg_finfo_.*|kyro_.*)$' "$W/exports"
  return 0
}

guard_scripts() {
  local file

  for file in tools/*.sh bench/*.sh .ci/run; do
    [ ! -e "$file" ] || bash -n "$file"
  done
}

# Is there the version of pg_bsd_indent whose formatting is ours?
can_format() {
  pg_bsd_indent --version 2>/dev/null | grep -F " $(sed -n "s/^my \$VERSION = '\(.*\)';/\1/p" tools/indent.pl) " >/dev/null
}

# What a merge leaves where nobody has looked.
guard_merges() {
  grep -rnE --exclude-dir=build --exclude-dir=.git --exclude-dir=node_modules '^(<{7}|>{7}) ' .
  return 0
}

part_guards() {
  cd "$SRC" || return
  guard "the version is in one place" tools/verify-version.sh
  guard "src/model includes nothing of the server" guard_layers
  guard "folders of src include what they may" guard_folders
  guard "no circle of files in src" tools/circles.pl "$SRC/src"
  guard "PG_VERSION_NUM is tested in compat.h and compat.c only" guard_versions
  guard "static functions bear no module's name" guard_statics
  guard "tests have expected files, names that tell, and a line in test/README.md" guard_expected
  guard "the library exports what SQL calls and nothing else" guard_exports
  guard "scripts parse" guard_scripts
  guard "no merge was left half done" guard_merges
  guard "documents hold together: links, names, README.md's size" tools/check-docs.pl
  if can_format; then
    guard "C files are formatted, or make indent" tools/indent.pl --check
  else
    skip "guards: formatting (no pg_bsd_indent of this version)"
  fi
  if command -v python3 >/dev/null; then
    guard "the tables of docs/performance.md are those of bench/results" bench/table.py --check docs/performance.md
    guard "pictures are what docs/pictures/draw.py draws" docs/pictures/draw.py --check
  else
    skip "guards: the tables of docs/performance.md, and the pictures (no python3)"
  fi
}

# What memcheck or a sanitizer wrote to REPORTS, see check-memory.sh.
part_memory() {
  local found n

  found=$(grep -lE 'VALGRINDERROR-BEGIN|ERROR: AddressSanitizer|runtime error:' "$REPORTS"/* 2>/dev/null)
  n=$(find "$REPORTS" -type f | wc -l)
  if [ -n "$found" ]; then
    mkdir -p "$OUT/memory"
    # shellcheck disable=SC2086
    cp $found "$OUT/memory/"
    head -n 60 "$(head -n 1 <<<"$found")"
    fail "memory: $(wc -l <<<"$found") processes were at fault, see memory/"
  elif [ "$n" = 0 ] && [ -n "${REPORTS_NEEDED:-}" ]; then
    fail "memory: no process was watched"
  else
    pass "memory: nothing reported ($n processes)"
  fi
}

# ---------------------------------------------------------------------------
# Run them, some at once; the long ones first.

declare -A PART_OF=() STARTED=()
passed=0 failed=0 skipped=0

finish() {  # finish PID
  local name=${PART_OF[$1]} p f s

  p=$(grep -c '^ok ' "$W/res/$name")
  f=$(grep -c '^not ok ' "$W/res/$name")
  s=$(grep -c '^skip ' "$W/res/$name")
  if [ $((p + f + s)) = 0 ]; then
    echo "not ok $name: nothing was tested" >>"$W/res/$name"
    f=1
  fi
  [ ! -s "$OUT/$name.out" ] || sed "s/^/    /" "$OUT/$name.out"
  printf 'check: %-16s %4d passed %4d failed %4d skipped %5d s\n' "$name" "$p" "$f" "$s" \
    $((SECONDS - STARTED[$name]))
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  unset "PART_OF[$1]"
}

wait_for_one() {
  local pid

  # without a pid if one was stopped, not ended
  until wait -n -p pid "${!PART_OF[@]}"; [ -n "${pid:-}" ]; do
    sleep 1
  done
  finish "$pid"
}

start_part() {  # start_part NAME
  : >"$W/res/$1"
  STARTED[$1]=$SECONDS
  (trap - EXIT INT TERM; RES=$W/res/$1; "part_$1") >"$OUT/$1.out" 2>&1 </dev/null &
  PART_OF[$!]=$1
  PIDS="$PIDS $!"
}

# ---------------------------------------------------------------------------
# How far it is: test files that ended, of all.  They take unequal time, so
# this says no more than that it goes on, and with what.

count_files() {
  local part n=0

  for part in $PARTS; do
    case $part in
      regress*)   n=$((n + $(tests_in test/sql sql | wc -l))) ;;
      isolation*) n=$((n + $(tests_in test/specs spec | wc -l))) ;;
      tap)        n=$((n + $(tap_tests | wc -l))) ;;
      pgtap)      n=$((n + $(tests_in test/pgtap sql | wc -l))) ;;
      unit)       n=$((n + $(tests_in test/unit c | grep -c '^test_') +
                       $(sed -n 's/^TARGETS = //p' "$SRC/test/fuzz/Makefile" | wc -w))) ;;
    esac
  done
  echo $n
}

progress() {
  local total done t now

  total=$(count_files)
  while sleep "$PROGRESS"; do
    done=$(find "$W/done" -type f | wc -l)
    done=$((done + $(cat "$OUT"/regress*.log "$OUT"/isolation*.log 2>/dev/null |
      grep -cE '^(test)? +[^ ]+ +\.\.\. |^(not )?ok [0-9]+ +[-+] ')))
    now=""
    for t in "$W"/taken-*; do
      t=${t##*/taken-}
      [ ! -e "$W/taken-$t" ] || [ -e "$W/done/tap.$t" ] || now="$now $t"
    done
    say "check: $done of $total test files after $((SECONDS / 60)) min $((SECONDS % 60)) s${now:+, in${now}}"
  done
}

say "check: running ${PARTS}"
[ "$PARTS" != "$ALL_PARTS" ] || say "check: takes about 15 minutes on two idle processors"
set -m                          # each part is a process group, see cleanup
PROGRESS=${PROGRESS:-60} progress_pid=""
if [ "$PROGRESS" != 0 ]; then
  (trap - EXIT INT TERM; progress) </dev/null &
  progress_pid=$!
  PIDS="$PIDS $progress_pid"
fi
for part in $PARTS; do
  declare -F "part_$part" >/dev/null || die "no part $part; there are: $ALL_PARTS"
  while [ ${#PART_OF[@]} -ge "$JOBS" ]; do
    wait_for_one
  done
  start_part "$part"
done
while [ ${#PART_OF[@]} -gt 0 ]; do
  wait_for_one
done
[ -z "$progress_pid" ] || { kill -- "-$progress_pid"; wait "$progress_pid"; } 2>/dev/null
if [ -n "${REPORTS:-}" ]; then
  start_part memory
  wait_for_one
fi
set +m
PIDS=""

cat "$W"/res/* >"$OUT/results"
if [ $failed -gt 0 ]; then
  say "check: failed, with logs in ${LOGS#"$ROOT/"}:"
  sed -n 's/^not ok /  /p' "$OUT/results"
fi
[ $skipped = 0 ] || sed -n 's/^skip /check: skipped: /p' "$OUT/results"
say "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
