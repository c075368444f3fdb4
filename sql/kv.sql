
-- key-value tables: docs/key_value.md

CREATE FUNCTION kyro.kv_table(name text) RETURNS regclass
	AS 'MODULE_PATHNAME', 'kyro_kv_table' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.kv_table(name text) IS
	'the table of that name, by the search_path; helper of functions of key-value tables';

CREATE FUNCTION kyro.stamp_change() RETURNS trigger
	AS 'MODULE_PATHNAME', 'kyro_stamp_change' LANGUAGE C;
COMMENT ON FUNCTION kyro.stamp_change() IS
	'trigger of key-value tables: sets changed_at, and checks it afterwards if there is a history';

CREATE FUNCTION kyro.record_change() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	-- what is written must not depend on the session: others read it
	SET datestyle = 'ISO'
	SET intervalstyle = 'postgres'
	SET extra_float_digits = 1
	SET bytea_output = 'hex'
AS $$
DECLARE
	history text := format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME || '_history');
BEGIN
	-- A change of key is the end of one and the beginning of another.  It is not the end if the
	-- same statement has put the key again, under an offset that was taken before this one.
	IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND OLD.key <> NEW.key) THEN
		EXECUTE format('INSERT INTO %s (key, kind, payload) SELECT $1, ''delete'', ''null'' WHERE NOT EXISTS (SELECT FROM %I.%I t WHERE t.key = $1)',
			history, TG_TABLE_SCHEMA, TG_TABLE_NAME) USING OLD.key;
	END IF;
	IF TG_OP <> 'DELETE' THEN
		EXECUTE format('INSERT INTO %s ("offset", key, kind, payload) VALUES ($1, $2, ''put'', to_jsonb($3))', history)
			USING NEW.changed_at, NEW.key, NEW.value::text;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION kyro.record_change() IS
	'trigger of key-value tables that keep their history';

-- The type of the values, as SQL writes it; an error if it is no such table.  Without its
-- modifiers: a cast to varchar(3) cuts what is longer, and it should be refused, as by INSERT.
CREATE FUNCTION kyro.kv_type(kv regclass) RETURNS text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	type text;
BEGIN
	IF kv IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'the name of the key-value table must not be NULL';
	END IF;
	SELECT format_type(v.atttypid, -1) INTO type
	FROM pg_attribute v
	JOIN pg_attribute k ON k.attrelid = v.attrelid AND k.attname = 'key' AND k.atttypid = 'bigint'::regtype
	JOIN pg_attribute c ON c.attrelid = v.attrelid AND c.attname = 'changed_at' AND c.atttypid = 'bigint'::regtype
	WHERE v.attrelid = kv AND v.attname = 'value';
	IF type IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'wrong_object_type', MESSAGE = format('"%s" is not a key-value table', kv),
			HINT = 'Key-value tables are made by kyro.create_kv().';
	END IF;
	RETURN type;
END
$$;
COMMENT ON FUNCTION kyro.kv_type(kv regclass) IS
	'the type of the values of a key-value table; helper of its functions';

CREATE FUNCTION kyro.make_kv(name text[], value_type text, type regtype, history boolean) RETURNS regclass
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tbl text := format('%I.%I', name[1], name[2]);
	seq text := format('%I.%I', name[1], name[2] || '_changed_at_seq');
