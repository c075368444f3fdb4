#!/bin/bash
#
# check-upgrade.sh
#   pg_upgrade of a cluster full of kyro_rmi indexes and kyro tables from one major
#   version of PostgreSQL to the next, and on to the next: test/upgrade/upgrade.pl,
#   on private copies.  Where they are not installed: tools/in-root.sh.  The last
#   line is "N passed, N failed".
#
#   OLD_PG_CONFIG=path...   of the versions to upgrade from, oldest first
#   PG_CONFIG=path          of the version to upgrade to
#   UPGRADE_TEST=file       another test than test/upgrade/upgrade.pl
#   KEEP=1               keep the temporary directory

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT" || exit 1

read -r -a old <<<"${OLD_PG_CONFIG:-}"
[ ${#old[@]} -gt 0 ] || die "OLD_PG_CONFIG names no program"
LOGS=$ROOT/build/check
rm -rf "$LOGS"
mkdir -p "$LOGS" || die "cannot write to $LOGS"
W=$(server_tmpdir kyrodb-upgrade) || die "no temporary directory"
SRC="" INSTALL="" BIN=""         # set by private_copy

# shellcheck disable=SC2329,SC2317	# called by the trap
cleanup() {
  trap '' INT TERM
  # a server of either version can be stopped by the other's pg_ctl
  stop_clusters "$W"
  keep_or_remove "$W"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

all=("${old[@]}" "$PG_CONFIG")
old_installs=""
for i in "${!all[@]}"; do
  PG_CONFIG=${all[$i]}
  [ -x "$(command -v "$PG_CONFIG")" ] || die "$PG_CONFIG is not a program"
  say "check-upgrade: building for $("$PG_CONFIG" --version), with assertions"
  as_server mkdir "$W/$i"
  if ! private_copy "$W/$i" ASSERTS=1 PG_CONFIG="$PG_CONFIG" >"$LOGS/build.$i.log" 2>&1; then
    tail -n 40 "$LOGS/build.$i.log"
    say "0 passed, 1 failed"
    exit 1
  fi
  [ "$i" = ${#old[@]} ] || old_installs="$old_installs $(dirname "$BIN")"
done
test_environment
log=$LOGS/upgrade.log
run_tap "$W/tap" "$SRC/${UPGRADE_TEST:-test/upgrade/upgrade.pl}" \
  env OLD_INSTALLS="${old_installs# }" timeout -k 10 6000 >"$log" 2>&1
rc=$?
passed=$(grep -c '^ok ' "$log")
failed=$(grep -c '^not ok ' "$log")
if [ $rc != 0 ]; then
  grep -a -A 20 -E '^not ok|^# +Failed test|^Bail' "$log" | cut -c1-300 | head -n 80
  tail -n 20 "$log"
  cp -r "$W/tap/tmp_check/log" "$LOGS/upgrade.servers" 2>/dev/null
  [ "$failed" -gt 0 ] || failed=1
fi
say "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
