# Nobody waits for a worker that compacts: while it vacuums and moves the rows of a table, which is made to take minutes, sessions that want
# the strongest lock get it within their lock_timeout, in each of its phases, and writers write; in the end the table is compacted and sound.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

# a worker sleeps for up to 0.16 s at each page
my $node = new_node('compacts', conf => q{
kyro.autopilot = on
kyro.autopilot_naptime = 1s
kyro.cost_limit = 1
kyro.cost_delay = 40
deadlock_timeout = 100ms
});

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{CREATE EXTENSION kyrodb;
CREATE TABLE c (id bigint, n int, v text) USING kyro;
CREATE INDEX c_id ON c USING kyro_rmi (id)});
foreach my $run (0 .. 3)
{
	sql("INSERT INTO c SELECT g, 0, repeat('v', 100) FROM generate_series($run * 20000 + 1, $run * 20000 + 20000) g");
	sql(q{SELECT kyro.snapshot('c')});
}
sql('VACUUM c');
sql('DELETE FROM c WHERE id % 10 > 0');
my $pages = sql(q{SELECT pg_relation_size('c') / 8192});
# rows in the log would be sealed first
sql(q{SELECT kyro.set_policy('c', seal_rows => 1000000000, compact => true)});
is(sql(q{SELECT compact_due FROM kyro.stat_policies WHERE relname = 'c'}), 'dead', 'it pays to compact the table');

my $compacting = q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'kyrodb worker' AND query ~ 'compacting'};
foreach my $round (1 .. 4)
{
	ok($node->poll_query_until('postgres', $compacting), "round $round: a worker is at it");
	my ($rc, $out, $err) = $node->psql('postgres', "SET lock_timeout = '10s'; UPDATE c SET n = n + 1 WHERE id = 10 * $round; BEGIN; LOCK TABLE c IN ACCESS EXCLUSIVE MODE; COMMIT; ALTER TABLE c SET (autovacuum_enabled = off)");

	is($err, '', "round $round: a row is updated, and the lock of the table is had in time") or diag(sql('SELECT * FROM kyro.stat_worker'));
	# with a higher pace it comes to another phase
	$node->append_conf('postgresql.conf', 'kyro.cost_limit = ' . 4**$round . "\n");
	$node->reload;
}
cmp_ok(sql(q{SELECT pg_relation_size('c') / 8192}), '>', 0.9 * $pages, 'it was stopped before the end');
$node->append_conf('postgresql.conf', "kyro.cost_delay = 0\n");
$node->reload;
ok($node->poll_query_until('postgres', "SELECT pg_relation_size('c') / 8192 < $pages / 3"), 'the table is compacted');
is(sql('SELECT count(*), sum(n), sum(id) FROM c'), '8000|4|320040000', 'and has its rows');
is(sql(qq{SELECT count(*) FROM kyro.verify('$_', deep => true)}), '0', "$_ is sound") foreach qw(c c_id);
is(sql('SELECT count(*) FROM kyro.stat_worker WHERE failures > 0'), '0', 'to step back is no failure');
$node->stop;
done_testing();
