/* sql/kyrodb.sql */
-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION kyrodb" to load this file. \quit

-- Everything lives in schema kyro and is named with it, whatever schema the
-- extension is created in.  Operator classes are found as the defaults of
-- their types wherever they live.  (While a script runs, pg_catalog comes
-- first in search_path.)

CREATE SCHEMA kyro;
COMMENT ON SCHEMA kyro IS 'kyrodb: functions, views and operator classes of access methods kyro_rmi and kyro';
GRANT USAGE ON SCHEMA kyro TO PUBLIC;

-- access method

CREATE FUNCTION kyro.kyro_rmi_handler(internal) RETURNS index_am_handler
	AS 'MODULE_PATHNAME' LANGUAGE C;
COMMENT ON FUNCTION kyro.kyro_rmi_handler(internal) IS 'kyro_rmi index access method handler';

CREATE ACCESS METHOD kyro_rmi TYPE INDEX HANDLER kyro.kyro_rmi_handler;
COMMENT ON ACCESS METHOD kyro_rmi IS 'learned index: recursive model index over compressed leaf pages';

CREATE FUNCTION kyro.kyro_table_handler(internal) RETURNS table_am_handler
	AS 'MODULE_PATHNAME' LANGUAGE C;
COMMENT ON FUNCTION kyro.kyro_table_handler(internal) IS 'kyro table access method handler';

CREATE ACCESS METHOD kyro TYPE TABLE HANDLER kyro.kyro_table_handler;
COMMENT ON ACCESS METHOD kyro IS 'heap whose rows can be sealed into packed, ordered, immutable runs';

-- operator family integer_ops: strategies are numbered as btree's are

CREATE OPERATOR FAMILY kyro.integer_ops USING kyro_rmi;
COMMENT ON OPERATOR FAMILY kyro.integer_ops USING kyro_rmi IS 'integers of 2, 4 and 8 bytes, compared with one another';

CREATE OPERATOR CLASS kyro.int8_ops DEFAULT FOR TYPE pg_catalog.int8
	USING kyro_rmi FAMILY kyro.integer_ops AS
	OPERATOR 1 pg_catalog.<,
	OPERATOR 2 pg_catalog.<=,
	OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=,
	OPERATOR 5 pg_catalog.>,
	FUNCTION 1 pg_catalog.btint8cmp(pg_catalog.int8, pg_catalog.int8);
COMMENT ON OPERATOR CLASS kyro.int8_ops USING kyro_rmi IS 'kyro_rmi index on bigint (default)';

CREATE OPERATOR CLASS kyro.int4_ops DEFAULT FOR TYPE pg_catalog.int4
	USING kyro_rmi FAMILY kyro.integer_ops AS
	OPERATOR 1 pg_catalog.<,
	OPERATOR 2 pg_catalog.<=,
	OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=,
	OPERATOR 5 pg_catalog.>,
	FUNCTION 1 pg_catalog.btint4cmp(pg_catalog.int4, pg_catalog.int4);
COMMENT ON OPERATOR CLASS kyro.int4_ops USING kyro_rmi IS 'kyro_rmi index on integer (default)';

CREATE OPERATOR CLASS kyro.int2_ops DEFAULT FOR TYPE pg_catalog.int2
	USING kyro_rmi FAMILY kyro.integer_ops AS
	OPERATOR 1 pg_catalog.<,
	OPERATOR 2 pg_catalog.<=,
	OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=,
	OPERATOR 5 pg_catalog.>,
	FUNCTION 1 pg_catalog.btint2cmp(pg_catalog.int2, pg_catalog.int2);
COMMENT ON OPERATOR CLASS kyro.int2_ops USING kyro_rmi IS 'kyro_rmi index on smallint (default)';

