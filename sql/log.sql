
-- event logs: docs/event_log.md; src/events/README.md argues why no event is missed
--
-- Functions of event logs and key-value tables that are written in SQL stand twice.  The one
-- that takes a regclass does the work, with a search_path of its own, in which names mean
-- nothing of the caller's.  The one that takes text finds the table by the caller's search_path,
-- and calls the other; literals, and parameters that a driver sends as text, come to it.
-- (Functions in C that find the table themselves take text only, or are the same for both.)  Both have the same
-- comment, so that \df+ shows it for either.

CREATE FUNCTION kyro.event_log(name text) RETURNS regclass
	AS 'MODULE_PATHNAME', 'kyro_event_log' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.event_log(name text) IS
	'the event log of that name, by the search_path; helper of functions that take names of logs';

CREATE FUNCTION kyro.creation_name(name text) RETURNS text[]
	AS 'MODULE_PATHNAME', 'kyro_creation_name' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.creation_name(name text) IS
	'schema and name of what is to be made under that name, by the search_path; helper of kyro.create_log';

CREATE FUNCTION kyro.next_offset(sequence regclass) RETURNS bigint
	AS 'MODULE_PATHNAME', 'kyro_next_offset' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION kyro.next_offset(sequence regclass) IS
	'the next offset of an event log; default of its column';

-- It is not immutable, but a generated column asks for that.  No value is ever wrong that is
-- taken later than the first one, so it does no harm if the server takes it again.
CREATE FUNCTION kyro.event_horizon("offset" bigint) RETURNS xid8
	AS 'MODULE_PATHNAME', 'kyro_event_horizon' LANGUAGE C IMMUTABLE STRICT;
COMMENT ON FUNCTION kyro.event_horizon("offset" bigint) IS
	'the next transaction id, when an event got its offset; for the generated column horizon of event logs';

CREATE FUNCTION kyro.beside_log(log regclass, what text) RETURNS text
	LANGUAGE sql STABLE STRICT
	SET search_path = pg_catalog, pg_temp
RETURN (SELECT format('%I.%I', n.nspname, c.relname || '_' || what)
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = log);
COMMENT ON FUNCTION kyro.beside_log(log regclass, what text) IS
	'the name of a table that belongs to an event log; helper of functions of event logs';

CREATE FUNCTION kyro.make_log(name text[], payload_type regtype, partition_by text DEFAULT NULL, every text DEFAULT NULL) RETURNS regclass
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tbl text := format('%I.%I', name[1], name[2]);
	seq text := format('%I.%I', name[1], name[2] || '_offset_seq');
