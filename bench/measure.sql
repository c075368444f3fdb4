-- What the phases of bench/run.sh share.  Every phase adds to bench.result;
-- bench.report has the medians, and how many times better kyro_rmi is.

CREATE EXTENSION kyrodb;
CREATE SCHEMA bench;

CREATE UNLOGGED TABLE bench.keys (v bigint, k bigint);	-- in heap order
CREATE TABLE bench.t (k bigint, v bigint);

-- One row: what run.sh was asked for.
CREATE TABLE bench.param (
	set text,
	heap_order text,
	n bigint,
	rounds int,
	probes int,
	fillfactor int);

CREATE TABLE bench.result (
	set text,
	heap_order text,
	n bigint,
	measure text,
	unit text,
	am text,
	value float8,
	at timestamptz DEFAULT clock_timestamp());

CREATE FUNCTION bench.note(measure text, unit text, am text, value float8) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO bench.result
		SELECT p.set, p.heap_order, p.n, measure, unit, am, value FROM bench.param p;
$$;

-- nbtree / kyro_rmi: above 1, kyro_rmi is better (smaller, faster).
CREATE VIEW bench.report AS
	SELECT set, heap_order, n, measure, unit,
		   round(b::numeric, 3) AS nbtree, round(k::numeric, 3) AS kyro_rmi,
		   round((b / nullif(k, 0))::numeric, 2) AS ratio
	FROM (SELECT set, heap_order, n, measure, unit, min(at) AS at,
				 percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FILTER (WHERE am = 'btree') AS b,
				 percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FILTER (WHERE am = 'kyro_rmi') AS k
		  FROM bench.result GROUP BY 1, 2, 3, 4, 5) s
	ORDER BY at;

CREATE FUNCTION bench.seconds(since timestamptz) RETURNS float8
LANGUAGE sql AS 'SELECT extract(epoch FROM clock_timestamp() - since)::float8';

-- Create one index; returns seconds.
CREATE FUNCTION bench.create_index(am text) RETURNS float8
LANGUAGE plpgsql AS $$
DECLARE
	since timestamptz := clock_timestamp();
BEGIN
	EXECUTE format('CREATE INDEX t_%s ON bench.t USING %s (k) WITH (fillfactor = %s)',
				   am, am, (SELECT fillfactor FROM bench.param));
	RETURN bench.seconds(since);
END $$;

CREATE FUNCTION bench.note_sizes(measure text) RETURNS void
LANGUAGE sql AS $$
	SELECT bench.note(measure, 'bytes/row', am,
					  pg_relation_size(format('bench.t_%s', am)::regclass)::float8 / (SELECT count(*) FROM bench.t))
	FROM unnest(ARRAY['btree', 'kyro_rmi']) am;
$$;

-- Execution time of a query in ms, as if one of the two indexes did not exist.
CREATE FUNCTION bench.without(hidden text, query text) RETURNS float8
LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	BEGIN
		IF hidden <> '' THEN
			EXECUTE format('DROP INDEX bench.%s', hidden);
		END IF;
		EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ' || query INTO plan;
		IF hidden <> '' AND plan::text !~ 'Index (Only )?Scan' THEN
			RAISE EXCEPTION 'the index was not used: %', plan;
		END IF;
		RAISE EXCEPTION USING errcode = 'KY001';
	EXCEPTION WHEN SQLSTATE 'KY001' THEN
		-- the index is back, the variable keeps its value
	END;
	RETURN (plan->0->>'Execution Time')::float8;
END $$;
