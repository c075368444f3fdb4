# Kyro tables whose file was swapped for a plain heap get their list of runs: with a
# crash or an error at every step, on a standby, in a dump, with pg_repack (if it
# is installed), and not when the first block is damaged.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;

my $node = new_node('swapped', init => [ allows_streaming => 1 ],
	conf => "restart_after_crash = on\n");
$node->safe_psql('postgres', 'CREATE EXTENSION kyrodb');
need_debug_points($node);

# a is a kyro table, b its heap twin.  swapped() gives a the file of a heap with the
# rows of b, and with rows of its first block that were updated and deleted.
$node->safe_psql('postgres', q{
CREATE TABLE a (id bigint PRIMARY KEY, k bigint, v text) USING kyro;
CREATE TABLE b (id bigint PRIMARY KEY, k bigint, v text) USING heap;
CREATE INDEX a_k ON a USING kyro_rmi (k);
CREATE INDEX b_k ON b USING kyro_rmi (k);
CREATE INDEX a_v ON a USING hash (v);
CREATE INDEX b_v ON b USING hash (v);
INSERT INTO b SELECT g, g * 3, md5(g::text) FROM generate_series(1, 3000) g;
CREATE FUNCTION swap(x regclass, y regclass) RETURNS void LANGUAGE sql AS $$
	UPDATE pg_class c
	SET relfilenode = o.relfilenode, relpages = o.relpages, reltuples = o.reltuples, relallvisible = o.relallvisible,
		relfrozenxid = o.relfrozenxid, relminmxid = o.relminmxid
	FROM pg_class o WHERE c.oid IN (x, y) AND o.oid IN (x, y) AND x <> y AND c.oid <> o.oid $$;
CREATE FUNCTION swapped() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	ALTER TABLE a ALTER v SET STORAGE plain;
	CREATE TABLE c (LIKE a) USING heap;
	INSERT INTO c SELECT 100000 + g, g, 'dead' FROM generate_series(1, 5) g;
	INSERT INTO c TABLE b;
	ALTER TABLE c ADD CONSTRAINT c_pkey PRIMARY KEY (id);
	CREATE INDEX c_k ON c USING kyro_rmi (k);
	CREATE INDEX c_v ON c USING hash (v);
	DELETE FROM c WHERE id > 100000;
	UPDATE c SET v = upper(v) WHERE id % 100 = 1;
	UPDATE c SET v = lower(v) WHERE id % 100 = 1;
	PERFORM swap('a', 'c'), swap('a_pkey', 'c_pkey'), swap('a_k', 'c_k'), swap('a_v', 'c_v');
	DROP TABLE c;
END $$;
CREATE FUNCTION state() RETURNS text LANGUAGE sql AS
	$$ SELECT CASE WHEN EXISTS (SELECT FROM a WHERE ctid < '(1,0)') THEN 'all log' ELSE 'whole' END $$;
});

sub agree
{
	my ($n, $what) = @_;
	my $r = $n->safe_psql('postgres', q{
SELECT 'only in a: ' || x::text FROM (TABLE a EXCEPT ALL TABLE b) x
UNION ALL SELECT 'only in b: ' || x::text FROM (TABLE b EXCEPT ALL TABLE a) x
UNION ALL SELECT 'verify: ' || block || ': ' || problem FROM kyro.verify('a', true)
UNION ALL SELECT 'index: ' || block || ': ' || problem FROM kyro.verify('a_k', true);
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT 'by key' FROM (SELECT count(*), sum(k) FROM a WHERE id > 0 EXCEPT SELECT count(*), sum(k) FROM b) x
UNION ALL SELECT 'by kyro_rmi' FROM (SELECT count(*), sum(k) FROM a WHERE k > -1000000000000 EXCEPT SELECT count(*), sum(k) FROM b) x
UNION ALL SELECT 'by kyro_rmi only' FROM (SELECT count(k), sum(k) FROM a WHERE k > -1000000000000 EXCEPT SELECT count(k), sum(k) FROM b) x;
SET enable_bitmapscan = on; SET enable_indexscan = off;
SELECT 'by bitmap' FROM (SELECT count(*), sum(k) FROM a WHERE id > 0 EXCEPT SELECT count(*), sum(k) FROM b) x
UNION ALL SELECT 'by hash' FROM (SELECT count(a.id) FROM b LEFT JOIN LATERAL (SELECT * FROM a WHERE a.v = b.v OFFSET 0) a ON a.id = b.id EXCEPT SELECT count(*) FROM b) x;
});
	is($r, '', $what);
}

