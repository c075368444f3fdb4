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

-- Namesakes of method btree, in btree's own families and with nothing of their
-- own: what indexes of constraints show to those who ask for a btree.  Not the
-- default of anything; a btree made with one is a btree like others.

CREATE OPERATOR CLASS kyro.int8_ops FOR TYPE pg_catalog.int8 USING btree FAMILY pg_catalog.integer_ops AS STORAGE pg_catalog.int8;
COMMENT ON OPERATOR CLASS kyro.int8_ops USING btree IS 'shown by kyro_rmi indexes of constraints on bigint';
CREATE OPERATOR CLASS kyro.int4_ops FOR TYPE pg_catalog.int4 USING btree FAMILY pg_catalog.integer_ops AS STORAGE pg_catalog.int4;
COMMENT ON OPERATOR CLASS kyro.int4_ops USING btree IS 'shown by kyro_rmi indexes of constraints on integer';
CREATE OPERATOR CLASS kyro.int2_ops FOR TYPE pg_catalog.int2 USING btree FAMILY pg_catalog.integer_ops AS STORAGE pg_catalog.int2;
COMMENT ON OPERATOR CLASS kyro.int2_ops USING btree IS 'shown by kyro_rmi indexes of constraints on smallint';
CREATE OPERATOR CLASS kyro.timestamptz_ops FOR TYPE pg_catalog.timestamptz USING btree FAMILY pg_catalog.datetime_ops AS STORAGE pg_catalog.timestamptz;
COMMENT ON OPERATOR CLASS kyro.timestamptz_ops USING btree IS 'shown by kyro_rmi indexes of constraints on timestamptz';
CREATE OPERATOR CLASS kyro.timestamp_ops FOR TYPE pg_catalog.timestamp USING btree FAMILY pg_catalog.datetime_ops AS STORAGE pg_catalog.timestamp;
COMMENT ON OPERATOR CLASS kyro.timestamp_ops USING btree IS 'shown by kyro_rmi indexes of constraints on timestamp';
CREATE OPERATOR CLASS kyro.date_ops FOR TYPE pg_catalog.date USING btree FAMILY pg_catalog.datetime_ops AS STORAGE pg_catalog.date;
COMMENT ON OPERATOR CLASS kyro.date_ops USING btree IS 'shown by kyro_rmi indexes of constraints on date';

-- indexes of constraints; the caller must own the table

CREATE FUNCTION kyro.swap_index(old regclass, new regclass) RETURNS void
	AS 'MODULE_PATHNAME', 'kyro_swap_index' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION kyro.swap_index(old regclass, new regclass) IS
	'let index new take the name, the constraint and all roles of index old of the same table and column; old stays, under the name of new';

CREATE FUNCTION kyro.adopt_index(index regclass, constraint_name name DEFAULT NULL, "primary" boolean DEFAULT false) RETURNS void
	AS 'MODULE_PATHNAME', 'kyro_adopt_index' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.adopt_index(index regclass, constraint_name name, "primary" boolean) IS
	'make a UNIQUE or PRIMARY KEY constraint of a unique kyro_rmi index';

CREATE PROCEDURE kyro.replace_btree(relation regclass)
	AS 'MODULE_PATHNAME', 'kyro_replace_btree' LANGUAGE C;
COMMENT ON PROCEDURE kyro.replace_btree(relation regclass) IS
	'exchange the btrees of a table that kyro_rmi can stand in for, or one index, while the table is used; can be stopped and called again';

CREATE PROCEDURE kyro.restore_btree(relation regclass)
	AS 'MODULE_PATHNAME', 'kyro_restore_btree' LANGUAGE C;
COMMENT ON PROCEDURE kyro.restore_btree(relation regclass) IS
	'exchange the kyro_rmi indexes of a table, or one index, for btrees, while the table is used; can be stopped and called again';

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

CREATE FUNCTION kyro.import_model(
	index regclass,
	model bytea,
	OUT leaves_taken bigint,
	OUT leaves_kept bigint,
	OUT eps_p50_before int,
	OUT eps_p99_before int,
	OUT eps_max_before int,
	OUT eps_p50_after int,
	OUT eps_p99_after int,
	OUT eps_max_after int,
	OUT steps_before double precision,
	OUT steps_after double precision,
	OUT bytes_before bigint,
	OUT bytes_after bigint)
RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_import_model' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION kyro.import_model(index regclass, model bytea) IS
	'use a model that was trained elsewhere where it is better than the present one, without blocking reads or writes';

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
	'seal the rows in the log of a kyro table, at most max_rows, into a packed, ordered run; blocks neither readers nor writers';

