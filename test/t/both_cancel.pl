# Sessions that do everything there is to do are cancelled and terminated many
# times a second, and run into statement_timeout and lock_timeout.  Afterwards
# no session is stuck, no pin, lock or temporary file is left, the log has no
# warning of a leak, and tables and indexes are sound and equal to their twins.
#
# KYRO_LOAD_SECONDS makes it longer, KYRO_SEED chooses other moments.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use IPC::Run;
use Test::More;
use Time::HiRes qw(usleep time);

my $seconds = $ENV{KYRO_LOAD_SECONDS} // 8;
my $seed = $ENV{KYRO_SEED} // 20261121;

note("seed $seed");
srand($seed);
my $node = new_node('cancel', conf => "max_connections = 40\nwal_consistency_checking = ''\ndeadlock_timeout = 200ms\nmaintenance_work_mem = 1MB\n");
add_index_checks($node, 'postgres');
$node->safe_psql('postgres', q{
CREATE SEQUENCE seq;
CREATE TABLE h (id bigint, k bigint);
INSERT INTO h SELECT g, hashint8extended(g, 0) % 1000000 FROM generate_series(1, 60000) g;
CREATE TABLE h_twin AS TABLE h;
CREATE INDEX h_twin_k ON h_twin (k);
CREATE INDEX h_k ON h USING kyro_rmi (k);
CREATE UNIQUE INDEX h_id ON h USING kyro_rmi (id);
CREATE TABLE s (id bigint PRIMARY KEY, k bigint, v text) USING kyro;
CREATE INDEX s_k ON s USING kyro_rmi (k);
INSERT INTO s SELECT g, hashint8extended(g, 0) % 1000000, md5(g::text) FROM generate_series(1, 20000) g;
CREATE TABLE s_twin (LIKE s INCLUDING ALL) USING heap;
INSERT INTO s_twin TABLE s;
SELECT setval('seq', 60000);
});

