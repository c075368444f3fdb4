# Parallel CREATE INDEX: as many workers as nbtree gets, all that they report
# reaches the leader, and whatever ends a build ends its workers and leaves
# neither files nor a broken server.  Needs a build with DEBUG_POINTS=1, as
# make check makes it.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;

my $node = new_node('build_parallel', conf => "max_worker_processes = 8\nmax_parallel_workers = 8\nmax_parallel_maintenance_workers = 3\n");
add_index_checks($node, 'postgres');
need_debug_points($node);
$node->safe_psql('postgres', q{
CREATE FUNCTION unsafe(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE AS 'BEGIN RETURN $1; END';
CREATE FUNCTION restricted(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE PARALLEL RESTRICTED AS 'BEGIN RETURN $1; END';
CREATE FUNCTION safe(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS 'BEGIN RETURN $1; END';
CREATE TABLE t (k bigint, pad text);
INSERT INTO t SELECT hashint8extended(g, 0), repeat('x', 50) FROM generate_series(1, 20000) g;
CREATE TABLE s (LIKE t) USING kyro;
INSERT INTO s TABLE t;
SELECT FROM kyro.snapshot('s', 15000);
CREATE TABLE one (LIKE t);
INSERT INTO one VALUES (1, 'x');
VACUUM ANALYZE t, s, one;
});

# ---- how many ----

# Workers asked for by nbtree, and asked for and launched by us.
sub workers
{
	my ($settings, $table, $columns) = @_;
	my ($out, $err);

	$node->psql('postgres', "$settings;\nSET client_min_messages = debug1;\nCREATE INDEX i_b ON $table $columns;\nCREATE INDEX i_k ON $table USING kyro_rmi $columns;\n"
		. 'SET client_min_messages = warning; DROP INDEX i_b, i_k', stdout => \$out, stderr => \$err, on_error_stop => 1);
	my ($nbtree) = $err =~ /building index "i_b" on table "\w+" with request for (\d+) parallel worker/;
	my ($launched, $asked) = $err =~ /(\d+) of (\d+) parallel workers launched to build index "i_k"/;
	return sprintf('%d %d %d', $nbtree // 0, $asked // 0, $launched // 0);
}

my $small = 'SET min_parallel_table_scan_size = 0';
foreach (
	[ 'SET max_parallel_maintenance_workers = 2', 't', '(k)', '0 0 0', 'a small table' ],
	[ $small, 't', '(k)', '1 1 1', 'of a size that is worth it, within 64 MB' ],
	[ "$small; SET maintenance_work_mem = '1GB'", 't', '(k)', '3 3 3', 'with more memory' ],
	[ "$small; SET maintenance_work_mem = '16MB'", 't', '(k)', '0 0 0', 'with less' ],
	[ "$small; SET maintenance_work_mem = '1GB'", 's', '(k)', '3 3 3', 'a kyro table' ],
	[ 'ALTER TABLE t SET (parallel_workers = 2)', 't', '(k)', '2 2 2', 'by the option of the table' ],
	[ 'ALTER TABLE t SET (parallel_workers = 9)', 't', '(k)', '3 3 3', 'limited by the setting' ],
	[ 'SET max_parallel_maintenance_workers = 0', 't', '(k)', '0 0 0', 'forbidden' ],
	[ 'SET max_parallel_workers = 1', 't', '(k)', '3 3 1', 'one process to be had' ],
	[ 'SET max_parallel_workers = 0', 't', '(k)', '3 3 0', 'none to be had' ],
	[ '', 't', '(safe(k))', '3 3 3', 'a safe function' ],
	[ '', 't', '(unsafe(k))', '0 0 0', 'an unsafe function' ],
	[ '', 't', '(restricted(k))', '0 0 0', 'a restricted function' ],
	[ '', 't', '(k) WHERE unsafe(k) > 0', '0 0 0', 'an unsafe condition' ],
	[ 'CREATE TEMP TABLE x WITH (parallel_workers = 2) AS TABLE t', 'x', '(k)', '0 0 0', 'a temporary table' ],
	[ 'ALTER TABLE t SET (parallel_workers = 0)', 't', '(k)', '0 0 0', 'forbidden by the table' ])
{
	my ($settings, $table, $columns, $want, $what) = @$_;

	is(workers($settings, $table, $columns), $want, "workers of nbtree, asked for, launched: $what");
}

# ---- what workers report ----

# A session that stops every process that comes to a point.
my $stopper = $node->background_psql('postgres');
sub stop_at    { $stopper->query_safe("SELECT pg_advisory_lock(hashtextextended('$_[0]', 0))"); }
sub let_go     { $stopper->query_safe('SELECT pg_advisory_unlock_all()'); }
my $stopped = q{SELECT count(*) = %d FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type = '%s'};
sub wait_for
{
	my ($n, $type) = @_;
	$node->poll_query_until('postgres', sprintf($stopped, $n, $type)) or die "nobody waits";
}

# The leader waits until the workers have scanned all of the table: so all there is to report they do.
foreach my $table ('t', 's')
{
	my $builder = $node->background_psql('postgres', on_error_stop => 0);

	$node->safe_psql('postgres', "ALTER TABLE $table SET (parallel_workers = 2, fillfactor = 50); VACUUM FULL $table");
	my $updated = $node->safe_psql('postgres', "SELECT count(*) FROM $table WHERE k % 10 = 0");
	stop_at('rmi-build-leader');
	send_query($builder, "BEGIN; UPDATE $table SET k = k / 2 WHERE k % 10 = 0; CREATE INDEX ${table}_k ON $table USING kyro_rmi (k); COMMIT;");
	wait_for(1, 'client backend');
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'});
	let_go();
	returned($builder);
	is($builder->{stderr}, '', "$table: workers scan, the leader waits");
	$builder->quit;
	is($node->safe_psql('postgres', "SELECT i.reltuples, t.reltuples, indcheckxmin FROM pg_class i JOIN pg_index ON i.oid = indexrelid JOIN pg_class t ON t.oid = indrelid WHERE i.relname = '${table}_k'"),
		# updates of sealed rows are not HOT
		$table eq 't' ? '20000|20000|t' : 20000 + $updated . '|20000|f', "$table: rows, and HOT chains that are broken");
	indexes_agree($node, 'postgres', "$table: the index", [ $table, 'k', "${table}_k" ]);
	$node->safe_psql('postgres', "DROP INDEX ${table}_k");
}

# ---- ends before the end ----

# Directories of temporary files are not what pg_ls_tmpdir() shows.
sub nothing_left
{
	my ($what) = @_;

	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'});
	is($node->safe_psql('postgres', q{SELECT string_agg(f, ' ') FROM pg_ls_dir('base/pgsql_tmp', true, false) f
		UNION ALL SELECT 'index ' || relname FROM pg_class WHERE relname = 't_k'
		UNION ALL SELECT 'lock of ' || relation::regclass FROM pg_locks WHERE relation IN ('t'::regclass, 's'::regclass)}), '', "$what: nothing is left");
}

my $create = 'CREATE INDEX t_k ON t USING kyro_rmi (k)';
foreach my $point ('rmi-build-worker', 'rmi-build-leader', 'rmi-build-sorted', 'rmi-build-written')
{
	my ($rc, $out, $err) = $node->psql('postgres', "SET kyro.debug_error = '$point'; $create");

	like($err, qr/ERROR:  error at debug point "$point"/, "an error at $point");
	nothing_left("an error at $point");
}
$node->safe_psql('postgres', 'INSERT INTO t SELECT k FROM t LIMIT 1');
my ($rc, $out, $err) = $node->psql('postgres', 'CREATE UNIQUE INDEX t_k ON t USING kyro_rmi (k)');
like($err, qr/could not create unique index "t_k"/, 'a duplicate');
nothing_left('a duplicate');
# the leader leaves it all to the workers
my $limited = $node->background_psql('postgres', on_error_stop => 0);
stop_at('rmi-build-leader');
send_query($limited, "SET temp_file_limit = 64; $create;");
returned($limited);
let_go();
like($limited->{stderr}, qr/temporary file size exceeds/, 'too large files');
$limited->quit;
nothing_left('too large files');

my $victims = q{FROM pg_stat_activity WHERE backend_type = '%s' AND query LIKE '%%t_k%%' AND pid <> pg_backend_pid()};
foreach (
	[ 'cancel', 'client backend', qr/canceling statement due to user request/ ],
	[ 'terminate', 'client backend', qr/terminating connection due to administrator command/ ],
	[ 'cancel', 'parallel worker', qr/canceling statement due to user request/ ],
	[ 'terminate', 'parallel worker', qr/terminating (?:parallel worker|connection|background worker)/ ])
{
	my ($how, $type, $message) = @$_;
	my $builder = $node->background_psql('postgres', on_error_stop => 0);
	my $log = -s $node->logfile;

	# workers have written their files, the leader waits for them
	stop_at($_) foreach 'rmi-build-worker', 'rmi-build-leader';
	send_query($builder, "$create;");
	wait_for(2, 'parallel worker');
	$stopper->query_safe("SELECT pg_advisory_unlock(hashtextextended('rmi-build-leader', 0))");
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'ParallelFinish'});
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_ls_dir('base/pgsql_tmp', true, false)}), '1', 'there are files');
	$node->safe_psql('postgres', "SELECT pg_${how}_backend(pid) " . sprintf($victims, $type));
	$node->poll_query_until('postgres', 'SELECT count(*) = 0 ' . sprintf($victims, $type) . " AND state = 'active'");
	let_go();
	# the psql of a leader that was terminated has ended
	eval { returned($builder); $builder->quit };
	ok($node->wait_for_log($message, $log), "$how, $type");
	nothing_left("$how, $type");
}
$node->safe_psql('postgres', "$create; CREATE INDEX s_k ON s USING kyro_rmi (k)");
indexes_agree($node, 'postgres', 'and then it is built', [ 't', 'k', 't_k' ], [ 's', 'k', 's_k' ]);

$stopper->quit;
log_lacks($node, 'PANIC|TRAP|leak|terminated by signal', 'nothing bad in the log');
$node->stop;
done_testing();
