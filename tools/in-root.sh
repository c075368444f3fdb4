#!/bin/bash
#
# in-root.sh COMMAND...
#   Run a command on a copy of this tree in a small Debian of its own, which
#   has PostgreSQL 17 and 15 in /usr/lib/postgresql: for tests on a version that
#   the system has not, and of upgrades from one to the other.  Made by
#   debootstrap when it is not there (2 GB, a few minutes) and kept.  Needs root,
#   and network the first time.  What the command leaves in build/check comes
#   back to this tree.
#
#   ROOTFS=dir   where it is (default ${XDG_CACHE_HOME:-~/.cache}/kyrodb/trixie)
#   MIRROR=url   of Debian (default: where this system gets its packages)
#   JOBS, PARTS, TESTS, KEEP, ASSERTS: passed on

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

SUITE=trixie NEW=17             # what is tested
OLD_SUITE=bookworm OLD=15       # what is upgraded from
ROOTFS=${ROOTFS:-${XDG_CACHE_HOME:-$HOME/.cache}/kyrodb/$SUITE}
# shellcheck disable=SC2016	# apt's variable
MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -v security | head -n 1)}
PACKAGES=postgresql-$NEW,postgresql-server-dev-$NEW,postgresql-$NEW-pgtap,postgresql-$NEW-repack,libtap-parser-sourcehandler-pgtap-perl
PACKAGES=$PACKAGES,gcc,libc6-dev,make,libxxhash-dev,libipc-run-perl,procps

[ $# -gt 0 ] || die "usage: in-root.sh COMMAND..."
[ -n "$MIRROR" ] || die "set MIRROR to an archive of Debian"
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || die "needs root"
  exec sudo ROOTFS="$ROOTFS" MIRROR="$MIRROR" JOBS="${JOBS:-}" PARTS="${PARTS:-}" TESTS="${TESTS:-}" KEEP="${KEEP:-}" \
    ASSERTS="${ASSERTS:-}" "$0" "$@"
fi

# Mounts are for us alone and go when we end.
if [ "${KYRO_IN_NAMESPACE:-}" != 1 ]; then
  export KYRO_IN_NAMESPACE=1
  exec unshare --mount --propagation private "$0" "$@"
fi

# The old version's -dev package is unpacked, as it would draw in a compiler of its own.
add_old() {
  printf '#!/bin/sh\nexit 101\n' >"$ROOTFS/usr/sbin/policy-rc.d" # no servers started
  chmod 755 "$ROOTFS/usr/sbin/policy-rc.d"
  printf 'deb %s %s main\n' "$MIRROR" "$OLD_SUITE" >"$ROOTFS/etc/apt/sources.list.d/$OLD_SUITE.list"
  printf 'APT::Default-Release "%s";\n' "$SUITE" >"$ROOTFS/etc/apt/apt.conf.d/00release"
  chroot "$ROOTFS" sh -ec "
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update
    apt-get -y -q --no-install-recommends install postgresql-$OLD
    cd /tmp
    apt-get -q -o APT::Sandbox::User=root download postgresql-server-dev-$OLD
    dpkg-deb -x postgresql-server-dev-${OLD}_*.deb /
    rm postgresql-server-dev-${OLD}_*.deb
    apt-get clean"
}

make_root() {
  local log script=""

  command -v debootstrap >/dev/null || die "needs debootstrap"
  [ -e "/usr/share/debootstrap/scripts/$SUITE" ] || script=/usr/share/debootstrap/scripts/sid
  mkdir -p "$ROOTFS" || exit 1
  log=$ROOTFS.log
  say "in-root: making $ROOTFS, log in $log"
  # shellcheck disable=SC2086
  debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$ROOTFS" "$MIRROR" $script >"$log" 2>&1 &&
    add_old >>"$log" 2>&1 || { tail -n 20 "$log" >&2; die "cannot make $ROOTFS"; }
  touch "$ROOTFS/.complete"
}

if [ ! -e "$ROOTFS/.complete" ]; then
  [ ! -d "$ROOTFS" ] || rm -rf --one-file-system "$ROOTFS"
  make_root
fi
mount -t proc proc "$ROOTFS/proc" && mount --rbind /dev "$ROOTFS/dev" &&
  mount -t tmpfs tmpfs "$ROOTFS/dev/shm" || die "cannot mount"

# A copy, so that two of these do not meet, and nothing is built in this tree.
work=$(mktemp -d "$ROOTFS/kyrodb.XXXXXX") || die "no temporary directory"
trap 'rm -rf --one-file-system "$work"' EXIT
chmod 755 "$work"
tar -C "$ROOT" -c --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' \
  --exclude=./.build-flags . | tar -x --no-same-owner -C "$work" || die "cannot copy the tree"

chroot "$ROOTFS" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
  PG_CONFIG=/usr/lib/postgresql/$NEW/bin/pg_config OLD_PG_CONFIG=/usr/lib/postgresql/$OLD/bin/pg_config \
  ${JOBS:+JOBS="$JOBS"} ${PARTS:+PARTS="$PARTS"} ${TESTS:+TESTS="$TESTS"} ${KEEP:+KEEP="$KEEP"} ${ASSERTS:+ASSERTS="$ASSERTS"} \
  sh -c 'cd "$1" && shift && exec "$@"' sh "/${work##*/}" "$@"
rc=$?
if [ -d "$work/build/check" ]; then
  mkdir -p "$ROOT/build"
  rm -rf "$ROOT/build/check"
  cp -r "$work/build/check" "$ROOT/build/" && chown -R "$(stat -c %u:%g "$ROOT")" "$ROOT/build"
fi
exit $rc
