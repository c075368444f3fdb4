#!/bin/bash
#
# store.sh [option...]
#   Measure kyro tables against heap tables, on a private cluster with a
#   private copy of PostgreSQL; README.md says what the columns mean.
#
#   -n N        rows (default 10000000)
#   -d SET      data set of the keys, see run.sh -l (default uniform)
#   -o ORDER    order in which rows are loaded: key or random (default key)
#   -p N        look-ups per measurement (default rows / 10, at most 1000000)
#   -r N        interleaved rounds, of which the median counts (default 3)
#   -s WHAT     any of: size point range scan touched seal update insert cold
#               (default all)
#   -O FILE     CSV, appended (default results/store-<date>.csv)

set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

rows=10000000 set=uniform order=key probes="" rounds=3 seed=42 csv=""
what="size point range scan touched seal update insert cold"
command="bench/store.sh $*"
while getopts n:d:o:p:r:s:O: option; do
  case $option in
    n) rows=$OPTARG ;; d) set=$OPTARG ;; o) order=$OPTARG ;; p) probes=$OPTARG ;;
    r) rounds=$OPTARG ;; s) what=$OPTARG ;; O) csv=$(realpath -m "$OPTARG") ;;
    *) sed -n '3,15s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
case $rows$probes$rounds in *[!0-9]*) die "-n, -p and -r are numbers" ;; esac
[ "$rows" -ge 100000 ] || die "-n is at least 100000"
case $order in key | random) ;; *) die "-o is key or random" ;; esac
for w in $what; do
  case $w in size | point | range | scan | touched | seal | update | insert | cold) ;; *) die "no such measurement: $w" ;; esac
done
probes=${probes:-$((rows / 10 < 1000000 ? rows / 10 : 1000000))}
csv=${csv:-$ROOT/bench/results/store-$(date +%Y-%m-%d).csv}
csv_columns "$csv" "date,server,rows,what,variant,metric,value,unit,ratio_to_heap_nbtree"

say "bench: $command"
say "bench: $rows rows of $set, loaded in $order order, seed $seed, $probes look-ups, $rounds rounds; load $load_before"
say "bench: PostgreSQL and the extension, in a copy"
bench_begin
# every look-up by a nested loop, from a list, through the index
bench_cluster "max_wal_size = '12GB'" 'enable_hashjoin = off' 'enable_mergejoin = off' \
  'enable_bitmapscan = off' 'enable_material = off' 'enable_memoize = off'

run_psql() { bench_psql -A -t "$@" >/dev/null; }

# ---------------------------------------------------------------------------
# Tables of the benchmark, and the functions that measure.
run_psql -f "$SRC/bench/cpu.sql"
run_psql <<'SQL'
CREATE UNLOGGED TABLE bench.keys (v bigint, k bigint);	-- in the order of loading
CREATE UNLOGGED TABLE bench.source (key bigint, value text);
CREATE TABLE bench.param (n bigint, rounds int, probes int);
CREATE TABLE bench.result (
	what text,
	variant text,
	metric text,
	value float8,
	unit text,
	at timestamptz DEFAULT clock_timestamp());

-- Medians.  The ratio says how many times better than heap + nbtree.
CREATE VIEW bench.report AS
	SELECT what, variant, metric, round(value::numeric, 4) AS value, unit,
		   round((CASE WHEN unit = 'rows/s' THEN value / nullif(base, 0)
					   ELSE base / nullif(value, 0) END)::numeric, 2) AS ratio_to_heap_nbtree
	FROM (SELECT *, max(value) FILTER (WHERE variant = 'heap_nbtree') OVER (PARTITION BY what, metric) AS base,
				 min(at) OVER (PARTITION BY what, metric) AS first
		  FROM (SELECT what, variant, metric, unit, min(at) AS at,
					   percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value
				FROM bench.result GROUP BY 1, 2, 3, 4) medians) s
	ORDER BY first, at;

-- Run a query.  In ms: processor time, and the time that passed, both less
-- those of reading its list.
CREATE FUNCTION bench.ms(query text, plan_has text, list text DEFAULT NULL,
						 OUT cpu float8, OUT elapsed float8, OUT wal float8)