# ---- every step ----
my %commands = (seal => q{SELECT kyro.snapshot('a')}, VACUUM => 'VACUUM a');
foreach my $point ('whole-places-made', 'whole-index-done', 'whole-switched', 'whole-entries-removed')
{
	foreach my $how (sort keys %commands)
	{
		my $what = "$how, $point";

		$node->safe_psql('postgres', 'SELECT swapped(); CHECKPOINT;');
		is($node->safe_psql('postgres', 'SELECT state()'), 'all log', "$what: the table is all log");
		my ($rc, $out, $err) = $node->psql('postgres', "SET kyro.debug_error = '$point'; $commands{$how}");
		like($err, qr/error at debug point "$point"/, "$what: an error there");
		agree($node, "$what: a sound table after an error");

		$node->safe_psql('postgres', 'SELECT swapped()');
		my $log_end = -s $node->logfile;
		($rc) = $node->psql('postgres', "SET kyro.debug_crash = '$point'; $commands{$how}");
		isnt($rc, 0, "$what: the server crashes");
		$node->wait_for_log(qr/database system is ready to accept connections/, $log_end);
		agree($node, "$what: a sound table after a crash");

		# index pages fill up, which looks at what entries that are left over lead to
		$node->safe_psql('postgres', "UPDATE $_ SET k = -k, v = v || 1 WHERE id % 2 = 0; UPDATE $_ SET k = -k, v = md5(id::text) WHERE id % 2 = 0; DELETE FROM $_ WHERE id % 61 = 3; INSERT INTO $_ SELECT id - 3, 1, v FROM $_ WHERE id % 61 = 6; UPDATE $_ SET k = k + 1") foreach 'a', 'b';
		agree($node, "$what: changed afterwards");
		$node->safe_psql('postgres', $commands{$how});
		is($node->safe_psql('postgres', 'SELECT state()'), 'whole', "$what: it can be done afterwards");
		agree($node, "$what: and is right");
		$node->safe_psql('postgres', "UPDATE $_ SET k = k + 1 WHERE id % 3 = 0") foreach 'a', 'b';
		$node->safe_psql('postgres', q{VACUUM (INDEX_CLEANUP ON) a; SELECT kyro.snapshot('a'); VACUUM (INDEX_CLEANUP ON) a});
		agree($node, "$what: sealed and vacuumed");
	}
}

# ---- readers and writers at the moment ----
$node->safe_psql('postgres', 'SELECT swapped()');
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$reader->query_safe('SELECT 1 FROM b LIMIT 1');
my $before = $node->safe_psql('postgres', 'SELECT count(*), sum(k), sum(hashtext(v)) FROM b');
$node->safe_psql('postgres', "DELETE FROM $_ WHERE id BETWEEN 5 AND 50; UPDATE $_ SET v = 'new' WHERE id BETWEEN 51 AND 70; UPDATE $_ SET k = 1 WHERE id BETWEEN 71 AND 90") foreach 'a', 'b';
$node->safe_psql('postgres', q{SELECT kyro.snapshot('a')});
agree($node, 'sealed while an older snapshot is there');
is($reader->query_safe('SELECT count(*), sum(k), sum(hashtext(v)) FROM a'), $before, 'which sees what it saw');
is($reader->query_safe('SET enable_seqscan = off; SELECT count(*), sum(k), sum(hashtext(v)) FROM a WHERE id > 0'), $before, 'by an index too');
$reader->query_safe('COMMIT');

# VACUUM does not wait for a reader, and leaves it for the next one
$node->safe_psql('postgres', 'SELECT swapped()');
$reader->query_safe('BEGIN');
$reader->query_safe('SELECT count(*) FROM a');
$node->safe_psql('postgres', 'VACUUM a');
is($node->safe_psql('postgres', 'SELECT state()'), 'all log', 'VACUUM does not wait for readers');
agree($node, 'VACUUM of a table that is all log');
$reader->query_safe('COMMIT');
$node->safe_psql('postgres', 'VACUUM a');
is($node->safe_psql('postgres', 'SELECT state()'), 'whole', 'and makes it whole without them');
$reader->quit;