BEGIN
	IF payload_type IS NULL OR payload_type NOT IN ('jsonb'::regtype, 'bytea'::regtype) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('payloads of an event log are of type jsonb or bytea, not %s', coalesce(payload_type::text, 'NULL'));
	END IF;
	IF octet_length(name[2]) > 50 THEN
		RAISE EXCEPTION USING ERRCODE = 'name_too_long',
			MESSAGE = format('the name of event log "%s" is too long', name[2]),
			DETAIL = 'It may have 50 bytes, so that there is room for the names of what belongs to it.';
	END IF;
	IF partition_by NOT IN ('offset', 'time') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('event logs are partitioned by offset or time, not by %s', partition_by);
	ELSIF (partition_by IS NULL) <> (every IS NULL) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'partition_by and every go together',
			HINT = 'For example partition_by => ''time'', every => ''1 day'', or partition_by => ''offset'', every => ''1000000''.';
	END IF;
	-- CACHE 1: kyro.next_offset insists on it
	EXECUTE format('CREATE SEQUENCE %s AS bigint CACHE 1', seq);
	EXECUTE format(
		'CREATE TABLE %s (
			"offset" bigint NOT NULL DEFAULT kyro.next_offset(%L::pg_catalog.regclass),
			at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
			key bigint,
			kind text,
			payload %s NOT NULL,
			request_id uuid,
			horizon xid8 GENERATED ALWAYS AS (kyro.event_horizon("offset")) STORED
		) %s', tbl, seq, payload_type,
		CASE partition_by WHEN 'offset' THEN 'PARTITION BY RANGE ("offset")' WHEN 'time' THEN 'PARTITION BY RANGE (at)' ELSE 'USING kyro' END);
	EXECUTE format('ALTER SEQUENCE %s OWNED BY %s."offset"', seq, tbl);
	IF partition_by = 'time' THEN
		-- a unique index of a partitioned table is on its partition key
		EXECUTE format('CREATE INDEX ON %s USING kyro_rmi ("offset")', tbl);
	ELSIF (SELECT preloaded FROM kyro.build_info) THEN
		EXECUTE format('ALTER TABLE %s ADD PRIMARY KEY ("offset") WITH (kyro_rmi)', tbl);
	ELSE
		-- a primary key of that kind wants the library preloaded
		EXECUTE format('CREATE %s INDEX ON %s USING kyro_rmi ("offset")', CASE WHEN partition_by IS NULL THEN 'UNIQUE' END, tbl);
	END IF;
	IF partition_by IS NULL THEN
		EXECUTE format('CREATE UNIQUE INDEX ON %s (request_id) WHERE request_id IS NOT NULL', tbl);
	ELSE
		-- nor does one of requests reach over partitions: they have a table, which gives the offset
		EXECUTE format(
			'CREATE TABLE %I.%I (
				request_id uuid PRIMARY KEY,
				"offset" bigint NOT NULL DEFAULT kyro.next_offset(%L::pg_catalog.regclass)
			) USING heap', name[1], name[2] || '_requests', seq);
		EXECUTE format('CREATE INDEX ON %I.%I ("offset")', name[1], name[2] || '_requests');
		EXECUTE format('CREATE TABLE %I.%I PARTITION OF %s DEFAULT USING kyro', name[1], name[2] || '_rest', tbl);
		PERFORM kyro.extend_log(tbl::regclass, every => every);
	END IF;
	EXECUTE format(
		'CREATE TABLE %I.%I (
			consumer text PRIMARY KEY,
			position bigint NOT NULL DEFAULT 1,
			leases bigint NOT NULL DEFAULT 0
		) USING heap', name[1], name[2] || '_consumers');
	EXECUTE format(
		'CREATE TABLE %I.%I (
			consumer text,
			lease bigint,
			first bigint NOT NULL,
			last bigint NOT NULL,
			until timestamptz NOT NULL,
			PRIMARY KEY (consumer, lease)
		) USING heap', name[1], name[2] || '_leases');
	RETURN tbl::regclass;
END
$$;
COMMENT ON FUNCTION kyro.make_log(name text[], payload_type regtype, partition_by text, every text) IS
	'makes the event log; helper of kyro.create_log';

CREATE FUNCTION kyro.create_log(
	name text,
	payload_type regtype DEFAULT 'jsonb',
	partition_by text DEFAULT NULL,
	every text DEFAULT NULL)
RETURNS regclass
	LANGUAGE sql VOLATILE
RETURN kyro.make_log(kyro.creation_name(name), payload_type, partition_by, every);
COMMENT ON FUNCTION kyro.create_log(name text, payload_type regtype, partition_by text, every text) IS
	'make an event log: an ordinary kyro table of that name, which belongs to who calls this; partition_by: offset or time, with partitions of so many events, or of such an interval';

CREATE FUNCTION kyro.append(
	log text,
	payload jsonb,
	key bigint DEFAULT NULL,
	kind text DEFAULT NULL,
	request_id uuid DEFAULT NULL)
RETURNS bigint
	AS 'MODULE_PATHNAME', 'kyro_append' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.append(log text, payload jsonb, key bigint, kind text, request_id uuid) IS
	'append an event to a log and return its offset; that of the first event of the same request_id, if there is one: then nothing is written';

CREATE FUNCTION kyro.append_bytes(
	log text,
	payload bytea,
	key bigint DEFAULT NULL,
	kind text DEFAULT NULL,
	request_id uuid DEFAULT NULL)
