# Entries of dead sealed rows leave indexes before the record that prunes their ledger tuples, if
# scans have found them dead.  Then the record that removes them tells standbys, which
# wait for, or cancel, whoever still sees the rows; and the same after a crash.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;

delete $ENV{KYRO_CARRIER};
my $node = new_node('store_dead', init => [ allows_streaming => 1, extra => ['--data-checksums'] ],
	conf => "hot_standby_feedback = off\nmax_standby_streaming_delay = -1\nwal_consistency_checking = 'generic,heap,heap2,btree,kyro_rmi'\n");
my $set = 'SET enable_seqscan = off; SET enable_bitmapscan = off;';
my @rows = (1 .. 60);

add_index_checks($node, 'postgres');
# One leaf of 300 entries each, a log page with much room: nobody prunes it.
$node->safe_psql('postgres', qq{
CREATE TABLE $_ (k bigint, v text) USING kyro WITH (autovacuum_enabled = off);
INSERT INTO $_ SELECT g, 'v' FROM generate_series(1, 300) g;
SELECT rows FROM kyro.snapshot('$_');
VACUUM $_;
CREATE INDEX ${_}_k ON $_ USING $_ (k);
}) foreach qw(btree kyro_rmi);
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('store_dead_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;

sub seen { return $_[0]->safe_psql('postgres', "$set SELECT count(v), min(k) FROM $_[1] WHERE k <= 60"); }
sub size { return $node->safe_psql('postgres', "SELECT pg_relation_size('$_[0]')"); }

foreach my $am (qw(btree kyro_rmi))
{
	my $reader = $standby->background_psql('postgres');

	$node->wait_for_catchup($standby);
	$reader->query_safe("$set BEGIN ISOLATION LEVEL REPEATABLE READ");
	is($reader->query_safe("SELECT count(v), min(k) FROM $am WHERE k <= 60"), '60|1', "$am: an old snapshot on the standby");
	my $pages = size("${am}_k");
	my $blocks = size($am);
	my $before = $node->lsn('insert');
	$node->safe_psql('postgres', "$set DELETE FROM $am WHERE k <= 60");
	is(seen($node, $am), '0|', "$am: deleted");
	seen($node, $am) foreach 1 .. 3;
	# a btree removes what was found dead when its leaf is full
	$node->safe_psql('postgres', "INSERT INTO $am SELECT g, 'w' FROM generate_series(1001, 1120) g");
	is(size("${am}_k"), $pages, "$am: entries of dead rows have made room");
	is($node->safe_psql('postgres', "SELECT matches FROM kyro.trace('kyro_rmi_k', 7)"), 0, "$am: as one sees") if $am eq 'kyro_rmi';
	unlike(wal_of($node, $before, $am), qr/PRUNE/, "$am: nobody has pruned the log");
	ok($standby->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = 'RecoveryConflictSnapshot'}),
		"$am: replay waits for the query that sees the rows");
	is($reader->query_safe("SELECT count(v), min(k) FROM $am WHERE k <= 60"), '60|1', "$am: which still finds them");
	$reader->query_safe('COMMIT');
	$reader->quit;
	$node->wait_for_catchup($standby);
	is(seen($standby, $am), '0|', "$am: then the standby goes on");
	is($standby->safe_psql('postgres', "$set SELECT count(v), sum(k) FROM $am WHERE k > 0"),
		$node->safe_psql('postgres', "SET enable_indexscan = off; SET enable_indexonlyscan = off; SELECT count(v), sum(k) FROM $am"), "$am: and agrees");
}

# ---- scans prune ledger tuples themselves, also after a crash ----
$node->safe_psql('postgres', q{
CREATE TABLE many (k bigint, v text) USING kyro WITH (autovacuum_enabled = off);
INSERT INTO many SELECT g, 'v' FROM generate_series(1, 20000) g;
CREATE INDEX many_k ON many (k);
CREATE INDEX many_r ON many USING kyro_rmi (k);
SELECT rows FROM kyro.snapshot('many');
VACUUM many;
DELETE FROM many WHERE k <= 15000;
});
$node->stop('immediate');
$node->start;
my $before = $node->lsn('insert');
is($node->safe_psql('postgres', "$set SELECT min(k), count(v) FROM many WHERE k > 0"), '15001|5000', 'after a crash');
like(wal_of($node, $before, 'many'), qr/PRUNE/, 'a scan prunes the log pages that it is led to');
is($node->safe_psql('postgres', "$set SELECT min(k), count(v) FROM many WHERE k > 0"), '15001|5000', 'once more');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', "$set SELECT min(k), count(v) FROM many WHERE k > 0"), '15001|5000', 'after another');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kyro.verify('many', deep => true)}), 0, 'and sound');
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "$set SELECT min(k), count(v) FROM many WHERE k > 0"), '15001|5000', 'the standby too');
log_lacks($standby, 'inconsistent page|PANIC|TRAP', 'replayed as it was done');
log_lacks($node, 'inconsistent page|PANIC|TRAP', 'and nothing bad in the log');
$standby->stop;
$node->stop;
done_testing();