CREATE PROCEDURE kyro.seal(tbl regclass, batch bigint DEFAULT 20000, older_than interval DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'kyro_seal' LANGUAGE C;
COMMENT ON PROCEDURE kyro.seal(tbl regclass, batch bigint, older_than interval) IS
	'seal the rows in the log of a kyro table, about batch rows in each transaction; can be stopped and called again. older_than: only rows committed before that, with track_commit_timestamp';

CREATE PROCEDURE kyro.compact(tbl regclass, batch bigint DEFAULT 50000)
	AS 'MODULE_PATHNAME', 'kyro_compact' LANGUAGE C;
COMMENT ON PROCEDURE kyro.compact(tbl regclass, batch bigint) IS
	'make the file of a kyro table smaller, beside readers and writers: VACUUM, move sealed rows to where there is room, about batch rows in each transaction, and VACUUM; can be stopped and called again';

-- The autopilot seals tables by policies.  pg_dump takes these along, under the
-- names of the tables.
CREATE TABLE kyro.policies (
	relation regclass PRIMARY KEY,
	seal_after interval CHECK (seal_after > '0'),
	seal_rows bigint CHECK (seal_rows > 0),
	seal_bytes bigint CHECK (seal_bytes > 0),
	min_rows bigint NOT NULL DEFAULT 1000 CHECK (min_rows > 0),
	batch bigint NOT NULL DEFAULT 20000 CHECK (batch > 0),
	compact boolean NOT NULL DEFAULT false
) USING heap;
COMMENT ON TABLE kyro.policies IS
	'when the autopilot seals kyro tables; of a partitioned table, all partitions that have no policy of their own. See kyro.set_policy';
GRANT SELECT ON kyro.policies TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('kyro.policies', '');

CREATE FUNCTION kyro.set_policy(
	tbl regclass,
	seal_after interval DEFAULT NULL,
	seal_rows bigint DEFAULT NULL,
	seal_bytes bigint DEFAULT NULL,
	min_rows bigint DEFAULT 1000,
	batch bigint DEFAULT 20000,
	compact boolean DEFAULT false)
RETURNS void
	AS 'MODULE_PATHNAME', 'kyro_set_policy' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.set_policy(tbl regclass, seal_after interval, seal_rows bigint, seal_bytes bigint, min_rows bigint, batch bigint, compact boolean) IS
	'let the autopilot seal a kyro table, or the partitions of a table, when its log has seal_rows rows or seal_bytes bytes, or seal_after has gone by; rows younger than seal_after stay in the log. compact: and compact it when that pays';

CREATE FUNCTION kyro.compact_pays(size bigint, sealed_rows bigint, live_rows bigint, sealed_bytes bigint, log_rows bigint, log_bytes bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- empty: as after a seal of all rows; twice what the rows of the log would have as sealed ones is room enough
RETURN CASE WHEN sealed_rows > 0 AND (sealed_rows - live_rows) * 10 > sealed_rows * 3 AND sealed_bytes >= 1024 * 1024 THEN 'dead'
	WHEN sealed_rows > 0 AND log_bytes >= 1024 * 1024 AND log_bytes * 3 > size
		AND log_rows * 2 * (sealed_bytes / sealed_rows + 32) < log_bytes THEN 'empty' END;
COMMENT ON FUNCTION kyro.compact_pays(size bigint, sealed_rows bigint, live_rows bigint, sealed_bytes bigint, log_rows bigint, log_bytes bigint) IS
	'why kyro.compact pays for a table with these sizes: dead, for its sealed rows are, or empty, for its log is; NULL: it does not; helper of kyro.health and view kyro.stat_policies';

CREATE FUNCTION kyro.drop_policy(tbl regclass) RETURNS boolean
	AS 'MODULE_PATHNAME', 'kyro_drop_policy' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION kyro.drop_policy(tbl regclass) IS
	'remove the policy of a table; false if it had none of its own';

CREATE FUNCTION kyro.estimated_rows(tbl regclass) RETURNS bigint
	AS 'MODULE_PATHNAME', 'kyro_estimated_rows' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.estimated_rows(tbl regclass) IS
	'how many rows of a kyro table the planner expects; NULL if it is locked; helper of view kyro.stat_policies';

CREATE FUNCTION kyro.worker_records(
	OUT datid oid,
	OUT pid int,
	OUT relid oid,
	OUT relation text,
	OUT action text,
	OUT why text,
	OUT started timestamptz,
	OUT finished timestamptz,
	OUT result text,
	OUT error text,
	OUT failures int,
	OUT next timestamptz)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'kyro_worker_records' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.worker_records() IS
	'what the workers of the autopilot do and did; helper of view kyro.stat_worker';

CREATE FUNCTION kyro.warmup(rel regclass) RETURNS bigint
	AS 'MODULE_PATHNAME', 'kyro_warmup' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION kyro.warmup(rel regclass) IS
	'read a kyro_rmi index (model, directory, leaves) or a kyro table, or all partitions of one, into memory; returns pages read';

CREATE FUNCTION kyro.verify(
	rel regclass,
	deep boolean DEFAULT false,
	OUT block bigint,
	OUT problem text)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'kyro_verify' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION kyro.verify(rel regclass, deep boolean) IS
	'check a kyro_rmi index or a kyro table, or all partitions of one; no row: it is sound. deep: compare indexes and table, both ways';

CREATE FUNCTION kyro.verify_progress(
	OUT pid int,
	OUT datid oid,
	OUT relid oid,
	OUT indexrelid oid,
	OUT phase text,
	OUT unit text,
	OUT total bigint,
	OUT done bigint)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'kyro_verify_progress' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.verify_progress() IS
	'how far each running kyro.verify() has come; helper of view kyro.stat_progress_verify';

CREATE FUNCTION kyro.seal_progress(
	OUT pid int,
	OUT datid oid,
	OUT relid oid,
	OUT command text,
	OUT phase text,
	OUT blocks_total bigint,
	OUT blocks_done bigint,
	OUT rows_done bigint,
	OUT batches_done bigint)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'kyro_seal_progress' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.seal_progress() IS
	'how far each running seal or move of sealed rows has come; helper of view kyro.stat_progress_seal';

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

CREATE FUNCTION kyro.export_model(index regclass) RETURNS bytea
	AS 'MODULE_PATHNAME', 'kyro_export_model' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.export_model(index regclass) IS
	'the model of an index as bytes, in a documented format, for kyro.import_model()';

CREATE FUNCTION kyro.training_keys(
	index regclass,
	OUT "position" bigint,
	OUT key bigint)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'kyro_training_keys' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.training_keys(index regclass) IS
	'what a model of an index is trained on: the lowest key of each leaf in its directory, as an integer, and the position there';

CREATE FUNCTION kyro.model_history(
	index regclass,
	OUT generation bigint,
	OUT trained_at timestamptz,
	OUT role text,
	OUT backend text,
	OUT reason text,
	OUT entries bigint,
	OUT leaves bigint,
	OUT models bigint,
	OUT eps_before int,
	OUT eps_after int,
	OUT seconds double precision,
	OUT hash text)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'kyro_model_history' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.model_history(index regclass) IS
	'the last models of an index, the present one first: when, by whom and why they were made, and how good they are';

CREATE FUNCTION kyro.trace(
	index regclass,
	key anyelement,
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
COMMENT ON FUNCTION kyro.trace(index regclass, key anyelement) IS
	'how one lookup of a value goes, in numbers, from the model to the matching entries';

CREATE FUNCTION kyro.trace(
	index regclass,
	key text,
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
COMMENT ON FUNCTION kyro.trace(index regclass, key text) IS
	'the same for a value given as text, which the type of the column reads';

CREATE FUNCTION kyro.explain(index regclass, value anyelement) RETURNS SETOF text
	AS 'MODULE_PATHNAME', 'kyro_explain' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.explain(index regclass, value anyelement) IS
	'how one lookup of a value goes, in words';

CREATE FUNCTION kyro.explain(index regclass, value text) RETURNS SETOF text
	AS 'MODULE_PATHNAME', 'kyro_explain' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.explain(index regclass, value text) IS
	'the same for a value given as text, which the type of the column reads';

-- These show keys, or let somebody find them out, to whoever may call them.
REVOKE ALL ON FUNCTION kyro.model_leaves(regclass), kyro.export_model(regclass), kyro.training_keys(regclass),
	kyro.trace(regclass, anyelement), kyro.trace(regclass, text),
	kyro.explain(regclass, anyelement), kyro.explain(regclass, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION kyro.model_leaves(regclass), kyro.export_model(regclass), kyro.training_keys(regclass),
	kyro.trace(regclass, anyelement), kyro.trace(regclass, text),
	kyro.explain(regclass, anyelement), kyro.explain(regclass, text) TO pg_monitor;

-- The views show numbers about a table, its runs and its indexes to the same users,
-- and so do their helpers.
CREATE FUNCTION kyro.sees_table(tbl oid) RETURNS boolean
	AS 'MODULE_PATHNAME', 'kyro_sees_table_sql' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION kyro.sees_table(tbl oid) IS
	'whether the current user is shown numbers about a table: may read or own it, or is in pg_read_all_stats, as members of pg_monitor are';

CREATE FUNCTION kyro.index_shape(
	index regclass,
	OUT state text,
	OUT size bigint,
	OUT carrier text,
	OUT leaves bigint,
	OUT directory_pages bigint,
	OUT model_pages bigint,
	OUT splits_since bigint,
	OUT splits bigint,
	OUT rebuilds bigint,
	OUT tuples bigint,
	OUT trained_at timestamptz,
	OUT eps_max int,
	OUT eps_p50 int,
	OUT eps_p99 int,
	OUT directory_bytes bigint,
	OUT model_bytes bigint)
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
	AS 'MODULE_PATHNAME', 'kyro_table_runs' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION kyro.table_runs(tbl regclass) IS
	'the runs of a kyro table; looks at every touched row; helper of view kyro.stat_runs';

CREATE FUNCTION kyro.table_shape(
	tbl regclass,
	OUT state text,
	OUT size bigint,
	OUT log_bytes bigint,
	OUT runs bigint,
	OUT sealed_bytes bigint,
	OUT sealed_rows bigint,
	OUT live_rows bigint,
	OUT touched_rows bigint,
	OUT last_seal timestamptz)
RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_table_shape' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION kyro.table_shape(tbl regclass) IS
	'state and size of a kyro table, and the sums over its runs; looks at every touched row; helper of view kyro.stat_tables';

-- Counters are NULL where nothing is counted: unless the library is in shared_preload_libraries.
CREATE FUNCTION kyro.index_counters(
	index oid,
	OUT lookups bigint,
	OUT compared bigint[],
	OUT compared_sum bigint,
	OUT found_at_prediction bigint,
	OUT found_beside bigint,
	OUT landings_off bigint,
	OUT pages_walked bigint,
	OUT without_model bigint,
	OUT landings_off_since bigint,
	OUT searches_since bigint,
	OUT inserts_append bigint,
	OUT inserts_run bigint,
	OUT inserts_merge bigint,
	OUT inserts_split bigint,
	OUT inserts_bulk bigint,
	OUT dead_removed bigint,
	OUT vacuum_removed bigint,
	OUT trained_build bigint,
	OUT trained_rebuild bigint,
	OUT trained_autopilot bigint,
	OUT trained_import bigint,
	OUT trained_vacuum bigint,
	OUT trained_insert bigint,
	OUT training_seconds float8,
	OUT trained_leaves bigint,
	OUT samples bigint,
	OUT us_p50 float8,
	OUT us_p99 float8,
	OUT us_p999 float8,
	OUT rebuild_samples bigint,
	OUT rebuild_us_p50 float8,
	OUT rebuild_us_p99 float8,
	OUT rebuild_us_p999 float8,
	OUT counted_since timestamptz)
RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_index_counters' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.index_counters(index oid) IS
	'what was counted for a kyro_rmi index; helper of view kyro.stat_indexes';

CREATE FUNCTION kyro.shared_directory_bytes(index oid) RETURNS bigint
	AS 'MODULE_PATHNAME', 'kyro_shared_directory_bytes' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION kyro.shared_directory_bytes(index oid) IS
	'shared memory that the copy of a kyro_rmi index''s directory takes, NULL if there is none; helper of view kyro.stat_indexes';

CREATE FUNCTION kyro.shared_directories(
	OUT size bigint,
	OUT used bigint,
	OUT copies int,
	OUT replaced int,
	OUT made bigint,
	OUT evicted bigint,
	OUT refused bigint)
RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_shared_directories_row' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION kyro.shared_directories() IS
	'the shared memory for copies of indexes'' directories, of all databases: bytes, copies in use and replaced, and how many were made, evicted and refused since the server was started (NULL unless preloaded)';

CREATE FUNCTION kyro.index_latency(
	index oid,
	during_rebuild boolean,
	OUT le float8[],
	OUT bucket bigint[],
	OUT sum float8,
	OUT count bigint)
RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_index_latency' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.index_latency(index oid, during_rebuild boolean) IS
	'times of sampled look-ups as a histogram: how many took at most so many seconds; helper of monitoring/queries.yaml';

CREATE FUNCTION kyro.table_counters(
	tbl oid,
	OUT mmap_reads bigint,
	OUT buffer_reads bigint,
	OUT verified_pages bigint,
	OUT ledger_copies bigint,
	OUT seals bigint,
	OUT rows_sealed bigint,
	OUT seal_seconds float8,
	OUT seal_wal_bytes bigint,
	OUT failed_seals bigint,
	OUT counted_since timestamptz,
	OUT last_error_at timestamptz,
	OUT last_error text)
RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_table_counters' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.table_counters(tbl oid) IS
	'what was counted for a kyro table; helper of view kyro.stat_tables';

CREATE FUNCTION kyro.stat_reset(rel regclass DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'kyro_stat_reset' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION kyro.stat_reset(rel regclass) IS
	'count an index or a table, all partitions of one, or all of this database, from zero again in kyro.stat_indexes and kyro.stat_tables';
REVOKE ALL ON FUNCTION kyro.stat_reset(regclass) FROM PUBLIC;

-- views

-- Views of relations wait for no lock and do not fail for one that is damaged, dropped
-- or changed meanwhile: their column "state" says so, and what is not known is NULL.
-- (A strict function of NULL is not called at all.)
CREATE VIEW kyro.stat_indexes AS
	SELECT s.schemaname, s.relname, s.indexrelname, s.relid, s.indexrelid,
		   s.idx_scan, s.idx_tup_read, s.idx_tup_fetch,
		   io.idx_blks_read, io.idx_blks_hit,
		   shape.state, shape.size,
		   shape.carrier, shape.leaves, shape.directory_pages, shape.model_pages,
		   shape.splits_since, shape.splits, shape.rebuilds, shape.tuples,
		   shape.trained_at, shape.eps_max, shape.eps_p50, shape.eps_p99, shape.directory_bytes, shape.model_bytes,
		   kyro.shared_directory_bytes(s.indexrelid) AS shared_directory_bytes,
		   counters.lookups, counters.compared, counters.compared_sum, counters.found_at_prediction, counters.found_beside,
		   counters.landings_off, counters.pages_walked, counters.without_model, counters.landings_off_since, counters.searches_since,
		   counters.inserts_append, counters.inserts_run, counters.inserts_merge, counters.inserts_split, counters.inserts_bulk,
		   counters.dead_removed, counters.vacuum_removed,
		   counters.trained_build, counters.trained_rebuild, counters.trained_autopilot, counters.trained_import,
		   counters.trained_vacuum, counters.trained_insert, counters.training_seconds, counters.trained_leaves,
		   counters.samples, counters.us_p50, counters.us_p99, counters.us_p999,
		   counters.rebuild_samples, counters.rebuild_us_p50, counters.rebuild_us_p99, counters.rebuild_us_p999,
		   counters.counted_since
	FROM pg_catalog.pg_stat_all_indexes s
	JOIN pg_catalog.pg_statio_all_indexes io ON io.indexrelid = s.indexrelid
	JOIN pg_catalog.pg_class c ON c.oid = s.indexrelid
	JOIN pg_catalog.pg_am am ON am.oid = c.relam
	-- all conditions again: a join order must not show the function other rows
	LEFT JOIN LATERAL kyro.index_shape(
		CASE WHEN am.amname = 'kyro_rmi' AND c.relkind = 'i' AND kyro.sees_table(s.relid)
			THEN s.indexrelid::pg_catalog.regclass END) AS shape ON true
	LEFT JOIN LATERAL kyro.index_counters(s.indexrelid) AS counters ON true
	WHERE am.amname = 'kyro_rmi' AND c.relkind = 'i' AND kyro.sees_table(s.relid);
COMMENT ON VIEW kyro.stat_indexes IS 'kyro_rmi indexes on tables that the user sees: usage (cumulative), state, size in bytes, shape, and what was counted since counted_since (NULL unless preloaded)';
GRANT SELECT ON kyro.stat_indexes TO PUBLIC;

CREATE VIEW kyro.build_info AS
	SELECT version, postgres, server, kernel, xxhash, preloaded, assertions
	FROM kyro.build_info_row();
COMMENT ON VIEW kyro.build_info IS 'how this copy of kyrodb was built and loaded';
GRANT SELECT ON kyro.build_info TO PUBLIC;

CREATE VIEW kyro.stat_progress_verify AS
	SELECT p.pid, p.datid, d.datname, p.relid, p.indexrelid, p.phase, p.unit, p.total, p.done
	FROM kyro.verify_progress() p
	LEFT JOIN pg_catalog.pg_database d ON d.oid = p.datid;
COMMENT ON VIEW kyro.stat_progress_verify IS 'how far each running kyro.verify() has come';
GRANT SELECT ON kyro.stat_progress_verify TO PUBLIC;

CREATE VIEW kyro.stat_progress_seal AS
	SELECT p.pid, p.datid, d.datname, p.relid, p.command, p.phase, p.blocks_total, p.blocks_done, p.rows_done, p.batches_done
	FROM kyro.seal_progress() p
	LEFT JOIN pg_catalog.pg_database d ON d.oid = p.datid;
COMMENT ON VIEW kyro.stat_progress_seal IS
	'how far each running kyro.snapshot(), kyro.seal or kyro.compact has come, the autopilot''s included';
GRANT SELECT ON kyro.stat_progress_seal TO PUBLIC;

CREATE VIEW kyro.stat_runs AS
	SELECT n.nspname AS schemaname, c.relname, c.oid AS relid,
		   r.run, r.state, r.rows, r.live_rows, r.touched_rows,
		   r.pages, r.bytes, r.row_bytes, r.sealed_at, r.duration
	FROM pg_catalog.pg_class c
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_catalog.pg_am am ON am.oid = c.relam
	CROSS JOIN LATERAL kyro.table_runs(
		CASE WHEN am.amname = 'kyro' AND c.relkind IN ('r', 'm') AND kyro.sees_table(c.oid)
			THEN c.oid::pg_catalog.regclass END) AS r
	WHERE am.amname = 'kyro' AND c.relkind IN ('r', 'm') AND kyro.sees_table(c.oid);
COMMENT ON VIEW kyro.stat_runs IS 'the runs of all kyro tables of this database that the user sees';
GRANT SELECT ON kyro.stat_runs TO PUBLIC;

-- Rows in the log are estimated: live rows, as statistics have them (on a standby
-- what the last VACUUM or ANALYZE has found), less those in runs.
CREATE VIEW kyro.stat_tables AS
	SELECT n.nspname AS schemaname, c.relname, c.oid AS relid,
		   shape.state, shape.size,
		   CASE WHEN shape.live_rows IS NOT NULL
				THEN greatest(CASE WHEN pg_catalog.pg_is_in_recovery() THEN c.reltuples::bigint
								   ELSE pg_catalog.pg_stat_get_live_tuples(c.oid) END - shape.live_rows, 0)
		   END AS log_rows,
		   shape.log_bytes,
		   shape.runs, shape.sealed_bytes, shape.sealed_rows, shape.live_rows, shape.touched_rows, shape.last_seal,
		   counters.mmap_reads, counters.buffer_reads, counters.verified_pages, counters.ledger_copies,
		   counters.seals, counters.rows_sealed, counters.seal_seconds, counters.seal_wal_bytes,
		   counters.failed_seals, counters.last_error_at, counters.last_error, counters.counted_since
	FROM pg_catalog.pg_class c
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_catalog.pg_am am ON am.oid = c.relam
	LEFT JOIN LATERAL kyro.table_shape(
		CASE WHEN am.amname = 'kyro' AND c.relkind IN ('r', 'm') AND kyro.sees_table(c.oid)
			THEN c.oid::pg_catalog.regclass END) AS shape ON true
	LEFT JOIN LATERAL kyro.table_counters(c.oid) AS counters ON true
	WHERE am.amname = 'kyro' AND c.relkind IN ('r', 'm') AND kyro.sees_table(c.oid);
COMMENT ON VIEW kyro.stat_tables IS 'kyro tables of this database that the user sees: state, sizes, rows in the log and sealed, reads and seals since counted_since (NULL unless preloaded)';
GRANT SELECT ON kyro.stat_tables TO PUBLIC;

CREATE VIEW kyro.stat_worker AS
	SELECT d.datname AS database, w.pid, w.relid, w.relation, w.action, w.why,
		   w.started, w.finished, w.result, w.error, w.failures, w.next
	FROM kyro.worker_records() w
	LEFT JOIN pg_catalog.pg_database d ON d.oid = w.datid;
COMMENT ON VIEW kyro.stat_worker IS
	'what the workers of the autopilot do and did since the server started, of tables that the user sees; members of pg_monitor see all databases';
GRANT SELECT ON kyro.stat_worker TO PUBLIC;

-- Which policy is a table's: its own, else that of the nearest table that it is a
-- partition of.  Rows in the log are estimated as in kyro.stat_tables; but statistics
-- that neither VACUUM nor ANALYZE has reported to may have been cleared by a crash since
-- the rows came, so then the planner is asked, too.
CREATE VIEW kyro.stat_policies AS
	WITH ours AS MATERIALIZED (
		SELECT n.nspname, c.relname, c.oid, p.*
		FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_catalog.pg_am am ON am.oid = c.relam
		CROSS JOIN LATERAL (
			SELECT q.*
			FROM kyro.policies q
			JOIN (SELECT c.oid, 0::bigint
				  UNION ALL
				  SELECT a.relid, a.far FROM pg_catalog.pg_partition_ancestors(c.oid) WITH ORDINALITY a(relid, far)) AS a(oid, far)
				ON a.oid = q.relation
			ORDER BY a.far
			LIMIT 1) AS p
		WHERE am.amname = 'kyro' AND c.relkind IN ('r', 'm') AND kyro.sees_table(c.oid)
	), logs AS (
		SELECT o.*, shape.state, shape.last_seal, log.rows AS log_rows,
			   kyro.compact_pays(shape.size, shape.sealed_rows, shape.live_rows, shape.sealed_bytes, log.rows, shape.log_bytes) AS pays,
			   CASE WHEN shape.sealed_rows > 0 THEN (log.rows * (shape.sealed_bytes::numeric / shape.sealed_rows))::bigint
					ELSE shape.log_bytes END AS log_bytes
		FROM ours o
		CROSS JOIN LATERAL kyro.table_shape(o.oid::pg_catalog.regclass) AS shape
		CROSS JOIN LATERAL (
			SELECT greatest(CASE WHEN coalesce(pg_catalog.pg_stat_get_last_vacuum_time(o.oid), pg_catalog.pg_stat_get_last_autovacuum_time(o.oid),
										   pg_catalog.pg_stat_get_last_analyze_time(o.oid), pg_catalog.pg_stat_get_last_autoanalyze_time(o.oid)) IS NOT NULL
								 THEN pg_catalog.pg_stat_get_live_tuples(o.oid)
								 ELSE greatest(pg_catalog.pg_stat_get_live_tuples(o.oid), kyro.estimated_rows(o.oid::pg_catalog.regclass))
							END - shape.live_rows, 0)) AS log(rows)
	)
	SELECT l.nspname AS schemaname, l.relname, l.oid AS relid, l.relation AS policy_of,
		   l.seal_after, l.seal_rows, l.seal_bytes, l.min_rows, l.batch,
		   l.state, l.log_rows, l.log_bytes, l.last_seal,
		   CASE WHEN l.log_rows >= l.seal_rows THEN 'rows'
				WHEN l.log_rows > 0 AND l.log_bytes >= l.seal_bytes THEN 'bytes'
				WHEN l.log_rows >= l.min_rows AND l.seal_after IS NOT NULL
					AND (l.last_seal IS NULL OR l.last_seal + l.seal_after <= pg_catalog.clock_timestamp()) THEN 'age'
		   END AS due,
		   CASE WHEN l.log_rows >= l.min_rows THEN l.last_seal + l.seal_after END AS due_at,
		   l.compact, CASE WHEN l.compact THEN l.pays END AS compact_due
	FROM logs l;
COMMENT ON VIEW kyro.stat_policies IS
	'the policy that is each kyro table''s, of those that the user sees: its own or that of a table it is a partition of; and whether it is due to be sealed or compacted';
GRANT SELECT ON kyro.stat_policies TO PUBLIC;

-- health

-- One row for each thing that somebody should do.  Written in SQL over the views, so that
-- it says nothing that they do not show.
CREATE FUNCTION kyro.health(
	OUT severity text,
	OUT subject text,
	OUT problem text,
	OUT command text)
RETURNS SETOF record
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
	WITH server AS MATERIALIZED (
		SELECT pg_is_in_recovery() AS standby,
			   EXISTS (SELECT FROM regexp_split_to_table(current_setting('shared_preload_libraries'), '\s*,\s*') l
					   WHERE l ~ '(^|/)"?kyrodb(\.so)?"?$') AS preloaded,
			   current_setting('kyro.autopilot')::boolean AS autopilot,
			   b.version AS library, e.extversion AS extension
		FROM kyro.build_info_row() b
		CROSS JOIN pg_extension e
		WHERE e.extname = 'kyrodb'
	), indexes AS MATERIALIZED (
		SELECT i.*, format('%I.%I', i.schemaname, i.indexrelname) AS name
		FROM kyro.stat_indexes i
	), tables AS MATERIALIZED (
		SELECT t.*, format('%I.%I', t.schemaname, t.relname) AS name
		FROM kyro.stat_tables t
	), problems(rank, subject, problem, command) AS (
		SELECT 1, 'index ' || i.name, 'a page did not pass its checks; the storage, and the table, should be checked, too',
			   format('REINDEX INDEX CONCURRENTLY %s', i.name)
		FROM indexes i WHERE i.state = 'damaged'
		UNION ALL
		SELECT 1, 'table ' || t.name, 'a page did not pass its checks; see Troubleshooting',
			   format('SELECT * FROM kyro.verify(%L, deep => true)', t.name)
		FROM tables t WHERE t.state = 'damaged'
		UNION ALL
		SELECT 2, 'server', 'kyrodb is not in shared_preload_libraries: indexes are logged by generic WAL, and the autopilot does not work; restart the server after the command',
			   format('ALTER SYSTEM SET shared_preload_libraries = %s', concat_ws(', ', nullif(current_setting('shared_preload_libraries'), ''), 'kyrodb'))
		FROM server s WHERE NOT s.preloaded AND (EXISTS (SELECT FROM indexes) OR EXISTS (SELECT FROM tables))
		UNION ALL
		SELECT 2, 'extension', format('the extension in this database is %s, the library %s', s.extension, s.library), 'ALTER EXTENSION kyrodb UPDATE'
		FROM server s WHERE s.extension <> s.library
			AND string_to_array(substring(s.extension FROM '^[0-9.]+'), '.')::int[] < string_to_array(substring(s.library FROM '^[0-9.]+'), '.')::int[]
		UNION ALL
		SELECT 2, 'server', format('the library that the server has loaded is %s, the extension in this database %s: restart the server', s.library, s.extension), 'pg_ctl restart'
		FROM server s WHERE s.extension <> s.library
			AND string_to_array(substring(s.extension FROM '^[0-9.]+'), '.')::int[] >= string_to_array(substring(s.library FROM '^[0-9.]+'), '.')::int[]
		UNION ALL
		SELECT 2, 'index ' || i.name, 'it is not valid, and only costs: CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY has failed',
			   format('DROP INDEX CONCURRENTLY %s', i.name)
		FROM indexes i JOIN pg_index x ON x.indexrelid = i.indexrelid
		WHERE i.state = 'invalid'
			-- not one that is being built
			AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid OR p.relid = i.relid)
		UNION ALL
		SELECT 2, 'autopilot', format('%s of %s has failed %s times, last: %s', w.action, coalesce(nullif(w.relation, ''), 'database ' || w.database), w.failures, coalesce(w.error, 'not shown')),
			   CASE w.action WHEN 'retrain' THEN format('SELECT * FROM kyro.rebuild(%L)', w.relation)
							 WHEN 'seal' THEN format('CALL kyro.seal(%L)', w.relation)
							 ELSE 'SELECT * FROM kyro.stat_worker WHERE failures > 0' END
		FROM kyro.stat_worker w WHERE w.failures > 0 AND (w.database = current_database() OR w.action = 'visit')
		UNION ALL
		SELECT 2, 'autopilot', 'it is off, and there are policies',
			   'ALTER SYSTEM SET kyro.autopilot = on; SELECT pg_reload_conf()'
		FROM server s WHERE s.preloaded AND NOT s.autopilot AND NOT s.standby AND EXISTS (SELECT FROM kyro.policies)
		UNION ALL
		SELECT 2, 'autopilot', 'there are policies with seal_after, which need to know when rows were committed; restart the server after the command',
			   'ALTER SYSTEM SET track_commit_timestamp = on'
		FROM server s WHERE NOT s.standby AND current_setting('track_commit_timestamp') = 'off' AND EXISTS (SELECT FROM kyro.policies WHERE seal_after IS NOT NULL)
		UNION ALL
		SELECT 2, 'table ' || p.relation::text, 'it has a policy, but is no kyro table any more',
			   format('SELECT kyro.drop_policy(%L)', p.relation::text)
		FROM server s, kyro.policies p JOIN pg_class c ON c.oid = p.relation
		WHERE NOT s.standby AND c.relkind <> 'p' AND NOT EXISTS (SELECT FROM pg_am a WHERE a.oid = c.relam AND a.amname = 'kyro')
		UNION ALL
		SELECT 3, 'index ' || i.name, 'it is logged by generic WAL, though the library is preloaded: slower, and standbys make no index-only scans of it. VACUUM changes that',
			   format('VACUUM (INDEX_CLEANUP ON) %I.%I', i.schemaname, i.relname)
		FROM server s, indexes i
		JOIN pg_class c ON c.oid = i.indexrelid AND c.relpersistence = 'p'
		WHERE s.preloaded AND NOT s.standby AND i.carrier = 'generic' AND current_setting('kyro.resource_manager')::boolean
		UNION ALL
		SELECT 3, 'server', format('the shared memory for directories of indexes was too small: %s copies had to go, for %s there was no room; restart the server after the command', d.evicted, d.refused),
			   format('ALTER SYSTEM SET kyro.shared_directories = %L', pg_size_pretty(2 * d.size))
		FROM kyro.shared_directories() d WHERE d.evicted > 0 OR d.refused > 0
		UNION ALL
		SELECT 3, 'index ' || i.name, format('%s of its %s pages were split since its model was trained', i.splits_since, i.leaves) ||
				coalesce(format('; %s searches have landed beside the right page', nullif(i.landings_off_since, 0)), ''),
			   format('SELECT * FROM kyro.rebuild(%L)', i.name)
		FROM server s, indexes i
		-- where no autopilot does it
		WHERE NOT s.standby AND NOT (s.preloaded AND s.autopilot)
			AND (i.splits_since > current_setting('kyro.retrain_threshold')::int + current_setting('kyro.retrain_scale_factor')::float8 * i.leaves
				 OR i.splits_since > 0 AND i.landings_off_since > current_setting('kyro.retrain_misses_threshold')::int
					+ current_setting('kyro.retrain_misses_scale_factor')::float8 * i.searches_since)
		UNION ALL
		SELECT 3, 'table ' || t.name, format('it has %s runs; one is read faster', t.runs), format('VACUUM FULL %s', t.name)
		FROM server s, tables t WHERE NOT s.standby AND t.runs >= 1000
		UNION ALL
		SELECT 3, 'table ' || t.name, format('%s of its %s sealed rows are dead: %s', t.sealed_rows - t.live_rows, t.sealed_rows,
				pg_size_pretty((t.sealed_bytes * ((t.sealed_rows - t.live_rows)::numeric / t.sealed_rows))::bigint)), format('CALL kyro.compact(%L)', t.name)
		FROM server s, tables t
		WHERE NOT s.standby AND kyro.compact_pays(t.size, t.sealed_rows, t.live_rows, t.sealed_bytes, t.log_rows, t.log_bytes) = 'dead'
		UNION ALL
		SELECT 3, 'table ' || t.name, format('%s of its file are for rows in the log, of which there are %s', pg_size_pretty(t.log_bytes), t.log_rows), format('CALL kyro.compact(%L)', t.name)
		FROM server s, tables t
		WHERE NOT s.standby AND kyro.compact_pays(t.size, t.sealed_rows, t.live_rows, t.sealed_bytes, t.log_rows, t.log_bytes) = 'empty'
	)
	SELECT (ARRAY['critical', 'warning', 'info'])[p.rank], p.subject, p.problem, p.command
	FROM problems p
	ORDER BY p.rank, p.subject COLLATE "C", p.problem COLLATE "C"
$$;
COMMENT ON FUNCTION kyro.health() IS
	'one row for each thing that somebody should do about this server and database, with the command that does it; no row: all is fine';
REVOKE ALL ON FUNCTION kyro.health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION kyro.health() TO pg_monitor;

-- advice

CREATE FUNCTION kyro.predict_index(index regclass, OUT entries bigint, OUT size bigint, OUT microseconds float8)
RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_predict_index' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION kyro.predict_index(index regclass) IS
	'size of a kyro_rmi index in the place of this one, by a sample, and time of a look-up in it; helper of kyro.advise';

CREATE FUNCTION kyro.predict_table(tbl regclass, OUT rows bigint, OUT size bigint)
RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_predict_table' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION kyro.predict_table(tbl regclass) IS
	'size of the file of a table when all its rows are sealed, by a sample; helper of kyro.advise';

CREATE FUNCTION kyro.advise(
	schema name DEFAULT NULL,
	OUT index regclass,
	OUT "table" regclass,
	OUT kind text,
	OUT size bigint,
	OUT predicted_size bigint,
	OUT predicted_us numeric,
	OUT verdict text,
	OUT reason text,
	OUT ddl text)
RETURNS SETOF record
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
	WITH relations AS MATERIALIZED (
		SELECT c.*, n.nspname, am.amname, format('%I.%I', n.nspname, c.relname) AS name, pg_relation_size(c.oid) AS bytes
		FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_am am ON am.oid = c.relam
		WHERE c.relkind IN ('r', 'm', 'i') AND c.relpersistence <> 't'
			AND CASE WHEN schema IS NULL THEN n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'kyro') ELSE n.nspname = schema END
	), indexes AS MATERIALIZED (
		SELECT i.oid, i.name, i.relname, i.amname, i.bytes, i.relispartition, t.oid AS tbl, t.name AS tblname, x.indisunique,
			k.contype, x.indnatts, x.indoption[0] AS option, x.indisvalid,
			o.opcintype::regtype::text AS keytype, f.opfname, f.opfnamespace = 'pg_catalog'::regnamespace AS builtin,
			pg_get_indexdef(i.oid, 1, false) AS key, pg_get_expr(x.indpred, x.indrelid) AS predicate,
			x.indnullsnotdistinct AS not_distinct,
			(SELECT s.spcname FROM pg_tablespace s WHERE s.oid = i.reltablespace) AS tablespace
		FROM relations i
		JOIN pg_index x ON x.indexrelid = i.oid
		JOIN relations t ON t.oid = x.indrelid
		JOIN pg_opclass o ON o.oid = x.indclass[0]
		JOIN pg_opfamily f ON f.oid = o.opcfamily
		LEFT JOIN pg_constraint k ON k.conindid = i.oid AND k.contype IN ('p', 'u', 'x')
		WHERE i.amname IN ('btree', 'hash', 'brin') AND i.relkind = 'i' AND kyro.sees_table(t.oid)
	), impossible AS MATERIALIZED (
		SELECT i.*, CASE
			WHEN NOT i.indisvalid THEN 'it is not valid'
			WHEN i.contype = 'x' THEN 'it is the index of an exclusion constraint: make that anew, with kyro_rmi'
			WHEN i.indnatts > 1 THEN 'it has more than one column'
			WHEN i.keytype NOT IN ('bigint', 'integer', 'smallint', 'timestamp with time zone', 'timestamp without time zone', 'date')
				THEN format('kyro_rmi has no keys of type %s', i.keytype)
			WHEN NOT i.builtin OR (i.amname = 'btree' AND i.opfname NOT IN ('integer_ops', 'datetime_ops')) THEN 'it has an operator class of its own'
			WHEN i.option <> 0 THEN 'it is in descending order, or has NULLs first: an ascending one serves most of its queries, backward'
			WHEN i.relispartition THEN 'it is part of the index of a partitioned table: make a kyro_rmi index there'
			WHEN CASE i.amname WHEN 'brin' THEN pg_relation_size(i.tbl) ELSE i.bytes END < 1024 * 1024 THEN 'it is too small to matter'
		END AS why_not
		FROM indexes i
	), predicted AS MATERIALIZED (
		SELECT i.*, p.size AS new_size, round(p.microseconds::numeric, 2) AS us
		FROM impossible i
		LEFT JOIN LATERAL kyro.predict_index(CASE WHEN i.why_not IS NULL THEN i.oid::regclass END) AS p ON true
	), tables AS MATERIALIZED (
		SELECT t.*, CASE WHEN t.bytes < 1024 * 1024 THEN 'it is too small to matter' END AS why_not
		FROM relations t
		WHERE t.relkind IN ('r', 'm') AND t.amname IN ('heap', 'kyro') AND kyro.sees_table(t.oid)
	), predicted_tables AS MATERIALIZED (
		SELECT t.*, p.size AS new_size, p.rows
		FROM tables t
		LEFT JOIN LATERAL kyro.predict_table(CASE WHEN t.why_not IS NULL THEN t.oid::regclass END) AS p ON true
	), advice AS (
		SELECT p.oid::regclass AS index, p.tbl::regclass AS tbl, p.amname::text AS kind, p.bytes, p.new_size, p.us,
			CASE WHEN p.why_not IS NOT NULL OR p.new_size IS NULL THEN 'no'
				 WHEN p.amname = 'brin' THEN 'maybe'
				 WHEN p.new_size <= p.bytes * 0.75 THEN 'yes'
				 WHEN p.new_size <= p.bytes * 0.9 THEN 'maybe'
				 ELSE 'no' END AS verdict,
			CASE WHEN p.why_not IS NOT NULL THEN p.why_not
				 WHEN p.new_size IS NULL THEN 'nothing can be said: it is locked, or on an expression'
				 WHEN p.amname = 'brin' THEN format('%s times as large, but a look-up reads one page of it instead of ranges of the table', round(p.new_size::numeric / greatest(p.bytes, 1), 1))
				 WHEN p.new_size <= p.bytes * 0.9 THEN format('%s%% of its size', round(100.0 * p.new_size / p.bytes))
				 ELSE format('%s%% of its size: keys and rows are in no order, there is little to learn', round(100.0 * p.new_size / p.bytes)) END AS reason,
			CASE WHEN p.why_not IS NOT NULL OR p.new_size IS NULL OR (p.new_size > p.bytes * 0.9 AND p.amname <> 'brin') THEN NULL
				 WHEN p.contype IS NOT NULL THEN format(E'CALL kyro.replace_btree(%L);\n-- to go back: CALL kyro.restore_btree(%1$L);', p.name)
				 ELSE format(E'CREATE %sINDEX CONCURRENTLY %I ON %s USING kyro_rmi (%s)%s%s%s;\n-- when plans are as they should be: DROP INDEX CONCURRENTLY %s;\n-- to go back: %s; DROP INDEX CONCURRENTLY %s;',
					CASE WHEN p.indisunique THEN 'UNIQUE ' END, left(p.relname, 58) || '_kyro', p.tblname, p.key,
					CASE WHEN p.not_distinct THEN ' NULLS NOT DISTINCT' END, ' TABLESPACE ' || quote_ident(p.tablespace), ' WHERE ' || p.predicate, p.name,
					regexp_replace(pg_get_indexdef(p.oid), '^CREATE (UNIQUE )?INDEX ', 'CREATE \1INDEX CONCURRENTLY '),
					(SELECT format('%I.%I', r.nspname, left(p.relname, 58) || '_kyro') FROM relations r WHERE r.oid = p.oid)) END AS ddl
		FROM predicted p
		UNION ALL
		SELECT NULL, t.oid::regclass, CASE t.amname WHEN 'heap' THEN 'heap' ELSE 'kyro table' END, t.bytes, t.new_size, NULL,
			CASE WHEN t.why_not IS NOT NULL OR t.new_size IS NULL THEN 'no'
				 WHEN t.new_size <= t.bytes * 0.75 THEN 'yes'
				 WHEN t.new_size <= t.bytes * 0.9 THEN 'maybe'
				 ELSE 'no' END,
			CASE WHEN t.why_not IS NOT NULL THEN t.why_not
				 WHEN t.new_size IS NULL THEN 'nothing can be said: it is locked'
				 WHEN t.new_size <= t.bytes * 0.9 THEN format('%s%% of its size when all rows are sealed; seal what has stopped changing', round(100.0 * t.new_size / t.bytes))
				 WHEN t.amname = 'kyro' THEN 'it is sealed'
				 ELSE format('%s%% of its size when all rows are sealed: they are too wide', round(100.0 * t.new_size / t.bytes)) END,
			CASE WHEN t.why_not IS NOT NULL OR t.new_size IS NULL OR t.new_size > t.bytes * 0.9 THEN NULL
				 WHEN t.amname = 'kyro' THEN format(E'CALL kyro.seal(%L);\nCALL kyro.compact(%1$L);', t.name)
				 ELSE format(E'ALTER %s %s SET ACCESS METHOD kyro;\nVACUUM FULL %2$s;\n-- to go back: ALTER %1$s %2$s SET ACCESS METHOD heap;',
					CASE t.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END, t.name) END
		FROM predicted_tables t
	)
	SELECT a.index, a.tbl, a.kind, a.bytes, a.new_size, a.us, a.verdict, a.reason, a.ddl
	FROM advice a
	ORDER BY coalesce(a.bytes - a.new_size, -1) DESC, a.tbl::text COLLATE "C", a.index::text COLLATE "C"
$$;
COMMENT ON FUNCTION kyro.advise(schema name) IS
	'which btree, hash and BRIN indexes kyro_rmi could stand in for, and which tables sealing would shrink, with sizes predicted from a sample, and the commands; of tables that the user sees';

-- leaving

CREATE FUNCTION kyro.drop_guard() RETURNS event_trigger
	AS 'MODULE_PATHNAME', 'kyro_drop_guard' LANGUAGE C;
COMMENT ON FUNCTION kyro.drop_guard() IS
	'refuses commands that would drop the extension and all kyro tables with it; for event trigger kyro_drop_guard';
REVOKE ALL ON FUNCTION kyro.drop_guard() FROM PUBLIC;

CREATE EVENT TRIGGER kyro_drop_guard ON ddl_command_start
	WHEN TAG IN ('DROP EXTENSION', 'DROP SCHEMA', 'DROP OWNED')
	EXECUTE FUNCTION kyro.drop_guard();
COMMENT ON EVENT TRIGGER kyro_drop_guard IS 'kyro tables do not go with the extension';

-- Foreign keys beside unique kyro_rmi indexes, where the library was not loaded before.
CREATE FUNCTION kyro.before_ddl() RETURNS event_trigger
	AS 'MODULE_PATHNAME', 'kyro_before_ddl' LANGUAGE C;
COMMENT ON FUNCTION kyro.before_ddl() IS
	'lets foreign keys find their btree beside a unique kyro_rmi index; for event trigger kyro_before_ddl';
REVOKE ALL ON FUNCTION kyro.before_ddl() FROM PUBLIC;

CREATE FUNCTION kyro.after_ddl() RETURNS event_trigger
	AS 'MODULE_PATHNAME', 'kyro_after_ddl' LANGUAGE C;
COMMENT ON FUNCTION kyro.after_ddl() IS
	'ends what kyro.before_ddl() began; for event trigger kyro_after_ddl';
REVOKE ALL ON FUNCTION kyro.after_ddl() FROM PUBLIC;

CREATE EVENT TRIGGER kyro_before_ddl ON ddl_command_start
	WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE')
	EXECUTE FUNCTION kyro.before_ddl();
COMMENT ON EVENT TRIGGER kyro_before_ddl IS 'foreign keys find their btree beside a unique kyro_rmi index';
CREATE EVENT TRIGGER kyro_after_ddl ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE')
	EXECUTE FUNCTION kyro.after_ddl();
COMMENT ON EVENT TRIGGER kyro_after_ddl IS 'ends what kyro_before_ddl began';

-- A rewrite unseals.
CREATE FUNCTION kyro.on_rewrite() RETURNS event_trigger
	AS 'MODULE_PATHNAME', 'kyro_on_rewrite' LANGUAGE C;
COMMENT ON FUNCTION kyro.on_rewrite() IS
	'tells who rewrites a sealed table that its rows will not be sealed afterwards; for event trigger kyro_on_rewrite';
REVOKE ALL ON FUNCTION kyro.on_rewrite() FROM PUBLIC;

CREATE EVENT TRIGGER kyro_on_rewrite ON table_rewrite
	EXECUTE FUNCTION kyro.on_rewrite();
COMMENT ON EVENT TRIGGER kyro_on_rewrite IS 'a NOTICE where a sealed table is rewritten';

-- A policy goes with its table.  As the owner of the policies, whoever drops it.
CREATE FUNCTION kyro.on_drop() RETURNS event_trigger
	LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT FROM kyro.policies) THEN
		DELETE FROM kyro.policies p
		USING pg_event_trigger_dropped_objects() d
		WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND p.relation = d.objid;
	END IF;
END
$$;
COMMENT ON FUNCTION kyro.on_drop() IS
	'removes the policies of tables that are dropped; for event trigger kyro_on_drop';
REVOKE ALL ON FUNCTION kyro.on_drop() FROM PUBLIC;

CREATE EVENT TRIGGER kyro_on_drop ON sql_drop
	EXECUTE FUNCTION kyro.on_drop();
COMMENT ON EVENT TRIGGER kyro_on_drop IS 'a policy goes with its table';

-- An index is put together from the catalogs and not by replacing words in
-- pg_get_indexdef(), since a name may hold any words.
CREATE FUNCTION kyro.leave_index(
	index regclass,
	as_name text DEFAULT NULL,
	OUT name text,
	OUT tbl text,
	OUT make text,
	OUT extras text)
RETURNS record
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT n.name, n.tbl,
		format('CREATE %sINDEX %I ON %s%s USING btree (%s)%s%s%s%s',
			CASE WHEN x.indisunique THEN 'UNIQUE ' END, coalesce(as_name, c.relname),
			CASE WHEN c.relkind = 'I' AND as_name IS NULL THEN 'ONLY ' END, n.tbl,
			pg_get_indexdef(c.oid, 1, false),
			CASE WHEN x.indnullsnotdistinct THEN ' NULLS NOT DISTINCT' END,
			(SELECT format(' WITH (fillfactor = %s)', o.option_value)
				FROM pg_options_to_table(c.reloptions) o WHERE o.option_name = 'fillfactor'),
			(SELECT format(' TABLESPACE %I', s.spcname) FROM pg_tablespace s WHERE s.oid = c.reltablespace),
			' WHERE ' || pg_get_expr(x.indpred, x.indrelid)),
		concat(
			(SELECT format('; ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s', n.name, a.attnum, a.attstattarget)
				FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attstattarget >= 0 AND x.indexprs IS NOT NULL),
			'; COMMENT ON INDEX ' || n.name || ' IS ' || quote_literal(obj_description(c.oid, 'pg_class')),
			CASE WHEN x.indisclustered THEN format('; ALTER TABLE %s CLUSTER ON %I', n.tbl, c.relname) END,
			CASE WHEN x.indisreplident THEN format('; ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', n.tbl, c.relname) END)
	FROM pg_class c
	JOIN pg_index x ON x.indexrelid = c.oid
	JOIN pg_class t ON t.oid = x.indrelid
	JOIN pg_namespace s ON s.oid = t.relnamespace,
	LATERAL (SELECT format('%I.%I', s.nspname, c.relname) AS name,
			format('%I.%I', s.nspname, t.relname) AS tbl) AS n
	WHERE c.oid = index
$$;
COMMENT ON FUNCTION kyro.leave_index(index regclass, as_name text) IS
	'how to make a btree like this index, and what else to say of it then; helper of kyro.leave';

CREATE FUNCTION kyro.leave(
	dry_run boolean DEFAULT true,
	OUT object text,
	OUT kind text,
	OUT bytes bigint,
	OUT command text)
RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE STRICT
	SET search_path = pg_catalog, pg_temp
	SET default_tablespace = ''
AS $$
BEGIN
	FOR object, kind, bytes, command IN
		WITH ours AS (
			SELECT c.oid, c.relname, c.relkind, c.relnamespace, c.reltablespace, am.amname,
				   format('%I.%I', n.nspname, c.relname) AS name,
				   pg_is_other_temp_schema(c.relnamespace) AS foreign_temp
			FROM pg_class c
			JOIN pg_am am ON am.oid = c.relam
			JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE am.amname IN ('kyro', 'kyro_rmi')
		), steps AS (
			-- tables first: a kyro_rmi index is made anew faster than a btree
			SELECT 1 AS step, o.name AS object,
				CASE o.relkind WHEN 'm' THEN 'materialized view' WHEN 'p' THEN 'partitioned table' ELSE 'table' END AS kind,
				pg_table_size(o.oid) AS bytes,
				CASE WHEN NOT o.foreign_temp THEN
					format('ALTER %s %s SET ACCESS METHOD heap', CASE o.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END, o.name)
				END AS command
			FROM ours o WHERE o.amname = 'kyro'
			UNION ALL
			SELECT 2, o.name, 'exclusion constraint', pg_relation_size(o.oid),
				CASE WHEN NOT o.foreign_temp THEN
					format('ALTER TABLE %s DROP CONSTRAINT %I; ALTER TABLE %1$s ADD CONSTRAINT %2$I %s', i.tbl, k.conname,
						overlay(pg_get_constraintdef(k.oid) PLACING 'EXCLUDE USING btree' FROM 1 FOR length('EXCLUDE USING kyro_rmi'))) ||
					coalesce('; ALTER INDEX ' || o.name || ' SET TABLESPACE ' ||
						(SELECT quote_ident(s.spcname) FROM pg_tablespace s WHERE s.oid = o.reltablespace), '') ||
					coalesce(format('; COMMENT ON CONSTRAINT %I ON %s IS ', k.conname, i.tbl) ||
						quote_literal(obj_description(k.oid, 'pg_constraint')), '') ||
					i.extras
				END
			FROM ours o
			JOIN pg_constraint k ON k.conindid = o.oid AND k.contype = 'x' AND k.conparentid = 0,
			LATERAL kyro.leave_index(o.oid) AS i
			UNION ALL
			-- another index in the place of a key's: foreign keys and all else stay
			SELECT 2, o.name, CASE k.contype WHEN 'p' THEN 'primary key' ELSE 'unique constraint' END, pg_relation_size(o.oid),
				CASE WHEN NOT o.foreign_temp THEN
					format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE; %s; SELECT kyro.swap_index(%L, %L); DROP INDEX %4$s', i.tbl, i.make, o.name, i.other)
				END
			FROM ours o
			JOIN pg_constraint k ON k.conindid = o.oid AND k.contype IN ('p', 'u'),
			LATERAL (
				SELECT l.tbl, l.make, format('%I.%I', n.nspname, left(o.relname, 50) || '_leave') AS other
				FROM kyro.leave_index(o.oid, left(o.relname, 50) || '_leave') AS l, pg_namespace n
				WHERE n.oid = o.relnamespace) AS i
			WHERE o.relkind = 'i' AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = o.oid)
			UNION ALL
			-- the same of all partitions
			SELECT 2, o.name, CASE k.contype WHEN 'p' THEN 'primary key' ELSE 'unique constraint' END, i.bytes,
				CASE WHEN NOT o.foreign_temp THEN
					format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE; %s; SELECT kyro.swap_index(%L, %L); DROP INDEX %4$s', i.tbl, i.make, o.name, i.other)
				END
			FROM ours o
			JOIN pg_constraint k ON k.conindid = o.oid AND k.contype IN ('p', 'u'),
			LATERAL (
				SELECT l.tbl, l.make, format('%I.%I', n.nspname, left(o.relname, 50) || '_leave') AS other,
					(SELECT sum(pg_relation_size(p.relid)) FROM pg_partition_tree(o.oid) AS p WHERE p.isleaf)::bigint AS bytes
				FROM kyro.leave_index(o.oid, left(o.relname, 50) || '_leave') AS l, pg_namespace n
				WHERE n.oid = o.relnamespace) AS i
			WHERE o.relkind = 'I' AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = o.oid)
			UNION ALL
			-- a tree of partitioned indexes at once, with the names that its parts have
			SELECT 3, o.name, 'partitioned index', t.bytes,
				CASE WHEN NOT o.foreign_temp THEN format('DROP INDEX %s; %s%s%s', o.name, t.make, t.attach, t.extras) END
			FROM ours o,
			LATERAL (
				SELECT sum(CASE WHEN p.isleaf THEN pg_relation_size(p.relid) ELSE 0 END)::bigint AS bytes,
					string_agg(i.make, '; ' ORDER BY p.level, i.name) AS make,
					coalesce(string_agg(format('; ALTER INDEX %s ATTACH PARTITION %s', parent.name, i.name), ''
						ORDER BY p.level DESC, i.name) FILTER (WHERE parent.name IS NOT NULL), '') AS attach,
					string_agg(i.extras, '' ORDER BY p.level, i.name) AS extras
				FROM pg_partition_tree(o.oid) AS p
				CROSS JOIN LATERAL kyro.leave_index(p.relid) AS i
				LEFT JOIN ours AS parent ON parent.oid = p.parentrelid AND p.level > 0) AS t
			WHERE o.amname = 'kyro_rmi' AND o.relkind = 'I'
				AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = o.oid)
				AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = o.oid AND k.contype IN ('x', 'p', 'u'))
			UNION ALL
			SELECT 4, o.name, CASE WHEN x.indisvalid THEN 'index' ELSE 'invalid index' END, pg_relation_size(o.oid),
				CASE WHEN NOT o.foreign_temp THEN
					format('DROP INDEX %s', o.name) || CASE WHEN x.indisvalid THEN '; ' || i.make || i.extras ELSE '' END
				END
			FROM ours o
			JOIN pg_index x ON x.indexrelid = o.oid,
			LATERAL kyro.leave_index(o.oid) AS i
			WHERE o.amname = 'kyro_rmi' AND o.relkind = 'i'
				AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = o.oid)
				AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = o.oid AND k.contype IN ('x', 'p', 'u'))
			UNION ALL
			SELECT 5, concat_ws(' of ', v.name, coalesce(r.rolname, d.datname)), 'setting', NULL,
				CASE WHEN s.setrole = 0 THEN format('ALTER DATABASE %I RESET %s', d.datname, v.name)
					WHEN s.setdatabase = 0 THEN format('ALTER ROLE %I RESET %s', r.rolname, v.name)
					ELSE format('ALTER ROLE %I IN DATABASE %I RESET %s', r.rolname, d.datname, v.name)
				END
			FROM pg_db_role_setting s
			JOIN (VALUES ('default_table_access_method', 'kyro'), ('kyro.constraint_index_method', 'kyro_rmi')) AS v (name, value)
				ON concat_ws('=', v.name, v.value) = ANY (s.setconfig)
			LEFT JOIN pg_database d ON d.oid = s.setdatabase
			LEFT JOIN pg_roles r ON r.oid = s.setrole
			WHERE s.setdatabase = 0 OR d.datname = current_database()
		)
		SELECT s.object, s.kind, s.bytes, s.command FROM steps s ORDER BY s.step, s.object COLLATE "C"
	LOOP
		IF NOT dry_run THEN
			IF command IS NULL THEN
				RAISE EXCEPTION USING ERRCODE = 'object_in_use',
					MESSAGE = format('%s %s is temporary and belongs to another session', kind, object),
					HINT = 'End that session, or let it drop the table.';
			END IF;
			EXECUTE command;
		END IF;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION kyro.leave(dry_run boolean) IS
	'turn all kyro tables of this database into heaps and all kyro_rmi indexes into btrees; dry_run: only say how';
