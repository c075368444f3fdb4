#!/bin/bash
#
# setup.sh build|demo|bench|plots|check|backups|day|deb|image|metrics|gateway|app|pgxn|static|indent|memory|fuzz
#   Install the Debian packages that building, the demonstration, the benchmarks
#   or the tests need.  If all are there it changes nothing and calls no network.  With
#   PG_CONFIG set to another PostgreSQL, that one is taken as it is.

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

purpose=${1:-build}

tools=(gcc libc6-dev make libxxhash-dev)
server=()
case $purpose in
  build) server=("postgresql-server-dev-$PG_MAJOR") ;;
  demo)  server=("postgresql-server-dev-$PG_MAJOR" "postgresql-$PG_MAJOR") ;;
  bench)
    tools+=(python3)
    server=("postgresql-server-dev-$PG_MAJOR" "postgresql-$PG_MAJOR") ;;
  plots) tools=(python3 gnuplot-nox) ;;
  check)
    tools+=(perl libipc-run-perl)
    # 30 kB, for a guard; later Debians have another version
    [ "$PG_MAJOR" != 15 ] || tools+=(pg-bsd-indent)
    server=("postgresql-server-dev-$PG_MAJOR" "postgresql-$PG_MAJOR" "postgresql-$PG_MAJOR-pgtap" "postgresql-$PG_MAJOR-repack"
            libtap-parser-sourcehandler-pgtap-perl)
    # Debian 12 does not have it
    [ "$PG_MAJOR" = 15 ] || server+=("postgresql-$PG_MAJOR-pgvector") ;;
  backups)
    tools=(pgbackrest barman rsync pgbouncer)
    server=("postgresql-$PG_MAJOR-partman") ;;
  deb) tools=(build-essential debhelper dpkg-dev fakeroot lintian debootstrap python3 libxxhash-dev postgresql-server-dev-all) ;;
  day) tools=(prometheus-postgres-exporter) ;;
  image) tools=(buildah debootstrap) ;;
  metrics) tools=(prometheus prometheus-postgres-exporter) ;;
  gateway | app)
    # another Node is taken as it is
    tools=(openssl curl)
    [ "$purpose" = gateway ] || tools+=(chromium)
    [ -x "$(command -v node)" ] || tools+=(nodejs)
    [ -x "$(command -v npm)" ] || tools+=(npm) ;;
  pgxn) tools=(pgxnclient python3) ;;
  static)
    tools+=(clang cppcheck)
    server=("postgresql-server-dev-$PG_MAJOR") ;;
  indent) tools=(perl pg-bsd-indent) ;;
  memory) tools+=(perl libipc-run-perl valgrind bzip2) ;;
  fuzz)
    tools+=(clang libclang-rt-14-dev)
    server=("postgresql-server-dev-$PG_MAJOR") ;;
  *) die "usage: setup.sh build|demo|bench|plots|check|backups|day|deb|image|metrics|gateway|app|pgxn|static|indent|memory|fuzz" ;;
esac

wanted=("${tools[@]}")
if [ "$PG_CONFIG" = "$DEBIAN_PG_CONFIG" ]; then
  wanted+=("${server[@]}")
elif ! [ -x "$(command -v "$PG_CONFIG")" ]; then
  die "PG_CONFIG=$PG_CONFIG is not a program"
fi

# What the gateway is made of, as its lock file has it; for tests of the page also what drives a browser.
finish() {
  local omit=--omit=dev lock=$ROOT/gateway/package-lock.json modules=$ROOT/gateway/node_modules
  case $purpose in gateway) ;; app) omit="" ;; *) exit 0 ;; esac
  if ! cmp -s "$lock" "$modules/.as-locked" || { [ "$purpose" = app ] && [ ! -d "$modules/playwright-core" ]; }; then
    say "set-up: installing the packages of gateway/package-lock.json"
    # shellcheck disable=SC2086	# none is none
    (cd "$ROOT/gateway" && npm ci $omit --ignore-scripts --no-audit --no-fund --loglevel=error) && cp "$lock" "$modules/.as-locked" ||
      die "npm ci failed in gateway"
  fi
  exit 0
}

if ! command -v dpkg-query >/dev/null; then
  say "set-up: not a Debian system; expecting what these packages hold: ${wanted[*]}"
  finish
fi

missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done

if [ ${#missing[@]} = 0 ]; then
  say "set-up: all packages are installed"
  finish
fi

say "set-up: installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive

# Keep quiet unless it fails, but show that it is alive.
run() {
  say "set-up: $1"
  shift
  as_root env DEBIAN_FRONTEND=noninteractive "$@" >"$log" 2>&1 ||
    { cat "$log" >&2; die "failed: $*"; }
}

apt_options=(-y -q --no-install-recommends -o Dpkg::Options::=--force-unsafe-io
             -o DPkg::Lock::Timeout=120)
run "reading package lists" apt-get -q update
run "downloading" apt-get "${apt_options[@]}" --download-only install "${missing[@]}"
run "unpacking" apt-get "${apt_options[@]}" install "${missing[@]}"
say "set-up: done"
finish
