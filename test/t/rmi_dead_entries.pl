# Entries of rows that are dead to everybody are removed by the scans, the unique checks and the
# inserts of further versions that meet them, by both carriers: what is read or changed again
# and again does not become slower with each update.  Not while somebody may still see the rows,
# here or on a standby.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;

delete $ENV{KYRO_CARRIER};
my $node = new_node('dead_entries', init => [ allows_streaming => 1, extra => ['--data-checksums'] ],
	conf => "hot_standby_feedback = off\nmax_standby_streaming_delay = -1\n");

# pages with much room: the heap does not prune them, which would cancel queries of a standby just as well
sub table
{
	my ($name, $am, $carrier, $unique) = @_;

	$carrier //= 'own';
	$unique //= '';
	$node->safe_psql('postgres', qq{
SET kyro.resource_manager = @{[$carrier eq 'own' ? 'on' : 'off']};
CREATE TABLE $name (k bigint, n bigint) USING $am;
INSERT INTO $name SELECT g, 0 FROM generate_series(1, 20) g;
CREATE $unique INDEX ${name}_k ON $name USING kyro_rmi (k);
CREATE INDEX ${name}_n ON $name USING btree (n);
});
}
sub update
{
	my ($name, $times) = @_;

	$node->safe_psql('postgres', join('', map { "UPDATE $name SET n = n + 1 WHERE k = 7;\n" } 1 .. $times));
}
my $set = 'SET enable_seqscan = off; SET enable_bitmapscan = off;';
sub value { return $_[0]->safe_psql('postgres', "$set SELECT n FROM $_[1] WHERE k = 7"); }
sub entries { return $node->safe_psql('postgres', qq{SELECT matches FROM kyro.trace('$_[0]_k', 7)}); }

add_index_checks($node, 'postgres');
table('h', 'heap');
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('dead_entries_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;

# ---- one session after the other ----

update('h', 60);
cmp_ok(entries('h'), '>', 50, 'updates leave entries');
is(value($node, 'h'), 60, 'the row');
cmp_ok(entries('h'), '<', 40, 'who looks for it removes those of dead rows');
is(value($node, 'h'), 60, 'the same row');
update('h', 40);
is(value($node, 'h'), 100, 'the row, later');
$node->safe_psql('postgres', "$set SELECT count(k) FROM h WHERE k BETWEEN 1 AND 20");
indexes_agree($node, 'postgres', 'and everything agrees', ['h', 'k', 'h_k']);

# ---- snapshots ----

my $old = $node->background_psql('postgres');
$old->query_safe("$set BEGIN ISOLATION LEVEL REPEATABLE READ");
is($old->query_safe('SELECT n FROM h WHERE k = 7'), 100, 'an old snapshot');
update('h', 90);
is(value($node, 'h'), 190, 'a new one');
cmp_ok(entries('h'), '>', 90, 'nothing is removed that the old one may see');
is($old->query_safe('SELECT n FROM h WHERE k = 7'), 100, 'and it sees it');
$old->query_safe('COMMIT');
value($node, 'h') foreach 1 .. 3;
cmp_ok(entries('h'), '<', 100, 'but afterwards');
$old->quit;
$node->wait_for_catchup($standby);

# ---- a standby ----

is(value($standby, 'h'), 190, 'the standby has the same');
my $reader = $standby->background_psql('postgres');
$reader->query_safe("$set BEGIN ISOLATION LEVEL REPEATABLE READ");
is($reader->query_safe('SELECT n FROM h WHERE k = 7'), 190, 'an old snapshot there');
update('h', 60);
my $before = entries('h');
# the row whose entry is to go is one that the standby's query sees
value($node, 'h') foreach 1 .. 3;
cmp_ok(entries('h'), '<', $before, 'removed on the primary');
ok($standby->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = 'RecoveryConflictSnapshot'}),
	'replay waits for a query that sees the rows');
is($reader->query_safe('SELECT n FROM h WHERE k = 7'), 190, 'which still finds its row');
$reader->query_safe('COMMIT');
$reader->quit;
$node->wait_for_catchup($standby);
is(value($standby, 'h'), 250, 'then the standby goes on');
indexes_agree($standby, 'postgres', 'and agrees', ['h', 'k', 'h_k']);

# ---- a queue: the first of many, most of them done ----

