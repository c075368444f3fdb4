#!/bin/bash
#
# check-gateway.sh [app]
#   Test the gateway: install Node and the packages of gateway/package-lock.json
#   if they are missing, build kyrodb into a private copy of PostgreSQL, and run
#   gateway/test/*.test.js, each of which makes a cluster and a gateway of its
#   own.  The last line is "N passed, N failed".
#   With "app" it is the page of demo/app, in Debian's Chromium: pictures of it
#   are left in build/check-app.
#
#   TESTS=...  only these, as "endpoints subscribe"
#   NODE=path  another node
#   KEEP=1     keep the temporary directory

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT" || exit 1

bash tools/setup.sh check || exit 1
bash tools/setup.sh "${1:-gateway}" || exit 1
tests=gateway/test
[ "${1:-}" != app ] || tests=gateway/test/browser

W=$(server_tmpdir kyrodb-gateway) || die "no temporary directory"
trap 'stop_clusters "$W"; keep_or_remove "$W"' EXIT
trap 'exit 130' INT TERM

say "check-gateway: building"
private_copy "$W" ASSERTS=1 >"$W/build.log" 2>&1 || { tail -n 40 "$W/build.log"; die "the build failed"; }
cp -a gateway/node_modules "$SRC/gateway/" && mkdir -p "$W/tmp" || exit 1
[ "$(id -u)" != 0 ] || chown -R "$(server_user)" "$SRC/gateway" "$W/tmp"

passed=0 failed=0
for name in ${TESTS:-$(cd $tests && ls ./*.test.js)}; do
  name=$(basename "$name" .test.js)
  log=$W/$name.log
  as_server env PATH="$BIN:$PATH" HOME="$W" TMPDIR="$W/tmp" SCREENSHOTS="$W/tmp/pictures" timeout -k 10 900 \
    "${NODE:-node}" --test --test-reporter=tap "$SRC/$tests/$name.test.js" >"$log" 2>&1
  rc=$?
  p=$(sed -n 's/^# pass //p' "$log" | tail -n 1) f=$(sed -n 's/^# fail //p' "$log" | tail -n 1)
  [ "$rc" = 0 ] && [ "${p:-0}" -gt 0 ] || [ "${f:-0}" != 0 ] || f=1
  say "check-gateway: $name: ${p:-0} passed, ${f:-0} failed"
  [ "${f:-0}" = 0 ] || grep -A 30 '^ *not ok' "$log" | head -n 120
  passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0}))
done
if [ -d "$W/tmp/pictures" ]; then
  rm -rf build/check-app && mkdir -p build && cp -r "$W/tmp/pictures" build/check-app
fi
say "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
