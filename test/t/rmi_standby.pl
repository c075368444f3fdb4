# A streaming standby under load: the same answers, through the index, while
# changes are replayed, after them, and after promotion, when it takes writes.
#
# Runs with both carriers.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use IPC::Run;
use Test::More;

foreach my $preload (1, 0)
{
	my $with = $preload ? 'preloaded' : 'not preloaded';
	my $primary = new_node("primary$preload", preload => $preload, init => [ allows_streaming => 1, extra => ['--data-checksums'] ],
		conf => "hot_standby_feedback = off\nmax_standby_streaming_delay = -1\nsession_preload_libraries = 'kyrodb'\n");

	add_index_checks($primary, 'postgres');
	$primary->safe_psql('postgres', q{
CREATE TABLE t (id bigint, k bigint, pad text);
INSERT INTO t SELECT g, hashint8extended(g, 1), 'x' FROM generate_series(1, 15000) g;
CREATE INDEX t_k ON t USING kyro_rmi (k);
CREATE INDEX t_id ON t USING kyro_rmi (id);
CREATE TABLE u (k bigint, n int DEFAULT 0);
CREATE UNIQUE INDEX u_k ON u USING kyro_rmi (k);
CREATE UNLOGGED TABLE unl (k bigint);
CREATE INDEX unl_k ON unl USING kyro_rmi (k);
INSERT INTO unl SELECT g FROM generate_series(1, 1000) g;
});
	$primary->backup('backup');
	my $standby = PostgreSQL::Test::Cluster->new("standby$preload");
	$standby->init_from_backup($primary, 'backup', has_streaming => 1);
	$standby->start;

	my @indexes = (['t', 'k', 't_k'], ['t', 'id', 't_id'], ['u', 'k', 'u_k']);
	# temporary settings of a function run on a standby too; the check functions came with the backup
	my $load = PostgreSQL::Test::Utils::tempdir() . '/load.sql';
	append_to_file($load, q{
\set r random(1, 1000000000)
\set id random(1, 15000)
INSERT INTO t SELECT :r + g, hashint8extended(g, :r), 'y' FROM generate_series(1, 30) g;
UPDATE t SET k = k / 2 WHERE id BETWEEN :id AND :id + 3;
DELETE FROM t WHERE id BETWEEN :id + 10 AND :id + 40;
INSERT INTO u SELECT (:id + g * 7) % 20000 FROM generate_series(1, 20) g ORDER BY 1 ON CONFLICT (k) DO UPDATE SET n = u.n + 1;
});
	my $vac = PostgreSQL::Test::Utils::tempdir() . '/vac.sql';
	append_to_file($vac, q{
VACUUM t;
VACUUM u;
SELECT leaves FROM kyro.rebuild('t_k');
});
	my ($out, $err) = ('', '');
	my $bench = IPC::Run::start([ 'pgbench', '-n', '-c', 3, '-j', 2, '-t', 150, '-f', "$load\@30", '-f', "$vac\@1", $primary->connstr('postgres') ],
		'<', \undef, '>', \$out, '2>', \$err);

	# while it runs: one snapshot of the standby is consistent in itself
	my $bad = '';
	foreach my $i (1 .. 4)
	{
		$bad .= $standby->safe_psql('postgres', q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT index_disagrees('t', 'k', 't_k'); SELECT index_disagrees('u', 'k', 'u_k'); COMMIT});
	}
	is($bad, '', "$with: answers agree while the standby replays");
	ok($bench->finish, "$with: the load ran") or diag($err);
	unlike($err, qr/ERROR|aborted/, "$with: without errors");

	$primary->wait_for_catchup($standby);
	indexes_agree($primary, 'postgres', "$with: indexes of the primary agree", @indexes);
	indexes_agree($standby, 'postgres', "$with: indexes of the standby agree", @indexes);
	foreach my $q (q{SELECT count(*), sum(hash_array_extended(ARRAY[k], 0)) FROM t WHERE k IS NOT NULL},
		q{SELECT count(*), sum(id) FROM t WHERE k > 0 AND pad = 'y'}, q{SELECT count(*), sum(n) FROM u WHERE k >= 0},
		q{SELECT sum(k) FROM (SELECT k FROM t ORDER BY k DESC LIMIT 100) s}, q{SELECT count(*) FROM t WHERE k = ANY (ARRAY(SELECT hashint8extended(g, 1) FROM generate_series(1, 3000) g))})
	{
		my $set = 'SET enable_seqscan = off; SET enable_bitmapscan = off;';
		is($standby->safe_psql('postgres', "$set $q"), $primary->safe_psql('postgres', "$set $q"), "$with: same on both: $q");
	}
	# what a standby may and may not: generic WAL replays removals without a cleanup lock, so no index-only scans
	my $only = $preload && own_carrier() ? 'Only ' : '';
	my $explain = "SET enable_seqscan = off; SET enable_bitmapscan = off; EXPLAIN (COSTS OFF) SELECT k FROM t WHERE k > 5";
	like($primary->safe_psql('postgres', $explain), qr/Index Only Scan using t_k/, "$with: index-only scan on the primary");
	like($standby->safe_psql('postgres', $explain), qr/Index ${only}Scan using t_k/, "$with: index scan on the standby");
	is($standby->safe_psql('postgres', q{SELECT count(*) > 2 FROM kyro.stat_indexes}), 't', "$with: view works on the standby");
	is($standby->safe_psql('postgres', q{SELECT leaves > 1 FROM kyro.model('t_k')}), 't', "$with: model works on the standby");
	is($standby->safe_psql('postgres', q{SELECT matches FROM kyro.trace('u_k', (SELECT min(k) FROM u))}), '1', "$with: trace works on the standby");
	is($standby->safe_psql('postgres', q{SELECT kyro.warmup('t_k') > 1}), 't', "$with: warmup works on the standby");
	my ($rc, $so, $se) = $standby->psql('postgres', q{\set VERBOSITY verbose
SELECT kyro.rebuild('t_k')});
	like($se, qr/25006.*during recovery/s, "$with: rebuild is refused on the standby");
	foreach my $f ("verify('unl_k')", "model('unl_k')", "model_leaves('unl_k')", "trace('unl_k', 1)", "warmup('unl_k')")
	{
		($rc, $so, $se) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT * FROM kyro.$f");
		like($se, qr/ERROR:  55000: cannot access unlogged indexes during recovery/, "$with: no kyro.$f of an unlogged index on a standby");
	}
	is($standby->safe_psql('postgres', q{SELECT state, leaves IS NULL FROM kyro.stat_indexes WHERE indexrelname = 'unl_k'}), 'inaccessible|t', "$with: the view says so");
	log_lacks($standby, 'PANIC|inconsistent page|TRAP|invalid page', "$with: nothing bad in the standby's log");

	# the primary dies, the standby takes over
	$primary->stop('immediate');
	$standby->promote;
	$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
	$standby->safe_psql('postgres', q{
INSERT INTO t SELECT 2000000000 + g, hashint8extended(g, 9), 'promoted' FROM generate_series(1, 8000) g;
UPDATE t SET k = -k WHERE id % 5 = 0 AND k > -9223372036854775808;
DELETE FROM t WHERE id % 11 = 0;
INSERT INTO u SELECT g % 25000 FROM generate_series(1, 25000) g ON CONFLICT (k) DO UPDATE SET n = -1;
INSERT INTO unl SELECT g FROM generate_series(1, 1000) g;
});
	$standby->safe_psql('postgres', 'VACUUM');
	$standby->safe_psql('postgres', q{SELECT leaves FROM kyro.rebuild('t_k')});
	indexes_agree($standby, 'postgres', "$with: the promoted standby takes writes", @indexes, ['unl', 'k', 'unl_k']);
	my ($rc2, $so2, $se2) = $standby->psql('postgres', q{INSERT INTO u VALUES (1)});
	like($se2, qr/duplicate key value violates unique constraint "u_k"/, "$with: and watches uniqueness");
	$standby->stop;
}

done_testing();
