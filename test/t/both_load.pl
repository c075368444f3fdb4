# 32 clients at the places that everybody wants: the right edge, one key, a few
# unique keys, ranges that are deleted and filled again; beside VACUUM, REINDEX
# CONCURRENTLY, rebuilds and seals.  Every change is also written down in a plain
# table, so at the end each table has what was put into it and not taken out.
#
# KYRO_LOAD_SECONDS makes it longer.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use IPC::Run;
use Test::More;

my $seconds = $ENV{KYRO_LOAD_SECONDS} // 6;
my $clients = 32;
my $node = new_node('load', conf => "max_connections = 60\nwal_consistency_checking = ''\ndeadlock_timeout = 200ms\n");

add_index_checks($node, 'postgres');
$node->safe_psql('postgres', q{
CREATE SEQUENCE seq;
-- what was done: rows put in less rows taken out, and the sum of their n
CREATE TABLE done (what text, rows bigint, n bigint);
CREATE FUNCTION note(text, bigint, bigint) RETURNS void LANGUAGE sql AS 'INSERT INTO done VALUES ($1, $2, $3)';
-- a transaction's changes are noted in the same transaction
CREATE FUNCTION change(tbl text, q text, sign int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	EXECUTE 'WITH c AS (' || q || ' RETURNING n) SELECT count(*) AS rows, coalesce(sum(n), 0) AS n FROM c' INTO r;
	PERFORM note(tbl, sign * r.rows, (sign * r.n)::bigint);
END $$;
-- each of n + 1 rows: the sum grows, their number does not
CREATE FUNCTION bump(tbl text, q text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	changed bigint;
BEGIN
	EXECUTE q;
	GET DIAGNOSTICS changed = ROW_COUNT;
	PERFORM note(tbl, 0, changed);
END $$;
-- an upsert or a plain insert of a unique key
CREATE FUNCTION upsert(tbl text, key bigint, how int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	changed bigint;
BEGIN
	IF how = 0 THEN
		EXECUTE format('INSERT INTO %1$I AS t (k, n) VALUES (%2$s, 1) ON CONFLICT (k) DO UPDATE SET n = t.n + 1 RETURNING (n = 1)::int', tbl, key) INTO changed;
		PERFORM note(tbl, changed, 1);
	ELSIF how = 1 THEN
		EXECUTE format('INSERT INTO %I (k, n) VALUES (%s, 1) ON CONFLICT DO NOTHING', tbl, key);
		GET DIAGNOSTICS changed = ROW_COUNT;
		PERFORM note(tbl, changed, changed);
	ELSE
		EXECUTE format('INSERT INTO %I (k, n) VALUES (%s, 1)', tbl, key);
		PERFORM note(tbl, 1, 1);
	END IF;
EXCEPTION
	WHEN unique_violation THEN
		IF how <> 2 THEN
			RAISE;
		END IF;
END $$;
});
my (@args, @tables, @checks);
foreach my $am ('heap', 'kyro')
{
	foreach my $t ('edge', 'hot', 'uniq', 'range')
	{
		my $table = "${t}_$am";
		my $unique = $t eq 'uniq' ? 'UNIQUE' : '';

		$node->safe_psql('postgres', "CREATE TABLE $table (k bigint, n bigint) USING $am; CREATE $unique INDEX ${table}_k ON $table USING kyro_rmi (k)");
		push @tables, $table;
		push @checks, [$table, 'k', "${table}_k"];
	}
	my %scripts = (
		edge => qq{SELECT change('edge_$am', 'INSERT INTO edge_$am SELECT nextval(''seq''), 1 FROM generate_series(1, 10)', 1);},
		hot => qq{
\\set what random(1, 4)
\\if :what = 1
SELECT change('hot_$am', 'INSERT INTO hot_$am VALUES (42, 1)', 1);
\\elif :what = 2
SELECT change('hot_$am', 'DELETE FROM hot_$am WHERE ctid = (SELECT ctid FROM hot_$am WHERE k = 42 LIMIT 1 FOR UPDATE SKIP LOCKED)', -1);
\\else
SELECT bump('hot_$am', 'UPDATE hot_$am SET n = n + 1 WHERE ctid = (SELECT ctid FROM hot_$am WHERE k = 42 LIMIT 1 FOR UPDATE SKIP LOCKED)');
\\endif
},
		uniq => qq{
\\set k random(1, 4)
\\set how random(0, 2)
\\set what random(1, 3)
\\if :what = 1
SELECT change('uniq_$am', 'DELETE FROM uniq_$am WHERE k = ' || :k, -1);
\\else
SELECT upsert('uniq_$am', :k, :how);
\\endif
},
		range => qq{
\\set k random(1, 100000)
\\set what random(1, 3)
\\if :what = 1
SELECT change('range_$am', 'DELETE FROM range_$am WHERE k BETWEEN ' || :k || ' AND ' || :k + 3000, -1);
\\else
SELECT change('range_$am', 'INSERT INTO range_$am SELECT g, 1 FROM generate_series(' || :k || ',' || :k + 1000 || ', 11) g', 1);
\\endif
});
	foreach my $s (sort keys %scripts)
	{
		my $file = $PostgreSQL::Test::Utils::tmp_check . "/load_${s}_$am.sql";
		append_to_file($file, $scripts{$s});
		push @args, '-f', $file;
	}
}
my ($out, $err) = ('', '');
my $bench = IPC::Run::start([ 'pgbench', '-n', '-c', $clients, '-j', 2, '-T', $seconds, '--max-tries=100', @args, $node->connstr('postgres') ],
	'<', \undef, '>', \$out, '2>', \$err);
my ($rounds, $trouble) = (0, '');
while ($bench->pumpable && $rounds < 10000)
{
	foreach my $table (@tables)
	{
		foreach my $q ("VACUUM $table", "SELECT FROM kyro.rebuild('${table}_k')", "REINDEX INDEX CONCURRENTLY ${table}_k",
			($table =~ /kyro/ ? ("SELECT FROM kyro.snapshot('$table')", "SELECT * FROM kyro.verify('$table')") : ()), "SELECT * FROM kyro.verify('${table}_k', true)")
		{
			my ($rc, $so, $se) = $node->psql('postgres', "\\set VERBOSITY verbose\n$q");

			$trouble .= "$q: $so $se\n" if ($rc != 0 && $se !~ /40P01/) || $so ne '';
		}
		$bench->pump_nb;
		last unless $bench->pumpable;
	}
	$rounds++;
}
ok($bench->finish, "$clients clients ran to the end") or diag($err);
is(join("\n", grep { /ERROR|aborted/ } split(/\n/, $err)), '', 'none met an error');
is($trouble, '', 'maintenance met none but deadlocks');
note("$rounds rounds of maintenance; $out");
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'"), '0', 'no session is stuck');
foreach my $table (@tables)
{
	is($node->safe_psql('postgres', "SELECT count(*), coalesce(sum(n), 0) FROM $table"),
		$node->safe_psql('postgres', "SELECT coalesce(sum(rows), 0), coalesce(sum(n), 0) FROM done WHERE what = '$table'"), "$table has what was put into it");
	cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM done WHERE what = '$table'"), '>', 0, "$table was changed");
}
is($node->safe_psql('postgres', "SELECT string_agg(t, ' ') FROM (SELECT 'uniq_heap' AS t, k FROM uniq_heap UNION ALL SELECT 'uniq_kyro', k FROM uniq_kyro) u GROUP BY t, k HAVING count(*) > 1"),
	'', 'unique keys are unique');
indexes_agree($node, 'postgres', 'everything agrees', @checks);
$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP ON) $_") foreach @tables;
indexes_agree($node, 'postgres', 'and after VACUUM', @checks);
log_lacks($node, 'PANIC|TRAP|invalid page|leak|terminated by signal', 'nothing bad in the log');
$node->stop;
done_testing();
