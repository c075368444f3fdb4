
-- old events of logs, and partitions: docs/event_log.md

-- Their bounds, as the caller's settings write times.
CREATE FUNCTION kyro.log_partitions(log regclass, OUT partition regclass, OUT low text, OUT high text)
RETURNS SETOF record
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.oid::regclass, b.bounds[1], b.bounds[2]
	FROM pg_inherits i
	JOIN pg_class c ON c.oid = i.inhrelid,
	LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''?([^'')]*)''?\) TO \(''?([^'')]*)''?\)') AS b(bounds)
	WHERE i.inhparent = log AND b.bounds IS NOT NULL
$$;
COMMENT ON FUNCTION kyro.log_partitions(log regclass) IS
	'the partitions of an event log, but that of the rest, and their bounds; helper of its functions';

-- Partitions are made ahead, and not by appenders: that would lock the table.  What has no
-- partition goes into that of the rest, so nothing is refused if this is not called in time.
CREATE FUNCTION kyro.extend_log(log regclass, ahead int DEFAULT 4, every text DEFAULT NULL) RETURNS int
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET timezone = 'UTC'
	SET datestyle = 'ISO'
AS $$
DECLARE
	by_time boolean;
	by_month boolean;
	relname name;
	nspname name;
	low text;
	high text;		-- the bounds of the last partition
	rest text;		-- the last event that came when there was none for it
	unused int;
	made int := 0;
BEGIN
	IF log IS NULL OR ahead IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'arguments of kyro.extend_log must not be NULL';
	END IF;
	PERFORM kyro.event_log(log::text);
	SELECT c.relname, n.nspname, pg_get_partkeydef(c.oid) = 'RANGE (at)' INTO relname, nspname, by_time
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid = log AND c.relkind = 'p';
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('event log %s is not partitioned', log);
	END IF;
	-- as making a partition does; so two calls come one after the other
	EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', log);

	SELECT p.low, p.high INTO low, high FROM kyro.log_partitions(log) p
	ORDER BY CASE WHEN by_time THEN extract(epoch FROM p.high::timestamptz) ELSE p.high::numeric END DESC LIMIT 1;
	IF by_time THEN
		SELECT count(*) INTO unused FROM kyro.log_partitions(log) p WHERE p.low::timestamptz > clock_timestamp();
		-- months are of different lengths, and so are what begins with each of them
		SELECT bool_and(date_trunc('month', b::timestamptz) = b::timestamptz) INTO by_month
		FROM kyro.log_partitions(log) p, unnest(ARRAY[p.low, p.high]) b;
		every := coalesce(every, (CASE WHEN by_month THEN age(high::timestamptz, low::timestamptz) ELSE high::timestamptz - low::timestamptz END)::text);
		IF every::interval <= interval '0' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a partition must be for some time';
		END IF;
		high := coalesce(high, date_trunc(CASE WHEN every::interval >= '1 month' THEN 'month' WHEN every::interval >= '1 day' THEN 'day' ELSE 'hour' END, clock_timestamp())::text);
	ELSE
		SELECT count(*) INTO unused FROM kyro.log_partitions(log) p
		WHERE p.low::bigint > coalesce(pg_sequence_last_value(pg_get_serial_sequence(log::text, 'offset')::regclass), 0);
		every := coalesce(every, (high::bigint - low::bigint)::text);
		IF every::bigint <= 0 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a partition must be for some events';
		END IF;
		high := coalesce(high, '1');
	END IF;
	EXECUTE format('SELECT max(%s)::text FROM %s', CASE WHEN by_time THEN 'at' ELSE '"offset"' END, kyro.beside_log(log, 'rest')) INTO rest;
	-- those have to stay where they are
	WHILE (by_time AND high::timestamptz <= rest::timestamptz) OR (NOT by_time AND high::bigint <= rest::bigint) LOOP
		high := CASE WHEN by_time THEN (high::timestamptz + every::interval)::text ELSE (high::bigint + every::bigint)::text END;
	END LOOP;

	WHILE unused < ahead LOOP
		low := high;
		high := CASE WHEN by_time THEN (low::timestamptz + every::interval)::text ELSE (low::bigint + every::bigint)::text END;
		EXECUTE format('CREATE TABLE %I.%I PARTITION OF %s FOR VALUES FROM (%L) TO (%L) USING kyro', nspname,
			CASE WHEN octet_length(relname) <= 42 THEN relname ELSE 'kyro_log_' || log::oid END || '_p' || CASE WHEN by_time THEN to_char(low::timestamptz, 'YYYYMMDD_HH24MISS') ELSE low END, log, low, high);
		made := made + 1;
		IF NOT by_time OR low::timestamptz > clock_timestamp() THEN
			unused := unused + 1;
		END IF;
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION kyro.extend_log(log regclass, ahead int, every text) IS
	'make partitions of a log until so many are unused; returns how many were made';

CREATE FUNCTION kyro.extend_log(log text, ahead int DEFAULT 4, every text DEFAULT NULL) RETURNS int
	LANGUAGE sql VOLATILE
RETURN kyro.extend_log(kyro.event_log(log), ahead, every);
COMMENT ON FUNCTION kyro.extend_log(log text, ahead int, every text) IS
	'make partitions of a log until so many are unused; returns how many were made';

CREATE FUNCTION kyro.trim(log regclass, before bigint, OUT partitions bigint, OUT events bigint)
RETURNS record
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET timezone = 'UTC'
	SET datestyle = 'ISO'
