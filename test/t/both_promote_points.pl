# A standby is promoted while its primary stands in the middle of a seal, an
# update of a sealed row, VACUUM, a split, or writing a directory: what had not
# ended there never was, for new sessions and for one that was there before, and
# the promoted goes on with it.  Needs a build with DEBUG_POINTS=1, as make check
# makes it.
#
# Runs with both carriers.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;

my $primary = new_node('promote_primary', init => [ allows_streaming => 1 ], conf => "fsync = off\n");
add_index_checks($primary, 'postgres');
need_debug_points($primary);
add_twice($primary);
# a is a kyro table, b its heap twin
$primary->safe_psql('postgres', q{
CREATE TABLE a (id bigint PRIMARY KEY, k bigint, v text) USING kyro WITH (autovacuum_enabled = off);
CREATE TABLE b (LIKE a INCLUDING ALL) USING heap;
CREATE UNIQUE INDEX a_k ON a USING kyro_rmi (k);
CREATE UNIQUE INDEX b_k ON b USING kyro_rmi (k);
CREATE SEQUENCE ids;
-- rows in order, and rows so close together that leaves are split
CREATE FUNCTION add_rows(n int) RETURNS void LANGUAGE sql AS $$
	SELECT twice(format('INSERT INTO $t SELECT %1$s * 100000 + g, %1$s::bigint * 1000000000 + (g * 7919 %% 10007) * 1000 + g %% 977, md5(g::text) FROM generate_series(1, %2$s) g', nextval('ids'), n))
$$;
CREATE FUNCTION differs() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT 'only in a: ' || x::text FROM (TABLE a EXCEPT ALL TABLE b) x
	UNION ALL SELECT 'only in b: ' || x::text FROM (TABLE b EXCEPT ALL TABLE a) x
$$;
SELECT add_rows(2500) FROM generate_series(1, 2);
SELECT rows FROM kyro.snapshot('a', 2000);
VACUUM ANALYZE a, b;
});
$primary->backup('backup');
my @indexes = (['a', 'k', 'a_k'], ['b', 'k', 'b_k']);

my $delete = q{SELECT twice('DELETE FROM $t WHERE id % 3 = 0 OR id / 100000 = 1')};
foreach my $case (
	[ 'seal-page-stamped', q{SELECT rows FROM kyro.snapshot('a')} ],
	[ 'update-logged', q{SELECT twice('UPDATE $t SET v = ''changed'' WHERE id = (SELECT min(id) FROM $t)')} ],
	[ 'rmi-leaf-made', 'SELECT add_rows(3000)' ],
	[ 'rmi-vacuum-unlinked', 'VACUUM (INDEX_CLEANUP ON) b', $delete ],
	[ 'rmi-dir-model', q{SELECT leaves FROM kyro.rebuild('b_k')} ])
{
	my ($point, $work, $before) = @$case;
	my $standby = PostgreSQL::Test::Cluster->new("promote_$point");
	my ($out, $err) = ('', '');

	$standby->init_from_backup($primary, 'backup', has_streaming => 1);
	$standby->start;
	$primary->safe_psql('postgres', 'SELECT add_rows(500)');
	$primary->safe_psql('postgres', $before) if $before;
	my $state = 'SELECT count(*), sum(k), max(v) FROM a';
	my $want = $primary->safe_psql('postgres', $state);
	my $control = $primary->background_psql('postgres');
	$control->query_safe("SELECT pg_advisory_lock(hashtextextended('$point', 0))");
	my $run = IPC::Run::start([ 'psql', '-XAtq', '-d', $primary->connstr('postgres') . ' application_name=stopped', '-c', $work ], '<', \undef, '>', \$out, '2>', \$err);
	ok($primary->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'stopped' AND (wait_event = 'advisory' OR wait_event = 'Extension')}), "$point: the primary stands there");
	# a commit flushes what the one that stands there has written
	$primary->safe_psql('postgres', 'CREATE TABLE IF NOT EXISTS flushed (); DROP TABLE flushed');
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));

	my $old = $standby->background_psql('postgres');
	$old->query_safe('SET enable_seqscan = off; SET enable_bitmapscan = off');
	is($old->query_safe($state), $want, "$point: the standby has the rows");
	is($old->query_safe('SELECT count(*) FROM generate_series(1, 20) i, LATERAL (SELECT FROM b WHERE k = i OFFSET 0) x'), '0', "$point: a session gets to know the index");
	$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	is($old->query_safe($state), $want, "$point: to a snapshot of before");
	$standby->promote;
	$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no promotion';
	is($old->query_safe($state), $want, "$point: to the same snapshot after promotion");
	$old->query_safe('COMMIT');
	is($old->query_safe($state), $want, "$point: to a session that was there before");
	is($old->query_safe('SELECT * FROM differs()'), '', "$point: the twins are equal to it");
	indexes_agree($standby, 'postgres', "$point: promoted", @indexes);
	# the same again, by the session of before
	$old->query_safe('SELECT add_rows(2000)');
	$old->query_safe($work) if $work !~ /VACUUM/;
	$old->query_safe(q{SELECT rows FROM kyro.snapshot('a')});
	$old->query_safe(q{SELECT twice('UPDATE $t SET k = -k WHERE id % 5 = 1')});
	is($old->query_safe('SELECT * FROM differs()'), '', "$point: the twins are equal after writes");
	$standby->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) a, b');
	indexes_agree($standby, 'postgres', "$point: it takes writes", @indexes);
	is($old->query_safe('SELECT * FROM differs()'), '', "$point: and the session of before sees them");
	$old->quit;
	log_lacks($standby, 'PANIC|TRAP|inconsistent page|invalid page|terminated by signal', "$point: nothing bad in the log");
	$standby->stop('immediate');
	$standby->clean_node;

	$control->query_safe("SELECT pg_advisory_unlock(hashtextextended('$point', 0))");
	$control->quit;
	$run->finish;
	is($err, '', "$point: the primary goes on");
}
indexes_agree($primary, 'postgres', 'the primary is right', @indexes);
is($primary->safe_psql('postgres', 'SELECT * FROM differs()'), '', 'and so are the twins');
$primary->stop;
done_testing();
