# A kyro table and transaction ids: prepared transactions, logical decoding, and
# the counter going round, with runs sealed and rows touched long before.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('xids', conf => "wal_level = logical\nmax_prepared_transactions = 10\nmax_replication_slots = 4\n");
add_twice($node);
$node->safe_psql('postgres', q{
CREATE EXTENSION kyrodb;
CREATE TABLE a (id bigint PRIMARY KEY, v text) USING kyro;
CREATE TABLE b (LIKE a INCLUDING ALL) USING heap;
CREATE INDEX a_id ON a USING kyro_rmi (id);
SELECT twice('INSERT INTO $t SELECT g, ''first'' FROM generate_series(1, 2000) g');
});

sub agree
{
	my ($what, $locked) = @_;
	# with a seal that may yet be rolled back
	my $verify = $locked ? '' : q{
UNION ALL SELECT 'verify: ' || block || ': ' || problem FROM kyro.verify('a', true)
UNION ALL SELECT 'index: ' || block || ': ' || problem FROM kyro.verify('a_id', true)};

	is($node->safe_psql('postgres', qq{
SELECT 'only in a: ' || x::text FROM (TABLE a EXCEPT ALL TABLE b) x
UNION ALL SELECT 'only in b: ' || x::text FROM (TABLE b EXCEPT ALL TABLE a) x$verify;
SET enable_seqscan = off;
SELECT 'by index' FROM (SELECT count(*), sum(length(v)) FROM a WHERE id > 0 EXCEPT SELECT count(*), sum(length(v)) FROM b) x;
}), '', $what);
}

# --- prepared transactions
$node->safe_psql('postgres', q{BEGIN; SELECT kyro.snapshot('a'); PREPARE TRANSACTION 'seal'});
agree('a prepared seal is not seen', 1);
$node->safe_psql('postgres', q{SELECT twice('INSERT INTO $t VALUES (2999, ''beside'')')});
my ($rc, $out, $err);
sub is_kept
{
	my ($when) = @_;

	($rc, $out, $err) = $node->psql('postgres', q{SET lock_timeout = '100ms'; SELECT kyro.snapshot('a')});
	like($err, qr/could not lock "a" to seal it within lock_timeout/, "$when, a prepared seal keeps its lock");
	($rc, $out, $err) = $node->psql('postgres', q{SET lock_timeout = '100ms'; UPDATE a SET v = 'x' WHERE id = 7});
	like($err, qr/lock timeout/, "$when, and its rows");
}
is_kept('before a crash');
$node->stop('immediate');
$node->start;
is_kept('after a crash');
agree('nor after a crash', 1);
$node->safe_psql('postgres', q{COMMIT PREPARED 'seal'});
agree('it is once it commits');
is($node->safe_psql('postgres', q{SELECT rows, state FROM kyro.stat_runs WHERE relname = 'a'}), '2000|committed', 'with its run');
$node->safe_psql('postgres', q{INSERT INTO a SELECT g, 'p' FROM generate_series(3001, 3100) g; INSERT INTO b SELECT g, 'p' FROM generate_series(3001, 3100) g;
BEGIN; SELECT kyro.snapshot('a'); PREPARE TRANSACTION 'seal2'});
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'seal2'});
agree('a prepared seal that is rolled back');
$node->safe_psql('postgres', q{BEGIN; SELECT twice('UPDATE $t SET v = v || ''!'' WHERE id % 50 = 1'); SELECT twice('DELETE FROM $t WHERE id % 50 = 2');
SELECT count(*) FROM (SELECT FROM a WHERE id % 50 = 3 FOR UPDATE) x; PREPARE TRANSACTION 'dml'});
$node->stop('immediate');
$node->start;
agree('prepared changes of sealed rows are not seen');
($rc, $out, $err) = $node->psql('postgres', q{SET lock_timeout = '100ms'; UPDATE a SET v = 'x' WHERE id = 51});
like($err, qr/lock timeout/, 'and keep others from the rows');
($rc, $out, $err) = $node->psql('postgres', q{SELECT id FROM a WHERE id = 53 FOR UPDATE NOWAIT});
like($err, qr/could not obtain lock on row/, 'those that were only locked too');
$node->safe_psql('postgres', q{VACUUM a});
$node->safe_psql('postgres', q{COMMIT PREPARED 'dml'});
agree('they are once they are committed');

# --- logical decoding: what changes, not what moves
($rc, $out, $err) = $node->psql('postgres', q{SELECT 1 FROM pg_create_logical_replication_slot('s', 'test_decoding')});
SKIP:
{
	skip 'no test_decoding', 2 if $rc != 0;
	$node->safe_psql('postgres', q{
INSERT INTO a VALUES (5001, 'new'), (5002, 'new');
SELECT kyro.snapshot('a');
VACUUM a;
UPDATE a SET v = 'newer' WHERE id = 5001;
UPDATE a SET v = 'newest' WHERE id = 5001;
SELECT id FROM a WHERE id = 5002 FOR UPDATE;
DELETE FROM a WHERE id = 5002;
VACUUM FULL a;
INSERT INTO b VALUES (5001, 'newest');
});
	is($node->safe_psql('postgres', q{SELECT data FROM pg_logical_slot_get_changes('s', NULL, NULL, 'include-xids', '0', 'skip-empty-xacts', '1') WHERE data LIKE 'table public.a:%'}),
		q{table public.a: INSERT: id[bigint]:5001 v[text]:'new'
table public.a: INSERT: id[bigint]:5002 v[text]:'new'
table public.a: UPDATE: id[bigint]:5001 v[text]:'newer'
table public.a: UPDATE: id[bigint]:5001 v[text]:'newest'
table public.a: DELETE: id[bigint]:5002}, 'decoding shows changes, and neither the seal nor ledger tuples');
	$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('s')});
	agree('and the table is right');
}

