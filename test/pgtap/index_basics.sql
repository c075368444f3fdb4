-- The promises of an index, in the order of a user's day.
BEGIN;
SELECT no_plan();
SET LOCAL client_min_messages = error;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL max_parallel_workers_per_gather = 0;

CREATE TABLE events (id bigint, at timestamptz, body text);
INSERT INTO events SELECT g, timestamptz '2024-01-01 UTC' + g * interval '1 second', 'event ' || g FROM generate_series(1, 20000) g;
SELECT lives_ok('CREATE INDEX events_id ON events USING kyro_rmi (id)', 'an index on bigint');
SELECT lives_ok('CREATE INDEX events_at ON events USING kyro_rmi (at)', 'an index on timestamptz');
SELECT index_is_type('public', 'events', 'events_id', 'kyro_rmi');
SELECT has_index('public', 'events', 'events_id', ARRAY['id']);
CREATE INDEX events_btree ON events (id);
SELECT cmp_ok(pg_relation_size('events_id') * 4, '<', pg_relation_size('events_btree'), 'less than a quarter of a btree on dense keys');
DROP INDEX events_btree;

SELECT results_eq('SELECT body FROM events WHERE id = 777', ARRAY['event 777'], 'a point');
SELECT results_eq('SELECT count(*) FROM events WHERE id BETWEEN 100 AND 199', ARRAY[100::bigint], 'a range');
SELECT results_eq('SELECT id FROM events ORDER BY id DESC LIMIT 3', ARRAY[20000, 19999, 19998]::bigint[], 'the last ones');
SELECT results_eq('SELECT id FROM events WHERE at >= timestamptz ''2024-01-01 00:01 UTC'' ORDER BY at LIMIT 2', ARRAY[60, 61]::bigint[], 'by time');
SELECT is_empty('SELECT 1 FROM events WHERE id = 20001', 'a key that is not there');

SELECT lives_ok('INSERT INTO events SELECT g, now(), ''late'' FROM generate_series(20001, 25000) g', 'new rows');
SELECT lives_ok('UPDATE events SET id = -id WHERE id % 100 = 0', 'changed keys');
SELECT lives_ok('DELETE FROM events WHERE id % 100 = 50', 'deleted rows');
SELECT results_eq('SELECT count(*) FROM events WHERE id > 0', 'SELECT count(*) FROM events WHERE id + 0 > 0', 'counts agree');
SELECT results_eq('SELECT id FROM events WHERE id < 0 ORDER BY id', 'SELECT id FROM events WHERE id + 0 < 0 ORDER BY id + 0', 'order agrees');
SELECT is_empty('SELECT * FROM kyro.verify(''events_id'', true)', 'the index is sound');
SELECT lives_ok('SELECT * FROM kyro.rebuild(''events_id'')', 'rebuild');
SELECT is_empty('SELECT * FROM kyro.verify(''events_id'', true)', 'and sound after it');

CREATE UNIQUE INDEX events_unique ON events USING kyro_rmi (id);
SELECT throws_ok('INSERT INTO events (id) VALUES (777)', '23505', 'duplicate key value violates unique constraint "events_unique"', 'unique');
SELECT lives_ok('INSERT INTO events (id, body) VALUES (777, ''again'') ON CONFLICT (id) DO UPDATE SET body = excluded.body', 'ON CONFLICT DO UPDATE');
SELECT results_eq('SELECT body FROM events WHERE id = 777', ARRAY['again'], 'it was updated');
SELECT lives_ok('INSERT INTO events (id) VALUES (777) ON CONFLICT DO NOTHING', 'ON CONFLICT DO NOTHING');
SELECT throws_ok('CREATE INDEX ON events USING kyro_rmi (body)', '42704', NULL, 'no text');
SELECT throws_ok('CREATE INDEX ON events USING kyro_rmi (id, at)', '0A000', NULL, 'one column');
SELECT throws_ok('CREATE INDEX ON events USING kyro_rmi (id DESC)', '0A000', NULL, 'no DESC');
SELECT throws_ok('SELECT * FROM kyro.rebuild(''events'')', '42809', NULL, 'no table');

SELECT * FROM finish();
ROLLBACK;
