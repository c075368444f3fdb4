-- Many keys at once, per key: k = ANY (1000 random keys), bitmap scans of 10,000,
-- and the keys of a list, each once, by a nested loop (making them unique counts).
\ir read.sql
CALL bench.read('= ANY (1000), index-only', 'arrays',
				'SELECT count(*) FROM bench.arrays a JOIN bench.t ON t.k = ANY (a.keys)', 1000);
CALL bench.read('= ANY (1000), with rows', 'arrays',
				'SELECT count(t.v) FROM bench.arrays a JOIN bench.t ON t.k = ANY (a.keys)', 1000);
CALL bench.read('= ANY (10000), bitmap scan', 'arrays_10000',
				'SELECT count(t.v) FROM bench.arrays_10000 a JOIN bench.t ON t.k = ANY (a.keys)', 10000, bitmap => true);
CALL bench.read('IN (subquery), with rows', 'list',
				'SELECT count(t.v) FROM bench.t WHERE k IN (SELECT k FROM bench.list)');
