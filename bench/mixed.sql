-- Half the rows are there; each of the others is inserted and pulls a look-up
-- of one of the first half behind it, so the two alternate.
COMMENT ON TABLE bench.t IS NULL;
DROP TABLE IF EXISTS bench.pairs;
CREATE UNLOGGED TABLE bench.pairs AS
	SELECT a.k AS new, b.k AS old
	FROM (SELECT k, row_number() OVER (ORDER BY hashint8extended(v, 7)) AS i FROM bench.keys WHERE hashint8(v) & 1 = 0) a
	JOIN (SELECT k, row_number() OVER (ORDER BY hashint8extended(v, 8)) AS i FROM bench.keys WHERE hashint8(v) & 1 = 1) b USING (i)
	WHERE i <= (SELECT probes FROM bench.param)
	ORDER BY i;
VACUUM ANALYZE bench.pairs;
\ir lists.sql

\o /dev/null
SELECT command
FROM generate_series(1, (SELECT rounds FROM bench.param)) round,
	 (SELECT count(*) AS pairs FROM bench.pairs) p,
	 unnest(ARRAY['none', 'btree', 'kyro_rmi', 'kyro_generic']) WITH ORDINALITY v (v, i),
	 LATERAL (VALUES
		(1, 'SELECT bench.drop_indexes()'),
		(2, 'TRUNCATE bench.t'),
		(3, 'INSERT INTO bench.t SELECT k, v FROM bench.keys WHERE hashint8(v) & 1 = 1'),
		(4, format('SELECT bench.create_index(%L)', v)),
		(5, 'VACUUM (ANALYZE' || CASE v WHEN 'kyro_generic' THEN ', INDEX_CLEANUP off' ELSE '' END || ') bench.t'),
		(6, format('CALL bench.write(%L, %L, %L, %s)', 'mixed 50/50, a pair', v,
				   'WITH new AS (INSERT INTO bench.t SELECT new, old FROM bench.pairs RETURNING v) SELECT count(*) FROM new' ||
				   CASE v WHEN 'none' THEN '' ELSE ' JOIN bench.t ON t.k = new.v' END, pairs))) c (step, command)
ORDER BY round, i, step \gexec
\o
DROP TABLE bench.pairs;
