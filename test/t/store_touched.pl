# Sealed rows that are updated and deleted, untouched or touched before, while wal_level is replica
# and after it has become logical: what is decoded is what is decoded of a heap, TOAST values go with
# their rows, and a standby and a crash make of it what the primary has.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('touched', init => [ allows_streaming => 1 ], conf => "wal_consistency_checking = 'all'\nmax_prepared_transactions = 10\nautovacuum = off\n");
$node->safe_psql('postgres', q{
CREATE EXTENSION kyrodb;
CREATE SCHEMA k;
CREATE SCHEMA h;
CREATE FUNCTION wide(i int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT string_agg(md5((i * 1000 + g)::text), '') FROM generate_series(1, 100) g
$$;
});
foreach my $schema ('k', 'h')
{
	my $am = $schema eq 'k' ? 'kyro' : 'heap';

	$node->safe_psql('postgres', qq{
CREATE TABLE $schema.t (id int PRIMARY KEY, n int, empty text, v text) USING $am;
CREATE TABLE $schema.whole (id int PRIMARY KEY, n int, empty text, v text) USING $am;
ALTER TABLE $schema.t ALTER v SET STORAGE EXTERNAL;
ALTER TABLE $schema.whole ALTER v SET STORAGE EXTERNAL, REPLICA IDENTITY FULL;
INSERT INTO $schema.t SELECT g, g, NULL, CASE WHEN g % 2 = 0 THEN wide(g) ELSE 'v' || g END FROM generate_series(1, 600) g;
INSERT INTO $schema.whole SELECT * FROM $schema.t;
});
}
$node->safe_psql('postgres', q{SELECT kyro.snapshot('k.t'), kyro.snapshot('k.whole'); VACUUM k.t, k.whole});

$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('touched_standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;

sub twins
{
	my ($server, $what) = @_;

	foreach my $table ('t', 'whole')
	{
		is($server->safe_psql('postgres', qq{SELECT 'only in ' || s || ': ' || x FROM ((SELECT 'k' AS s, left(a::text, 100) AS x FROM (TABLE k.$table EXCEPT ALL TABLE h.$table) a)
			UNION ALL (SELECT 'h', left(a::text, 100) FROM (TABLE h.$table EXCEPT ALL TABLE k.$table) a)) d}), '', "$what: $table has the rows of its twin");
		is($server->safe_psql('postgres', "SELECT * FROM kyro.verify('k.$table', true)"), '', "$what: $table is sound");
	}
}

sub both
{
	my ($sql) = @_;

	foreach my $schema ('k', 'h')
	{
		$node->safe_psql('postgres', "SET search_path = $schema, public; SET enable_seqscan = off; SET enable_bitmapscan = off; $sql");
	}
}

# one by one and many, rolled back in part and whole, prepared, and rows that are only locked
foreach my $table ('t', 'whole')
{
	both(qq{
UPDATE $table SET n = -n WHERE id = 1;
UPDATE $table SET id = -id WHERE id = 3;
DELETE FROM $table WHERE id IN (5, 6);
BEGIN; UPDATE $table SET n = 0 WHERE id BETWEEN 10 AND 20; DELETE FROM $table WHERE id BETWEEN 21 AND 30; ROLLBACK;
BEGIN; SAVEPOINT a; UPDATE $table SET n = 0 WHERE id BETWEEN 31 AND 40; ROLLBACK TO a; DELETE FROM $table WHERE id BETWEEN 35 AND 45; UPDATE $table SET n = 7 WHERE id BETWEEN 46 AND 50; COMMIT;
BEGIN; DELETE FROM $table WHERE id = 51; UPDATE $table SET n = 1 WHERE id = 52; PREPARE TRANSACTION 'p1';
BEGIN; DELETE FROM $table WHERE id = 53; UPDATE $table SET n = 1 WHERE id = 54; PREPARE TRANSACTION 'p2';
SELECT id FROM $table WHERE id BETWEEN 60 AND 90 FOR UPDATE;
UPDATE $table SET n = n + 1 WHERE id BETWEEN 100 AND 200;
DELETE FROM $table WHERE id BETWEEN 201 AND 300;
COMMIT PREPARED 'p1';
ROLLBACK PREPARED 'p2';
UPDATE $table SET v = wide(-id) WHERE id IN (310, 311);
UPDATE $table SET v = 'short' WHERE id IN (320, 321);
});
}
twins($node, 'replica');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
twins($standby, 'standby');
$node->stop('immediate');
$node->start;
twins($node, 'after a crash');

# From now on changes are decoded.  Ledger tuples are there of the rows that were locked, and of those of which the
# change was rolled back.
$node->append_conf('postgresql.conf', "wal_level = logical\n");
$node->restart;
foreach my $table ('t', 'whole')
{
	my %got;

	$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('d', 'test_decoding')});
	foreach my $schema ('h', 'k')
	{
		$node->safe_psql('postgres', "SET search_path = $schema, public; SET enable_seqscan = off; SET enable_bitmapscan = off;" . qq{
UPDATE $table SET n = 1 WHERE id BETWEEN 10 AND 12;
UPDATE $table SET id = -id WHERE id BETWEEN 13 AND 16;
DELETE FROM $table WHERE id BETWEEN 17 AND 30;
DELETE FROM $table WHERE id BETWEEN 60 AND 70;
UPDATE $table SET id = -id WHERE id BETWEEN 71 AND 80;
BEGIN; DELETE FROM $table WHERE id BETWEEN 81 AND 90; UPDATE $table SET n = 2 WHERE id BETWEEN 400 AND 410; DELETE FROM $table WHERE id BETWEEN 411 AND 420; COMMIT;
});
		$got{$schema} = $node->safe_psql('postgres', q{SELECT data FROM pg_logical_slot_get_changes('d', NULL, NULL, 'include-xids', '0')});
		$got{$schema} =~ s/\btable [kh]\./table /g;
	}
	is(scalar(() = $got{h} =~ /DELETE:/g), 45, "$table: there is something to compare");
	is($got{k}, $got{h}, "$table: the same is decoded as from a heap");
	$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('d')});
}
twins($node, 'logical');

# TOAST values are there for the rows that are, and for no others
foreach my $table ('t', 'whole')
{
	my @chunks = map {
		my $toast = $node->safe_psql('postgres', "SELECT reltoastrelid::regclass FROM pg_class WHERE oid = '$_.$table'::regclass");
		$node->safe_psql('postgres', "SELECT count(DISTINCT chunk_id) FROM $toast")
	} ('k', 'h');

	is($chunks[0], $chunks[1], "$table: as many TOAST values as its twin has");
}
$node->safe_psql('postgres', 'VACUUM FULL k.t; VACUUM FULL k.whole');
twins($node, 'after VACUUM FULL');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
twins($standby, 'standby at the end');
$standby->stop;
$node->stop;
done_testing();
