# The load of store_twin.pl, with the server killed in the middle of it, in
# several ways (see Crash.pm): after each recovery the kyro table and its heap
# twin are equal in every way, and go on.
#
# Runs with both carriers.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Crash;
use KyroTest;
use StoreTwin;
use Test::More;

my $node = crash_node('store_crash');
twin_setup($node, unique => 'kyro_rmi');
crash_rounds($node, {
		start => sub {
			my ($seconds, $seed) = @_;

			return twin_start($node, $seconds, writers => 4, maintenance => 1, seed => $seed);
		},
		join => sub { return twin_join($_[0], 1); },
		settle => sub { twin_settle($node, $_[0]); return ''; },
		differences => sub { return twin_differences($node); },
		between => sub {
			# what a crash left is no obstacle
			$node->safe_psql('postgres', "SELECT tw_seal('a', NULL), tw_seal('ca', NULL)");
			$node->safe_psql('postgres', rand() < 0.5 ? 'VACUUM FULL a' : 'VACUUM (INDEX_CLEANUP ON) a, ca');
		},
		done => sub {
			my ($statements, $transactions, $errors) = twin_totals();

			return ($transactions, "$statements statements for both; errors $errors");
		} });
done_testing();
