# Copies: pg_dump and restore, a database made of a template, a base backup,
# pg_checksums and pg_amcheck over them.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('source', init => [ allows_streaming => 1, extra => ['--data-checksums'] ]);
$node->safe_psql('postgres', 'CREATE DATABASE src');
add_index_checks($node, 'src');
$node->safe_psql('src', q{
CREATE TABLE t (id bigint, k bigint, d timestamptz);
INSERT INTO t SELECT g, hashint8extended(g, 1), timestamptz '2024-01-01 UTC' + g * interval '1 second' FROM generate_series(1, 15000) g;
CREATE INDEX t_k ON t USING kyro_rmi (k) WITH (fillfactor = 80);
CREATE UNIQUE INDEX t_id ON t USING kyro_rmi (id) WHERE id > 0;
CREATE INDEX t_e ON t USING kyro_rmi ((id % 100));
CREATE INDEX t_d ON t USING kyro_rmi (d);
ALTER TABLE t CLUSTER ON t_k;
CREATE TABLE pt (k bigint) PARTITION BY RANGE (k);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (1000);
CREATE INDEX pt_k ON pt USING kyro_rmi (k);
INSERT INTO pt SELECT g FROM generate_series(0, 999) g;
CREATE TABLE qt (k bigint) PARTITION BY RANGE (k);
CREATE TABLE qt1 (k bigint);
CREATE UNIQUE INDEX qt1_k ON qt1 USING kyro_rmi (k);
ALTER TABLE qt ATTACH PARTITION qt1 FOR VALUES FROM (0) TO (3000);
INSERT INTO qt SELECT g FROM generate_series(0, 2999) g;
CREATE MATERIALIZED VIEW mv AS SELECT k FROM t WHERE k > 0;
CREATE INDEX mv_k ON mv USING kyro_rmi (k);
CREATE UNLOGGED TABLE unl AS SELECT k FROM t;
CREATE INDEX unl_k ON unl USING kyro_rmi (k);
CREATE TABLE s (id bigint PRIMARY KEY, k bigint, v text) USING kyro;
INSERT INTO s SELECT g, hashint8extended(g, 3), repeat(md5(g::text), 1 + g % 90) FROM generate_series(1, 3000) g;
CREATE INDEX s_k ON s USING kyro_rmi (k);
SELECT kyro.snapshot('s');
DELETE FROM s WHERE id % 10 = 1;
UPDATE s SET v = v || 'x' WHERE id % 10 = 2;
INSERT INTO s SELECT g, hashint8extended(g, 3), 'log' FROM generate_series(5001, 5100) g;
INSERT INTO t SELECT 20000 + g, hashint8extended(g, 2), now() FROM generate_series(1, 5000) g;
DELETE FROM t WHERE id % 10 = 1;
VACUUM t;
});
my @indexes = (['t', 'k', 't_k'], ['s', 'k', 's_k'], ['t', 'd', 't_d'], ['pt1', 'k', 'pt1_k_idx'], ['qt1', 'k', 'qt1_k'], ['mv', 'k', 'mv_k'], ['unl', 'k', 'unl_k']);
my $defs = q{SELECT string_agg(pg_get_indexdef(indexrelid) || indisclustered::text, E'\n' ORDER BY indexrelid::regclass::text) FROM pg_index i
	JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam AND amname = 'kyro_rmi'};
my $rows = q{SELECT count(*), sum(hash_array_extended(ARRAY[k, id], 0)) FROM t
	UNION ALL SELECT count(*), sum(hashtextextended((s.*)::text, 0)) FROM s};

