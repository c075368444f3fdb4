# Bulk loads of kyro tables that go straight into runs: an error, a crash at each step, and a kill at any
# moment leave all of a load or nothing, on the standby, too; what is decoded under wal_level = logical.
# Needs a build with DEBUG_POINTS=1, as make check makes it.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('load', init => [ allows_streaming => 1 ], conf => "restart_after_crash = on\nmaintenance_work_mem = 1MB\n");
$node->safe_psql('postgres', 'CREATE EXTENSION kyrodb');
need_debug_points($node);
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('load_standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;

my $rows = 30000;
my $file = $node->basedir . '/rows.copy';
my $inserted = "SELECT g, md5(g::text), CASE WHEN g % 1000 = 0 THEN repeat(md5(g::text), 200) END FROM generate_series(1, $rows) g";
$node->safe_psql('postgres', "COPY ($inserted) TO '$file'");

# what a load is, and what makes a table for it; both leave table l
my $cols = '(id int, v text, long text)';
my %loads = (
	'CREATE TABLE AS' => [ 'SELECT 1', "CREATE TABLE l (id, v, long) USING kyro AS $inserted" ],
	'COPY into a new table' => [ 'SELECT 1', "BEGIN; CREATE TABLE l $cols USING kyro; COPY l FROM '$file'; CREATE INDEX ON l USING kyro_rmi (id); COMMIT" ],
	'COPY into an empty table' => [ "CREATE TABLE l $cols USING kyro", "COPY l FROM '$file'" ],
	'COPY in a savepoint' => [ "CREATE TABLE l $cols USING kyro", "BEGIN; TRUNCATE l; SAVEPOINT s; COPY l FROM '$file'; COMMIT" ],
	'COPY FREEZE' => [ "CREATE TABLE l $cols USING kyro", "BEGIN; TRUNCATE l; COPY l FROM '$file' (FREEZE); COMMIT" ],
	'rewrite' => [ "CREATE TABLE l $cols; INSERT INTO l $inserted; CREATE INDEX ON l (id)", 'ALTER TABLE l SET ACCESS METHOD kyro' ],
	'REFRESH' => [ "CREATE MATERIALIZED VIEW l (id, v, long) USING kyro AS $inserted WITH NO DATA", 'REFRESH MATERIALIZED VIEW l' ],
);
my $sum = q{SELECT count(*), sum(id), sum(hashtext(v)::bigint), sum(length(long)) FROM l};
my $full = $node->safe_psql('postgres', "SELECT count(*), sum(g), sum(hashtext(md5)::bigint), sum(length(long)) FROM ($inserted) x (g, md5, long)");
my $drop = q{DO $$ BEGIN EXECUTE coalesce((SELECT format('DROP %s l', CASE relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END) FROM pg_class WHERE oid = to_regclass('l')), 'SELECT 1'); END $$};
my $state = q{SELECT coalesce((SELECT relkind::text || ' ' || amname FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE c.oid = to_regclass('l')), 'none')};
my $sealed = q{SELECT sealed_rows FROM kyro.stat_tables WHERE relname = 'l'};

# Nothing of a load is there: what there was before.
sub nothing
{
	my ($before, $what) = @_;

	is($node->safe_psql('postgres', $state), $before, "$what: the table is what it was");
	return if $before eq 'none' || $before =~ /^m/;
	is($node->safe_psql('postgres', $sum), $before =~ /heap/ ? $full : '0|||', "$what: and has the rows it had");
	is($node->safe_psql('postgres', q{SELECT v.* FROM kyro.verify('l', true) v}), '', "$what: and is sound") if $before =~ /kyro/;
}

foreach my $load (sort keys %loads)
{
	my ($make, $do) = @{ $loads{$load} };

	$node->safe_psql('postgres', "$drop; $make");
	my $before = $node->safe_psql('postgres', $state);
	foreach my $point ('load-page', 'load-written', 'load-listed')
	{
		# rows of an old file have no pages yet
		next if $point eq 'load-page' && $load eq 'COPY into an empty table';

		my ($rc, $out, $err) = $node->psql('postgres', "SET kyro.debug_error = '$point'; $do", on_error_stop => 1);
		like($err, qr/error at debug point "$point"/, "$load, $point: an error there");
		nothing($before, "$load, $point, error");
		$node->safe_psql('postgres', "CHECKPOINT; $drop; $make");

		my $log_end = -s $node->logfile;
		($rc) = $node->psql('postgres', "SET kyro.debug_crash = '$point'; $do");
		isnt($rc, 0, "$load, $point: the server crashes");
		$node->wait_for_log(qr/database system is ready to accept connections/, $log_end);
		nothing($before, "$load, $point, crash");

		# what was left is no obstacle, of whatever VACUUM makes of it
		$node->safe_psql('postgres', 'VACUUM l') if $before =~ /kyro/;
		nothing($before, "$load, $point, VACUUM");
	}
	$node->safe_psql('postgres', $do);
	is($node->safe_psql('postgres', $sum), $full, "$load: it can be done afterwards");
	is($node->safe_psql('postgres', $sealed), $rows, "$load: all is sealed");
	is($node->safe_psql('postgres', q{SELECT v.* FROM kyro.verify('l', true) v}), '', "$load: sound");

	# a crash right after the commit
	$node->stop('immediate');
	$node->start;
	is($node->safe_psql('postgres', $sum), $full, "$load: all is there after a crash");
	$node->wait_for_catchup($standby);
	is($standby->safe_psql('postgres', $sum), $full, "$load: and on the standby");
	is($standby->safe_psql('postgres', q{SELECT v.* FROM kyro.verify('l', true) v}), '', "$load: which is sound");
	next if $load eq 'REFRESH';
	$node->safe_psql('postgres', q{UPDATE l SET v = 'new' WHERE id % 10 = 0; DELETE FROM l WHERE id % 10 = 1; VACUUM l});
	is($node->safe_psql('postgres', q{SELECT count(*), count(*) FILTER (WHERE v = 'new') FROM l; SELECT v.* FROM kyro.verify('l', true) v}),
		sprintf('%d|%d', $rows * 0.9, $rows * 0.1), "$load: goes on");
}

# a snapshot of the standby from before does not see it
$node->safe_psql('postgres', "$drop; CREATE TABLE l $cols USING kyro");
$node->wait_for_catchup($standby);
my $old = $standby->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_am');
$node->safe_psql('postgres', "COPY l FROM '$file'");
$node->wait_for_catchup($standby);
is($old->query_safe('SELECT count(*) FROM l'), '0', 'a snapshot of before on the standby does not see it');
is($standby->safe_psql('postgres', $sum), $full, 'others there do');
$old->quit;

# transactions in progress at a crash, and prepared ones
$node->safe_psql('postgres', "$drop; CREATE TABLE l $cols USING kyro; CREATE TABLE o $cols USING kyro");
my $open = $node->background_psql('postgres');
$open->query_safe("BEGIN; COPY o FROM '$file'");
$node->safe_psql('postgres', "BEGIN; COPY l FROM '$file'; PREPARE TRANSACTION 'load'");
$node->safe_psql('postgres', 'CHECKPOINT');
$node->stop('immediate');
eval { $open->quit };
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM o; SELECT count(*) FROM l'), "0\n0", 'neither is seen after a crash');
my ($rc, $out, $err) = $node->psql('postgres', 'VACUUM (SKIP_LOCKED) l');
like($err, qr/skipping vacuum of "l" --- lock not available/, 'a prepared load keeps VACUUM out');
$node->safe_psql('postgres', q{COMMIT PREPARED 'load'; VACUUM l; VACUUM o});
is($node->safe_psql('postgres', $sum), $full, 'a prepared load is there when it is committed');
is($node->safe_psql('postgres', q{SELECT v.* FROM kyro.verify('l', true) v UNION ALL SELECT v.* FROM kyro.verify('o', true) v}), '', 'sound');
is($node->safe_psql('postgres', q{SELECT runs FROM kyro.stat_tables WHERE relname = 'o'}), '0', 'VACUUM has cut off what was lost');
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $sum), $full, 'and on the standby');
log_lacks($standby, qr/inconsistent page|PANIC|TRAP/, "no complaint of the standby");

