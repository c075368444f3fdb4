-- Every sub-command of ALTER TABLE on tables whose keys are kyro_rmi indexes,
-- beside twins with btrees: the table in src/keys/README.md says what happens.
SET session_preload_libraries = kyrodb;	-- as far as those are warned who have not
LOAD 'kyrodb';
CREATE SCHEMA keys_alter;
SET search_path = keys_alter, public;
\getenv srcdir PG_ABS_SRCDIR
\set shown :srcdir '/lib/shown.psql'
\set ECHO none
\i :shown
\set ECHO all
SET client_min_messages = warning;
SET allow_in_place_tablespaces = on;
DROP TABLESPACE IF EXISTS keys_alter_space;
CREATE TABLESPACE keys_alter_space LOCATION '';
RESET client_min_messages;

-- An index as it is; of a btree only what a key has apart from its method.
CREATE FUNCTION looks(tbl regclass) RETURNS TABLE (index name, method name, kind "char", shows name, options text[], roles text)
LANGUAGE sql AS $$
	SELECT c.relname, a.amname, k.contype, shown(i), (SELECT array_agg(e ORDER BY e) FROM unnest(c.reloptions) e),
		   concat_ws(' ', CASE WHEN NOT i.indisvalid THEN 'invalid' END, CASE WHEN NOT i.indisunique THEN 'plain' END, CASE WHEN i.indisprimary THEN 'primary' END,
			CASE WHEN NOT i.indimmediate THEN 'deferrable' END, CASE WHEN i.indnullsnotdistinct THEN 'nulls not distinct' END,
			CASE WHEN i.indisclustered THEN 'clustered' END, CASE WHEN i.indisreplident THEN 'identity' END,
			CASE WHEN c.relpersistence <> 'p' THEN format('persistence %s', c.relpersistence) END,
			(SELECT 'in ' || spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace))
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
		LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.contype IN ('p', 'u')
	WHERE i.indrelid = tbl ORDER BY c.relname COLLATE "C"
$$;
-- What kyro.verify finds, and how index and table scans count; and where a twin's foreign keys differ.
CREATE FUNCTION problems() RETURNS TABLE (what text, problem text) LANGUAGE sql AS $$
	SELECT c.oid::regclass::text, v.problem FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname LIKE 'kyro%',
		LATERAL kyro.verify(c.oid::regclass, deep => true) v
	WHERE c.relnamespace = 'keys_alter'::regnamespace AND c.relkind IN ('i', 'r')
$$;
-- What other parts of the catalogs say of a table, with the twin's names in place of its own.
CREATE FUNCTION rest(tbl text, as_if text) RETURNS SETOF text LANGUAGE sql AS $$
	WITH t AS (SELECT tbl::regclass AS oid),
	lines AS (
		SELECT 'index ' || index || ' ' || roles FROM t, looks(t.oid)
		UNION ALL SELECT format('column %s %s %s %s', attname, format_type(atttypid, atttypmod), attnotnull, attidentity) FROM pg_attribute, t WHERE attrelid = t.oid AND attnum > 0
		UNION ALL SELECT format('constraint %s %s %s %s %s', conname, conrelid::regclass, conindid::regclass, pg_get_constraintdef(c.oid), obj_description(c.oid, 'pg_constraint'))
			FROM pg_constraint c, t WHERE contype IN ('p', 'u', 'f', 'x', 'c') AND (conrelid = t.oid OR confrelid = t.oid)
		UNION ALL SELECT format('trigger %s %s %s', tgrelid::regclass, f.proname, tgconstrindid::regclass) FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid, t
			WHERE (tgrelid = t.oid OR tgconstrrelid = t.oid)
		UNION ALL SELECT format('depends %s on %s %s', pg_describe_object(d.classid, d.objid, d.objsubid), pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid), d.deptype)
			FROM pg_depend d, t WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.classid <> 'pg_trigger'::regclass
			AND NOT EXISTS (SELECT FROM pg_class x WHERE x.oid = d.objid AND x.relkind = 't'))
	SELECT replace(replace(regexp_replace(regexp_replace(l, 'RI_ConstraintTrigger\w+', 'RI'), '\w+_id_not_null', 'id_not_null'), ' WITH (kyro_rmi=''true'')', ''), tbl, as_if)
	FROM lines AS x(l)
