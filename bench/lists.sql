-- The keys that are looked up: random samples of those present, made once for
-- a set.  Every look-up is by a nested loop.
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_bitmapscan = off;
SET enable_material = off;
SET enable_memoize = off;

SELECT to_regclass('bench.list') IS NULL AS missing \gset
\if :missing
SET enable_hashjoin = on;
SELECT setseed(0.5) \g /dev/null
CREATE UNLOGGED TABLE bench.list AS
	SELECT k FROM bench.keys
	WHERE random() < (SELECT 1.2 * probes / n FROM bench.param) ORDER BY random() LIMIT (SELECT probes FROM bench.param);
CREATE UNLOGGED TABLE bench.sorted AS SELECT k FROM bench.list ORDER BY k;
-- log-uniform ranks, which is Zipf's law with exponent 1; the factor is prime and scatters them
CREATE UNLOGGED TABLE bench.zipf AS
	SELECT k FROM (SELECT 1 + floor(n::float8 ^ random())::bigint * 2654435761 % n AS v
				   FROM bench.param, generate_series(1, probes)) s
	JOIN bench.keys USING (v) ORDER BY random();
-- from a key to those 9, 99 and 999 further on
CREATE UNLOGGED TABLE bench.starts AS
	SELECT * FROM (SELECT k, lead(k, 9) OVER w AS hi_10, lead(k, 99) OVER w AS hi_100, lead(k, 999) OVER w AS hi_1000
				   FROM bench.keys WINDOW w AS (ORDER BY k)) s
	WHERE hi_1000 IS NOT NULL AND random() < (SELECT 0.12 * probes / n FROM bench.param)
	ORDER BY random() LIMIT (SELECT probes / 10 FROM bench.param);
CREATE UNLOGGED TABLE bench.ranges_10 AS SELECT k, hi_10 AS hi FROM bench.starts;
CREATE UNLOGGED TABLE bench.ranges_100 AS SELECT k, hi_100 AS hi FROM bench.starts LIMIT (SELECT probes / 100 FROM bench.param);
CREATE UNLOGGED TABLE bench.ranges_1000 AS SELECT k, hi_1000 AS hi FROM bench.starts LIMIT (SELECT probes / 1000 FROM bench.param);
DROP TABLE bench.starts;
CREATE UNLOGGED TABLE bench.arrays AS
	SELECT array_agg(k) AS keys FROM (SELECT k, row_number() OVER () - 1 AS i FROM bench.list) s
	GROUP BY i / 1000 HAVING count(*) = 1000;
CREATE UNLOGGED TABLE bench.arrays_10000 AS
	SELECT array_agg(k) AS keys FROM (SELECT k, row_number() OVER () - 1 AS i FROM bench.list) s
	GROUP BY i / 10000 HAVING count(*) = 10000;
VACUUM ANALYZE bench.list, bench.sorted, bench.zipf, bench.ranges_10, bench.ranges_100, bench.ranges_1000, bench.arrays, bench.arrays_10000;
SET enable_hashjoin = off;
\endif