# under wal_level = logical what is loaded is decoded, so it goes into the log; but for rewrites
$node->append_conf('postgresql.conf', "wal_level = logical\n");
$node->restart;
$node->safe_psql('postgres', q{
SELECT pg_create_logical_replication_slot('s', 'pgoutput');
CREATE PUBLICATION p FOR ALL TABLES;
CREATE UNLOGGED TABLE u (id int) USING kyro;
});
$node->safe_psql('postgres', "$drop; $loads{$_}[0]; $loads{$_}[1]") foreach 'COPY into a new table';
is($node->safe_psql('postgres', $sealed), '0', 'wal_level = logical: into the log');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_logical_slot_get_binary_changes('s', NULL, NULL, 'proto_version', '1', 'publication_names', 'p') WHERE get_byte(data, 0) = ascii('I')}),
	$rows, 'and all rows are decoded');
$node->safe_psql('postgres', 'ALTER TABLE l ALTER id TYPE bigint; COPY u FROM PROGRAM \'seq 1 100\'');
is($node->safe_psql('postgres', $sealed), $rows, 'a rewrite is sealed');
is($node->safe_psql('postgres', q{SELECT sealed_rows FROM kyro.stat_tables WHERE relname = 'u'}), '100', 'so is an unlogged table');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_logical_slot_get_binary_changes('s', NULL, NULL, 'proto_version', '1', 'publication_names', 'p') WHERE get_byte(data, 0) = ascii('I')}),
	'0', 'and decoded by nobody');
$standby->stop;
$node->stop;
done_testing();