LANGUAGE plpgsql AS $$
DECLARE
	plan json;
	since float8 := bench.cpu();
	base record;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, WAL, TIMING OFF, FORMAT JSON) ' || query INTO plan;
	cpu := bench.cpu() - since;
	IF plan::text !~ plan_has THEN
		RAISE EXCEPTION 'not the plan to be measured: %', plan;
	END IF;
	elapsed := (plan->0->>'Execution Time')::float8;
	wal := (plan->0->'Plan'->>'WAL Bytes')::float8;
	IF list IS NOT NULL THEN
		base := bench.ms(format('SELECT count(*) FROM bench.%I', list), '');
		cpu := cpu - base.cpu;
		elapsed := elapsed - base.elapsed;
	END IF;
END $$;

-- Processor time in ms of a query that only reads, less that of reading its
-- list; nothing is instrumented.
CREATE FUNCTION bench.read_ms(query text, plan_has text, list text DEFAULT NULL) RETURNS float8
LANGUAGE plpgsql AS $$
DECLARE
	plan json;
	since float8;
	ms float8;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
	IF plan::text !~ plan_has THEN
		RAISE EXCEPTION 'not the plan to be measured: %', plan;
	END IF;
	since := bench.cpu();
	EXECUTE query;
	ms := bench.cpu() - since;
	IF list IS NOT NULL THEN
		ms := ms - bench.read_ms(format('SELECT count(*) FROM bench.%I', list), '');
	END IF;
	RETURN ms;
END $$;

