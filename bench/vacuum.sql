-- VACUUM's pass over an index after one row in ten has gone: processor time,
-- less that with a BRIN index, which has nothing to do in it.
\ir fill.sql
\o /dev/null
SELECT command
FROM generate_series(1, (SELECT rounds FROM bench.param)) round,
	 unnest(ARRAY['none'] || array_remove(bench.variants(), 'brin')) WITH ORDINALITY v (v, i),
	 LATERAL (VALUES
		(1, 'SELECT bench.drop_indexes()'),
		(2, 'TRUNCATE bench.t'),
		(3, 'INSERT INTO bench.t SELECT k, v FROM bench.keys'),
		(4, format('SELECT bench.create_index(%L)', replace(v, 'none', 'brin'))),
		(5, 'VACUUM bench.t'),
		(6, 'DELETE FROM bench.t WHERE abs(hashint8(v)) % 10 = 0'),
		(7, 'CHECKPOINT'),
		(8, 'SELECT set_config(''bench.since'', bench.cpu()::text, false)'),
		(9, 'VACUUM (INDEX_CLEANUP on, PARALLEL 0) bench.t'),
		(10, format('SELECT bench.note(%L, %L, %L, (bench.cpu() - current_setting(%L)::float8) / 1000)',
					'VACUUM of 10%, index pass', 's', v, 'bench.since'))) c (step, command)
ORDER BY round, i, step \gexec
\o
