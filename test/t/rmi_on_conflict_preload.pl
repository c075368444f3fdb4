# INSERT ... ON CONFLICT and when the library is loaded: what works without,
# what does not at first, and that session_preload_libraries is enough.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('onconflict', preload => 0);
my $table = q{
CREATE EXTENSION IF NOT EXISTS kyrodb;
DROP TABLE IF EXISTS t;
CREATE TABLE t (k bigint, n int DEFAULT 1);
CREATE UNIQUE INDEX t_k ON t USING kyro_rmi (k);
INSERT INTO t SELECT g FROM generate_series(1, 100) g;
};
my $upsert = 'INSERT INTO t VALUES (5) ON CONFLICT (k) DO UPDATE SET n = t.n + 1';
my $nothing = 'INSERT INTO t VALUES (5) ON CONFLICT DO NOTHING';
my $into = 'INSERT INTO t SELECT 5 ON CONFLICT DO NOTHING';
my ($rc, $out, $err);

# not loaded beforehand: CREATE UNIQUE INDEX warns, a plain one does not; the first of a session tells what it costs
($rc, $out, $err) = $node->psql('postgres', $table);
is($rc, 0, 'not preloaded: a unique index can be made');
# from 18 on the server needs no help
my $alone = $node->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int >= 180000}) eq 't';
my $warns = $err =~ /WARNING:  the first INSERT \.\.\. ON CONFLICT of a session may fail.*HINT:.*session_preload_libraries/s;
ok($alone ? $err !~ /WARNING/ : $warns, 'with a warning and a hint where the first may fail') or diag($err);
($rc, $out, $err) = $node->psql('postgres', 'CREATE INDEX plain ON t USING kyro_rmi (k); CREATE INDEX again ON t USING kyro_rmi (k); DROP INDEX again');
my $costs = qr/NOTICE:  inserts into kyro_rmi indexes cost several times as much.*\nDETAIL:  .*\nHINT:  Add kyrodb to shared_preload_libraries.*/;
like($err, qr/^(psql:<stdin>:1: )?$costs$/, 'a plain index: what it costs, and once');
foreach my $quiet ('SET kyro.resource_manager = off', 'SET client_min_messages = warning', "CREATE TEMP TABLE t (k bigint)", 'CREATE UNLOGGED TABLE u (k bigint); ALTER TABLE t RENAME TO v; ALTER TABLE u RENAME TO t')
{
	($rc, $out, $err) = $node->psql('postgres', "LOAD 'kyrodb'; BEGIN; $quiet; CREATE INDEX quiet ON t USING kyro_rmi (k); ROLLBACK");
	is($err, '', "$quiet: nothing to be said");
}
$node->safe_psql('postgres', 'DROP INDEX plain');

# with a target the planner opens the index, which loads the library in time
($rc, $out, $err) = $node->psql('postgres', $upsert);
is($rc, 0, 'not preloaded: DO UPDATE works as the first command of a session') or diag($err);
is($node->safe_psql('postgres', "$upsert RETURNING n"), '3', 'and did');
# without one it may fail, with an error, and nothing worse
($rc, $out, $err) = $node->psql('postgres', "$nothing;");
note("first DO NOTHING: rc $rc, $err");
is($rc, 0, 'not preloaded: the first DO NOTHING of a session') if $alone;
($rc, $out, $err) = $node->psql('postgres', "SELECT count(*) FROM t WHERE k = 5;\n$nothing;\n$nothing;\n$into;\nSELECT n FROM t WHERE k = 5");
is($rc, 0, 'not preloaded: DO NOTHING works once the session has used the index') or diag($err);
is($out, "1\n3", 'and changes nothing');
($rc, $out, $err) = $node->psql('postgres', "LOAD 'kyrodb';\n$nothing;\nINSERT INTO t VALUES (500) ON CONFLICT DO NOTHING RETURNING k");
is($rc, 0, 'not preloaded: LOAD is enough') or diag($err);
is($out, '500', 'and it inserts');
is($node->safe_psql('postgres', 'SELECT preloaded FROM kyro.build_info'), 'f', 'build_info says so');

# each way of loading it beforehand
foreach my $setting ('session_preload_libraries', 'shared_preload_libraries', 'local_preload_libraries', 'a role')
{
	next if $setting eq 'local_preload_libraries';		# those must lie in $libdir/plugins
	if ($setting eq 'a role')
	{
		$node->safe_psql('postgres', "ALTER DATABASE postgres SET session_preload_libraries = 'kyrodb'");
	}
	else
	{
		$node->append_conf('postgresql.conf', "$setting = 'kyrodb'");
	}
	$node->restart;
	($rc, $out, $err) = $node->psql('postgres', $table);
	unlike($err, qr{WARNING|ERROR}, "$setting: no warning");
	($setting eq 'shared_preload_libraries' ? \&unlike : \&like)->($err, $costs, "$setting: what it costs");
	foreach my $q ($nothing, $into, $upsert, "WITH i AS ($nothing) SELECT 1",
		"DO \$\$ BEGIN $nothing; END \$\$", "EXPLAIN ANALYZE $nothing", "PREPARE p AS $nothing; EXECUTE p; EXECUTE p", "BEGIN; $nothing; ROLLBACK")
	{
		# each as the first command of its session
		($rc, $out, $err) = $node->psql('postgres', $q);
		is($rc, 0, "$setting: $q") or diag($err);
	}
	is($node->safe_psql('postgres', 'SELECT count(*), sum(n) FROM t'), '100|101', "$setting: with the right result");
	is($node->safe_psql('postgres', 'SELECT preloaded FROM kyro.build_info'), 't', "$setting: build_info says so");
	$node->append_conf('postgresql.conf', "$setting = ''") if $setting ne 'a role';
}