CREATE FUNCTION bench.count(tab text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM bench.%I', tab) INTO n;
	RETURN n;
END $$;

-- Read all tables in turn, all in this session; run 0 warms up.
-- variants: name of the variant, or name=table; "..._buffers" is without maps.
CREATE PROCEDURE bench.read(what text, kind text, variants text[], stage text DEFAULT '')
LANGUAGE plpgsql AS $$
DECLARE
	v text;
	t text;
	x float8;
BEGIN
	FOR round IN 0 .. (SELECT rounds FROM bench.param) LOOP
		FOREACH v IN ARRAY variants LOOP
			t := split_part(v, '=', 2);
			v := split_part(v, '=', 1);
			t := CASE WHEN t = '' THEN v ELSE t END;
			PERFORM set_config('kyro.mmap', CASE WHEN v LIKE '%\_buffers' THEN 'off' ELSE 'on' END, false);
			x := CASE kind
				WHEN 'point' THEN
					bench.read_ms(format('SELECT count(t.value) FROM bench.list l JOIN bench.%I t ON t.key = l.k', t),
								  'Index Scan', 'list') * 1000 / bench.count('list')
				WHEN 'range' THEN
					bench.read_ms(format('SELECT count(t.value) FROM bench.ranges l JOIN bench.%I t ON t.key BETWEEN l.k AND l.hi', t),
								  'Index Scan', 'ranges') * 1000 / bench.count('ranges')
				WHEN 'scan' THEN
					bench.read_ms(format('SELECT count(key), count(value) FROM bench.%I', t), 'Seq Scan') * 1e6 / (SELECT n FROM bench.param)
				END;
			IF round > 0 THEN
				INSERT INTO bench.result VALUES
					(what, v, CASE kind
						WHEN 'point' THEN 'random point read'
						WHEN 'range' THEN '100 consecutive keys'
						WHEN 'scan' THEN 'sequential scan' END || stage,
					 x, CASE kind WHEN 'scan' THEN 'ns/row' ELSE 'us' END);
			END IF;
		END LOOP;
	END LOOP;
END $$;

-- Change (or lock) the rows of a list; time and WAL per row.  Commits, so that
-- what comes next finds a usual table.
CREATE PROCEDURE bench.write(what text, variant text, metric text, list text, query text, plan_has text)
LANGUAGE plpgsql AS $$
DECLARE
	x record;
	n bigint := bench.count(list);
BEGIN
	CHECKPOINT;
	x := bench.ms(query, plan_has, list);
	COMMIT;
	INSERT INTO bench.result VALUES
		(what, variant, metric, x.cpu * 1000 / n, 'us/row'),
		(what, variant, metric || ', elapsed', x.elapsed * 1000 / n, 'us/row'),
		(what, variant, metric || ', WAL', x.wal / n, 'bytes/row');
END $$;

CREATE PROCEDURE bench.seal(variant text, tab text)
LANGUAGE plpgsql AS $$
DECLARE
	since timestamptz;
	cpu float8;
	lsn pg_lsn;
	n float8 := bench.count(tab);
	sealed bigint := n;
	s float8;
BEGIN
	CHECKPOINT;
	cpu := bench.cpu();
	since := clock_timestamp();
	lsn := pg_current_wal_insert_lsn();
	IF variant = 'heap_nbtree' THEN
		EXECUTE format('CLUSTER bench.%I USING %I', tab, tab || '_key');
	ELSE
		SELECT rows INTO sealed FROM kyro.snapshot(format('bench.%I', tab)::regclass);
	END IF;
	COMMIT;
	s := extract(epoch FROM clock_timestamp() - since);
	IF sealed <> n THEN
		RAISE EXCEPTION 'sealed % rows of %', sealed, n;
	END IF;
	INSERT INTO bench.result VALUES
		('seal', variant, 'seal (heap: CLUSTER)', n / s, 'rows/s'),
		('seal', variant, 'processor time', (bench.cpu() - cpu) * 1000 / n, 'us/row'),
		('seal', variant, 'writers locked out, per million rows', s * 1e6 / n, 's'),
		('seal', variant, 'WAL', (pg_current_wal_insert_lsn() - lsn) / n, 'bytes/row');
END $$;

CREATE PROCEDURE bench.note_size(variant text, tab text, stage text)
LANGUAGE sql AS $$
	INSERT INTO bench.result
		SELECT 'size', variant, m || ', ' || stage, b / (SELECT n::float8 FROM bench.param), 'bytes/row'
		FROM (VALUES ('table', pg_table_size(format('bench.%I', tab)::regclass)),
					 ('index', pg_indexes_size(format('bench.%I', tab)::regclass)),
					 ('table and index', pg_total_relation_size(format('bench.%I', tab)::regclass))) x (m, b);
$$;
SQL

# ---------------------------------------------------------------------------
am_of() { case $1 in kyro*) echo kyro ;; *) echo heap ;; esac; }
index_of() { case $1 in *_nbtree) echo btree ;; *) echo kyro_rmi ;; esac; }

# SQL of a new table.  TABLE VARIANT [empty|loaded|sealed]
make_table() {
  echo "DROP TABLE IF EXISTS bench.$1; CREATE TABLE bench.$1 (key bigint, value text) USING $(am_of "$2");"
  [ "$3" = empty ] || echo "INSERT INTO bench.$1 SELECT key, value FROM bench.source;"
  [ "$2" = kyro_no_index ] || echo "CREATE INDEX $1_key ON bench.$1 USING $(index_of "$2") (key);"
  if [ "$3" != sealed ] || [ "$(am_of "$2")" = heap ]; then
    echo "VACUUM ANALYZE bench.$1;"
  else
    echo "SELECT kyro.snapshot('bench.$1'); VACUUM ANALYZE bench.$1;"
  fi
}

