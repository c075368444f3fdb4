# VACUUM deletes hundreds of leaves in a row, and is stopped before it writes
# the directory that says so: sessions with a copy of the old one, and new ones
# that read it, come to pages that are free, or used for other keys.  They find
# what is left without looking at every page that is gone.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;

my $node = new_node('walks', conf => "fsync = off\nmax_wal_size = 1GB\n");
add_index_checks($node, 'postgres');
need_debug_points($node);
$node->safe_psql('postgres', q{
CREATE TABLE w (k bigint, v int) WITH (autovacuum_enabled = off);
INSERT INTO w SELECT hashint8extended(g, 1), 0 FROM generate_series(1, 400000) g;
CREATE INDEX w_k ON w USING kyro_rmi (k) WITH (fillfactor = 50);
VACUUM ANALYZE w;
});
cmp_ok($node->safe_psql('postgres', q{SELECT leaves FROM kyro.stat_indexes WHERE indexrelname = 'w_k'}), '>', 500, 'there are many leaves');

my $set = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off';
my $used = q{SELECT count(*) FROM generate_series(1, 10) i, LATERAL (SELECT FROM w WHERE k = i OFFSET 0) x};
my ($control, $vacuum, $old, $writer) = map { $node->background_psql('postgres') } 1 .. 4;
foreach my $s ($old, $writer)
{
	$s->query_safe($set);
	is($s->query_safe($used), '0', 'a session copies the directory');
}

# all but some rows at both ends and a few on the way
$node->safe_psql('postgres', q{
CREATE TABLE kept AS SELECT k, v FROM w WHERE abs(k) > 9200000000000000000 OR k IN (SELECT k FROM w ORDER BY k OFFSET 100000 LIMIT 2);
DELETE FROM w WHERE k NOT IN (SELECT k FROM kept);
});
$control->query_safe("SELECT pg_advisory_lock(hashtextextended('rmi-vacuum-walked', 0))");
my $pid = $vacuum->query_safe('SELECT pg_backend_pid()');
$vacuum->query_until(qr/launched/, "\\echo launched\nVACUUM (INDEX_CLEANUP ON) w;\n\\echo over\n");
ok($node->poll_query_until('postgres', "SELECT wait_event = 'advisory' FROM pg_stat_activity WHERE pid = $pid"), 'VACUUM has deleted leaves, and is stopped');

# Buffers of the index that a statement looks at, read or hit.
my $stat = q{SELECT idx_blks_read + idx_blks_hit FROM pg_statio_all_indexes WHERE indexrelname = 'w_k'};
sub buffers
{
	my ($session, $q) = @_;
	my $answer = $session->query_safe($q);

	$session->query_safe('SELECT pg_stat_force_next_flush()');
	my $before = $session->query_safe($stat);
	is($session->query_safe($q), $answer, "the same again: $q");
	$session->query_safe('SELECT pg_stat_force_next_flush()');
	return $session->query_safe($stat) - $before;
}

my $new = $node->background_psql('postgres');
$new->query_safe($set);
foreach ([ 'an old session', $old ], [ 'a new session', $new ])
{
	my ($what, $s) = @$_;
	my $kept = $node->safe_psql('postgres', 'SELECT count(*), sum(k) FROM kept');

	is($s->query_safe("SELECT count(*) FROM w WHERE k = $_"), '0', "$what: a row that is gone") foreach ('-8000000000000000000', '0', '9000000000000000000');
	is($s->query_safe('SELECT count(*), sum(k) FROM w WHERE k IS NOT NULL'), $kept, "$what: forward");
	is($s->query_safe('SELECT count(*), sum(k) FROM (SELECT k FROM w ORDER BY k DESC) x'), $kept, "$what: backward");
	is($s->query_safe('SELECT count(*) FROM w WHERE k IN (SELECT k FROM kept)'), (split /\|/, $kept)[0], "$what: one by one");
	is($s->query_safe('SELECT count(*) FROM (SELECT k FROM w WHERE k < 9100000000000000000 ORDER BY k DESC LIMIT 1) x'), '1', "$what: the last one before a gap");
	foreach my $q ('SELECT count(*) FROM w WHERE k = 9000000000000000000', 'SELECT count(*) FROM w WHERE k = 0', 'SELECT max(k) < 9000000000000000000 FROM w WHERE k < 9000000000000000000')
	{
		my $n = buffers($s, $q);

		note("$what: $q: $n buffers");
		cmp_ok($n, '<', 100, "$what: does not look at every page that is gone");
	}
}

# sessions write there; pages are used again, for other keys
foreach my $s ($old, $new, $writer)
{
	$s->query_safe('INSERT INTO w SELECT hashint8extended(g, 2) >> 1, 1 FROM generate_series(1, 20000) g');
	$s->query_safe('DELETE FROM w WHERE v = 1 AND k % 2 = 0');
}
my $right = $node->safe_psql('postgres', 'SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; SELECT count(*), sum(k) FROM w');
foreach my $s ($old, $new, $writer)
{
	is($s->query_safe('SELECT count(*), sum(k) FROM w WHERE k IS NOT NULL'), $right, 'forward, after writes');
	is($s->query_safe('SELECT count(*), sum(k) FROM (SELECT k FROM w ORDER BY k DESC) x'), $right, 'backward, after writes');
}
$control->query_safe("SELECT pg_advisory_unlock(hashtextextended('rmi-vacuum-walked', 0))");
$vacuum->query_until(qr/over/, "\n");
indexes_agree($node, 'postgres', 'afterwards', ['w', 'k', 'w_k']);

# sessions that were idle while the directory was written anew, again and again, and pages used for other keys
foreach my $round (1 .. 3)
{
	$node->safe_psql('postgres', $_) foreach ("DELETE FROM w WHERE k % 3 = $round % 3 OR k < 0", 'VACUUM (INDEX_CLEANUP ON) w',
		"INSERT INTO w SELECT (hashint8extended(g, 10 + $round) >> 3) + $round * 1000000000000000000, 2 FROM generate_series(1, 30000) g",
		"SELECT kyro.rebuild('w_k')");
}
$right = $node->safe_psql('postgres', 'SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; SELECT count(*), sum(k) FROM w');
is($old->query_safe('SELECT count(*), sum(k) FROM w WHERE k IS NOT NULL'), $right, 'idle since: forward');
is($new->query_safe('SELECT count(*), sum(k) FROM (SELECT k FROM w ORDER BY k DESC) x'), $right, 'idle since: backward');
$writer->query_safe('INSERT INTO w SELECT hashint8extended(g, 20), 3 FROM generate_series(1, 10000) g');
is($writer->query_safe('SELECT count(*) FROM generate_series(1, 10000) g, LATERAL (SELECT FROM w WHERE k = hashint8extended(g, 20) OFFSET 0) x'), '10000', 'idle since: rows inserted and found');
indexes_agree($node, 'postgres', 'at the end', ['w', 'k', 'w_k']);
log_lacks($node, 'PANIC|TRAP|terminated by signal|XX00', 'nothing bad in the log');
$_->quit foreach ($control, $vacuum, $old, $new, $writer);
$node->stop;
done_testing();
