-- Ranges of present keys, per range.
\ir read.sql
CALL bench.read('10-key range, index-only', 'ranges_10',
				'SELECT count(*) FROM bench.ranges_10 l JOIN bench.t ON t.k BETWEEN l.k AND l.hi');
CALL bench.read('100-key range, index-only', 'ranges_100',
				'SELECT count(*) FROM bench.ranges_100 l JOIN bench.t ON t.k BETWEEN l.k AND l.hi');
CALL bench.read('1000-key range, index-only', 'ranges_1000',
				'SELECT count(*) FROM bench.ranges_1000 l JOIN bench.t ON t.k BETWEEN l.k AND l.hi');
CALL bench.read('ORDER BY LIMIT 10, index-only', 'ranges_10',
				'SELECT count(x.k) FROM bench.ranges_10 l,
					LATERAL (SELECT t.k FROM bench.t WHERE t.k >= l.k ORDER BY t.k LIMIT 10) x');
-- BRIN would read the whole table for each range if it were in random order
SELECT heap_order = 'key' AS in_key_order FROM bench.param \gset
\if :in_key_order
CALL bench.read('1000-key range, with rows', 'ranges_1000',
				'SELECT sum(t.v) FROM bench.ranges_1000 l JOIN bench.t ON t.k BETWEEN l.k AND l.hi', 1, '{brin}');
\else
CALL bench.read('1000-key range, with rows', 'ranges_1000',
				'SELECT sum(t.v) FROM bench.ranges_1000 l JOIN bench.t ON t.k BETWEEN l.k AND l.hi');
\endif
