# A seal that has to wait neither cancels an autovacuum that is in its way nor holds
# up writers, however long it waits and however often it is tried.  Autovacuum is
# stopped at a debug point; needs a build with DEBUG_POINTS=1, as make check makes it.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;

my $node = new_node('patience', conf => "deadlock_timeout = 100ms\nautovacuum = on\nautovacuum_naptime = 1s\nmax_prepared_transactions = 2\n");
$node->safe_psql('postgres', 'CREATE EXTENSION kyrodb');
need_debug_points($node);
$node->safe_psql('postgres', q{
CREATE TABLE p (id int PRIMARY KEY, v int) USING kyro WITH (autovacuum_vacuum_threshold = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_analyze_threshold = 1000000);
INSERT INTO p SELECT g, 0 FROM generate_series(1, 500) g;
});

my $control = $node->background_psql('postgres');
my $worker = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND query LIKE '%public.p%' AND wait_event = 'advisory'};

# Stopped in a VACUUM that holds the table.
$control->query_safe(q{SELECT pg_advisory_lock(hashtextextended('vacuum-resolved', 0))});
$node->safe_psql('postgres', 'DELETE FROM p WHERE id <= 100');
ok($node->poll_query_until('postgres', "SELECT EXISTS ($worker)"), 'autovacuum is at work');
my $pid = $node->safe_psql('postgres', $worker);
for my $try (1 .. 3)
{
	my ($rc, $out, $err) = $node->psql('postgres', q{SET lock_timeout = '700ms'; SELECT kyro.snapshot('p')});

	like($err, qr/could not lock "p" to seal it within lock_timeout.*DETAIL:  Processes that use it: $pid\./s, 'a seal gives up after lock_timeout');
	is($node->safe_psql('postgres', $worker), $pid, 'autovacuum goes on');
}

# A seal without lock_timeout; writers pass it.
my $seal = $node->background_psql('postgres', on_error_stop => 0);
my $sealer = $seal->query_safe('SELECT pg_backend_pid()');
send_query($seal, q{SELECT 'rows ' || rows FROM kyro.snapshot('p');});
ok($node->poll_query_until('postgres', "SELECT wait_event = 'virtualxid' FROM pg_stat_activity WHERE pid = $sealer"), 'a seal waits');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE pid = $sealer AND relation = 'p'::regclass"), '0', 'not in the queue of the table');
$node->safe_psql('postgres', q{SET lock_timeout = '60s'; INSERT INTO p VALUES (1001, 1); UPDATE p SET v = 1 WHERE id = 200; DELETE FROM p WHERE id = 201});
is($node->safe_psql('postgres', $worker), $pid, 'autovacuum goes on');
$control->query_safe(q{SELECT pg_advisory_unlock(hashtextextended('vacuum-resolved', 0))});
like($seal->query_until(qr/rows \d+/, ''), qr/rows 400/, 'sealed when autovacuum has finished');
ok($node->poll_query_until('postgres', q{SELECT autovacuum_count > 0 FROM pg_stat_user_tables WHERE relname = 'p'}), 'which it has');
unlike(slurp_file($node->logfile), qr/canceling autovacuum task/, 'no autovacuum was cancelled');

# A seal waits for a prepared transaction, and can be cancelled.
$node->safe_psql('postgres', q{BEGIN; INSERT INTO p VALUES (1002, 1); ANALYZE p; PREPARE TRANSACTION 'p'});
send_query($seal, q{SELECT kyro.snapshot('p');});
ok($node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' AND query LIKE '%snapshot%' FROM pg_stat_activity WHERE pid = $sealer"), 'a seal waits for a prepared transaction');
$node->safe_psql('postgres', q{INSERT INTO p VALUES (1003, 1)});
$node->safe_psql('postgres', "SELECT pg_cancel_backend($sealer)");
ok($node->poll_query_until('postgres', "SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $sealer"), 'and is cancelled');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE pid = $sealer"), '0', 'nothing is left of it');

# One cancel each, among tries that end every millisecond: none is taken for the end of a try.
$node->safe_psql('postgres', 'CREATE SEQUENCE cancels');
send_query($seal, q{SET deadlock_timeout = '4ms';
DO $$
BEGIN
	FOR i IN 1 .. 200 LOOP
		BEGIN
			PERFORM nextval('cancels');
			PERFORM kyro.snapshot('p');
			RAISE 'sealed beside a prepared transaction';
		EXCEPTION WHEN query_canceled THEN NULL;
		END;
	END LOOP;
	PERFORM nextval('cancels');
END $$;});
is($node->safe_psql('postgres', qq{
CREATE FUNCTION seen() RETURNS bigint LANGUAGE sql AS 'SELECT last_value FROM cancels WHERE is_called';
CREATE FUNCTION waits() RETURNS boolean LANGUAGE sql AS 'SELECT pg_stat_clear_snapshot() IS NOT NULL AND EXISTS (SELECT FROM pg_stat_activity WHERE pid = $sealer AND wait_event_type = ''Lock'')';
CREATE FUNCTION answered() RETURNS bigint LANGUAGE plpgsql AS \$\$
DECLARE
	patience int;
BEGIN
	FOR i IN 1 .. 200 LOOP
		patience := 30000;
		WHILE patience > 0 AND NOT (seen() IS NOT DISTINCT FROM i AND waits()) LOOP
			PERFORM pg_sleep(0.001);
			patience := patience - 1;
		END LOOP;
		PERFORM pg_cancel_backend($sealer);
		WHILE patience > 0 AND seen() IS NOT DISTINCT FROM i LOOP
			PERFORM pg_sleep(0.001);
			patience := patience - 1;
		END LOOP;
		IF patience = 0 THEN
			RETURN i - 1;
		END IF;
	END LOOP;
	RETURN 200;
END \$\$;
SELECT answered();}), '200', 'of 200 cancels all are heard');

$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
is($node->safe_psql('postgres', q{SELECT rows FROM kyro.snapshot('p')}), '2', 'then there are two rows');
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT id) FROM p}), '402|402', 'all are there');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kyro.verify('p', deep => true)}), '0', 'and sound');

# Writers without a pause, of which some is always at work: the seal gets its turn.
$node->safe_psql('postgres', q{CREATE TABLE busy (id bigserial PRIMARY KEY, v int) USING kyro; CREATE TABLE stop (x int)});
my $script = PostgreSQL::Test::Utils::tempdir . '/busy.sql';
append_to_file($script, "BEGIN;\nINSERT INTO busy (v) VALUES (1);\nSELECT pg_sleep(0.005);\nCOMMIT;\nSELECT 1 / (count(*) = 0)::int FROM stop;\n");
my $bench = IPC::Run::start([ 'pgbench', '-n', '-c', '6', '-j', '2', '-t', '1000000', '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', \my $bench_out, '2>', \my $bench_err);
ok($node->poll_query_until('postgres', 'SELECT count(*) > 50 FROM busy'), 'writers are at work');
for my $try (1 .. 3)
{
	cmp_ok($node->safe_psql('postgres', q{SET lock_timeout = '120s'; SELECT rows FROM kyro.snapshot('busy')}), '>', 0, 'sealed beside them');
}
$node->safe_psql('postgres', 'INSERT INTO stop VALUES (1)');
$bench->finish;
is($node->safe_psql('postgres', 'SELECT count(*) = count(DISTINCT id) FROM busy'), 't', 'each row is there once');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kyro.verify('busy', deep => true)}), '0', 'and sound');

$seal->quit;
$control->quit;
$node->stop;
done_testing();
