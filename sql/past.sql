
-- time travel: docs/time_travel.md; src/events/README.md argues why it is exact

-- Xids mean something in one cluster only.  A database that is restored from a dump begins a
-- new era: what was dumped is before all that comes.
CREATE TABLE kyro.era (
	era int NOT NULL,
	begun timestamptz NOT NULL
) USING heap;
COMMENT ON TABLE kyro.era IS
	'how often this database was restored from a dump, and when the last time; the greatest counts';
GRANT SELECT ON kyro.era TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('kyro.era', '');

CREATE FUNCTION kyro.begin_era() RETURNS trigger
	AS 'MODULE_PATHNAME', 'kyro_begin_era' LANGUAGE C;
COMMENT ON FUNCTION kyro.begin_era() IS
	'trigger of kyro.era: what is restored there is the era before';
CREATE TRIGGER begin_era BEFORE INSERT ON kyro.era FOR EACH ROW EXECUTE FUNCTION kyro.begin_era();
ALTER TABLE kyro.era ENABLE ALWAYS TRIGGER begin_era;

CREATE TABLE kyro.epochs (
	name text PRIMARY KEY CHECK (name <> ''),
	made_at timestamptz NOT NULL,
	made_by text NOT NULL,
	era int NOT NULL,
	snapshot pg_snapshot NOT NULL
) USING heap;
COMMENT ON TABLE kyro.epochs IS
	'names of moments: what was committed by then is what the snapshot sees. See kyro.create_epoch';
GRANT SELECT ON kyro.epochs TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('kyro.epochs', '');

-- The first seven columns are read by src/events/history.c.
CREATE TABLE kyro.histories (
	relation regclass PRIMARY KEY,
	changes regclass NOT NULL UNIQUE,
	columns text[] NOT NULL,
	types regtype[] NOT NULL,
	fill text[] NOT NULL,
	since_era int NOT NULL,
	since xid8,
	keep interval NOT NULL CHECK (keep > '0'),
	attnums int[] NOT NULL,
	parts oid[] NOT NULL,
	recording boolean NOT NULL,
	pruned_era int NOT NULL DEFAULT 0,
	pruned xid8 NOT NULL DEFAULT '0',
	pruned_at timestamptz NOT NULL,
	since_offset bigint NOT NULL DEFAULT 0
) USING heap;
COMMENT ON TABLE kyro.histories IS
	'which tables keep a history, for how long, and from when on it is complete. See kyro.keep_history';
GRANT SELECT ON kyro.histories TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('kyro.histories', '');

CREATE FUNCTION kyro.forget_histories() RETURNS trigger
	AS 'MODULE_PATHNAME', 'kyro_forget_histories' LANGUAGE C;
COMMENT ON FUNCTION kyro.forget_histories() IS
	'trigger of kyro.histories: sessions, which know them by heart, read them anew';
CREATE TRIGGER forget_histories AFTER INSERT OR UPDATE OR DELETE ON kyro.histories FOR EACH STATEMENT EXECUTE FUNCTION kyro.forget_histories();
ALTER TABLE kyro.histories ENABLE ALWAYS TRIGGER forget_histories;

CREATE FUNCTION kyro.history_parts(tbl regclass) RETURNS oid[]
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
RETURN (SELECT CASE WHEN k.relkind = 'p'
		THEN (SELECT coalesce(array_agg(t.relid::oid ORDER BY t.relid::oid), '{}') FROM pg_partition_tree(tbl) t WHERE t.isleaf)
		ELSE ARRAY[k.oid] END
	FROM pg_class k WHERE k.oid = tbl);
COMMENT ON FUNCTION kyro.history_parts(tbl regclass) IS
	'the tables that hold the rows of a table: itself, or its partitions; helper of histories';

CREATE FUNCTION kyro.note_change() RETURNS trigger
	AS 'MODULE_PATHNAME', 'kyro_note_change' LANGUAGE C;
COMMENT ON FUNCTION kyro.note_change() IS
	'trigger of tables that keep a history';

CREATE FUNCTION kyro.history_is_recorded(tbl regclass, parts oid[]) RETURNS boolean
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
-- tgtype: 1 is for each row, 2 before, 4 INSERT, 8 DELETE, 16 UPDATE, 32 TRUNCATE
RETURN NOT EXISTS (
	SELECT FROM (SELECT tbl::oid, 1 + 4 + 8 + 16 UNION SELECT p, 1 + 4 + 8 + 16 FROM unnest(parts) p UNION SELECT p, 2 + 32 FROM unnest(parts) p) AS wanted(relid, bits)
	WHERE NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = wanted.relid AND g.tgfoid = 'kyro.note_change()'::regprocedure
		AND g.tgtype & wanted.bits = wanted.bits AND g.tgenabled = 'A' AND g.tgqual IS NULL AND g.tgattr::text = ''));
COMMENT ON FUNCTION kyro.history_is_recorded(tbl regclass, parts oid[]) IS
	'whether all triggers of a history are there; helper of histories';

-- Numbers of columns and OIDs of partitions are not what they were when a dump is restored.
CREATE FUNCTION kyro.place_history() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	NEW.attnums := ARRAY(
		SELECT coalesce(a.attnum, 0)
		FROM unnest(NEW.columns) WITH ORDINALITY AS c(name, n)
		LEFT JOIN pg_attribute a ON a.attrelid = NEW.relation AND a.attname = c.name AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY c.n);
	NEW.parts := kyro.history_parts(NEW.relation);
	NEW.recording := kyro.history_is_recorded(NEW.relation, NEW.parts);
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION kyro.place_history() IS
	'trigger of kyro.histories';
CREATE TRIGGER place_history BEFORE INSERT ON kyro.histories FOR EACH ROW EXECUTE FUNCTION kyro.place_history();
ALTER TABLE kyro.histories ENABLE ALWAYS TRIGGER place_history;

CREATE FUNCTION kyro.current_era() RETURNS int
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM kyro.era) THEN
		INSERT INTO kyro.era VALUES (0, now());
	END IF;
	RETURN (SELECT max(e.era) FROM kyro.era e);
END
$$;
COMMENT ON FUNCTION kyro.current_era() IS 'the era of this database, which begins if there is none; helper of histories';
REVOKE ALL ON FUNCTION kyro.current_era() FROM PUBLIC;

