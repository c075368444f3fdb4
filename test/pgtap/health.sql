-- kyro.health(): nothing where all is fine, one row for each thing to do, and the command
-- that it names does it.  Commands cannot all run in a transaction, so this is none.
SELECT no_plan();
SET client_min_messages = error;

CREATE ROLE health_nobody;
CREATE ROLE health_owner;
CREATE ROLE health_monitor IN ROLE pg_monitor;
CREATE TEMP VIEW mine AS SELECT severity, subject, problem, command FROM kyro.health() WHERE subject ~ 'health_|^autopilot';

CREATE TABLE public.health_t (id bigint PRIMARY KEY, k bigint, v text) USING kyro;
CREATE INDEX health_k ON public.health_t USING kyro_rmi (k);
INSERT INTO public.health_t SELECT g, g * 1000, 'v' FROM generate_series(1, 30000) g;
SELECT is_empty('SELECT * FROM mine', 'all is fine');

-- who may
SET ROLE health_nobody;
SELECT public.throws_ok('SELECT * FROM kyro.health()', '42501', 'permission denied for function health', 'not for everybody');
SELECT public.lives_ok('SELECT * FROM kyro.build_info', 'but build_info is');
SET ROLE health_owner;
SELECT public.throws_ok('SELECT * FROM kyro.health()', '42501', 'permission denied for function health', 'nor for owners of tables');
SET ROLE health_monitor;
SELECT public.lives_ok('SELECT * FROM kyro.health()', 'but for monitors');
SELECT public.lives_ok('SELECT * FROM kyro.build_info', 'and so is build_info');
RESET ROLE;

-- generic WAL
SET kyro.resource_manager = off;
CREATE INDEX health_generic ON public.health_t USING kyro_rmi (id);
SELECT is_empty('SELECT * FROM mine', 'generic WAL that was asked for');
RESET kyro.resource_manager;
SELECT results_eq('SELECT severity, subject FROM mine', $$VALUES ('info', 'index public.health_generic')$$, 'generic WAL though the library is preloaded');
SET ROLE health_monitor;
SELECT public.is((SELECT count(*) FROM kyro.health() WHERE subject = 'index public.health_generic'), 1::bigint, 'a monitor sees it, too');
RESET ROLE;
SELECT command AS command FROM mine \gset
:command;
SELECT is_empty('SELECT * FROM mine', 'its command mends it');

-- a stale model
INSERT INTO public.health_t SELECT g, hashint8(g) % 30000000, 'v' FROM generate_series(30001, 31000) g;
SELECT ok((SELECT splits_since > 0 FROM kyro.stat_indexes WHERE indexrelname = 'health_k'), 'an index whose pages were split');
SELECT is_empty('SELECT * FROM mine', 'not too many yet');
INSERT INTO public.health_t SELECT g, hashint8(g) % 30000000, 'v' FROM generate_series(31001, 50000) g;
SELECT results_eq('SELECT severity, subject, problem ~ ''pages were split since its model was trained'', command FROM mine WHERE subject = ''index public.health_k''',
	$$VALUES ('info', 'index public.health_k', true, 'SELECT * FROM kyro.rebuild(''public.health_k'')')$$, 'many, where no autopilot works');
SELECT command AS command FROM mine WHERE subject = 'index public.health_k' \gset
:command;
SELECT is_empty('SELECT * FROM mine WHERE subject = ''index public.health_k''', 'its command mends it');

-- an index that a failed command left
INSERT INTO public.health_t SELECT g, 5, 'double' FROM generate_series(50001, 50002) g;
\set ON_ERROR_STOP 0
CREATE UNIQUE INDEX CONCURRENTLY health_u ON public.health_t USING kyro_rmi (k);
\set ON_ERROR_STOP 1
SELECT results_eq('SELECT severity, subject, command FROM mine WHERE subject ~ ''health_u''', $$VALUES ('warning', 'index public.health_u', 'DROP INDEX CONCURRENTLY public.health_u')$$, 'an index that is not valid');
SELECT command AS command FROM mine WHERE subject ~ 'health_u' \gset
:command;

-- dead sealed rows
SELECT count(*) FROM kyro.snapshot('public.health_t');
VACUUM public.health_t;
DELETE FROM public.health_t WHERE id % 2 = 0;
SELECT is((SELECT problem ~ '^25001 of its 50002 sealed rows are dead: \d+ kB$' FROM mine WHERE subject = 'table public.health_t'), true, 'dead sealed rows');
SELECT command AS command FROM mine WHERE subject = 'table public.health_t' \gset
:command;
SELECT is_empty('SELECT * FROM mine WHERE subject = ''table public.health_t''', 'its command mends it');

-- policies
SELECT kyro.set_policy('public.health_t', seal_rows => 1000);
SELECT results_eq('SELECT severity, problem, command FROM mine', $$VALUES ('warning', 'it is off, and there are policies', 'ALTER SYSTEM SET kyro.autopilot = on; SELECT pg_reload_conf()')$$, 'an autopilot that is off');
UPDATE kyro.policies SET seal_after = '1 day';
SELECT is((SELECT command FROM mine WHERE problem ~ 'seal_after'), 'ALTER SYSTEM SET track_commit_timestamp = on', 'ages that nobody knows');
ALTER TABLE public.health_t SET ACCESS METHOD heap;
SELECT results_eq('SELECT severity, command FROM mine WHERE subject = ''table public.health_t''', $$VALUES ('warning', 'SELECT kyro.drop_policy(''public.health_t'')')$$, 'a policy of what is no kyro table');
SELECT command AS command FROM mine WHERE subject = 'table public.health_t' \gset
:command;
SELECT is_empty('SELECT * FROM mine', 'all is fine again');

SELECT * FROM finish();