# Partitions with unique indexes of their own, foreign ones among them: through the parent.
$node->safe_psql('postgres', q{
CREATE TABLE pt (k bigint, n int DEFAULT 1) PARTITION BY RANGE (k);
CREATE TABLE p1 PARTITION OF pt FOR VALUES FROM (0) TO (100);
CREATE UNIQUE INDEX p1_k ON p1 USING kyro_rmi (k);
INSERT INTO p1 VALUES (1);
CREATE EXTENSION postgres_fdw;
CREATE TABLE far (k bigint PRIMARY KEY, n int);
INSERT INTO far VALUES (200, 1);
});
$node->safe_psql('postgres', sprintf(q{
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%d', dbname 'postgres');
CREATE USER MAPPING FOR CURRENT_USER SERVER far;
CREATE FOREIGN TABLE p2 PARTITION OF pt FOR VALUES FROM (200) TO (300) SERVER far OPTIONS (table_name 'far');
CREATE FOREIGN TABLE p3 PARTITION OF pt FOR VALUES FROM (300) TO (400) SERVER far OPTIONS (table_name 'far', batch_size '10');
}, $node->host, $node->port));
foreach my $first ('', "LOAD 'kyrodb'; ")
{
	($rc, $out, $err) = $node->psql('postgres', "$first INSERT INTO p1 VALUES (1) ON CONFLICT (k) DO UPDATE SET n = p1.n + 1");
	is($rc, 0, 'ON CONFLICT on the partition itself works') or diag($err);
}
($rc, $out, $err) = $node->psql('postgres', 'SELECT n FROM p1 WHERE k = 1; INSERT INTO pt VALUES (1), (200), (1), (200), (201) ON CONFLICT DO NOTHING RETURNING k');
is($out, "3\n201", 'through the parent, with foreign partitions') or diag($err);
($rc, $out, $err) = $node->psql('postgres', "LOAD 'kyrodb'; INSERT INTO pt SELECT g / 2 FROM generate_series(598, 650) g ON CONFLICT DO NOTHING; SELECT count(*), min(k), max(k) FROM far WHERE k > 201");
is($out, '27|299|325', 'and batches') or diag($err);
is($node->safe_psql('postgres', 'INSERT INTO pt VALUES (2) RETURNING n'), '1', 'a plain INSERT through the parent works');
($rc, $out, $err) = $node->psql('postgres', 'INSERT INTO pt VALUES (2)');
like($err, qr/duplicate key value violates unique constraint "p1_k"/, 'and uniqueness is watched');
sound($node, 'postgres', 'indexes are sound', 'p1_k', 't_k');

# many sessions at once
$node->safe_psql('postgres', 'TRUNCATE t');
$node->pgbench('-n -c 6 -j 2 -t 150', 0, [qr/number of failed transactions: 0/], [qr/^$/], 'concurrent upserts',
	{ '006_upsert' => q{
\set r random(1, 50)
INSERT INTO t VALUES (:r) ON CONFLICT (k) DO UPDATE SET n = t.n + 1;
INSERT INTO t VALUES (:r + 1000) ON CONFLICT DO NOTHING;
} });
is($node->safe_psql('postgres', 'SELECT sum(n) FROM t WHERE k <= 50'), '900', 'no upsert is lost');
is($node->safe_psql('postgres', 'SELECT count(*) = count(DISTINCT k) FROM t'), 't', 'no key is there twice');
sound($node, 'postgres', 'the index is sound after them', 't_k');
$node->stop;

# The extension made by a single-user server right after initdb: its oids are below those of ordinary objects.
{
	my $single = PostgreSQL::Test::Cluster->new('single');

	$single->init;
	$single->append_conf('postgresql.conf', "shared_preload_libraries = 'kyrodb'");
	my ($o, $e);
	run_log([ 'postgres', '--single', '-D', $single->data_dir, '-j', 'postgres' ], '<', \"CREATE EXTENSION kyrodb;\n\n", '>', \$o, '2>', \$e) or diag($e);
	$single->start;
	is($single->safe_psql('postgres', q{SELECT oid < 16384 FROM pg_am WHERE amname = 'kyro_rmi'}), 't', 'the access method has a low oid');
	$single->safe_psql('postgres', $table);
	is($single->safe_psql('postgres', "$upsert RETURNING n"), '2', 'ON CONFLICT DO UPDATE works');
	is($single->safe_psql('postgres', "$nothing; SELECT count(*) FROM t"), '100', 'ON CONFLICT DO NOTHING, too');
	sound($single, 'postgres', 'the index is sound', 't_k');
	$single->stop;
}

done_testing();