indexes_agree($node, 'src', 'the source', @indexes);
foreach my $format ('plain', 'custom', 'directory')
{
	my $file = $PostgreSQL::Test::Utils::tmp_check . "/dump_$format";
	$node->command_ok([ 'pg_dump', '-F', substr($format, 0, 1), '-f', $file, '-d', $node->connstr('src') ], "pg_dump, $format");
	$node->safe_psql('postgres', "CREATE DATABASE $format");
	if ($format eq 'plain')
	{
		$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $file, '-d', $node->connstr($format) ], "restore, $format");
	}
	else
	{
		$node->command_ok([ 'pg_restore', '--exit-on-error', '-j', ($format eq 'directory' ? 2 : 1), '-d', $node->connstr($format), $file ], "restore, $format");
	}
	is($node->safe_psql($format, $defs), $node->safe_psql('src', $defs), "$format: the same index definitions");
	is($node->safe_psql($format, $rows), $node->safe_psql('src', $rows), "$format: the same rows");
	indexes_agree($node, $format, "$format: indexes agree", @indexes);
}
# or without kyro tables
$node->safe_psql('postgres', 'CREATE DATABASE heaps');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--no-table-access-method', '-d', $node->connstr('heaps'), "$PostgreSQL::Test::Utils::tmp_check/dump_custom" ], 'restore, --no-table-access-method');
is($node->safe_psql('heaps', q{SELECT count(*) FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE amname = 'kyro'}), '0', 'all tables are heaps');
is($node->safe_psql('heaps', $rows), $node->safe_psql('src', $rows), 'with the same rows');
is($node->safe_psql('heaps', $defs), $node->safe_psql('src', $defs), 'and the same indexes');
indexes_agree($node, 'heaps', 'heaps: indexes agree', @indexes);
# the extension's own objects are not dumped
my ($dump) = run_command([ 'pg_dump', '-s', '-d', $node->connstr('src') ]);
unlike($dump, qr/CREATE FUNCTION kyro\.|CREATE ACCESS METHOD|CREATE OPERATOR CLASS/, 'the dump has CREATE EXTENSION, not its members');
like($dump, qr/USING kyro_rmi/, 'and the indexes');

# made of a template: by WAL and by copying files
foreach my $strategy ('wal_log', 'file_copy')
{
	$node->safe_psql('postgres', "CREATE DATABASE $strategy TEMPLATE src STRATEGY $strategy");
	is($node->safe_psql($strategy, $rows), $node->safe_psql('src', $rows), "$strategy: the same rows");
	indexes_agree($node, $strategy, "$strategy: indexes agree", @indexes);
	# the copy goes its own way
	$node->safe_psql($strategy, q{INSERT INTO t SELECT 90000 + g, hashint8extended(g, 9) FROM generate_series(1, 8000) g; DELETE FROM t WHERE id < 5000;
		UPDATE s SET v = 'changed' WHERE id % 10 = 3; SELECT kyro.snapshot('s');});
	$node->safe_psql($strategy, 'VACUUM t, s');
	$node->safe_psql($strategy, q{SELECT leaves FROM kyro.rebuild('t_k')});
	indexes_agree($node, $strategy, "$strategy: after changes", @indexes);
	indexes_agree($node, 'src', "$strategy: the source is as it was", @indexes);
}
# a database of a template, while the server crashes right after
$node->stop('immediate');
$node->start;
indexes_agree($node, 'wal_log', 'after a crash: wal_log', @indexes[0 .. 5]);
indexes_agree($node, 'file_copy', 'after a crash: file_copy', @indexes[0 .. 5]);
$node->safe_psql('postgres', 'ALTER DATABASE file_copy RENAME TO renamed');
indexes_agree($node, 'renamed', 'a renamed database', @indexes[0 .. 5]);

# a base backup, taken while rows arrive
$node->backup('base');
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'base');
$copy->start;
indexes_agree($copy, 'src', 'a base backup', @indexes[0 .. 5]);
$copy->safe_psql('src', q{INSERT INTO t SELECT 70000 + g, hashint8extended(g, 7) FROM generate_series(1, 5000) g});
indexes_agree($copy, 'src', 'takes writes', @indexes[0 .. 5]);
$copy->stop;
$copy->command_ok([ 'pg_checksums', '--check', '-D', $copy->data_dir ], 'page checksums are right');

