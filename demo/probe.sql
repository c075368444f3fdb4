-- Random look-ups: a nested loop takes keys from a list and looks each up.
-- Time per look-up with the time to read the list taken off; median of three
-- runs, btree and kyro_rmi in turn.

SELECT setseed(0.7) \g /dev/null
CREATE TEMP TABLE list_id AS
	SELECT (random() * (:rows - 1))::bigint + 1 AS k FROM generate_series(1, :probes);
CREATE TEMP TABLE list_ts AS
	SELECT e.ts AS k FROM list_id l JOIN events e ON e.id = l.k ORDER BY random();
ANALYZE list_id, list_ts;

SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_bitmapscan = off;
SET enable_material = off;
SET enable_memoize = off;

CREATE TEMP TABLE query (col text, what text, query text, base text);
INSERT INTO query VALUES
	('id', 'index-only', 'SELECT count(*) FROM list_id l JOIN events e ON e.id = l.k', 'SELECT count(*) FROM list_id'),
	('id', 'with row', 'SELECT sum(e.value) FROM list_id l JOIN events e ON e.id = l.k', 'SELECT count(*) FROM list_id'),
	('ts', 'index-only', 'SELECT count(*) FROM list_ts l JOIN events e ON e.ts = l.k', 'SELECT count(*) FROM list_ts'),
	('ts', 'with row', 'SELECT sum(e.value) FROM list_ts l JOIN events e ON e.ts = l.k', 'SELECT count(*) FROM list_ts');

CREATE TEMP TABLE run AS
	SELECT q.col, q.what, am,
		   (demo.without(format('events_%s_%s', q.col, other), q.query) -
			demo.without('', q.base)) * 1000 / :probes AS us
	FROM generate_series(1, 3) AS round,
		 query q,
		 (VALUES ('btree', 'kyro'), ('kyro_rmi', 'btree')) AS x (am, other);

SELECT 'events.' || col AS column, what AS look_up,
	   round(b.us::numeric, 2) AS btree_us,
	   round(k.us::numeric, 2) AS kyro_us,
	   round((b.us / k.us)::numeric, 1) || 'x' AS faster
FROM (SELECT col, what, percentile_cont(0.5) WITHIN GROUP (ORDER BY us) AS us
	  FROM run WHERE am = 'btree' GROUP BY col, what) b
JOIN (SELECT col, what, percentile_cont(0.5) WITHIN GROUP (ORDER BY us) AS us
	  FROM run WHERE am = 'kyro_rmi' GROUP BY col, what) k USING (col, what)
ORDER BY 1, 2;
