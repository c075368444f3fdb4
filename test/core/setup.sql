-- What seal.pl's additions call, in the database of the tests.

CREATE SCHEMA kyro_core;
GRANT USAGE ON SCHEMA kyro_core TO PUBLIC;

-- Seals the kyro tables among a relation and its children.  It runs as its
-- owner, since the tests write to tables of others.  Whatever is no kyro table,
-- or cannot be sealed now (a prepared transaction has locked it), is passed over.  An
-- error of the seal itself shows up in the test's output.
CREATE PROCEDURE kyro_core.seal(name text) LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	rel oid;
BEGIN
	IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.<>) 'read committed' OR
		pg_catalog.current_setting('transaction_read_only') OPERATOR(pg_catalog.=) 'on' THEN
		RETURN;
	END IF;
	FOR rel IN
		WITH RECURSIVE tree(oid) AS (
			SELECT pg_catalog.to_regclass(name)::pg_catalog.oid
			UNION
			SELECT i.inhrelid FROM pg_catalog.pg_inherits i, tree t WHERE i.inhparent OPERATOR(pg_catalog.=) t.oid)
		SELECT c.oid FROM tree t, pg_catalog.pg_class c, pg_catalog.pg_am a
		 WHERE c.oid OPERATOR(pg_catalog.=) t.oid AND a.oid OPERATOR(pg_catalog.=) c.relam
		   AND a.amname OPERATOR(pg_catalog.=) 'kyro'
		   AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,m}'::pg_catalog."char"[])
		   AND NOT EXISTS (
			SELECT FROM pg_catalog.pg_locks l
			 WHERE l.relation OPERATOR(pg_catalog.=) c.oid AND l.pid IS NULL)
		 ORDER BY 1
	LOOP
		PERFORM kyro.snapshot(rel);
	END LOOP;
END
$$;

CREATE PROCEDURE kyro_core.seal_all() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM kyro.snapshot(c.oid)
	   FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname = 'kyro'
	  WHERE c.relkind IN ('r', 'm')
		AND (c.relpersistence <> 't' OR c.relnamespace = pg_my_temp_schema());
END
$$;

-- Each kyro table that nobody uses now; lock_timeout says how long to wait.
CREATE PROCEDURE kyro_core.seal_now() LANGUAGE plpgsql AS $$
DECLARE
	rel oid;
BEGIN
	FOR rel IN
		SELECT c.oid FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname = 'kyro'
		 WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' ORDER BY 1
	LOOP
		BEGIN
			PERFORM kyro.snapshot(rel);
		EXCEPTION WHEN lock_not_available THEN
			NULL;
		END;
	END LOOP;
END
$$;