# The tables that the reading measurements share, made when first needed.
read_tables=""
need_read_tables() {
  [ -z "$read_tables" ] || return 0
  say "bench: tables to read"
  { make_table heap_nbtree heap_nbtree loaded
    make_table heap_kyro_rmi heap_kyro_rmi loaded
    make_table kyro kyro sealed
    make_table kyro_full kyro sealed
    echo "VACUUM FULL bench.kyro_full; VACUUM ANALYZE bench.kyro_full; CHECKPOINT;"
    # they must all give the same answers
    cat <<'SQL'
DO $$
DECLARE
	t text;
	answer text;
	expected text;
BEGIN
	FOREACH t IN ARRAY ARRAY['source', 'heap_nbtree', 'heap_kyro_rmi', 'kyro', 'kyro_full'] LOOP
		EXECUTE format('SELECT format(''%%s %%s'', count(*), sum(hashtextextended(value, key)::numeric)) FROM bench.%I', t) INTO answer;
		expected := coalesce(expected, answer);
		IF answer <> expected THEN
			RAISE EXCEPTION 'table %: answer % instead of %', t, answer, expected;
		END IF;
	END LOOP;
END $$;
SQL
  } | run_psql
  read_tables=yes
}
drop_read_tables() {
  [ -n "$read_tables" ] || return 0
  run_psql -c 'DROP TABLE bench.heap_nbtree, bench.heap_kyro_rmi, bench.kyro, bench.kyro_full'
  read_tables=""
}

five="ARRAY['heap_nbtree', 'heap_kyro_rmi', 'kyro', 'kyro_buffers=kyro', 'kyro_full']"
three="ARRAY['heap_nbtree', 'heap_kyro_rmi', 'kyro']"

measure_size() {
  local v

  for v in heap_nbtree heap_kyro_rmi kyro; do
    { make_table t $v loaded
      echo "CALL bench.note_size('$v', 't', 'loaded');"
      if [ $v = kyro ]; then
        echo "SELECT kyro.snapshot('bench.t'); CALL bench.note_size('$v', 't', 'sealed');"
        echo "VACUUM bench.t; CALL bench.note_size('$v', 't', 'sealed, VACUUM');"
      fi
      echo "VACUUM FULL bench.t; VACUUM bench.t; CALL bench.note_size('$v', 't', 'VACUUM FULL'); DROP TABLE bench.t;"
    } | run_psql
  done
}

measure_point() {
  local v round

  need_read_tables
  run_psql -c "CALL bench.read('point', 'point', $five)"
  # what a session pays that has just connected: nothing of the table is mapped,
  # no page has been verified, nothing is known of an index
  for ((round = 1; round <= 3 * rounds; round++)); do
    for v in heap_nbtree heap_kyro_rmi kyro kyro_full; do
      run_psql -c "INSERT INTO bench.result SELECT 'point', '$v', 'the first 1000 of a session, together',
        (bench.ms('SELECT sum(length(t.value)) FROM bench.few l JOIN bench.$v t ON t.key = l.k', 'Index Scan', 'few')).cpu, 'ms'"
    done
  done
}

measure_range() {
  need_read_tables
  run_psql -c "CALL bench.read('range', 'range', $five)"
}

measure_scan() {
  need_read_tables
  run_psql -c "CALL bench.read('scan', 'scan',
    ARRAY['heap_nbtree', 'kyro', 'kyro_buffers=kyro', 'kyro_full', 'kyro_full_buffers=kyro_full'])"
}

# Reads after some rows have changed.  Spoils the tables to read.
measure_touched() {
  local v list share

  need_read_tables
  read_all() {
    run_psql -c "CALL bench.read('touched', 'point', $three, ', $1')" -c "CALL bench.read('touched', 'scan', $three, ', $1')"
  }
  read_all "before"
  for list in update_a update_b; do
    share=$([ $list = update_a ] && echo 1% || echo 10%)
    for v in heap_nbtree heap_kyro_rmi kyro; do
      run_psql -c "UPDATE bench.$v t SET value = md5(t.value) FROM bench.$list l WHERE t.key = l.k"
    done
    read_all "$share updated"
    for v in heap_nbtree heap_kyro_rmi kyro; do run_psql -c "VACUUM bench.$v"; done
    read_all "$share updated, VACUUM"
  done
  for v in heap_nbtree heap_kyro_rmi kyro; do run_psql -c "VACUUM FULL bench.$v" -c "VACUUM bench.$v"; done
  read_all "10% updated, VACUUM FULL"
  drop_read_tables
}

measure_seal() {
  local v round

  for ((round = 1; round <= rounds; round++)); do
    for v in heap_nbtree kyro_no_index kyro_kyro_rmi kyro_nbtree; do
      { make_table t $v loaded
        echo "CALL bench.seal('$v', 't');"
        echo "DROP TABLE bench.t;"
      } | run_psql
    done
  done
}