ALTER OPERATOR FAMILY kyro.integer_ops USING kyro_rmi ADD
	-- bigint, integer
	OPERATOR 1 pg_catalog.< (pg_catalog.int8, pg_catalog.int4),
	OPERATOR 2 pg_catalog.<= (pg_catalog.int8, pg_catalog.int4),
	OPERATOR 3 pg_catalog.= (pg_catalog.int8, pg_catalog.int4),
	OPERATOR 4 pg_catalog.>= (pg_catalog.int8, pg_catalog.int4),
	OPERATOR 5 pg_catalog.> (pg_catalog.int8, pg_catalog.int4),
	FUNCTION 1 (pg_catalog.int8, pg_catalog.int4) pg_catalog.btint84cmp(pg_catalog.int8, pg_catalog.int4),
	-- bigint, smallint
	OPERATOR 1 pg_catalog.< (pg_catalog.int8, pg_catalog.int2),
	OPERATOR 2 pg_catalog.<= (pg_catalog.int8, pg_catalog.int2),
	OPERATOR 3 pg_catalog.= (pg_catalog.int8, pg_catalog.int2),
	OPERATOR 4 pg_catalog.>= (pg_catalog.int8, pg_catalog.int2),
	OPERATOR 5 pg_catalog.> (pg_catalog.int8, pg_catalog.int2),
	FUNCTION 1 (pg_catalog.int8, pg_catalog.int2) pg_catalog.btint82cmp(pg_catalog.int8, pg_catalog.int2),
	-- integer, bigint
	OPERATOR 1 pg_catalog.< (pg_catalog.int4, pg_catalog.int8),
	OPERATOR 2 pg_catalog.<= (pg_catalog.int4, pg_catalog.int8),
	OPERATOR 3 pg_catalog.= (pg_catalog.int4, pg_catalog.int8),
	OPERATOR 4 pg_catalog.>= (pg_catalog.int4, pg_catalog.int8),
	OPERATOR 5 pg_catalog.> (pg_catalog.int4, pg_catalog.int8),
	FUNCTION 1 (pg_catalog.int4, pg_catalog.int8) pg_catalog.btint48cmp(pg_catalog.int4, pg_catalog.int8),
	-- integer, smallint
	OPERATOR 1 pg_catalog.< (pg_catalog.int4, pg_catalog.int2),
	OPERATOR 2 pg_catalog.<= (pg_catalog.int4, pg_catalog.int2),
	OPERATOR 3 pg_catalog.= (pg_catalog.int4, pg_catalog.int2),
	OPERATOR 4 pg_catalog.>= (pg_catalog.int4, pg_catalog.int2),
	OPERATOR 5 pg_catalog.> (pg_catalog.int4, pg_catalog.int2),
	FUNCTION 1 (pg_catalog.int4, pg_catalog.int2) pg_catalog.btint42cmp(pg_catalog.int4, pg_catalog.int2),
	-- smallint, bigint
	OPERATOR 1 pg_catalog.< (pg_catalog.int2, pg_catalog.int8),
	OPERATOR 2 pg_catalog.<= (pg_catalog.int2, pg_catalog.int8),
	OPERATOR 3 pg_catalog.= (pg_catalog.int2, pg_catalog.int8),
	OPERATOR 4 pg_catalog.>= (pg_catalog.int2, pg_catalog.int8),
	OPERATOR 5 pg_catalog.> (pg_catalog.int2, pg_catalog.int8),
	FUNCTION 1 (pg_catalog.int2, pg_catalog.int8) pg_catalog.btint28cmp(pg_catalog.int2, pg_catalog.int8),
	-- smallint, integer
	OPERATOR 1 pg_catalog.< (pg_catalog.int2, pg_catalog.int4),
	OPERATOR 2 pg_catalog.<= (pg_catalog.int2, pg_catalog.int4),
	OPERATOR 3 pg_catalog.= (pg_catalog.int2, pg_catalog.int4),
	OPERATOR 4 pg_catalog.>= (pg_catalog.int2, pg_catalog.int4),
	OPERATOR 5 pg_catalog.> (pg_catalog.int2, pg_catalog.int4),
	FUNCTION 1 (pg_catalog.int2, pg_catalog.int4) pg_catalog.btint24cmp(pg_catalog.int2, pg_catalog.int4);

-- operator family datetime_ops: strategies are numbered as btree's are

CREATE OPERATOR FAMILY kyro.datetime_ops USING kyro_rmi;
COMMENT ON OPERATOR FAMILY kyro.datetime_ops USING kyro_rmi IS 'dates and time stamps, with and without time zone, compared with one another';

