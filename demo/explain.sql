-- The same four queries, once with only the btree indexes and once with only
-- the kyro_rmi indexes (the others are dropped in a transaction that is rolled
-- back).  Each runs twice, so that what is shown is the warm run.

\pset format unaligned
\pset tuples_only on
SELECT :rows / 2 AS middle, (SELECT ts FROM events WHERE id = :rows / 3) AS since \gset

CREATE TEMP TABLE wanted AS
	SELECT (hashint4(g)::bigint & 1073741823) % :rows + 1 AS id FROM generate_series(1, 1000) g;
ANALYZE wanted;

\set point 'SELECT * FROM events WHERE id = ' :middle
\set range 'SELECT count(*), avg(value) FROM events WHERE ts >= ' '''' :since '''' ' AND ts < timestamptz ' '''' :since '''' ' + interval ' '''' '1 minute' ''''
\set ordered 'SELECT mtime, path FROM files ORDER BY mtime DESC LIMIT 10'
\set join 'SELECT count(*), sum(e.value) FROM wanted w JOIN events e ON e.id = w.id'
\set explain 'EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF)'

\echo '---- a point:' :point
\set query :point
\ir explain_pair.sql
\echo
\echo '---- a range:' :range
\set query :range
\ir explain_pair.sql
\echo
\echo '---- an order:' :ordered
\set query :ordered
\ir explain_pair.sql
\echo
\echo '---- a join, 1000 random ids:' :join
\set query :join
\ir explain_pair.sql