$$;
CREATE FUNCTION differs(tbl text, twin text) RETURNS SETOF text LANGUAGE sql AS $$
	(SELECT 'only ours: ' || r FROM (SELECT rest(tbl, twin) EXCEPT ALL SELECT rest(twin, twin)) x(r))
	UNION ALL (SELECT 'only twin: ' || r FROM (SELECT rest(twin, twin) EXCEPT ALL SELECT rest(tbl, twin)) x(r))
	ORDER BY 1
$$;
-- One command on both; says if one fails, or if both fail with different words.
CREATE FUNCTION twins(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	said text[] := '{}';
	name text;
	m text;
	d text;
BEGIN
	FOREACH name IN ARRAY ARRAY['ours', 'twin'] LOOP
		BEGIN
			EXECUTE replace(command, '@', name);
			said := said || 'done'::text;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL;
			said := said || replace(concat_ws(' ', SQLSTATE, m, d), name, 'twin');
		END;
	END LOOP;
	RETURN CASE WHEN said[1] = said[2] THEN said[1] ELSE concat('ours: ', said[1], ', twin: ', said[2]) END;
END $$;

CREATE TABLE ours (id bigint PRIMARY KEY WITH (kyro_rmi), v text, u int UNIQUE WITH (kyro_rmi, fillfactor = 70), t timestamptz CONSTRAINT ours_at UNIQUE WITH (kyro_rmi) DEFERRABLE);
CREATE TABLE twin (id bigint PRIMARY KEY, v text, u int UNIQUE WITH (fillfactor = 70), t timestamptz CONSTRAINT twin_at UNIQUE DEFERRABLE);
SELECT twins('CREATE TABLE @_child (id bigint, p bigint CONSTRAINT @_child_p REFERENCES @ ON DELETE CASCADE ON UPDATE CASCADE, u int CONSTRAINT @_child_u REFERENCES @ (u) DEFERRABLE)');
SELECT twins($$INSERT INTO @ SELECT g, 'v' || g, g, '2024-01-01 00:00+00'::timestamptz + g * interval '1 min' FROM generate_series(1, 3000) g$$);
SELECT twins('INSERT INTO @_child SELECT g, g % 3000 + 1, g % 3000 + 1 FROM generate_series(1, 5000) g');
SELECT twins($$COMMENT ON CONSTRAINT @_at ON @ IS 'at'$$), twins($$COMMENT ON INDEX @_pkey IS 'key'$$);

-- what does not touch a key
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('ALTER TABLE @ ADD COLUMN a int DEFAULT 7'),
	('ALTER TABLE @ ADD COLUMN IF NOT EXISTS id bigint'),
	('ALTER TABLE @ ALTER a SET DEFAULT 8'),
	('ALTER TABLE @ ALTER a DROP DEFAULT'),
	('ALTER TABLE @ ALTER a SET NOT NULL'),
	('ALTER TABLE @ ALTER a DROP NOT NULL'),
	('ALTER TABLE @ ALTER u SET NOT NULL'),
	('ALTER TABLE @ ALTER u DROP NOT NULL'),
	('ALTER TABLE @ ALTER id DROP NOT NULL'),
	('ALTER TABLE @ ALTER id SET NOT NULL'),
	('ALTER TABLE @ ADD COLUMN g int GENERATED ALWAYS AS (u) STORED'),
	('ALTER TABLE @ ALTER g DROP EXPRESSION'),
	('ALTER TABLE @ ALTER id ADD GENERATED BY DEFAULT AS IDENTITY'),
	('ALTER TABLE @ ALTER id SET GENERATED ALWAYS SET START 10 RESTART'),
	('ALTER TABLE @ ALTER id DROP IDENTITY'),
	('ALTER TABLE @ ALTER id SET STATISTICS 50'),
	('ALTER INDEX @_pkey ALTER COLUMN 1 SET STATISTICS 50'),
	('ALTER TABLE @ ALTER id SET (n_distinct = -1)'),
	('ALTER TABLE @ ALTER id RESET (n_distinct)'),
	('ALTER TABLE @ ALTER v SET STORAGE external'),
	('ALTER TABLE @ ALTER v SET COMPRESSION pglz'),
	('ALTER TABLE @ SET (fillfactor = 80)'),
	('ALTER TABLE @ RESET (fillfactor)'),
	('ALTER INDEX @_pkey SET (fillfactor = 80)'),
	('ALTER INDEX @_pkey RESET (fillfactor)'),
	('ALTER TABLE @ SET (kyro_rmi)'),
	('ALTER TABLE @ DISABLE TRIGGER ALL'),
	('ALTER TABLE @ ENABLE TRIGGER ALL'),
	('ALTER TABLE @ ENABLE REPLICA TRIGGER "none"'),
	('ALTER TABLE @ DISABLE RULE "none"'),
	('ALTER TABLE @ ENABLE ROW LEVEL SECURITY'),
	('ALTER TABLE @ FORCE ROW LEVEL SECURITY'),
	('ALTER TABLE @ NO FORCE ROW LEVEL SECURITY'),
	('ALTER TABLE @ DISABLE ROW LEVEL SECURITY'),
	('ALTER TABLE @ SET WITHOUT OIDS'),
	('ALTER TABLE @ DROP COLUMN g'),
	('ALTER TABLE IF EXISTS no_@ ADD PRIMARY KEY (id)'),
	('ALTER TABLE IF EXISTS no_@ ALTER id TYPE int')) x(c);
