#!/bin/bash
#
# check-memory.sh valgrind|asan
#   Run a part of the tests on a server that sees wrong uses of memory: under
#   valgrind's memcheck, or built with the address sanitizer, our library also with
#   that of undefined behaviour.  Builds these servers from PostgreSQL's source once
#   and keeps them in ${XDG_CACHE_HOME:-~/.cache}/kyrodb.  Any report is a failure,
#   whatever the test says.  The last line is "N passed, N failed"; logs are in
#   build/check-valgrind and build/check-asan.
#
#   PARTS=... TESTS=... JOBS=n KEEP=1   as for check.sh
#   PG_SRC=dir          unpacked source of PostgreSQL, otherwise downloaded, once
#   VALGRIND_OPTS=...   more options, as --track-origins=yes

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT" || exit 1

MODE=${1:-}
case $MODE in
  valgrind)
    # 20 to 50 times as slow: the tests that go through most code in least time
    PARTS=${PARTS:-regress-preload}
    TESTS=${TESTS:-"rmi_build rmi_on_conflict rmi_scans store_[bcdet]* store_foreign rmi_unique_keys rmi_verify"}
    ;;
  asan)
    PARTS=${PARTS:-"tap regress regress-preload isolation"}
    TESTS=${TESTS:-"sql/* specs/* t/rmi_crash t/rmi_corruption t/store_losses t/*_points t/store_damage t/rmi_hostile t/rmi_gaps"}
    ;;
  *) die "usage: check-memory.sh valgrind|asan" ;;
esac

CHECK_LOGS=$ROOT/build/check-$MODE
rm -rf "$CHECK_LOGS"
mkdir -p "$CHECK_LOGS" || die "cannot write to $CHECK_LOGS"
bash tools/setup.sh memory || exit 1

# Neither a server nor its clients free all memory before they end; backends
# measure their stack.
export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0

fetch_source "$CHECK_LOGS/source.log"
case $MODE in
  valgrind) build_server valgrind "$CHECK_LOGS/server.log" CPPFLAGS=-DUSE_VALGRIND \
              CFLAGS="-O1 -fno-omit-frame-pointer" ;;
  asan)     build_server asan "$CHECK_LOGS/server.log" \
              CFLAGS="-O1 -fno-omit-frame-pointer -fsanitize=address" LDFLAGS=-fsanitize=address ;;
esac

# The server's user may not be able to read the cache: a copy.
W=$(server_tmpdir "kyrodb-$MODE") || die "no temporary directory"
PID=""
# shellcheck disable=SC2329,SC2317	# called by the trap
cleanup() {
  trap '' INT TERM
  [ -z "$PID" ] || { kill "$PID" && wait "$PID"; } 2>/dev/null
  keep_or_remove "$W"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

REPORTS=$W/reports
mkdir "$REPORTS"
cp -a "$BUILT" "$W/server" || die "cannot copy $BUILT"
PG_CONFIG=$W/server/bin/pg_config
LD_LIBRARY_PATH=$W/server/lib
export PARTS TESTS CHECK_LOGS REPORTS PG_CONFIG LD_LIBRARY_PATH OPTFLAGS=-O1

case $MODE in
  valgrind)
    # pg_ctl starts the server by the script; initdb and single-user mode stay as they are.
    cp "$PG_SRC/src/tools/valgrind.supp" "$W/"
    mv "$W/server/bin/pg_ctl" "$W/server/bin/pg_ctl.native"
    cat >"$W/server/bin/pg_ctl" <<END
#!/bin/bash
exec "\$0.native" "\$@" -p "\$(dirname "\$0")/postgres.valgrind"
END
    cat >"$W/server/bin/postgres.valgrind" <<END
#!/bin/bash
exec valgrind -q --leak-check=no --gen-suppressions=all --error-limit=no --num-callers=30 --vgdb=no \\
  --suppressions="$W/valgrind.supp" --time-stamp=yes --error-markers=VALGRINDERROR-BEGIN,VALGRINDERROR-END \\
  --log-file="$REPORTS/\$\$.%p" "\$(dirname "\$0")/postgres" "\$@"
END
    chmod 755 "$W/server/bin/pg_ctl" "$W/server/bin/postgres.valgrind"
    # every process writes a report, if only an empty one
    export REPORTS_NEEDED=1
    # nothing may fail for being slow
    export PART_TIMEOUT=7200 PG_TEST_TIMEOUT_DEFAULT=1800 PGCTLTIMEOUT=1800 PGISOLATIONTIMEOUT=7200
    ;;
  asan)
    nm -D "$W/server/bin/postgres" | grep __asan_init >/dev/null || die "the server is not instrumented"
    # handle_sigbus=0: src/store/map.c has a handler of its own
    ASAN_OPTIONS=$ASAN_OPTIONS:abort_on_error=1:handle_sigbus=0:log_path=$REPORTS/asan
    export UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1:log_path=$REPORTS/ubsan SANITIZE=address,undefined
    export PART_TIMEOUT=3600 PG_TEST_TIMEOUT_DEFAULT=600 PGISOLATIONTIMEOUT=600
    ;;
esac
[ "$(id -u)" != 0 ] || chown -R "$(server_user)" "$W"

say "check-$MODE: $PARTS: $TESTS"
tools/check.sh &
PID=$!
wait "$PID"
rc=$?
PID=""
exit $rc