CREATE OPERATOR CLASS kyro.timestamptz_ops DEFAULT FOR TYPE pg_catalog.timestamptz
	USING kyro_rmi FAMILY kyro.datetime_ops AS
	OPERATOR 1 pg_catalog.<,
	OPERATOR 2 pg_catalog.<=,
	OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=,
	OPERATOR 5 pg_catalog.>,
	FUNCTION 1 pg_catalog.timestamptz_cmp(pg_catalog.timestamptz, pg_catalog.timestamptz);
COMMENT ON OPERATOR CLASS kyro.timestamptz_ops USING kyro_rmi IS 'kyro_rmi index on timestamptz (default)';

CREATE OPERATOR CLASS kyro.timestamp_ops DEFAULT FOR TYPE pg_catalog.timestamp
	USING kyro_rmi FAMILY kyro.datetime_ops AS
	OPERATOR 1 pg_catalog.<,
	OPERATOR 2 pg_catalog.<=,
	OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=,
	OPERATOR 5 pg_catalog.>,
	FUNCTION 1 pg_catalog.timestamp_cmp(pg_catalog.timestamp, pg_catalog.timestamp);
COMMENT ON OPERATOR CLASS kyro.timestamp_ops USING kyro_rmi IS 'kyro_rmi index on timestamp (default)';

CREATE OPERATOR CLASS kyro.date_ops DEFAULT FOR TYPE pg_catalog.date
	USING kyro_rmi FAMILY kyro.datetime_ops AS
	OPERATOR 1 pg_catalog.<,
	OPERATOR 2 pg_catalog.<=,
	OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=,
	OPERATOR 5 pg_catalog.>,
	FUNCTION 1 pg_catalog.date_cmp(pg_catalog.date, pg_catalog.date);
COMMENT ON OPERATOR CLASS kyro.date_ops USING kyro_rmi IS 'kyro_rmi index on date (default)';

ALTER OPERATOR FAMILY kyro.datetime_ops USING kyro_rmi ADD
	-- timestamptz, timestamp
	OPERATOR 1 pg_catalog.< (pg_catalog.timestamptz, pg_catalog.timestamp),
	OPERATOR 2 pg_catalog.<= (pg_catalog.timestamptz, pg_catalog.timestamp),
	OPERATOR 3 pg_catalog.= (pg_catalog.timestamptz, pg_catalog.timestamp),
	OPERATOR 4 pg_catalog.>= (pg_catalog.timestamptz, pg_catalog.timestamp),
	OPERATOR 5 pg_catalog.> (pg_catalog.timestamptz, pg_catalog.timestamp),
	FUNCTION 1 (pg_catalog.timestamptz, pg_catalog.timestamp) pg_catalog.timestamptz_cmp_timestamp(pg_catalog.timestamptz, pg_catalog.timestamp),
	-- timestamptz, date
	OPERATOR 1 pg_catalog.< (pg_catalog.timestamptz, pg_catalog.date),
	OPERATOR 2 pg_catalog.<= (pg_catalog.timestamptz, pg_catalog.date),
	OPERATOR 3 pg_catalog.= (pg_catalog.timestamptz, pg_catalog.date),
	OPERATOR 4 pg_catalog.>= (pg_catalog.timestamptz, pg_catalog.date),
	OPERATOR 5 pg_catalog.> (pg_catalog.timestamptz, pg_catalog.date),
	FUNCTION 1 (pg_catalog.timestamptz, pg_catalog.date) pg_catalog.timestamptz_cmp_date(pg_catalog.timestamptz, pg_catalog.date),
	-- timestamp, timestamptz
	OPERATOR 1 pg_catalog.< (pg_catalog.timestamp, pg_catalog.timestamptz),
	OPERATOR 2 pg_catalog.<= (pg_catalog.timestamp, pg_catalog.timestamptz),
	OPERATOR 3 pg_catalog.= (pg_catalog.timestamp, pg_catalog.timestamptz),
	OPERATOR 4 pg_catalog.>= (pg_catalog.timestamp, pg_catalog.timestamptz),
	OPERATOR 5 pg_catalog.> (pg_catalog.timestamp, pg_catalog.timestamptz),
	FUNCTION 1 (pg_catalog.timestamp, pg_catalog.timestamptz) pg_catalog.timestamp_cmp_timestamptz(pg_catalog.timestamp, pg_catalog.timestamptz),
	-- timestamp, date
	OPERATOR 1 pg_catalog.< (pg_catalog.timestamp, pg_catalog.date),
	OPERATOR 2 pg_catalog.<= (pg_catalog.timestamp, pg_catalog.date),
	OPERATOR 3 pg_catalog.= (pg_catalog.timestamp, pg_catalog.date),
	OPERATOR 4 pg_catalog.>= (pg_catalog.timestamp, pg_catalog.date),
	OPERATOR 5 pg_catalog.> (pg_catalog.timestamp, pg_catalog.date),
	FUNCTION 1 (pg_catalog.timestamp, pg_catalog.date) pg_catalog.timestamp_cmp_date(pg_catalog.timestamp, pg_catalog.date),
	-- date, timestamptz
	OPERATOR 1 pg_catalog.< (pg_catalog.date, pg_catalog.timestamptz),
	OPERATOR 2 pg_catalog.<= (pg_catalog.date, pg_catalog.timestamptz),
	OPERATOR 3 pg_catalog.= (pg_catalog.date, pg_catalog.timestamptz),
	OPERATOR 4 pg_catalog.>= (pg_catalog.date, pg_catalog.timestamptz),
	OPERATOR 5 pg_catalog.> (pg_catalog.date, pg_catalog.timestamptz),
	FUNCTION 1 (pg_catalog.date, pg_catalog.timestamptz) pg_catalog.date_cmp_timestamptz(pg_catalog.date, pg_catalog.timestamptz),
	-- date, timestamp
	OPERATOR 1 pg_catalog.< (pg_catalog.date, pg_catalog.timestamp),
	OPERATOR 2 pg_catalog.<= (pg_catalog.date, pg_catalog.timestamp),
	OPERATOR 3 pg_catalog.= (pg_catalog.date, pg_catalog.timestamp),
	OPERATOR 4 pg_catalog.>= (pg_catalog.date, pg_catalog.timestamp),
	OPERATOR 5 pg_catalog.> (pg_catalog.date, pg_catalog.timestamp),
	FUNCTION 1 (pg_catalog.date, pg_catalog.timestamp) pg_catalog.date_cmp_timestamp(pg_catalog.date, pg_catalog.timestamp);

