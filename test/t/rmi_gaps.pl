# kyro_rmi with a session stopped where the isolation tester cannot see it
# wait: at each step of writing a directory, where a page lock is held, and on
# the pin of an index-only scan.  Others go through the gap.  Needs a build with
# DEBUG_POINTS=1, as make check makes it.
#
# Runs with both carriers.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;

# without shared directories, so that each session loads its own
my $node = new_node('rmi_gaps', conf => "kyro.shared_directories = 0\n");
add_index_checks($node, 'postgres');
need_debug_points($node);
$node->safe_psql('postgres', q{
CREATE TABLE g (k bigint);
CREATE INDEX g_k ON g USING kyro_rmi (k);
CREATE SEQUENCE seq;
-- rows so close together that leaves must be split
CREATE FUNCTION crowd(n int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO g SELECT c * 1000000000 + abs(hashint8extended(g, c)) % 1000000000 FROM nextval('seq') c, generate_series(1, n) g
$$;
SELECT crowd(3000) FROM generate_series(1, 4);
VACUUM ANALYZE g;
});

my $control = $node->background_psql('postgres');

sub stop_at { $control->query_safe("SELECT pg_advisory_lock(hashtextextended('$_[0]', 0))"); }
sub go { $control->query_safe("SELECT pg_advisory_unlock(hashtextextended('$_[0]', 0))"); }

# Send a statement without waiting for its end; its session says so by what it waits for.
sub launch
{
	my ($session, $sql, $wait) = @_;
	my $pid = $session->query_safe('SELECT pg_backend_pid()');

	send_query($session, "$sql;");
	ok($node->poll_query_until('postgres', "SELECT wait_event = '$wait' FROM pg_stat_activity WHERE pid = $pid"),
		"stopped: $sql");
}

# A new session looks up enough keys to copy the directory, then all.
my $look = q{SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT count(*) FROM generate_series(1, 10) i, LATERAL (SELECT FROM g WHERE k = i OFFSET 0) x;
SELECT count(*) FROM g WHERE k > -1};
my $count = 'SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM g';

sub through_the_gap
{
	my ($what) = @_;

	$node->safe_psql('postgres', 'SELECT crowd(1500)');
	is($node->safe_psql('postgres', $look), "0\n" . $node->safe_psql('postgres', $count), "$what: a new session's answer");
	$node->safe_psql('postgres', 'BEGIN; SELECT crowd(1500); ROLLBACK');
}

my $s = $node->background_psql('postgres');
$s->query_safe('SET enable_seqscan = off; SET enable_bitmapscan = off');
my $r = $node->background_psql('postgres');
$r->query_safe('SET enable_seqscan = off; SET enable_bitmapscan = off');

foreach my $point (qw(rmi-dir-begin rmi-dir-tree rmi-dir-model rmi-dir-switched rmi-dir-freed rmi-fold rmi-vacuum-sweep))
{
	my $statement =
	  $point eq 'rmi-fold' ? 'VACUUM g'
	  : $point eq 'rmi-vacuum-sweep' ? 'VACUUM (INDEX_CLEANUP ON) g'
	  : q{SELECT leaves > 0 FROM kyro.rebuild('g_k')};

	$node->safe_psql('postgres', 'VACUUM g');
	$node->safe_psql('postgres', 'SELECT crowd(1500)');
	$node->safe_psql('postgres', 'DELETE FROM g WHERE k < (SELECT min(k) FROM g) + 1000000000') if $point eq 'rmi-vacuum-sweep';
	stop_at($point);
	launch($s, $statement, 'Extension');
	through_the_gap($point);

	# a session with a copy of an older directory
	is($r->query_safe('SELECT count(*) FROM g WHERE k > -1'), $node->safe_psql('postgres', $count), "$point: an old session's answer");
	go($point);
	returned($s);
	indexes_agree($node, 'postgres', "$point: afterwards", ['g', 'k', 'g_k']);
}

# the directory is replaced while a session is about to copy it, by one that has its copy already
$s->quit;
$s = $node->background_psql('postgres');
$s->query_safe('SET enable_seqscan = off; SET enable_bitmapscan = off');
my $rows = $node->safe_psql('postgres', $count);
my $w = $node->background_psql('postgres');
$w->query_safe('SET enable_seqscan = off; SET enable_bitmapscan = off');
$w->query_safe('SELECT count(*) FROM generate_series(1, 10) i, LATERAL (SELECT FROM g WHERE k = i OFFSET 0) x');
stop_at('rmi-dir-load');
launch($s, 'CREATE TEMP TABLE answer AS SELECT count(*) AS n, count(DISTINCT i) AS keys FROM generate_series(1, 10) i, LATERAL (SELECT FROM g WHERE k > i - 10 OFFSET 0) x', 'Extension');
$w->query_safe(q{SELECT leaves > 0 FROM kyro.rebuild('g_k')});
go('rmi-dir-load');
returned($s);
is($s->query_safe('SELECT n / keys FROM answer'), $rows, 'a directory replaced before it was copied');
indexes_agree($node, 'postgres', 'after that', ['g', 'k', 'g_k']);
$w->quit;

# VACUUM waits for the leaf of an index-only scan: no row takes the place of one that the scan is about to look at
$node->safe_psql('postgres', 'VACUUM g');
$node->safe_psql('postgres', 'DELETE FROM g WHERE k % 3 = 0');
$s->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$rows = $s->query_safe('SELECT count(*) FROM g WHERE k > -1');
stop_at('rmi-scan-tuple');
my $spid = $s->query_safe('SELECT pg_backend_pid()');
send_query($s, "CREATE TEMP TABLE seen AS SELECT k FROM g WHERE k > -1 ORDER BY k;");
ok($node->poll_query_until('postgres', "SELECT wait_event = 'advisory' FROM pg_stat_activity WHERE pid = $spid"), 'stopped: an index-only scan');
launch($r, 'VACUUM (INDEX_CLEANUP ON) g', 'BufferPin');
$node->safe_psql('postgres', 'SELECT crowd(1500)');
go('rmi-scan-tuple');
returned($s);
returned($r);
is($s->query_safe('SELECT count(*), count(*) FILTER (WHERE k % 3 = 0) FROM seen'), "$rows|0", 'an index-only scan that VACUUM waits for');
$s->query_safe('COMMIT');
$s->quit;

# A leaf that a scan has pinned is not joined to another one, from where VACUUM could remove what it has read
$s = $node->background_psql('postgres');
$s->query_safe('SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off');
my ($vanish, $cursor, $stay) = sparse_leaves($node, 'j');
my $leaves = q{SELECT leaves FROM kyro.index_shape('j_k')};
my $many = $node->safe_psql('postgres', $leaves);
stop_at('rmi-join');
launch($r, 'VACUUM (INDEX_CLEANUP ON) j', 'advisory');
my $rest = $node->safe_psql('postgres', $stay);
$node->safe_psql('postgres', $vanish);
$s->query_safe("BEGIN; $cursor");
$s->query_safe('FETCH 1 FROM c');
go('rmi-join');
returned($r);
launch($r, 'VACUUM (INDEX_CLEANUP ON) j', 'BufferPin');
is($s->query_safe('FETCH ALL FROM c'), $rest, 'a scan whose leaf would have been joined to another');
$s->query_safe('COMMIT');
returned($r);
$s->quit;
$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) j');
cmp_ok($node->safe_psql('postgres', $leaves), '<', $many / 2, 'leaves become fewer');
indexes_agree($node, 'postgres', 'and that was all', [ 'j', 'k', 'j_k' ]);

