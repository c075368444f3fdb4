-- Policies: who may set one, what is refused, and which one is a table's.
BEGIN;
SELECT no_plan();
SET LOCAL client_min_messages = error;

CREATE ROLE policy_owner;
CREATE ROLE policy_nobody;
CREATE ROLE policy_monitor IN ROLE pg_monitor;
CREATE TABLE public.kt (id bigint PRIMARY KEY, v text) USING kyro;
CREATE TABLE public.ht (id bigint);
CREATE TABLE public.pt (id bigint, d int) PARTITION BY LIST (d);
CREATE TABLE public.pt1 PARTITION OF public.pt FOR VALUES IN (1) USING kyro;
CREATE TABLE public.pt2 PARTITION OF public.pt FOR VALUES IN (2, 3) PARTITION BY LIST (d);
CREATE TABLE public.pt22 PARTITION OF public.pt2 FOR VALUES IN (2) USING kyro;
CREATE TABLE public.pt23 PARTITION OF public.pt2 FOR VALUES IN (3);
CREATE TEMP TABLE tt (id bigint) USING kyro;
CREATE VIEW public.v AS SELECT 1;
ALTER TABLE public.kt OWNER TO policy_owner;

-- what is refused
SELECT throws_ok('SELECT kyro.set_policy(''kt'')', '22023', 'a policy needs seal_after, seal_rows or seal_bytes', 'a policy that says nothing');
SELECT throws_ok('SELECT kyro.set_policy(''kt'', seal_rows => 0)', '22023', 'seal_rows must be greater than 0', 'no rows');
SELECT throws_ok('SELECT kyro.set_policy(''kt'', seal_bytes => -1)', '22023', 'seal_bytes must be greater than 0', 'less than no bytes');
SELECT throws_ok('SELECT kyro.set_policy(''kt'', seal_rows => 1, batch => 0)', '22023', 'batch must be greater than 0', 'empty batches');
SELECT throws_ok('SELECT kyro.set_policy(''kt'', seal_rows => 1, min_rows => NULL)', '22004', 'min_rows must not be null', 'NULL');
SELECT throws_ok('SELECT kyro.set_policy(NULL, seal_rows => 1)', '22004', 'tbl must not be null', 'no table');
SELECT throws_ok('SELECT kyro.set_policy(''kt'', seal_after => ''-1 day'')', '22023', 'seal_after must be greater than 0', 'an age in the future');
SELECT throws_ok('SELECT kyro.set_policy(''kt'', seal_after => ''1 day'')', '55000', 'seal_after needs to know when rows were committed', 'an age that nobody knows');
SELECT throws_ok('SELECT kyro.set_policy(''ht'', seal_rows => 1)', '42809', '"ht" is neither a kyro table nor a partitioned table', 'a heap');
SELECT throws_ok('SELECT kyro.set_policy(''v'', seal_rows => 1)', '42809', '"v" is neither a kyro table nor a partitioned table', 'a view');
SELECT throws_ok('SELECT kyro.set_policy(''kt_pkey'', seal_rows => 1)', '42809', '"kt_pkey" is neither a kyro table nor a partitioned table', 'an index');
SELECT throws_ok('SELECT kyro.set_policy(''tt'', seal_rows => 1)', '0A000', 'temporary table "tt" cannot have a policy', 'a temporary table');
SELECT throws_ok('SELECT kyro.set_policy(1::oid, seal_rows => 1)', '42P01', 'there is no relation with OID 1', 'no such table');
SELECT throws_ok('SELECT kyro.drop_policy(1::oid)', '42P01', 'there is no relation with OID 1', 'no such table to remove it of');

-- who may
SELECT lives_ok('SELECT kyro.set_policy(''kt'', seal_rows => 10)', 'a superuser');
SET LOCAL ROLE policy_nobody;
SELECT public.throws_ok('SELECT kyro.set_policy(''public.kt'', seal_rows => 1)', '42501', 'must be owner of table kt', 'another user may not set one');
SELECT public.throws_ok('SELECT kyro.drop_policy(''public.kt'')', '42501', 'must be owner of table kt', 'nor remove it');
SELECT public.throws_ok('DELETE FROM kyro.policies', '42501', 'permission denied for table policies', 'nor change the table of policies');
SELECT public.is((SELECT seal_rows FROM kyro.policies WHERE relation = 'public.kt'::regclass), 10::bigint, 'but read it');
SELECT public.is_empty('SELECT * FROM kyro.stat_policies', 'and sees no numbers of tables');
SELECT public.is_empty('SELECT * FROM kyro.stat_worker', 'nor what was done to them');
SET LOCAL ROLE policy_monitor;
SELECT public.throws_ok('SELECT kyro.set_policy(''public.kt'', seal_rows => 1)', '42501', 'must be owner of table kt', 'a monitor may not set one');
SELECT public.is((SELECT count(*) FROM kyro.stat_policies), 1::bigint, 'but see all');
SELECT public.lives_ok('SELECT * FROM kyro.stat_worker', 'and all that was done');
SET LOCAL ROLE policy_owner;
SELECT public.lives_ok('SELECT kyro.set_policy(''public.kt'', seal_rows => 20, seal_bytes => 30, min_rows => 40, batch => 50)', 'the owner may');
SELECT public.results_eq('SELECT relation::text, seal_after, seal_rows, seal_bytes, min_rows, batch FROM kyro.policies',
	$$VALUES ('kt', NULL::interval, 20::bigint, 30::bigint, 40::bigint, 50::bigint)$$, 'and it takes the place of the other');
SELECT public.is(kyro.drop_policy('public.kt'), true, 'removed');
SELECT public.is(kyro.drop_policy('public.kt'), false, 'there is none any more');
RESET ROLE;

-- whose
SELECT lives_ok('SELECT kyro.set_policy(''pt'', seal_rows => 10)', 'a partitioned table');
SELECT lives_ok('SELECT kyro.set_policy(''pt2'', seal_rows => 20)', 'one below it');
CREATE TABLE public.pt24 PARTITION OF public.pt FOR VALUES IN (4) USING kyro;
SELECT is((SELECT string_agg(format('%s %s %s', relname, policy_of, seal_rows), ', ' ORDER BY relname) FROM kyro.stat_policies),
	'pt1 pt 10, pt22 pt2 20, pt24 pt 10', 'the nearest one counts, for kyro tables, new ones too');
SELECT lives_ok('SELECT kyro.set_policy(''pt22'', seal_rows => 5)', 'a partition''s own');
SELECT is((SELECT policy_of::text FROM kyro.stat_policies WHERE relname = 'pt22'), 'pt22', 'comes first');
INSERT INTO public.pt SELECT g, 2 FROM generate_series(1, 9) g;
DROP TABLE public.pt22;
SELECT is_empty('SELECT 1 FROM kyro.policies WHERE seal_rows = 5', 'it goes with the table');
DROP TABLE public.pt;
SELECT is_empty('SELECT 1 FROM kyro.policies', 'a tree of tables takes all of theirs along');
SELECT throws_ok('SELECT kyro.on_drop()', '0A000', NULL, 'the trigger''s function is called by nobody else');

SELECT * FROM finish();
ROLLBACK;
