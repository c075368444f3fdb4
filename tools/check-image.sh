#!/bin/bash
#
# check-image.sh
#   Build the image of the Dockerfile and run it: on a base made by debootstrap, so that no
#   registry is needed, with buildah and chroots, which works as root anywhere (`podman run` wants cgroups of its own).
#   Installs what is missing.  The last line is "N passed, N failed".
#
#   ROOTFS=dir   a Debian as debootstrap makes it (default ${XDG_CACHE_HOME:-~/.cache}/kyrodb/base-SUITE, made once)
#   KEEP=1       keep the images, and say where

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT" || exit 1

if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || die "needs root"
  exec sudo ROOTFS="${ROOTFS:-}" KEEP="${KEEP:-}" "$0" "$@"
fi
tools/setup.sh image || exit 1
base_settings
start_checks check-image
W=$(mktemp -d) || die "no temporary directory"
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
buildah() { command buildah --root "$W/images" --runroot "$W/run" "$@"; }
finish() {
  if [ -n "${KEEP:-}" ]; then
    say "kept: STORAGE_DRIVER=vfs buildah --root $W/images --runroot $W/run images"
  else
    buildah rm --all >/dev/null 2>&1
    rm -rf --one-file-system "$W"
  fi
}
trap finish EXIT

import_base() {
  local c

  make_base && c=$(buildah from scratch) && buildah add -q "$c" "$ROOTFS" / && buildah commit -q "$c" kyrodb-base && buildah rm "$c"
}

# A container of the image, and a command in it as the server's user.
inside() { buildah run --user postgres --env POSTGRES_PASSWORD="it's" "$container" -- "$@"; }

# The server runs while a command does, begun and ended as a container's would be.  Who asks before it is ready,
# as we do, is told so, which is no error.
while_it_runs() {
  inside sh -ec '
    image-entry.sh >/tmp/log 2>&1 & server=$!
    for i in $(seq 600); do
      ! psql -X -d postgres -Atc "SELECT 1" >/dev/null 2>&1 || break
      kill -0 $server || { cat /tmp/log; exit 1; }
      sleep 0.1
    done
    psql -X -d postgres -v ON_ERROR_STOP=1 -At -f -
    kill -INT $server
    wait $server
    ! grep -E "ERROR|FATAL|PANIC" /tmp/log | grep -v "password authentication failed\|database system is starting up\|due to administrator command"'
}

works() {
  while_it_runs <<'SQL'
SELECT 1 / (preloaded AND version = extversion)::int FROM kyro.build_info, pg_extension WHERE extname = 'kyrodb';
CREATE TABLE t (k bigint PRIMARY KEY WITH (kyro_rmi), v text) USING kyro;
INSERT INTO t SELECT g, g::text FROM generate_series(1, 20000) g;
SELECT rows FROM kyro.snapshot('t');
SET enable_seqscan = off;
SELECT 1 / (v = '77')::int FROM t WHERE k = 77;
SELECT 1 / (current_setting('data_checksums') = 'on')::int;
SQL
}

lasts() {
  while_it_runs <<'SQL'
SELECT 1 / (count(*) = 20000)::int FROM t;
SELECT 1 / (count(*) = 0)::int FROM kyro.verify('t', deep => true);
SELECT 1 / (count(*) = 0)::int FROM kyro.verify('t_pkey', deep => true);
\! PGPASSWORD="it's" psql -X -h 127.0.0.1 -U postgres -Atc "SELECT 'by password'" postgres || echo broken
\! PGPASSWORD="other" psql -X -h 127.0.0.1 -U postgres -Atc "SELECT 'by no password'" postgres 2>/dev/null || true
SQL
}

with_password_only() { grep -qx 'by password' "$LOGS/again.log" && ! grep -q 'by no password\|broken' "$LOGS/again.log"; }

check 'a base' base.log import_base || done_testing
say "check-image: building, with $SUITE as the base"
check 'the image is built' build.log buildah bud --build-arg BASE=localhost/kyrodb-base -t kyrodb "$ROOT" || done_testing
container=$(buildah from localhost/kyrodb)
check 'it runs, with the extension and the library' run.log works
check 'what it held is there when it runs again' again.log lasts
check 'who comes from outside needs the password' password.log with_password_only
done_testing
