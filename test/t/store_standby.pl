# The load of store_twin.pl on a primary with a streaming standby: what the
# standby answers is right at any time, or a conflict with replay, and when it has
# caught up it is equal in every way.  Then it is promoted and goes on.
#
# Runs with both carriers.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use StoreTwin;
use Test::More;

my $seconds = $ENV{KYRO_SECONDS} // 8;
my $seed = twin_seed();
my $am = twin_am();

note("seed $seed, access method $am");
my $primary = new_node('store_primary', init => [ allows_streaming => 1, extra => ['--data-checksums'] ],
	conf => "max_connections = 40\nmax_prepared_transactions = 20\nwal_consistency_checking = 'generic,heap,heap2'\n");
twin_setup($primary, unique => 'kyro_rmi');
$primary->safe_psql('postgres', "SELECT tw_seal('a', 400)");
$primary->backup('backup');

my $standby = PostgreSQL::Test::Cluster->new('store_standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
# conflicts come soon
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = 100ms\nwal_receiver_status_interval = 1s\n");
$standby->start;

# A session that begins before, and lives until after the promotion: what it
# remembers of tables must follow.
my $long = $standby->background_psql('postgres');
$long->query_safe(q{PREPARE by_key AS SELECT a.*, b.* FROM a FULL JOIN b ON a.id = b.id WHERE (a.id IS NULL OR b.id IS NULL OR a.* IS DISTINCT FROM b.*)});
$long->query_safe(q{PREPARE one AS SELECT (SELECT a FROM a WHERE id = $1)::text IS NOT DISTINCT FROM (SELECT b FROM b WHERE id = $1)::text});
is($long->query_safe('SELECT count(*) FROM a'), $primary->safe_psql('postgres', 'SELECT count(*) FROM b'), 'the standby has the rows');

# ---- under load ----
my $load = twin_start($primary, $seconds, writers => 4, maintenance => 1, seed => $seed);
my $readers = twin_start($standby, $seconds, readers => 2, seed => $seed + 1);
is(twin_join($readers), '', 'sessions on the standby saw nothing wrong while it replayed');
is(twin_join($load), '', 'sessions on the primary met nothing unexpected');
twin_settle($primary, $seed);

# What StoreTwin.pm excuses is that, and nothing else.
my ($gone, $there) = split /,/, $primary->safe_psql('postgres', q{INSERT INTO tw_replaced VALUES ('a_k'::regclass); SELECT 'a_k'::regclass::oid || ',' || 'a_t'::regclass::oid});
$primary->safe_psql('postgres', 'REINDEX INDEX CONCURRENTLY a_k');
$primary->wait_for_catchup($standby);
sub Ended::finish { }
sub heard
{
	my ($node, $oid) = @_;

	return twin_join({ node => $node, sessions => [ { kind => 'reader', number => 0, handle => bless({}, 'Ended'), out => "psql:<stdin>:1: ERROR:  XX000: could not open relation with OID $oid\n    LOCATION:  relation_open\ntotal 0 0\n" } ] });
}
is(heard($standby, $gone), '', 'a standby may find an index gone that was replaced');
like(heard($standby, $there), qr/XX000.*\n.*LOCATION/, 'but no other');
like(heard($primary, $gone), qr/XX000/, 'and a primary none');
twins_agree($primary, 'twins are equal on the primary');
twins_agree($standby, 'twins are equal on the standby');
is($long->query_safe('EXECUTE by_key'), '', 'and to a session that was there before');
is($standby->safe_psql('postgres', "SELECT tw_state()"), $primary->safe_psql('postgres', "SELECT tw_state()"), 'the standby has the same rows as the primary');

# ---- old snapshots on the standby ----
# With a replay that waits, they are right; with one that does not, right or cancelled.
sub prepare_rows
{
	$primary->safe_psql('postgres', q{SELECT tw_pair('rows', 'INSERT INTO $t (id, uq, s) SELECT i, i * 1000, repeat(''x'', 2500) FROM generate_series(400000, 400200) i ON CONFLICT (id) DO UPDATE SET n = $t.n + 1 RETURNING $t.*')});
}
# Replay has come this far, or waits for a query.
sub wait_for_replay
{
	my $lsn = $primary->lsn('insert');

	$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
	$standby->poll_query_until('postgres', qq{SELECT pg_last_wal_replay_lsn() >= '$lsn' OR EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup'
		AND (wait_event LIKE 'RecoveryConflict%' OR wait_event_type = 'Lock'))}) or die 'no replay';
}
foreach my $delay ('-1', '50ms')
{
	foreach my $work (['a seal', "SELECT tw_seal('a', NULL)"], ['a seal and VACUUM', "SELECT tw_seal('a', NULL)", 'VACUUM (INDEX_CLEANUP ON) a'],
		['updates, deletes and VACUUM', q{SELECT tw_pair('count', 'UPDATE $t SET n = n + 1, k = n WHERE id % 3 = 1'), tw_pair('count', 'DELETE FROM $t WHERE id BETWEEN 400000 AND 400100')}, 'VACUUM (INDEX_CLEANUP ON) a', 'VACUUM (FREEZE) a'],
		['VACUUM FULL', 'VACUUM FULL a'], ['reuse of the log', "SELECT tw_seal('a', NULL)", 'VACUUM (INDEX_CLEANUP ON) a', q{SELECT tw_pair('count', 'INSERT INTO $t (id, uq) SELECT i, i * 1000 FROM generate_series(410000, 411000) i'), tw_pair('count', 'DELETE FROM $t WHERE id BETWEEN 410000 AND 411000')}, 'VACUUM a', 'CHECKPOINT'])
	{
		my ($name, @steps) = @$work;

		prepare_rows();
		$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = $delay\n");
		$standby->reload;
		$primary->wait_for_catchup($standby);
		my $old = $standby->background_psql('postgres', on_error_stop => 0);
		$old->query_safe("\\set VERBOSITY verbose\nBEGIN ISOLATION LEVEL REPEATABLE READ");
		$old->query_safe('SELECT tw_mark()');
		$old->query_safe('DECLARE ca CURSOR FOR SELECT * FROM a ORDER BY id');
		$old->query_safe('DECLARE cb CURSOR FOR SELECT * FROM b ORDER BY id');
		$old->query_safe("SELECT tw_fetch('ca', 'cb', 20)");
		$primary->safe_psql('postgres', $_) foreach @steps;
		wait_for_replay();
		my $cancelled = '';
		foreach my $q ("SELECT tw_fetch('ca', 'cb', 500)", 'SELECT tw_compare_mark()', (map { "SELECT tw_probe(0.$_)" } 11 .. 25), "SELECT tw_fetch('ca', 'cb', 10000)", 'COMMIT')
		{
			last if $cancelled;
			# a terminated session cannot be asked any more
			my $err = '';
			eval { local $SIG{PIPE} = 'IGNORE'; $old->query($q); 1 } or $err = 'FATAL: 40001';
			$err .= $old->{stderr};
			$old->{stderr} = '';
			$cancelled = $err if $err =~ /ERROR|FATAL/;
		}
		if ($delay eq '-1')
		{
			is($cancelled, '', "$name: an old snapshot on the standby sees what it saw, replay waits");
		}
		else
		{
			ok($cancelled eq '' || $cancelled =~ /40001/, "$name: an old snapshot on the standby sees what it saw or is cancelled") or diag($cancelled);
			note($cancelled ? 'cancelled' : 'not cancelled');
		}
		eval { $old->quit };
		$primary->wait_for_catchup($standby);
		twins_agree($standby, "$name: twins are equal on the standby");
	}
}
my ($rc, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT * FROM kyro.snapshot('a')");
like($err, qr/25006/, 'a standby does not seal') if $am eq 'kyro';
log_lacks($standby, 'PANIC|inconsistent page|TRAP|invalid page', "nothing bad in the standby's log");

# ---- promotion ----
# The primary dies in the middle of a load, perhaps of a seal.
$load = twin_start($primary, 60, writers => 3, maintenance => 1, seed => $seed + 2);
$primary->poll_query_until('postgres', q{SELECT count(*) > 4 FROM pg_stat_activity WHERE backend_type = 'client backend'});
$primary->poll_query_until('postgres', q{SELECT pg_current_wal_lsn() > '} . $primary->lsn('insert') . q{'::pg_lsn + 1000000});
$primary->stop('immediate');
is(twin_join($load, 1), '', 'sessions met nothing unexpected when the primary died');
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
twin_settle($standby, $seed);
twins_agree($standby, 'twins are equal after promotion');
is($long->query_safe('EXECUTE by_key'), '', 'and to the session that was there before');
$long->query_safe(q{SELECT tw_pair('rows', 'UPDATE $t SET n = n + 1, s = ''promoted'' WHERE id % 5 = 0 RETURNING $t.*')});
$long->query_safe(q{SELECT tw_pair('rows', 'DELETE FROM $t WHERE id % 11 = 0 AND NOT EXISTS (SELECT FROM $c WHERE $t.id IN (aid, rid)) RETURNING $t.*')});
$long->query_safe("SELECT tw_seal('a', NULL)");
is($long->query_safe('EXECUTE by_key'), '', 'which writes and seals');
twins_agree($standby, 'twins are equal after that');
$load = twin_start($standby, 3, writers => 3, readers => 1, maintenance => 1, seed => $seed + 3);
is(twin_join($load), '', 'the promoted standby takes the load');
twin_settle($standby, $seed);
is($long->query_safe('EXECUTE by_key'), '', 'twins are equal to the session that was there before');
is($long->query_safe("EXECUTE one($_)"), 't', "row $_ is") foreach (100000, 100007, 33);
twins_agree($standby, 'twins are equal at the end');
$long->quit;
log_lacks($standby, 'PANIC|inconsistent page|TRAP|invalid page|terminated by signal', 'nothing bad in the log of the promoted');
$standby->stop;
done_testing();