-- maintenance; the caller must own the index or table

CREATE FUNCTION kyro.rebuild(
	index regclass,
	OUT leaves bigint,
	OUT pages_before bigint,
	OUT pages_after bigint,
	OUT eps_max int,
	OUT duration interval)
RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_rebuild' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION kyro.rebuild(index regclass) IS
	'retrain the model of an index and merge insert runs, without blocking reads or writes';

CREATE FUNCTION kyro.snapshot(
	tbl regclass,
	max_rows bigint DEFAULT NULL,
	OUT run bigint,
	OUT rows bigint,
	OUT pages bigint,
	OUT bytes bigint,
	OUT duration interval)
RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_snapshot' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.snapshot(tbl regclass, max_rows bigint) IS
	'seal the rows in the log of a kyro table, at most max_rows, into a packed, ordered run; blocks writers, not readers';

CREATE FUNCTION kyro.warmup(rel regclass) RETURNS bigint
	AS 'MODULE_PATHNAME', 'kyro_warmup' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION kyro.warmup(rel regclass) IS
	'read an index (model, directory, leaves) or a kyro table into memory; returns pages read';

CREATE FUNCTION kyro.verify(
	rel regclass,
	deep boolean DEFAULT false,
	OUT block bigint,
	OUT problem text)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'kyro_verify' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION kyro.verify(rel regclass, deep boolean) IS
	'check an index or a kyro table; no row: it is sound. deep: compare indexes and table, both ways';

-- inspection

CREATE FUNCTION kyro.model(
	index regclass,
	OUT format int,
	OUT router text,
	OUT leaves bigint,
	OUT models bigint,
	OUT directory_eps_p50 int,
	OUT directory_eps_p99 int,
	OUT directory_eps_max int,
	OUT leaf_eps_p50 int,
	OUT leaf_eps_p99 int,
	OUT leaf_eps_max int,
	OUT bytes bigint,
	OUT trained_at timestamptz,
	OUT splits_since bigint)
RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_model' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.model(index regclass) IS
	'the model of an index: shape, error bounds of the directory (in leaves) and of leaf pages (in slots), size and age';

