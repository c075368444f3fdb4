# A kyro table and its heap twin get the same random statements from several
# sessions at once, while a third kind of session seals, vacuums, compacts and
# reindexes, and a fourth reads: StoreTwin.pm has the rules.  After each round,
# and to every snapshot meanwhile, the twins are equal in every way.
#
# KYRO_ROUNDS, KYRO_SECONDS (of a round) and KYRO_SEED make it longer or another.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use StoreTwin;
use Test::More;

my $rounds = $ENV{KYRO_ROUNDS} // 3;
my $seconds = $ENV{KYRO_SECONDS} // 8;
my $seed = twin_seed();

my $node = new_node('twin', init => [ extra => ['--data-checksums'] ],
	conf => "max_connections = 40\nmax_prepared_transactions = 20\nmax_parallel_workers = 4\n");
note("seed $seed, access method " . twin_am());
twin_setup($node, unique => 'kyro_rmi');
twins_agree($node, 'at the beginning');

# The comparison finds what it should.
foreach my $harm ('DELETE FROM a WHERE id = 100', q{UPDATE a SET s = s || 'x' WHERE id = 100004}, 'INSERT INTO a (id, uq) VALUES (99000, -1)',
	'UPDATE ca SET v = NULL WHERE id = (SELECT min(id) FROM ca)', 'INSERT INTO cb VALUES (-1)')
{
	$node->safe_psql('postgres', q{INSERT INTO ca VALUES (1, 0, NULL, 'x') ON CONFLICT DO NOTHING; INSERT INTO cb VALUES (1, 0, NULL, 'x') ON CONFLICT DO NOTHING});
	my $found = $node->safe_psql('postgres', "BEGIN; $harm; SELECT tw_differences(); ROLLBACK;");
	like($found, qr/alone has|lacks/, "the comparison finds: $harm");
	if ($harm =~ / a /)
	{
		my ($rc, $out, $err) = $node->psql('postgres', "BEGIN; $harm; SELECT tw_probe(i / 100.0) FROM generate_series(1, 90) i;");
		like($err, qr/twins differ: a snapshot/, 'and probes do');
	}
}
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT tw_pair('rows', 'UPDATE $t SET n = length(''$t$c'') + CASE ''$t'' WHEN ''a'' THEN 1 ELSE 0 END WHERE id = 100 RETURNING $t.*')});
like($err, qr/twins differ: rows/, 'a pair of statements that returns different rows is an error');

foreach my $round (1 .. $rounds)
{
	my $load = twin_start($node, $seconds, writers => 5, readers => 1, maintenance => 1, seed => $seed + $round);

	is(twin_join($load), '', "round $round: no session met anything unexpected");
	twin_settle($node, $seed);
	twins_agree($node, "round $round: twins are equal");
	# and they are when everything is sealed and cleaned
	$node->safe_psql('postgres', "SELECT tw_seal('a', NULL), tw_seal('ca', NULL)");
	$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) a, ca');
	twins_agree($node, "round $round: twins are equal after a seal and VACUUM");
	next if $round != 1;
	$node->safe_psql('postgres', "ALTER TABLE $_ SET ACCESS METHOD heap; ALTER TABLE $_ SET ACCESS METHOD " . twin_am()) foreach qw(a ca);
	twins_agree($node, "round $round: twins are equal after both changes of access method");
}
my ($statements, $transactions, $errors) = twin_totals();
note("$statements statements for both, $transactions transactions; errors $errors");
cmp_ok($statements, '>', 100 * $rounds, 'the load was one');
log_lacks($node, 'PANIC|inconsistent page|TRAP|invalid page|terminated by signal', 'nothing bad in the log');
$node->stop;
done_testing();
