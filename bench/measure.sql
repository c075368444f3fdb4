-- What the phases of bench/run.sh share, after cpu.sql.  Every phase adds to
-- bench.result; bench.report has the medians, and how many times better
-- kyro_rmi is.
--
-- A variant is an index bench.t_<variant>: btree, kyro_rmi, kyro_generic (by
-- generic WAL), hash, brin.  "none" is the same work without an index, or the
-- mere reading of the list of keys: bench.report takes it off.

CREATE UNLOGGED TABLE bench.keys (v bigint, k bigint);	-- in heap order, v from 1
CREATE TABLE bench.t (k bigint, v bigint);

-- One row: what run.sh was asked for.
CREATE TABLE bench.param (
	set text,
	heap_order text,
	n bigint,
	rounds int,
	probes int,
	fillfactor int,
	others text[] DEFAULT '{}');

CREATE TABLE bench.result (
	set text,
	heap_order text,
	n bigint,
	measure text,
	unit text,
	variant text,
	value float8,
	at timestamptz DEFAULT clock_timestamp());

-- Make room for another set: forget the keys, and the lists of lists.sql.
CREATE FUNCTION bench.forget() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE bench.keys, bench.param;
	COMMENT ON TABLE bench.t IS NULL;
	DROP TABLE IF EXISTS bench.list, bench.sorted, bench.zipf, bench.ranges_10, bench.ranges_100, bench.ranges_1000, bench.arrays, bench.arrays_10000;
END $$;

CREATE FUNCTION bench.variants() RETURNS text[]
LANGUAGE sql AS $$SELECT ARRAY['btree', 'kyro_rmi'] || others FROM bench.param$$;

CREATE FUNCTION bench.note(measure text, unit text, variant text, value float8) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO bench.result
		SELECT p.set, p.heap_order, p.n, measure, unit, variant, value FROM bench.param p;
$$;

CREATE VIEW bench.median AS
	SELECT m.set, m.heap_order, m.n, m.measure, m.unit, m.variant, m.at,
		   m.value - coalesce(base.value, 0) AS value
	FROM (SELECT set, heap_order, n, measure, unit, variant, min(at) AS at,
				 percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value
		  FROM bench.result GROUP BY 1, 2, 3, 4, 5, 6) m
	LEFT JOIN (SELECT set, heap_order, n, measure, unit,
					  percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value
			   FROM bench.result WHERE variant = 'none' GROUP BY 1, 2, 3, 4, 5) base
		USING (set, heap_order, n, measure, unit)
	WHERE m.variant <> 'none';

-- ratio says how many times better kyro_rmi is (smaller, faster): nbtree /
-- kyro_rmi, or the other way round where more is better.
CREATE VIEW bench.report AS
	SELECT set, heap_order, n, measure, unit, nbtree, kyro_rmi,
		   round(CASE WHEN unit IN ('tps', 'hit ratio') THEN k / nullif(b, 0) ELSE b / nullif(k, 0) END::numeric, 2) AS ratio, kyro_generic, hash, brin
	FROM (SELECT set, heap_order, n, measure, unit, min(at) AS at,
				 min(value) FILTER (WHERE variant = 'btree') AS b,
				 min(value) FILTER (WHERE variant = 'kyro_rmi') AS k,
				 round(min(value::numeric) FILTER (WHERE variant = 'btree'), 4) AS nbtree,
				 round(min(value::numeric) FILTER (WHERE variant = 'kyro_rmi'), 4) AS kyro_rmi,
				 round(min(value::numeric) FILTER (WHERE variant = 'kyro_generic'), 4) AS kyro_generic,
				 round(min(value::numeric) FILTER (WHERE variant = 'hash'), 4) AS hash,
				 round(min(value::numeric) FILTER (WHERE variant = 'brin'), 4) AS brin
		  FROM bench.median GROUP BY 1, 2, 3, 4, 5) s
	ORDER BY at;

-- Create the index of a variant; processor time in seconds.
CREATE FUNCTION bench.create_index(variant text) RETURNS float8
LANGUAGE plpgsql AS $$
DECLARE
	since float8;
	s float8;
	carrier text;
BEGIN
	IF variant = 'none' THEN
		RETURN 0;
	END IF;
	PERFORM set_config('kyro.resource_manager', CASE variant WHEN 'kyro_generic' THEN 'off' ELSE 'on' END, false);
	since := bench.cpu();
	EXECUTE format('CREATE INDEX t_%s ON bench.t USING %s (k)', variant, replace(variant, 'kyro_generic', 'kyro_rmi')) ||
		CASE WHEN variant <> 'brin' THEN format(' WITH (fillfactor = %s)', (SELECT fillfactor FROM bench.param)) ELSE '' END;
	s := (bench.cpu() - since) / 1000;
	carrier := (SELECT i.carrier FROM kyro.stat_indexes i WHERE i.indexrelid = to_regclass('bench.t_' || variant));
	IF carrier <> (CASE variant WHEN 'kyro_generic' THEN 'generic' ELSE 'own' END) THEN
		RAISE EXCEPTION 'index of %: carrier %', variant, carrier;
	END IF;
	RETURN s;
