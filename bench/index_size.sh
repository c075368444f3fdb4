#!/bin/bash
#
# index_size.sh
#   Bytes per row of a kyro_rmi index on a kyro table: after a load, a seal and VACUUM, as a stream that is
#   sealed and vacuumed every 20,000 rows, and after five times a tenth of the rows have gone and come back;
#   each against the same index made anew.
#
#   usage: bench/index_size.sh [ROWS [KEYS...]]      KEYS: dense uniform us (default all three)
#
#   Makes and drops the schema index_size in the database that psql connects to. It has the extension kyrodb.

set -u -o pipefail
rows=${1:-1000000}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- dense uniform us

q() { psql -XqAt -v ON_ERROR_STOP=1 -c "SET client_min_messages = warning" -c "SET search_path = index_size, public" -c "$1" || exit 1; }
size() { q "SELECT pg_relation_size('t_k')"; }

q "DROP SCHEMA IF EXISTS index_size CASCADE"
q "CREATE SCHEMA index_size"
# keys that grow with g: one by one; all over 63 bits; microseconds, a seventh of a second apart
q "CREATE FUNCTION index_size.key(kind text, g bigint, n bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS \$\$
  SELECT CASE kind WHEN 'dense' THEN g WHEN 'us' THEN g * 1000000 / 7 + (hashint8extended(g, 3) & 65535)
    ELSE (-9000000000000000000 + 18000000000000000000 / n::numeric * g)::bigint + (hashint8extended(g, 4) & (18000000000000000000 / n::numeric)::bigint) END \$\$"

printf '%-8s %-18s %8s %8s %8s %8s %6s\n' keys what loaded sealed vacuumed anew ratio
for keys; do
  for what in 'load' 'load, any order' 'stream' 'churn'; do
    order=g
    loaded=0
    [ "$what" != 'load, any order' ] || order='hashint8extended(g, 9)'
    q "DROP TABLE IF EXISTS t; CREATE TABLE t (k bigint, v text) USING kyro WITH (autovacuum_enabled = off); CREATE INDEX t_k ON t USING kyro_rmi (k)"
    if [ "$what" = stream ]; then
      for ((i = 0; i < rows; i += 20000)); do
        q "INSERT INTO t SELECT key('$keys', g, $rows), repeat('x', 32) FROM generate_series($i::bigint + 1, $i + 20000) g"
        q "SELECT FROM kyro.snapshot('t')"
        q "VACUUM t"
      done
      sealed=$(size)
    else
      q "INSERT INTO t SELECT key('$keys', g, $rows), repeat('x', 32) FROM generate_series(1::bigint, $rows) g ORDER BY $order"
      q "REINDEX INDEX t_k"
      loaded=$(size)
    fi
    case $what in
    load*)
      q "CALL kyro.seal('t')"
      sealed=$(size)
      ;;
    churn)
      for i in 0 1 2 3 4; do
        q "CREATE TABLE gone AS SELECT k, v FROM t WHERE abs(hashint8(k)) % 10 = $i"
        q "DELETE FROM t WHERE abs(hashint8(k)) % 10 = $i"
        q "VACUUM t"
        q "INSERT INTO t SELECT * FROM gone ORDER BY hashint8extended(k, 7); DROP TABLE gone"
      done
      sealed=$(size)
      ;;
    esac
    q "VACUUM t"
    vacuumed=$(size)
    q "REINDEX INDEX t_k"
    awk -v k="$keys" -v w="$what" -v n="$rows" -v l="$loaded" -v s="$sealed" -v v="$vacuumed" -v f="$(size)" \
      'BEGIN { printf "%-8s %-18s %8.2f %8.2f %8.2f %8.2f %6.2f\n", k, w, l / n, s / n, v / n, f / n, v / f }'
  done
done
q "DROP SCHEMA index_size CASCADE"