BEGIN
	IF octet_length(name[2]) > 42 THEN
		RAISE EXCEPTION USING ERRCODE = 'name_too_long',
			MESSAGE = format('the name of key-value table "%s" is too long', name[2]),
			DETAIL = 'It may have 42 bytes, so that there is room for the names of what belongs to it.';
	END IF;
	IF value_type IS NULL OR history IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'arguments of kyro.create_kv must not be NULL';
	END IF;
	IF value_type ~ '[(]' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the type of values must not have modifiers',
			HINT = 'Add a CHECK constraint, or use ALTER TABLE ... ALTER value TYPE.';
	END IF;
	EXECUTE format('CREATE TABLE %s (key bigint PRIMARY KEY %s, value %s NOT NULL, changed_at bigint NOT NULL) USING kyro',
		tbl, CASE WHEN (SELECT preloaded FROM kyro.build_info) THEN 'WITH (kyro_rmi)' ELSE '' END, type);
	IF history THEN
		PERFORM kyro.make_log(ARRAY[name[1], name[2] || '_history'], 'jsonb');
		EXECUTE format('CREATE INDEX ON %s (key, "offset")', format('%I.%I', name[1], name[2] || '_history'));
		EXECUTE format('CREATE TRIGGER record_change AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION kyro.record_change()', tbl);
		-- after those who waited for the key, and may be too late with their number
		EXECUTE format('CREATE TRIGGER check_insert AFTER INSERT ON %s FOR EACH ROW EXECUTE FUNCTION kyro.stamp_change()', tbl);
		EXECUTE format('CREATE TRIGGER check_key AFTER UPDATE ON %s FOR EACH ROW WHEN (OLD.key <> NEW.key) EXECUTE FUNCTION kyro.stamp_change()', tbl);
	ELSE
		EXECUTE format('CREATE SEQUENCE %s AS bigint CACHE 1 OWNED BY %s.changed_at', seq, tbl);
	END IF;
	EXECUTE format('CREATE TRIGGER stamp_change BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION kyro.stamp_change()', tbl);
	RETURN tbl::regclass;
END
$$;
COMMENT ON FUNCTION kyro.make_kv(name text[], value_type text, type regtype, history boolean) IS
	'makes the table; helper of kyro.create_kv';

CREATE FUNCTION kyro.create_kv(name text, value_type text DEFAULT 'text', history boolean DEFAULT false) RETURNS regclass
	LANGUAGE sql VOLATILE
-- a type and nothing else, by the search_path of the caller: what comes of it is quoted again
RETURN kyro.make_kv(kyro.creation_name(name), value_type, value_type::regtype, history);
COMMENT ON FUNCTION kyro.create_kv(name text, value_type text, history boolean) IS
	'make a key-value table: an ordinary kyro table of that name, which belongs to who calls this; history: keep all values in an event log';

CREATE FUNCTION kyro.put(kv regclass, key bigint, value text, if_offset bigint DEFAULT NULL)
RETURNS bigint
	AS 'MODULE_PATHNAME', 'kyro_kv_put' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.put(kv regclass, key bigint, value text, if_offset bigint) IS
	'set the value of a key and return the offset of the change; with if_offset only if the last change of the key was that one (0: there is none), else NULL';

CREATE FUNCTION kyro.put(kv text, key bigint, value text, if_offset bigint DEFAULT NULL)
RETURNS bigint
	AS 'MODULE_PATHNAME', 'kyro_kv_put' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.put(kv text, key bigint, value text, if_offset bigint) IS
	'set the value of a key and return the offset of the change; with if_offset only if the last change of the key was that one (0: there is none), else NULL';

CREATE FUNCTION kyro.get(kv regclass, key bigint)
RETURNS text
	AS 'MODULE_PATHNAME', 'kyro_kv_get' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.get(kv regclass, key bigint) IS
	'the value of a key, as text; NULL if there is none';

CREATE FUNCTION kyro.get(kv text, key bigint)
RETURNS text
	AS 'MODULE_PATHNAME', 'kyro_kv_get' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.get(kv text, key bigint) IS
	'the value of a key, as text; NULL if there is none';

CREATE FUNCTION kyro.get(kv regclass, key bigint, as_of bigint)
RETURNS text
	AS 'MODULE_PATHNAME', 'kyro_kv_get_as_of' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.get(kv regclass, key bigint, as_of bigint) IS
	'the value that a key had as of an offset, as text; NULL if there was none';

CREATE FUNCTION kyro.get(kv text, key bigint, as_of bigint)
RETURNS text
	AS 'MODULE_PATHNAME', 'kyro_kv_get_as_of' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.get(kv text, key bigint, as_of bigint) IS
	'the value that a key had as of an offset, as text; NULL if there was none';

CREATE FUNCTION kyro.get(kv regclass, key bigint, as_of timestamptz)
RETURNS text
	AS 'MODULE_PATHNAME', 'kyro_kv_get_as_of' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.get(kv regclass, key bigint, as_of timestamptz) IS
	'the value that a key had as of a time, as text; NULL if there was none';