SELECT * FROM looks('ours');
SELECT * FROM differs('ours', 'twin');

-- constraints
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('ALTER TABLE @ ADD PRIMARY KEY (u)'),
	('ALTER TABLE @ DROP CONSTRAINT @_pkey'),
	('ALTER TABLE @ DROP CONSTRAINT @_u_key'),
	('ALTER TABLE @ ALTER CONSTRAINT @_pkey DEFERRABLE'),
	('ALTER TABLE @_child ALTER CONSTRAINT @_child_p DEFERRABLE INITIALLY DEFERRED'),
	('ALTER TABLE @_child ALTER CONSTRAINT @_child_p NOT DEFERRABLE'),
	('ALTER TABLE @_child ADD CONSTRAINT @_child_id FOREIGN KEY (id) REFERENCES @ (u) NOT VALID'),
	('ALTER TABLE @_child VALIDATE CONSTRAINT @_child_id'),
	('DELETE FROM @_child WHERE id > 3000'),
	('ALTER TABLE @_child VALIDATE CONSTRAINT @_child_id'),
	('ALTER TABLE @_child ADD CONSTRAINT @_child_t FOREIGN KEY (id) REFERENCES @ (t)'),
	('ALTER TABLE @ ADD CONSTRAINT @_self FOREIGN KEY (u) REFERENCES @'),
	('ALTER TABLE @ DROP CONSTRAINT @_self'),
	('ALTER TABLE @ ADD CONSTRAINT @_positive CHECK (id > 0) NOT VALID'),
	('ALTER TABLE @ VALIDATE CONSTRAINT @_positive'),
	('ALTER TABLE @ RENAME CONSTRAINT @_u_key TO @_unique'),
	('ALTER TABLE @ RENAME CONSTRAINT @_child_p TO other'),
	('ALTER INDEX @_unique RENAME TO @_unique_u'),
	('ALTER TABLE @_unique_u RENAME TO @_u_key'),
	('ALTER INDEX @_u_key RENAME TO @_pkey'),
	('ALTER TABLE @_child DROP CONSTRAINT @_child_id')) x(c);
SELECT left(twins('ALTER TABLE @ VALIDATE CONSTRAINT @_pkey'), 5);	-- words differ between versions
SELECT * FROM looks('ours');
SELECT * FROM differs('ours', 'twin');