RETURNS bigint
	AS 'MODULE_PATHNAME', 'kyro_append' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.append_bytes(log text, payload bytea, key bigint, kind text, request_id uuid) IS
	'kyro.append for a log whose payloads are bytea';

CREATE FUNCTION kyro.append_batch(
	log regclass,
	payloads jsonb[],
	keys bigint[] DEFAULT NULL,
	kinds text[] DEFAULT NULL,
	request_ids uuid[] DEFAULT NULL)
RETURNS bigint[]
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n int := cardinality(payloads);
	rows bigint;
	offsets bigint[];
BEGIN
	PERFORM kyro.event_log(log::text);
	IF payloads IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'payloads must not be NULL';
	END IF;
	IF cardinality(keys) <> n OR cardinality(kinds) <> n OR cardinality(request_ids) <> n THEN
		RAISE EXCEPTION USING ERRCODE = 'array_subscript_error',
			MESSAGE = format('there are %s payloads, but %s keys, %s kinds and %s request_ids', n,
				coalesce(cardinality(keys)::text, 'no'), coalesce(cardinality(kinds)::text, 'no'), coalesce(cardinality(request_ids)::text, 'no'));
	END IF;
	IF request_ids IS NULL THEN
		-- INSERT ... SELECT evaluates defaults in the order of the rows
		EXECUTE format(
			'WITH e AS (
				INSERT INTO %s (payload, key, kind)
				SELECT * FROM unnest($1, $2, $3)
				RETURNING "offset")
			SELECT coalesce(array_agg("offset" ORDER BY "offset"), ''{}'') FROM e', log)
			INTO offsets USING payloads, keys, kinds;
		RETURN offsets;
	END IF;

	IF array_position(request_ids, NULL) IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'request_ids must not hold NULLs',
			HINT = 'Give one for each event, or none at all.';
	END IF;
	-- as kyro.append does it: see "One request, one event" in src/events/README.md
	FOR tries IN 1 .. 100 LOOP
		EXECUTE format(CASE WHEN (SELECT relkind = 'p' FROM pg_class WHERE oid = log) THEN
			'WITH r AS (
				INSERT INTO %2$s (request_id)
				SELECT i.id
				FROM unnest($4) WITH ORDINALITY AS i(id, n)
				WHERE $5 OR NOT EXISTS (SELECT FROM %2$s e WHERE e.request_id = i.id)
				ORDER BY i.n
				ON CONFLICT (request_id) DO NOTHING
				RETURNING request_id, "offset")
			INSERT INTO %1$s ("offset", payload, key, kind, request_id)
			SELECT DISTINCT ON (r."offset") r."offset", i.payload, i.key, i.kind, i.id
			FROM r
			JOIN unnest($1, $2, $3, $4) WITH ORDINALITY AS i(payload, key, kind, id, n) ON i.id = r.request_id
			ORDER BY r."offset", i.n'
		ELSE
			'INSERT INTO %1$s (payload, key, kind, request_id)
			SELECT i.payload, i.key, i.kind, i.id
			FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS i(payload, key, kind, id, n)
			WHERE $5 OR NOT EXISTS (SELECT FROM %1$s e WHERE e.request_id = i.id)
			ORDER BY i.n
			ON CONFLICT (request_id) WHERE request_id IS NOT NULL DO NOTHING'
		END, log, kyro.beside_log(log, 'requests'))
			USING payloads, keys, kinds, request_ids, tries = 1 AND current_setting('transaction_isolation') = 'serializable';
		EXECUTE format(
			'SELECT coalesce(array_agg(e."offset" ORDER BY i.n), ''{}'')
			FROM unnest($1) WITH ORDINALITY AS i(id, n)
			LEFT JOIN %s e ON e.request_id = i.id',
			CASE WHEN (SELECT relkind = 'p' FROM pg_class WHERE oid = log) THEN kyro.beside_log(log, 'requests') ELSE log::text END)
			INTO offsets USING request_ids;
		IF array_position(offsets, NULL) IS NULL THEN
			RETURN offsets;
		END IF;
		-- some were trimmed in between
	END LOOP;
	RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
		MESSAGE = format('events of these requests in event log %s cannot be seen', log), DETAIL = 'Row security hides them.';
