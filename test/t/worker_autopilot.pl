# The autopilot: retrains indexes, seals tables and compacts them where that is due, in all databases
# that have the extension and no other; steps back when somebody wants a lock of its; is in nobody's
# way who drops an index, the extension or the database; keeps errors and tries again later;
# survives the crash of a worker, obeys a reload, and goes on where a standby is
# promoted, where it was idle before.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;

my $conf = q{
kyro.autopilot = on
kyro.autopilot_naptime = 1s
kyro.retrain_threshold = 5
kyro.retrain_scale_factor = 0
kyro.log_min_duration = 0
log_min_messages = log
track_commit_timestamp = on
};
my $node = new_node('autopilot', init => [ allows_streaming => 1 ], conf => $conf);

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]); }

sub until_true
{
	my ($query, $what, $database) = @_;

	ok($node->poll_query_until($database // 'postgres', $query), $what);
}

# Was an action done, and not only tried?
sub until_done
{
	my ($relation, $action, $what, $database) = @_;

	until_true("SELECT EXISTS (SELECT FROM kyro.stat_worker WHERE database = current_database() AND relation = '$relation' AND action = '$action' AND result !~ 'stepped back')", $what, $database);
}

until_true(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'kyrodb launcher' AND datname IS NULL}, 'a launcher, in no database');

# ---- retraining ----
sql(q{CREATE EXTENSION kyrodb;
CREATE TABLE drift (k bigint);
INSERT INTO drift SELECT g * 1000 FROM generate_series(1, 100000) g;
CREATE INDEX drift_k ON drift USING kyro_rmi (k);
INSERT INTO drift SELECT hashint4(g)::bigint % 1000000 FROM generate_series(1, 60000) g;
});
until_true(q{SELECT splits_since <= 5 AND rebuilds > 0 FROM kyro.stat_indexes WHERE indexrelname = 'drift_k'}, 'an index whose pages were split is retrained');
until_done('public.drift_k', 'retrain', 'and it is said');
like(sql(q{SELECT why || ': ' || result FROM kyro.stat_worker WHERE action = 'retrain'}), qr/^\d+ of \d+ pages split since training: leaves \d+, largest error \d+$/, 'why, and what came of it');
is(sql(q{SELECT DISTINCT backend, eps_after >= 0 FROM kyro.model_history('drift_k') WHERE reason = 'autopilot'}), 'background worker|t', 'and the history of its models says so');
is(sql(q{SELECT count(*) FROM kyro.verify('drift_k', deep => true)}), '0', 'it is sound');

# ---- retraining since searches miss ----
$node->append_conf('postgresql.conf', "kyro.retrain_threshold = 1000000\nkyro.retrain_misses_threshold = 5\nkyro.retrain_misses_scale_factor = 0\n");
$node->reload;
sql(q{CREATE TABLE missed (k bigint);
INSERT INTO missed SELECT hashint8(g)::bigint * 1000 FROM generate_series(1, 200000) g;
CREATE INDEX missed_k ON missed USING kyro_rmi (k);
});
my $reader = $node->background_psql('postgres');
my $search = q{SELECT count((SELECT k FROM missed WHERE k = g * 3000000000::bigint OFFSET 0)) FROM generate_series(-100, 100) g};
$reader->query_safe("SET enable_seqscan = off; SET enable_bitmapscan = off; $search");
sql(q{INSERT INTO missed SELECT hashint8(g)::bigint % 300000000 * 1000 FROM generate_series(1000000, 1010000) g});
$reader->query_safe($search);
$reader->quit;
until_done('public.missed_k', 'retrain', 'an index in which searches miss is retrained');
like(sql(q{SELECT why FROM kyro.stat_worker WHERE relation = 'public.missed_k'}), qr/^\d+ of \d+ searches off since training$/, 'and it is said why');
until_true(q{SELECT splits_since = 0 AND landings_off > 5 AND landings_off_since = 0 AND trained_autopilot > 0 FROM kyro.stat_indexes WHERE indexrelname = 'missed_k'}, 'counting begins anew');
$node->append_conf('postgresql.conf', "kyro.retrain_threshold = 5\n");
$node->reload;

# ---- sealing ----
sql(q{CREATE TABLE byrows (id bigint PRIMARY KEY, v text) USING kyro;
INSERT INTO byrows SELECT g, 'v' FROM generate_series(1, 4999) g;
CREATE TABLE parent (id bigint, d int, v text) PARTITION BY LIST (d);
CREATE TABLE child1 PARTITION OF parent FOR VALUES IN (1) USING kyro;
CREATE TABLE heap1 PARTITION OF parent FOR VALUES IN (10);
CREATE TABLE mine (id bigint) USING kyro;
CREATE TABLE none (id bigint) USING kyro;
INSERT INTO none SELECT g FROM generate_series(1, 20000) g;
SELECT kyro.set_policy('byrows', seal_rows => 5000, batch => 2000);
SELECT kyro.set_policy('parent', seal_rows => 3000);
SELECT kyro.set_policy('mine', seal_bytes => 1000000);
INSERT INTO parent SELECT g, CASE WHEN g % 2 = 0 THEN 1 ELSE 10 END FROM generate_series(1, 8000) g;
});
until_true(q{SELECT sealed_rows = 4000 FROM kyro.stat_tables WHERE relname = 'child1'}, q{a partition is sealed by its parent's policy});
is(sql(q{SELECT due IS NULL, log_rows FROM kyro.stat_policies WHERE relname = 'byrows'}), 't|4999', 'a table that has not enough rows is not due');
sql(q{INSERT INTO byrows VALUES (5000, 'v'); CREATE TABLE child2 PARTITION OF parent FOR VALUES IN (2) USING kyro;
INSERT INTO parent SELECT g, 2 FROM generate_series(1, 5000) g;
INSERT INTO mine SELECT g FROM generate_series(1, 40000) g});
until_true(q{SELECT sealed_rows = 5000 AND runs > 1 FROM kyro.stat_tables WHERE relname = 'byrows'}, 'then it is sealed, in batches');
until_true(q{SELECT sealed_rows = 5000 FROM kyro.stat_tables WHERE relname = 'child2'}, 'so is a new partition');
until_true(q{SELECT sealed_rows = 40000 FROM kyro.stat_tables WHERE relname = 'mine'}, 'and by bytes');
is(sql(q{SELECT runs FROM kyro.stat_tables WHERE relname = 'none'}), '0', 'what has no policy is left alone');
is(sql(q{SELECT count(*), sum(id) FROM parent}), sql(q{SELECT 13000, 8000 * 8001 / 2 + 5000 * 5001 / 2}), 'no row was lost');

sql(q{CREATE TABLE byage (id bigint PRIMARY KEY) USING kyro;
INSERT INTO byage SELECT g FROM generate_series(1, 3000) g;
SELECT kyro.set_policy('byage', seal_after => '3 s', min_rows => 10)});
until_true(q{SELECT sealed_rows = 3000 FROM kyro.stat_tables WHERE relname = 'byage'}, 'rows are sealed when they are old enough');
sql(q{SELECT kyro.set_policy('byage', seal_rows => 10, seal_after => '1 hour'); INSERT INTO byage SELECT g FROM generate_series(3001, 3500) g});
until_true(q{SELECT EXISTS (SELECT FROM kyro.stat_worker WHERE relation = 'public.byage' AND result = 'sealed 0 rows, batches: 0' AND next > finished + interval '5 min')}, 'younger ones stay, and are not looked at all the time');
is(sql(q{SELECT log_rows FROM kyro.stat_tables WHERE relname = 'byage'}), '500', 'in the log');
sql(q{DROP TABLE byage});
is(sql(q{SELECT count(*) FROM kyro.policies WHERE relation::text ~ '^(byage|\d+)$'}), '0', 'a policy goes with its table');

# a rewrite unseals; the policy seals again
sql(q{ALTER TABLE byrows ALTER COLUMN id TYPE numeric});
until_true(q{SELECT sealed_rows = 5000 FROM kyro.stat_tables WHERE relname = 'byrows'}, 'what a rewrite has unsealed is sealed again');

# ---- compacting ----
sql(q{SET kyro.sealed_load = off; CREATE TABLE packed (id bigint PRIMARY KEY, v text) USING kyro;
INSERT INTO packed SELECT g, md5(g::text) FROM generate_series(1, 50000) g;
CREATE TABLE left_so (id bigint PRIMARY KEY, v text) USING kyro;
INSERT INTO left_so SELECT g, md5(g::text) FROM generate_series(1, 50000) g;
SELECT kyro.snapshot('packed'), kyro.snapshot('left_so')});
# as autovacuum does; and a worker comes where rows are written
sql(q{VACUUM packed, left_so});
sql(q{CREATE TABLE written AS SELECT g FROM generate_series(1, 10) g});
sql(q{SELECT kyro.set_policy('left_so', seal_rows => 1000000), kyro.set_policy('packed', seal_rows => 1000000, compact => true)});
until_done('public.packed', 'compact', 'a table whose log is empty is compacted, if its policy says so');
like(sql(q{SELECT why || ': ' || result FROM kyro.stat_worker WHERE action = 'compact'}), qr/^much of its log is empty: moved [1-9]\d* rows, batches: [1-9]\d*, pages before: \d+, after: \d+$/, 'why, and what came of it');
until_true(q{SELECT pg_relation_size('packed') < 50000 * 55}, 'its file is small');
is(sql(q{SELECT compact, compact_due FROM kyro.stat_policies WHERE relname = 'left_so'}), 'f|', 'what has a policy that does not say so is left alone');
is(sql(q{SELECT pg_relation_size('left_so') > 50000 * 100}), 't', 'and keeps its size');
is(sql(q{SELECT count(*) FROM kyro.verify('packed', deep => true)}), '0', 'it is sound');
is(sql(q{SELECT count(*), sum(id) FROM packed}), '50000|1250025000', 'and has its rows');
sql(q{DELETE FROM packed WHERE id % 5 < 2});
sql(q{VACUUM packed});
sql(q{INSERT INTO written VALUES (0)});
until_true(q{SELECT sealed_rows = 30000 AND live_rows = 30000 FROM kyro.stat_tables WHERE relname = 'packed'}, 'it is compacted when many of its rows are dead, too');
is(sql(q{SELECT why FROM kyro.stat_worker WHERE relation = 'public.packed' AND action = 'compact'}), 'many of its sealed rows are dead', 'and it is said why');

# a table that is always due to be sealed, because others hold the rows of its log, is compacted all the same
sql(q{SET kyro.sealed_load = off; CREATE TABLE held (id bigint PRIMARY KEY, v text) USING kyro WITH (autovacuum_enabled = off);
INSERT INTO held SELECT g, md5(g::text) FROM generate_series(1, 50000) g;
SELECT kyro.snapshot('held');
DELETE FROM held WHERE id % 5 < 2;
VACUUM held;
INSERT INTO held SELECT g, md5(g::text) FROM generate_series(50001, 53000) g;
ANALYZE held});
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; SELECT count(*) FROM (SELECT FROM held WHERE id > 50000 FOR UPDATE) s');
sql(q{SELECT kyro.set_policy('held', seal_rows => 1000, compact => true)});
until_true(q{SELECT due = 'rows' AND compact_due = 'dead' FROM kyro.stat_policies WHERE relname = 'held'}, 'a table is due for both');
sql(q{INSERT INTO written VALUES (0)});
until_true(q{SELECT sum(rows) = 30000 FROM kyro.stat_runs WHERE relname = 'held' AND rows = live_rows}, 'a table that is always due to be sealed is compacted');
is(sql(q{SELECT due FROM kyro.stat_policies WHERE relname = 'held'}), 'rows', 'and is due still');
$holder->query_safe('COMMIT');
$holder->quit;
sql(q{INSERT INTO written VALUES (0)});
until_true(q{SELECT live_rows = 33000 FROM kyro.stat_tables WHERE relname = 'held'}, 'when they let go, the rest is sealed');
is(sql(q{SELECT count(*) FROM kyro.verify('held', deep => true)}), '0', 'and all is sound');
sql(q{DROP TABLE held});

# ---- who else is there ----
sql($_) foreach 'CREATE DATABASE without', 'CREATE DATABASE other', 'CREATE DATABASE closed ALLOW_CONNECTIONS false';
sql(q{CREATE EXTENSION kyrodb; CREATE TABLE o (id bigint) USING kyro; SELECT kyro.set_policy('o', seal_rows => 100);
INSERT INTO o SELECT g FROM generate_series(1, 2000) g}, 'other');
until_done('public.o', 'seal', 'another database', 'other');
is(sql(q{SELECT count(*) FROM kyro.stat_worker WHERE database = 'other'}), '1', 'all databases are seen from each');
sql('CREATE ROLE nobody; CREATE ROLE owner; CREATE ROLE watcher IN ROLE pg_monitor; ALTER TABLE byrows OWNER TO owner; GRANT SELECT ON child2 TO nobody');
is(sql(q{SET ROLE nobody; SELECT string_agg(relation, ' ') FROM kyro.stat_worker}), 'public.child2', 'who may read a table sees what was done to it, others not');
is(sql(q{SET ROLE owner; SELECT string_agg(relation, ' ') FROM kyro.stat_worker}), 'public.byrows', 'so does its owner');
is(sql(q{SET ROLE watcher; SELECT count(DISTINCT database) FROM kyro.stat_worker}), '2', 'pg_monitor sees all');

# ---- errors ----
SKIP:
{
	skip 'needs a build with DEBUG_POINTS=1', 1 unless has_debug_points($node);

	$node->append_conf('postgresql.conf', "kyro.debug_error = 'seal-written'\n");
	$node->reload;
	sql(q{INSERT INTO byrows SELECT g, 'w' FROM generate_series(5001, 10000) g});
	until_true(q{SELECT error = 'error at debug point "seal-written"' AND failures >= 2 AND next > finished + interval '3 s' FROM kyro.stat_worker WHERE relation = 'public.byrows'}, 'an error is kept, and the next try put off further each time');
	is(sql(q{GRANT SELECT ON byrows TO nobody; SET ROLE nobody; SELECT error IS NULL AND result IS NULL AND failures > 0 FROM kyro.stat_worker WHERE relation = 'public.byrows'}), 't', 'its text is not for all');
	sql(q{INSERT INTO drift SELECT hashint4(g)::bigint % 2000000 FROM generate_series(1, 60000) g});
	until_true(q{SELECT splits_since <= 5 AND rebuilds > 1 FROM kyro.stat_indexes WHERE indexrelname = 'drift_k'}, 'meanwhile all else goes on');
	$node->append_conf('postgresql.conf', "kyro.debug_error = ''\n");
	$node->reload;
	until_true(q{SELECT error IS NULL AND failures = 0 AND result ~ 'sealed 5000' FROM kyro.stat_worker WHERE relation = 'public.byrows'}, 'until it goes through');

	# ---- others want a lock ----
	my $control = $node->background_psql('postgres');
	my $at = 'SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = \'kyrodb worker\' AND wait_event = \'advisory\'';

	$control->query_safe("SELECT pg_advisory_lock(hashtextextended('worker-retrain', 0))");
	sql(q{INSERT INTO drift SELECT hashint4(g)::bigint % 3000000 FROM generate_series(1, 60000) g});
	until_true($at, 'a worker in the middle of its work');
	sql(q{BEGIN; LOCK TABLE drift IN ACCESS EXCLUSIVE MODE; COMMIT});
	until_true(q{SELECT result ~ '^stepped back' AND failures = 0 FROM kyro.stat_worker WHERE relation = 'public.drift_k'}, 'gives way to who wants its table');
	until_true($at, 'and comes back');
	sql(q{DROP INDEX drift_k});
	until_true(q{SELECT result ~ '^stepped back' FROM kyro.stat_worker WHERE relation = 'public.drift_k'}, 'also if that drops the index');

	$control->quit;
}

# ---- a database is copied, or dropped ----
# one page, and a worker sleeps: it would take a minute for this
$node->append_conf('postgresql.conf', "kyro.cost_limit = 1\nkyro.cost_delay = 100ms\n");
$node->reload;
my $there = q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'kyrodb worker' AND datname = 'other' AND query ~ 'sealing table public.o '};
sql(q{SELECT kyro.set_policy('o', seal_rows => 100, batch => 100); INSERT INTO o SELECT g FROM generate_series(1, 30000) g}, 'other');
until_true($there, 'a worker in a database');
sql(q{CREATE DATABASE copy TEMPLATE other});
is(sql(q{SELECT count(*) FROM o}, 'copy'), '32000', 'lets it be copied');
until_true($there, 'and goes on');
sql(q{DROP DATABASE other});
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'kyrodb worker' AND datname = 'other'}), '0', 'or be dropped');
sql(q{DROP DATABASE copy});
is(sql(q{SELECT count(*) FROM kyro.stat_worker WHERE action = 'visit'}), '0', 'which is no failure');
until_true(q{SELECT count(*) = 0 FROM kyro.stat_worker WHERE coalesce(database, 'other') IN ('other', 'copy')}, 'what was done there is forgotten');
$node->append_conf('postgresql.conf', "kyro.cost_limit = 200\nkyro.cost_delay = 2ms\n");
$node->reload;

