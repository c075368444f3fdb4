# shellcheck shell=bash
# What the scripts of this folder share.  To be sourced by bash.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SUPPORTED=$(sed -n 's/^SUPPORTED = //p' "$ROOT/Makefile.pgxs")

# The newest supported version that Debian's packages have installed, else that
# apt can install, else, without package lists, that this Debian has.
debian_major() {
  local v release

  for v in $SUPPORTED; do
    [ ! -x "/usr/lib/postgresql/$v/bin/postgres" ] || { echo "$v"; return; }
  done
  for v in $SUPPORTED; do
    ! apt-cache show "postgresql-$v" >/dev/null 2>&1 || { echo "$v"; return; }
  done
  release=$(sed -n 's/^VERSION_ID="\?\([0-9]*\).*/\1/p' /etc/os-release 2>/dev/null)
  case $release in
  [1-9] | 1[012]) echo 15 ;;
  13) echo 17 ;;
  *) echo "${SUPPORTED%% *}" ;;   # 14, or a testing release, which has no number
  esac
}

PG_MAJOR=$(debian_major)
DEBIAN_PG_CONFIG=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config
PG_CONFIG=${PG_CONFIG:-$DEBIAN_PG_CONFIG}
export PG_CONFIG

# Answers and sort orders must not depend on who runs this.
export LC_ALL=C PSQLRC=/dev/null PGTZ=UTC
unset PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGPASSFILE PGOPTIONS PGSERVICE PGDATA
unset MAKEFLAGS MAKELEVEL MFLAGS

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

version_of_control() {
  sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" "$ROOT/kyrodb.control"
}

# Run a command with the rights to change the system.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "needs root: $*"
  fi
}

# The server refuses to run as root; then it runs as this user instead.
server_user() {
  if [ "$(id -u)" != 0 ]; then
    id -un
  elif id postgres >/dev/null 2>&1; then
    echo postgres
  else
    echo nobody
  fi
}

# It may not be able to see the current directory.
as_server() {
  if [ "$(id -u)" = 0 ]; then
    (cd / && runuser -u "$(server_user)" -- "$@")
  else
    (cd / && "$@")
  fi
}

# A new directory of the server's user; short, because a socket will live there.
server_tmpdir() {
  local dir

  dir=$(mktemp -d "/tmp/$1.XXXXXX") || return 1
  chmod 700 "$dir"
  [ "$(id -u)" != 0 ] || chown "$(server_user)" "$dir"
  echo "$dir"
}

# private_copy DIR FLAGS...: build this tree with the given make variables and
# install it into a copy of PostgreSQL below DIR/install, touching nothing
# else.  A server finds its libraries and share files relative to its program,
# so a copy just works.  Sets SRC (the tree as built), INSTALL and BIN.
private_copy() {
  local dir=$1 bindir pkglibdir sharedir d
  shift

  bindir=$("$PG_CONFIG" --bindir) || die "cannot run $PG_CONFIG"
  pkglibdir=$("$PG_CONFIG" --pkglibdir)
  sharedir=$("$PG_CONFIG" --sharedir)
  SRC=$dir/src INSTALL=$dir/install BIN=$dir/install$bindir
  mkdir -p "$SRC"
  for d in "$bindir" "$pkglibdir" "$sharedir"; do
    mkdir -p "$INSTALL$d"
    cp -a "$d/." "$INSTALL$d/" || die "cannot copy $d"
  done
  rm -f "$INSTALL$pkglibdir/kyrodb.so" "$INSTALL$sharedir"/extension/kyrodb*
  tar -C "$ROOT" -c --exclude=./.git --exclude=./build --exclude=node_modules --exclude='*.o' --exclude='*.so' \
    --exclude=./.build-flags . | tar -x -C "$SRC" || die "cannot copy the tree"
  (cd "$SRC" && make -s -j"$(nproc)" -f Makefile.pgxs "$@" all &&
    make -s -f Makefile.pgxs "$@" install DESTDIR="$INSTALL") || return 1
  [ "$(id -u)" != 0 ] || chown -R "$(server_user)" "$dir"
}

# keep_or_remove DIR: what a script leaves of its temporary directory.
keep_or_remove() {
  if [ -n "${KEEP:-}" ]; then
    say "kept: $1"
  else
    rm -rf "$1"
  fi
}

# stop_clusters DIR: at once, every server with its data below DIR.  With the pg_ctl of BIN.
stop_clusters() {
  local pidfile

  find "$1" -name postmaster.pid 2>/dev/null | while read -r pidfile; do
    as_server "$BIN/pg_ctl" -D "$(dirname "$pidfile")" -m immediate -w stop >/dev/null 2>&1
  done
}

# After private_copy: what core's test programs want, for clusters below W.
# Sets PGXS_DIR.
test_environment() {
  PGXS_DIR=$(cd "$(dirname "$("$PG_CONFIG" --pgxs)")/../.." && pwd)
  export PATH=$BIN:$PATH HOME=$W
  export PG_REGRESS=$PGXS_DIR/src/test/regress/pg_regress
}

# run_tap DIR FILE COMMAND...: a TAP test that works below DIR, which is made, by
# way of COMMAND (timeout, or env with more variables).
run_tap() {
  local dir=$1 file=$2
  shift 2

  as_server mkdir -p "$dir/tmp_check/log" || return 1
  # PostgreSQL 15 needs the first only
  as_server env TESTDIR="$dir" TESTDATADIR="$dir/tmp_check" TESTLOGDIR="$dir/tmp_check/log" \
    TEMP_CONFIG="$SRC/test/regress.conf" top_builddir="$W" \
    "$@" prove --verbose -I "$PGXS_DIR/src/test/perl" -I "$SRC/test/perl" "$file"
}

