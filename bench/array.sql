-- k = ANY (1000 random keys), per key.
\ir read.sql
CALL bench.read('= ANY (1000), index-only', 'arrays',
				'SELECT count(*) FROM bench.arrays a JOIN bench.t ON t.k = ANY (a.keys)', 1000);
