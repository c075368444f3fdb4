-- Look-ups of present keys: a nested loop takes them from a list.
\ir read.sql
CALL bench.read('probe, index-only', 'list', 'SELECT count(*) FROM bench.list l JOIN bench.t ON t.k = l.k');
CALL bench.read('probe, with row', 'list', 'SELECT sum(t.v) FROM bench.list l JOIN bench.t ON t.k = l.k', 1, '{hash}');
CALL bench.read('sorted probe, index-only', 'sorted', 'SELECT count(*) FROM bench.sorted l JOIN bench.t ON t.k = l.k');
CALL bench.read('zipf probe, index-only', 'zipf', 'SELECT count(*) FROM bench.zipf l JOIN bench.t ON t.k = l.k');
-- index pages that a look-up asks for
SELECT bench.note('buffers per probe', 'blocks', v,
				  (SELECT blocks FROM bench.read_ms(v, 'SELECT sum(t.v) FROM bench.list l JOIN bench.t ON t.k = l.k'))::float8
				  / (SELECT count(*) FROM bench.list))
FROM unnest(array_remove(bench.variants(), 'brin')) v \g /dev/null