# ---- a standby, and a dump ----
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('swapped_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$reader = $standby->background_psql('postgres');
$reader->query_safe('SELECT count(*) FROM a');
$node->safe_psql('postgres', 'SELECT swapped()');
$node->wait_for_catchup($standby);
is($reader->query_safe('SELECT state()'), 'all log', 'all log on the standby');
agree($standby, 'and right');
my $dump = $node->backup_dir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-t', 'a', '-a', '-f', $dump ], 'it is dumped');
like(slurp_file($dump), qr/^3000\t/m, 'with its rows');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$reader->query_safe('SELECT 1 FROM b LIMIT 1');
$before = $node->safe_psql('postgres', 'SELECT count(*), sum(k), sum(hashtext(v)) FROM b');
# (no dead rows, whose removal would be in conflict with it)
$node->safe_psql('postgres', "INSERT INTO $_ SELECT i, i, 'later' FROM generate_series(20000, 20010) i") foreach 'a', 'b';
$node->safe_psql('postgres', q{SELECT kyro.snapshot('a')});
$node->wait_for_catchup($standby);
is($reader->query_safe('SELECT count(*), sum(k), sum(hashtext(v)) FROM a'), $before, 'an older snapshot on the standby');
$reader->query_safe('COMMIT');
agree($standby, 'sealed, on the standby');
$reader->quit;
$node->safe_psql('postgres', 'SELECT swapped()');
$node->wait_for_catchup($standby);
$node->stop('immediate');
$standby->promote;
agree($standby, 'all log after a promotion');
$standby->safe_psql('postgres', q{SELECT kyro.snapshot('a')});
agree($standby, 'and sealed');
$standby->stop;
$node->start;

# ---- pg_repack ----
SKIP:
{
	my $program = $node->config_data('--bindir') . '/pg_repack';

	skip('pg_repack is not installed', 1) unless -x $program &&
		$node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_repack'}) == 1;
	$node->safe_psql('postgres', q{
CREATE EXTENSION pg_repack;
CREATE TABLE repacked (id bigint PRIMARY KEY, k bigint, v text) USING kyro;
CREATE TABLE twin (LIKE repacked INCLUDING ALL) USING heap;
CREATE INDEX repacked_k ON repacked USING kyro_rmi (k);
INSERT INTO twin SELECT i, i * 7 % 1000, repeat(md5(i::text), i % 3 * 50) FROM generate_series(1, 3000) i;
INSERT INTO repacked TABLE twin;
SELECT kyro.snapshot('repacked');
});
	my $repack = sub {
		my ($table, @more) = @_;
		local $ENV{PGOPTIONS} = join(' ', map { "-c $_" } @more);
		$node->command_ok([ $program, '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-t', $table ], "pg_repack of $table @more");
	};
	my $same = sub {
		my ($what, $x, $y) = @_;
		is($node->safe_psql('postgres', "SELECT count(*) FROM (TABLE $x EXCEPT ALL TABLE $y) d; SELECT count(*) FROM (TABLE $y EXCEPT ALL TABLE $x) d;
SET enable_seqscan = off; SELECT count(*) FROM (SELECT count(*), sum(length(v)) FROM $x WHERE id > 0 EXCEPT SELECT count(*), sum(length(v)) FROM $y) d"), "0\n0\n0", $what);
	};
	my $sound = sub {
		my ($what) = @_;
		$same->($what, 'repacked', 'twin');
		is($node->safe_psql('postgres', q{SELECT * FROM kyro.verify('repacked', true) UNION ALL SELECT * FROM kyro.verify('repacked_k', true)}), '', "$what, and sound");
	};
	my $both = sub {
		my ($statement) = @_;
		$node->safe_psql('postgres', $statement =~ s/\$t/$_/gr) foreach 'repacked', 'twin';
	};
	$repack->('repacked');
	$sound->('repacked');
	$both->(q{DELETE FROM $t WHERE id % 10 = 1; UPDATE $t SET v = v || 'x' WHERE id % 10 = 2; INSERT INTO $t VALUES (9000, 1, 'y')});
	$sound->('repacked and changed');
	$node->safe_psql('postgres', q{SELECT kyro.snapshot('repacked')});
	$sound->('repacked and sealed');
	$both->(q{DELETE FROM $t WHERE id % 10 = 3; UPDATE $t SET v = v || 'x' WHERE id % 10 = 4});
	$repack->('repacked');
	$node->safe_psql('postgres', 'VACUUM repacked');
	$sound->('repacked and vacuumed');
	$repack->('repacked');
	$repack->('repacked');
	$sound->('repacked twice');
	$node->safe_psql('postgres', 'CLUSTER repacked USING repacked_k');
	$sound->('repacked and clustered');
	$repack->('repacked', 'default_table_access_method=kyro');
	$sound->('repacked as a kyro table');
	$node->safe_psql('postgres', q{SELECT kyro.snapshot('repacked')});
	$sound->('repacked as a kyro table and sealed');
	# a heap gets the file of a kyro table
	$repack->('twin', 'default_table_access_method=kyro');
	$same->('a heap repacked as a kyro table', 'twin', 'repacked');
	$both->(q{DELETE FROM $t WHERE id % 10 = 5; UPDATE $t SET v = v || 'x' WHERE id % 10 = 6; VACUUM $t});
	$same->('and changed', 'twin', 'repacked');
	$node->safe_psql('postgres', 'VACUUM FULL twin');
	$same->('and rewritten', 'twin', 'repacked');
}

# ---- a first block that is damaged is neither a list nor a page of rows ----
$node->safe_psql('postgres', q{
CREATE TABLE d (id int, v text) USING kyro;
INSERT INTO d SELECT i, 'x' FROM generate_series(1, 300) i;
SELECT kyro.snapshot('d');
INSERT INTO d SELECT i, 'x' FROM generate_series(1, 300) i;
ANALYZE d;
});
my $file = relation_file($node, 'd');
$node->stop;
my $good = (read_pages($file))[0];
my @rest = read_pages($file);
my ($log_page) = grep { unpack('x12v', $_) > 24 } @rest;
my ($rows_page) = grep { unpack('x28C', $_) == 2 } @rest;
my %damage = (
	zeros => "\0" x 8192,
	'an empty heap page over the header' => pack('a12vvva*', substr($good, 0, 12), 24, 8192, 8192, substr($good, 18)),
	'pd_lower and pd_upper' => pack('a12vva*', substr($good, 0, 12), 28, 8192, substr($good, 16)),
	'pd_upper' => pack('a14va*', substr($good, 0, 14), 8192, substr($good, 16)),
	'a bit' => substr($good, 0, 100) . chr(ord(substr($good, 100, 1)) ^ 1) . substr($good, 101),
	'another page of ours' => $rows_page,
);
foreach my $how (sort keys %damage)
{
	write_page($file, 0, $damage{$how});
	$node->start;
	foreach my $write (q{INSERT INTO d VALUES (1)}, q{INSERT INTO d VALUES (1) ON CONFLICT DO NOTHING}, 'INSERT INTO d SELECT * FROM d LIMIT 1', q{COPY d FROM PROGRAM $$printf '1\\tx\\n'$$},
		q{UPDATE d SET v = 'y' WHERE ctid = '(3,1)'}, 'DELETE FROM d', q{WITH x AS (INSERT INTO d VALUES (2, 'z') RETURNING *) TABLE x}, 'VACUUM d', q{SELECT kyro.snapshot('d')}, 'TABLE d')
	{
		my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$write");
		like($err, qr/ERROR:  XX001: (table "d" is damaged|invalid page) in block 0/, "$how: $write is refused");
	}
	isnt($node->safe_psql('postgres', q{SELECT problem FROM kyro.verify('d')}), '', "$how: verify says so");
	$node->stop;
}
# a page of the log there looks like a table that is all log, but for the pages of runs
write_page($file, 0, $log_page);
$node->start;
foreach my $command ('TABLE d', 'SELECT count(*) FROM d TABLESAMPLE SYSTEM (100)', 'VACUUM d', q{SELECT kyro.snapshot('d')}, 'VACUUM FULL d', 'CREATE INDEX ON d (id)')
{
	my ($rc, $out, $err) = $node->psql('postgres', $command);
	like($err, qr/table "d" is damaged in block \d+: page is one of ours, but block 0 is not a run list/, "a page of the log in its place: $command");
}
isnt($node->safe_psql('postgres', q{SELECT problem FROM kyro.verify('d')}), '', 'a page of the log in its place: verify says so');
$node->stop;
truncate($file, 0) or die "cannot truncate: $!";
$node->start;
my ($rc, $out, $err) = $node->psql('postgres', 'INSERT INTO d VALUES (1)');
like($err, qr/table "d" is damaged in block 0: file is empty/, 'a table that lost its file takes no rows');
like($node->safe_psql('postgres', q{SELECT problem FROM kyro.verify('d')}), qr/file is empty/, 'and verify says so');
$node->stop;
done_testing();