# --- write skew, with a seal between reading and writing
$node->safe_psql('postgres', q{
CREATE TABLE duty (who text PRIMARY KEY, on_duty bool) USING kyro;
INSERT INTO duty VALUES ('x', true), ('y', true);
});
foreach my $sealed ('before', 'between', 'never')
{
	$node->safe_psql('postgres', q{UPDATE duty SET on_duty = true; VACUUM FULL duty}) if $sealed eq 'before';
	$node->safe_psql('postgres', q{UPDATE duty SET on_duty = true}) if $sealed ne 'before';
	my $s1 = $node->background_psql('postgres', on_error_stop => 0);
	my $s2 = $node->background_psql('postgres', on_error_stop => 0);

	foreach my $s ($s1, $s2)
	{
		$s->query('SET enable_seqscan = off; BEGIN ISOLATION LEVEL SERIALIZABLE');
		is($s->query(q{SELECT count(*) FROM duty WHERE who IN ('x', 'y') AND on_duty}), '2', "sealed $sealed: two on duty");
	}
	$node->safe_psql('postgres', q{SELECT kyro.snapshot('duty')}) if $sealed eq 'between';
	$s1->query(q{UPDATE duty SET on_duty = false WHERE who = 'x'});
	$s1->query('COMMIT');
	$s2->query(q{UPDATE duty SET on_duty = false WHERE who = 'y'});
	$s2->query('COMMIT');
	$_->quit foreach $s1, $s2;
	cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM duty WHERE on_duty}), '>', 0, "sealed $sealed: one of them is still on duty");
}

# --- the counter goes round
sub advance
{
	my ($to, $epoch) = @_;
	my $segment = sprintf('%04X', $to / 32768 / 32);

	$node->stop;
	command_ok([ 'pg_resetwal', '-x', $to, '-e', $epoch, $node->data_dir ], "next transaction is $to of epoch $epoch");
	# clog of the time that was skipped
	my $file = $node->data_dir . "/pg_xact/$segment";
	if (!-e $file)
	{
		open(my $fh, '>:raw', $file) or die $!;
		print $fh "\0" x (8192 * 32);
		close($fh);
	}
	$node->start;
}

$node->safe_psql('postgres', q{
SELECT twice('INSERT INTO $t SELECT g, ''old'' FROM generate_series(10001, 12000) g');
SELECT kyro.snapshot('a');
SELECT twice('UPDATE $t SET v = ''touched'' WHERE id % 40 = 7');
SELECT twice('DELETE FROM $t WHERE id % 40 = 8');
SELECT count(*) FROM (SELECT FROM a WHERE id % 40 = 9 FOR UPDATE) x;
BEGIN; INSERT INTO a VALUES (99999, 'aborted'); SELECT kyro.snapshot('a'); ROLLBACK;
});
agree('before the counter moves');
my $round = 0;
my $epoch = 0;
my $before = 0;
foreach my $target (700_000_000, 1_400_000_000, 2_100_000_000, 2_800_000_000, 3_500_000_000, 4_200_000_000, 1_000_000, 700_000_000)
{
	# the first of a clog segment; all that is old is frozen before
	my $to = (int($target / 1048576) || 1) * 1048576;
	$node->safe_psql('postgres', q{UPDATE pg_database SET datallowconn = true WHERE NOT datallowconn});
	foreach my $db (qw(template0 template1 postgres))
	{
		$node->safe_psql($db, 'VACUUM (FREEZE)');
	}
	$epoch++ if $to < $before;
	$before = $to;
	advance($to, $epoch);
	$round++;
	agree("round $round: counter at $to");
	$node->safe_psql('postgres', qq{
SELECT twice('UPDATE \$t SET v = ''round $round'' WHERE id % 40 = 10 + $round');
SELECT twice('INSERT INTO \$t SELECT g, ''round'' FROM generate_series(20000 + 100 * $round, 20050 + 100 * $round) g');
SELECT kyro.snapshot('a');
SELECT twice('DELETE FROM \$t WHERE id % 40 = 20 + $round');
});
	agree("round $round: after changes");
}
is($node->safe_psql('postgres', q{SELECT age(relfrozenxid) < 1000000000 FROM pg_class WHERE relname = 'a'}), 't', 'the table keeps up');
$node->safe_psql('postgres', 'VACUUM FULL a');
agree('after VACUUM FULL');
log_lacks($node, 'PANIC|TRAP|inconsistent page|wraparound', 'nothing bad in the log');
$node->stop;
done_testing();
