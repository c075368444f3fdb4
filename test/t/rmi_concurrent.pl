# Many sessions at once: inserts at random and at the right edge, updates,
# deletes, reads that check themselves, VACUUM, rebuilds, and indexes built and
# rebuilt concurrently; then everything agrees with the table.
#
# Runs with both carriers.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use IPC::Run;
use Test::More;

my $node = new_node('concurrent', init => [ extra => ['--data-checksums'] ],
	conf => "max_connections = 40\nwal_consistency_checking = ''\ndeadlock_timeout = 100ms\n");
add_index_checks($node, 'postgres');
$node->safe_psql('postgres', q{
SET client_min_messages = error;
CREATE SEQUENCE seq;
CREATE TABLE t (id bigint, k bigint, pad int DEFAULT 0);
INSERT INTO t SELECT g, hashint8extended(g, 1) FROM generate_series(1, 20000) g;
-- rows that nobody changes: readers know how many there are
INSERT INTO t SELECT -g, 5000000 + g * 2 FROM generate_series(1, 5000) g;
CREATE INDEX t_k ON t USING kyro_rmi (k);
CREATE TABLE e (k bigint, s int);
CREATE INDEX e_k ON e USING kyro_rmi (k);
CREATE TABLE u (k bigint, n int DEFAULT 1);
CREATE UNIQUE INDEX u_k ON u USING kyro_rmi (k);
CREATE TABLE acc (k bigint, v bigint);
INSERT INTO acc SELECT g, 100 FROM generate_series(1, 500) g;
CREATE UNIQUE INDEX acc_k ON acc USING kyro_rmi (k);
CREATE INDEX acc_v ON acc (v);
CREATE FUNCTION expect(what text, got bigint, want bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF got IS DISTINCT FROM want THEN
		RAISE EXCEPTION '%: %, not %', what, got, want;
	END IF;
END $$;
});

my $in_parallel = join("\n", map { "SET LOCAL $_;" } 'max_parallel_workers_per_gather = 2', 'parallel_setup_cost = 0', 'parallel_tuple_cost = 0',
	'min_parallel_index_scan_size = 0', 'min_parallel_table_scan_size = 0');
my %scripts = (
	random => q{
\set r random(1, 1000000000)
INSERT INTO t SELECT :r + g, hashint8extended(g, :r) FROM generate_series(1, 20) g;
},
	edge => q{
INSERT INTO e SELECT nextval('seq'), :client_id FROM generate_series(1, 20);
},
	update => q{
\set id random(1, 20000)
UPDATE t SET k = hashint8extended(k, 2), pad = pad + 1 WHERE id BETWEEN :id AND :id + 2;
UPDATE t SET pad = pad + 1 WHERE id = :id + 5;
},
	delete => q{
\set r random(1, 1000000000)
DELETE FROM t WHERE k BETWEEN hashint8extended(:r, 4) / 2 AND hashint8extended(:r, 4) / 2 + 5000000000000000 AND id > 0;
},
	# own rows are found at once and are gone at once, others' are never half there
	own => q{
\set r random(1, 1000000000)
BEGIN;
INSERT INTO t VALUES (7000000000, 8000000000 + :r);
SELECT expect('own row', (SELECT count(*) FROM t WHERE k = 8000000000 + :r AND id = 7000000000 AND xmin::text = pg_current_xact_id()::text), 1);
DELETE FROM t WHERE k = 8000000000 + :r AND xmin::text = pg_current_xact_id()::text;
SELECT expect('own row, deleted', (SELECT count(*) FROM t WHERE k = 8000000000 + :r AND xmin::text = pg_current_xact_id()::text), 0);
COMMIT;
},
	point => q{
\set r random(1, 5000)
SELECT expect('a row that stays', (SELECT count(*) FROM t WHERE k = 5000000 + :r * 2), 1);
SELECT expect('the row of it', (SELECT id FROM t WHERE k = 5000000 + :r * 2), -:r);
SELECT expect('a row that is not', (SELECT count(*) FROM t WHERE k = 5000001 + :r * 2), 0);
},
	range => q{
\set r random(1, 4000)
SELECT expect('rows that stay', (SELECT count(*) FROM t WHERE k BETWEEN 5000001 + :r * 2 AND 5000001 + :r * 2 + 1000), 500);
SELECT expect('in order', (SELECT count(*) FROM (SELECT k, lag(k) OVER () AS b FROM (SELECT k FROM t WHERE k >= 5000000 ORDER BY k LIMIT 1000) o) s WHERE k < b), 0);
SELECT expect('in order backwards', (SELECT count(*) FROM (SELECT k, lag(k) OVER () AS b FROM (SELECT k FROM t WHERE k <= 5010000 ORDER BY k DESC LIMIT 1000) o) s WHERE k > b), 0);
},
	# in parallel, over leaves that are split and deleted meanwhile
	parallel => q{
BEGIN;
} . $in_parallel . q{
SELECT count(*) AS n FROM t WHERE k IS NOT NULL AND id < 0 \gset
SELECT sum(v) AS s FROM acc WHERE k > 0 \gset
COMMIT;
SELECT expect('rows that stay, in parallel', :n, 5000), expect('sum of accounts, in parallel', :s, 50000);
},
	upsert => q{
\set r random(1, 2000)
INSERT INTO u VALUES (:r) ON CONFLICT (k) DO UPDATE SET n = u.n + 1;
},
	upsert_delete => q{
\set r random(1, 2000)
DELETE FROM u WHERE k = :r;
INSERT INTO u VALUES (:r + 1) ON CONFLICT DO NOTHING;
},
	# money moves from one account to another, each found by its index; the sum stays
	move => q{
\set a random(1, 250)
\set b random(251, 500)
BEGIN;
UPDATE acc SET v = v - 5 WHERE k = :a;
UPDATE acc SET v = v + 5 WHERE k = :b;
COMMIT;
SELECT expect('sum of accounts', (SELECT sum(v) FROM acc WHERE k > 0)::bigint, 50000);
},
	vacuum => q{
VACUUM t;
VACUUM acc;
VACUUM u;
VACUUM e;
});
my %weight = (vacuum => 1, delete => 10, parallel => 5);
my @args;
foreach my $s (sort keys %scripts)
{
	my $file = $PostgreSQL::Test::Utils::tmp_check . "/concurrent_$s.sql";
	append_to_file($file, $scripts{$s});
	push @args, '-f', $file . '@' . ($weight{$s} // 20);
}

my ($out, $err) = ('', '');
$node->append_conf('postgresql.conf', "enable_seqscan = off\nenable_bitmapscan = off\n");
$node->reload;
like($node->safe_psql('postgres', "BEGIN; $in_parallel EXPLAIN (COSTS OFF) SELECT count(*) FROM t WHERE k IS NOT NULL AND id < 0"),
	qr/Parallel Index Scan using t_k/, 'a scan in parallel is one');
my $bench = IPC::Run::start([ 'pgbench', '-n', '-c', 8, '-j', 2, '-T', 12, '--max-tries=20', @args, $node->connstr('postgres') ],
	'<', \undef, '>', \$out, '2>', \$err);
# Meanwhile, in the background, indexes come and go and are rebuilt.  One after
# the other: kyro.rebuild() in one session and CREATE INDEX CONCURRENTLY in
# another may wait for one another, for the lock and for the snapshot.
my $rounds = 0;
my $trouble = '';
while ($bench->pumpable && $rounds < 200)
{
	foreach my $q ('CREATE INDEX CONCURRENTLY t_c ON t USING kyro_rmi (k)', "SELECT * FROM kyro.verify('t_c', true)",
		"SELECT FROM kyro.rebuild('t_k')", "SELECT FROM kyro.rebuild('e_k')", 'REINDEX INDEX CONCURRENTLY t_k', "SELECT FROM kyro.rebuild('u_k')", 'CREATE INDEX CONCURRENTLY t_id ON t USING kyro_rmi (id)', "SELECT * FROM kyro.verify('t_id', true)",
		'DROP INDEX CONCURRENTLY t_c', 'DROP INDEX CONCURRENTLY t_id', 'REINDEX INDEX CONCURRENTLY u_k',
		"SELECT * FROM kyro.verify('t_k', true)", "SELECT * FROM kyro.verify('u_k')", 'ANALYZE t')
	{
		my ($rc, $so, $se) = $node->psql('postgres', $q);
		$trouble .= "$q: $so $se\n" if $rc != 0 || $so ne '';
	}
	$rounds++;
	$bench->pump_nb;
}
ok($bench->finish, 'the load ran to its end') or diag($err);
is(join("\n", grep { /ERROR|aborted/ } split(/\n/, $err)), '', 'no session saw anything wrong');
is($trouble, '', "indexes were built, verified, rebuilt and dropped in the background");
cmp_ok($rounds, '>', 0, 'at least once');
note("$rounds rounds in the background; $out");
indexes_agree($node, 'postgres', 'everything agrees at the end', ['t', 'k', 't_k'], ['e', 'k', 'e_k'], ['u', 'k', 'u_k'], ['acc', 'k', 'acc_k']);
is($node->safe_psql('postgres', 'SELECT count(*) = count(DISTINCT k) FROM u'), 't', 'unique keys are unique');
is($node->safe_psql('postgres', 'SELECT sum(v) FROM acc'), '50000', 'no money is lost');
is($node->safe_psql('postgres', "SELECT count(*) = (SELECT last_value FROM seq) FROM e"), 't', 'no row of the right edge is lost');

# An index-only scan holds the page it stands on: VACUUM waits for it before it removes what the scan may still return.
$node->safe_psql('postgres', q{CREATE TABLE pin (k bigint); INSERT INTO pin SELECT g FROM generate_series(1, 30000) g;
	CREATE INDEX pin_k ON pin USING kyro_rmi (k);});
$node->safe_psql('postgres', 'VACUUM ANALYZE pin');
$node->safe_psql('postgres', 'DELETE FROM pin WHERE k > 10');
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN');
$reader->query_safe('DECLARE c CURSOR FOR SELECT k FROM pin ORDER BY k');
is($reader->query_safe('FETCH 2 FROM c'), "1\n2", 'a cursor stands in the first leaf');
my $vacuum = $node->background_psql('postgres');
$vacuum->query_until(qr/started/, "\\echo started\nVACUUM pin;\n\\echo vacuumed\n");
ok($node->poll_query_until('postgres', q{SELECT wait_event = 'BufferPin' FROM pg_stat_activity WHERE query LIKE 'VACUUM pin%'}),
	'VACUUM waits for the pin of an index-only scan');
is($reader->query_safe('FETCH 3 FROM c'), "3\n4\n5", 'the cursor goes on');
is($reader->query_safe('FETCH ALL FROM c'), "6\n7\n8\n9\n10", 'to the end');
$reader->query_safe('COMMIT');
$vacuum->query_until(qr/vacuumed/, "\n");
$vacuum->quit;
indexes_agree($node, 'postgres', 'after VACUUM', ['pin', 'k', 'pin_k']);

# a plain index scan with a snapshot holds nothing up
$node->safe_psql('postgres', 'INSERT INTO pin SELECT g FROM generate_series(1, 30000) g');
$reader->query_safe('BEGIN');
$reader->query_safe('SET LOCAL enable_indexonlyscan = off');
$reader->query_safe('DECLARE c CURSOR FOR SELECT k, ctid FROM pin ORDER BY k');
$reader->query_safe('MOVE 2 FROM c');
$node->safe_psql('postgres', "SET statement_timeout = '120s'; DELETE FROM pin WHERE k > 20000");
my ($rc, $so, $se) = $node->psql('postgres', 'VACUUM pin', timeout => 120);
is($rc, 0, 'VACUUM does not wait for a plain index scan');
is($reader->query_safe('SELECT count(*) FROM pin'), '20010', 'the reader sees what it should');
$reader->query_safe('COMMIT');
$reader->quit;

# a prepared transaction holds its key: the next one waits for it, then fails
$node->append_conf('postgresql.conf', 'max_prepared_transactions = 5');
$node->restart;
$node->safe_psql('postgres', q{BEGIN; INSERT INTO u VALUES (900001); PREPARE TRANSACTION 'p'});
($rc, $so, $se) = $node->psql('postgres', q{SET lock_timeout = '200ms'; INSERT INTO u VALUES (900001)});
like($se, qr/lock timeout/, 'a key of a prepared transaction is waited for');
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
($rc, $so, $se) = $node->psql('postgres', q{INSERT INTO u VALUES (900001)});
like($se, qr/duplicate key value violates unique constraint "u_k"/, 'and taken once it is committed');
log_lacks($node, 'PANIC|TRAP|invalid page|terminated by signal', 'nothing bad in the log');
$node->stop;

done_testing();
