--
-- What was written for btrees: bare names of operator classes, fill factors,
-- types.
--
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
LOAD 'kyrodb';
RESET client_min_messages;
CREATE SCHEMA ported;
SET search_path = ported, public;
CREATE TABLE t (id bigint, n int, d date, x text);
INSERT INTO t SELECT g, g, date '2024-01-01' + g, g FROM generate_series(1, 2000) g;
CREATE INDEX t_id ON t USING kyro_rmi (id int8_ops) WITH (fillfactor = 30);
CREATE INDEX t_half ON t USING kyro_rmi (id) WITH (fillfactor = 50);
CREATE INDEX ON t USING kyro_rmi (n int4_ops ASC NULLS LAST);
CREATE INDEX ON t USING kyro_rmi (d date_ops) WHERE n > 5;
CREATE INDEX ON t USING kyro_rmi ((id % 10) kyro.int8_ops);
CREATE FUNCTION make_index() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE INDEX t_again ON t USING kyro_rmi (n int4_ops); DROP INDEX t_again; END $$;
SELECT make_index(), make_index();
ALTER INDEX t_id SET (fillfactor = 49);
ALTER INDEX t_id SET (fillfactor = 60);
ALTER INDEX t_id SET (fillfactor = 10);
REINDEX INDEX t_id;
SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 't'::regclass ORDER BY indexrelid;
SELECT pg_relation_size('t_id') = pg_relation_size('t_half') AS as_half;
CREATE INDEX ON t USING kyro_rmi (id int4_ops);
CREATE INDEX ON t USING kyro_rmi (id text_ops);
CREATE INDEX ON t USING kyro_rmi (id nowhere.int8_ops);
CREATE INDEX ON t (id int8_ops);
CREATE INDEX ON t USING kyro_rmi (x);
CREATE INDEX ON t USING kyro_rmi ((n * 0.5));
CREATE INDEX ON t USING kyro_rmi ((x::bigint));