CREATE FUNCTION kyro.model_leaves(
	index regclass,
	OUT model int,
	OUT key_min bigint,
	OUT key_max bigint,
	OUT slope numeric,
	OUT shift int,
	OUT base bigint,
	OUT eps int,
	OUT entries bigint)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'kyro_model_leaves' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.model_leaves(index regclass) IS
	'the linear models of an index, one row each: key range, coefficients, error bound';

CREATE FUNCTION kyro.trace(
	index regclass,
	key bigint,
	OUT source text,
	OUT model int,
	OUT predicted_position bigint,
	OUT window_low bigint,
	OUT window_high bigint,
	OUT true_position bigint,
	OUT leaf bigint,
	OUT pages_walked int,
	OUT block int,
	OUT predicted_slot int,
	OUT true_slot int,
	OUT slot_eps int,
	OUT probes int,
	OUT run_entries int,
	OUT matches bigint)
RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_trace' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.trace(index regclass, key bigint) IS
	'how one lookup goes, from the model to the matching entries';

-- These two show keys to whoever may call them.
REVOKE ALL ON FUNCTION kyro.model_leaves(regclass) FROM PUBLIC;
REVOKE ALL ON FUNCTION kyro.trace(regclass, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION kyro.model_leaves(regclass) TO pg_monitor;
GRANT EXECUTE ON FUNCTION kyro.trace(regclass, bigint) TO pg_monitor;

CREATE FUNCTION kyro.index_shape(
	index regclass,
	OUT carrier text,
	OUT leaves bigint,
	OUT directory_pages bigint,
	OUT model_pages bigint,
	OUT splits_since bigint,
	OUT splits bigint,
	OUT rebuilds bigint,
	OUT tuples bigint,
	OUT trained_at timestamptz,
	OUT eps_max int)
RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_index_shape' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION kyro.index_shape(index regclass) IS
	'what the meta page and the model of an index say, cheaply; helper of view kyro.stat_indexes';

CREATE FUNCTION kyro.build_info_row(
	OUT version text,
	OUT postgres text,
	OUT server text,
	OUT kernel text,
	OUT xxhash text,
	OUT preloaded boolean,
	OUT assertions boolean)
RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_build_info' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.build_info_row() IS
	'how this copy of kyrodb was built and loaded; helper of view kyro.build_info';

CREATE FUNCTION kyro.table_runs(
	tbl regclass,
	OUT run bigint,
	OUT state text,
	OUT rows bigint,
	OUT live_rows bigint,
	OUT touched_rows bigint,
	OUT pages bigint,
	OUT bytes bigint,
	OUT row_bytes bigint,
	OUT sealed_at timestamptz,
	OUT duration interval)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'kyro_table_runs' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.table_runs(tbl regclass) IS
	'the runs of a kyro table; looks at every touched row; helper of views kyro.stat_runs and kyro.stat_tables';

CREATE FUNCTION kyro.table_counters(
	tbl oid,
	OUT mmap_reads bigint,
	OUT buffer_reads bigint,
	OUT seals bigint,
	OUT rows_sealed bigint,
	OUT seal_seconds float8,
	OUT failed_seals bigint,
	OUT last_error_at timestamptz,
	OUT last_error text)
RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_table_counters' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.table_counters(tbl oid) IS
	'what was counted for a kyro table since the server started; helper of view kyro.stat_tables';

-- An error message may hold a key.
REVOKE ALL ON FUNCTION kyro.table_counters(oid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION kyro.table_counters(oid) TO pg_monitor;

-- views

-- The shape is NULL where there is nothing to read: invalid indexes, other
-- sessions' temporary indexes, unlogged indexes on a standby.  (A strict
-- function of NULL is not called at all.)
CREATE VIEW kyro.stat_indexes AS
	SELECT s.schemaname, s.relname, s.indexrelname, s.relid, s.indexrelid,
		   s.idx_scan, s.idx_tup_read, s.idx_tup_fetch,
		   io.idx_blks_read, io.idx_blks_hit,
		   pg_catalog.pg_relation_size(s.indexrelid) AS size,
		   shape.carrier, shape.leaves, shape.directory_pages, shape.model_pages,
		   shape.splits_since, shape.splits, shape.rebuilds, shape.tuples,
		   shape.trained_at, shape.eps_max
	FROM pg_catalog.pg_stat_all_indexes s
	JOIN pg_catalog.pg_statio_all_indexes io ON io.indexrelid = s.indexrelid
	JOIN pg_catalog.pg_index i ON i.indexrelid = s.indexrelid
	JOIN pg_catalog.pg_class c ON c.oid = s.indexrelid
	JOIN pg_catalog.pg_am am ON am.oid = c.relam
	-- all conditions again: a join order must not show the function other rows
	LEFT JOIN LATERAL kyro.index_shape(
		CASE WHEN am.amname = 'kyro_rmi' AND c.relkind = 'i' AND i.indisvalid
				AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)
				AND NOT (c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery())
			THEN s.indexrelid::pg_catalog.regclass END) AS shape ON true
	WHERE am.amname = 'kyro_rmi' AND c.relkind = 'i';
