# pg_upgrade of a cluster with everything that kyrodb stores, from each version to
# the next: by copies of files, by links to them, by clones, by swapping
# directories.  Every table has a heap twin; an application's tables are there with
# both kinds of keys, and event logs and key-value tables go on where they were.
#
# OLD_INSTALLS are the directories above bin of the old versions, oldest first; the
# newest one is in PATH.  Run by tools/check-upgrade.sh.
use strict;
use warnings;
use File::Path qw(rmtree);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Application;
use KyroTest;
use Test::More;

my $conf = q{
wal_consistency_checking = 'generic'
log_min_messages = warning
autovacuum = off
jit = off
max_wal_size = 4GB
};
chdir($PostgreSQL::Test::Utils::tmp_check) or die;	# pg_upgrade writes where it is
my $tablespace = PostgreSQL::Test::Utils::tempdir_short();
my %common = (extra => [ '--data-checksums', '--no-locale', '--encoding=UTF8' ]);

my ($newest) = `pg_config --version` =~ /(\d+)/;
my @old_installs = split(/ /, $ENV{OLD_INSTALLS});
my $old = PostgreSQL::Test::Cluster->new('old', install_path => $old_installs[0]);
$old->init(%common);
$old->append_conf('postgresql.conf', $conf);
# runs remember 64 bits of a transaction id
$old->command_ok([ 'pg_resetwal', '-e', '3', $old->data_dir ], 'an epoch of transaction ids');
$old->start;
note 'from ' . $old->safe_psql('postgres', 'SELECT version()');

# ---------------------------------------------------------------------------
# What there is to upgrade.

my @heap_indexes = map { [ 'h', $_, "h_$_" ] } qw(i2 i4 i8 d ts tz);

