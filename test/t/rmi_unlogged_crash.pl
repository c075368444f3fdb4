# Unlogged tables are empty after a crash, their indexes too, and both work on.
#
# Runs with both carriers.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

foreach my $preload (0, 1)
{
	my $with = $preload ? 'preloaded' : 'not preloaded';
	my $node = new_node("unlogged$preload", preload => $preload);
	my $fill = 'INSERT INTO unl SELECT g, hashint8extended(g, 1) FROM generate_series(1, 12000) g';

	add_index_checks($node, 'postgres');
	$node->safe_psql('postgres', qq{
SET client_min_messages = error;
CREATE UNLOGGED TABLE unl (id bigint, k bigint);
CREATE INDEX unl_k ON unl USING kyro_rmi (k);
CREATE UNIQUE INDEX unl_id ON unl USING kyro_rmi (id);
$fill;
CREATE UNLOGGED TABLE made_full AS SELECT * FROM unl;
CREATE INDEX full_k ON made_full USING kyro_rmi (k);
CREATE TABLE logged (id bigint, k bigint);
CREATE INDEX logged_k ON logged USING kyro_rmi (k);
INSERT INTO logged SELECT * FROM unl;
CREATE UNLOGGED TABLE becomes_logged AS SELECT * FROM unl;
CREATE INDEX becomes_k ON becomes_logged USING kyro_rmi (k);
ALTER TABLE becomes_logged SET LOGGED;
CREATE TABLE becomes_unlogged AS SELECT * FROM unl;
CREATE INDEX lost_k ON becomes_unlogged USING kyro_rmi (k);
ALTER TABLE becomes_unlogged SET UNLOGGED;
});
	my @indexes = (['unl', 'k', 'unl_k'], ['unl', 'id', 'unl_id'], ['made_full', 'k', 'full_k'], ['logged', 'k', 'logged_k'],
		['becomes_logged', 'k', 'becomes_k'], ['becomes_unlogged', 'k', 'lost_k']);

	indexes_agree($node, 'postgres', "$with: before", @indexes);
	# an orderly restart keeps the rows
	$node->restart;
	is($node->safe_psql('postgres', 'SELECT count(*) FROM unl WHERE k IS NOT NULL'), '12000', "$with: kept by an orderly restart");
	indexes_agree($node, 'postgres', "$with: after an orderly restart", @indexes);
	foreach my $round (1, 2)
	{
		$node->stop('immediate');
		$node->start;
		is($node->safe_psql('postgres', 'SET enable_seqscan = off; SELECT count(*) FROM unl WHERE k IS NOT NULL'), '0', "$with, crash $round: empty through the index");
		is($node->safe_psql('postgres', 'SELECT count(*) FROM made_full'), '0', "$with, crash $round: the one built full, too");
		is($node->safe_psql('postgres', 'SELECT count(*) FROM logged'), '12000', "$with, crash $round: logged ones are kept");
		is($node->safe_psql('postgres', 'SELECT count(*) FROM becomes_logged'), '12000', "$with, crash $round: kept once it is logged");
		is($node->safe_psql('postgres', 'SELECT count(*) FROM becomes_unlogged'), '0', "$with, crash $round: lost once it is unlogged");
		indexes_agree($node, 'postgres', "$with, crash $round: after it", @indexes);
		$node->safe_psql('postgres', "$fill; INSERT INTO made_full SELECT * FROM unl; INSERT INTO becomes_unlogged SELECT * FROM unl; DELETE FROM unl WHERE id % 5 = 0");
		$node->safe_psql('postgres', 'VACUUM unl');
		$node->safe_psql('postgres', "SELECT leaves FROM kyro.rebuild('unl_k')");
		indexes_agree($node, 'postgres', "$with, crash $round: filled again", @indexes);
		my ($rc, $out, $err) = $node->psql('postgres', 'INSERT INTO unl VALUES (1, 1)');
		like($err, qr/duplicate key value violates unique constraint "unl_id"/, "$with, crash $round: unique again");
	}
	log_lacks($node, 'PANIC|TRAP|invalid page|terminated by signal', "$with: nothing bad in the log");
	$node->stop;
}

done_testing();