# one writer for each pair of twins, so that they can be compared
my $settle = q{SELECT set_config('statement_timeout', CASE WHEN random() < 0.3 THEN (random() * 200)::int ELSE 0 END::text, false),
	set_config('lock_timeout', CASE WHEN random() < 0.3 THEN 1 + (random() * 50)::int ELSE 0 END::text, false),
	set_config('kyro.mmap', (random() < 0.7)::text, false) \gset x
};
my %victims = (
	build => q{
CREATE INDEX x ON h USING kyro_rmi (k);
REINDEX INDEX h_k;
REINDEX INDEX CONCURRENTLY h_id;
CREATE INDEX CONCURRENTLY y ON s USING kyro_rmi (k);
REINDEX TABLE s;
DROP INDEX IF EXISTS x, y;
SELECT format('DROP INDEX IF EXISTS %I', indexrelid::regclass) FROM pg_index WHERE NOT indisvalid \gexec
},
	insert => q{
SELECT nextval('seq') AS n, (random() * 1000000)::int AS r \gset
BEGIN;
INSERT INTO h SELECT g, hashint8extended(g, :r) % 1000000 FROM generate_series(:n * 1000, :n * 1000 + 700) g;
INSERT INTO h_twin SELECT g, hashint8extended(g, :r) % 1000000 FROM generate_series(:n * 1000, :n * 1000 + 700) g;
COMMIT;
BEGIN;
INSERT INTO h SELECT g, 2000000 + g FROM generate_series(:n * 1000 + 701, :n * 1000 + 999) g ON CONFLICT (id) DO UPDATE SET k = h.k + 1;
INSERT INTO h_twin SELECT g, 2000000 + g FROM generate_series(:n * 1000 + 701, :n * 1000 + 999) g;
SAVEPOINT p;
UPDATE h SET k = k + 1 WHERE k BETWEEN :r AND :r + 10000;
UPDATE h_twin SET k = k + 1 WHERE k BETWEEN :r AND :r + 10000;
COMMIT;
BEGIN;
DELETE FROM h WHERE k BETWEEN :r - 20000 AND :r + 20000 OR k > 2000000;
DELETE FROM h_twin WHERE k BETWEEN :r - 20000 AND :r + 20000 OR k > 2000000;
COMMIT;
},
	vacuum => q{
VACUUM (INDEX_CLEANUP ON) h;
VACUUM (INDEX_CLEANUP ON) s;
VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) s;
ANALYZE h, s;
},
	inspect => q{
SELECT FROM kyro.rebuild('h_k');
SELECT FROM kyro.rebuild('s_k');
SELECT 'problem: ' || problem FROM kyro.verify('h_k', true);
SELECT 'problem: ' || problem FROM kyro.verify('s_k', true);
SELECT 'problem: ' || problem FROM kyro.verify('s', true);
SELECT FROM kyro.warmup('s');
SELECT FROM kyro.warmup('h_id');
SELECT FROM kyro.stat_runs;
SELECT FROM kyro.stat_indexes;
},
	seal => q{
SELECT FROM kyro.snapshot('s', 5000);
BEGIN;
SELECT FROM kyro.snapshot('s', 3000);
ROLLBACK;
SELECT FROM kyro.snapshot('s');
CLUSTER s USING s_k;
SELECT FROM kyro.snapshot('s');
VACUUM FULL s;
},
	touch => q{
SELECT nextval('seq') AS n, (random() * 1000000)::int AS r \gset
BEGIN;
UPDATE s SET v = v || 'x', k = k + 1 WHERE k BETWEEN :r AND :r + 5000;
UPDATE s_twin SET v = v || 'x', k = k + 1 WHERE k BETWEEN :r AND :r + 5000;
SAVEPOINT p;
SELECT FROM s WHERE k BETWEEN :r + 5000 AND :r + 9000 FOR UPDATE;
DELETE FROM s WHERE id % 1000 = :n % 1000;
DELETE FROM s_twin WHERE id % 1000 = :n % 1000;
COMMIT;
BEGIN;
INSERT INTO s SELECT g, hashint8extended(g, :r) % 1000000, md5(g::text) FROM generate_series(:n * 1000, :n * 1000 + 50) g;
INSERT INTO s_twin SELECT g, hashint8extended(g, :r) % 1000000, md5(g::text) FROM generate_series(:n * 1000, :n * 1000 + 50) g;
COMMIT;
},
	scan => q{
SELECT set_config('enable_seqscan', (random() < 0.3)::text, false), set_config('enable_bitmapscan', (random() < 0.3)::text, false),
	set_config('max_parallel_workers_per_gather', (random() * 2)::int::text, false) \g /dev/null
SELECT (random() * 1000000)::int AS r \gset
SELECT count(*) AS c FROM h WHERE k > 0 \gset
SELECT count(*) AS c FROM h WHERE k > :r AND id > 0 \gset
SELECT sum(length(v)) AS c FROM s WHERE k > :r \gset
SELECT count(*) AS c FROM s JOIN h USING (k) \gset
BEGIN;
DECLARE c CURSOR FOR SELECT k FROM h ORDER BY k;
DECLARE d CURSOR FOR SELECT * FROM s ORDER BY k DESC;
FETCH 2000 FROM c \g /dev/null
FETCH 2000 FROM d \g /dev/null
COMMIT;
});
my $parallel = 'PGOPTIONS="-c parallel_setup_cost=0 -c parallel_tuple_cost=0 -c min_parallel_index_scan_size=0 -c min_parallel_table_scan_size=0"';
my $dir = PostgreSQL::Test::Utils::tempdir();
my @sessions;
foreach my $v (sort keys %victims)
{
	# without its BEGIN a transaction would not be one
	$victims{$v} =~ s/^BEGIN;$/BEGIN;\n\\if :ERROR\n\\q\n\\endif/mg;
	append_to_file("$dir/$v.sql", "\\set VERBOSITY verbose\n\\pset tuples_only\n\\pset format unaligned\nSET application_name = 'victim';\n" . ("$settle$victims{$v}" x 20));
	my $run = IPC::Run::start([ 'sh', '-c', "while [ ! -e $dir/stop ]; do $parallel psql -X -q -d '" . $node->connstr('postgres') . "' -f $dir/$v.sql >>$dir/$v.out 2>&1; done" ]);
	push @sessions, $run;
}

my $killer = $node->background_psql('postgres');
# a session that ends by itself just then is worth a WARNING
$killer->query_safe('SET client_min_messages = error');
my ($cancels, $kills) = (0, 0);
my $end = time + $seconds;
while (time < $end)
{
	my $how = rand() < 0.1 ? 'terminate' : 'cancel';
	my $n = $killer->query_safe("SELECT count(pg_${how}_backend(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE application_name = 'victim' AND state = 'active' ORDER BY random() LIMIT 1) v");

	$how eq 'cancel' ? ($cancels += $n) : ($kills += $n);
	usleep(1000 * int(rand(60)));
}
append_to_file("$dir/stop", '');
# Everybody reacts: nobody is in a loop or waits for ever.
ok($node->poll_query_until('postgres', q{SELECT count(pg_terminate_backend(pid)) = 0 FROM pg_stat_activity WHERE application_name = 'victim'}),
	'no session is stuck');
$_->finish foreach @sessions;
note("$cancels cancelled, $kills terminated");
cmp_ok($cancels, '>', 10, 'sessions were cancelled');