sub fill_indexes
{
	my ($db) = @_;

	$old->safe_psql($db, q{
SET client_min_messages = error;
CREATE TABLE h (id bigint, i2 smallint, i4 int, i8 bigint, d date, ts timestamp, tz timestamptz, e bigint);
CREATE FUNCTION more(a int, b int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO h SELECT g, g % 30000, g * 10, hashint8extended(g, 1), date '2020-01-01' + g % 5000, timestamp '2024-01-01' + g * interval '1 second',
		timestamptz '2024-01-01 UTC' + g * interval '1 ms', g / 2 FROM generate_series(a, b) g
$$;
SELECT more(1, 30000);
INSERT INTO h (id) SELECT -g FROM generate_series(1, 3000) g;
INSERT INTO h (id, i2, i4, i8, d, ts, tz) VALUES (-10001, -32768, -2147483648, -9223372036854775808, '-infinity', '-infinity', '-infinity'),
	(-10002, 32767, 2147483647, 9223372036854775807, 'infinity', 'infinity', 'infinity');
CREATE INDEX h_i2 ON h USING kyro_rmi (i2);
CREATE INDEX h_i4 ON h USING kyro_rmi (i4);
CREATE INDEX h_i8 ON h USING kyro_rmi (i8) WITH (fillfactor = 80);
CREATE INDEX h_d ON h USING kyro_rmi (d);
CREATE INDEX h_ts ON h USING kyro_rmi (ts);
CREATE INDEX h_tz ON h USING kyro_rmi (tz);
CREATE UNIQUE INDEX h_unique ON h USING kyro_rmi (id);
CREATE UNIQUE INDEX h_one_null ON h USING kyro_rmi (i4) NULLS NOT DISTINCT WHERE id > -2;
CREATE INDEX h_partial ON h USING kyro_rmi (i8) WHERE id % 3 = 0;
CREATE INDEX h_expression ON h USING kyro_rmi ((i8 % 1000));
-- after the build: splits, a longer directory, deleted leaves, entries of rolled back rows
SELECT more(30001, 45000);
BEGIN;
SELECT more(50001, 53000);
ROLLBACK;
UPDATE h SET i8 = i8 + 1, e = 0 WHERE id % 7 = 0;
DELETE FROM h WHERE id BETWEEN 5000 AND 12000;
});
	$old->safe_psql($db, 'VACUUM h');
	$old->safe_psql($db, q{
SET client_min_messages = error;
DELETE FROM h WHERE id % 10 = 3;
SELECT more(60001, 62000);
SELECT kyro.rebuild('h_i4');
CREATE TABLE hp (k bigint, v text) PARTITION BY RANGE (k);
CREATE TABLE hp1 PARTITION OF hp FOR VALUES FROM (0) TO (1000);
CREATE TABLE hp2 PARTITION OF hp FOR VALUES FROM (1000) TO (9000);
CREATE INDEX hp_k ON hp USING kyro_rmi (k);
INSERT INTO hp SELECT g, 'v' || g FROM generate_series(0, 5999) g;
CREATE MATERIALIZED VIEW hm AS SELECT i8 FROM h WHERE id > 0;
CREATE INDEX hm_i8 ON hm USING kyro_rmi (i8);
CREATE UNLOGGED TABLE hu AS SELECT i8 FROM h;
CREATE INDEX hu_i8 ON hu USING kyro_rmi (i8);
CREATE TABLE empty (k bigint);
CREATE INDEX empty_k ON empty USING kyro_rmi (k);
-- a partition with a unique index; a foreign key whose btree is younger than one
CREATE TABLE hq (k bigint) PARTITION BY RANGE (k);
CREATE TABLE hq1 (k bigint);
CREATE UNIQUE INDEX hq1_k ON hq1 USING kyro_rmi (k);
ALTER TABLE hq ATTACH PARTITION hq1 FOR VALUES FROM (0) TO (1000);
INSERT INTO hq SELECT generate_series(0, 999);
CREATE TABLE parent (id bigint);
CREATE UNIQUE INDEX parent_k ON parent USING kyro_rmi (id);
ALTER TABLE parent ADD PRIMARY KEY (id);
INSERT INTO parent SELECT generate_series(1, 500);
CREATE TABLE child (id bigint REFERENCES parent (id));
INSERT INTO child SELECT generate_series(1, 500);
-- keys with indexes of ours, by option and by exchange
LOAD 'kyrodb';
CREATE TABLE keyed (id bigint PRIMARY KEY WITH (kyro_rmi), u int CONSTRAINT keyed_u UNIQUE WITH (kyro_rmi, fillfactor = 60) DEFERRABLE, up bigint REFERENCES keyed);
CREATE TABLE parts (id bigint PRIMARY KEY WITH (kyro_rmi), up bigint REFERENCES parts) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (1000);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (1000) TO (2000) PARTITION BY RANGE (id);
CREATE TABLE parts_21 PARTITION OF parts_2 FOR VALUES FROM (1000) TO (2000) USING kyro;
CREATE UNIQUE INDEX parts_k ON parts USING kyro_rmi (id);
INSERT INTO parts SELECT g, nullif(g / 2, 0) FROM generate_series(1, 1999) g;
INSERT INTO keyed SELECT g, g, nullif(g / 2, 0) FROM generate_series(1, 2000) g;
CREATE TABLE keyed_child (k bigint CONSTRAINT keyed_child_fk REFERENCES keyed);
INSERT INTO keyed_child SELECT g FROM generate_series(1, 1000) g;
CREATE TABLE exchanged (id int PRIMARY KEY, v int);
INSERT INTO exchanged SELECT g, g FROM generate_series(1, 2000) g;
CALL kyro.replace_btree('exchanged');
});
}

# A kyro table t and its twin t_twin in any state that rows can be in.
sub fill_tables
{
	my ($db) = @_;
	my @sessions;

	$old->safe_psql($db, q{
SET client_min_messages = error;
CREATE FUNCTION twice(tbl text, q text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE replace(q, '$t', tbl || '_twin');
	EXECUTE replace(q, '$t', tbl);
END $$;
CREATE FUNCTION make(tbl text, how text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY[tbl, tbl || '_twin'] LOOP
		EXECUTE format('CREATE %s TABLE %I (id bigint, gone text, k bigint, v text, PRIMARY KEY (id)) USING %s', how, t, CASE t WHEN tbl THEN 'kyro' ELSE 'heap' END);
	END LOOP;
	EXECUTE format('CREATE INDEX %1$I ON %2$I USING kyro_rmi (k)', tbl || '_k', tbl);
	EXECUTE format('CREATE INDEX %1$I ON %2$I USING kyro_rmi (id)', tbl || '_id', tbl);
	EXECUTE format('CREATE INDEX %1$I ON %2$I (left(v, 20))', tbl || '_v', tbl);
	EXECUTE format('CREATE INDEX %1$I ON %2$I USING brin (id)', tbl || '_brin', tbl);
END $$;
CREATE FUNCTION value(g int) RETURNS text LANGUAGE sql AS $$
	-- every fiftieth is kept in the TOAST table, not compressible
	SELECT CASE WHEN g % 50 = 0 THEN (SELECT string_agg(md5((g + i)::text), '') FROM generate_series(1, 150) i) WHEN g % 17 > 0 THEN md5(g::text) END
$$;
CREATE FUNCTION rows(tbl text, a int, b int) RETURNS void LANGUAGE sql AS $$
	SELECT twice(tbl, format('INSERT INTO $t (id, k, v) SELECT g, hashint8extended(g, 3), value(g) FROM generate_series(%s, %s) g', a, b))
$$;
SELECT make('s'), make('unl', 'UNLOGGED'), make('compacted'), make('never_sealed'), make('resolved');
});
	foreach my $t ('s', 'unl', 'compacted', 'never_sealed', 'resolved')
	{
		my $seal = $t eq 'never_sealed' ? 'SELECT' : "SELECT kyro.snapshot('$t')";

		$old->safe_psql($db, "SELECT rows('$t', 1, 4000)");
		$old->safe_psql($db, $seal);
		# rows with fewer columns than the table
		$old->safe_psql($db, qq{SELECT twice('$t', 'ALTER TABLE \$t ADD n int DEFAULT 7'); SELECT twice('$t', 'ALTER TABLE \$t DROP gone');});
		$old->safe_psql($db, "SELECT rows('$t', 4001, 6000)");
		$old->safe_psql($db, $seal);
		$old->safe_psql($db, qq{SELECT twice('$t', 'DELETE FROM \$t WHERE id % 31 = 1'); SELECT twice('$t', 'UPDATE \$t SET v = v || ''!'' WHERE id % 31 = 2');});
		if ($t eq 'compacted')
		{
			$old->safe_psql($db, "VACUUM FULL $t, ${t}_twin");
		}
		elsif ($t eq 'resolved')
		{
			# dead rows are reclaimed, runs known to be committed, visibility map set
			$old->safe_psql($db, "VACUUM (FREEZE, INDEX_CLEANUP ON) $t, ${t}_twin");
		}
		# what is touched and what is in the log when the server stops
		$old->safe_psql($db, qq{
SELECT twice('$t', 'DELETE FROM \$t WHERE id % 37 = 1');
SELECT twice('$t', 'UPDATE \$t SET v = v || ''?'', k = k + 1 WHERE id % 37 = 2');
SELECT count(*) FROM (SELECT FROM $t WHERE id % 37 = 3 FOR UPDATE) x;
BEGIN; DELETE FROM $t WHERE id % 37 = 4; UPDATE $t SET n = 0 WHERE id % 37 = 5; ROLLBACK;
SELECT rows('$t', 7001, 8000);
BEGIN; INSERT INTO $t SELECT g, 1, 'never' FROM generate_series(9001, 9100) g; $seal; ROLLBACK;
SELECT twice('$t', 'UPDATE \$t SET n = 8 WHERE id % 41 = 0');
});
	}
	# rows that two transactions have locked, multixacts
	@sessions = map { $old->background_psql($db) } (1, 2);
	$_->query_safe('BEGIN; SELECT count(*) FROM (SELECT FROM s WHERE id % 43 = 0 FOR SHARE) x') foreach @sessions;
	$_->query_safe('COMMIT') foreach @sessions;
	$_->quit foreach @sessions;

	$old->safe_psql($db, q{
CREATE TABLE p (k bigint, v text) PARTITION BY RANGE (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (3000) USING kyro;
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (3000) TO (9000) USING kyro TABLESPACE other;
CREATE INDEX p_k ON p USING kyro_rmi (k);
CREATE TABLE p_twin (k bigint, v text);
SELECT twice('p', 'INSERT INTO $t SELECT g, md5(g::text) FROM generate_series(0, 5999) g');
SELECT kyro.snapshot('p1');
SELECT kyro.snapshot('p2', max_rows => 2000);
SELECT twice('p', 'DELETE FROM $t WHERE k % 100 = 5');
ALTER INDEX p2_k_idx SET TABLESPACE other;
CREATE MATERIALIZED VIEW m USING kyro AS SELECT id, k FROM s;
SELECT kyro.snapshot('m');
SELECT kyro.set_policy('s', seal_rows => 1000000000, min_rows => 7), kyro.set_policy('p', seal_bytes => 1000000000);
CREATE VIEW uses AS SELECT relname, runs FROM kyro.stat_tables;
});
}

# Logs with events, consumers, requests and gaps, and a key-value table with a history.
sub fill_logs
{
	my ($db) = @_;

	$old->safe_psql($db, q{
SET client_min_messages = error;
SELECT kyro.create_log('events'), kyro.create_log('clicks', partition_by => 'offset', every => '200'), kyro.create_kv('settings', history => true);
SELECT count(kyro.append(l, to_jsonb(g), key => g % 7, request_id => md5(g::text)::uuid)) FROM generate_series(1, 500) g, unnest(ARRAY['events', 'clicks']) l;
BEGIN;
SELECT count(kyro.append(l, '0')) FROM generate_series(1, 20) g, unnest(ARRAY['events', 'clicks']) l;
ROLLBACK;
SELECT count(kyro.append(l, to_jsonb(g))) FROM generate_series(501, 600) g, unnest(ARRAY['events', 'clicks']) l;
SELECT kyro.snapshot('events');
SELECT count(kyro.put('settings', g % 50, g::text)) FROM generate_series(1, 300) g;
SELECT kyro.delete('settings', 7);
SELECT kyro.ack('events', 'reader', lease) FROM (SELECT DISTINCT lease FROM kyro.consume('events', 'reader', "limit" => 100, lease_for => '1 hour')) l;
});
}

# What readers of logs and key-value tables see.
sub logs
{
	my ($node, $db) = @_;

	return $node->safe_psql($db, q{
SELECT l, count(*), min("offset"), max("offset"), md5(string_agg(e::text, E'\n' ORDER BY "offset")) FROM unnest(ARRAY['events', 'clicks', 'settings_history']) l, LATERAL kyro.replay(l) e GROUP BY l ORDER BY l;
SELECT l, kyro.last_offset(l), kyro.stable_offset(l) FROM unnest(ARRAY['events', 'clicks', 'settings_history']) l;
SELECT count(*), md5(string_agg(s::text, E'\n' ORDER BY key)) FROM kyro.scan('settings') s;
SELECT kyro.get('settings', 8, as_of => 20::bigint), kyro.get('settings', 7);
SELECT consumer, position FROM events_consumers;
});
}

my @kyro_indexes = map { [ $_, 'k', "${_}_k" ] } qw(s unl compacted never_sealed resolved);
my @other = (['hp1', 'k', 'hp1_k_idx'], ['hp2', 'k', 'hp2_k_idx'], ['hm', 'i8', 'hm_i8'], ['hu', 'i8', 'hu_i8'], ['empty', 'k', 'empty_k'],
	['p1', 'k', 'p1_k_idx'], ['p2', 'k', 'p2_k_idx']);
my @sound = qw(h_unique h_one_null h_partial h_expression hq1_k parent_k keyed_pkey keyed_u exchanged_pkey parts_pkey parts_k);

$old->safe_psql('postgres', "CREATE TABLESPACE other LOCATION '$tablespace'");
$old->safe_psql('postgres', 'CREATE DATABASE one');
$old->safe_psql('postgres', 'CREATE DATABASE two');
add_index_checks($old, 'one');
add_index_checks($old, 'two');
$old->safe_psql('postgres', 'CREATE DATABASE logs');
$old->safe_psql('logs', 'CREATE EXTENSION kyrodb');
fill_indexes('one');
fill_tables('two');
fill_logs('logs');
application_databases($old, 'plain', 'ours');
load_both($old, 'application', 'plain', 'ours');
# what is set for new keys is not for those that there are
$old->safe_psql('postgres', "ALTER DATABASE $_ SET kyro.constraint_index_method = kyro_rmi") foreach ('one', 'plain');
# the tables of the other's tests
$old->safe_psql('two', q{CREATE TABLE log (id bigint) USING kyro TABLESPACE other; INSERT INTO log SELECT generate_series(1, 1000); SELECT kyro.snapshot('log')});

# Everything that can be compared of a database, as text.
sub contents
{
	my ($node, $db) = @_;
	my $tables = $node->safe_psql($db, q{SELECT relname FROM pg_class WHERE relkind IN ('r', 'm', 'p') AND relnamespace = 'public'::regnamespace ORDER BY 1});

	return join("\n", map { "$_: " . $node->safe_psql($db, "SELECT count(*), sum(hashtextextended((x.*)::text, 0)) FROM $_ x") } split(/\n/, $tables));
}

sub twins_agree_here
{
	my ($node, $what) = @_;
	my $q = join("\nUNION ALL\n", map {
		"SELECT 'only in $_: ' || x::text FROM (TABLE $_ EXCEPT ALL TABLE ${_}_twin) x UNION ALL SELECT 'only in ${_}_twin: ' || x::text FROM (TABLE ${_}_twin EXCEPT ALL TABLE $_) x"
	} qw(s unl compacted never_sealed resolved p));

	is($node->safe_psql('two', "$q LIMIT 20"), '', "$what: twins are equal");
}

sub everything_agrees
{
	my ($node, $what, %opt) = @_;
	my $logged = sub { return grep { !$opt{crashed} || $_->[0] !~ /^(hu|unl)$/ } @_ };

	twins_agree_here($node, $what) unless $opt{crashed};
	indexes_agree($node, 'one', "$what: indexes of heaps agree", @heap_indexes, $logged->(grep { $_->[0] =~ /^h|^empty/ } @other));
	indexes_agree($node, 'two', "$what: indexes of kyro tables agree", $logged->(@kyro_indexes), grep { $_->[0] =~ /^p/ } @other);
	sound($node, 'one', "$what: other indexes are sound", @sound);
	foreach my $db ('one', 'two')
	{
		is($node->safe_psql($db, q{
SELECT c.oid::regclass, v.block, v.problem FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname IN ('kyro_rmi', 'kyro'),
	LATERAL kyro.verify(c.oid::regclass, deep => true) v WHERE c.relkind IN ('i', 'r', 'm')}), '', "$what: everything in $db is sound");
	}
}

everything_agrees($old, 'before');
my $states = $old->safe_psql('two', 'SELECT DISTINCT state FROM kyro.stat_runs ORDER BY 1');
like($states, qr/aborted/, 'a run was rolled back');
like($states, qr/committed/, 'others were not');
# What is to be the same on the other side.
sub memory
{
	my ($node) = @_;
	my %memory = (xid => $node->safe_psql('postgres', 'SELECT pg_current_xact_id()'));

	foreach my $db ('one', 'two')
	{
		# (from 18 on keys show the class that is the default, and it is not printed)
		$memory{"the contents of $db"} = contents($node, $db);
		$memory{"the index definitions of $db"} = $node->safe_psql($db, q{SELECT string_agg(regexp_replace(pg_get_indexdef(indexrelid), ' kyro\.\w+_ops', ''), E'\n' ORDER BY indexrelid::regclass::text)
	FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam AND amname = 'kyro_rmi'});
		$memory{"the keys of $db"} = $node->safe_psql($db, q{SELECT conrelid::regclass, conname, conindid::regclass, pg_get_constraintdef(oid)
	FROM pg_constraint WHERE contype IN ('p', 'u', 'f') AND connamespace = 'public'::regnamespace AND conparentid = 0 ORDER BY 1, 2});
		$memory{"the histories of models of $db"} = $node->safe_psql($db, q{SELECT c.relname, h.* FROM pg_class c JOIN pg_am a ON a.oid = relam AND amname = 'kyro_rmi',
			LATERAL kyro.model_history(c.oid) h WHERE relkind = 'i' ORDER BY relname, generation});
		$memory{"the policies of $db"} = $node->safe_psql($db, 'SELECT * FROM kyro.policies p ORDER BY p::text');
	}
	$memory{"the kinds of keys of $_"} = key_methods($node, $_) foreach ('plain', 'ours');
	$memory{'the logs'} = logs($node, 'logs');
	$memory{'the runs'} = $node->safe_psql('two', q{SELECT to_jsonb(r) - 'state' FROM kyro.stat_runs r ORDER BY relname, r::text});
	return %memory;
}

my %before = memory($old);
$old->stop;

# The cluster as it was, for each mode: most leave little of it.
my $kept = PostgreSQL::Test::Utils::tempdir();
system_or_bail('cp', '-a', $old->data_dir, "$kept/data");
system_or_bail('cp', '-a', $tablespace, "$kept/tablespace");

sub restore_old
{
	rmtree([ $old->data_dir, glob("$tablespace/PG_*") ]);
	system_or_bail('cp', '-a', "$kept/data", $old->data_dir);
	system_or_bail('cp', '-a', glob("$kept/tablespace/PG_*"), $tablespace);
}

# ---------------------------------------------------------------------------
# Life after it.

sub live
{
	my ($new, $what) = @_;

	$new->safe_psql('one', q{
SET client_min_messages = error;
SELECT more(70001, 90000);
UPDATE h SET i8 = i8 + 1 WHERE id % 11 = 0;
DELETE FROM h WHERE id BETWEEN 20000 AND 26000;
INSERT INTO hp SELECT g, 'new' FROM generate_series(6000, 8999) g;
INSERT INTO hu SELECT g FROM generate_series(1, 2000) g;
INSERT INTO empty SELECT g FROM generate_series(1, 2000) g;
REFRESH MATERIALIZED VIEW hm;
});
	my ($rc, $out, $err) = $new->psql('one', 'INSERT INTO h (id) VALUES (100)');
	like($err, qr/duplicate key value violates unique constraint "h_unique"/, "$what: a unique index refuses");
	($rc, $out, $err) = $new->psql('one', 'INSERT INTO exchanged VALUES (100)');
	like($err, qr/duplicate key value violates unique constraint "exchanged_pkey"/, "$what: a key refuses");
	($rc, $out, $err) = $new->psql('one', 'INSERT INTO keyed_child VALUES (-5)');
	like($err, qr/violates foreign key constraint "keyed_child_fk"/, "$what: a foreign key refuses");
	is($new->safe_psql('one', 'BEGIN; INSERT INTO parts VALUES (7), (1007) ON CONFLICT (id) DO UPDATE SET up = 1 RETURNING id; ROLLBACK'), "7\n1007", "$what: ON CONFLICT through a partitioned table");
	($rc, $out, $err) = $new->psql('one', 'INSERT INTO parts VALUES (0, 5000)');
	like($err, qr/violates foreign key constraint "parts_up_fkey"/, "$what: a foreign key to it refuses");
	is($new->safe_psql('one', 'UPDATE keyed SET u = u + 1; SELECT count(*) FROM keyed WHERE u = 2001'), '1', "$what: a deferrable key waits");
	foreach my $t ('s', 'unl', 'compacted', 'never_sealed', 'resolved')
	{
		$new->safe_psql('two', qq{
SELECT twice('$t', 'DELETE FROM \$t WHERE id % 29 = 1');
SELECT twice('$t', 'UPDATE \$t SET v = v || ''new'', n = 9 WHERE id % 29 = 2');
SELECT rows('$t', 10001, 11000);
SELECT count(*) FROM (SELECT FROM $t WHERE id % 29 = 3 FOR KEY SHARE) x;
});
		$new->safe_psql('two', "SELECT kyro.snapshot('$t')");
		$new->safe_psql('two', qq{SELECT twice('$t', 'DELETE FROM \$t WHERE id % 29 = 4'); SELECT rows('$t', 12001, 12100)});
	}
	$new->safe_psql('two', q{SELECT twice('p', 'UPDATE $t SET v = ''new'' WHERE k % 9 = 0'); SELECT kyro.snapshot('p2')});
}

# Logs go on with the next offset, remember requests, and hand out what is left.
sub live_logs
{
	my ($node, $what) = @_;

	is($node->safe_psql('logs', q{SELECT l FROM unnest(ARRAY['events', 'clicks']) l
WHERE kyro.append(l, '"again"', request_id => md5('77')::uuid) <> (SELECT "offset" FROM kyro.replay(l) WHERE request_id = md5('77')::uuid)}), '', "$what: a request is known");
	my $last = 'SELECT kyro.last_offset(l) FROM unnest(ARRAY[\'events\', \'clicks\', \'settings_history\']) l';
	my @before = split /\n/, $node->safe_psql('logs', $last);
	$node->safe_psql('logs', q{SELECT count(kyro.append(l, to_jsonb(g))) FROM generate_series(1, 300) g, unnest(ARRAY['events', 'clicks']) l;
SELECT count(kyro.put('settings', g, 'new')) FROM generate_series(40, 60) g});
	my @after = split /\n/, $node->safe_psql('logs', $last);
	ok($after[0] >= $before[0] + 300 && $after[1] >= $before[1] + 300 && $after[2] >= $before[2] + 21, "$what: logs go on") or diag("@before, @after");
	is($node->safe_psql('logs', q{SELECT count(*) FROM unnest(ARRAY['events', 'clicks']) l WHERE kyro.stable_offset(l) >= kyro.last_offset(l)}), 2, "$what: nothing is waited for");
	is($node->safe_psql('logs', q{SELECT min("offset") = (SELECT min("offset") FROM events WHERE "offset" >= (SELECT position FROM events_consumers)) FROM kyro.consume('events', 'reader', "limit" => 50)}), 't', "$what: a consumer goes on");
	$node->safe_psql('logs', q{SELECT kyro.ack('events', 'reader', max(lease)) FROM events_leases});
	is($node->safe_psql('logs', q{SELECT c.relname, v.* FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname LIKE 'kyro%', LATERAL kyro.verify(c.oid::regclass, deep => true) v WHERE c.relkind IN ('i', 'r')}), '', "$what: logs are sound");
}

# And some of it after an upgrade, the n-th from 0 on, before the next.
sub live_between
{
	my ($node, $what, $n) = @_;

	live_logs($node, $what);
	load_both($node, "$what, application", 'plain', 'ours');
	$node->safe_psql('one', qq{
SET client_min_messages = error;
SELECT more(65001 + 1000 * $n, 66000 + 1000 * $n);
UPDATE h SET i8 = i8 + 1 WHERE id % 13 = 0;
DELETE FROM h WHERE id BETWEEN 27000 AND 28000;
INSERT INTO keyed SELECT g, g + 5000, 1 FROM generate_series(3001 + 1000 * $n, 4000 + 1000 * $n) g;
});
	foreach my $t ('s', 'unl', 'compacted', 'never_sealed', 'resolved')
	{
		$node->safe_psql('two', qq{SELECT twice('$t', 'DELETE FROM \$t WHERE id % 53 = 1'); SELECT rows('$t', 6001 + 100 * $n, 6100 + 100 * $n)});
		$node->safe_psql('two', "SELECT kyro.snapshot('$t')") unless $t eq 'never_sealed';
		$node->safe_psql('two', qq{SELECT twice('$t', 'UPDATE \$t SET n = 10 WHERE id % 53 = 2')});
	}
	$node->safe_psql('two', 'VACUUM ANALYZE s, compacted');
	everything_agrees($node, "$what, after some changes");
}

# A full life on the other side.
sub live_on
{
	my ($new, $what, $preloaded) = @_;

	# what VACUUM makes of rows and runs of the old server, when it is the first to look and when not
	$new->safe_psql('two', 'VACUUM ANALYZE s, unl') if $preloaded;
	twins_agree_here($new, "$what, after VACUUM");

	live($new, $what);
	live_logs($new, $what);
	# only now: 17.12 gives columns of new tables an option that 18.6 does not know
	$new->safe_psql('logs', q{SELECT kyro.extend_log('clicks')});
	load_both($new, "$what, application", 'plain', 'ours');
	everything_agrees($new, "$what, after changes");
	$new->stop('immediate');
	$new->start;
	everything_agrees($new, "$what, after a crash", crashed => 1);
	# exchanged, there and back
	exchange_keys($new, 'plain', 'replace_btree');
	exchange_keys($new, 'ours', 'restore_btree');
	load_both($new, "$what, application exchanged", 'plain', 'ours');
	exchange_keys($new, 'plain', 'restore_btree');
	exchange_keys($new, 'ours', 'replace_btree');
	same_content($new, "$what, application exchanged back", 'plain', 'ours');
	foreach my $db ('one', 'two')
	{
		$new->safe_psql($db, 'VACUUM (FREEZE, INDEX_CLEANUP ON)');
		$new->safe_psql($db, "SELECT kyro.rebuild(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = c.relam AND amname = 'kyro_rmi' WHERE c.relkind = 'i'");
	}
	# an unlogged table is empty after a crash
	$new->safe_psql('two', 'TRUNCATE unl_twin');
	everything_agrees($new, "$what, after VACUUM FREEZE");
	$new->safe_psql('one', 'REINDEX DATABASE one');
	$new->safe_psql('two', 'REINDEX DATABASE two');
	$new->safe_psql('two', 'VACUUM FULL s, compacted; CLUSTER resolved USING resolved_id');
	$new->safe_psql('two', 'REFRESH MATERIALIZED VIEW m');
	everything_agrees($new, "$what, after REINDEX and VACUUM FULL");
}

# Run pg_upgrade; the new cluster, started.
sub upgrade
{
	my ($from, $install, $mode, $name, $preload) = @_;
	my $new = PostgreSQL::Test::Cluster->new($name, install_path => $install);
	my $programs;

	$new->init(%common);
	$new->append_conf('postgresql.conf', $conf . ($preload ? "shared_preload_libraries = 'kyrodb'\n" : ''));
	$programs = $new->config_data('--bindir');
	command_ok([ "$programs/pg_upgrade", '--no-sync', $mode, '-d', $from->data_dir, '-D', $new->data_dir, '-b', $from->config_data('--bindir'),
			'-B', $programs, '-s', $new->host, '-p', $from->port, '-P', $new->port ], "$name: pg_upgrade $mode");
	if (-d $new->data_dir . '/pg_upgrade_output.d')
	{
		system('find ' . $new->data_dir . "/pg_upgrade_output.d -name '*.log' | xargs tail -n 30");
		BAIL_OUT('pg_upgrade failed');
	}
	$new->start;
	note 'to ' . $new->safe_psql('postgres', 'SELECT version()');
	return $new;
}

sub can_clone
{
	return system("cp --reflink=always $kept/data/PG_VERSION $kept/clone 2>/dev/null") == 0;
}

foreach my $mode ('--copy', '--clone', '--swap', '--link')
{
	my $from = $old;
	my %memory = %before;
	my $new;

  SKIP:
	{
		skip('--clone: this file system cannot share blocks of files', 1) if $mode eq '--clone' && !can_clone();
		skip('--swap: PostgreSQL 18 is the first to have it', 1) if $mode eq '--swap' && $newest < 18;
		restore_old();
		foreach my $install (@old_installs[ 1 .. $#old_installs ], undef)
		{
			my $last = !defined($install);
			# by copies where that version does not know the mode
			my $new = upgrade($from, $install, $mode eq '--swap' && !$last ? '--copy' : $mode, 'new' . ($mode =~ s/-/_/gr) . ($last ? '' : '_1'), $mode ne '--copy');
			my $what = "$mode, " . $new->pg_version->major;

			cmp_ok($new->safe_psql('postgres', 'SELECT pg_current_xact_id()'), '>=', $memory{xid}, "$what: transaction ids go on");
			same_content($new, "$what, application", 'plain', 'ours');
			my %now = memory($new);
			is($now{$_}, $memory{$_}, "$what: $_") foreach grep { $_ ne 'xid' } sort keys %memory;
			everything_agrees($new, $what);
			if ($last && $mode =~ /copy|link/)
			{
				live_on($new, $what, $mode ne '--copy');
			}
			else
			{
				live_between($new, $what, $last ? 1 : 0);
			}
			%memory = memory($new);
			log_lacks($new, 'PANIC|TRAP|invalid page|inconsistent page|terminated by signal|could not access status', "$what: nothing bad in the log");
			$new->stop;
			$new->command_ok([ 'pg_checksums', '--check', '-D', $new->data_dir ], "$what: page checksums are right");
			$from->clean_node unless $from == $old;
			$from = $new;
		}
		$from->clean_node;
	}
}

done_testing();
