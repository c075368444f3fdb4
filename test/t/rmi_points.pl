# kyro_rmi, and an error or a crash at every one of its debug points: whatever
# was interrupted has happened whole or not at all, the index is sound, answers
# as its table and as a btree, and everything can be done afterwards.  Needs a
# build with DEBUG_POINTS=1, as make check makes it.
#
# KYRO_POINT: a pattern, to look at some of them only.
#
# Runs with both carriers.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('rmi_points', conf => "restart_after_crash = on\nmax_prepared_transactions = 2\n");
$node->safe_psql('postgres', 'CREATE EXTENSION kyrodb');
need_debug_points($node);
# what a crash interrupts is done to both or neither
add_twice($node);

# a has indexes of ours, b btrees; s is a kyro table, h its heap twin
$node->safe_psql('postgres', q{
CREATE TABLE a (k bigint, u bigint);
CREATE INDEX a_k ON a USING kyro_rmi (k);
CREATE UNIQUE INDEX a_u ON a USING kyro_rmi (u);
CREATE TABLE b (k bigint, u bigint);
CREATE INDEX b_k ON b (k);
CREATE UNIQUE INDEX b_u ON b (u);
CREATE TABLE s (k bigint, u bigint) USING kyro;
CREATE INDEX s_k ON s USING kyro_rmi (k);
CREATE TABLE h (k bigint, u bigint);
CREATE SEQUENCE seq;
-- rows at random places, and at the end of the index
CREATE FUNCTION scatter(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	i bigint := nextval('seq') * 100000;
BEGIN
	PERFORM twice(format('INSERT INTO $t SELECT hashint8extended(g, 1) / 1000000, g FROM generate_series(%s::bigint, %s) g', i, i + n - 1));
END $$;
-- rows so close together that leaves must be split
CREATE FUNCTION crowd(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	i bigint := nextval('seq') * 100000;
BEGIN
	PERFORM twice(format('INSERT INTO $t SELECT -2000000000000 + (%1$s / 100000) %% 1000 * 1000000000::bigint + abs(hashint8extended(g, 1)) %% 1000000000, g
		FROM generate_series(%1$s::bigint, %2$s) g', i, i + n - 1));
END $$;
CREATE FUNCTION ascend(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	i bigint := nextval('seq') * 100000;
BEGIN
	PERFORM twice(format('INSERT INTO $t SELECT 10000000000000 + g * 1000 + hashint8(g) %% 500, g FROM generate_series(%s::bigint, %s) g', i, i + n - 1));
END $$;
CREATE FUNCTION seal_rows(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	i bigint := nextval('seq') * 100000;
BEGIN
	INSERT INTO s SELECT hashint8extended(g, 1), g FROM generate_series(i, i + n - 1) g;
	INSERT INTO h SELECT hashint8extended(g, 1), g FROM generate_series(i, i + n - 1) g;
END $$;
-- one more index, for a moment
CREATE FUNCTION build() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CREATE INDEX a_new ON a USING kyro_rmi (k);
	DROP INDEX a_new;
END $$;
-- all ways in which the indexes are not what they should be
CREATE FUNCTION problems() RETURNS SETOF text LANGUAGE plpgsql SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
	t text[];
	i text;
	c text;
	dir text;
	mode text;
	want text;
	got text;
	plan jsonb;
BEGIN
	RETURN QUERY SELECT 'a alone has ' || x::text FROM (TABLE a EXCEPT ALL TABLE b) x LIMIT 3;
	RETURN QUERY SELECT 'b alone has ' || x::text FROM (TABLE b EXCEPT ALL TABLE a) x LIMIT 3;
	FOREACH t SLICE 1 IN ARRAY '{{a,k,b},{a,u,b},{s,k,h}}'::text[] LOOP
		RETURN QUERY SELECT format('%s_%s: %s: %s', t[1], t[2], block, problem) FROM kyro.verify((t[1] || '_' || t[2])::regclass, deep => true);
		PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'off', true), set_config('enable_indexonlyscan', 'off', true),
			set_config('enable_sort', 'on', true);
		c := '(SELECT count(*) || '' '' || coalesce(sum(hashint8extended(%2$s, 0)), 0) || '' '' || count(*) FILTER (WHERE %2$s %4$s p)
			FROM (SELECT %2$s, lag(%2$s) OVER () AS p FROM (SELECT %2$s FROM %1$s ORDER BY %2$s %3$s) o) l)';
		EXECUTE format(c, t[3], t[2], 'ASC', '<') INTO want;
		PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'on', true), set_config('enable_sort', 'off', true);
		FOREACH mode IN ARRAY '{off,on}'::text[] LOOP
			PERFORM set_config('enable_indexonlyscan', mode, true);
			FOREACH dir IN ARRAY '{ASC,DESC}'::text[] LOOP
				i := format(c, t[1], t[2], dir, CASE dir WHEN 'ASC' THEN '<' ELSE '>' END);
				EXECUTE 'SELECT ' || i INTO got;
				IF got <> want THEN
					RETURN NEXT format('%s_%s %s, index-only %s: %s, not %s', t[1], t[2], dir, mode, got, want);
				END IF;
				EXECUTE 'EXPLAIN (FORMAT JSON) SELECT ' || i INTO plan;
				IF plan::text NOT LIKE format('%%"Index Name": "%s_%s"%%', t[1], t[2]) THEN
					RETURN NEXT format('%s_%s %s, index-only %s: not used', t[1], t[2], dir, mode);
				END IF;
			END LOOP;
		END LOOP;
	END LOOP;
	-- every tenth key by itself
	RETURN QUERY SELECT 'not found: ' || b.k FROM b WHERE u % 10 = 3 AND (SELECT count(*) FROM a WHERE a.k = b.k OFFSET 0) <> (SELECT count(*) FROM b c WHERE c.k = b.k);
END $$;
SELECT scatter(3000);
SELECT ascend(1000);
SELECT seal_rows(2000);
SELECT kyro.snapshot('s');
VACUUM ANALYZE;
});

my $crowd = 'SELECT crowd(2500)';
my $ascend = 'SELECT ascend(6000)';
my $rebuild = q{SELECT leaves FROM kyro.rebuild('a_k')};
my $vacuum = 'VACUUM (INDEX_CLEANUP ON) a';
# the same when leaves have lost much: they become fewer
my $join = 'VACUUM (INDEX_CLEANUP ON, PARALLEL 0) a';
# and the file shorter
my $shrink = 'VACUUM (INDEX_CLEANUP ON, TRUNCATE, PARALLEL 0) a';
my $scan = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; ';
my $build = 'SELECT build()';
my $together = 'SET min_parallel_table_scan_size = 0; SET max_parallel_maintenance_workers = 1; SELECT build()';
my $seal = q{SELECT kyro.snapshot('s')};

# dead rows, and leaves without any others
my $delete = q{SELECT twice('DELETE FROM $t WHERE k BETWEEN -5000000000000 AND 0 OR u % 7 = 3')};
# most rows, of all leaves
my $thin = q{SELECT twice('DELETE FROM $t WHERE u % 5 <> 3')};
# the scan that meets the dead rows
my $dead = $scan . q{SELECT count(*) FROM a WHERE k IS NOT NULL};

# what leads to a point, and what must be before it
my %points = (
	'rmi-insert' => $crowd,
	'rmi-insert-unique' => $crowd,
	'rmi-insert-partial' => q{INSERT INTO a VALUES (1, 1) ON CONFLICT (u) DO NOTHING; DELETE FROM a WHERE u = 1},
	'rmi-unique-wait' => q{SELECT twice('INSERT INTO $t VALUES (1, 7)')},
	'rmi-leaf-made' => $crowd,
	'rmi-leaf-published' => $crowd,
	'rmi-fold' => $vacuum,
	'rmi-import' => q{SELECT kyro.import_model('a_k', kyro.export_model('a_k'))},
	'rmi-dir-begin' => $rebuild,
	'rmi-dir-tree' => $rebuild,
	'rmi-dir-model' => $rebuild,
	'rmi-dir-switched' => $rebuild,
	'rmi-dir-freed' => $rebuild,
	# there is no shared copy of a directory that is new
	'rmi-dir-load' => $rebuild . '; ' . $scan . 'SELECT count(*) FROM generate_series(1, 10) g, LATERAL (SELECT FROM a WHERE k = g OFFSET 0) x',
	'rmi-vacuum-step' => $vacuum,
	'rmi-vacuum-emptied' => $vacuum,
	'rmi-vacuum-unlinked' => $vacuum,
	'rmi-join' => $join,
	'rmi-joined' => $join,
	'rmi-moved' => $shrink,
	'rmi-trim' => $shrink,
	'rmi-trimmed' => $shrink,
	'rmi-vacuum-walked' => $vacuum,
	'rmi-vacuum-sweep' => $vacuum,
	'rmi-build-leader' => $together,
	'rmi-build-worker' => $together,
	'rmi-build-sorted' => $build,
	'rmi-build-written' => $build,
	'rmi-build-logged' => $build,
	'rmi-bulk-sorted' => $seal,
	'rmi-bulk-copied' => $seal,
	'rmi-scan-start' => $scan . 'SELECT k FROM a ORDER BY k',
	'rmi-scan-next' => $scan . 'SELECT k FROM a ORDER BY k',
	'rmi-scan-prev' => $scan . 'SELECT k FROM a ORDER BY k DESC',
	'rmi-scan-tuple' => $scan . 'SELECT k FROM a ORDER BY k',
);
# where locks are held: a crash only
my %crashes = (
	'rmi-append' => $ascend,
	'rmi-run' => $crowd,
	'rmi-merge' => $crowd,
	'rmi-split' => $crowd,
	'rmi-right' => $ascend,
	'rmi-log' => $crowd,
	'rmi-dir-switch' => $rebuild,
	'rmi-vacuum' => $vacuum,
	'rmi-unlink' => $vacuum,
	'rmi-join' => $join,
	'rmi-release' => $join,
	'rmi-move' => $shrink,
	'rmi-sweep' => $vacuum,
	'rmi-bulk' => $seal,
	'rmi-kill' => $dead,
);
my %before = (
	$dead => "$crowd; $delete",
	$vacuum => "$crowd; $delete",
	$join => "$crowd; $thin",
	$shrink => "SELECT crowd(40000); $thin",
	$seal => 'SELECT seal_rows(500)',
	# only entries to come, none to remove
	'rmi-fold' => "$vacuum; SELECT scatter(2500)",
	'rmi-unique-wait' => q{BEGIN; INSERT INTO a VALUES (1, 7); PREPARE TRANSACTION 'p'},
);
my %after = ('rmi-unique-wait' => q{ROLLBACK PREPARED 'p'});

my %all = (%points, 'rmi-dir-free' => $rebuild);
foreach my $record (keys %crashes)
{
	$all{"$record-record"} = $all{"$record-logged"} = $crashes{$record};
}

# none is forgotten here: their names are in the library
my $library = slurp_file($node->safe_psql('postgres', q{SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'}) . '/kyrodb.so');
my %known = map { $_ => 1 } $library =~ /(?<![a-z-])(rmi-[a-z-]+)(?=\0)/g;
delete $known{'rmi-chain'};		# takes a damaged directory: rmi_gaps.pl
is(join(' ', sort keys %known), join(' ', sort keys %all), 'every debug point of kyro_rmi is tested');

sub agree
{
	my ($what) = @_;
	is($node->safe_psql('postgres', 'SELECT * FROM problems()'), '', $what);
}

# A directory that did not come into use, for VACUUM to find.
sub leave_stale_pages
{
	my ($rc, $out, $err) = $node->psql('postgres', "SET kyro.debug_error = 'rmi-dir-model'; $rebuild");
	like($err, qr/error at debug point/, 'a directory is left behind');
}

# generic WAL does not do that
delete $all{$_} foreach grep { /^rmi-(kill|release)/ && !own_carrier() } keys %all;

foreach my $point (grep { !defined $ENV{KYRO_POINT} || /$ENV{KYRO_POINT}/ } sort keys %all)
{
	my $statement = $all{$point};
	my $before = $before{$point} // $before{$statement} // 'SELECT 1';

	$node->safe_psql('postgres', "SELECT scatter(700); CHECKPOINT; SELECT ascend(100)");
	$node->safe_psql('postgres', $_) foreach split(/; /, $point eq 'rmi-unique-wait' ? '' : $before);
	$node->safe_psql('postgres', $before) if $point eq 'rmi-unique-wait';

	# first an error, which the session survives and others see nothing of
	if (exists $points{$point})
	{
		my ($rc, $out, $err) = $node->psql('postgres', "SET kyro.debug_error = '$point'; $statement");
		like($err, qr/error at debug point "$point"/, "$point: an error there");
		agree("$point: sound after an error");

		# VACUUM has removed the dead rows perhaps, and others are needed
		$node->safe_psql('postgres', "$crowd; $delete") if $statement eq $vacuum && $point ne 'rmi-fold';
		$node->safe_psql('postgres', $before) if $statement eq $join || $statement eq $shrink;
	}

	# then a crash
	leave_stale_pages() if $point =~ /^rmi-sweep/;
	my $log_end = -s $node->logfile;
	my ($rc, $out, $err) = $node->psql('postgres', "SET kyro.debug_crash = '$point'; $statement");
	is($rc, 2, "$point: the server crashes") or die $err;
	# until the crash is noticed a query may succeed: the log is surer
	$node->wait_for_log(qr/database system is ready to accept connections/, $log_end);
	agree("$point: sound after a crash");

	# and what was left is no obstacle
	$node->safe_psql('postgres', $after{$point}) if exists $after{$point};
	$node->safe_psql('postgres', "SELECT scatter(200); SELECT ascend(100);");
	$node->safe_psql('postgres', $statement);
	$node->safe_psql('postgres', $vacuum);
	agree("$point: sound when it is done afterwards");

	# keep the tables small
	$node->safe_psql('postgres', q{SELECT twice('DELETE FROM $t WHERE u < (SELECT max(u) FROM $t) - 1000000')});
}

$node->safe_psql('postgres', 'DELETE FROM a; DELETE FROM b; VACUUM a; SELECT scatter(3000); VACUUM a');
agree('emptied and filled again');
$node->stop;
done_testing();