-- roles
CREATE ROLE regress_keys_alter;
GRANT USAGE, CREATE ON SCHEMA keys_alter TO regress_keys_alter;
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('ALTER TABLE @ CLUSTER ON @_pkey'),
	('CLUSTER @'),
	('ALTER TABLE @ REPLICA IDENTITY USING INDEX @_pkey'),
	('ALTER TABLE @ REPLICA IDENTITY USING INDEX @_u_key'),
	('ALTER TABLE @ ALTER u SET NOT NULL'),
	('ALTER TABLE @ REPLICA IDENTITY USING INDEX @_u_key'),
	('ALTER TABLE @ REPLICA IDENTITY USING INDEX @_at'),
	('ALTER TABLE @ OWNER TO regress_keys_alter')) x(c);
SELECT * FROM looks('ours');
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('ALTER TABLE @ REPLICA IDENTITY FULL'),
	('ALTER TABLE @ REPLICA IDENTITY NOTHING'),
	('ALTER TABLE @ REPLICA IDENTITY DEFAULT'),
	('ALTER TABLE @ SET WITHOUT CLUSTER'),
	('ALTER TABLE @ ALTER u DROP NOT NULL'),
	('ALTER TABLE @ OWNER TO current_user')) x(c);
SELECT DISTINCT c.relowner::regrole = current_user::regrole AS mine FROM pg_class c WHERE c.relname LIKE 'ours%' AND c.relnamespace = 'keys_alter'::regnamespace;
-- another's table
SET ROLE regress_keys_alter;
ALTER TABLE ours ADD UNIQUE (id) WITH (kyro_rmi);
ALTER TABLE ours ALTER id TYPE int;
ALTER INDEX ours_pkey RENAME TO mine;
RESET ROLE;

-- places
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('CREATE SCHEMA keys_alter_@'),
	('ALTER TABLE @ SET SCHEMA keys_alter_@'),
	('INSERT INTO @_child VALUES (0, -7)'),
	('ALTER TABLE keys_alter_@.@ SET SCHEMA keys_alter'),
	('ALTER TABLE @ SET TABLESPACE keys_alter_space'),
	('ALTER INDEX @_pkey SET TABLESPACE keys_alter_space')) x(c);
SELECT * FROM looks('ours');
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('ALTER TABLE @ SET TABLESPACE pg_default'),
	('ALTER TABLE @ RENAME TO @_2'),
	('ALTER TABLE @_2 RENAME TO @'),
	('ALTER TABLE @ RENAME COLUMN id TO ident'),
	('INSERT INTO @ (ident) VALUES (1)'),
	('INSERT INTO @ (ident, u) VALUES (1, 1) ON CONFLICT (ident) DO UPDATE SET u = -1')) x(c);
SELECT twins('ALTER TABLE @ RENAME ident TO id');
SELECT * FROM differs('ours', 'twin');

-- files written anew
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('ALTER TABLE @ SET UNLOGGED'),	-- a logged table refers to it
	('ALTER TABLE @_child SET UNLOGGED'),
	('ALTER TABLE @ SET UNLOGGED')) x(c);
SELECT * FROM looks('ours');
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('ALTER TABLE @ SET LOGGED'),
	('ALTER TABLE @_child SET LOGGED'),
	('ALTER TABLE @ SET ACCESS METHOD kyro')) x(c);
SELECT sealed_rows > 2000 AS sealed FROM kyro.stat_tables WHERE relid = 'ours'::regclass;
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('ALTER TABLE @ SET ACCESS METHOD heap'),
	('TRUNCATE @_child'),
	('ALTER TABLE @ ADD COLUMN r float DEFAULT random()'),	-- rewrites
	('ALTER TABLE @ DROP COLUMN r')) x(c);
VACUUM FULL ours, twin;
SELECT * FROM looks('ours');
SELECT * FROM problems();
SELECT twins('INSERT INTO @_child SELECT g, g FROM generate_series(1, 500) g');

-- ALTER COLUMN TYPE
\set VERBOSITY terse
SET default_tablespace = keys_alter_space;	-- is for new tables only
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('ALTER TABLE @ ALTER id TYPE int'),
	('ALTER TABLE @ ALTER id TYPE smallint, ALTER u TYPE bigint, ALTER t TYPE timestamp USING t AT TIME ZONE ''UTC''')) x(c);
