#!/bin/sh
#
# image-entry.sh [option...]
#   What a container of the image runs: make a cluster where there is none, with kyrodb
#   preloaded and the extension in database postgres, and start the server with these options.
#
#   POSTGRES_PASSWORD   of user postgres; without it nobody can connect but from inside
#   PGDATA              where the data are (default /var/lib/postgresql/data)

set -eu
PGDATA=${PGDATA:-/var/lib/postgresql/data}
export PGDATA
# the newest that has the library
for bin in /usr/lib/postgresql/*/bin; do
  [ ! -e "${bin%/bin}/lib/kyrodb.so" ] || PATH=$bin:$PATH
done

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  umask 077
  mkdir -p "$PGDATA"
  # whole or not at all: a container that is stopped meanwhile begins anew
  new=$PGDATA/new.tmp
  rm -rf "$new"
  initdb -D "$new" -U postgres -E UTF8 --data-checksums --auth-local=peer --auth-host=scram-sha-256 >/dev/null
  {
    echo "shared_preload_libraries = 'kyrodb'"
    echo "listen_addresses = '*'"
  } >>"$new/postgresql.conf"
  echo 'host all all all scram-sha-256' >>"$new/pg_hba.conf"
  {
    echo 'CREATE EXTENSION kyrodb;'
    [ -z "${POSTGRES_PASSWORD:-}" ] || printf "ALTER USER postgres PASSWORD '%s';\n" "$(printf %s "$POSTGRES_PASSWORD" | sed "s/'/''/g")"
  } >"$new/first.sql"
  pg_ctl -D "$new" -o "-c listen_addresses='' -c unix_socket_directories='$new'" -w start >/dev/null
  psql -X -q -v ON_ERROR_STOP=1 -h "$new" -d postgres -f "$new/first.sql"
  pg_ctl -D "$new" -m fast -w stop >/dev/null
  rm "$new/first.sql"
  version=$(cat "$new/PG_VERSION")
  rm "$new/PG_VERSION"
  mv "$new"/* "$PGDATA/"
  rmdir "$new"
  echo "$version" >"$PGDATA/PG_VERSION"
fi
exec postgres -D "$PGDATA" "$@"
