# Kill the server in the middle of heavy writing, several times over: after
# each recovery every index is sound and answers as its table does, and what
# was committed is there.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use IPC::Run;
use Test::More;

my @indexes = (['asc', 'k', 'asc_k'], ['ran', 'k', 'ran_k'], ['upd', 'k', 'upd_k'], ['uni', 'k', 'uni_k']);

# A server of each kind: with and without checksums and preloading, with and without images of whole pages.
my %kinds = (
	plain => { preload => 0, conf => "max_prepared_transactions = 5\n" },
	checksums => { init => [ extra => ['--data-checksums'] ],
		conf => "max_prepared_transactions = 5\nfull_page_writes = off\ncheckpoint_timeout = 30s\n" });

foreach my $kind (sort keys %kinds)
{
	my $node = new_node("crash_$kind", %{ $kinds{$kind} });

	add_index_checks($node, 'postgres');
	$node->safe_psql('postgres', q{
SET client_min_messages = error;
CREATE SEQUENCE seq;
CREATE TABLE "asc" (k bigint, v text);
CREATE INDEX asc_k ON "asc" USING kyro_rmi (k);
CREATE TABLE ran (k bigint, v text);
CREATE INDEX ran_k ON ran USING kyro_rmi (k);
INSERT INTO ran SELECT hashint8extended(g, 1), 'x' FROM generate_series(1, 20000) g;
CREATE TABLE upd (id int PRIMARY KEY, k bigint, v int);
CREATE INDEX upd_k ON upd USING kyro_rmi (k);
INSERT INTO upd SELECT g, g, 0 FROM generate_series(1, 5000) g;
CREATE TABLE uni (k bigint);
CREATE UNIQUE INDEX uni_k ON uni USING kyro_rmi (k);
});
	my %scripts = (
		asc => q{
BEGIN;
INSERT INTO "asc" SELECT nextval('seq'), 'x' FROM generate_series(1, 50);
COMMIT;
},
		ran => q{
\set r random(1, 1000000000)
INSERT INTO ran SELECT hashint8extended(g, :r), 'y' FROM generate_series(1, 40) g;
},
		upd => q{
\set id random(1, 4900)
\set d random(1, 100000)
UPDATE upd SET k = k + :d, v = v + 1 WHERE id BETWEEN :id AND :id + 5;
DELETE FROM ran WHERE k BETWEEN hashint8extended(:d, 3) AND hashint8extended(:d, 3) + 1000000000000000;
},
		uni => q{
\set r random(1, 30000)
INSERT INTO uni VALUES (:r) ON CONFLICT (k) DO NOTHING;
DELETE FROM uni WHERE k = :r + 7;
},
		vac => q{
VACUUM ran;
VACUUM upd;
SELECT leaves FROM kyro.rebuild('ran_k');
SELECT leaves FROM kyro.rebuild('asc_k');
VACUUM uni;
CHECKPOINT;
});
	my @args;

	# ON CONFLICT needs the library before the statement starts
	$node->append_conf('postgresql.conf', "session_preload_libraries = 'kyrodb'\n") if $kind eq 'plain';
	$node->reload;
	$node->safe_psql('postgres', q{ALTER TABLE "asc" SET (autovacuum_enabled = off)});
	foreach my $s (sort keys %scripts)
	{
		my $file = $PostgreSQL::Test::Utils::tmp_check . "/${kind}_$s.sql";
		append_to_file($file, $scripts{$s});
		push @args, '-f', $file . '@' . ($s eq 'vac' ? 1 : 12);
	}

	my $committed = 0;
	foreach my $round (1 .. 3)
	{
		my ($out, $err) = ('', '');
		# until the server is stopped, however slow it is
		my $bench = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-j', 2, '-T', 3600, @args, $node->connstr('postgres') ],
			'<', \undef, '>', \$out, '2>', \$err);

		# let it write a good deal beyond the round before
		my $target = $committed + 8000;
		$node->poll_query_until('postgres', qq{SELECT (SELECT count(*) FROM "asc") >= $target AND
			(SELECT sum(v) FROM upd) > 300 * $round})
		  or diag("no progress: $err");
		my $seen = $node->safe_psql('postgres', q{SELECT max(k) FROM "asc"});
		# a transaction that survives the crash although it has not ended
		$node->safe_psql('postgres', qq{BEGIN; INSERT INTO "asc" SELECT 100000000 * $round + g, 'prepared' FROM generate_series(1, 2000) g;
			PREPARE TRANSACTION 'round $round'});
		$node->stop('immediate');
		$bench->finish;
		$node->start;

		$node->safe_psql('postgres', "COMMIT PREPARED 'round $round'");
		indexes_agree($node, 'postgres', "$kind, round $round: indexes agree with their tables", @indexes);
		is($node->safe_psql('postgres', qq{SET enable_seqscan = off; SELECT count(*) FROM "asc" WHERE k = $seen}), '1',
			"$kind, round $round: what was seen committed is there");
		is($node->safe_psql('postgres', qq{SET enable_seqscan = off; SELECT count(*) FROM "asc" WHERE k > 100000000 * $round AND k <= 100000000 * $round + 2000}),
			'2000', "$kind, round $round: a prepared transaction is there");
		# it works on
		$node->safe_psql('postgres', q{VACUUM ran, upd, uni; INSERT INTO ran SELECT hashint8extended(g, 77), 'z' FROM generate_series(1, 3000) g;
			DELETE FROM ran WHERE v = 'y' AND k % 3 = 0;});
		$node->safe_psql('postgres', q{SELECT leaves FROM kyro.rebuild('ran_k')});
		indexes_agree($node, 'postgres', "$kind, round $round: and they do after more writing", @indexes);
		$committed = $node->safe_psql('postgres', q{SELECT count(*) FROM "asc"});
	}
	log_lacks($node, 'PANIC|inconsistent page|TRAP|invalid page', "$kind: nothing bad in the log");
	$node->stop;
}

done_testing();
