# The four ways in which a log with snapshots loses rows: what is appended
# while a snapshot is taken; what is appended while runs are compacted; the log
# is used again before the snapshot is durable; and a session goes on with what
# it knew of a table that has changed.  Needs DEBUG_POINTS=1 for some of it, as
# make check builds.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use StoreTwin;
use Test::More;

my $am = twin_am();
my $node = new_node('losses', init => [ extra => ['--data-checksums'] ],
	conf => "max_prepared_transactions = 5\nautovacuum = off\n");
twin_setup($node);
my ($rc, $out, $err) = $node->psql('postgres', "SET kyro.debug_error = ''");
my $debug_points = $rc == 0 && $am eq 'kyro';

my $next = 10_000_000;

# A statement that adds n rows to both twins, with ids that nobody has.
sub add_rows
{
	my ($n) = @_;
	my $q = sprintf('SELECT tw_pair(\'count\', \'INSERT INTO $t (id, uq, k, s) SELECT i, i::bigint * 1000, i %% 100, md5(i::text) FROM generate_series(%d, %d) i\');', $next, $next + $n - 1);

	$next += $n;
	return $q;
}


# Until that many sessions wait for a lock, of a table if no type is given.
sub until_waiting
{
	my ($n, $type) = @_;

	$type //= 'relation';
	$node->poll_query_until('postgres', "SELECT count(*) = $n FROM pg_locks WHERE NOT granted AND locktype = '$type'") or die 'nobody waits';
}

my ($reader, $writer, $other, $sealer) = map { $node->background_psql('postgres') } 1 .. 4;

# The server dies, and all sessions are new.
sub crash
{
	$node->stop('immediate');
	$_->{run}->kill_kill foreach ($reader, $writer, $other, $sealer);
	$node->start;
	($reader, $writer, $other, $sealer) = map { $node->background_psql('postgres') } 1 .. 4;
}

# ---- append during a snapshot ----

# The writer began before the snapshot, and goes on after it.
$writer->query_safe('BEGIN');
$writer->query_safe(add_rows(300));
send_query($sealer, "SELECT tw_seal('a', NULL);");
$other->query_safe(add_rows(200));
returned($sealer);
$writer->query_safe(add_rows(100));
$writer->query_safe('SAVEPOINT s');
$writer->query_safe(add_rows(100));
$writer->query_safe('ROLLBACK TO s');
$writer->query_safe('COMMIT');
$sealer->query_safe("SELECT tw_seal('a', NULL)");
twins_agree($node, 'rows inserted before, beside and after a seal are there');
crash();
twins_agree($node, 'and after a crash');

# The seal stops at each of its steps; then rows are inserted, read, and again after all is over.
if ($debug_points)
{
	my %ends = ('seal-collected' => ['dies with the server'], 'seal-written' => [ 'is rolled back', 'dies with the server' ],
		'seal-listed' => [ 'commits', 'dies with the server' ], 'seal-indexed' => [ 'dies with the server' ],
		'seal-stamped' => [ 'commits', 'is rolled back', 'dies with the server' ]);

	foreach my $point (sort keys %ends)
	{
		foreach my $end (@{ $ends{$point} })
		{
			$node->safe_psql('postgres', add_rows(150));
			$other->query_safe("SELECT pg_advisory_lock(hashtextextended('$point', 0))");
			$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
			$reader->query_safe('SELECT tw_mark()');
			$sealer->query_safe('BEGIN');
			send_query($sealer, "SELECT tw_seal('a', NULL);");
			until_waiting(1, 'advisory');
			$writer->query_safe(add_rows(50));
			is($reader->query_safe('SELECT tw_compare_mark()'), '', "$point: an old snapshot sees all rows");
			is($node->safe_psql('postgres', 'SELECT tw_probe(i / 50.0) FROM generate_series(1, 20) i; SELECT 1'), "\n" x 20 . '1', "$point: so does a new one");
			if ($end eq 'dies with the server')
			{
				crash();
			}
			else
			{
				$other->query_safe("SELECT pg_advisory_unlock(hashtextextended('$point', 0))");
				returned($sealer);
				$sealer->query_safe($end eq 'commits' ? 'COMMIT' : 'ROLLBACK');
				is($reader->query_safe('SELECT tw_compare_mark()'), '', "$point: an old snapshot sees no other rows when the seal $end");
				$reader->query_safe('COMMIT');
			}
			twins_agree($node, "$point: nothing is lost when the seal $end");
		}
	}
}

