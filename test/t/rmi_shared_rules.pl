# Which copies of directories are given to all sessions: none of a file that is not
# committed, not by parallel workers either; none that says to have taken in more of the
# split log than it has; none that others have to go for in vain; none if a session wants none.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $index_scans = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET max_parallel_workers_per_gather = 0;';
# the number of the first n keys that are found by look-ups
sub look_up
{
	my ($table, $n) = @_;

	return "SELECT count(*) FROM generate_series(1, $n) g JOIN $table ON k = hashint8extended(g, 0)";
}

sub totals { my ($n, $what) = @_; return $n->safe_psql('postgres', "SELECT $what FROM kyro.shared_directories()"); }

sub session
{
	my $s = $_[0]->background_psql('postgres', on_error_stop => 0);

	$s->query_safe($index_scans);
	return $s;
}

my $node = new_node('rules', init => [ allows_streaming => 1 ], conf => "max_connections = 60\nmax_prepared_transactions = 2\nkyro.autopilot = off\n");
add_index_checks($node, 'postgres');
my $a = session($node);

# ---- splits that only the overlay knows ----

# a copy of its own, since the file is not committed; then many new leaves at one place
$a->query_safe(q{BEGIN; CREATE TABLE t (k bigint); INSERT INTO t SELECT hashint8extended(g, 0) FROM generate_series(1, 100000) g;
CREATE INDEX t_k ON t USING kyro_rmi (k);} . look_up('t', 2000));
is(totals($node, 'made'), 0, 'an index that is not committed has no shared copy');
$a->query_safe(q{INSERT INTO t SELECT 1000000000000 + (g::bigint * 7919 % 60000) * 1000003 FROM generate_series(1, 60000) g; SELECT kyro.warmup('t_k') > 0; COMMIT});
my $splits = $node->safe_psql('postgres', q{SELECT splits_since FROM kyro.stat_indexes WHERE indexrelname = 't_k'});
cmp_ok($splits, '>', 20, 'an index with splits that are in the log only');
is($a->query_safe(look_up('t', 500)), 500, 'after the commit the session looks up');
is(totals($node, "copies || ' ' || made"), '1 1', 'in a copy that is now for all');
my $walked = q{SELECT pages_walked FROM kyro.stat_indexes WHERE indexrelname = 't_k'};
my $before = $node->safe_psql('postgres', $walked);
is($node->safe_psql('postgres', "$index_scans SELECT count(*) FROM generate_series(60000, 1, -1) g JOIN t ON k = 1000000000000 + g::bigint * 1000003"), 59999, 'another session finds what has been inserted');
my $more = $node->safe_psql('postgres', $walked) - $before;
cmp_ok($more, '<', 10, 'and knows the splits from the log after the first long walk');
note("splits $splits, pages walked $more");

# ---- files that are not committed ----

$node->safe_psql('postgres', q{CREATE TABLE keys (k bigint) WITH (parallel_workers = 2); INSERT INTO keys SELECT hashint8extended(g, 0) FROM generate_series(1, 20000) g; ANALYZE keys});
my $in_workers = q{SET LOCAL max_parallel_workers_per_gather = 2; SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL parallel_leader_participation = off; SET LOCAL enable_seqscan = on;};
my $in_parallel = 'SELECT count(*) FROM keys JOIN t USING (k)';
$a->query_safe("BEGIN; $in_workers TRUNCATE t; INSERT INTO t SELECT hashint8extended(g, 0) FROM generate_series(1, 100000) g");
my $plan = $a->query_safe("EXPLAIN $in_parallel");
like($plan, qr/Workers Planned: 2/, 'look-ups by parallel workers');
like($plan, qr/Index Only Scan using t_k/, 'in the index');
my $same = q{SELECT made, copies, replaced, evicted FROM kyro.shared_directories()};
my $shown = $node->safe_psql('postgres', $same);
is($a->query_safe($in_parallel), 20000, 'parallel workers in a transaction with a file of its own');
is($node->safe_psql('postgres', $same), $shown, 'do not give it to others');
$a->query_safe('ROLLBACK');
is($a->query_safe("BEGIN; $in_workers $in_parallel; COMMIT"), 20000, 'those of a transaction with the old file');
is($node->safe_psql('postgres', $same), $shown, 'use the copy that was there');

# ---- a session that wants no copies ----

