# kyro_rmi indexes on heaps and on kyro tables: pgbench writes (PgbenchTwin.pm), VACUUM, CREATE
# INDEX CONCURRENTLY, rebuilds and seals go on, and the server is killed in several ways (Crash.pm).
# After each recovery every index is sound and answers as its table does,
# tables are equal to their heap twin, and what a client was told is committed is there.
#
# Runs with both carriers.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Crash;
use KyroTest;
use PgbenchTwin;
use Test::More;

my $node = crash_node('crash');
pgbench_setup($node);

# The comparison finds what it should.
foreach my $harm ('DELETE FROM h WHERE id = 5', 'INSERT INTO s VALUES (-7000, 1, now(), 0)', 'UPDATE b SET v = 99 WHERE id = 6')
{
	like($node->safe_psql('postgres', "BEGIN; $harm; SELECT pb_differences(); ROLLBACK;"), qr/[hs] (?:alone has|lacks)/, "the comparison finds: $harm");
}
foreach my $told (5, 1)
{
	$node->safe_psql('postgres', 'TRUNCATE done; INSERT INTO done VALUES (0, 3)');
	$node->{acknowledged} = [$told];
	like(pgbench_settle($node, 1), qr/told of $told transactions, 3 are there/, "3 transactions are there, the client was told of $told");
}
crash_rounds($node, {
		start => sub { return pgbench_start($node, @_); },
		join => \&pgbench_join,
		settle => sub { return pgbench_settle($node, @_); },
		differences => sub { return pgbench_differences($node); },
		between => sub { pgbench_between($node, @_); },
		done => \&pgbench_done });
done_testing();