# ---- append during compaction ----

foreach my $compaction ('VACUUM FULL a', 'CLUSTER a USING a_pkey')
{
	# rows of every kind: sealed, deleted, updated, in the log, of a prepared transaction that ends meanwhile
	$node->safe_psql('postgres', add_rows(400) . "SELECT tw_seal('a', NULL);" . add_rows(100)
		. q{SELECT tw_pair('count', 'UPDATE $t SET n = n + 1, k = id WHERE id % 13 = 1'), tw_pair('count', 'DELETE FROM $t WHERE id > 300000 AND id % 17 = 1');});
	$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	# has a snapshot, but no lock that would be in the way
	$reader->query_safe('SELECT count(*) FROM b');
	$node->safe_psql('postgres', q{SELECT tw_pair('count', 'UPDATE $t SET n = n + 1 WHERE id % 29 = 1'), tw_pair('count', 'DELETE FROM $t WHERE id > 300000 AND id % 31 = 1');} . add_rows(50));
	$writer->query_safe('BEGIN');
	$writer->query_safe(add_rows(70));
	send_query($sealer, "$compaction;");
	until_waiting(1);
	send_query($other, add_rows(60));
	until_waiting(2);
	$writer->query_safe(add_rows(30));
	$writer->query_safe('COMMIT');
	returned($sealer);
	returned($other);
	twins_agree($node, "$compaction: rows inserted before and while it waits are there");
	is($reader->query_safe('SELECT tw_probe(i / 100.0) FROM generate_series(1, 99) i; SELECT 1'), "\n" x 99 . '1', "$compaction: an old snapshot sees what it should");
	$reader->query_safe('COMMIT');
	crash();
	twins_agree($node, "$compaction: and after a crash");
	next if !$debug_points || $compaction =~ /CLUSTER/;

	foreach my $point (qw(compact-log-written compact-run-written))
	{
		foreach my $end ('commits', 'dies with the server')
		{
			$node->safe_psql('postgres', add_rows(100));
			$other->query_safe("SELECT pg_advisory_lock(hashtextextended('$point', 0))");
			send_query($sealer, "$compaction;");
			until_waiting(1, 'advisory');
			send_query($writer, add_rows(50));
			until_waiting(1);
			if ($end eq 'commits')
			{
				$other->query_safe("SELECT pg_advisory_unlock(hashtextextended('$point', 0))");
				returned($sealer);
				returned($writer);
			}
			else
			{
				crash();
			}
			twins_agree($node, "$compaction: nothing is lost when it stops at $point and $end");
		}
	}
}

# ---- the log is used again ----

