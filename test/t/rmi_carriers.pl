# What logs the changes of an index is a property of the index (src/rmi/README.md, I10):
# indexes go over to the own resource manager when VACUUM meets them on a server that has
# preloaded the library, and back by REINDEX; without the resource manager such an index is
# read but not changed, and its log is not replayed.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;

delete $ENV{KYRO_CARRIER};
my $node = new_node('carriers', preload => 0, init => [ allows_streaming => 1, extra => ['--data-checksums'] ],
	conf => "session_preload_libraries = 'kyrodb'\nmax_standby_streaming_delay = -1\n");
my @indexes = (['t', 'k', 't_k'], ['t', 'id', 't_id']);

sub preload
{
	my ($server, $yes) = @_;

	$server->append_conf('postgresql.conf', $yes ? "shared_preload_libraries = 'kyrodb'\nwal_consistency_checking = 'all'\n" :
		"shared_preload_libraries = ''\nwal_consistency_checking = 'generic'\n");
}
sub carriers { return $_[0]->safe_psql('postgres', q{SELECT string_agg(indexrelname || ' ' || carrier, ', ' ORDER BY indexrelname) FROM kyro.stat_indexes}); }
sub fails
{
	my ($server, $sql, $like, $what) = @_;
	my ($rc, $out, $err) = $server->psql('postgres', "\\set VERBOSITY verbose\n$sql");

	like($err, $like, $what);
}

add_index_checks($node, 'postgres');
$node->safe_psql('postgres', q{
CREATE TABLE t (id bigint, k bigint);
INSERT INTO t SELECT g, hashint8extended(g, 1) FROM generate_series(1, 20000) g;
CREATE INDEX t_k ON t USING kyro_rmi (k);
CREATE UNIQUE INDEX t_id ON t USING kyro_rmi (id);
});
is(carriers($node), 't_id generic, t_k generic', 'without preloading: generic WAL');
$node->safe_psql('postgres', 'DELETE FROM t WHERE id % 7 = 0; VACUUM t');
is(carriers($node), 't_id generic, t_k generic', 'and so it stays');

# ---- a server that has preloaded the library ----

preload($node, 1);
$node->restart;
$node->safe_psql('postgres', 'INSERT INTO t SELECT g, -g FROM generate_series(20001, 22000) g');
is(carriers($node), 't_id generic, t_k generic', 'preloaded: an index stays as it is until VACUUM');
$node->safe_psql('postgres', 'SET kyro.resource_manager = off; VACUUM t');
is(carriers($node), 't_id generic, t_k generic', 'and longer, if that is switched off');

# a session that knows the index as it was goes on
my $old = $node->background_psql('postgres');
$old->query_safe('INSERT INTO t SELECT g, g * 1000003::bigint FROM generate_series(22001, 22100) g');
$node->safe_psql('postgres', 'DELETE FROM t WHERE id % 7 = 1; VACUUM t');
is(carriers($node), 't_id own, t_k own', 'VACUUM brings it to the own resource manager');
$old->query_safe('INSERT INTO t SELECT g, g * 1000003::bigint FROM generate_series(22101, 25000) g');
$node->safe_psql('postgres', 'INSERT INTO t SELECT g, g * 1000003::bigint FROM generate_series(25001, 27000) g; DELETE FROM t WHERE id % 7 = 2; VACUUM t');
$old->query_safe('INSERT INTO t SELECT g, g * 1000003::bigint FROM generate_series(27001, 29000) g');
$old->quit;

# pg_walinspect runs in the server and knows the records; pg_waldump does not (a Limitation)
SKIP:
{
	skip 'no pg_walinspect', 3 if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_walinspect'}) eq '0';
	my $start = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_walinspect; INSERT INTO t SELECT g, g * 1000003::bigint FROM generate_series(29001, 29900) g');
	my $end = $node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
	my $types = $node->safe_psql('postgres', "SELECT string_agg(DISTINCT record_type, ' ' ORDER BY record_type) FROM pg_get_wal_records_info('$start', '$end') WHERE resource_manager = 'kyro_rmi'");
	like($types, qr/\w/, "pg_walinspect names the kinds of records: $types");
	unlike($types, qr/UNKNOWN/, 'all of them');
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_get_wal_records_info('$start', '$end') WHERE resource_manager = 'kyro_rmi' AND coalesce(description, '') = ''"), '0', 'and describes each');
	$node->safe_psql('postgres', 'DROP EXTENSION pg_walinspect');
	my ($dump) = run_command([ 'pg_waldump', '-p', $node->data_dir . '/pg_wal', '-s', $start, '-e', $end ]);
	like($dump, qr/custom186/, 'pg_waldump shows the number');
}
$node->stop('immediate');
$node->start;
indexes_agree($node, 'postgres', 'both kinds of records replayed after a crash', @indexes);
log_lacks($node, 'inconsistent page|PANIC|TRAP', 'and as they were made');

is($node->safe_psql('postgres', q{CREATE INDEX t_own ON t USING kyro_rmi (k); SET kyro.resource_manager = off; CREATE INDEX t_generic ON t USING kyro_rmi (k);
	SELECT string_agg(indexrelname || ' ' || carrier, ', ' ORDER BY indexrelname) FROM kyro.stat_indexes WHERE indexrelname IN ('t_own', 't_generic')}),
	't_generic generic, t_own own', 'new indexes get it, unless it is switched off');
$node->safe_psql('postgres', 'DROP INDEX t_own, t_generic');
fails($node, 'SET ROLE pg_monitor; SET kyro.resource_manager = off', qr/ERROR:  42501/, 'by a superuser');

# ---- without the resource manager again ----