sql(q{CREATE DATABASE leaving});
sql(q{CREATE EXTENSION kyrodb; CREATE TABLE l (k bigint); CREATE INDEX ON l USING kyro_rmi (k)}, 'leaving');
sql(q{DROP EXTENSION kyrodb CASCADE; INSERT INTO l VALUES (1)}, 'leaving');
sql(q{DROP DATABASE leaving});

# ---- a worker is killed ----
sql('CREATE TABLE after_crash (id bigint) USING kyro');
sql(q{SELECT kyro.set_policy('after_crash', seal_rows => 100)});
$node->append_conf('postgresql.conf', "restart_after_crash = on\n");
$node->append_conf('postgresql.conf', "kyro.debug_crash = 'seal-listed'\n") if has_debug_points($node);
$node->reload;
if (has_debug_points($node))
{
	$node->psql('postgres', q{INSERT INTO after_crash SELECT g FROM generate_series(1, 2000) g});
	$node->wait_for_log(qr/all server processes terminated; reinitializing/);
	ok($node->poll_query_until('postgres', q{SELECT error ~ 'the server crashed' AND failures > 0 AND next > finished AND why ~ 'rows in the log' FROM kyro.stat_worker WHERE relation = 'public.after_crash'}), 'the crash of a worker is kept');
	# each time it does so again, and later
	ok($node->poll_query_until('postgres', q{SELECT failures > 1 AND next >= finished + interval '4 s' FROM kyro.stat_worker WHERE relation = 'public.after_crash'}), 'and when it crashes again');
	$node->append_conf('postgresql.conf', "kyro.debug_crash = ''\n");
	$node->poll_query_until('postgres', 'SELECT pg_reload_conf()');
}
until_true(q{SELECT sealed_rows = 2000 FROM kyro.stat_tables WHERE relname = 'after_crash'}, 'after a crash in a worker the autopilot goes on') if has_debug_points($node);

