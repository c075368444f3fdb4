# Incremental backups, from PostgreSQL 17 on: they hold the blocks that WAL
# names, so each change of a page must be logged as one of that page.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my ($bindir) = run_command([ 'pg_config', '--bindir' ]);
plan skip_all => 'this version of PostgreSQL has no incremental backups' unless -x "$bindir/pg_combinebackup";

my $node = new_node('primary', init => [ allows_streaming => 1, extra => ['--data-checksums'] ], conf => "summarize_wal = on\n");
add_index_checks($node, 'postgres');
$node->safe_psql('postgres', q{
CREATE TABLE h (id bigint, k bigint);
CREATE TABLE s (id bigint PRIMARY KEY, k bigint, v text) USING kyro;
CREATE TABLE s_twin (LIKE s INCLUDING ALL) USING heap;
CREATE FUNCTION twice(q text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE replace(q, '$t', 's_twin');
	EXECUTE replace(q, '$t', 's');
END $$;
INSERT INTO h SELECT g, hashint8extended(g, 1) FROM generate_series(1, 20000) g;
CREATE INDEX h_k ON h USING kyro_rmi (k);
CREATE INDEX s_k ON s USING kyro_rmi (k);
SELECT twice('INSERT INTO $t SELECT g, hashint8extended(g, 2), md5(g::text) FROM generate_series(1, 20000) g');
SELECT kyro.snapshot('s', max_rows => 12000);
});
$node->backup('b0');

# Each round leaves other kinds of changes to the next backup.
my @rounds = (
	[ 'rows, splits and a seal', q{
INSERT INTO h SELECT g, hashint8extended(g, 1) FROM generate_series(20001, 30000) g;
SELECT twice('DELETE FROM $t WHERE id % 1000 = 1');
SELECT twice('UPDATE $t SET v = v || ''!'' WHERE id % 1000 = 2');
SELECT kyro.snapshot('s')} ],
	[ 'what VACUUM leaves', 'VACUUM (FREEZE, INDEX_CLEANUP ON) s, h' ],
	[ 'first touches and a new directory', q{
SELECT twice('UPDATE $t SET v = v || ''?'' WHERE id BETWEEN 15000 AND 15100');
DELETE FROM h WHERE id % 2 = 0;
SELECT leaves FROM kyro.rebuild('h_k')} ],
	[ 'a new file', 'VACUUM FULL s; REINDEX INDEX h_k' ]);
my @backups = ('b0');

foreach my $round (@rounds)
{
	my ($what, $sql) = @$round;
	my $name = 'b' . scalar(@backups);

	$node->safe_psql('postgres', $_) foreach split(/;/, $sql);
	$node->backup($name, backup_options => [ '--incremental', $node->backup_dir . "/$backups[-1]/backup_manifest" ]);

	my $copy = PostgreSQL::Test::Cluster->new("copy_$name");
	$copy->init_from_backup($node, $name, combine_with_prior => [@backups]);
	$copy->start;
	is($copy->safe_psql('postgres', q{
SELECT 'only in s: ' || x::text FROM (TABLE s EXCEPT ALL TABLE s_twin) x
UNION ALL SELECT 'only in s_twin: ' || x::text FROM (TABLE s_twin EXCEPT ALL TABLE s) x
UNION ALL SELECT 'hidden' FROM (SELECT count(*), sum(hashtextextended(v, 0)) FROM s WHERE id > 0 EXCEPT SELECT count(*), sum(hashtextextended(v, 0)) FROM s_twin) x
LIMIT 10}), '', "$what: twins are equal");
	is($copy->safe_psql('postgres', 'SELECT count(*), sum(k) FROM h'), $node->safe_psql('postgres', 'SELECT count(*), sum(k) FROM h'), "$what: so are heaps");
	indexes_agree($copy, 'postgres', "$what: indexes agree", [ 'h', 'k', 'h_k' ], [ 's', 'k', 's_k' ]);
	$copy->stop;
	$copy->command_ok([ 'pg_checksums', '--check', '-D', $copy->data_dir ], "$what: page checksums are right");
	$copy->clean_node;
	push @backups, $name;
}
$node->stop;

done_testing();