END $$;

CREATE FUNCTION bench.drop_indexes(but text DEFAULT '') RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	x regclass;
BEGIN
	FOR x IN SELECT indexrelid FROM pg_index JOIN pg_class c ON c.oid = indexrelid
			 WHERE indrelid = 'bench.t'::regclass AND relname <> 't_' || but LOOP
		EXECUTE format('DROP INDEX %s', x);
	END LOOP;
END $$;

-- Bytes per row of all indexes of bench.t.
CREATE FUNCTION bench.note_sizes(measure text) RETURNS void
LANGUAGE sql AS $$
	SELECT bench.note(measure, 'bytes/row', substr(relname, 3), pg_relation_size(indexrelid)::float8 / n)
	FROM pg_index JOIN pg_class c ON c.oid = indexrelid, (SELECT count(*) AS n FROM bench.t) t
	WHERE indrelid = 'bench.t'::regclass;
$$;

-- Run a query that only reads, as if the variant's index were the only one.
-- Nothing is instrumented.  bitmap: by bitmap scans.  Processor time in ms, blocks of the index.
CREATE FUNCTION bench.read_ms(variant text, query text, bitmap bool DEFAULT false, OUT ms float8, OUT blocks bigint)
LANGUAGE plpgsql AS $$
DECLARE
	plan json;
	since float8;
	x oid := to_regclass('bench.t_' || variant);
BEGIN
	PERFORM set_config('enable_bitmapscan', (bitmap OR variant = 'brin')::text, false),
			set_config('enable_indexscan', (NOT bitmap)::text, false),
			set_config('enable_indexonlyscan', (NOT bitmap)::text, false);
	BEGIN
		IF variant <> 'none' THEN
			PERFORM bench.drop_indexes(variant);
			EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
			IF plan::text !~ format('"t_%s"', variant) THEN
				RAISE EXCEPTION 'the index was not used: %', plan;
			END IF;
		END IF;
		blocks := pg_stat_get_xact_blocks_fetched(x);
		since := bench.cpu();
		EXECUTE query;
		ms := bench.cpu() - since;
		blocks := pg_stat_get_xact_blocks_fetched(x) - blocks;
		RAISE EXCEPTION USING errcode = 'KY001';
	EXCEPTION WHEN SQLSTATE 'KY001' THEN
		-- the other indexes are back, the variables keep their values
	END;
END $$;

-- Measure a query that takes keys from a list, per look-up: "per" of them for
-- each row of the list.
CREATE PROCEDURE bench.read(measure text, list text, query text, per int DEFAULT 1, more text[] DEFAULT '{}', bitmap bool DEFAULT false)
LANGUAGE plpgsql AS $$
DECLARE
	v text;
	x record;
	n float8;
BEGIN
	EXECUTE format('SELECT count(*) * $1 FROM bench.%I', list) INTO n USING per;
	FOR round IN 0 .. (SELECT rounds FROM bench.param) LOOP		-- run 0 warms up
		FOREACH v IN ARRAY ARRAY['none', 'btree', 'kyro_rmi'] || more LOOP
			CONTINUE WHEN v <> 'none' AND v <> ALL (bench.variants());
			x := bench.read_ms(v, CASE v WHEN 'none' THEN format('SELECT count(*) FROM bench.%I', list) ELSE query END, bitmap);
			IF round > 0 THEN
				PERFORM bench.note(measure, 'us', v, x.ms * 1000 / n);
			END IF;
		END LOOP;
		COMMIT;
	END LOOP;
END $$;

-- Run a query that writes, once; time and WAL per row.
CREATE PROCEDURE bench.write(measure text, variant text, query text, n float8)
LANGUAGE plpgsql AS $$
DECLARE
	since float8;
	lsn pg_lsn;
BEGIN
	since := bench.cpu();
	lsn := pg_current_wal_insert_lsn();
	EXECUTE query;
	COMMIT;
	PERFORM bench.note(measure, 'us', variant, (bench.cpu() - since) * 1000 / n);
	PERFORM bench.note(measure || ', WAL', 'bytes/row', variant, (pg_current_wal_insert_lsn() - lsn)::float8 / n);
END $$;
