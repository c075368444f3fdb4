#!/bin/bash
#
# check-pgxn.sh
#   Pack a distribution as PGXN has them, and have PGXN's client look at its META.json, build, install
#   and remove it, in a private copy of PostgreSQL.  Installs the client if it is missing.
#   The last line is "N passed, N failed".

set -u -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT" || exit 1

tools/setup.sh check || exit 1
tools/setup.sh pgxn || exit 1
start_checks check-pgxn
W=$(server_tmpdir kyrodb-pgxn) || die "no temporary directory"
trap 'rm -rf "$W"' EXIT

version=$(version_of_control)
dist=kyrodb-$version

pack() {
  mkdir "$W/$dist" &&
    tar -C "$ROOT" -c --exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' --exclude=./.build-flags . | tar -x -C "$W/$dist" &&
    (cd "$W" && python3 -m zipfile -c "$dist.zip" "$dist/")
}

# What the client wants of it, and that all it names is there.
meta_is_right() {
  /usr/bin/python3 - "$W/$dist" "$version" <<'PY'
import json, os, sys
from pgxnclient.spec import Spec
from pgxnclient.utils.semver import SemVer
top, version = sys.argv[1:]
meta = json.load(open(top + "/META.json"))
for key in ("name", "version", "abstract", "maintainer", "license", "provides", "meta-spec"):
    assert meta[key], key
assert SemVer(meta["version"]) == SemVer(version)
for name, ext in meta["provides"].items():
    assert os.path.exists(top + "/" + ext["file"]) and os.path.exists(top + "/" + ext["docfile"]), ext
    assert SemVer(ext["version"]) == SemVer(version)
print(Spec.parse("kyrodb=" + version))
PY
}

# A copy of PostgreSQL, with the headers where its pg_config looks for them.
copy() {
  local dir
  for dir in "$("$PG_CONFIG" --bindir)" "$("$PG_CONFIG" --pkglibdir)" "$("$PG_CONFIG" --sharedir)"; do
    mkdir -p "$W/pg$dir" && cp -a "$dir/." "$W/pg$dir/" || return 1
  done
  BIN=$W/pg$("$PG_CONFIG" --bindir)
  lib=$W/pg$("$PG_CONFIG" --pkglibdir)
  extension=$W/pg$("$PG_CONFIG" --sharedir)/extension
  for dir in "$("$PG_CONFIG" --includedir)" "$("$PG_CONFIG" --includedir-server)"; do
    mkdir -p "$W/pg${dir%/*}" && ln -sfn "$dir" "$W/pg$dir"
  done
  mkdir -p "$("$BIN/pg_config" --libdir)"
  rm -f "$lib/kyrodb.so" "$extension"/kyrodb*
  [ "$("$BIN/pg_config" --pkglibdir)" = "$lib" ]
}

client() { (cd "$W" && HOME=$W pgxn --verbose "$@" --pg_config "$BIN/pg_config" "./$dist.zip"); }
is_installed() { [ -s "$lib/kyrodb.so" ] && [ -s "$extension/kyrodb.control" ] && [ -s "$extension/kyrodb--$version.sql" ]; }
is_gone() { ! ls "$lib"/kyrodb* "$extension"/kyrodb* 2>/dev/null; }

works() {
  [ "$(id -u)" != 0 ] || chown -R "$(server_user)" "$W"
  as_server "$BIN/initdb" -D "$W/data" -A trust -U postgres --no-locale >/dev/null &&
    as_server "$BIN/postgres" --single -D "$W/data" -c shared_preload_libraries=kyrodb postgres <<'SQL' | tee "$W/said" && grep -q '"sound"' "$W/said" && ! grep -E 'ERROR|FATAL' "$W/said"
CREATE EXTENSION kyrodb
CREATE TABLE t (k bigint) USING kyro
INSERT INTO t SELECT generate_series(1, 1000)
CREATE INDEX t_k ON t USING kyro_rmi (k)
SELECT kyro.snapshot('t')
SELECT 'sound' WHERE NOT EXISTS (SELECT FROM kyro.verify('t', true)) AND NOT EXISTS (SELECT FROM kyro.verify('t_k', true))
SQL
}

check 'a distribution' pack.log pack || done_testing
check 'META.json is what the client wants' meta.log meta_is_right
check 'a copy of PostgreSQL' copy.log copy || done_testing
check 'pgxn install' install.log client install --nosudo || done_testing
check 'all files are there' files.log is_installed
check 'it works' works.log works
check 'pgxn uninstall' uninstall.log client uninstall --nosudo
check 'no file is left' gone.log is_gone
done_testing