# ---- off and on ----
$node->append_conf('postgresql.conf', "kyro.autopilot = off\n");
$node->reload;
until_true(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'kyrodb worker'}, 'off: no worker');
sql(q{INSERT INTO after_crash SELECT g FROM generate_series(1, 1000) g});
is(sql(q{SELECT due FROM kyro.stat_policies WHERE relname = 'after_crash'}), 'rows', 'what is due waits');

# ---- a dump, and a standby ----
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('autopilot_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "kyro.autopilot = on\n");
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'kyrodb'}), '0', 'on a standby it does not run');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM kyro.stat_policies}), sql(q{SELECT count(*) FROM kyro.stat_policies}), 'though policies are seen there');
$standby->promote;
ok($standby->poll_query_until('postgres', q{SELECT log_rows = 0 AND sealed_rows = 3000 FROM kyro.stat_tables WHERE relname = 'after_crash'}), 'after promotion it does');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM kyro.verify('after_crash', deep => true)}), '0', 'and all is sound');
$standby->stop;

sql('CREATE DATABASE restored');
my $dump = "$PostgreSQL::Test::Utils::tmp_check/policies.dump";
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('restored'), $dump ], 'pg_restore');
my $policies = q{SELECT string_agg(p::text, ';' ORDER BY p.relation::text) FROM kyro.policies p};
is(sql($policies, 'restored'), sql($policies), 'policies are dumped and restored');
$node->append_conf('postgresql.conf', "kyro.autopilot = on\n");
$node->reload;
until_true(q{SELECT sealed_rows > 0 FROM kyro.stat_tables WHERE relname = 'child2'}, 'on: what a restore has unsealed is sealed again', 'restored');