$node->safe_psql('postgres', q{
CREATE TABLE q (k bigint, n bigint);
CREATE INDEX q_k ON q USING kyro_rmi (k);
INSERT INTO q SELECT g, g FROM generate_series(1, 30000) g;
DELETE FROM q WHERE k < 29000;
});
my $first = "$set EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT k FROM q ORDER BY k LIMIT 1";
my $buffers = sub { return $node->safe_psql('postgres', $first) =~ /Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?/ ? ($1 // 0) + ($2 // 0) : die 'no count'; };
my $much = $buffers->();
my $little = $buffers->();
cmp_ok($little * 3, '<', $much, "the first of a queue: $much buffers, and $little the second time");
indexes_agree($node, 'postgres', 'the queue agrees', ['q', 'k', 'q_k']);

# ---- kyro tables ----

table('s', 'kyro');
$node->safe_psql('postgres', q{SELECT rows FROM kyro.snapshot('s')});
update('s', 100);
is(value($node, 's'), 100, 'a kyro table: the row');
value($node, 's');
cmp_ok(entries('s'), '<', 60, 'the entries of its dead versions are removed');
indexes_agree($node, 'postgres', 'a kyro table agrees', ['s', 'k', 's_k']);

# ---- generic WAL, unique checks, inserts: standbys are told by each ----

my @more = (['g', 'generic', ''], ['u', 'own', 'UNIQUE'], ['gu', 'generic', 'UNIQUE'], ['v', 'own', ''], ['gv', 'generic', '']);
foreach (@more)
{
	my ($name, $carrier, $unique) = @$_;

	table($name, 'heap', $carrier, $unique);
	is($node->safe_psql('postgres', "SELECT carrier FROM kyro.stat_indexes WHERE indexrelid = '${name}_k'::regclass"), $carrier, "$name: carrier $carrier");
	update($name, 5);
	$node->wait_for_catchup($standby);
	$reader = $standby->background_psql('postgres');
	$reader->query_safe("$set BEGIN ISOLATION LEVEL REPEATABLE READ");
	is($reader->query_safe("SELECT n FROM $name WHERE k = 7"), 5, "$name: an old snapshot on the standby");

	# by scans; by the unique check, which looks at 32 dead rows; or by the insert whose leaf is to be merged: at
	# least twice as many, and under generic WAL 128 versions
	update($name, $name =~ /v/ ? $carrier eq 'own' ? 80 : 140 : 60);
	value($node, $name) if $name eq 'g';
	cmp_ok(entries($name), '<', 60, "$name: entries are removed on the primary");
	ok($standby->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = 'RecoveryConflictSnapshot'}),
		"$name: replay waits for a query that sees the rows");
	is($reader->query_safe("SELECT n FROM $name WHERE k = 7"), 5, "$name: which still finds its row");
	$reader->query_safe('COMMIT');
	$reader->quit;
	$node->wait_for_catchup($standby);
	is(value($standby, $name), value($node, $name), "$name: then the standby goes on");
	indexes_agree($standby, 'postgres', "$name: and agrees", [$name, 'k', "${name}_k"]);
}

# ---- unlogged tables have no standby, and begin anew after a crash ----

$node->safe_psql('postgres', q{
CREATE UNLOGGED TABLE l (k bigint, n bigint);
INSERT INTO l SELECT g, 0 FROM generate_series(1, 20) g;
CREATE UNIQUE INDEX l_k ON l USING kyro_rmi (k);
CREATE INDEX l_n ON l (n);
});
update('l', 100);
cmp_ok(entries('l'), '<', 60, 'unlogged: entries are removed');
indexes_agree($node, 'postgres', 'unlogged: it agrees', ['l', 'k', 'l_k']);

# ---- and all of it again, by replay ----

$node->wait_for_catchup($standby);
my @all = map { [$_, 'k', "${_}_k"] } qw(h s q), map { $_->[0] } @more;
is(value($standby, $_), value($node, $_), "the standby's $_") foreach map { $_->[0] } grep { $_->[0] ne 'q' } @all;
indexes_agree($standby, 'postgres', 'the standby agrees', @all);
log_lacks($standby, 'inconsistent page|PANIC|TRAP', 'replayed as it was done');
$standby->stop;
$node->stop('immediate');
$node->start;
indexes_agree($node, 'postgres', 'after a crash', @all);
is($node->safe_psql('postgres', "$set SELECT count(*) FROM l"), '0', 'the unlogged table is empty');
$node->safe_psql('postgres', 'INSERT INTO l SELECT g, 0 FROM generate_series(1, 20) g');
update('l', 100);
cmp_ok(entries('l'), '<', 60, 'and entries are removed there again');
indexes_agree($node, 'postgres', 'and it agrees', ['l', 'k', 'l_k']);
log_lacks($node, 'inconsistent page|PANIC|TRAP', 'and nothing bad in the log');
$node->stop;
done_testing();
