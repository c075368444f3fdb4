#!/bin/bash
#
# vectors.sh [option...]
#   Measure indexes of pgvector on kyro tables against those on heap tables:
#   how many of the ten nearest they find, the time of a search, and what builds,
#   inserts, seals and VACUUM cost.  README.md says what the columns mean.
#
#   -n N        rows (default 20000)
#   -d N        dimensions (default 64)
#   -q N        searches (default 200)
#   -r N        interleaved rounds of them (default 3)
#   -O FILE     CSV, appended (default results/vectors-<date>.csv)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

rows=20000 dimensions=64 searches=200 rounds=3 csv=""
command="bench/vectors.sh $*"
while getopts n:d:q:r:O: option; do
  case $option in
    n) rows=$OPTARG ;; d) dimensions=$OPTARG ;; q) searches=$OPTARG ;; r) rounds=$OPTARG ;; O) csv=$(realpath -m "$OPTARG") ;;
    *) sed -n '3,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
case $rows$dimensions$searches$rounds in *[!0-9]*) die "-n, -d, -q and -r are numbers" ;; esac
[ -e "$("$PG_CONFIG" --sharedir)/extension/vector.control" ] || die "pgvector is not installed for $("$PG_CONFIG" --version)"
csv=${csv:-$ROOT/bench/results/vectors-$(date +%Y-%m-%d).csv}
csv_columns "$csv" "date,server,rows,index,measure,unit,heap,kyro_log,kyro_sealed,heap_churned,kyro_compacted"

say "bench: $command"
say "bench: $rows vectors of $dimensions dimensions, $searches searches, $rounds rounds; load $load_before"
bench_begin
bench_cluster
run_psql() { bench_psql -A -t "$@" >/dev/null; }

# ---------------------------------------------------------------------------
# Vectors around a hundred centres, by hash functions: the same everywhere.
run_psql -f "$SRC/bench/cpu.sql"
run_psql <<SQL
CREATE EXTENSION vector;
CREATE FUNCTION bench.vec(n bigint, salt int) RETURNS vector IMMUTABLE LANGUAGE sql AS \$\$
	SELECT array_agg(((hashint8extended(n % 100, d) & 1023) + (hashint8extended(n, salt * 1000 + d) & 2047))::real / 1024 ORDER BY d)::vector
	FROM generate_series(1, $dimensions) d \$\$;
CREATE UNLOGGED TABLE bench.source AS SELECT g AS id, (hashint8(g) & 7)::int AS grp, bench.vec(g, 1) AS e FROM generate_series(1, $rows) g;
CREATE UNLOGGED TABLE bench.query AS SELECT n, bench.vec(n * 7919, 2) AS v, NULL::bigint[] AS nearest, NULL::bigint[] AS of_group FROM generate_series(1, $searches) n;
UPDATE bench.query SET nearest = ARRAY(SELECT id FROM bench.source ORDER BY e <-> v, id LIMIT 10),
	of_group = ARRAY(SELECT id FROM bench.source WHERE grp = 3 ORDER BY e <-> v, id LIMIT 10);
CREATE TABLE bench.result (index text, variant text, measure text, unit text, value float8);

-- One round of searches: times, and of the last round what was found.
CREATE FUNCTION bench.search(index text, variant text, what text, cond text) RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE
	q record;
	t timestamptz;
	before float8 := bench.cpu();
	ids bigint[];
	hits bigint := 0;
	statement text := format('SELECT ARRAY(SELECT id FROM %I WHERE %s ORDER BY e <-> \$1 LIMIT 10)', index || '_' || variant, cond);
BEGIN
	FOR q IN SELECT * FROM bench.query ORDER BY n LOOP
		t := clock_timestamp();
		EXECUTE statement INTO ids USING q.v;
		INSERT INTO bench.result VALUES (index, variant, what, 'elapsed', extract(epoch FROM clock_timestamp() - t) * 1000);
		hits := hits + cardinality(ARRAY(SELECT unnest(ids) INTERSECT SELECT unnest(CASE cond WHEN 'true' THEN q.nearest ELSE q.of_group END)));
	END LOOP;
	INSERT INTO bench.result VALUES (index, variant, what, 'ms processor time', (bench.cpu() - before) / $searches),
		(index, variant, what, 'recall@10', hits / ($searches * 10.0));
END \$\$;
SQL

# timed INDEX VARIANT MEASURE STATEMENT...: processor time of these, in microseconds a row of the table.
timed() {
  local index=$1 variant=$2 measure=$3 statement
  shift 3
  {
    echo "SELECT bench.cpu() AS before \\gset"
    for statement; do echo "$statement;"; done
    echo "INSERT INTO bench.result VALUES ('$index', '$variant', '$measure', 'us/row processor time', (bench.cpu() - :before) * 1000 / $rows);"
  } | run_psql
}