foreach my $durable ('on', 'off')
{
	foreach my $end ($durable eq 'on' ? ('COMMIT', 'crash') : ('COMMIT', 'ROLLBACK'))
	{
		my $what = "synchronous_commit = $durable, $end";

		$node->safe_psql('postgres', 'VACUUM FULL a; VACUUM FULL ca');
		$node->safe_psql('postgres', add_rows(1500));
		my $size = $node->safe_psql('postgres', "SELECT pg_relation_size('a')");
		if ($end eq 'crash')
		{
			$sealer->query_safe("BEGIN; SELECT tw_seal('a', NULL)");
			crash();
		}
		else
		{
			$node->safe_psql('postgres', "SET synchronous_commit = $durable; BEGIN; SELECT tw_seal('a', NULL); $end");
		}
		my $sealed = $node->safe_psql('postgres', "SELECT pg_relation_size('a') / 8192");
		# what was sealed goes from the log, and others take its place
		$node->safe_psql('postgres', "SET synchronous_commit = $durable; VACUUM (INDEX_CLEANUP ON) a; VACUUM a;");
		$node->safe_psql('postgres', "SET synchronous_commit = $durable; " . add_rows(700) . q{SELECT tw_pair('count', 'UPDATE $t SET n = n + 7 WHERE id % 3 = 1');});
		if ($end eq 'COMMIT' && $am eq 'kyro')
		{
			is($node->safe_psql('postgres', "SELECT count(*) > 100 FROM a WHERE id >= $next - 700 AND ctid < '($sealed,0)'"), 't', "$what: room of the log was used again");
		}
		crash();
		twins_agree($node, "$what: nothing is lost after a crash");
		$node->safe_psql('postgres', "SELECT tw_seal('a', 1000)");
		$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) a');
		$node->safe_psql('postgres', add_rows(200));
		twins_agree($node, "$what: nor after another seal");
	}
}

# ---- sessions that remember ----

# Each session has plans, mappings and lists of runs of the table as it was.
sub remember
{
	my ($session) = @_;

	$session->query_safe(q{PREPARE wrong AS SELECT 'wrong: ' || coalesce(a.id, b.id) FROM a FULL JOIN b ON a.id = b.id WHERE a.id IS NULL OR b.id IS NULL OR a.* IS DISTINCT FROM b.*});
	$session->query_safe(q{PREPARE one AS SELECT ((SELECT a FROM a WHERE id = $1)::text IS NOT DISTINCT FROM (SELECT b FROM b WHERE id = $1)::text)
		AND (SELECT count(*) FROM a WHERE k = $1 % 100) = (SELECT count(*) FROM b WHERE k = $1 % 100)});
	$session->query_safe(q{PREPARE change AS UPDATE a SET n = n + 1 WHERE id BETWEEN $1 AND $1 + 5});
	$session->query_safe(q{PREPARE change_twin AS UPDATE b SET n = n + 1 WHERE id BETWEEN $1 AND $1 + 5});
	$session->query_safe('SET plan_cache_mode = force_generic_plan');
	remembers($session, 'at first');
}

sub remembers
{
	my ($session, $what) = @_;
	my $id = $next - 5;

	is($session->query_safe('EXECUTE wrong'), '', "$what: a session sees the table as it is");
	is($session->query_safe("SET enable_seqscan = off; EXECUTE one($id); EXECUTE one(100000); RESET enable_seqscan"), "t\nt", "$what: through indexes too");
	# both at once: another session may look
	$session->query_safe("BEGIN; EXECUTE change($id); EXECUTE change_twin($id); COMMIT");
	is($session->query_safe('EXECUTE wrong'), '', "$what: and changes it");
}