CREATE FUNCTION kyro.get(kv text, key bigint, as_of timestamptz)
RETURNS text
	AS 'MODULE_PATHNAME', 'kyro_kv_get_as_of' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.get(kv text, key bigint, as_of timestamptz) IS
	'the value that a key had as of a time, as text; NULL if there was none';

CREATE FUNCTION kyro.get_many(kv regclass, keys bigint[])
RETURNS TABLE (key bigint, value text, changed_at bigint)
	AS 'MODULE_PATHNAME', 'kyro_kv_get_many' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.get_many(kv regclass, keys bigint[]) IS
	'the values of many keys, as text, in the order of the keys; those that are there';

CREATE FUNCTION kyro.get_many(kv text, keys bigint[])
RETURNS TABLE (key bigint, value text, changed_at bigint)
	AS 'MODULE_PATHNAME', 'kyro_kv_get_many' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.get_many(kv text, keys bigint[]) IS
	'the values of many keys, as text, in the order of the keys; those that are there';

CREATE FUNCTION kyro.scan(kv regclass, "from" bigint DEFAULT NULL, "to" bigint DEFAULT NULL, "limit" bigint DEFAULT NULL)
RETURNS TABLE (key bigint, value text, changed_at bigint)
	AS 'MODULE_PATHNAME', 'kyro_kv_scan' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.scan(kv regclass, "from" bigint, "to" bigint, "limit" bigint) IS
	'the values of the keys from one to another, both inclusive, as text, in the order of the keys';

CREATE FUNCTION kyro.scan(kv text, "from" bigint DEFAULT NULL, "to" bigint DEFAULT NULL, "limit" bigint DEFAULT NULL)
RETURNS TABLE (key bigint, value text, changed_at bigint)
	AS 'MODULE_PATHNAME', 'kyro_kv_scan' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.scan(kv text, "from" bigint, "to" bigint, "limit" bigint) IS
	'the values of the keys from one to another, both inclusive, as text, in the order of the keys';

CREATE FUNCTION kyro.delete(kv regclass, key bigint, if_offset bigint DEFAULT NULL)
RETURNS boolean
	AS 'MODULE_PATHNAME', 'kyro_kv_delete' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.delete(kv regclass, key bigint, if_offset bigint) IS
	'delete a key; with if_offset only if its last change was that one; false if nothing was deleted';

CREATE FUNCTION kyro.delete(kv text, key bigint, if_offset bigint DEFAULT NULL)
RETURNS boolean
	AS 'MODULE_PATHNAME', 'kyro_kv_delete' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION kyro.delete(kv text, key bigint, if_offset bigint) IS
	'delete a key; with if_offset only if its last change was that one; false if nothing was deleted';

CREATE FUNCTION kyro.exists(kv regclass, key bigint)
RETURNS boolean
	AS 'MODULE_PATHNAME', 'kyro_kv_exists' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.exists(kv regclass, key bigint) IS
	'whether there is a value of the key';

CREATE FUNCTION kyro.exists(kv text, key bigint)
RETURNS boolean
	AS 'MODULE_PATHNAME', 'kyro_kv_exists' LANGUAGE C STABLE;
COMMENT ON FUNCTION kyro.exists(kv text, key bigint) IS
	'whether there is a value of the key';

CREATE FUNCTION kyro.drop_kv(kv regclass)
RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM kyro.kv_type(kv);
	IF to_regclass(kyro.beside_log(kv, 'history')) IS NOT NULL
		AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = kv AND tgfoid = 'kyro.record_change()'::regprocedure) THEN
		PERFORM kyro.drop_log(kyro.beside_log(kv, 'history')::regclass);
	END IF;
	EXECUTE format('DROP TABLE %s', kv);
END
$$;
COMMENT ON FUNCTION kyro.drop_kv(kv regclass) IS
	'drop a key-value table and its history';

CREATE FUNCTION kyro.drop_kv(kv text)
RETURNS void
	LANGUAGE sql VOLATILE
RETURN kyro.drop_kv(kyro.kv_table(kv));
COMMENT ON FUNCTION kyro.drop_kv(kv text) IS
	'drop a key-value table and its history';
