--
-- Consumers of event logs, and subscribers.
--
CREATE SCHEMA econs;
SET search_path = econs;
SET client_min_messages = error;	-- where the library is not preloaded, unique indexes warn
SELECT kyro.create_log('jobs');
SELECT kyro.append_batch('jobs', array_agg(to_jsonb(g))) FROM generate_series(1, 10) g;

-- each event is one worker's
SELECT lease, "offset", payload FROM kyro.consume('jobs', 'c', 3);
SELECT lease, "offset", payload FROM kyro.consume('jobs', 'c', 3);
SELECT lease, "offset", payload FROM kyro.consume('jobs'::regclass, 'other', 2);
SELECT consumer, lease, first, last, until > clock_timestamp() AS lasts FROM jobs_leases ORDER BY 1, 2;
SELECT * FROM jobs_consumers ORDER BY 1;
-- acknowledged, in part first
SELECT kyro.ack('jobs', 'c', 1, 2);
SELECT kyro.ack('jobs', 'c', 1, 1);
SELECT consumer, lease, first, last FROM jobs_leases WHERE consumer = 'c' ORDER BY 2;
SELECT kyro.ack('jobs', 'c', 1, 3);
SELECT kyro.ack('jobs', 'c', 2);
SELECT consumer, lease, first, last FROM jobs_leases ORDER BY 1, 2;
-- twice
\set VERBOSITY terse
SELECT kyro.ack('jobs', 'c', 2);
SELECT kyro.ack('jobs', 'c', 77);
SELECT kyro.ack('jobs', 'c', 1, 3);
SELECT kyro.renew('jobs', 'c', 2);
\set VERBOSITY default

-- whose time is up: handed out again, under another lease, and the old one is no good
SELECT lease, "offset" FROM kyro.consume('jobs', 'c', 4, '1 microsecond');
SELECT lease, "offset" FROM kyro.consume('jobs', 'c', 3);
SELECT lease, "offset" FROM kyro.consume('jobs', 'c', 3);
SELECT lease, "offset" FROM kyro.consume('jobs', 'c', 3);
SELECT consumer, lease, first, last FROM jobs_leases WHERE consumer = 'c' ORDER BY 2;
\set VERBOSITY terse
SELECT kyro.ack('jobs', 'c', 3);
\set VERBOSITY default
-- renewed, it is not
UPDATE jobs_leases SET until = clock_timestamp() - interval '1 s' WHERE lease = 4;
SELECT kyro.renew('jobs', 'c', 4, '1 hour');
SELECT lease, "offset" FROM kyro.consume('jobs', 'c', 3);
-- rolled back, it was not handed out
SELECT kyro.append('jobs', '11');
BEGIN;
SELECT lease, "offset" FROM kyro.consume('jobs', 'c');
ROLLBACK;
SELECT lease, "offset" FROM kyro.consume('jobs', 'c');
-- who looks in vain writes nothing
BEGIN;
SELECT lease, "offset" FROM kyro.consume('jobs', 'c');
SELECT pg_current_xact_id_if_assigned();
COMMIT;
-- trimmed events are passed over
DELETE FROM jobs WHERE "offset" <= 8;
UPDATE jobs_leases SET until = clock_timestamp() - interval '1 s' WHERE consumer = 'c';
SELECT lease, "offset" FROM kyro.consume('jobs', 'c', 1);
SELECT lease, "offset" FROM kyro.consume('jobs', 'c', 5);
SELECT lease, "offset" FROM kyro.consume('jobs', 'c', 5);
SELECT consumer, lease, first, last FROM jobs_leases WHERE consumer = 'c' ORDER BY 2;
-- elsewhere
SELECT kyro.seek('jobs', 'c', 9);
SELECT count(*) FROM jobs_leases WHERE consumer = 'c';
SELECT "offset", payload FROM kyro.consume('jobs', 'c');
SELECT kyro.seek('jobs', 'new', 12);
SELECT "offset", payload FROM kyro.consume('jobs', 'new');
SELECT kyro.append('jobs', '12');
SELECT "offset", payload FROM kyro.consume('jobs', 'new');
-- gaps
BEGIN;
SELECT kyro.append('jobs', '"lost"');
ROLLBACK;
SELECT kyro.append('jobs', '14');
SELECT "offset", payload FROM kyro.consume('jobs', 'new');