# the server's own tools for looking into files: they refuse what they do not know, and find what they know sound
my %refused = (
	amcheck => { q{bt_index_check('t_k')} => '(?:only B-Tree indexes are supported|expected "btree" index as targets)', q{bt_index_parent_check('t_k')} => '(?:only B-Tree indexes are supported|expected "btree" index as targets)', q{verify_heapam('s')} => 'only heap AM is supported' },
	pageinspect => { q{bt_metap('t_k')} => 'is not a btree index', q{bt_page_stats('t_k', 1)} => 'is not a btree index' },
	pgstattuple => { q{pgstattuple('t_k')} => 'is not supported', q{pgstatindex('t_k')} => 'is not a btree index', q{pgstattuple('s')} => 'only heap AM is supported', q{pgstattuple_approx('s')} => 'only heap AM is supported' },
	pgrowlocks => { q{pgrowlocks('s')} => 'only heap AM is supported' },
	pg_surgery => { q{heap_force_kill('s', '{"(1,1)"}')} => 'only heap AM is supported', q{heap_force_freeze('s', '{"(1,1)"}')} => 'only heap AM is supported' });
foreach my $tool (sort keys %refused)
{
	SKIP:
	{
		skip "no $tool", 1 if $node->safe_psql('src', "SELECT count(*) FROM pg_available_extensions WHERE name = '$tool'") == 0;
		$node->safe_psql('src', "CREATE EXTENSION $tool");
		foreach my $call (sort keys %{ $refused{$tool} })
		{
			my ($rc, $out, $err) = $node->psql('src', "SELECT * FROM $call");
			like($err, qr/ERROR:.*$refused{$tool}{$call}/, "$tool: $call is refused");
		}
		next if $tool ne 'amcheck';
		is($node->safe_psql('src', q{SELECT bt_index_check(indexrelid, true) FROM pg_index WHERE indrelid = 's'::regclass AND indisprimary}), '', 'amcheck: a btree of a kyro table has all of its rows');
		$node->command_ok([ 'pg_amcheck', '--heapallindexed', '--parent-check', '-d', 'src' ], 'pg_amcheck passes over what it does not know');
	}
}

# extension removed and made again
my ($rc, $out, $err) = $node->psql('renamed', 'DROP EXTENSION kyrodb');
like($err, qr/cannot drop extension kyrodb because other objects depend on it/, 'the extension is not dropped under its indexes');
like($err, qr/^(?:DETAIL:  )?$_ depends on (?:access method kyro|operator class kyro\.\w+)\b/m, "$_ is named") foreach ('index t_k', 'index t_id', 'index t_d', 'index pt_k', 'index mv_k', 'index unl_k', 'table s');
($rc, $out, $err) = $node->psql('renamed', 'ALTER EXTENSION kyrodb UPDATE');
like($err, qr/NOTICE:  version "[0-9.]+" of extension "kyrodb" is already installed/, 'an update to the same version says so');
($rc, $out, $err) = $node->psql('renamed', 'DROP EXTENSION kyrodb CASCADE');
like($err, qr/extension "kyrodb" cannot be dropped while there are kyro tables\nDETAIL:.*public\.s\b/, 'with CASCADE neither, since a kyro table would go with its rows');
$node->safe_psql('renamed', 'SELECT * FROM kyro.leave(dry_run => false)');
is($node->safe_psql('renamed', 'SELECT count(*) FROM kyro.leave()'), '0', 'all indexes and tables of ours are turned into others');
is($node->safe_psql('renamed', 'SELECT count(*) FROM s'), $node->safe_psql('src', 'SELECT count(*) FROM s'), 'with all rows');
$node->safe_psql('renamed', 'DROP EXTENSION kyrodb; CREATE EXTENSION kyrodb; DROP INDEX t_k; CREATE INDEX t_k ON t USING kyro_rmi (k)');
indexes_agree($node, 'renamed', 'made again', ['t', 'k', 't_k']);
log_lacks($node, 'PANIC|TRAP|invalid page|inconsistent page|terminated by signal', 'nothing bad in the log');
$node->stop;

done_testing();