AS $$
DECLARE
	by_time boolean;
	part regclass;
	keep boolean;
BEGIN
	IF log IS NULL OR before IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'arguments of kyro.trim must not be NULL';
	END IF;
	PERFORM kyro.event_log(log::text);
	-- as kyro.replay has it: an error if that is negative, or beyond the end
	PERFORM FROM kyro.replay(log::text, before, NULL, 1);
	-- what is not stable may have events before it that are still to come, and those would stay
	before := least(before, coalesce(kyro.stable_offset(log::text), 0) + 1);
	partitions := 0;
	IF (SELECT relkind = 'p' FROM pg_class WHERE oid = log) THEN
		IF current_setting('transaction_isolation') <> 'read committed' THEN
			RAISE EXCEPTION USING ERRCODE = 'active_sql_transaction', MESSAGE = 'a partitioned event log is trimmed in a READ COMMITTED transaction';
		END IF;
		by_time := pg_get_partkeydef(log) = 'RANGE (at)';
		-- Readers lock the log first, and its partitions then, and so do we; but not against them
		-- before there is something to drop.
		EXECUTE format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', log);
		FOR part IN
			SELECT p.partition FROM kyro.log_partitions(log) p
			WHERE CASE WHEN by_time THEN p.high::timestamptz <= clock_timestamp() ELSE p.high::bigint <= before END
			ORDER BY p.high
		LOOP
			EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE "offset" >= $1)', part) INTO keep USING before;
			CONTINUE WHEN keep;
			-- who has written to it has ended then, and is seen by what comes next
			EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', log);
			EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', part);
			EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE "offset" >= $1)', part) INTO keep USING before;
			IF NOT keep THEN
				EXECUTE format('DROP TABLE %s', part);
				partitions := partitions + 1;
			END IF;
		END LOOP;
		EXECUTE format('DELETE FROM %s WHERE "offset" < $1', kyro.beside_log(log, 'requests')) USING before;
	END IF;
	EXECUTE format('DELETE FROM %s WHERE "offset" < $1', log) USING before;
	GET DIAGNOSTICS events = ROW_COUNT;
END
$$;
COMMENT ON FUNCTION kyro.trim(log regclass, before bigint) IS
	'remove the events of a log before an offset: partitions that have no others are dropped, other events deleted; returns how many of each';

CREATE FUNCTION kyro.trim(log text, before bigint, OUT partitions bigint, OUT events bigint)
RETURNS record
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT t.partitions, t.events FROM kyro.trim(kyro.event_log(log), before) t;
END;
COMMENT ON FUNCTION kyro.trim(log text, before bigint) IS
	'remove the events of a log before an offset: partitions that have no others are dropped, other events deleted; returns how many of each';

CREATE FUNCTION kyro.trim(log regclass, before timestamptz, OUT partitions bigint, OUT events bigint)
RETURNS record
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	first_kept bigint;
BEGIN
	IF log IS NULL OR before IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'arguments of kyro.trim must not be NULL';
	END IF;
	PERFORM kyro.event_log(log::text);
	-- Clocks and offsets may disagree a little: all before the first event that is young enough.
	EXECUTE format('SELECT "offset" FROM %s WHERE at >= $1 ORDER BY "offset" LIMIT 1', log) INTO first_kept USING before;
	SELECT t.partitions, t.events INTO partitions, events
	FROM kyro.trim(log, least(first_kept, coalesce(kyro.stable_offset(log::text), 0) + 1)) t;
END
$$;
COMMENT ON FUNCTION kyro.trim(log regclass, before timestamptz) IS
	'remove the events of a log that are older than a time and before all that are not, as the other kyro.trim does';

CREATE FUNCTION kyro.trim(log text, before timestamptz, OUT partitions bigint, OUT events bigint)
RETURNS record
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT t.partitions, t.events FROM kyro.trim(kyro.event_log(log), before) t;
END;
COMMENT ON FUNCTION kyro.trim(log text, before timestamptz) IS
	'remove the events of a log that are older than a time and before all that are not, as the other kyro.trim does';

CREATE FUNCTION kyro.compact_log(log regclass, before bigint DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	stable bigint;
	done bigint;
BEGIN
	IF log IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the name of an event log must not be NULL';
	END IF;
	stable := kyro.stable_offset(log::text);
	IF before < 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'offsets of an event log must not be negative';
	END IF;
	EXECUTE format(
		'DELETE FROM %1$s e
		USING (SELECT key, max("offset") AS latest FROM %1$s WHERE key IS NOT NULL AND "offset" <= $1 GROUP BY key) AS k
		WHERE e.key = k.key AND e."offset" < k.latest AND e."offset" < $2', log)
		USING stable, coalesce(before, stable);
	GET DIAGNOSTICS done = ROW_COUNT;
	RETURN done;
END
$$;
COMMENT ON FUNCTION kyro.compact_log(log regclass, before bigint) IS
	'delete the events of a log that have a later one of the same key, of those before an offset if given; returns their number';

CREATE FUNCTION kyro.compact_log(log text, before bigint DEFAULT NULL) RETURNS bigint
	LANGUAGE sql VOLATILE
RETURN kyro.compact_log(kyro.event_log(log), before);
COMMENT ON FUNCTION kyro.compact_log(log text, before bigint) IS
	'delete the events of a log that have a later one of the same key, of those before an offset if given; returns their number';
