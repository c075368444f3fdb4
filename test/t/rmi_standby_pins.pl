# An index-only scan on a standby holds on to a leaf; what it has read there may be removed from
# the leaf, or moved to another by a split or by joining leaves, before VACUUM gives the rows' addresses away.
# VACUUM's replay waits for it all the same, so that it does not take a page of the table for
# visible to all where it has read an entry of a row that was dead before.  An empty leaf goes
# away all the same, even under a walk of the chain.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;

delete $ENV{KYRO_CARRIER};
my $node = new_node('pins', init => [ allows_streaming => 1 ],
	conf => "hot_standby_feedback = off\nmax_standby_streaming_delay = -1\n");
my $set = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;';

add_index_checks($node, 'postgres');
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('pins_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;

# What becomes of the entries of dead rows before VACUUM.  They lie at the end of the first leaf,
# which has enough others before them to be split there.  Rows that come would be a conflict of
# snapshots, so they are undone.
my $split = 'BEGIN; INSERT INTO TABLE SELECT FIRST + g * 7919 % 200000, 1 FROM generate_series(1, 20000) g; ROLLBACK;';
my $kill = "$set SELECT count(n) FROM TABLE WHERE k > 0;";
my %ways = (nothing => '', killed => $kill, split => $split, split_killed => "$split $kill");

foreach my $way (sort keys %ways)
{
	$node->safe_psql('postgres', qq{
CREATE TABLE $way (k bigint, n bigint);
INSERT INTO $way SELECT g * 1000 + (hashint8(g) & 511), 0 FROM generate_series(1, 30000) g;
CREATE INDEX ${way}_k ON $way USING kyro_rmi (k);
VACUUM (FREEZE, ANALYZE) $way;
});

	my $last = $node->safe_psql('postgres', "SELECT max(g) FROM generate_series(1000, 30000000, 1000) g, kyro.trace('${way}_k', g) t WHERE t.leaf = 1");
	my $first = $last - 300000;

	cmp_ok($last, '>', 1500000, "$way: the first leaf has more entries");
	# who read now would remove the entries
	my $rows = $node->safe_psql('postgres', "SELECT k FROM $way WHERE k NOT BETWEEN $first AND $last ORDER BY k OFFSET 1");
	$node->safe_psql('postgres', "DELETE FROM $way WHERE k BETWEEN $first AND $last");
	$node->wait_for_catchup($standby);

	my $reader = $standby->background_psql('postgres');

	like($reader->query_safe("$set EXPLAIN (COSTS OFF) SELECT k FROM $way WHERE k > 0 ORDER BY k"), qr/Index Only Scan/, "$way: an index-only scan on the standby");
	$reader->query_safe("BEGIN; DECLARE c CURSOR FOR SELECT k FROM $way WHERE k > 0 ORDER BY k");
	$reader->query_safe('FETCH 1 FROM c');

	(my $sql = $ways{$way}) =~ s/TABLE/$way/g;
	$sql =~ s/FIRST/$first/;
	$node->safe_psql('postgres', $sql);
	$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $way");
	my $lsn = $node->lsn('insert');
	ok($standby->poll_query_until('postgres', qq{SELECT pg_last_wal_replay_lsn() >= '$lsn' OR EXISTS (
		SELECT FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = 'BufferPin')}), "$way: as far as replay goes");
	is($standby->safe_psql('postgres', q{SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'}), 'BufferPin', "$way: replay waits for it");
	ok($reader->query_safe('FETCH ALL FROM c') eq $rows, "$way: the rest of its rows, and no dead ones");
	$reader->query_safe('COMMIT');
	$reader->quit;
	$node->wait_for_catchup($standby);
	indexes_agree($standby, 'postgres', "$way: then the standby goes on, and agrees", [$way, 'k', "${way}_k"]);
}
# The leaf is joined to its left neighbour, after VACUUM has cleaned it and before its rows die.
my $control = $node->background_psql('postgres');
my $vacuum = $node->background_psql('postgres');
my $reader = $standby->background_psql('postgres');
my $debug = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_settings WHERE name = 'kyro.debug_error'});

SKIP:
{
	skip 'no debug points in this build', 12 if !$debug;
	my ($go, $cursor, $stay) = sparse_leaves($node, 'joined');

	$control->query_safe(q{SELECT pg_advisory_lock(hashtextextended('rmi-join', 0))});
	$vacuum->query_safe(q{SET application_name = 'vacuum'});
	send_query($vacuum, 'VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) joined;');
	ok($node->poll_query_until('postgres', q{SELECT wait_event = 'advisory' FROM pg_stat_activity WHERE application_name = 'vacuum'}), 'joined: VACUUM has cleaned the leaves');
	my $rows = $node->safe_psql('postgres', $stay);

	$node->safe_psql('postgres', $go);
	$node->wait_for_catchup($standby);
	$reader->query_safe("$set BEGIN; $cursor");
	$reader->query_safe('FETCH 1 FROM c');
	my $before = $node->safe_psql('postgres', q{SELECT leaves FROM kyro.index_shape('joined_k')});

	$control->query_safe(q{SELECT pg_advisory_unlock(hashtextextended('rmi-join', 0))});
	returned($vacuum);
	cmp_ok($node->safe_psql('postgres', q{SELECT leaves FROM kyro.index_shape('joined_k')}), '<', $before / 2, 'joined: leaves are fewer');
	$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) joined');
	my $lsn = $node->lsn('insert');

	ok($standby->poll_query_until('postgres', qq{SELECT pg_last_wal_replay_lsn() >= '$lsn' OR EXISTS (
		SELECT FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = 'BufferPin')}), 'joined: as far as replay goes');
	is($standby->safe_psql('postgres', q{SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'}), 'BufferPin', 'joined: replay waits for it');
	ok($reader->query_safe('FETCH ALL FROM c') eq $rows, 'joined: the rest of its rows, and no dead ones');
	$reader->query_safe('COMMIT');
	$node->wait_for_catchup($standby);
	indexes_agree($standby, 'postgres', 'joined: then the standby goes on, and agrees', [ 'joined', 'k', 'joined_k' ]);

	# kyro.verify() stands on the first leaf, which gets the entries of the next one
	my $stop = $standby->background_psql('postgres');
	$node->safe_psql('postgres', q{
CREATE TABLE verified (k bigint, n bigint) WITH (autovacuum_enabled = off);
INSERT INTO verified SELECT g * 1000 + (hashint8(g) & 511), g FROM generate_series(1, 12000) g;
CREATE INDEX verified_k ON verified USING kyro_rmi (k);
VACUUM (FREEZE, ANALYZE) verified;
DELETE FROM verified WHERE n % 4 <> 0;
});
	$control->query_safe(q{SELECT pg_advisory_lock(hashtextextended('rmi-join', 0))});
	send_query($vacuum, 'VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) verified;');
	ok($node->poll_query_until('postgres', q{SELECT wait_event = 'advisory' FROM pg_stat_activity WHERE application_name = 'vacuum'}), 'verified: VACUUM has cleaned the leaves');
	$node->safe_psql('postgres', 'DELETE FROM verified WHERE n = 40');
	$node->wait_for_catchup($standby);
	$stop->query_safe(q{SELECT pg_advisory_lock(hashtextextended('verify-other-entry', 0))});
	$reader->query_safe(q{SET application_name = 'verify'});
	send_query($reader, q{SELECT coalesce(min(problem), 'none') AS problem FROM kyro.verify('verified_k', deep => true) \gset});
	ok($standby->poll_query_until('postgres', q{SELECT wait_event = 'advisory' FROM pg_stat_activity WHERE application_name = 'verify'}), 'verified: kyro.verify() is on the first leaf');
	$control->query_safe(q{SELECT pg_advisory_unlock(hashtextextended('rmi-join', 0))});
	returned($vacuum);
	ok($standby->poll_query_until('postgres', q{SELECT wait_event = 'BufferPin' FROM pg_stat_activity WHERE backend_type = 'startup'}), 'verified: the next one has gone');
	$stop->query_safe(q{SELECT pg_advisory_unlock(hashtextextended('verify-other-entry', 0))});
	returned($reader);
	is($reader->query_safe('\echo :problem'), 'none', 'verified: it finds nothing wrong');
	$stop->quit;
}
$_->quit foreach $control, $vacuum, $reader;

# With its directory damaged, a session walks the chain of leaves; the one it pauses at is deleted
SKIP:
{
	skip 'no debug points in this build', 4 if !$debug;
	$node->safe_psql('postgres', q{
CREATE TABLE c (k bigint) WITH (autovacuum_enabled = off);
INSERT INTO c SELECT hashint8extended(g, 1) FROM generate_series(1, 60000) g;
CREATE INDEX c_k ON c USING kyro_rmi (k) WITH (fillfactor = 50);
VACUUM ANALYZE c;
CREATE TABLE leaves AS SELECT min(k) AS low, max(k) AS high, row_number() OVER (ORDER BY min(k)) AS n
	FROM (SELECT k, (kyro.trace('c_k', k)).leaf FROM c) x GROUP BY leaf;
DELETE FROM c USING leaves WHERE n = 65 AND k BETWEEN low AND high;
CHECKPOINT;
	});
	# so that replay does not mend what is damaged below
	$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
	$standby->safe_psql('postgres', 'CHECKPOINT');
	cmp_ok($node->safe_psql('postgres', 'SELECT max(n) FROM leaves'), '>', 66, 'leaves enough for a pause');
	my $wait = sub {
		my ($cluster, $query) = @_;
		ok($cluster->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '$query%' AND wait_event = 'advisory'"), "stopped: $query");
	};
	my $catch_up = sub {
		# what the stopped VACUUM has logged must be flushed
		$node->safe_psql('postgres', 'SELECT txid_current()');
		$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
	};
	my ($hold_vacuum, $empties) = map { $node->background_psql('postgres') } 1 .. 2;
	$hold_vacuum->query_safe(q{SELECT pg_advisory_lock(hashtextextended('rmi-vacuum-emptied', 0))});
	send_query($empties, 'VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) c;');
	$wait->($node, 'VACUUM');
	$catch_up->();
	my $file = relation_file($standby, 'c_k');
	$standby->stop;
	my @pages = read_pages($file);
	write_page($file, $_, "\0" x 8192) foreach grep { page_kind($pages[$_]) == PAGE_DIRECTORY } 0 .. $#pages;
	$standby->start;
	my ($hold, $walk) = map { $standby->background_psql('postgres') } 1 .. 2;
	$hold->query_safe(q{SELECT pg_advisory_lock(hashtextextended('rmi-chain', 0))});
	$walk->query_safe("SET client_min_messages = error; $set");
	$walk->query_safe("PREPARE walk AS SELECT array_agg(DISTINCT n) FROM (SELECT (SELECT count(*) FROM c WHERE k > i) AS n FROM generate_series(-99, 0) i) x");
	send_query($walk, 'EXECUTE walk;');
	$wait->($standby, 'EXECUTE walk');
	$hold_vacuum->query_safe(q{SELECT pg_advisory_unlock(hashtextextended('rmi-vacuum-emptied', 0))});
	returned($empties);
	$catch_up->();
	$hold->query_safe(q{SELECT pg_advisory_unlock(hashtextextended('rmi-chain', 0))});
	like(returned($walk), qr/^\{@{[ $node->safe_psql('postgres', 'SET enable_indexscan = off; SET enable_indexonlyscan = off; SELECT count(*) FROM c WHERE k > 0') ]}\}/, 'and the answer is right');
	$_->quit foreach ($hold_vacuum, $empties, $hold, $walk);
}
log_lacks($standby, 'inconsistent page|PANIC|TRAP', 'nothing bad in the log');
$standby->stop;
$node->stop;
done_testing();