COMMENT ON VIEW kyro.stat_indexes IS 'kyro_rmi indexes: usage (cumulative), size in bytes, and shape';
GRANT SELECT ON kyro.stat_indexes TO PUBLIC;

CREATE VIEW kyro.build_info AS
	SELECT version, postgres, server, kernel, xxhash, preloaded, assertions
	FROM kyro.build_info_row();
COMMENT ON VIEW kyro.build_info IS 'how this copy of kyrodb was built and loaded';
GRANT SELECT ON kyro.build_info TO PUBLIC;

-- Tables whose runs can be looked at: not other sessions' temporary ones, nor
-- unlogged ones on a standby.
CREATE VIEW kyro.stat_runs AS
	SELECT n.nspname AS schemaname, c.relname, c.oid AS relid,
		   r.run, r.state, r.rows, r.live_rows, r.touched_rows,
		   r.pages, r.bytes, r.row_bytes, r.sealed_at, r.duration
	FROM pg_catalog.pg_class c
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_catalog.pg_am am ON am.oid = c.relam
	CROSS JOIN LATERAL kyro.table_runs(
		CASE WHEN am.amname = 'kyro' AND c.relkind IN ('r', 'm')
				AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)
				AND NOT (c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery())
			THEN c.oid::pg_catalog.regclass END) AS r
	WHERE am.amname = 'kyro' AND c.relkind IN ('r', 'm');
COMMENT ON VIEW kyro.stat_runs IS 'the runs of all kyro tables of this database';
GRANT SELECT ON kyro.stat_runs TO PUBLIC;

CREATE VIEW kyro.stat_tables AS
	SELECT n.nspname AS schemaname, c.relname, c.oid AS relid,
		   pg_catalog.pg_relation_size(c.oid) AS size,
		   r.runs, r.sealed_bytes, r.sealed_rows, r.live_rows, r.touched_rows, r.last_seal,
		   counters.mmap_reads, counters.buffer_reads,
		   counters.seals, counters.rows_sealed, counters.seal_seconds,
		   counters.failed_seals, counters.last_error_at, counters.last_error
	FROM pg_catalog.pg_class c
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_catalog.pg_am am ON am.oid = c.relam
	LEFT JOIN LATERAL (
		SELECT pg_catalog.count(*) AS runs,
			   coalesce(pg_catalog.sum(t.bytes), 0)::bigint AS sealed_bytes,
			   coalesce(pg_catalog.sum(t.rows) FILTER (WHERE t.state <> 'aborted'), 0)::bigint AS sealed_rows,
			   coalesce(pg_catalog.sum(t.live_rows), 0)::bigint AS live_rows,
			   coalesce(pg_catalog.sum(t.touched_rows), 0)::bigint AS touched_rows,
			   pg_catalog.max(t.sealed_at) AS last_seal
		FROM kyro.table_runs(
			CASE WHEN am.amname = 'kyro' AND c.relkind IN ('r', 'm')
					AND NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)
					AND NOT (c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery())
				THEN c.oid::pg_catalog.regclass END) AS t) AS r ON true
	LEFT JOIN LATERAL kyro.table_counters(c.oid) AS counters ON true
	WHERE am.amname = 'kyro' AND c.relkind IN ('r', 'm');
COMMENT ON VIEW kyro.stat_tables IS 'kyro tables of this database: sizes, sealed rows, reads and seals since the server started (NULL unless preloaded)';
REVOKE ALL ON kyro.stat_tables FROM PUBLIC;
GRANT SELECT ON kyro.stat_tables TO pg_monitor;