measure_update() {
  local v round

  write() { # METRIC LIST QUERY PLAN
    echo "CALL bench.write('update', '$v', '$1', '$2', 'EXPLAINED', 'PLAN');" |
      sed "s/EXPLAINED/$3/; s/PLAN/$4/"
  }
  update() { write "$1" "$2" "UPDATE bench.t SET value = md5(t.value) FROM bench.$2 l WHERE t.key = l.k" "Index Scan"; }
  for ((round = 1; round <= rounds; round++)); do
    for v in heap_nbtree heap_kyro_rmi kyro; do
      { make_table t $v sealed
        update "first update, 1%" update_a
        update "second update of the same rows, 1%" update_a
        write "DELETE, 1%" delete "DELETE FROM bench.t USING bench.delete l WHERE t.key = l.k" "Index Scan"
        write "SELECT FOR UPDATE, 1%" locked \
          "SELECT count(*) FROM (SELECT 1 FROM bench.locked l JOIN bench.t ON t.key = l.k FOR UPDATE OF t) s" LockRows
        update "first update, 10%" update_b
        echo "DROP TABLE bench.t;"
      } | run_psql
    done
  done
}

measure_insert() {
  local v round order

  for ((round = 1; round <= rounds; round++)); do
    for order in ascending random; do
      for v in heap_nbtree heap_kyro_rmi kyro; do
        { make_table t $v empty
          echo "CALL bench.write('insert', '$v', '$order INSERT', 'insert_$order',
            'INSERT INTO bench.t SELECT key, value FROM bench.insert_$order', 'ModifyTable');"
          echo "DROP TABLE bench.t;"
        } | run_psql
      done
    done
  done
}

# Nothing in shared buffers, nothing in the system's page cache.  (Whatever
# caches lie below the machine, if it is a virtual one, are beyond us: each
# round reads other keys.)
measure_cold() {
  local v round t mmap

  sync
  if ! (echo 3 >/proc/sys/vm/drop_caches) 2>/dev/null; then
    say "bench: cold: skipped, /proc/sys/vm/drop_caches cannot be written"
    return 0
  fi
  need_read_tables
  go_cold() {
    stop_server
    sync
    echo 3 >/proc/sys/vm/drop_caches
    start_server
  }
  for ((round = 1; round <= rounds; round++)); do
    for v in heap_nbtree heap_kyro_rmi kyro kyro_buffers; do
      t=${v%_buffers}
      mmap=$([ "$v" = kyro_buffers ] && echo off || echo on)
      go_cold
      # catalogs and the list are warmed up, the table is not
      run_psql -c "SET kyro.mmap = $mmap" \
        -c "CREATE TEMP TABLE wanted AS SELECT k FROM bench.cold WHERE round = $round ORDER BY k % 1009, k" -c "ANALYZE wanted" \
        -c "EXPLAIN SELECT sum(length(t.value)) FROM wanted l JOIN bench.$t t ON t.key = l.k" \
        -c "SELECT bench.ms('SELECT sum(length(t.value)) FROM wanted l JOIN bench.dummy t ON t.key = l.k', 'Index Scan')" \
        -c "INSERT INTO bench.result SELECT 'cold', '$v', 'random point read, nothing cached',
          (bench.ms('SELECT sum(length(t.value)) FROM wanted l JOIN bench.$t t ON t.key = l.k', 'Index Scan')).elapsed
          * 1000 / (SELECT count(*) FROM wanted), 'us'"
      [ $v != heap_kyro_rmi ] || continue
      go_cold
      run_psql -c "SET kyro.mmap = $mmap" \
        -c "SELECT bench.ms('SELECT sum(key), sum(length(value)), count(*) FROM bench.dummy', 'Seq Scan')" \
        -c "INSERT INTO bench.result SELECT 'cold', '$v', 'sequential scan, nothing cached',
          (bench.ms('SELECT sum(key), sum(length(value)), count(*) FROM bench.$t', 'Seq Scan')).elapsed * 1e6 / n, 'ns/row' FROM bench.param"
    done
  done
}

