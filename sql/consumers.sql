
-- readers of event logs that are woken, and those whose position is kept: docs/event_log.md

CREATE FUNCTION kyro.channel(log regclass) RETURNS text
	AS 'MODULE_PATHNAME', 'kyro_channel' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION kyro.channel(log regclass) IS
	'the channel on which appends to an event log are notified while somebody listens';

CREATE FUNCTION kyro.channel(log text) RETURNS text
	LANGUAGE sql STABLE
RETURN kyro.channel(kyro.event_log(log));
COMMENT ON FUNCTION kyro.channel(log text) IS
	'the channel on which appends to an event log are notified while somebody listens';

CREATE FUNCTION kyro.listen_lock(log regclass) RETURNS void
	AS 'MODULE_PATHNAME', 'kyro_listen_lock' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION kyro.listen_lock(log regclass) IS
	'have appenders notify until the end of the session; helper of kyro.subscribe';

CREATE FUNCTION kyro.listen_unlock(log regclass) RETURNS void
	AS 'MODULE_PATHNAME', 'kyro_listen_unlock' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION kyro.listen_unlock(log regclass) IS
	'the end of kyro.listen_lock; helper of kyro.unsubscribe';

-- The lock is asked for at each call: DISCARD and pg_advisory_unlock_all() release it.
CREATE FUNCTION kyro.subscribe(log regclass, "from" bigint DEFAULT 1, "limit" bigint DEFAULT NULL)
RETURNS TABLE ("offset" bigint, at timestamptz, key bigint, kind text, payload jsonb, request_id uuid)
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	channel text := kyro.channel(log);
BEGIN
	IF log IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the name of an event log must not be NULL';
	END IF;
	PERFORM kyro.listen_lock(log);
	IF NOT EXISTS (SELECT FROM pg_listening_channels() c WHERE c = channel) THEN
		EXECUTE format('LISTEN %I', channel);
		-- to ourselves: what commits until LISTEN takes effect is read when this comes
		PERFORM pg_notify(channel, '');
	END IF;
	RETURN QUERY SELECT * FROM kyro.replay(log::text, "from", NULL, "limit");
END
$$;
COMMENT ON FUNCTION kyro.subscribe(log regclass, "from" bigint, "limit" bigint) IS
	'kyro.replay, and LISTEN for what is appended later: call it again, behind the last event, whenever a notification comes';

CREATE FUNCTION kyro.subscribe(log text, "from" bigint DEFAULT 1, "limit" bigint DEFAULT NULL)
RETURNS TABLE ("offset" bigint, at timestamptz, key bigint, kind text, payload jsonb, request_id uuid)
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT s."offset", s.at, s.key, s.kind, s.payload, s.request_id FROM kyro.subscribe(kyro.event_log(log), "from", "limit") s;
END;
COMMENT ON FUNCTION kyro.subscribe(log text, "from" bigint, "limit" bigint) IS
	'kyro.replay, and LISTEN for what is appended later: call it again, behind the last event, whenever a notification comes';

CREATE FUNCTION kyro.unsubscribe(log regclass) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('UNLISTEN %I', kyro.channel(log));
	PERFORM kyro.listen_unlock(log);
END
$$;
COMMENT ON FUNCTION kyro.unsubscribe(log regclass) IS 'the end of kyro.subscribe in this session';

CREATE FUNCTION kyro.unsubscribe(log text) RETURNS void
	LANGUAGE sql VOLATILE
RETURN kyro.unsubscribe(kyro.event_log(log));
COMMENT ON FUNCTION kyro.unsubscribe(log text) IS 'the end of kyro.subscribe in this session';

-- Consumers.  The row of a consumer is locked by whoever hands out its events, so that is done
-- by one after the other, and briefly; acknowledging locks the lease only.

CREATE FUNCTION kyro.consume(log regclass, consumer text, "limit" bigint DEFAULT 100, lease_for interval DEFAULT '1 minute')
RETURNS TABLE (lease bigint, "offset" bigint, at timestamptz, key bigint, kind text, payload jsonb, request_id uuid)
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	consumers text := kyro.beside_log(log, 'consumers');
	leases text := kyro.beside_log(log, 'leases');
	pos bigint;		-- the next offset to be handed out
	taken record;	-- a lease whose time is up
	due boolean;
	behind bigint;	-- the last offset that is handed out here
