#!/bin/bash
#
# in-root.sh 17|18 COMMAND...
#   Run a command on a copy of this tree in a small Debian of its own, which
#   has this version of PostgreSQL and the supported ones before it in
#   /usr/lib/postgresql: for tests on a version that the system has not, and of
#   upgrades.  Made by debootstrap when it is not there (2 GB, a few minutes)
#   and kept.  Needs root, and network the first time.  What the command leaves
#   in build/check and the like comes back to this tree.
#
#   ROOTFS=dir   where it is (default ${XDG_CACHE_HOME:-~/.cache}/kyrodb/trixie or forky)
#   MIRROR=url   of Debian (default: where this system gets its packages)
#   JOBS, PARTS, TESTS, KEEP, ASSERTS: passed on

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage="usage: in-root.sh 17|18 COMMAND..."
[ $# -gt 1 ] || die "$usage"
NEW=$1                          # what is tested
case $NEW in                    # the suite that has it; those that have what is upgraded from
17) SUITE=trixie OLD="15:bookworm" ;;
18) SUITE=forky OLD="15:bookworm 17:trixie" ;;
*) die "$usage" ;;
esac
ROOTFS=${ROOTFS:-${XDG_CACHE_HOME:-$HOME/.cache}/kyrodb/$SUITE}
# shellcheck disable=SC2016	# apt's variable
MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -v security | head -n 1)}
PACKAGES=postgresql-$NEW,postgresql-server-dev-$NEW,postgresql-$NEW-pgtap,postgresql-$NEW-repack,libtap-parser-sourcehandler-pgtap-perl
PACKAGES=$PACKAGES,postgresql-$NEW-pgvector,gcc,libc6-dev,make,libxxhash-dev,libipc-run-perl,procps

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

# Their -dev packages are unpacked, as each would draw in a compiler of its own.
add_old() {
  local old version suite

  printf '#!/bin/sh\nexit 101\n' >"$ROOTFS/usr/sbin/policy-rc.d" # no servers started
  chmod 755 "$ROOTFS/usr/sbin/policy-rc.d"
  # lists of testing are valid for a week, and a mirror or a clock may be further off
  printf 'APT::Default-Release "%s";\nAcquire::Check-Valid-Until "false";\n' "$SUITE" >"$ROOTFS/etc/apt/apt.conf.d/00release"
  for old in $OLD; do
    version=${old%:*} suite=${old#*:}
    printf 'deb %s %s main\n' "$MIRROR" "$suite" >"$ROOTFS/etc/apt/sources.list.d/$suite.list"
    chroot "$ROOTFS" sh -ec "
      export DEBIAN_FRONTEND=noninteractive
      apt-get -q update
      apt-get -y -q --no-install-recommends install postgresql-$version
      cd /tmp
      apt-get -q -o APT::Sandbox::User=root download postgresql-server-dev-$version
      dpkg-deb -x postgresql-server-dev-${version}_*.deb /
      rm postgresql-server-dev-${version}_*.deb
      apt-get clean" || return 1
  done
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

old_pg_configs=""
for old in $OLD; do
  old_pg_configs="$old_pg_configs /usr/lib/postgresql/${old%:*}/bin/pg_config"
done
shift

# A copy, so that two of these do not meet, and nothing is built in this tree.
work=$(mktemp -d "$ROOTFS/kyrodb.XXXXXX") || die "no temporary directory"
trap 'rm -rf --one-file-system "$work"' EXIT
chmod 755 "$work"
tar -C "$ROOT" -c --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' \
  --exclude=./.build-flags . | tar -x --no-same-owner -C "$work" || die "cannot copy the tree"

chroot "$ROOTFS" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
  PG_CONFIG=/usr/lib/postgresql/$NEW/bin/pg_config OLD_PG_CONFIG="${old_pg_configs# }" \
  ${JOBS:+JOBS="$JOBS"} ${PARTS:+PARTS="$PARTS"} ${TESTS:+TESTS="$TESTS"} ${KEEP:+KEEP="$KEEP"} ${ASSERTS:+ASSERTS="$ASSERTS"} \
  sh -c 'cd "$1" && shift && exec "$@"' sh "/${work##*/}" "$@"
rc=$?
for logs in "$work"/build/check*; do
  [ -d "$logs" ] || continue
  mkdir -p "$ROOT/build"
  rm -rf "$ROOT/build/${logs##*/}"
  cp -r "$logs" "$ROOT/build/" && chown -R "$(stat -c %u:%g "$ROOT")" "$ROOT/build"
done
exit $rc