# An exclusion constraint looks at rows by a snapshot that is none: the row that it is about to look at is not replaced either
$node->safe_psql('postgres', q{
CREATE TABLE x (k bigint, CONSTRAINT x_k EXCLUDE USING kyro_rmi (k WITH =) WHERE (k < 1000)) WITH (autovacuum_enabled = off);
INSERT INTO x SELECT g FROM generate_series(1, 100) g;
DELETE FROM x WHERE k = 50;
});
$s = $node->background_psql('postgres', on_error_stop => 0);
stop_at('rmi-scan-tuple');
launch($s, 'INSERT INTO x VALUES (50)', 'advisory');
my $rpid = $r->query_safe('SELECT pg_backend_pid()');
send_query($r, "VACUUM (INDEX_CLEANUP ON) x;");
ok($node->poll_query_until('postgres', "SELECT wait_event = 'BufferPin' OR state = 'idle' AND query LIKE '%VACUUM%' FROM pg_stat_activity WHERE pid = $rpid"), 'VACUUM waits, or is done');
$node->safe_psql('postgres', 'INSERT INTO x VALUES (1050)');
go('rmi-scan-tuple');
returned($s);
returned($r);
is($node->safe_psql('postgres', 'SELECT count(*) FROM x WHERE k IN (50, 1050)'), '2', 'an exclusion constraint that VACUUM waits for');
$s->quit;
$s = $node->background_psql('postgres');

# VACUUM deletes a leaf that kyro.verify() has been on, and others are split ahead of it
$node->safe_psql('postgres', q{
CREATE TABLE z (k bigint) WITH (autovacuum_enabled = off);
INSERT INTO z SELECT hashint8extended(g, 1) >> 2 FROM generate_series(1, 20000) g;
CREATE INDEX z_k ON z USING kyro_rmi (k);
VACUUM ANALYZE z;
CREATE TABLE leaves AS SELECT min(k) AS low, max(k) AS high, leaf, row_number() OVER (ORDER BY min(k)) AS n
	FROM (SELECT k, (kyro.trace('z_k', k)).leaf FROM z) x GROUP BY leaf;
DELETE FROM z WHERE k BETWEEN (SELECT low FROM leaves WHERE n = 2) AND (SELECT high FROM leaves WHERE n = 2) OR k = (SELECT low FROM leaves WHERE n = 4);
});
stop_at('rmi-vacuum-emptied');
launch($r, 'VACUUM (INDEX_CLEANUP ON) z', 'advisory');
stop_at('verify-other-entry');
launch($s, q{CREATE TEMP TABLE found AS SELECT * FROM kyro.verify('z_k', deep => true)}, 'advisory');
go('rmi-vacuum-emptied');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%VACUUM%z;%' AND wait_event = 'BufferPin'}),
	'VACUUM has deleted a leaf and waits for the one ahead of kyro.verify()');
$node->safe_psql('postgres', "INSERT INTO z SELECT (SELECT max(low) FROM leaves) + (hashint8extended(g, 1) >> 12 & 2251799813685247) FROM generate_series(1, 5000) g");
go('verify-other-entry');
returned($s);
returned($r);
is($s->query_safe('SELECT * FROM found'), '', 'kyro.verify() finds nothing wrong with that');
$s->quit;
$r->quit;
$control->quit;
indexes_agree($node, 'postgres', 'at the end', ['g', 'k', 'g_k'], ['z', 'k', 'z_k']);
$node->stop;
done_testing();