my $models = q{SELECT without_model FROM kyro.stat_indexes WHERE indexrelname = 't_k'};
$before = $a->query_safe($models);
is($a->query_safe(look_up('t', 300)), 300, 'a session that uses the copy');
is($a->query_safe($models), $before, 'looks up with it');
$a->query_safe('SET kyro.directory_cache = 0');
is($a->query_safe(look_up('t', 300)), 300, 'one that wants none');
my $after = $a->query_safe($models);
cmp_ok($after, '>=', $before + 300, 'without it');
$a->query_safe('RESET kyro.directory_cache');
is($a->query_safe(look_up('t', 300)), 300, 'and if it wants them again');
is($a->query_safe($models), $after, 'with it at once');
$a->quit;

# ---- a drop that nobody hears of ----

$node->safe_psql('postgres', q{BEGIN; DROP TABLE t; PREPARE TRANSACTION 'drop'});
is(totals($node, 'copies'), 1, 'a drop that is prepared leaves the copy');
$node->safe_psql('postgres', q{COMMIT PREPARED 'drop'});
$node->append_conf('postgresql.conf', "kyro.autopilot = on\nkyro.autopilot_naptime = 1\n");
$node->reload;
ok($node->poll_query_until('postgres', 'SELECT copies = 0 AND used = 0 FROM kyro.shared_directories()'), 'when it is committed the autopilot finds that the index is gone');
$node->append_conf('postgresql.conf', "kyro.autopilot = off\n");

# ---- room in pieces ----

# 8 pages; three copies of two pages each, and one of five
$node->append_conf('postgresql.conf', "kyro.shared_directories = '32kB'");
$node->restart;
$node->safe_psql('postgres', join('', map { "CREATE TABLE r$_ (k bigint); INSERT INTO r$_ SELECT hashint8extended(g, 0) FROM generate_series(1, " . ($_ == 4 ? 440000 : 180000) . ") g; CREATE INDEX r${_}_k ON r$_ USING kyro_rmi (k) WITH (fillfactor = 20);" } 1 .. 4));
my $has = q{SELECT string_agg(i || ':' || kyro.shared_directory_bytes(i::regclass) / 4096, ' ' ORDER BY i) FROM unnest('{r1_k,r2_k,r3_k,r4_k}'::text[]) i WHERE kyro.shared_directory_bytes(i::regclass) > 0};
my %ends;
foreach my $used (1 .. 3)
{
	$node->restart;
	my ($d, $e) = (session($node), session($node));
	$d->query_safe(look_up("r$_", 3000)) foreach 1 .. 3;
	is($node->safe_psql('postgres', $has), 'r1_k:2 r2_k:2 r3_k:2', 'three copies');
	$e->query_safe("BEGIN; " . look_up("r$used", 5));
	is($d->query_safe(look_up('r4', 4000)), 4000, 'look-ups in an index whose copy takes five pages');
	# they must be next to one another, which those that can be had may not be
	my $end = totals($node, 'refused') . ': ' . $node->safe_psql('postgres', $has);
	like($end, qr/^(0: .*r4_k:5|[1-9]\d*: r1_k:2 r2_k:2 r3_k:2)$/, "while r$used is used: the others have to go, but not in vain");
	$ends{ $end =~ /^0/ ? 'room' : 'none' }++;
	$_->quit foreach $d, $e;
}
is(join(' ', sort keys %ends), 'none room', 'both has happened');

# ---- a copy that no session could keep to itself ----

# larger than a session may keep, and no room; later there is
$node->restart;
my ($d, $e) = (session($node), session($node));
$d->query_safe("SET kyro.directory_cache = '1kB'");
$e->query_safe(look_up('r4', 4000));
$e->query_safe('BEGIN; ' . look_up('r4', 5));
is($d->query_safe(look_up('r1', 3000)), 3000, 'a session with room for nothing looks up');
is($node->safe_psql('postgres', $has), 'r1_k:2 r4_k:5', 'in a shared copy');
is($d->query_safe(look_up('r2', 3000)), 3000, 'and in another');
is($node->safe_psql('postgres', $has), 'r2_k:2 r4_k:5', 'that has taken its place');
$d->query_safe('BEGIN; ' . look_up('r2', 5));
my $g = session($node);
$g->query_safe("SET kyro.directory_cache = '1kB'");
is($g->query_safe(look_up('r1', 3000)), 3000, 'if there is no room for that either, without one');
is($node->safe_psql('postgres', $has), 'r2_k:2 r4_k:5', 'those that are used stay');
$_->query_safe('COMMIT') foreach $d, $e;
$node->safe_psql('postgres', 'DROP TABLE r4');
is($g->query_safe(look_up('r1', 3000)), 3000, 'when there is room again');
is($node->safe_psql('postgres', $has =~ s/,r4_k//r), 'r1_k:2 r2_k:2', 'the same session makes a copy for all');
$_->quit foreach $d, $e, $g;
log_lacks($node, 'PANIC|TRAP|is retired', 'nothing bad in the log');
$node->stop;
done_testing();
