# What a seal logs: the rows in their run, what it changes in the headers of the rows in the log, and what is
# new in indexes; not a page of the visibility map for each page of the log, nor a page of
# the index for a few entries there.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

delete $ENV{KYRO_CARRIER};
my $node = new_node('store_seal_wal', init => [ allows_streaming => 1 ],
	conf => "kyro.autopilot = off\nwal_consistency_checking = ''\n");
my $rows = 60000;
my $seen = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*), sum(k) FROM t WHERE k > 0';

$node->safe_psql('postgres', qq{
CREATE EXTENSION kyrodb;
SET kyro.sealed_load = off;
CREATE TABLE t (k bigint, v text) USING kyro;
CREATE INDEX t_k ON t USING kyro_rmi (k);
});
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('store_seal_wal_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
# every page is on the visibility map, as after a load; no checkpoint comes between
$node->safe_psql('postgres', "INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, $rows) g");
$node->safe_psql('postgres', 'VACUUM t');
my $pages = $node->safe_psql('postgres', "SELECT relallvisible FROM pg_class WHERE oid = 't'::regclass");
cmp_ok($pages, '>', 500, 'all pages of the log are visible to all');
# some rows that others hold or have removed
$node->safe_psql('postgres', 'DELETE FROM t WHERE k % 1000 = 7');

my $before = $node->lsn('insert');
$node->safe_psql('postgres', q{CALL kyro.seal('t', batch => 20000)});
my $bytes = $node->safe_psql('postgres', "SELECT pg_current_wal_insert_lsn() - '$before'::pg_lsn");
my @maps = grep { /fork vm/ } split /\n/, wal_of($node, $before, 't');
cmp_ok(scalar(@maps), '<', $pages / 8, 'a seal logs few images of the visibility map');
cmp_ok($bytes / $rows, '<', 130, 'and few bytes a row');

my $expected = $node->safe_psql('postgres', 'SET enable_indexscan = off; SET enable_indexonlyscan = off; SELECT count(*), sum(k) FROM t');
# not on the primary before: the scan would remove the entries of stamped rows
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $seen), $expected, 'the index sees what there is, on the standby');

# keys in random order: each batch has a few entries for each leaf
my $random = "hashint8extended(g, 42)";
my $seen_random = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*), sum(k) FROM u WHERE k IS NOT NULL';
$node->safe_psql('postgres', qq{
SET kyro.sealed_load = off;
CREATE TABLE u (k bigint, v text) USING kyro;
INSERT INTO u SELECT $random, md5(g::text) FROM generate_series(1, $rows) g;
CREATE INDEX u_k ON u USING kyro_rmi (k);
VACUUM u;
});
# some leaves are not as the index has made them
$node->safe_psql('postgres', "DELETE FROM u WHERE k % 1000 = 7; INSERT INTO u SELECT $random, 'late' FROM generate_series($rows + 1, $rows + 100) g");
$before = $node->lsn('insert');
$node->safe_psql('postgres', q{CALL kyro.seal('u', batch => 5000)});
my @records = split /\n/, wal_of($node, $before, 'u_k');
cmp_ok(scalar(grep { /\(e0\)/i } @records), '>', 300, 'entries of a leaf are one record');
my $size = 0;
$size += /len \(rec\/tot\):\s*\d+\/\s*(\d+)/ ? $1 : die $_ foreach grep { !/SPLIT/ } @records;
cmp_ok($size / $rows, '<', 30, 'that has the entries');
my $expected_random = $node->safe_psql('postgres', 'SET enable_indexscan = off; SET enable_indexonlyscan = off; SELECT count(*), sum(k) FROM u');
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $seen_random), $expected_random, 'the index sees what there is, on the standby');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM kyro.verify('u', deep => true)}), 0, 'where it is sound');

$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', $seen_random), $expected_random, 'random keys after a crash');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kyro.verify('u', deep => true)}), 0, 'which are sound');
is($node->safe_psql('postgres', $seen), $expected, 'and after a crash');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kyro.verify('t', deep => true)}), 0, 'and all is sound');
log_lacks($standby, 'PANIC|TRAP', 'nothing bad in the log of the standby');
log_lacks($node, 'PANIC|TRAP', 'nor in ours');
$standby->stop;
$node->stop;
done_testing();
