-- Five times one row in ten goes, other ones each time; VACUUM; then they come
-- back, elsewhere.
\ir lists.sql
\ir fill.sql
SELECT bench.create_index(v) FROM unnest(bench.variants()) v \g /dev/null
SELECT command
FROM generate_series(0, 4) i,
	 LATERAL (VALUES
		(1, format('DELETE FROM bench.t WHERE abs(hashint8(v)) %% 10 = %s', i)),
		(2, 'VACUUM bench.t'),
		(3, format('INSERT INTO bench.t SELECT k, v FROM bench.keys WHERE abs(hashint8(v)) %% 10 = %s ORDER BY hashint8extended(v, 7)', i))
	 ) c (step, command)
ORDER BY i, step \gexec
VACUUM bench.t;
SELECT bench.note_sizes('size after churn of 5 x 10%') \g /dev/null
CALL bench.read('probe after churn, index-only', 'list', 'SELECT count(*) FROM bench.list l JOIN bench.t ON t.k = l.k');