preload($node, 0);
$node->stop('immediate');
ok(!$node->start(fail_ok => 1), 'a log with its records is not replayed without it');
like(slurp_file($node->logfile), qr/FATAL: .*resource manager with ID 186 not registered/, 'and the server says so');
preload($node, 1);
$node->start;
indexes_agree($node, 'postgres', 'but with it', @indexes);
preload($node, 0);
$node->restart;

indexes_agree($node, 'postgres', 'read without it', @indexes);
is(carriers($node), 't_id own, t_k own', 'the view tells');
my $refused = qr/ERROR:  55000: cannot change index "t_(?:k|id)"\n.*DETAIL:  Its changes are logged by the resource manager of kyrodb.*HINT:  Add kyrodb to shared_preload_libraries/s;
fails($node, 'INSERT INTO t VALUES (100001, 5)', $refused, 'not written: INSERT');
fails($node, 'UPDATE t SET k = k + 1 WHERE id = 3', $refused, 'UPDATE');
fails($node, 'COPY t FROM PROGRAM \'echo "100002\t6"\'', $refused, 'COPY');
fails($node, q{SELECT kyro.rebuild('t_k')}, $refused, 'kyro.rebuild()');
$node->safe_psql('postgres', 'DELETE FROM t WHERE id % 7 = 3');
fails($node, 'VACUUM (INDEX_CLEANUP ON) t', $refused, 'VACUUM of dead rows');
$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP OFF, FREEZE) t; ANALYZE t');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kyro.verify('t_k', true)}), '0', 'kyro.verify() looks');
indexes_agree($node, 'postgres', 'nothing has changed', @indexes);
$node->safe_psql('postgres', 'CREATE TABLE clean (k bigint); INSERT INTO clean VALUES (1)');

$node->safe_psql('postgres', 'REINDEX TABLE t; INSERT INTO t VALUES (100001, 5); VACUUM t');
is(carriers($node), 't_id generic, t_k generic', 'REINDEX brings it back');
indexes_agree($node, 'postgres', 'and it works', @indexes);

# VACUUM without anything to remove has nothing to write
preload($node, 1);
$node->restart;
$node->safe_psql('postgres', 'CREATE INDEX clean_k ON clean USING kyro_rmi (k); INSERT INTO clean SELECT generate_series(2, 100000)');
preload($node, 0);
$node->restart;
$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) clean; SELECT count(*) FROM clean WHERE k BETWEEN 5 AND 500');
$node->safe_psql('postgres', 'DROP TABLE clean');

# ---- a standby without the library ----

$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('carriers_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
preload($node, 1);
$node->append_conf('postgresql.conf', "kyro.resource_manager = off\n");
$node->restart;
$node->safe_psql('postgres', 'INSERT INTO t SELECT g, -g FROM generate_series(200001, 203000) g; DELETE FROM t WHERE id % 7 = 4; VACUUM t');
$node->wait_for_catchup($standby);
indexes_agree($standby, 'postgres', 'switched off, a standby needs no preloading', @indexes);
like($standby->safe_psql('postgres', 'SET enable_seqscan = off; SET enable_bitmapscan = off; EXPLAIN (COSTS OFF) SELECT k FROM t WHERE k > 5'),
	qr/Index Scan using t_k/, 'and makes no index-only scans');

$node->append_conf('postgresql.conf', "kyro.resource_manager = on\n");
$node->reload;
my $log_end = -s $standby->logfile;
$node->safe_psql('postgres', 'VACUUM t; INSERT INTO t SELECT g, -g FROM generate_series(203001, 206000) g; DELETE FROM t WHERE id % 7 = 5; VACUUM t');
is(carriers($node), 't_id own, t_k own', 'switched on');
$standby->wait_for_log(qr/resource manager with ID 186 not registered/, $log_end);
# it ends by itself
$standby->stop('immediate', fail_ok => 1);
preload($standby, 1);
$standby->start;
$node->wait_for_catchup($standby);
indexes_agree($standby, 'postgres', 'a standby goes on when it has preloaded the library', @indexes);
like($standby->safe_psql('postgres', 'SET enable_seqscan = off; SET enable_bitmapscan = off; EXPLAIN (COSTS OFF) SELECT k FROM t WHERE k > 5'),
	qr/Index Only Scan using t_k/, 'and makes index-only scans');
log_lacks($standby, 'inconsistent page|PANIC|TRAP', 'nothing bad in its log');
$standby->stop;

# ---- records of another version ----

SKIP:
{
	skip 'built without DEBUG_POINTS=1', 4 if !has_debug_points($node);
	$node->safe_psql('postgres', 'CREATE TABLE v (k bigint); CREATE INDEX v_k ON v USING kyro_rmi (k); INSERT INTO v SELECT g FROM generate_series(1, 300) g; CHECKPOINT');
	# the first change of a page after a checkpoint logs the page, and needs no code
	$node->safe_psql('postgres', 'INSERT INTO v VALUES (301)');
	$node->safe_psql('postgres', 'SET kyro.debug_other_encoder = on; INSERT INTO v VALUES (302)');
	$node->stop('immediate');
	my $end = -s $node->logfile;
	ok(!$node->start(fail_ok => 1), 'what another version has done is not done again by guessing');
	my $said = substr(slurp_file($node->logfile), $end);
	like($said, qr/FATAL: .*cannot replay a change of a kyro_rmi index at block 1\n.*DETAIL: .*written by another version of kyrodb.*\n.*HINT:/, 'the server says why');
	like($said, qr/WAL redo at .* for kyro_rmi\/APPEND: blk 0; blkref/, 'and where');
	unlike($said, qr/PANIC|TRAP/, 'in an orderly way');
}
$node->teardown_node;
done_testing();
