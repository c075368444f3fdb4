# Standbys that do not tell their snapshots: before the pages of a dead run are given to others, replay waits for queries that may take them for
# pages of the run, or cancels them.  specs/store_retired.spec is about the primary.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;

my $primary = new_node('retired', init => [ allows_streaming => 1 ], conf => "wal_consistency_checking = 'generic,heap,heap2'\n");
$primary->safe_psql('postgres', q{
CREATE EXTENSION kyrodb;
CREATE FUNCTION rest(c refcursor, OUT n bigint, OUT ids bigint, OUT sum bigint) LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	n := 0; ids := 0; sum := 0;
	LOOP
		FETCH c INTO r;
		EXIT WHEN NOT FOUND;
		n := n + 1; ids := ids + r.id; sum := sum + r.n;
	END LOOP;
END $$;
});
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('retired_standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = off\n");
$standby->start;

# Three runs, of which that in the middle has no row that anyone sees.  The links of the last one come after its links, so that there is nothing to cut
# off, for which replay would have to wait.
sub prepare
{
	my ($how) = @_;

	# the last fails: kyro.compact() would vacuum
	$primary->psql('postgres', $_) foreach 'DROP TABLE IF EXISTS rt', q{CREATE TABLE rt (id int, n int, v text DEFAULT repeat('v', 200)) USING kyro},
	  'CREATE INDEX rt_id ON rt USING kyro_rmi (id)', (map { ('INSERT INTO rt SELECT g, 0 FROM generate_series(' . (1000 * $_ + 1) . ', ' . (1000 * $_ + 1000) . ') g', q{SELECT kyro.snapshot('rt')}) } 0 .. 2),
	  'VACUUM rt', 'DELETE FROM rt WHERE id = 1001', 'SELECT FROM rt WHERE id = 2500 FOR UPDATE', $how eq 'moved' ? ('DELETE FROM rt WHERE id BETWEEN 1001 AND 2000 AND id % 10 > 0', "SET kyro.debug_error = 'compact-batch-done'; CALL kyro.compact('rt')") : 'DELETE FROM rt WHERE id BETWEEN 1001 AND 2000';
}

foreach my $delay ('-1', '50ms')
{
	foreach my $how (qw(seq bitmap index moved))
	{
		my $name = "$how, max_standby_streaming_delay $delay";
		my $rows = $how eq 'moved' ? 2098 : 1998;

		$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = $delay\n");
		$standby->reload;
		prepare($how);
		$primary->wait_for_catchup($standby);
		my $old = $standby->background_psql('postgres', on_error_stop => 0);
		$old->query_safe('SELECT count(*) FROM rt');
		$old->query_safe("\\set VERBOSITY verbose\nBEGIN ISOLATION LEVEL REPEATABLE READ");
		$old->query_safe('SET LOCAL enable_seqscan = ' . ($how =~ /seq|moved/ ? 'on' : 'off') . '; SET LOCAL enable_bitmapscan = ' . ($how eq 'bitmap' ? 'on' : 'off') . '; SET LOCAL enable_indexscan = ' . ($how eq 'bitmap' ? 'off' : 'on'));
		$old->query_safe('DECLARE c CURSOR FOR SELECT id, n FROM rt' . ($how =~ /seq|moved/ ? '' : ' WHERE id > 0'));
		$old->query_safe('FETCH 2 FROM c');
		my $sum = $primary->safe_psql('postgres', 'SELECT sum(id) FROM rt');

		is($primary->safe_psql('postgres', q{SELECT count(*), sum(live_rows), sum((state = 'dead')::int) FROM kyro.stat_runs WHERE relname = 'rt'}), $how eq 'moved' ? '4|2100|0' : '3|2000|0', "$name: no run is called dead");
		# nobody on the primary has a snapshot: the first finds the run dead, the second frees it; replay does not wait for a lock, to cut off the end
		$primary->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) rt') foreach 1, 2;
		is($primary->safe_psql('postgres', q{SELECT count(*) FROM kyro.stat_runs WHERE relname = 'rt' AND state = 'dead'}), 0, "$name: the primary has freed the run");
		$primary->safe_psql('postgres', 'INSERT INTO rt SELECT g, 1 FROM generate_series(5001, 6000) g');
		$primary->safe_psql('postgres', q{SELECT kyro.snapshot('rt')});
		my $lsn = $primary->lsn('insert');
		$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
		$standby->poll_query_until('postgres', qq{SELECT pg_last_wal_replay_lsn() >= '$lsn' OR EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup' AND (wait_event LIKE 'RecoveryConflict%' OR wait_event_type IN ('Lock', 'BufferPin')))})
		  or die 'no replay';
		if ($delay eq '-1')
		{
			is($standby->safe_psql('postgres', q{SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'}), 'RecoveryConflictSnapshot', "$name: replay waits");
			like($old->query_safe(q{SELECT * FROM rest('c')}), qr/^$rows\|\d+\|0$/, "$name: the query sees what it saw");
			$old->query_safe('COMMIT');
		}
		else
		{
			my $out = '';
			eval { local $SIG{PIPE} = 'IGNORE'; $out = $old->query(q{SELECT * FROM rest('c')}); 1 } or $out = 'FATAL: 40001';
			like($out . $old->{stderr}, qr/40001|conflict with recovery/, "$name: the query is cancelled");
		}
		eval { $old->quit };
		$primary->wait_for_catchup($standby);
		is($standby->safe_psql('postgres', 'SELECT count(*), sum(id), sum(n) FROM rt'), ($rows + 2 + 1000) . '|' . ($sum + 5500500) . '|1000', "$name: the standby has the new rows");
		is($standby->safe_psql('postgres', q{SELECT * FROM kyro.verify('rt', deep => true)}), '', "$name: the standby is sound");
	}
}
log_lacks($standby, 'PANIC|inconsistent page|TRAP|invalid page', "nothing bad in the standby's log");
$standby->stop;
$primary->stop;
done_testing();