# a launcher that is ended comes back
my $launcher = sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'kyrodb launcher'});
sql("SELECT pg_terminate_backend($launcher)");
until_true("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'kyrodb launcher' AND pid <> $launcher", 'a launcher that is ended comes back');

# ---- warming up ----
sql(q{CREATE TABLE "W a,rm" (k bigint); CREATE INDEX "I, ""x""" ON "W a,rm" USING kyro_rmi (k); INSERT INTO "W a,rm" SELECT hashint8(g) FROM generate_series(1, 20000) g;
SELECT kyro.rebuild('"I, ""x"""');  -- so that nobody does it while we count pages
CREATE TABLE tree (k bigint, d int) PARTITION BY LIST (d); CREATE TABLE tree1 PARTITION OF tree FOR VALUES IN (1); CREATE INDEX tree_k ON tree USING kyro_rmi (k)});
$node->append_conf('postgresql.conf', q{kyro.autowarm = 'restored.public.child2, postgres.public.nowhere, postgres.public."I, ""x""", , postgres.public.tree_k, postgres.public.byrows'} . "\nshared_buffers = 32MB\n");
$node->restart;
until_true(q{SELECT count(*) = 4 FROM kyro.stat_worker WHERE action = 'warm' AND finished IS NOT NULL AND database = 'postgres'}, 'what is named is read at the start');
is(sql(q{SELECT split_part(result, ' ', 1)::bigint * 8192 = pg_relation_size('"I, ""x"""') FROM kyro.stat_worker WHERE action = 'warm' AND relation ~ 'I, '}), 't', 'all pages of it');
like(sql(q{SELECT result FROM kyro.stat_worker WHERE action = 'warm' AND relation ~ 'nowhere'}), qr/^stepped back: relation .* does not exist/, 'but for what does not exist');
like(sql(q{SELECT string_agg(result, ';') FROM kyro.stat_worker WHERE action = 'warm' AND relation ~ 'tree_k|byrows'}), qr/^\d+ pages;\d+ pages$/, 'trees and tables, too');
is(sql(q{BEGIN; SET LOCAL enable_seqscan = off; EXPLAIN (ANALYZE, BUFFERS, COSTS off, TIMING off, SUMMARY off) SELECT count(k) FROM "W a,rm" WHERE k > 0; COMMIT}) =~ /Index.*?Buffers: shared hit=\d+\n/s ? 'hit' : 'read', 'hit', 'a scan finds it in memory');
# a server without much memory
$node->append_conf('postgresql.conf', "shared_buffers = 1MB\nkyro.autowarm = 'postgres.public.\"I, \"\"x\"\"\"'\n");
sql(q{INSERT INTO "W a,rm" SELECT hashint8(g) FROM generate_series(20001, 200000) g});
cmp_ok(sql(q{SELECT pg_relation_size('"I, ""x"""')}), '>', 1024 * 1024, 'an index larger than memory');
$node->restart;
until_true(q{SELECT result ~ '^memory is full after \d+ pages' FROM kyro.stat_worker WHERE action = 'warm'}, 'stops when memory is full');

# Of errors there are those that were made.
my $log = slurp_file($node->logfile);
my @errors = grep { !/error at debug point|terminating|recovery mode|starting up|not yet accepting|shutting down|current transaction/ } $log =~ /^.*(?:ERROR|FATAL|PANIC): .*$/mg;
is_deeply(\@errors, [], 'no error in the log but those that were made');
$node->stop;
done_testing();