# ---------------------------------------------------------------------------
say "bench: keys and lists"
"$W/kyro_datasets" "$set" "$rows" "$seed" "$order" -i | run_psql -c 'COPY bench.keys (v, k) FROM STDIN'
run_psql -v probes="$probes" -v rounds="$rounds" <<'SQL'
-- data sets may repeat keys; a table by key does not
INSERT INTO bench.source SELECT k, md5(k::text) FROM
	(SELECT k, min(v) AS v FROM bench.keys GROUP BY k) s ORDER BY v;
INSERT INTO bench.param SELECT count(*), :rounds, :probes FROM bench.source;
DROP TABLE bench.keys;

-- Every list is a random sample in random order, and the same for all.
SELECT setseed(0.5);
CREATE UNLOGGED TABLE bench.shuffled AS
	SELECT k, (row_number() OVER ())::float8 / (SELECT n FROM bench.param) AS at
	FROM (SELECT key AS k FROM bench.source ORDER BY random()) s;
CREATE UNLOGGED TABLE bench.update_a AS SELECT k FROM bench.shuffled WHERE at <= 0.01;
CREATE UNLOGGED TABLE bench.delete AS SELECT k FROM bench.shuffled WHERE at > 0.01 AND at <= 0.02;
CREATE UNLOGGED TABLE bench.locked AS SELECT k FROM bench.shuffled WHERE at > 0.02 AND at <= 0.03;
CREATE UNLOGGED TABLE bench.update_b AS SELECT k FROM bench.shuffled WHERE at > 0.03 AND at <= 0.13;
CREATE UNLOGGED TABLE bench.list AS SELECT k FROM bench.shuffled ORDER BY random() LIMIT :probes;
CREATE UNLOGGED TABLE bench.few AS SELECT k FROM bench.shuffled LIMIT 1000;
-- Each round its own; what other lists read is not yet read in any case.
CREATE UNLOGGED TABLE bench.cold AS
	SELECT k, 1 + (row_number() OVER ()) % :rounds AS round FROM bench.shuffled LIMIT 2000 * :rounds;
-- from a key to the one 99 further on
CREATE UNLOGGED TABLE bench.ranges AS
	SELECT k, hi FROM (SELECT key AS k, lead(key, 99) OVER (ORDER BY key) AS hi FROM bench.source) s
	WHERE hi IS NOT NULL ORDER BY random() LIMIT greatest(:probes / 20, 1000);
-- rows for empty tables, a tenth of all
CREATE UNLOGGED TABLE bench.insert_random AS
	SELECT k AS key, md5(k::text) AS value FROM bench.shuffled LIMIT (SELECT n / 10 FROM bench.param);
CREATE UNLOGGED TABLE bench.insert_ascending AS SELECT * FROM bench.insert_random ORDER BY key;
DROP TABLE bench.shuffled;
CREATE TABLE bench.dummy (key bigint, value text);
INSERT INTO bench.dummy SELECT g, md5(g::text) FROM generate_series(1, 10000) g;
CREATE INDEX ON bench.dummy (key);
VACUUM ANALYZE;
SQL
for w in size point range scan cold touched seal update insert; do
  case " $what " in
    *" $w "*)
      say "bench: $w, load $(load)"
      case $w in seal | update | insert) drop_read_tables ;; esac
      "measure_$w"
      ;;
  esac
done

server="kyrodb $(version_of_control) on PostgreSQL $("$BIN/postgres" --version | sed 's/.* \([0-9][0-9.]*\) .*/\1/')"
{
  say "# $command; $set, $order order, seed $seed, $probes look-ups, $rounds rounds; load $load_before before, $(load) after; $(machine)"
  bench_psql --csv -t \
    -c "SELECT '$(date -u +%F)', '$server', (SELECT n FROM bench.param), r.* FROM bench.report r"
} >>"$csv"
bench_psql -c 'TABLE bench.report'
say "bench: appended to $csv"
