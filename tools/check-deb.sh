#!/bin/bash
#
# check-deb.sh
#   Build Debian packages of this tree with Debian's tools, look at them with lintian,
#   and install and remove one in a fresh Debian, where it must work, and leave
#   nothing.  For this Debian and the versions of PostgreSQL that it has.  Needs root, and network.
#   Installs what is missing.  The last line is "N passed, N failed".
#
#   ROOTFS=dir   a Debian as debootstrap makes it, which is copied (default
#                ${XDG_CACHE_HOME:-~/.cache}/kyrodb/base-SUITE, made once)
#   OUT=dir      keep the packages here

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT" || exit 1

if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || die "needs root"
  exec sudo ROOTFS="${ROOTFS:-}" OUT="${OUT:-}" "$0" "$@"
fi
# Mounts are for us alone and go when we end.
if [ "${KYRO_IN_NAMESPACE:-}" != 1 ]; then
  export KYRO_IN_NAMESPACE=1
  exec unshare --mount --propagation private "$0" "$@"
fi

base_settings
start_checks check-deb
W=$(mktemp -d) || die "no temporary directory"
trap 'umount -R "$W/root/dev" "$W/root/proc" 2>/dev/null; rm -rf --one-file-system "$W"' EXIT

# ---- build ----

build() {
  mkdir -p "$W/build/kyrodb" || return 1
  tar -C "$ROOT" -c --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' --exclude=./.build-flags . |
    tar -x --no-same-owner -C "$W/build/kyrodb" || return 1
  cd "$W/build/kyrodb" || return 1
  pg_buildext updatecontrol && dpkg-buildpackage -us -uc -b
}

clean_of_tags() {
  local out

  out=$(lintian --allow-root --info --fail-on=error,warning "$W"/build/kyrodb_*.changes 2>&1) && ! grep -E '^[EW]:' <<<"$out"
  local rc=$?
  printf '%s\n' "$out"
  return $rc
}

bill_is_right() {
  local v=$1
  dpkg-deb --fsys-tarfile "$W/build/postgresql-$v-kyrodb_"*.deb | tar -xO "./usr/share/doc/postgresql-$v-kyrodb/sbom.cdx.json" >"$W/sbom.json" &&
    python3 - "$W/sbom.json" "$(version_of_control)" <<'PY'
import json, sys
bom = json.load(open(sys.argv[1]))
names = {(c["name"], p["value"]) for c in bom["components"] for p in c["properties"] if p["name"] == "kyrodb:file"}
print(names)
assert bom["bomFormat"] == "CycloneDX" and bom["metadata"]["component"]["version"] == sys.argv[2]
assert ("libxxhash0", "libxxhash.so.0") in names and ("libc6", "libc.so.6") in names, names
assert all("version" in c and c["purl"].startswith("pkg:deb/debian/") for c in bom["components"])
PY
}

# ---- a fresh Debian ----

# The archives of this system's release, security too: the package is built against their server.
apt_sources() {
  # shellcheck disable=SC2016	# apt's variables
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | grep -F " $SUITE" | sort -u
}

fresh_root() {
  make_base && cp -a "$ROOTFS" "$W/root" &&
    mount -t proc proc "$W/root/proc" && mount --rbind /dev "$W/root/dev" &&
    apt_sources >"$W/root/etc/apt/sources.list" && apt-config dump Acquire::Check-Valid-Until >"$W/root/etc/apt/apt.conf.d/00valid" &&
    mkdir "$W/root/packages" && cp "$W"/build/postgresql-*-kyrodb_*.deb "$W/root/packages/" &&
    cp "$ROOT/debian/tests/smoke" "$W/root/packages/"
}

in_root() {
  chroot "$W/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive sh -ec "$1"
}

leaves_nothing() {
  in_root "dpkg -L postgresql-$1-kyrodb | while read f; do [ -d \"\$f\" ] || echo \"\$f\"; done >/packages/files
    test \$(wc -l </packages/files) -gt 5
    apt-get -y -q purge postgresql-$1-kyrodb
    while read f; do if [ -e \"\$f\" ]; then echo \"still there: \$f\"; exit 1; fi; done </packages/files
    ! dpkg -l postgresql-$1-kyrodb 2>/dev/null | grep '^[a-z]i'"
}

says_what_is_missing() {
  in_root "pg_virtualenv -v $1 sh -c '
    psql -X -Atc \"SELECT 1\" && ! psql -X -c \"CREATE EXTENSION kyrodb\" 2>/tmp/missing && grep \"extension .kyrodb. is not available\" /tmp/missing'"
}

tools/setup.sh deb || exit 1
say "check-deb: building packages for Debian $SUITE"
check 'the packages are built' build.log build || done_testing
[ -z "${OUT:-}" ] || cp "$W"/build/*.deb "$OUT/"
check 'lintian finds nothing' lintian.log clean_of_tags
check 'a fresh Debian' root.log fresh_root || done_testing
for v in $(pg_buildext supported-versions 2>/dev/null || echo "$PG_MAJOR"); do
  [ -e "$W/build/postgresql-$v-kyrodb_$(version_of_control)_$(dpkg --print-architecture).deb" ] || continue
  check "$v: the bill of materials names what is linked" "$v-sbom.log" bill_is_right "$v"
  check "$v: it is installed" "$v-install.log" in_root "apt-get -q update; apt-get -y -q --no-install-recommends install /packages/postgresql-$v-kyrodb_*.deb" || continue
  check "$v: it works" "$v-smoke.log" in_root /packages/smoke
  check "$v: removed, it leaves nothing" "$v-remove.log" leaves_nothing "$v"
  check "$v: the server runs without it" "$v-without.log" says_what_is_missing "$v"
done
done_testing