SELECT * FROM looks('ours');
SELECT * FROM differs('ours', 'twin');
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('ALTER TABLE @ ALTER t TYPE date'),	-- twice the same day
	('UPDATE @ SET t = ''2024-01-01''::date + id'),
	('ALTER TABLE @ ALTER t TYPE date'),
	('ALTER TABLE @ ALTER id TYPE int USING id + 1'),	-- not what the children say
	('ALTER TABLE @ ALTER id TYPE bigint'),
	('ALTER TABLE @_child ALTER p TYPE int'),
	('ALTER TABLE @ ALTER u TYPE smallint, ALTER u SET DEFAULT 3, ALTER u DROP DEFAULT'),
	('ALTER TABLE @ ALTER u TYPE int, RENAME u TO w'),
	('ALTER TABLE @ ALTER u TYPE int')) x(c);
SELECT * FROM looks('ours');
-- an exchange
CREATE TABLE ours_e (id int PRIMARY KEY WITH (kyro_rmi)) TABLESPACE pg_default;
CREATE TABLE twin_e (id int PRIMARY KEY);
ALTER INDEX ours_e_pkey SET TABLESPACE pg_default;
CALL kyro.restore_btree('ours_e');
CALL kyro.replace_btree('twin_e');
SELECT * FROM looks('ours_e') UNION ALL SELECT * FROM looks('twin_e');
DROP TABLE ours_e, twin_e;
RESET default_tablespace;
SELECT * FROM differs('ours', 'twin');
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('ALTER TABLE @ CLUSTER ON @_pkey, REPLICA IDENTITY USING INDEX @_pkey'),
	('ALTER TABLE @ ALTER id TYPE int'),
	('ALTER TABLE @ ALTER t TYPE text')) x(c);	-- ours becomes a btree
SELECT * FROM looks('ours');
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('ALTER TABLE @ ALTER t TYPE date USING t::date'),	-- and stays one
	('ALTER TABLE @ DROP CONSTRAINT @_at, ADD CONSTRAINT @_at UNIQUE (id), ALTER id TYPE bigint')) x(c);
SELECT * FROM looks('ours');
SELECT * FROM differs('ours', 'twin');
SELECT * FROM problems();
SELECT twins('INSERT INTO @ VALUES (7)'), twins('INSERT INTO @_child VALUES (0, -7)'), twins('DELETE FROM @ WHERE id = 5');
SELECT (SELECT count(*) FROM ours_child) = (SELECT count(*) FROM twin_child) AS "same";
-- a domain over the same type: no row is written anew
CREATE DOMAIN keys_alter_id AS bigint;
SELECT twins('ALTER TABLE @ ALTER id TYPE keys_alter_id'), twins('ALTER TABLE @ ALTER id TYPE bigint');
SELECT * FROM looks('ours');
-- in a transaction, and rolled back to a point
BEGIN;
ALTER TABLE ours ALTER id TYPE int;
SAVEPOINT s;
ALTER TABLE ours ALTER id TYPE smallint;
ALTER TABLE ours DROP CONSTRAINT ours_positive, ALTER id TYPE text;
ROLLBACK TO s;
SELECT * FROM looks('ours') WHERE index = 'ours_pkey';
INSERT INTO ours (id) VALUES (7) ON CONFLICT (id) DO NOTHING;
ROLLBACK;
SELECT * FROM looks('ours') WHERE index = 'ours_pkey';

-- columns dropped
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('ALTER TABLE @ DROP COLUMN id'),
	('ALTER TABLE @ DROP COLUMN u CASCADE'),
	('ALTER TABLE @ DROP CONSTRAINT @_pkey CASCADE')) x(c);
SELECT * FROM looks('ours');
SELECT * FROM differs('ours', 'twin');
SELECT count(*) FROM pg_depend d WHERE d.refclassid = 'pg_opclass'::regclass AND d.classid = 'pg_class'::regclass AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = d.objid);
DROP TABLE ours_child, twin_child, ours, twin;

