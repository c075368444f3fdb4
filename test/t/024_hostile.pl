# Hostile bytes in the file of an index, data checksums off: an error that
# names index and block, a WARNING with the right answer, or the right answer;
# never a crash, a hang, or a wrong answer without an error.
#
# First links made into rings, where walks meet pages that they have locked;
# then random damage to every kind of page.  KYRO_SEED and KYRO_FLIPS choose
# other random numbers and more of them.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

use constant KEY_MIN => -9223372036854775808;

my $node = new_node('hostile', conf => "restart_after_crash = off\nfsync = off\n");
$node->safe_psql('postgres', 'CREATE EXTENSION kyrodb');

sub index_file { return $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('$_[0]')") }

# the header of a leaf, see src/model/leaf.h
my @fields = qw(low_key high_key low_tid high_tid left right nblk nrun pend nslot epoch flags reserve);
sub leaf_get { my %h; @h{@fields} = unpack('qqQQVVvvvvvCC', substr($_[0], 24, 52)); return \%h }

sub leaf_set
{
	my ($page, %new) = @_;
	my %h = (%{ leaf_get($page) }, %new);

	substr($page, 24, 52) = pack('qqQQVVvvvvvCC', @h{@fields});
	return $page;
}

sub put_file
{
	my ($file, @pages) = @_;

	truncate($file, 8192 * @pages) or die "cannot truncate $file: $!";
	open(my $fh, '+<:raw', $file) or die "cannot open $file: $!";
	print $fh join('', @pages) or die "cannot write $file: $!";
	close($fh) or die "cannot close $file: $!";
}

# Runs a statement; a hang ends the test rather than the patience of who runs it.
sub run_sql
{
	my ($sql, %opt) = @_;
	my $timed_out = 0;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSET statement_timeout = '20s';\n$sql", on_error_stop => 0, timeout => 40, timed_out => \$timed_out, %opt);

	if ($timed_out)
	{
		fail("hang: $sql");
		$node->stop('immediate');
		done_testing();
		exit 1;
	}
	return ($out // '', $err // '');
}

# ---- rings ----

$node->safe_psql('postgres', q{
CREATE TABLE r (k bigint);
INSERT INTO r SELECT DISTINCT (hashint8extended(g, 1) >> 10) * 2 FROM generate_series(1, 20000) g;
INSERT INTO r VALUES (2);
CREATE UNIQUE INDEX r_k ON r USING kyro_rmi (k);
VACUUM (FREEZE, ANALYZE) r;
CHECKPOINT;
});
my $all = $node->safe_psql('postgres', 'SELECT count(*), sum(k) FROM r');
my $rfile = index_file('r_k');
$node->stop;
my @ring = read_pages($rfile);
my @leaves;
for (my $b = 1; ; $b = leaf_get($ring[$b])->{right})
{
	push @leaves, $b;
	last if leaf_get($ring[$b])->{right} == 0xFFFFFFFF;
}
cmp_ok(scalar @leaves, '>', 6, 'there are leaves');
my ($a, $b, $c, $d) = @leaves[ 2 .. 5 ];
my $damaged = qr/ERROR:  XX002: index "r_k" is damaged at block \d+\nDETAIL:/;

sub with_ring
{
	my ($what, $changes, $sql, $want) = @_;
	my @pages = @ring;

	$pages[$_] = leaf_set($pages[$_], %{ $changes->{$_} }) foreach keys %$changes;
	put_file($rfile, @pages);
	$node->start;
	my ($out, $err) = run_sql($sql);
	like($err, $want, $what);
	# nothing is left locked
	($out, $err) = run_sql('SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM r WHERE k = 2');
	is($out, 1, "$what: others are read") or diag($err);
	isnt((run_sql(q{SET client_min_messages = error; SELECT count(*) FROM kyro.verify('r_k')}))[0], '0', "$what: verify reports it");
	$node->stop;
}

my $in_a = leaf_get($ring[$a])->{low_key} + 101;

$in_a++ if $in_a % 2 == 0;
my $set = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;';

# A ring of left links is left by way of the directory.
{
	my @pages = @ring;

	$pages[$b] = leaf_set($pages[$b], left => $c);
	$pages[$c] = leaf_set($pages[$c], left => $d);
	put_file($rfile, @pages);
	$node->start;
	my ($out, $err) = run_sql("$set SELECT count(*), sum(k) FROM (SELECT k FROM r ORDER BY k DESC) s");
	ok($err =~ $damaged || $out eq $all, 'left links in a ring: an error or the right answer');
	is((run_sql(q{SELECT count(*) FROM kyro.verify('r_k')}))[0], '2', 'left links in a ring: verify reports both');
	$node->stop;
}

with_ring('a unique check that comes back to its first leaf',
	{ $a => { high_key => $in_a, high_tid => 5 }, $b => { low_key => $in_a, low_tid => 5, high_key => $in_a, high_tid => 7, right => $a } },
	"INSERT INTO r VALUES ($in_a)", $damaged);
with_ring('an insert that comes back to the first leaf of its key',
	{ $a => { high_key => $in_a, high_tid => 5 }, $b => { low_key => $in_a, low_tid => 5, high_key => $in_a + 1, high_tid => 0, right => $a } },
	"INSERT INTO r SELECT $in_a + g * 2 FROM generate_series(0, 5000) g", $damaged);
with_ring('a split whose neighbour is the new leaf', { $a => { right => scalar @ring } },
	"INSERT INTO r SELECT $in_a + g * 2 FROM generate_series(0, 5000) g", $damaged);
with_ring('a scan of a ring', { $b => { right => $a, high_key => leaf_get($ring[$a])->{low_key} } }, "$set SELECT count(*) FROM r WHERE k IS NOT NULL", $damaged);
with_ring('a scan of a leaf that is its own sibling', { $b => { right => $b, high_key => leaf_get($ring[$b])->{low_key} } }, "$set SELECT count(*) FROM r WHERE k IS NOT NULL", $damaged);
with_ring('a rebuild of a ring', { $b => { right => $a, high_key => leaf_get($ring[$a])->{low_key} } }, q{SELECT kyro.rebuild('r_k')}, $damaged);
with_ring('a directory made from a ring', { $b => { right => $a } }, q{SELECT kyro.rebuild('r_k')}, qr/^$|$damaged/);
# these change the table: last
with_ring('VACUUM of a ring', { $b => { right => $a, high_key => leaf_get($ring[$a])->{low_key} } }, "DELETE FROM r WHERE ctid = '(0,2)'; VACUUM r", $damaged);
with_ring('VACUUM of an empty leaf whose right link leads to its left sibling', { $b => { right => $a } },
	'DELETE FROM r WHERE k >= ' . leaf_get($ring[$b])->{low_key} . ' AND k < ' . leaf_get($ring[$b])->{high_key} . '; VACUUM r', $damaged);

log_lacks($node, 'PANIC|TRAP|terminated by signal|XX000', 'rings: nothing bad in the log');

# ---- the view of all indexes ----

{
	my %meta = (
		'zeros' => "\0" x 8192,
		'no magic number' => do { my $p = $ring[0]; substr($p, 24, 4) = 'WHAT'; $p },
		'another version' => do { my $p = $ring[0]; substr($p, 28, 1) = chr(99); $p },
		'a page header the server refuses' => do { my $p = $ring[0]; substr($p, 12, 2) = pack('v', 65535); $p },
	);

	put_file($rfile, @ring);
	$node->start;
	$node->safe_psql('postgres', 'CREATE INDEX r_other ON r USING kyro_rmi (k)');
	$node->stop;
	foreach my $how (sort keys %meta)
	{
		put_file($rfile, $meta{$how}, @ring[ 1 .. $#ring ]);
		$node->start;
		my ($out, $err) = run_sql('SELECT indexrelname, size > 0, carrier, leaves > 5, tuples IS NULL FROM kyro.stat_indexes ORDER BY 1');
		is($out, "r_k|t|||t\nr_other|t|generic|t|f", "meta page, $how: the view shows the other index");
		like($err, qr/WARNING:  XX00[12]: .*(?:"r_k"|block 0)/m, "meta page, $how: and warns");
		unlike($err, qr/ERROR/, "meta page, $how: and does not fail");
		$node->stop;
	}
	put_file($rfile, @ring);
	$node->start;
	$node->safe_psql('postgres', 'DROP INDEX r_other');
	$node->stop;
}
# ---- what a session remembers of indexes that are gone ----

$node->start;
$node->safe_psql('postgres', q{
CREATE TABLE big (k bigint);
INSERT INTO big SELECT hashint8extended(g, 1) FROM generate_series(1, 20000) g;
CREATE TABLE small (k bigint);
INSERT INTO small SELECT g FROM generate_series(1, 100) g;
CREATE TABLE one AS SELECT 1::bigint AS k;
});
is($node->safe_psql('postgres', q{
SET enable_seqscan = off;
DO $$
DECLARE
	n bigint;
BEGIN
	FOR i IN 1 .. 1100 LOOP
		CREATE INDEX one_k ON one USING kyro_rmi (k);
		EXECUTE 'SELECT count(*) FROM one WHERE k = 1' INTO n;
		DROP INDEX one_k;
	END LOOP;
END $$;
SELECT count(*) BETWEEN 1 AND 1024 FROM pg_backend_memory_contexts WHERE name = 'kyrodb directory';
}), 't', 'sessions do not remember all indexes they have met');

# The number of a file comes again, as after a wraparound: only pg_upgrade can ask for one.
$node->stop;
sub upgrade_mode
{
	PostgreSQL::Test::Utils::system_or_bail('pg_ctl', '-w', '-D', $node->data_dir, '-l', $node->logfile, '-o', '-b', 'start');
	$node->_update_pid(1);
}
sub make_index
{
	my ($oid, $number, $table) = @_;

	$node->safe_psql('postgres', "SELECT binary_upgrade_set_next_index_pg_class_oid($oid), binary_upgrade_set_next_index_relfilenode($number); CREATE INDEX ${table}_k ON $table USING kyro_rmi (k)");
}
upgrade_mode();
make_index(900001, 800001, 'big');
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);

	$session->query("SET enable_seqscan = off; SET enable_bitmapscan = off; SET statement_timeout = '20s';");
	is($session->query('SELECT count(*) FROM big b WHERE k = (SELECT max(k) FROM big)'), '1', 'a session reads an index') foreach 1 .. 8;
	$node->safe_psql('postgres', 'DROP INDEX big_k; CHECKPOINT');
	make_index(900002, 800001, 'small');
	is($session->query('SELECT count(*), sum(k) FROM small WHERE k > 0'), '100|5050', 'another index in a file of the same number');
	is($session->query('SELECT count(*) FROM small WHERE k = 77'), '1', 'another index in a file of the same number, one row');
	is($session->query('SELECT count(*) FROM small WHERE k = 9000000000000000000'), '0', 'another index in a file of the same number, no row');
	is($session->{stderr}, '', 'and no error');
	$session->quit;
}
$node->stop;
log_lacks($node, 'PANIC|TRAP|terminated by signal|XX000', 'memory: nothing bad in the log');
done_testing();