-- epochs

-- The block with its exception is a subtransaction, which has its xid after the snapshot was taken: so
-- after a crash no xid that the snapshot takes for ended is given again, if the epoch is there.
CREATE FUNCTION kyro.create_epoch_as_owner(name text, by_user text) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	now_in int := kyro.current_era();
	own xid8 := pg_current_xact_id();
	snap pg_snapshot;
BEGIN
	IF name IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the name of an epoch must not be NULL';
	ELSIF name = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_name', MESSAGE = 'the name of an epoch must not be empty';
	END IF;
	snap := pg_current_snapshot();
	-- A snapshot does not count its own transaction among those that run.
	IF own < pg_snapshot_xmax(snap) THEN
		snap := format('%s:%s:%s', least(pg_snapshot_xmin(snap), own), pg_snapshot_xmax(snap),
			(SELECT string_agg(r.x::text, ',' ORDER BY r.x) FROM (SELECT pg_snapshot_xip(snap) UNION SELECT own) AS r(x)))::pg_snapshot;
	END IF;
	BEGIN
		INSERT INTO kyro.epochs VALUES (name, clock_timestamp(), by_user, now_in, snap);
	EXCEPTION WHEN unique_violation THEN
		RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = format('epoch "%s" already exists', name);
	END;
END
$$;
COMMENT ON FUNCTION kyro.create_epoch_as_owner(name text, by_user text) IS 'helper of kyro.create_epoch';
REVOKE ALL ON FUNCTION kyro.create_epoch_as_owner(name text, by_user text) FROM PUBLIC;

CREATE FUNCTION kyro.create_epoch(name text) RETURNS void
	AS 'MODULE_PATHNAME', 'kyro_for_owner' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.create_epoch(name text) IS
	'give a name to this moment: what is committed by now is what tables are read as of this epoch';

CREATE FUNCTION kyro.drop_epoch_as_owner(name text, by_user text) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	e kyro.epochs;
BEGIN
	SELECT * INTO e FROM kyro.epochs x WHERE x.name = drop_epoch_as_owner.name FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('epoch "%s" does not exist', coalesce(name, 'NULL'));
	END IF;
	-- the role that made it, or whoever owns the database
	IF NOT EXISTS (
		SELECT FROM pg_roles r
		WHERE (r.rolname = e.made_by OR r.oid = (SELECT datdba FROM pg_database WHERE datname = current_database()))
			AND pg_has_role(by_user, r.oid, 'USAGE'))
	THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format('must be owner of epoch "%s"', name),
			DETAIL = format('It was made by "%s".', e.made_by);
	END IF;
	DELETE FROM kyro.epochs x WHERE x.name = e.name;
END
$$;
COMMENT ON FUNCTION kyro.drop_epoch_as_owner(name text, by_user text) IS 'helper of kyro.drop_epoch';
REVOKE ALL ON FUNCTION kyro.drop_epoch_as_owner(name text, by_user text) FROM PUBLIC;

CREATE FUNCTION kyro.drop_epoch(name text) RETURNS void
	AS 'MODULE_PATHNAME', 'kyro_for_owner' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.drop_epoch(name text) IS
	'forget an epoch; for who made it, and for the owner of the database';

-- images of rows

CREATE FUNCTION kyro.pin_settings() RETURNS void
	AS 'MODULE_PATHNAME', 'kyro_pin_settings' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.pin_settings() IS
	'set what images of rows depend on, to the end of the function that calls this; helper of histories';

CREATE FUNCTION kyro.row_image(r record) RETURNS text[]
	AS 'MODULE_PATHNAME', 'kyro_row_image' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION kyro.row_image(r record) IS
	'how the history of its table writes a row; helper of histories';

CREATE FUNCTION kyro.image_row(tbl anyelement, image text[]) RETURNS anyelement
	AS 'MODULE_PATHNAME', 'kyro_image_row' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.image_row(tbl anyelement, image text[]) IS
	'the row that a history has written so; helper of histories';

CREATE FUNCTION kyro.fit_image(tbl regclass, image text[]) RETURNS text[]
	AS 'MODULE_PATHNAME', 'kyro_fit_image' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION kyro.fit_image(tbl regclass, image text[]) IS
	'what a history has written, as it would write it now, after columns were added or dropped; helper of histories';

CREATE FUNCTION kyro.history_begin(tbl regclass, OUT era int, OUT since xid8) RETURNS record
	AS 'MODULE_PATHNAME', 'kyro_history_begin' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION kyro.history_begin(tbl regclass) IS
	'the transaction from which on the history of a table is complete; helper of histories';

CREATE FUNCTION kyro.commit_time(xid xid8) RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'kyro_commit_time' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION kyro.commit_time(xid xid8) IS
	'when a transaction was committed, by its xid; helper of histories';

-- keeping a history

CREATE FUNCTION kyro.check_history_table(tbl regclass) RETURNS void
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c pg_class;
BEGIN
	SELECT * INTO c FROM pg_class k WHERE k.oid = tbl;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_table', MESSAGE = format('there is no relation with OID %s', tbl::oid);
	ELSIF c.relkind NOT IN ('r', 'p') THEN
		RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('"%s" is not a table', tbl);
	ELSIF c.relpersistence <> 'p' THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('table %s cannot keep a history', tbl),
			DETAIL = 'It is temporary or unlogged: its rows may be gone without a change.';
	ELSIF c.relispartition THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('table %s cannot keep a history of its own', tbl),
			DETAIL = 'It is a partition.', HINT = 'Let the partitioned table keep one.';
	ELSIF EXISTS (SELECT FROM pg_partition_tree(tbl) t JOIN pg_class k ON k.oid = t.relid WHERE k.relkind NOT IN ('r', 'p') OR k.relpersistence <> 'p') THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('table %s cannot keep a history', tbl),
			DETAIL = 'It has partitions that are foreign tables or unlogged.';
	ELSIF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = tbl AND a.attgenerated = 'v' AND NOT a.attisdropped) THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('table %s cannot keep a history', tbl),
			DETAIL = 'It has virtual generated columns.';
	END IF;
END
$$;
COMMENT ON FUNCTION kyro.check_history_table(tbl regclass) IS 'raises an error if a table cannot keep a history; helper of kyro.keep_history';

