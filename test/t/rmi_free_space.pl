# What the free space map of an index says need not be so: it is not logged, and
# a crash or a restore can leave an old one beside a newer file.  Blocks that do
# not exist, and pages in use, are not taken for free ones.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('free_space');
add_index_checks($node, 'postgres');
$node->safe_psql('postgres', q{
CREATE TABLE e (k bigint) WITH (autovacuum_enabled = off);
CREATE INDEX e_k ON e USING kyro_rmi (k);
INSERT INTO e SELECT hashint8extended(g, 1) >> 2 FROM generate_series(1, 2000) g;
VACUUM e;
CHECKPOINT;
});
my $file = relation_file($node, 'e_k');
$node->stop;
my @small = read_pages($file);

# a transaction that is rolled back leaves many free pages
$node->start;
$node->safe_psql('postgres', q{
BEGIN;
INSERT INTO e SELECT (1::bigint << 62) + (hashint8extended(g, 2) >> 2 & 1152921504606846975) FROM generate_series(1, 40000) g;
ROLLBACK;
ALTER TABLE e SET (vacuum_truncate = off);
VACUUM e;
VACUUM e;
ALTER TABLE e RESET (vacuum_truncate);
});
$node->stop;
my @map = read_pages("${file}_fsm");
cmp_ok(scalar grep({ page_kind($_) == PAGE_FREE } read_pages($file)), '>', 50, 'there are free pages');

# the map knows of pages that the file does not have
write_pages($file, @small);
$node->start;
indexes_agree($node, 'postgres', 'free pages that do not exist', ['e', 'k', 'e_k']);
$node->safe_psql('postgres', 'INSERT INTO e SELECT hashint8extended(g, 3) FROM generate_series(1, 20000) g');
indexes_agree($node, 'postgres', 'free pages that do not exist, after inserts', ['e', 'k', 'e_k']);
$node->safe_psql('postgres', q{DELETE FROM e WHERE k % 2 = 0; VACUUM e});
$node->safe_psql('postgres', q{SELECT kyro.rebuild('e_k')});
indexes_agree($node, 'postgres', 'and after VACUUM', ['e', 'k', 'e_k']);
$node->stop;

# all that was free then is in use now
write_pages("${file}_fsm", @map);
$node->start;
$node->safe_psql('postgres', 'INSERT INTO e SELECT hashint8extended(g, 4) FROM generate_series(1, 20000) g');
indexes_agree($node, 'postgres', 'free pages that are in use', ['e', 'k', 'e_k']);
$node->safe_psql('postgres', q{SELECT kyro.rebuild('e_k')});
$node->safe_psql('postgres', q{DELETE FROM e WHERE k % 3 = 0; VACUUM e});
indexes_agree($node, 'postgres', 'and after VACUUM', ['e', 'k', 'e_k']);
$node->stop;

# a map of nothing but noise, and none
foreach my $noise ("\xff" x 8144, '')
{
	write_pages("${file}_fsm", $noise eq '' ? () : map { substr($_, 0, 48) . $noise } @map);
	$node->start;
	$node->safe_psql('postgres', 'INSERT INTO e SELECT hashint8extended(g, 5) FROM generate_series(1, 20000) g');
	$node->safe_psql('postgres', q{DELETE FROM e WHERE k % 2 <> 0; VACUUM e});
	indexes_agree($node, 'postgres', $noise eq '' ? 'no map' : 'a map where all is free', ['e', 'k', 'e_k']);
	$node->stop;
}
# pages whose entries are on other leaves, left by a VACUUM that failed: standbys may have them pinned
sub unswept { return grep { page_kind($_) == PAGE_FREE && unpack('v', substr($_, 8184, 2)) != 0 } read_pages($file); }
$node->start;
SKIP:
{
	skip 'with own records, and debug points', 5 if !own_carrier() || !has_debug_points($node);
	$node->safe_psql('postgres', 'VACUUM e; INSERT INTO e SELECT hashint8extended(g, 6) FROM generate_series(1, 20000) g; DELETE FROM e WHERE k % 5 <> 0');
	my ($rc, $out, $err) = $node->psql('postgres', q{SET kyro.debug_error = 'rmi-joined'; VACUUM (INDEX_CLEANUP ON) e});
	like($err, qr/error at debug point/, 'VACUUM fails when leaves have become fewer');
	$node->stop;
	my $pages = unswept();
	cmp_ok($pages, '>', 0, 'which leaves pages that are not to be used yet');
	write_pages("${file}_fsm", map { substr($_, 0, 48) . "\xff" x 8144 } @map);
	$node->start;
	$node->safe_psql('postgres', 'INSERT INTO e SELECT hashint8extended(g, 7) FROM generate_series(1, 20000) g');
	$node->stop;
	is(scalar unswept(), $pages, 'and are not');
	$node->start;
	$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) e');
	$node->stop;
	is(scalar unswept(), 0, 'until VACUUM releases them');
	$node->start;
	indexes_agree($node, 'postgres', 'and all is well', [ 'e', 'k', 'e_k' ]);
}
$node->stop;
log_lacks($node, 'PANIC|TRAP|terminated by signal|XX00', 'nothing bad in the log');
done_testing();
