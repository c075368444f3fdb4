-- REPLICA IDENTITY by a plain unique kyro_rmi index: it shows a btree operator
-- class, as the index of a constraint does, and is no target of foreign keys all the same
SET session_preload_libraries = kyrodb;	-- as far as those are warned who have not
LOAD 'kyrodb';
CREATE SCHEMA keys_identity;
SET search_path = keys_identity, public;
\getenv srcdir PG_ABS_SRCDIR
\set shown :srcdir '/lib/shown.psql'
\set ECHO none
\i :shown
\set ECHO all
\set VERBOSITY default
CREATE VIEW indexes AS
	SELECT c.relname AS index, shown(i) AS shows, c.reloptions AS options, i.indisreplident AS identity,
		class_dependencies(c.oid) AS depends_on_classes_of,
		(SELECT string_agg(v.problem, ', ') FROM kyro.verify(c.oid, deep => true) v) AS problems
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
	WHERE c.relnamespace = 'keys_identity'::regnamespace AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'kyro_rmi') ORDER BY c.relname COLLATE "C";
CREATE TABLE t (id bigint NOT NULL, v int, w int NOT NULL);
CREATE UNIQUE INDEX t_k ON t USING kyro_rmi (id);
CREATE UNIQUE INDEX t_w ON t USING kyro_rmi (w);
CREATE INDEX t_v ON t USING kyro_rmi (v);
INSERT INTO t SELECT g, g, g FROM generate_series(1, 1000) g;
ALTER TABLE t REPLICA IDENTITY USING INDEX t_k;
TABLE indexes;
CREATE TABLE r (t bigint REFERENCES t (id));
INSERT INTO t VALUES (5, 0, 5000) ON CONFLICT (id) DO UPDATE SET v = -1 RETURNING *;
-- another one, and none
ALTER TABLE t REPLICA IDENTITY USING INDEX t_w;
TABLE indexes;
ALTER TABLE t REPLICA IDENTITY FULL;
TABLE indexes;
ALTER TABLE t REPLICA IDENTITY USING INDEX t_k;
-- whatever is done to it
REINDEX INDEX t_k;
REINDEX INDEX CONCURRENTLY t_k;
VACUUM FULL t;
ALTER TABLE t ALTER id TYPE int;
TABLE indexes;
CREATE UNIQUE INDEX t_new ON t USING kyro_rmi (id);
SELECT kyro.swap_index('t_k', 't_new');
TABLE indexes;
DROP INDEX t_new;
SET client_min_messages = warning;
CALL kyro.restore_btree('t_k');
SELECT indisreplident FROM pg_index WHERE indexrelid = 't_k'::regclass;
CALL kyro.replace_btree('t_k');
RESET client_min_messages;
TABLE indexes;
-- beside a target of a foreign key
ALTER TABLE t ADD UNIQUE (id);
CREATE TABLE r (t int REFERENCES t (id));
SELECT conindid::regclass FROM pg_constraint WHERE conrelid = 'r'::regclass;
ALTER TABLE r ALTER t TYPE bigint;
ALTER TABLE t ALTER id TYPE bigint;
SELECT conindid::regclass FROM pg_constraint WHERE conrelid = 'r'::regclass;
TABLE indexes;
-- it becomes that of a constraint
ALTER TABLE t ADD CONSTRAINT t_key UNIQUE USING INDEX t_k;
TABLE indexes;
ALTER TABLE t REPLICA IDENTITY NOTHING;
TABLE indexes;
-- in trees: one of both is an identity when they are attached, as a dump does it
CREATE TABLE p (id bigint NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);
CREATE UNIQUE INDEX p_k ON ONLY p USING kyro_rmi (id);
CREATE UNIQUE INDEX p1_k ON p1 USING kyro_rmi (id);
ALTER TABLE p1 REPLICA IDENTITY USING INDEX p1_k;
ALTER INDEX p_k ATTACH PARTITION p1_k;
CREATE UNIQUE INDEX p2_k ON p2 USING kyro_rmi (id);
ALTER INDEX p_k ATTACH PARTITION p2_k;
ALTER TABLE p REPLICA IDENTITY USING INDEX p_k;
CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (200) TO (300) PARTITION BY RANGE (id);
CREATE TABLE p31 PARTITION OF p3 FOR VALUES FROM (200) TO (300);
SELECT i.*, x.indisvalid, h.inhparent::regclass FROM indexes i JOIN pg_index x ON x.indexrelid = index::text::regclass LEFT JOIN pg_inherits h ON h.inhrelid = x.indexrelid WHERE index LIKE 'p%';
-- seen if it is not so
ALTER TABLE t REPLICA IDENTITY USING INDEX t_w;
UPDATE pg_index SET indclass = (SELECT oid::text::oidvector FROM pg_opclass WHERE opcname = 'int4_ops' AND opcnamespace = 'kyro'::regnamespace AND oid <> indclass[0]) WHERE indexrelid = 't_w'::regclass;
SELECT index, problems ~ 'shows? .* operator class' AS right FROM indexes WHERE problems IS NOT NULL;
SET client_min_messages = warning;
DROP SCHEMA keys_identity CASCADE;