-- subscribed: t/log_listen.pl, since what psql says of notifications is different each time
BEGIN;
SELECT "offset" FROM kyro.subscribe('jobs', 12, 1);
SELECT "offset" FROM kyro.subscribe('jobs'::regclass, 14);
ROLLBACK;
SELECT pg_advisory_unlock_all();
-- an appender can be prepared, and rolled back to a savepoint
BEGIN;
SELECT kyro.append('jobs', '15');
SAVEPOINT s;
SELECT kyro.append('jobs', '"no"');
ROLLBACK TO s;
PREPARE TRANSACTION 'econs';
COMMIT PREPARED 'econs';
SELECT "offset" FROM kyro.consume('jobs', 'new');

-- payloads that are bytes
SELECT kyro.create_log('raw', 'bytea');
SELECT kyro.append_bytes('raw', '\x00ff');
SELECT lease, payload FROM kyro.consume('raw', 'c');
BEGIN;
SELECT payload FROM kyro.subscribe('raw');
ROLLBACK;
SELECT kyro.unsubscribe('raw');

-- refused
\set VERBOSITY sqlstate
SELECT kyro.consume('nix', 'c');
SELECT kyro.consume('pg_class', 'c');
SELECT kyro.consume('jobs', NULL);
SELECT kyro.consume(NULL::text, 'c');
SELECT kyro.consume(NULL::regclass, 'c');
SELECT kyro.consume('jobs', 'c', 0);
SELECT kyro.consume('jobs', 'c', -1);
SELECT kyro.consume('jobs', 'c', 1, '0');
SELECT kyro.consume('jobs', 'c', 1, NULL);
SELECT kyro.renew('jobs', 'new', 1, NULL);
SELECT kyro.renew('jobs', 'new', 1, '0');
SELECT kyro.ack('nix', 'c', 1);
SELECT kyro.ack('jobs', 'c', NULL);
SELECT kyro.ack('jobs', 'nobody', 1);
SELECT kyro.seek('jobs', 'c', -1);
SELECT kyro.seek('jobs', 'c', 1000);
SELECT kyro.seek('jobs', 'c', NULL);
SELECT kyro.subscribe('nix');
SELECT kyro.subscribe('jobs', -1);
SELECT kyro.subscribe('jobs', 1, -1);
SELECT kyro.subscribe(NULL::regclass);
SELECT kyro.channel('nix');
-- privileges
CREATE ROLE regress_log_worker;
GRANT USAGE ON SCHEMA econs TO regress_log_worker;
SET ROLE regress_log_worker;
SELECT kyro.subscribe('jobs');
SELECT kyro.consume('jobs', 'w');
RESET ROLE;
GRANT SELECT ON jobs TO regress_log_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs_consumers, jobs_leases TO regress_log_worker;
SET ROLE regress_log_worker;
\set VERBOSITY default
SELECT lease, "offset" FROM kyro.consume('jobs', 'w', 1);
SELECT kyro.ack('jobs', 'w', 1);
SELECT kyro.seek('jobs', 'w', 15);
BEGIN;
SELECT "offset" FROM kyro.subscribe('jobs', 15);
ROLLBACK;
SELECT kyro.unsubscribe('jobs');
RESET ROLE;
DROP OWNED BY regress_log_worker;
DROP ROLE regress_log_worker;
SELECT kyro.drop_log('raw');
SELECT count(*) FROM pg_class WHERE relnamespace = 'econs'::regnamespace AND relname LIKE 'raw%';