BEGIN
	IF log IS NULL OR consumer IS NULL OR "limit" IS NULL OR lease_for IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'arguments of kyro.consume must not be NULL';
	END IF;
	PERFORM kyro.event_log(log::text);
	IF "limit" <= 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_row_count_in_limit_clause', MESSAGE = 'limit must be positive';
	END IF;
	IF lease_for <= interval '0' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a lease must last for some time';
	END IF;

	-- Is there anything?  Who looks in vain writes nothing and waits for nobody.
	EXECUTE format('SELECT position, EXISTS (SELECT FROM %s l WHERE l.consumer = c.consumer AND l.until < clock_timestamp()) FROM %s c WHERE c.consumer = $1', leases, consumers)
		INTO pos, due USING consumer;
	IF NOT coalesce(due, false) AND NOT EXISTS (SELECT FROM kyro.replay(log::text, coalesce(pos, 1), NULL, 1)) THEN
		RETURN;
	END IF;

	EXECUTE format('INSERT INTO %s (consumer) VALUES ($1) ON CONFLICT (consumer) DO NOTHING', consumers) USING consumer;
	EXECUTE format('UPDATE %s SET leases = leases + 1 WHERE consumer = $1 RETURNING position, leases', consumers)
		INTO pos, lease USING consumer;

	-- What was handed out and not acknowledged in time comes first.  A lease that is being
	-- acknowledged just now is passed over.
	LOOP
		EXECUTE format(
			'SELECT l.lease, l.first, l.last FROM %s l WHERE l.consumer = $1 AND l.until < clock_timestamp()
			ORDER BY l.first LIMIT 1 FOR UPDATE SKIP LOCKED', leases)
			INTO taken USING consumer;
		EXIT WHEN taken.lease IS NULL;
		FOR "offset", at, key, kind, payload, request_id IN SELECT * FROM kyro.replay(log::text, taken.first, taken.last, "limit") LOOP
			RETURN NEXT;
			behind := "offset";
		END LOOP;
		IF behind < taken.last THEN
			-- the rest stays due
			EXECUTE format('UPDATE %s SET first = $3 WHERE consumer = $1 AND lease = $2', leases) USING consumer, taken.lease, behind + 1;
		ELSE
			EXECUTE format('DELETE FROM %s WHERE consumer = $1 AND lease = $2', leases) USING consumer, taken.lease;
		END IF;
		IF behind IS NOT NULL THEN
			EXECUTE format('INSERT INTO %s (consumer, lease, first, last, until) VALUES ($1, $2, $3, $4, clock_timestamp() + $5)', leases)
				USING consumer, lease, taken.first, behind, lease_for;
			RETURN;
		END IF;
		-- its events have been trimmed
	END LOOP;

	FOR "offset", at, key, kind, payload, request_id IN SELECT * FROM kyro.replay(log::text, pos, NULL, "limit") LOOP
		RETURN NEXT;
		behind := "offset";
	END LOOP;
	IF behind IS NOT NULL THEN
		EXECUTE format('INSERT INTO %s (consumer, lease, first, last, until) VALUES ($1, $2, $3, $4, clock_timestamp() + $5)', leases)
			USING consumer, lease, pos, behind, lease_for;
		EXECUTE format('UPDATE %s SET position = $2 WHERE consumer = $1', consumers) USING consumer, behind + 1;
	END IF;
END
$$;
COMMENT ON FUNCTION kyro.consume(log regclass, consumer text, "limit" bigint, lease_for interval) IS
	'the next events of a log for one of the workers of a named consumer: they are its own for the time of the lease, and handed out again if they are not acknowledged until then';

CREATE FUNCTION kyro.consume(log text, consumer text, "limit" bigint DEFAULT 100, lease_for interval DEFAULT '1 minute')
RETURNS TABLE (lease bigint, "offset" bigint, at timestamptz, key bigint, kind text, payload jsonb, request_id uuid)
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT c.lease, c."offset", c.at, c.key, c.kind, c.payload, c.request_id FROM kyro.consume(kyro.event_log(log), consumer, "limit", lease_for) c;
END;
COMMENT ON FUNCTION kyro.consume(log text, consumer text, "limit" bigint, lease_for interval) IS
	'the next events of a log for one of the workers of a named consumer: they are its own for the time of the lease, and handed out again if they are not acknowledged until then';

CREATE FUNCTION kyro.lease_is_over(log regclass, consumer text, lease bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF log IS NULL OR consumer IS NULL OR lease IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'log, consumer and lease must not be NULL';
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
		MESSAGE = format('lease %s of consumer "%s" of event log %s is over', lease, consumer, log),
		DETAIL = 'Its events were acknowledged, or its time was up and they were handed out again.',
		HINT = 'Roll back what was done about them.';
END
$$;
COMMENT ON FUNCTION kyro.lease_is_over(log regclass, consumer text, lease bigint) IS
	'raises the error; helper of kyro.ack and kyro.renew';

CREATE FUNCTION kyro.ack(log regclass, consumer text, lease bigint, "offset" bigint DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	done bigint;
BEGIN
	PERFORM kyro.event_log(log::text);
	IF "offset" IS NULL THEN
		EXECUTE format('DELETE FROM %s l WHERE l.consumer = $1 AND l.lease = $2', kyro.beside_log(log, 'leases')) USING consumer, lease;
		GET DIAGNOSTICS done = ROW_COUNT;
	ELSE
		-- the last event, and so the lease
		EXECUTE format('DELETE FROM %s l WHERE l.consumer = $1 AND l.lease = $2 AND l.last <= $3', kyro.beside_log(log, 'leases')) USING consumer, lease, "offset";
		GET DIAGNOSTICS done = ROW_COUNT;
		IF done = 0 THEN
			EXECUTE format('UPDATE %s l SET first = greatest(l.first, $3 + 1) WHERE l.consumer = $1 AND l.lease = $2', kyro.beside_log(log, 'leases')) USING consumer, lease, "offset";
			GET DIAGNOSTICS done = ROW_COUNT;
		END IF;
	END IF;
	IF done = 0 THEN
		PERFORM kyro.lease_is_over(log, consumer, lease);
	END IF;
END
$$;
COMMENT ON FUNCTION kyro.ack(log regclass, consumer text, lease bigint, "offset" bigint) IS
	'acknowledge the events of a lease, or those up to an offset: they are not handed out again. An error if they have been';

CREATE FUNCTION kyro.ack(log text, consumer text, lease bigint, "offset" bigint DEFAULT NULL) RETURNS void
	LANGUAGE sql VOLATILE
RETURN kyro.ack(kyro.event_log(log), consumer, lease, "offset");
COMMENT ON FUNCTION kyro.ack(log text, consumer text, lease bigint, "offset" bigint) IS
	'acknowledge the events of a lease, or those up to an offset: they are not handed out again. An error if they have been';

CREATE FUNCTION kyro.renew(log regclass, consumer text, lease bigint, lease_for interval DEFAULT '1 minute') RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	done bigint;
BEGIN
	PERFORM kyro.event_log(log::text);
	IF lease_for IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'arguments of kyro.renew must not be NULL';
	END IF;
	IF lease_for <= interval '0' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a lease must last for some time';
	END IF;
	EXECUTE format('UPDATE %s l SET until = clock_timestamp() + $3 WHERE l.consumer = $1 AND l.lease = $2', kyro.beside_log(log, 'leases')) USING consumer, lease, lease_for;
	GET DIAGNOSTICS done = ROW_COUNT;
	IF done = 0 THEN
		PERFORM kyro.lease_is_over(log, consumer, lease);
	END IF;
END
$$;
COMMENT ON FUNCTION kyro.renew(log regclass, consumer text, lease bigint, lease_for interval) IS
	'let a lease last for so long from now on';

CREATE FUNCTION kyro.renew(log text, consumer text, lease bigint, lease_for interval DEFAULT '1 minute') RETURNS void
	LANGUAGE sql VOLATILE
RETURN kyro.renew(kyro.event_log(log), consumer, lease, lease_for);
COMMENT ON FUNCTION kyro.renew(log text, consumer text, lease bigint, lease_for interval) IS
	'let a lease last for so long from now on';

CREATE FUNCTION kyro.seek(log regclass, consumer text, "offset" bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF log IS NULL OR consumer IS NULL OR "offset" IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'arguments of kyro.seek must not be NULL';
	END IF;
	-- as kyro.replay has it: an error if that is negative, or beyond the end
	PERFORM FROM kyro.replay(log::text, "offset", NULL, 1);
	EXECUTE format('INSERT INTO %s AS c (consumer, position) VALUES ($1, $2) ON CONFLICT (consumer) DO UPDATE SET position = excluded.position', kyro.beside_log(log, 'consumers'))
		USING consumer, greatest("offset", 1);
	EXECUTE format('DELETE FROM %s l WHERE l.consumer = $1', kyro.beside_log(log, 'leases')) USING consumer;
END
$$;
COMMENT ON FUNCTION kyro.seek(log regclass, consumer text, "offset" bigint) IS
	'let a consumer go on from an offset; what it has been handed out is forgotten';

CREATE FUNCTION kyro.seek(log text, consumer text, "offset" bigint) RETURNS void
	LANGUAGE sql VOLATILE
RETURN kyro.seek(kyro.event_log(log), consumer, "offset");
COMMENT ON FUNCTION kyro.seek(log text, consumer text, "offset" bigint) IS
	'let a consumer go on from an offset; what it has been handed out is forgotten';
