--
-- Event logs: partitions, and what is removed of old events.
--
CREATE SCHEMA eret;
SET search_path = eret;
SET client_min_messages = error;	-- where the library is not preloaded, unique indexes warn
SET timezone = 'America/New_York';	-- bounds do not depend on it
-- by offset
SELECT kyro.create_log('byo', partition_by => 'offset', every => '100');
SELECT partition, low, high FROM kyro.log_partitions('byo') ORDER BY low::bigint;
SELECT kyro.append('byo', '1'), kyro.append('byo', '2', request_id => '00000000-0000-0000-0000-000000000001'),
	kyro.append('byo', '2', request_id => '00000000-0000-0000-0000-000000000001');
SELECT kyro.append_batch('byo', ARRAY['3', '2', '4', '4']::jsonb[], request_ids => ARRAY['00000000-0000-0000-0000-000000000003',
	'00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-000000000004']::uuid[]);
SELECT payload, request_id FROM kyro.replay('byo');
SELECT cardinality(kyro.append_batch('byo', array_agg(to_jsonb(g)))) FROM generate_series(1, 350) g;
SELECT count(*), min("offset"), kyro.last_offset('byo') = kyro.stable_offset('byo') AS stable FROM kyro.replay('byo');
SELECT tableoid::regclass, count(*) FROM byo GROUP BY 1 ORDER BY min("offset");
SELECT kyro.extend_log('byo', 2), kyro.extend_log('byo', 2), kyro.extend_log('byo', 3, every => '1000');
-- late: what came without one stays in the rest
SELECT cardinality(kyro.append_batch('byo', array_agg(to_jsonb(g)))) FROM generate_series(1, 2000) g;
SELECT kyro.extend_log('byo', 1, '500');
SELECT tableoid::regclass, count(*) FROM byo GROUP BY 1 ORDER BY min("offset");
-- trimmed: whole partitions, and what is left by rows
SELECT * FROM kyro.trim('byo', 250);
SELECT min("offset"), count(*) FROM kyro.replay('byo');
SELECT count(*) FROM byo_requests;
SELECT * FROM kyro.trim('byo', 250);
SELECT * FROM kyro.trim('byo', kyro.last_offset('byo') + 1);
SELECT count(*), kyro.last_offset('byo'), kyro.stable_offset('byo') FROM byo;
SELECT kyro.append('byo', '"next"') > 2000 AS "goes on";
SELECT payload FROM kyro.replay('byo');
SELECT kyro.drop_log('byo');
SELECT count(*) FROM pg_class WHERE relnamespace = 'eret'::regnamespace AND relname LIKE 'byo%';

-- by time
SELECT kyro.create_log('byt', partition_by => 'time', every => '1 day');
SELECT count(*), min(low::timestamptz) = date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS today FROM kyro.log_partitions('byt');
SELECT kyro.append('byt', '1', request_id => '00000000-0000-0000-0000-000000000001'), kyro.append('byt', '1', request_id => '00000000-0000-0000-0000-000000000001');
-- what is older than all has no partition of its own
INSERT INTO byt (at, payload) VALUES ('2020-01-01', '"old"');
SELECT payload FROM kyro.replay('byt');
SELECT kyro.extend_log('byt', 4), kyro.extend_log('byt', 5), kyro.extend_log('byt', 6, '1 month');
-- as long as those before, whatever months they meet
SELECT kyro.create_log('by_days', partition_by => 'time', every => '30 days'), kyro.create_log('by_months', partition_by => 'time', every => '1 month');
SELECT sum(kyro.extend_log('by_days', n)), sum(kyro.extend_log('by_months', n)) FROM generate_series(5, 20) n;
SELECT count(*) FILTER (WHERE high::timestamptz - low::timestamptz <> '30 days') FROM kyro.log_partitions('by_days');
SELECT count(*) FILTER (WHERE low::timestamptz AT TIME ZONE 'UTC' <> date_trunc('month', low::timestamptz AT TIME ZONE 'UTC')) FROM kyro.log_partitions('by_months');
SELECT kyro.drop_log('by_days'), kyro.drop_log('by_months');
-- a day that is over
DO $$
DECLARE
	yesterday date := (clock_timestamp() AT TIME ZONE 'UTC')::date - 1;