# canceled or timed out; terminated; lost to others; what depends on a statement that failed; a table in use;
# an index that REINDEX CONCURRENTLY has just replaced by another
my $expected = qr/(?:ERROR|FATAL|WARNING): +(?:57014|55P03|57P01|40P01|40001|25P0[12]|42704|42P07|55006|25001|3B001|42P01|55000)/;
my ($trouble, %errors) = ('');
foreach my $v (sort keys %victims)
{
	foreach (split(/\n/, slurp_file("$dir/$v.out")))
	{
		$errors{$1}++ if /(?:ERROR|FATAL): +(\w+)/;
		$trouble .= "$v: $_\n" if /ERROR|FATAL|PANIC|WARNING|problem/ && !/$expected/ && length($trouble) < 2000;
	}
}
note('errors: ' . join(', ', map { "$_ $errors{$_}" } sort keys %errors));
is($trouble, '', 'and met nothing but that');
cmp_ok($errors{'57014'} // 0, '>', 10, 'which did something');

# invalid indexes are what CONCURRENTLY leaves
$node->safe_psql('postgres', q{SET client_min_messages = error; DROP INDEX IF EXISTS x, y; DO $$ DECLARE i text; BEGIN FOR i IN SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid LOOP EXECUTE 'DROP INDEX ' || i; END LOOP; END $$});
is($killer->query_safe(q{SELECT count(*) FROM pg_locks WHERE pid <> pg_backend_pid()}), '0', 'no lock is left');
if ($node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_buffercache'}))
{
	is($node->safe_psql('postgres', q{CREATE EXTENSION pg_buffercache; SELECT count(*) FROM pg_buffercache WHERE pinning_backends > 0}), '0', 'no pin is left');
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_ls_tmpdir()'), '0', 'no temporary file is left');
is($node->safe_psql('postgres', q{
SELECT 'lost: ' || x::text FROM (TABLE h_twin EXCEPT ALL TABLE h) x UNION ALL SELECT 'too much: ' || x::text FROM (TABLE h EXCEPT ALL TABLE h_twin) x
UNION ALL SELECT 'lost: ' || x::text FROM (TABLE s_twin EXCEPT ALL TABLE s) x UNION ALL SELECT 'too much: ' || x::text FROM (TABLE s EXCEPT ALL TABLE s_twin) x LIMIT 9}),
	'', 'nothing is lost, nothing too much');
indexes_agree($node, 'postgres', 'everything agrees', ['h', 'k', 'h_k'], ['h', 'id', 'h_id'], ['s', 'k', 's_k']);
$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP ON) $_") foreach qw(h s);
indexes_agree($node, 'postgres', 'and after VACUUM', ['h', 'k', 'h_k'], ['h', 'id', 'h_id'], ['s', 'k', 's_k']);

# A cancel gets through while an index build writes its leaves: it does not come to the point behind.
SKIP:
{
	skip 'built without DEBUG_POINTS=1', 1 if !has_debug_points($node);
	$node->safe_psql('postgres', 'CREATE TABLE big AS SELECT hashint8extended(g, 0) AS k FROM generate_series(1, 1000000) g');
	my $canceled = 0;

	for (1 .. 10)
	{
		my $builder = $node->background_psql('postgres', on_error_stop => 0);

		$builder->query_safe("SET kyro.debug_error = 'rmi-build-written'");
		my $pid = $builder->query_safe('SELECT pg_backend_pid()');
		$builder->query_until(qr/go/, "\\echo go\nCREATE INDEX big_k ON big USING kyro_rmi (k);\n\\echo built\n");
		# that takes less than a tenth of a second: look in the server
		$killer->query_safe(qq{DO \$\$
DECLARE
	hit bool;
BEGIN
	LOOP
		PERFORM pg_stat_clear_snapshot();
		SELECT pg_cancel_backend(pid) INTO hit FROM pg_stat_progress_create_index
			WHERE pid = $pid AND phase LIKE '%writing leaves' AND tuples_done BETWEEN 1 AND 500000;
		EXIT WHEN hit OR EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid AND state = 'idle' AND query LIKE 'CREATE INDEX big_k%');
		PERFORM pg_sleep(0.001);
	END LOOP;
END \$\$});
		$builder->query_until(qr/built/, "\n");
		$canceled = $builder->{stderr} =~ /canceling statement due to user request/;
		$builder->quit;
		last if $canceled;
	}
	ok($canceled, 'a cancel gets through while leaves are written');
}
$killer->quit;
log_lacks($node, 'PANIC|TRAP|invalid page|leak|terminated by signal', 'nothing bad in the log');
$node->stop;
done_testing();