# What is downloaded or built once is kept here.
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/kyrodb

# fetch_source LOG: set PG_SRC to an unpacked source of PostgreSQL, if it is not
# set.  It is that of the Debian package of the installed minor version if the
# archive has it, else of the newest that it has of this major version.
fetch_source() {
  local log=$1 version candidate dir

  [ -z "${PG_SRC:-}" ] || return 0
  version=$("$PG_CONFIG" --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9.]*\).*/\1/p')
  PG_SRC=$CACHE/postgresql-$version
  [ -z "$version" ] || [ ! -d "$PG_SRC" ] || return 0
  command -v apt-get >/dev/null || die "set PG_SRC to the unpacked source of PostgreSQL $version"
  apt-cache showsrc "postgresql-$PG_MAJOR" >/dev/null 2>&1 ||
    die "no deb-src line in apt's sources: add one and run apt-get update, or set PG_SRC"
  command -v bzip2 >/dev/null || as_root apt-get -y -q install bzip2 >"$log" 2>&1 || die "needs bzip2"
  mkdir -p "$CACHE"
  dir=$(mktemp -d "$CACHE/download.XXXXXX") || die "cannot write to $CACHE"
  for candidate in $(apt-cache showsrc "postgresql-$PG_MAJOR" 2>/dev/null | sed -n 's/^Version: //p' |
      awk -v v="$version-" '{print index($0, v) != 1, $0}' | sort -k1,1n -k2,2Vr | awk '{print $2}'); do
    PG_SRC=$CACHE/postgresql-${candidate%%-*}
    [ ! -d "$PG_SRC" ] || break
    say "downloading the source of postgresql-$PG_MAJOR $candidate"
    if (cd "$dir" && apt-get -q source --download-only "postgresql-$PG_MAJOR=$candidate") >"$log" 2>&1 &&
        mkdir "$dir/tree" && tar -C "$dir/tree" --strip-components=1 -xf "$dir"/*.orig.tar.*; then
      mv "$dir/tree" "$PG_SRC"
      break
    fi
  done
  rm -rf "$dir"
  [ -d "$PG_SRC" ] ||
    { tail -n 5 "$log"; die "cannot download the source of PostgreSQL $version; set PG_SRC"; }
}

# build_server NAME LOG ARGUMENT...: build PG_SRC with assertions and these
# arguments of its configure, unless the cache has that.  Sets BUILT to the
# directory; what is in it may be copied elsewhere, its libraries are found by
# LD_LIBRARY_PATH.
build_server() {
  local name=$1 log=$2 recipe dir
  shift 2

  # "postgres" in the prefix keeps all libraries in one directory
  BUILT=$CACHE/postgresql-$(sed -n "s/^PACKAGE_VERSION='\(.*\)'/\1/p" "$PG_SRC/configure")-$name
  recipe="$PG_SRC $*"
  [ "$(cat "$BUILT/recipe" 2>/dev/null)" != "$recipe" ] || return 0
  say "building $(basename "$BUILT"), once"
  mkdir -p "$CACHE"
  if ! (
    dir=$(mktemp -d "$CACHE/build.XXXXXX") || exit 1
    trap 'rm -rf "$dir"' EXIT
    rm -rf "$BUILT"
    cd "$dir" && "$PG_SRC/configure" --prefix="$BUILT" --enable-cassert --enable-debug --enable-tap-tests \
      --disable-rpath --without-readline --without-zlib "$@" &&
      make -s -j"$(nproc)" && make -s install && make -s -C src/test/isolation install
  ) >"$log" 2>&1 </dev/null; then
    tail -n 30 "$log"
    die "cannot build PostgreSQL"
  fi
  echo "$recipe" >"$BUILT/recipe"
}

now_ms() { date +%s%3N; }

# base_settings: SUITE, ROOTFS and MIRROR of a small Debian as this one; make_base makes it where it
# is not there.
base_settings() {
  SUITE=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  [ -n "$SUITE" ] || die "this is no release of Debian"
  ROOTFS=${ROOTFS:-$CACHE/base-$SUITE}
  # shellcheck disable=SC2016	# apt's variable
  MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -v security | head -n 1)}
}

make_base() {
  [ ! -e "$ROOTFS/.complete" ] || return 0
  [ -n "$MIRROR" ] || die "set MIRROR to an archive of Debian"
  rm -rf --one-file-system "$ROOTFS" && mkdir -p "$ROOTFS" &&
    debootstrap --variant=minbase "$SUITE" "$ROOTFS" "$MIRROR" &&
    printf '#!/bin/sh\nexit 101\n' >"$ROOTFS/usr/sbin/policy-rc.d" && chmod 755 "$ROOTFS/usr/sbin/policy-rc.d" &&
    touch "$ROOTFS/.complete"
}

# For scripts whose tests are commands: start_checks NAME empties LOGS, build/NAME; then check NAME_OF_TEST LOG COMMAND...
# for each, its output in a log of that name; done_testing says "N passed, N failed" and exits.
start_checks() {
  LOGS=$ROOT/build/$1
  rm -rf "$LOGS" && mkdir -p "$LOGS"
  passed=0 failed=0
}

check() {
  local name=$1 log=$LOGS/$2
  shift 2
  if "$@" >"$log" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    tail -n 20 "$log" | sed 's/^/    /'
    say "FAILED: $name, log in ${log#"$ROOT"/}"
    return 1
  fi
}

done_testing() {
  say "$passed passed, $failed failed"
  [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
  exit
}