END
$$;
COMMENT ON FUNCTION kyro.append_batch(log regclass, payloads jsonb[], keys bigint[], kinds text[], request_ids uuid[]) IS
	'append many events to a log in one statement; returns their offsets in the order of the payloads, of repeated request_ids those of their first events';

CREATE FUNCTION kyro.append_batch(
	log text,
	payloads jsonb[],
	keys bigint[] DEFAULT NULL,
	kinds text[] DEFAULT NULL,
	request_ids uuid[] DEFAULT NULL)
RETURNS bigint[]
	LANGUAGE sql VOLATILE
RETURN kyro.append_batch(kyro.event_log(log), payloads, keys, kinds, request_ids);
COMMENT ON FUNCTION kyro.append_batch(log text, payloads jsonb[], keys bigint[], kinds text[], request_ids uuid[]) IS
	'append many events to a log in one statement; returns their offsets in the order of the payloads, of repeated request_ids those of their first events';

CREATE FUNCTION kyro.replay(
	log text,
	"from" bigint DEFAULT 1,
	"to" bigint DEFAULT NULL,
	"limit" bigint DEFAULT NULL)
RETURNS TABLE ("offset" bigint, at timestamptz, key bigint, kind text, payload jsonb, request_id uuid)
	AS 'MODULE_PATHNAME', 'kyro_replay' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.replay(log text, "from" bigint, "to" bigint, "limit" bigint) IS
	'events of a log in the order of their offsets, up to where one may still be to come: who goes on behind the last one misses none. Payloads that are bytea become strings in base64';

CREATE FUNCTION kyro.replay_bytes(
	log text,
	"from" bigint DEFAULT 1,
	"to" bigint DEFAULT NULL,
	"limit" bigint DEFAULT NULL)
RETURNS TABLE ("offset" bigint, at timestamptz, key bigint, kind text, payload bytea, request_id uuid)
	AS 'MODULE_PATHNAME', 'kyro_replay' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.replay_bytes(log text, "from" bigint, "to" bigint, "limit" bigint) IS
	'kyro.replay for a log whose payloads are bytea';

CREATE FUNCTION kyro.last_offset(log text) RETURNS bigint
	AS 'MODULE_PATHNAME', 'kyro_last_offset' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.last_offset(log text) IS
	'the offset of the last event of a log; NULL if it has none';

CREATE FUNCTION kyro.stable_offset(log text) RETURNS bigint
	AS 'MODULE_PATHNAME', 'kyro_stable_offset' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.stable_offset(log text) IS
	'the offset up to which no event of a log is still to come; NULL if it has none';

CREATE FUNCTION kyro.drop_log(log regclass) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM kyro.event_log(log::text);
	-- what bears the name, and is of the same owner and the kind that belongs to logs
	EXECUTE (SELECT 'DROP TABLE ' || concat_ws(', ', log, string_agg(c.oid::regclass::text, ', '))
		FROM (VALUES ('consumers', '{consumer,position,leases}'::name[]), ('leases', '{consumer,lease,first,last,until}'), ('requests', '{request_id,offset}')) AS v(what, columns)
		JOIN pg_class c ON c.oid = to_regclass(kyro.beside_log(log, v.what))
		WHERE c.relowner = (SELECT l.relowner FROM pg_class l WHERE l.oid = log)
			AND v.columns = ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum));
END
$$;
COMMENT ON FUNCTION kyro.drop_log(log regclass) IS 'drop an event log and the tables that belong to it';

CREATE FUNCTION kyro.drop_log(log text) RETURNS void
	LANGUAGE sql VOLATILE
RETURN kyro.drop_log(kyro.event_log(log));
COMMENT ON FUNCTION kyro.drop_log(log text) IS 'drop an event log and the tables that belong to it';