my $twins_without = q{ALTER TABLE ca DROP CONSTRAINT IF EXISTS ca_aid_fkey, DROP CONSTRAINT IF EXISTS ca_rid_fkey; ALTER TABLE cb DROP CONSTRAINT IF EXISTS cb_aid_fkey, DROP CONSTRAINT IF EXISTS cb_rid_fkey};
$node->safe_psql('postgres', $twins_without);
$node->safe_psql('postgres', add_rows(1000) . "SELECT tw_seal('a', 800);");
remember($reader);
remember($writer);
my $both = sub { my ($q) = @_; (my $twin = $q) =~ s/\ba\b/b/g; $twin =~ s/\ba_/b_/g; return "BEGIN; $q; $twin; COMMIT;"; };
foreach my $change (
	['TRUNCATE', $both->('TRUNCATE a') . add_rows(500)],
	['seal', "SELECT tw_seal('a', NULL);"],
	['TRUNCATE and a run as long as before', "SELECT tw_seal('a', NULL);", $both->('TRUNCATE a') . add_rows(500) . "SELECT tw_seal('a', NULL);"],
	['TRUNCATE rolled back', "BEGIN; TRUNCATE a; INSERT INTO a (id, uq) VALUES (1, 1); SELECT tw_seal('a', NULL); ROLLBACK;"],
	['VACUUM FULL', 'VACUUM FULL a'],
	['VACUUM FULL twice', 'VACUUM FULL a', 'VACUUM FULL a'],
	['CLUSTER', 'CLUSTER a USING a_uq'],
	['seal, VACUUM, reuse', "SELECT tw_seal('a', NULL);", 'VACUUM (INDEX_CLEANUP ON) a', add_rows(300)],
	['heap and back', 'ALTER TABLE a SET ACCESS METHOD heap', "ALTER TABLE a SET ACCESS METHOD $am"],
	['a column more', "SELECT tw_seal('a', NULL);", $both->('ALTER TABLE a ADD COLUMN extra int DEFAULT 5') . add_rows(100)],
	['a column less', "SELECT tw_seal('a', NULL);", $both->('ALTER TABLE a DROP COLUMN w') . add_rows(100) . "SELECT tw_seal('a', NULL);"],
	['another type', $both->('ALTER TABLE a ALTER COLUMN extra TYPE bigint') . "SELECT tw_seal('a', 100);"],
	['unlogged and back', 'ALTER TABLE a SET UNLOGGED', 'ALTER TABLE a SET LOGGED', "SELECT tw_seal('a', NULL);"],
	['another table of the same name', "BEGIN; ALTER TABLE a RENAME TO old_a; ALTER INDEX a_pkey RENAME TO old_pkey; CREATE TABLE a (LIKE old_a INCLUDING GENERATED INCLUDING DEFAULTS INCLUDING STORAGE, PRIMARY KEY (id)) USING $am;
		INSERT INTO a (id, uq, k, u, s, tags, f, n, t, h, extra) SELECT id, uq, k, u, s, tags, f, n, t, h, extra FROM old_a; DROP TABLE old_a; SELECT tw_seal('a', NULL);
		CREATE INDEX a_k ON a USING kyro_rmi (k); COMMIT;"],
	['made and filled in one transaction, dropped, and made again', (map { "BEGIN; DROP TABLE a; CREATE TABLE a (LIKE b INCLUDING GENERATED INCLUDING DEFAULTS INCLUDING STORAGE, PRIMARY KEY (id)) USING $am; CREATE INDEX a_k ON a USING kyro_rmi (k);
		INSERT INTO a (id, uq, k, u, s, tags, f, n, t, h, extra) SELECT id, uq, k, u, s, tags, f, n, t, h, extra FROM b; SELECT tw_seal('a', " . ($_ == 1 ? 'NULL' : '700') . "); COMMIT;" } 1, 2)],
)
{
	my ($what, @steps) = @$change;

	$node->safe_psql('postgres', $_) foreach @steps;
	remembers($_, $what) foreach ($reader, $writer);
	is($node->safe_psql('postgres', q{SELECT * FROM tw_verify('a', true)}), '', "$what: the table is sound");
	is($node->safe_psql('postgres', q{SELECT * FROM kyro.verify('a_k', true)}), '', "$what: so is its index");
}
crash();
remember($_) foreach ($reader, $writer);
is($node->safe_psql('postgres', q{SELECT * FROM tw_verify('a', true)}), '', 'the table is sound after a crash');
# a session that knew the table before it was replaced, in a server that started again
$node->safe_psql('postgres', "SELECT tw_seal('a', NULL);");
$node->safe_psql('postgres', add_rows(100));
remembers($_, 'after a crash') foreach ($reader, $writer);
$_->quit foreach ($reader, $writer, $other, $sealer);
log_lacks($node, 'PANIC|inconsistent page|TRAP|invalid page|terminated by signal', 'nothing bad in the log');
$node->stop;
done_testing();