for index in hnsw ivfflat; do
  case $index in hnsw) with="" ;; ivfflat) with="WITH (lists = 100)" ;; esac
  for variant in heap kyro_log kyro_sealed heap_churned kyro_compacted; do
    t=${index}_$variant
    run_psql -c "CREATE TABLE $t (id bigint, grp int, e vector($dimensions)) USING ${variant%%_*}" -c "INSERT INTO $t SELECT * FROM bench.source"
    timed $index $variant 'CREATE INDEX' "CREATE INDEX ${t}_e ON $t USING $index (e vector_l2_ops) $with"
    # a third of the rows goes and comes again
    case $variant in *_churned | *_compacted)
      timed $index $variant 'DELETE of a third and VACUUM' "DELETE FROM $t WHERE id % 3 = 0" "VACUUM $t"
      timed $index $variant 'INSERT of a third' "INSERT INTO $t SELECT * FROM bench.source WHERE id % 3 = 0" ;;
    esac
    case $variant in kyro_sealed | kyro_compacted)
      timed $index $variant 'kyro.seal' "CALL kyro.seal('$t')"
      timed $index $variant 'VACUUM after it' "VACUUM $t" ;;
    esac
    [ $variant != kyro_compacted ] || timed $index $variant 'kyro.compact' "CALL kyro.compact('$t')"
    run_psql -c "VACUUM ANALYZE $t" -c "INSERT INTO bench.result
      SELECT '$index', '$variant', 'size', x.* FROM (VALUES ('table, bytes/row', pg_table_size('$t')::float8 / $rows), ('index, bytes/row', pg_relation_size('${t}_e')::float8 / $rows)) x"
    say "bench: $t is made"
  done
done

# search INDEX WHAT CONDITION SETTING: in all variants
search() {
  local variant
  for variant in heap kyro_log kyro_sealed heap_churned kyro_compacted; do
    run_psql -c "$4; SET enable_seqscan = off; SET enable_sort = off; SELECT bench.search('$1', '$variant', '$2', '$3')"
  done
}
for ((round = 1; round <= rounds; round++)); do
  search hnsw 'ef_search = 40' true 'SET hnsw.ef_search = 40'
  search hnsw 'ef_search = 200' true 'SET hnsw.ef_search = 200'
  search hnsw 'one row in eight' 'grp = 3' 'SET hnsw.ef_search = 40; SET hnsw.iterative_scan = strict_order'
  search ivfflat 'probes = 5' true 'SET ivfflat.probes = 5'
  search ivfflat 'probes = 20' true 'SET ivfflat.probes = 20'
  search ivfflat 'one row in eight' 'grp = 3' 'SET ivfflat.probes = 5; SET ivfflat.iterative_scan = relaxed_order'
  say "bench: round $round"
done

run_psql <<SQL
CREATE VIEW bench.report AS
WITH figure AS (
	SELECT index, variant, measure, unit, percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value FROM bench.result WHERE unit <> 'elapsed' GROUP BY 1, 2, 3, 4
	UNION ALL
	SELECT index, variant, measure, 'ms elapsed, ' || name, percentile_cont(part) WITHIN GROUP (ORDER BY value)
	FROM bench.result, (VALUES ('p50', 0.5), ('p99', 0.99)) p(name, part) WHERE unit = 'elapsed' GROUP BY 1, 2, 3, 4, part)
SELECT index, measure, unit, $(for variant in heap kyro_log kyro_sealed heap_churned kyro_compacted; do
  printf "round(max(value) FILTER (WHERE variant = '%s')::numeric, 3) AS %s" $variant $variant
  [ $variant = kyro_compacted ] || printf ', '
done)
FROM figure GROUP BY 1, 2, 3 ORDER BY 1, 3 DESC, 2;
SQL
version="kyrodb $(version_of_control) on PostgreSQL $(bench_psql -A -t -c "SELECT current_setting('server_version_num')::int / 10000 || '.' || current_setting('server_version_num')::int % 10000") with pgvector $(bench_psql -A -t -c "SELECT extversion FROM pg_extension WHERE extname = 'vector'")"
say "# $command; $dimensions dimensions, $searches searches, $rounds rounds; load $load_before before, $(load) after; $(machine)" >>"$csv"
bench_psql --csv -t -c "SELECT '$(date -u +%F)', '$version', $rows, r.* FROM bench.report r" >>"$csv"
bench_psql -c "SELECT * FROM bench.report"
say "bench: appended to $csv"