-- inheritance
CREATE TABLE ours (id int PRIMARY KEY WITH (kyro_rmi), v int);
CREATE TABLE twin (id int PRIMARY KEY, v int);
-- with the names of the parents' NOT NULL constraints: 18 takes only such heirs along when it changes the type of a primary key
CREATE TABLE ours_heir (id int CONSTRAINT ours_id_not_null NOT NULL UNIQUE WITH (kyro_rmi), v int);
CREATE TABLE twin_heir (id int CONSTRAINT twin_id_not_null NOT NULL UNIQUE, v int);
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('ALTER TABLE @_heir INHERIT @'),	-- a key is not inherited; on 18 its NOT NULL is
	('INSERT INTO @_heir SELECT g, g FROM generate_series(1, 10) g'),
	('ALTER TABLE @_heir ALTER id TYPE bigint'),
	('ALTER TABLE ONLY @ ALTER id TYPE bigint'),
	('ALTER TABLE @ ALTER id TYPE bigint')) x(c);
SELECT * FROM looks('ours') UNION ALL SELECT * FROM looks('ours_heir');
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('ALTER TABLE @_heir NO INHERIT @'),
	('ALTER TABLE @_heir ALTER id TYPE int')) x(c);
SELECT * FROM looks('ours_heir');
SELECT * FROM differs('ours_heir', 'twin_heir');
SELECT * FROM problems();
DROP TABLE ours_heir, twin_heir, ours, twin;
CREATE TABLE ours (id int UNIQUE WITH (kyro_rmi));
CREATE TABLE twin (id int UNIQUE);
CREATE DOMAIN whole AS int;	-- no row is written anew
CREATE FOREIGN DATA WRAPPER keys_alter_fdw;
CREATE SERVER keys_alter_server FOREIGN DATA WRAPPER keys_alter_fdw;
SELECT twins(c) || ': ' || c AS "done" FROM (VALUES
	('CREATE FOREIGN TABLE @_foreign (id int) SERVER keys_alter_server'),
	('ALTER TABLE @ INHERIT @_foreign'),
	('ALTER FOREIGN TABLE @_foreign ALTER id TYPE whole')) x(c);
SELECT * FROM looks('ours');
SELECT * FROM differs('ours', 'twin');
SET client_min_messages = warning;
DROP FOREIGN DATA WRAPPER keys_alter_fdw CASCADE;
RESET client_min_messages;

-- typed tables
CREATE TYPE pair AS (id int, v int);
CREATE TABLE ours OF pair (PRIMARY KEY (id) WITH (kyro_rmi));
CREATE TABLE twin OF pair (PRIMARY KEY (id));
CREATE TABLE ours_2 (id int PRIMARY KEY WITH (kyro_rmi), v int UNIQUE WITH (kyro_rmi));
CREATE TABLE twin_2 (id int PRIMARY KEY, v int UNIQUE);
SELECT twins('INSERT INTO @ SELECT g, g FROM generate_series(1, 10) g');
SELECT twins('ALTER TABLE @_2 OF pair');
ALTER TYPE pair ALTER ATTRIBUTE id TYPE bigint;
ALTER TYPE pair ALTER ATTRIBUTE id TYPE bigint CASCADE;
ALTER TYPE pair RENAME ATTRIBUTE v TO w CASCADE;
ALTER TYPE pair ALTER ATTRIBUTE w TYPE text CASCADE, ADD ATTRIBUTE x int CASCADE;
SELECT * FROM looks('ours') UNION ALL SELECT * FROM looks('ours_2');
SELECT * FROM differs('ours', 'twin') UNION ALL SELECT * FROM differs('ours_2', 'twin_2');
ALTER TYPE pair DROP ATTRIBUTE w CASCADE;
SELECT twins('ALTER TABLE @_2 NOT OF');
SELECT * FROM looks('ours_2');
SELECT * FROM problems();
-- a plain unique index beside the key is not taken for the target of a foreign key
ALTER TYPE pair ADD ATTRIBUTE n int CASCADE;
CREATE UNIQUE INDEX ours_plain ON ours USING kyro_rmi (n);
CREATE UNIQUE INDEX twin_plain ON twin (n);
SELECT twins('ALTER TABLE @ ADD UNIQUE (n)'), twins('CREATE TABLE @_ref (n int REFERENCES @ (n))');
SELECT twins('INSERT INTO @ (id, n) VALUES (100, 1)'), twins('INSERT INTO @_ref VALUES (1)');
ALTER TYPE pair ALTER ATTRIBUTE n TYPE bigint CASCADE;
SELECT twins('INSERT INTO @_ref VALUES (2)');
SELECT * FROM looks('ours');
DROP TABLE ours_ref, twin_ref, ours, twin, ours_2, twin_2;
DROP TYPE pair;