CREATE FUNCTION kyro.register_history_as_owner(tbl regclass, changes regclass, keep interval, by_user text) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- Users can call kyro.register_history themselves.  What is in kyro.histories concerns the commands of all.
	PERFORM kyro.check_history_table(tbl);
	IF keep > interval '1000 years' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a history is kept for 1000 years at most';
	END IF;
	IF NOT kyro.history_is_recorded(tbl, kyro.history_parts(tbl)) OR tbl = changes OR NOT EXISTS (
		SELECT FROM pg_class k JOIN pg_class t ON t.oid = tbl
		WHERE k.oid = changes AND k.relkind = 'r' AND k.relpersistence = 'p' AND NOT k.relispartition AND k.relowner = t.relowner
			AND (SELECT array_agg(format('%s %s', a.attname, a.atttypid::regtype) ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = k.oid AND a.attnum > 0)
				= ARRAY['offset bigint', 'era integer', 'xid xid8', 'at timestamp with time zone', 'by text', 'login text', 'kind text', 'old text[]', 'new text[]'])
	THEN
		RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('%s is not a history of table %s', changes, tbl),
			HINT = 'Use kyro.keep_history().';
	END IF;
	INSERT INTO kyro.histories AS h (relation, changes, columns, types, fill, since_era, since, keep, attnums, parts, recording, pruned_at)
	SELECT tbl, changes, array_agg(a.attname::text ORDER BY a.attnum), array_agg(a.atttypid::regtype ORDER BY a.attnum),
		array_agg(NULL::text), kyro.current_era(), pg_current_xact_id(), register_history_as_owner.keep, '{}', '{}', false, now()
	FROM pg_attribute a WHERE a.attrelid = tbl AND a.attnum > 0 AND NOT a.attisdropped
	ON CONFLICT (relation) DO UPDATE SET keep = excluded.keep;
END
$$;
COMMENT ON FUNCTION kyro.register_history_as_owner(tbl regclass, changes regclass, keep interval, by_user text) IS 'helper of kyro.keep_history';
REVOKE ALL ON FUNCTION kyro.register_history_as_owner(tbl regclass, changes regclass, keep interval, by_user text) FROM PUBLIC;

CREATE FUNCTION kyro.register_history(tbl regclass, changes regclass, keep interval) RETURNS void
	AS 'MODULE_PATHNAME', 'kyro_for_owner' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.register_history(tbl regclass, changes regclass, keep interval) IS 'helper of kyro.keep_history';

CREATE FUNCTION kyro.forget_history_as_owner(tbl regclass, by_user text) RETURNS void
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	DELETE FROM kyro.histories h WHERE h.relation OPERATOR(pg_catalog.=) tbl;
END;
COMMENT ON FUNCTION kyro.forget_history_as_owner(tbl regclass, by_user text) IS 'helper of kyro.drop_history';
REVOKE ALL ON FUNCTION kyro.forget_history_as_owner(tbl regclass, by_user text) FROM PUBLIC;

CREATE FUNCTION kyro.forget_history(tbl regclass) RETURNS void
	AS 'MODULE_PATHNAME', 'kyro_for_owner' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.forget_history(tbl regclass) IS 'helper of kyro.drop_history';

CREATE FUNCTION kyro.note_truncates(part regclass) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('CREATE TRIGGER kyro_note_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION kyro.note_change()', part);
	EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER kyro_note_truncate', part);
END
$$;
COMMENT ON FUNCTION kyro.note_truncates(part regclass) IS 'makes a trigger of a table that keeps a history, or of a partition; helper of histories';

CREATE FUNCTION kyro.keep_history(tbl regclass, "for" interval) RETURNS regclass
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c record;
	name text;
	grantee regrole;
	part oid;
BEGIN
	IF tbl IS NULL OR "for" IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'arguments of kyro.keep_history must not be NULL';
	ELSIF "for" <= interval '0' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a history must be kept for some time';
	END IF;
	PERFORM kyro.check_history_table(tbl);
	SELECT k.relname, n.nspname, k.relowner INTO c FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace WHERE k.oid = tbl;
	-- whoever writes ends first
	EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', tbl);
	IF EXISTS (SELECT FROM kyro.histories h WHERE h.relation = tbl) THEN
		PERFORM kyro.register_history(tbl, h.changes, "for") FROM kyro.histories h WHERE h.relation = tbl;
		RETURN (SELECT h.changes FROM kyro.histories h WHERE h.relation = tbl);
	END IF;

	name := format('%I.%I', c.nspname, CASE WHEN octet_length(c.relname) <= 55 THEN c.relname || '_changes' ELSE 'kyro_changes_' || tbl::oid END);
	EXECUTE format(
		'CREATE TABLE %s (
			"offset" bigint GENERATED ALWAYS AS IDENTITY,
			era int NOT NULL,
			xid xid8 NOT NULL,
			at timestamptz NOT NULL,
			"by" text NOT NULL,
			login text NOT NULL,
			kind text NOT NULL,
			old text[],
			new text[],
			PRIMARY KEY (era, xid, "offset")
		) USING kyro', name);
	-- what default privileges give is not what the table gives
	FOR grantee IN
		SELECT DISTINCT x.grantee FROM pg_class k, aclexplode(k.relacl) x WHERE k.oid = name::regclass AND x.grantee <> k.relowner
	LOOP
		EXECUTE format('REVOKE ALL ON %s FROM %s', name, CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::text END);
	END LOOP;
	IF c.relowner <> current_user::regrole THEN
		EXECUTE format('ALTER TABLE %s OWNER TO %s', name, c.relowner::regrole);
	END IF;
	EXECUTE format('CREATE TRIGGER kyro_note_change AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION kyro.note_change()', tbl);
	EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER kyro_note_change', tbl);
	FOREACH part IN ARRAY kyro.history_parts(tbl) LOOP
		PERFORM kyro.note_truncates(part);
	END LOOP;
	PERFORM kyro.register_history(tbl, name::regclass, "for");
	PERFORM kyro.set_policy(name::regclass, seal_rows => 100000);
	RETURN name::regclass;
END
$$;
COMMENT ON FUNCTION kyro.keep_history(tbl regclass, "for" interval) IS
	'have a table keep its history, for an interval at least, or change that interval; returns the table that has it';

CREATE FUNCTION kyro.drop_history(tbl regclass) RETURNS boolean
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	changes regclass := (SELECT h.changes FROM kyro.histories h WHERE h.relation = tbl);
	g record;
	found boolean := changes IS NOT NULL;
BEGIN
	IF tbl IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the name of a table must not be NULL';
	END IF;
	EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', tbl);
	PERFORM kyro.forget_history(tbl);
	FOR g IN
		SELECT t.tgrelid::regclass AS rel, t.tgname FROM pg_trigger t
		WHERE t.tgrelid IN (SELECT tbl UNION SELECT p.relid FROM pg_partition_tree(tbl) p) AND t.tgfoid = 'kyro.note_change()'::regprocedure AND t.tgparentid = 0
	LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', g.tgname, g.rel);
		found := true;
	END LOOP;
	IF changes IS NOT NULL THEN
		EXECUTE format('DROP TABLE %s', changes);
	END IF;
	RETURN found;
END
$$;
COMMENT ON FUNCTION kyro.drop_history(tbl regclass) IS
	'drop the history of a table, and keep none any more; false if it kept none';

-- reading it

CREATE FUNCTION kyro.changes_beyond(tbl regclass, condition text) RETURNS text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	h kyro.histories;
BEGIN
	SELECT * INTO h FROM kyro.histories x WHERE x.relation = tbl;
	-- It may have changed and no event trigger have seen it yet, as by DETACH CONCURRENTLY, which is two transactions.
	IF NOT FOUND OR h.parts <> kyro.history_parts(tbl) OR NOT kyro.history_is_recorded(tbl, h.parts) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('the history of table %s does not fit it', tbl),
			DETAIL = 'Partitions or triggers are not those that it knows.', HINT = 'Use kyro.drop_history() and kyro.keep_history().';
	END IF;
	RETURN format(
		'SELECT i.image, sum(i.n)::pg_catalog.int8 AS n
		FROM (SELECT kyro.fit_image(%s::pg_catalog.oid::pg_catalog.regclass, v.image) AS image, v.n
			FROM %s AS c, LATERAL (VALUES (c.old, 1), (c.new, -1)) AS v(image, n)
			WHERE v.image IS NOT NULL AND %s) AS i
		GROUP BY i.image HAVING sum(i.n) <> 0',
		tbl::oid, (SELECT format('%I.%I', n.nspname, k.relname) FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace WHERE k.oid = h.changes), condition);
END
$$;
COMMENT ON FUNCTION kyro.changes_beyond(tbl regclass, condition text) IS
	'a query for images of rows, and how many more of each there were before changes that meet a condition; helper of kyro.past_changes';

CREATE FUNCTION kyro.past_changes(tbl regclass, epoch text) RETURNS text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	e kyro.epochs;
	first record;
	h kyro.histories;
BEGIN
	IF epoch IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the epoch must not be NULL';
	END IF;
	SELECT * INTO e FROM kyro.epochs x WHERE x.name = epoch;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('epoch "%s" does not exist', epoch);
	END IF;
	SELECT * INTO first FROM kyro.history_begin(tbl);
	SELECT * INTO h FROM kyro.histories x WHERE x.relation = tbl;
	IF NOT (first.era < e.era OR first.era = e.era AND pg_visible_in_snapshot(first.since, e.snapshot)) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('epoch "%s" is older than the history of table %s', epoch, tbl),
			DETAIL = 'It begins with kyro.keep_history(), and anew with a command that gives the rows other values, brings or takes partitions with rows, or disables triggers.';
	ELSIF (e.era, pg_snapshot_xmin(e.snapshot)) < (h.pruned_era, h.pruned) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('epoch "%s" is older than the history of table %s', epoch, tbl),
			DETAIL = format('It is kept for %s.', h.keep);
	END IF;
	RETURN kyro.changes_beyond(tbl, format(
		'(c.era, c.xid) >= (%s, %L::pg_catalog.xid8) AND (c.era > %1$s OR NOT pg_catalog.pg_visible_in_snapshot(c.xid, %3$L))',
		e.era, pg_snapshot_xmin(e.snapshot), e.snapshot));
END
$$;
COMMENT ON FUNCTION kyro.past_changes(tbl regclass, epoch text) IS
	'a query for images of rows, and how many more of each there were as of an epoch; helper of kyro.as_of';

CREATE FUNCTION kyro.past_changes(tbl regclass, moment timestamptz) RETURNS text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	SET datestyle = 'ISO'
	SET timezone = 'UTC'
AS $$
DECLARE
	now_in int;
	begun timestamptz;
	base kyro.epochs;
	first record;
	h kyro.histories;
BEGIN
	IF moment IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the time must not be NULL';
	ELSIF moment > clock_timestamp() THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the time is in the future';
	ELSIF current_setting('track_commit_timestamp') <> 'on' THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'it is not known when transactions were committed',
			HINT = 'Make sure the configuration parameter track_commit_timestamp is set, or make epochs and use those.';
	END IF;
	SELECT e.era, e.begun INTO now_in, begun FROM kyro.era e ORDER BY e.era DESC, e.begun LIMIT 1;
	SELECT * INTO first FROM kyro.history_begin(tbl);
	SELECT * INTO h FROM kyro.histories x WHERE x.relation = tbl;
	-- what the last epoch before sees was committed by then
	SELECT * INTO base FROM kyro.epochs x WHERE x.era = now_in AND x.made_at <= moment ORDER BY x.made_at DESC LIMIT 1;
	-- An era other than the first begins with a dump, and of the time before nobody knows when what was committed.
	IF moment < h.pruned_at OR (now_in > 1 AND moment < begun)
		OR (first.era = now_in AND NOT coalesce(pg_visible_in_snapshot(first.since, base.snapshot), false) AND kyro.commit_time(first.since) > moment)
	THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('%s is before the history of table %s', moment, tbl),
			DETAIL = format('It begins with kyro.keep_history(), and anew with a command that gives the rows other values, brings or takes partitions with rows, or disables triggers; it is kept for %s; and times before a dump was restored are not known.', h.keep);
	END IF;
	RETURN kyro.changes_beyond(tbl, format(
		'(c.era, c.xid) >= (%s, %L::pg_catalog.xid8) AND NOT coalesce(pg_catalog.pg_visible_in_snapshot(c.xid, %L), false) AND CASE WHEN c.at > %4$L THEN true ELSE kyro.commit_time(c.xid) > %4$L END',
		now_in, coalesce(pg_snapshot_xmin(base.snapshot), '0'), base.snapshot, moment));
END
$$;
COMMENT ON FUNCTION kyro.past_changes(tbl regclass, moment timestamptz) IS
	'a query for images of rows, and how many more of each there were at a time; helper of kyro.as_of';

CREATE FUNCTION kyro.as_of(tbl anyelement, epoch text) RETURNS SETOF anyelement
	AS 'MODULE_PATHNAME', 'kyro_as_of' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.as_of(tbl anyelement, epoch text) IS
	'the rows of a table as they were when an epoch was made: SELECT * FROM kyro.as_of(NULL::tbl, epoch)';

CREATE FUNCTION kyro.as_of(tbl anyelement, moment timestamptz) RETURNS SETOF anyelement
	AS 'MODULE_PATHNAME', 'kyro_as_of' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.as_of(tbl anyelement, moment timestamptz) IS
	'the rows of a table as they were at a time: SELECT * FROM kyro.as_of(NULL::tbl, moment)';

CREATE FUNCTION kyro.changes(
	tbl anyelement,
	OUT "offset" bigint,
	OUT at timestamptz,
	OUT "by" text,
	OUT login text,
	OUT kind text,
	OUT old anyelement,
	OUT new anyelement,
	OUT xid xid8)
RETURNS SETOF record
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rel regclass := (SELECT t.typrelid FROM pg_type t WHERE t.oid = pg_typeof(tbl));
	h kyro.histories;
BEGIN
	PERFORM kyro.pin_settings();
	IF rel IS NULL OR rel = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('type %s is not the type of the rows of a table', pg_typeof(tbl)),
			HINT = 'Use kyro.changes(NULL::name_of_the_table).';
	END IF;
	PERFORM kyro.history_begin(rel);
	SELECT * INTO h FROM kyro.histories x WHERE x.relation = rel;
	RETURN QUERY EXECUTE format(
		'SELECT c."offset", c.at, c."by", c.login, c.kind, kyro.image_row(NULL::%1$s, c.old), kyro.image_row(NULL::%1$s, c.new), c.xid
		FROM %2$s c WHERE c."offset" > $1 ORDER BY c."offset"', rel, h.changes) USING h.since_offset;
END
$$;
COMMENT ON FUNCTION kyro.changes(tbl anyelement) IS
	'the changes in the history of a table, with old and new rows, in the order in which they were made: SELECT * FROM kyro.changes(NULL::tbl)';

-- going back

CREATE FUNCTION kyro.restore_steps(tbl anyelement, changed text, key int[], OUT step text, OUT part oid, OUT place tid, OUT r anyelement)
RETURNS SETOF record
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rel regclass := (SELECT t.typrelid FROM pg_type t WHERE t.oid = pg_typeof(tbl));
	-- As a record, which the types' own operators compare: equal keys can have different images, as 1.0 and 1.00.
	key_of_row text := (SELECT format('ROW(%s)', string_agg(format('(c.r).%I', h.columns[k.slot]), ', ' ORDER BY k.i))
		FROM kyro.histories h, unnest(key) WITH ORDINALITY AS k(slot, i) WHERE h.relation = rel HAVING count(*) > 0);
	x record;
BEGIN
	PERFORM kyro.pin_settings();
	FOR x IN EXECUTE format(
		'WITH changed AS MATERIALIZED (
			SELECT c.*, %4$s AS key
			FROM (SELECT c.image, c.n, row_number() OVER () AS id, kyro.image_row(NULL::%3$s, c.image) AS r FROM (%1$s) AS c) AS c),
		gone AS (
			SELECT g.* FROM (
				SELECT x.tableoid AS part, x.ctid AS place, c.n, c.key, 1::bigint AS nth, row_number() OVER (PARTITION BY c.id) AS i
				FROM %2$s %3$s AS x JOIN changed c ON c.image = kyro.row_image(x.*) WHERE c.n < 0) AS g
			WHERE g.i <= - g.n),
		come AS (SELECT c.key, c.image, c.r, row_number() OVER (PARTITION BY c.key) AS nth FROM changed c, generate_series(1, c.n) WHERE c.n > 0)
		SELECT CASE WHEN come.image IS NULL THEN ''delete'' WHEN gone.place IS NULL THEN ''insert'' ELSE ''update'' END AS step,
			gone.part, gone.place, come.r, 0::bigint AS missing
		FROM gone FULL JOIN come ON come.key = gone.key AND come.nth = gone.nth
		UNION ALL
		SELECT ''check'', NULL, NULL, NULL, coalesce((SELECT - sum(c.n) FROM changed c WHERE c.n < 0), 0)::bigint - (SELECT count(*) FROM gone)',
		changed, CASE WHEN (SELECT k.relkind = 'p' FROM pg_class k WHERE k.oid = rel) THEN '' ELSE 'ONLY' END, rel,
		coalesce(key_of_row, 'NULL::text'))
	LOOP
		IF x.missing > 0 THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('the history of table "%s" does not fit its rows', rel),
				DETAIL = format('Rows that were written since are not there any more, and not in the history: %s.', x.missing),
				HINT = 'Something was changed without its triggers. Use kyro.drop_history() and kyro.keep_history().';
		ELSIF x.step <> 'check' THEN
			step := x.step;
			part := x.part;
			place := x.place;
			r := x.r;
			RETURN NEXT;
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION kyro.restore_steps(tbl anyelement, changed text, key int[]) IS
	'what is to be done to the rows of a table for it to be as it was; helper of kyro.restore_to';

CREATE FUNCTION kyro.restore(tbl regclass, epoch text, moment timestamptz, dry_run boolean, OUT inserted bigint, OUT updated bigint, OUT deleted bigint)
RETURNS record
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	h kyro.histories;
	changed text;
	key int[];
	target text;
	parts oid[];
BEGIN
	IF tbl IS NULL OR dry_run IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'arguments of kyro.restore_to must not be NULL';
	ELSIF NOT EXISTS (SELECT FROM pg_class k WHERE k.oid = tbl AND pg_has_role(k.relowner, 'USAGE')) THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format('must be owner of table %s', tbl);
	ELSIF row_security_active(tbl) THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format('row security restricts what you may do to table %s', tbl),
			DETAIL = 'Its policies cannot be applied to rows of the past.';
	ELSIF pg_trigger_depth() > 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'a trigger cannot restore a table',
			DETAIL = 'Changes of the statement that has fired it may not be recorded yet.';
	END IF;
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION USING ERRCODE = 'active_sql_transaction', MESSAGE = 'a table is restored in a READ COMMITTED transaction';
	END IF;
	-- Nobody else writes, nor locks rows; or truncates the table, which would take away what an older snapshot
	-- than the lock sees.
	EXECUTE format('LOCK TABLE %s IN %s MODE', tbl, CASE WHEN dry_run THEN 'ACCESS SHARE' ELSE 'EXCLUSIVE' END);
	parts := kyro.history_parts(tbl);
	changed := CASE WHEN moment IS NULL THEN kyro.past_changes(tbl, epoch) ELSE kyro.past_changes(tbl, moment) END;
	SELECT * INTO h FROM kyro.histories x WHERE x.relation = tbl;
	-- rows of one key are updated, so that what refers to them stays
	SELECT array_agg(array_position(h.columns, a.attname::text) ORDER BY a.attnum) INTO key
	FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
	WHERE i.indrelid = tbl AND i.indisprimary AND i.indimmediate
		-- what can be written only by INSERT
		AND NOT EXISTS (SELECT FROM pg_attribute g WHERE g.attrelid = tbl AND g.attidentity = 'a' AND g.attnum <> ALL (i.indkey))
		AND EXISTS (SELECT FROM pg_attribute g WHERE g.attrelid = tbl AND g.attnum > 0 AND NOT g.attisdropped AND g.attgenerated = '' AND g.attidentity <> 'a');
	target := format('%s %s', CASE WHEN (SELECT k.relkind = 'p' FROM pg_class k WHERE k.oid = tbl) THEN '' ELSE 'ONLY' END, tbl);
	IF dry_run THEN
		EXECUTE format(
			'SELECT count(*) FILTER (WHERE s.step = ''insert''), count(*) FILTER (WHERE s.step = ''update''), count(*) FILTER (WHERE s.step = ''delete'')
			FROM kyro.restore_steps(NULL::%s, $1, $2) AS s', tbl)
			INTO inserted, updated, deleted USING changed, key;
		-- A partition was attached while the query waited for a lock: what it found there was not a part of the table.
		IF kyro.history_parts(tbl) <> parts THEN
			SELECT * INTO inserted, updated, deleted FROM kyro.restore(tbl, epoch, moment, dry_run);
		END IF;
		RETURN;
	END IF;
	-- One statement, for keys are checked at its end: what rows refer to may be among what comes.  What
	-- goes does so first.
	EXECUTE (
		SELECT format(
			'WITH s AS MATERIALIZED (SELECT * FROM kyro.restore_steps(NULL::%1$s, $1, $2)),
			d AS (DELETE FROM %2$s AS x USING s WHERE s.step = ''delete'' AND x.tableoid = s.part AND x.ctid = s.place RETURNING 1),
			u AS (%3$s),
			i AS (INSERT INTO %1$s (%4$s) OVERRIDING SYSTEM VALUE
				SELECT %5$s FROM s WHERE s.step = ''insert'' AND (SELECT count(*) FROM u) >= 0 RETURNING 1)
			SELECT (SELECT count(*) FROM i), (SELECT count(*) FROM u), (SELECT count(*) FROM d)',
			tbl, target,
			CASE WHEN key IS NULL THEN 'SELECT FROM d' ELSE
				format('UPDATE %s AS x SET %s FROM s WHERE s.step = ''update'' AND x.tableoid = s.part AND x.ctid = s.place AND (SELECT count(*) FROM d) >= 0 RETURNING 1',
					target, string_agg(format('%1$I = (s.r).%1$I', a.attname), ', ' ORDER BY a.attnum)
						FILTER (WHERE a.attidentity <> 'a'))
			END,
			string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
			string_agg(format('(s.r).%I', a.attname), ', ' ORDER BY a.attnum))
		FROM pg_attribute a WHERE a.attrelid = tbl AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')
		INTO inserted, updated, deleted USING changed, key;
	IF key IS NULL THEN
		updated := 0;
	END IF;
END
$$;
COMMENT ON FUNCTION kyro.restore(tbl regclass, epoch text, moment timestamptz, dry_run boolean) IS
	'helper of kyro.restore_to';

CREATE FUNCTION kyro.restore_to(tbl regclass, epoch text, dry_run boolean DEFAULT true, OUT inserted bigint, OUT updated bigint, OUT deleted bigint)
RETURNS record
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT r.inserted, r.updated, r.deleted FROM kyro.restore(tbl, epoch, NULL, dry_run) r;
END;
COMMENT ON FUNCTION kyro.restore_to(tbl regclass, epoch text, dry_run boolean) IS
	'have a table be as it was when an epoch was made; dry_run: only count the rows that would be inserted, updated and deleted';

CREATE FUNCTION kyro.restore_to(tbl regclass, moment timestamptz, dry_run boolean DEFAULT true, OUT inserted bigint, OUT updated bigint, OUT deleted bigint)
RETURNS record
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF moment IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the time must not be NULL';
	END IF;
	SELECT r.inserted, r.updated, r.deleted INTO inserted, updated, deleted FROM kyro.restore(tbl, NULL, moment, dry_run) r;
END
$$;
COMMENT ON FUNCTION kyro.restore_to(tbl regclass, moment timestamptz, dry_run boolean) IS
	'have a table be as it was at a time; dry_run: only count the rows that would be inserted, updated and deleted';

-- what commands that change tables do to histories

CREATE FUNCTION kyro.cut_history(tbl regclass) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	is_new boolean := (SELECT h.since IS DISTINCT FROM pg_current_xact_id() FROM kyro.histories h WHERE h.relation = tbl);
BEGIN
	UPDATE kyro.histories h SET since_era = kyro.current_era(), since = pg_current_xact_id(),
		since_offset = coalesce(pg_sequence_last_value(pg_get_serial_sequence(h.changes::text, 'offset')::regclass), 0)
	WHERE h.relation = tbl;
	IF is_new THEN
		RAISE NOTICE 'the history of table % begins anew', tbl;
	END IF;
END
$$;
COMMENT ON FUNCTION kyro.cut_history(tbl regclass) IS 'have a history begin with this transaction; helper of histories';
REVOKE ALL ON FUNCTION kyro.cut_history(tbl regclass) FROM PUBLIC;

-- Have what is known of a table be as it is now.  Rows that a command changes without triggers
-- are in no history: it begins anew then.
CREATE FUNCTION kyro.refit_history(h kyro.histories) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	was kyro.histories := h;
	c pg_class;
	a pg_attribute;
	part oid;
	has_rows boolean;
	is_known boolean;
	value text;
	cut boolean := false;
BEGIN
	PERFORM kyro.pin_settings();
	SELECT * INTO c FROM pg_class k WHERE k.oid = h.relation;
	IF NOT FOUND THEN
		RETURN;
	ELSIF c.relpersistence <> 'p' THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('table %s keeps a history, and cannot be unlogged', h.relation);
	ELSIF c.relispartition THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('table %s keeps a history, and cannot become a partition', h.relation),
			HINT = 'Use kyro.drop_history() before.';
	ELSIF c.relowner <> (SELECT k.relowner FROM pg_class k WHERE k.oid = h.changes) THEN
		EXECUTE format('ALTER TABLE %s OWNER TO %s', h.changes, c.relowner::regrole);
	END IF;

	FOR i IN 1 .. cardinality(h.columns) LOOP
		CONTINUE WHEN h.columns[i] IS NULL;
		SELECT * INTO a FROM pg_attribute x WHERE x.attrelid = h.relation AND x.attnum = h.attnums[i] AND NOT x.attisdropped;
		IF NOT FOUND THEN
			h.columns[i] := NULL;
			h.types[i] := NULL;
			h.fill[i] := NULL;
			h.attnums[i] := 0;
			CONTINUE;
		END IF;
		h.columns[i] := a.attname;
		IF a.atttypid <> h.types[i] THEN
			h.types[i] := a.atttypid;
			cut := true;
		END IF;
	END LOOP;
	FOR a IN
		SELECT * FROM pg_attribute x
		WHERE x.attrelid = h.relation AND x.attnum > 0 AND NOT x.attisdropped AND x.attnum <> ALL (h.attnums)
		ORDER BY x.attnum
	LOOP
		IF a.attgenerated = 'v' THEN
			RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
				MESSAGE = format('table %s keeps a history, and cannot have virtual generated columns', h.relation);
		END IF;
		h.columns := h.columns || a.attname::text;
		h.types := h.types || a.atttypid::regtype;
		h.attnums := h.attnums || a.attnum::int;
		-- what the rows got, if it is known
		SELECT bool_and(x.atthasmissing), min((x.attmissingval::text::text[])[1]) INTO is_known, value
		FROM pg_attribute x WHERE x.attrelid = ANY (h.parts) AND x.attname = a.attname AND NOT x.attisdropped;
		h.fill := h.fill || CASE WHEN is_known THEN value END;
		cut := cut OR NOT is_known AND (a.atthasdef OR a.attidentity <> ''
			OR EXISTS (SELECT FROM pg_type t WHERE t.oid = a.atttypid AND t.typdefault IS NOT NULL));
	END LOOP;

	h.parts := kyro.history_parts(h.relation);
	FOREACH part IN ARRAY h.parts LOOP
		CONTINUE WHEN part = ANY (was.parts);
		IF (SELECT k.relkind <> 'r' OR k.relpersistence <> 'p' FROM pg_class k WHERE k.oid = part) THEN
			RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
				MESSAGE = format('table %s keeps a history, and cannot have partitions that are foreign tables or unlogged', h.relation);
		END IF;
		EXECUTE format('SELECT EXISTS (SELECT FROM %s)', part::regclass) INTO has_rows;
		-- an old snapshot does not see all rows
		cut := cut OR has_rows OR current_setting('transaction_isolation') <> 'read committed';
		IF NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = part AND g.tgname = 'kyro_note_truncate') THEN
			PERFORM kyro.note_truncates(part);
		END IF;
	END LOOP;
	cut := cut OR NOT was.parts <@ h.parts;

	h.recording := kyro.history_is_recorded(h.relation, h.parts);
	IF h IS DISTINCT FROM was THEN
		UPDATE kyro.histories x SET columns = h.columns, types = h.types, fill = h.fill, attnums = h.attnums, parts = h.parts, recording = h.recording,
			-- triggers that are not there yet when a dump is restored are not disabled
			since = CASE WHEN was.recording AND NOT h.recording THEN NULL ELSE x.since END
		WHERE x.relation = h.relation;
	END IF;
	FOREACH part IN ARRAY was.parts LOOP
		IF part <> ALL (h.parts) AND EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = part AND g.tgname = 'kyro_note_truncate') THEN
			EXECUTE format('DROP TRIGGER kyro_note_truncate ON %s', part::regclass);
		END IF;
	END LOOP;
	IF was.recording AND NOT h.recording THEN
		RAISE WARNING 'changes of table % are not recorded any more', h.relation
			USING DETAIL = 'Triggers of its history were disabled or dropped.', HINT = 'Enable them with ALTER TABLE ... ENABLE ALWAYS TRIGGER, or use kyro.drop_history().';
	ELSIF h.recording AND (cut OR NOT was.recording AND was.since IS NULL) THEN
		PERFORM kyro.cut_history(h.relation);
	END IF;
END
$$;
COMMENT ON FUNCTION kyro.refit_history(h kyro.histories) IS 'take note of how a table was changed; helper of histories';
REVOKE ALL ON FUNCTION kyro.refit_history(h kyro.histories) FROM PUBLIC;

CREATE FUNCTION kyro.sees_histories() RETURNS boolean
	AS 'MODULE_PATHNAME', 'kyro_sees_histories' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.sees_histories() IS
	'whether the snapshot is not older than anything in kyro.histories; helper of histories';
REVOKE ALL ON FUNCTION kyro.sees_histories() FROM PUBLIC;

CREATE FUNCTION kyro.on_history_ddl() RETURNS event_trigger
	LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tbl oid;
BEGIN
	IF NOT kyro.sees_histories() THEN
		RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'could not serialize access due to concurrent changes of histories',
			DETAIL = 'A table that keeps a history was changed since the snapshot of this transaction.', HINT = 'Use a READ COMMITTED transaction.';
	ELSIF NOT EXISTS (SELECT FROM kyro.histories) THEN
		RETURN;
	ELSIF TG_EVENT = 'table_rewrite' THEN
		-- 2 and 4: the rows get other values
		IF pg_event_trigger_table_rewrite_reason() & 6 <> 0 THEN
			PERFORM kyro.cut_history(h.relation) FROM kyro.histories h WHERE pg_event_trigger_table_rewrite_oid() = ANY (h.parts) AND h.recording;
		END IF;
		RETURN;
	ELSIF TG_EVENT = 'sql_drop' THEN
		DELETE FROM kyro.histories h
		USING pg_event_trigger_dropped_objects() d
		WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND d.objid IN (h.relation, h.changes);
	END IF;
	PERFORM kyro.refit_history(h) FROM kyro.histories h;
END
$$;
COMMENT ON FUNCTION kyro.on_history_ddl() IS
	'has histories take note of commands that change their tables; for event triggers kyro_history_ddl, kyro_history_drop and kyro_history_rewrite';
REVOKE ALL ON FUNCTION kyro.on_history_ddl() FROM PUBLIC;

CREATE EVENT TRIGGER kyro_history_ddl ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE', 'CREATE TABLE', 'CREATE SCHEMA', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'ALTER TYPE')
	EXECUTE FUNCTION kyro.on_history_ddl();
COMMENT ON EVENT TRIGGER kyro_history_ddl IS 'histories take note of commands that change their tables';
CREATE EVENT TRIGGER kyro_history_drop ON sql_drop
	EXECUTE FUNCTION kyro.on_history_ddl();
COMMENT ON EVENT TRIGGER kyro_history_drop IS 'a history that is not kept any more is forgotten';
CREATE EVENT TRIGGER kyro_history_rewrite ON table_rewrite
	EXECUTE FUNCTION kyro.on_history_ddl();
COMMENT ON EVENT TRIGGER kyro_history_rewrite IS 'a history begins anew where all rows are written with other values';
ALTER EVENT TRIGGER kyro_history_ddl ENABLE ALWAYS;
ALTER EVENT TRIGGER kyro_history_drop ENABLE ALWAYS;
ALTER EVENT TRIGGER kyro_history_rewrite ENABLE ALWAYS;

-- the end of it

CREATE FUNCTION kyro.note_pruned_as_owner(tbl regclass, era int, before xid8, moment timestamptz, by_user text) RETURNS void
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	UPDATE kyro.histories h SET (pruned_era, pruned) = (
			SELECT x.era, x.xid FROM (VALUES (h.pruned_era, h.pruned), (note_pruned_as_owner.era, before)) AS x(era, xid)
			WHERE x.xid IS NOT NULL ORDER BY x.era DESC, x.xid DESC LIMIT 1),
		-- another may have done it meanwhile, by a later moment
		pruned_at = greatest(h.pruned_at, least(moment, clock_timestamp()))
	WHERE h.relation OPERATOR(pg_catalog.=) tbl;
END;
COMMENT ON FUNCTION kyro.note_pruned_as_owner(tbl regclass, era int, before xid8, moment timestamptz, by_user text) IS 'helper of kyro.prune_history';
REVOKE ALL ON FUNCTION kyro.note_pruned_as_owner(tbl regclass, era int, before xid8, moment timestamptz, by_user text) FROM PUBLIC;

CREATE FUNCTION kyro.note_pruned(tbl regclass, era int, before xid8, moment timestamptz) RETURNS void
	AS 'MODULE_PATHNAME', 'kyro_for_owner' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.note_pruned(tbl regclass, era int, before xid8, moment timestamptz) IS 'helper of kyro.prune_history';

CREATE FUNCTION kyro.prune_history(tbl regclass) RETURNS bigint
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	h kyro.histories;
	now_in int := (SELECT max(e.era) FROM kyro.era e);
	moment timestamptz;
	bound_era int;
	bound xid8;
	done bigint;
BEGIN
	SELECT * INTO h FROM kyro.histories x WHERE x.relation = tbl;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('table "%s" keeps no history', coalesce(tbl::text, 'NULL'));
	END IF;
	moment := greatest(clock_timestamp() - h.keep, h.pruned_at);
	-- All before this xid have ended, and were at it before that moment; and all epochs since then see them.
	EXECUTE format(
		'SELECT b.era, b.xid FROM (
			SELECT $1 AS era, pg_snapshot_xmin(pg_current_snapshot()) AS xid
			UNION ALL SELECT e.era, pg_snapshot_xmin(e.snapshot) FROM kyro.epochs e WHERE e.made_at >= $2
			UNION ALL (SELECT c.era, c.xid FROM %s c WHERE c.at >= $2 %s ORDER BY c.era, c.xid LIMIT 1)) AS b
		ORDER BY b.era, b.xid LIMIT 1', h.changes,
		CASE WHEN current_setting('track_commit_timestamp') = 'on' THEN 'OR c.era = $1 AND pg_xact_commit_timestamp(c.xid::xid) >= $2' END)
		INTO bound_era, bound USING now_in, moment;
	-- what matters to epochs is the last one that goes
	EXECUTE format(
		'WITH d AS (DELETE FROM %s c WHERE (c.era, c.xid) < ($1, $2) RETURNING c.era, c.xid),
		l AS (SELECT d.era, d.xid FROM d ORDER BY d.era DESC, d.xid DESC LIMIT 1)
		SELECT (SELECT count(*) FROM d), (SELECT l.era FROM l), (SELECT (l.xid::text::numeric + 1)::text::xid8 FROM l)', h.changes)
		INTO done, bound_era, bound USING bound_era, bound;
	PERFORM kyro.note_pruned(tbl, bound_era, bound, moment);
	RETURN done;
END
$$;
COMMENT ON FUNCTION kyro.prune_history(tbl regclass) IS
	'delete what is older in the history of a table than it keeps; returns how many changes that were. The autopilot does it, too';