BEGIN
	SET LOCAL timezone = 'UTC';
	EXECUTE format('CREATE TABLE byt_yesterday PARTITION OF byt FOR VALUES FROM (%L) TO (%L) USING kyro', yesterday, yesterday + 1);
	INSERT INTO byt (at, payload) VALUES (yesterday, '"yesterday"');
END $$;
SELECT payload, tableoid::regclass = 'byt_yesterday'::regclass AS there FROM byt ORDER BY "offset" DESC LIMIT 1;
SELECT * FROM kyro.trim('byt', kyro.last_offset('byt'));
SELECT payload FROM kyro.replay('byt');
BEGIN ISOLATION LEVEL REPEATABLE READ;
\set VERBOSITY terse
SELECT * FROM kyro.trim('byt', 1);
\set VERBOSITY default
ROLLBACK;
SELECT * FROM kyro.trim('byt', kyro.last_offset('byt') + 1);
SELECT count(*) FROM byt;

-- not partitioned
SELECT kyro.create_log('plain');
SELECT cardinality(kyro.append_batch('plain', array_agg(to_jsonb(g)), keys => array_agg(nullif(g % 4, 0)))) FROM generate_series(1, 20) g;
SELECT * FROM kyro.trim('plain', 0);
SELECT * FROM kyro.trim('plain', 5);
SELECT rows FROM kyro.snapshot('plain');
SELECT kyro.compact_log('plain', before => 10);
SELECT array_agg("offset") FROM kyro.replay('plain');
SELECT kyro.compact_log('plain');
SELECT "offset", key, payload FROM kyro.replay('plain');
SELECT clock_timestamp() AS t \gset
SELECT kyro.append('plain', '"young"') > 20 AS appended;
SELECT * FROM kyro.trim('plain', :'t'::timestamptz);
SELECT payload FROM kyro.replay('plain');
SELECT * FROM kyro.trim('plain', '-infinity'::timestamptz);
-- again, when all is gone
SELECT kyro.create_log('done');
SELECT kyro.append('done', '1'), kyro.append('done', '2');
SELECT * FROM kyro.trim('done', 3);
SELECT * FROM kyro.trim('done', 3);
-- partitions of logs whose long names begin alike, also with characters of several bytes
SELECT kyro.create_log(repeat('n', 49) || 'a', partition_by => 'offset', every => '10') IS NOT NULL,
	kyro.create_log(repeat('n', 49) || 'b', partition_by => 'offset', every => '10') IS NOT NULL,
	kyro.create_log(repeat('ü', 25), partition_by => 'time', every => '10 minutes') IS NOT NULL;
SELECT count(*) FROM kyro.log_partitions((repeat('n', 49) || 'b')::regclass);
-- not beyond what is stable: an event before may be still to come
BEGIN;
SELECT kyro.append('plain', '"open"') > 20 AS appended;
ROLLBACK;
SELECT kyro.last_offset('plain') + 1 AS beyond \gset
\set VERBOSITY sqlstate
SELECT kyro.trim('plain', :beyond + 10);
SELECT kyro.trim('plain', -1);
SELECT kyro.trim('plain', NULL::bigint);
SELECT kyro.trim('nix', 1);
SELECT kyro.trim('pg_class', 1);
SELECT kyro.compact_log('pg_class');
SELECT kyro.compact_log(NULL::regclass);
SELECT kyro.compact_log('plain', -1);
SELECT kyro.extend_log('plain');
SELECT kyro.extend_log('byt', NULL);
SELECT kyro.create_log('t', partition_by => 'key', every => '1');
SELECT kyro.create_log('t', partition_by => 'offset');
SELECT kyro.create_log('t', every => '1');
SELECT kyro.create_log('t', partition_by => 'offset', every => '0');
SELECT kyro.create_log('t', partition_by => 'offset', every => '1 day');
SELECT kyro.create_log('t', partition_by => 'time', every => '-1 day');
SELECT kyro.create_log('t', partition_by => 'time', every => 'x); DROP TABLE plain; --');
