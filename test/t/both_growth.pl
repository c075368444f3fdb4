# Nothing grows without bound: an index that is filled and emptied again and
# again, a queue, churn under an old snapshot; measured against nbtree on the
# same column of the same table.  And cursors that stay open while VACUUM, seals and
# rebuilds go by return what they saw.
#
# KYRO_LOAD_SECONDS makes the rounds larger and more.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;

my $scale = 1 + int(($ENV{KYRO_LOAD_SECONDS} // 0) / 10);
my $node = new_node('growth', conf => "wal_consistency_checking = ''\nsynchronous_commit = off\n");
add_index_checks($node, 'postgres');

my @tables = (['h', 'heap'], ['s', 'kyro']);

foreach my $t (@tables)
{
	my ($table, $am) = @$t;

	$node->safe_psql('postgres', qq{
CREATE TABLE $table (id bigint, k bigint, v text) USING $am;
CREATE INDEX ${table}_k ON $table USING kyro_rmi (k);
CREATE INDEX ${table}_id ON $table USING kyro_rmi (id);
CREATE INDEX ${table}_bk ON $table (k);
CREATE INDEX ${table}_bid ON $table (id);
});
}

# Statements in one session, one transaction each.
sub run_sql
{
	my $file = PostgreSQL::Test::Utils::tempdir() . '/run.sql';

	append_to_file($file, join('', @_));
	system('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $file) == 0 or die 'psql failed';
}

sub sizes
{
	my ($table) = @_;

	return map { $_ / 8192 } split(/\|/, $node->safe_psql('postgres',
		"SELECT " . join(', ', map { "pg_relation_size('$_')" } "${table}_k", "${table}_bk", "${table}_id", "${table}_bid", $table)));
}

# The indexes are not larger than nbtree's, give or take a directory.
sub bounded
{
	my ($table, $what, $pages) = @_;
	my ($k, $bk, $id, $bid, $size) = sizes($table);

	cmp_ok($k, '<=', $bk + 10, "$what, $table: the index on random keys is bounded ($k pages, nbtree $bk)");
	cmp_ok($id, '<=', $bid + 10, "$what, $table: the index on ascending keys is bounded ($id pages, nbtree $bid)");
	cmp_ok($size, '<=', $pages, "$what, $table: the table is bounded") if $pages;
	return $size;
}

sub sound_and_equal
{
	my ($what) = @_;

	indexes_agree($node, 'postgres', $what, map { my $t = $_->[0]; map { [$t, $_, "${t}_$_"] } 'k', 'id' } @tables);
}

# filled and emptied; leaves must be used again
my $fills = $ENV{KYRO_LOAD_SECONDS} ? 100 : 40;
foreach my $t (@tables)
{
	my $table = $t->[0];
	my $rows = 3000 * $scale;
	my @rounds = map { "INSERT INTO $table SELECT $_ * $rows + g, hashint8extended(g, $_), md5(g::text) FROM generate_series(1, $rows) g;
		DELETE FROM $table; VACUUM (INDEX_CLEANUP ON, PARALLEL 0) $table;\n" } 1 .. $fills;

	run_sql(@rounds[ 0 .. 9 ]);
	$t->[2] = (sizes($table))[4];
	run_sql(@rounds[ 10 .. $fills - 1 ]);
	bounded($table, 'filled and emptied', $t->[2] + 10);
}
sound_and_equal('filled and emptied');

# a queue: rows come at one end and go at the other
foreach my $t (@tables)
{
	my $table = $t->[0];
	my $rows = 700 * $scale;
	my @rounds;

	foreach my $i (1 .. 90)
	{
		my $last = 1000000000 + $i * $rows;

		# ascending, but far from dense, so that there are many leaves
		push @rounds, "INSERT INTO $table SELECT (g::bigint << 30) + (hashint8extended(g, 7) & 1073741823), hashint8extended(g, 0), md5(g::text)
			FROM generate_series($last + 1, $last + $rows) g;
			DELETE FROM $table WHERE id <= ($last - 4 * $rows)::bigint << 30;\n";
		push @rounds, "VACUUM (INDEX_CLEANUP ON, PARALLEL 0) $table;\n" if $i % 3 == 0;
	}
	run_sql(@rounds);
	bounded($table, 'a queue', $t->[2] * 5 + 200);
}
sound_and_equal('a queue');

# Rows that change under an old snapshot: nothing can go until it is gone, then
# everything does.
foreach my $t (@tables)
{
	my $table = $t->[0];
	my $rows = 4000 * $scale;

	$node->safe_psql('postgres', "DELETE FROM $table");
	$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP ON) $table");
	$node->safe_psql('postgres', "INSERT INTO $table SELECT g, hashint8extended(g, 0), 'x' FROM generate_series(1, $rows) g");

	my $old = $node->background_psql('postgres');
	$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	my $digest = "SELECT count(*), sum(id), sum(k::numeric), sum(length(v)) FROM $table";
	my $seen = $old->query_safe($digest);
	my $churn = sub {
		foreach my $i (1 .. 6)
		{
			$node->safe_psql('postgres', "UPDATE $table SET k = k + 1, id = id + $rows / 10, v = v || 'y'");
			$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP ON, PARALLEL 0) $table");
		}
	};
	$churn->();
	is($old->query_safe($digest), $seen, "$table: an old snapshot sees what it saw");
	$old->query_safe('SET enable_seqscan = off');
	is($old->query_safe("$digest WHERE k IS NOT NULL"), $seen, "$table: and by the index");
	bounded($table, 'under an old snapshot');
	$old->query_safe('COMMIT');
	$old->quit;
	$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP ON, PARALLEL 0) $table");
	# VACUUM may have cut off what it now takes
	$churn->();
	my @before = sizes($table);
	$churn->() for 1 .. 2;
	my @after = sizes($table);
	cmp_ok($after[$_], '<=', $before[$_] + 5, "$table: no growth when it is gone ($_)") foreach 0, 2, 4;
	bounded($table, 'after an old snapshot');
}
sound_and_equal('after an old snapshot');

# cursors that stay open
{
	my $rows = 6000;
	my $c = $node->background_psql('postgres');

	$node->safe_psql('postgres', "DELETE FROM $_->[0]") foreach @tables;
	$node->safe_psql('postgres', "INSERT INTO $_->[0] SELECT g, hashint8extended(g, 0), 'x' FROM generate_series(1, $rows) g") foreach @tables;
	$node->safe_psql('postgres', "SELECT FROM kyro.snapshot('s', $rows / 2)");
	$c->query_safe($_) foreach 'SET enable_seqscan = off', 'SET enable_sort = off', 'SET enable_bitmapscan = off', 'SET enable_indexonlyscan = off', 'BEGIN';
	my (@cursors, $n);
	foreach my $t (map { $_->[0] } @tables)
	{
		foreach my $order ('id', 'id DESC', 'k', 'k DESC')
		{
			my $name = 'c' . ++$n;

			$c->query_safe("DECLARE $name SCROLL CURSOR FOR SELECT id, k, v FROM $t ORDER BY $order");
			push @cursors, [$name, $t, $order, $c->query_safe("FETCH 500 FROM $name")];
		}
		my $name = 'c' . ++$n;
		$c->query_safe('SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off');
		$c->query_safe("DECLARE $name CURSOR FOR SELECT id, k, v FROM $t");
		push @cursors, [$name, $t, '', $c->query_safe("FETCH 500 FROM $name")];
		$c->query_safe('SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = on');
	}
	foreach my $t (map { $_->[0] } @tables)
	{
		$node->safe_psql('postgres', "SET lock_timeout = '60s'; $_") foreach "DELETE FROM $t WHERE id % 3 = 0", "UPDATE $t SET k = k + 1, v = 'z' WHERE id % 7 = 0",
			"INSERT INTO $t SELECT g, hashint8extended(g, 0), 'new' FROM generate_series($rows + 1, $rows + 9000) g";
		$node->safe_psql('postgres', "VACUUM $t");
		$node->safe_psql('postgres', "SELECT FROM kyro.rebuild('${t}_k')");
	}
	$node->safe_psql('postgres', "SET lock_timeout = '60s'; SELECT FROM kyro.snapshot('s')");
	$node->safe_psql('postgres', "VACUUM $_->[0]") foreach @tables;
	my $wrong = '';
	foreach (@cursors)
	{
		my ($name, $t, $order, $first) = @$_;
		my @got = (split(/\n/, $first), split(/\n/, $c->query_safe("FETCH ALL FROM $name")));
		my %ids = map { (split(/\|/))[0] => 1 } @got;
		my $changed = grep { !/\|x$/ } @got;

		$wrong .= "$name, $t by '$order': " . @got . " rows, " . keys(%ids) . " different, $changed not as they were\n"
		  if @got != $rows || keys(%ids) != $rows || $changed > 0;
	}
	is($wrong, '', 'cursors return what they saw, once');
	$c->query_safe('COMMIT');
	$c->quit;
}
$node->safe_psql('postgres', "VACUUM $_->[0]") foreach @tables;
sound_and_equal('at the end');
log_lacks($node, 'PANIC|TRAP|invalid page|leak|terminated by signal', 'nothing bad in the log');
$node->stop;
done_testing();
