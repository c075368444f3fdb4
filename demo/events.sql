-- Events as they arrive: a daily rhythm, exponential gaps of some milliseconds,
-- and now and then a pause.  The same for every run.

SELECT setseed(0.42) \g /dev/null

INSERT INTO events
	SELECT g,
		   timestamptz '2025-01-01' + make_interval(secs =>
				sum(gap) OVER (ROWS UNBOUNDED PRECEDING)),
		   (random() * 1000)::int,
		   random() * 100
	FROM (SELECT g,
				 -ln(1 - random()) * 0.005 / (1 + 0.8 * sin(g / 3e6)) +
				 CASE WHEN random() < 0.02 THEN -ln(1 - random()) * 0.2 ELSE 0 END AS gap
		  FROM generate_series(1, :rows) g) s;

VACUUM ANALYZE events;
VACUUM ANALYZE files;