-- event triggers see what they see of a btree
CREATE TABLE seen (n serial, what text);
CREATE FUNCTION see() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	IF TG_EVENT = 'ddl_command_end' THEN
		FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
			INSERT INTO seen (what) VALUES (concat_ws(' ', TG_EVENT, TG_TAG, r.command_tag, r.object_type, r.object_identity));
		END LOOP;
	ELSIF TG_EVENT = 'sql_drop' THEN
		FOR r IN SELECT * FROM pg_event_trigger_dropped_objects() LOOP
			INSERT INTO seen (what) VALUES (concat_ws(' ', TG_EVENT, TG_TAG, r.object_type, r.object_identity));
		END LOOP;
	ELSIF TG_EVENT = 'table_rewrite' THEN
		INSERT INTO seen (what) VALUES (concat_ws(' ', TG_EVENT, TG_TAG, pg_event_trigger_table_rewrite_oid()::regclass));
	ELSE
		INSERT INTO seen (what) VALUES (concat_ws(' ', TG_EVENT, TG_TAG));
	END IF;
END $$;
CREATE FUNCTION seen(command text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM seen;
	RETURN NEXT twins(command);
	RETURN QUERY SELECT what FROM seen ORDER BY n;
END $$;
CREATE EVENT TRIGGER keys_alter_start ON ddl_command_start EXECUTE FUNCTION see();
CREATE EVENT TRIGGER keys_alter_end ON ddl_command_end EXECUTE FUNCTION see();
CREATE EVENT TRIGGER keys_alter_drop ON sql_drop EXECUTE FUNCTION see();
CREATE EVENT TRIGGER keys_alter_rewrite ON table_rewrite EXECUTE FUNCTION see();
CREATE TABLE ours (id int, u int PRIMARY KEY WITH (kyro_rmi));
CREATE TABLE twin (id int, u int PRIMARY KEY);
CREATE UNIQUE INDEX ours_i ON ours USING kyro_rmi (id);
CREATE UNIQUE INDEX twin_i ON twin (id);
SELECT * FROM seen('ALTER TABLE @ ADD CONSTRAINT @_key UNIQUE USING INDEX @_i');
SELECT * FROM seen('ALTER TABLE @ ALTER id TYPE bigint');
SELECT * FROM seen('ALTER TABLE @ DROP CONSTRAINT @_pkey');
CREATE UNIQUE INDEX ours_i ON ours USING kyro_rmi (u);
CREATE UNIQUE INDEX twin_i ON twin (u);
SELECT twins('ALTER TABLE @ ALTER u DROP NOT NULL');
SELECT * FROM seen('ALTER TABLE @ ADD CONSTRAINT @_pkey PRIMARY KEY USING INDEX @_i');
SELECT * FROM looks('ours');
SELECT * FROM differs('ours', 'twin');
DROP EVENT TRIGGER keys_alter_start;
DROP EVENT TRIGGER keys_alter_end;
DROP EVENT TRIGGER keys_alter_drop;
DROP EVENT TRIGGER keys_alter_rewrite;

SET client_min_messages = warning;
DROP SCHEMA keys_alter CASCADE;
DROP SCHEMA keys_alter_ours, keys_alter_twin;
DROP ROLE regress_keys_alter;
DROP TABLESPACE keys_alter_space;
