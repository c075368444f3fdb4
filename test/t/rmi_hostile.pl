# Hostile bytes in the file of an index, data checksums off: an error that
# names index and block, a WARNING with the right answer, or the right answer;
# never a crash, a hang, or a wrong answer without an error.  Checksums see to
# it; what lies behind them must hold without them too, as far as crashes and
# hangs go, so the first parts and every other round are with
# kyro.debug_any_checksum.
#
# First links made into rings, where walks meet pages that they have locked;
# then random damage to every kind of page.  KYRO_SEED and KYRO_FLIPS choose
# other random numbers and more of them.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IPC::Run;
use KyroTest;
use Test::More;

use constant KEY_MIN => -9223372036854775808;

my $node = new_node('hostile', conf => "restart_after_crash = off\nfsync = off\nkyro.debug_any_checksum = on\n");
$node->safe_psql('postgres', 'CREATE EXTENSION kyrodb');

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
my $rfile = relation_file($node, 'r_k');
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
	write_pages($rfile, @pages);
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
	write_pages($rfile, @pages);
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
# several sessions in one ring: none waits for another for ever
foreach my $changes ({ $a => { high_key => $in_a, high_tid => 5 }, $b => { low_key => $in_a, low_tid => 5, high_key => $in_a, high_tid => 7, right => $a } },
	{ $b => { right => $a } }, { $a => { right => $b }, $b => { right => $c }, $c => { right => $a, high_key => leaf_get($ring[$a])->{low_key} } })
{
	my @pages = @ring;
	my @runs;
	my $hangs = 0;

	$pages[$_] = leaf_set($pages[$_], %{ $changes->{$_} }) foreach keys %$changes;
	write_pages($rfile, @pages);
	$node->start;
	foreach my $q ("BEGIN; INSERT INTO r VALUES ($in_a); ROLLBACK", "BEGIN; INSERT INTO r SELECT $in_a + g * 2 FROM generate_series(0, 2000) g; ROLLBACK", "BEGIN; INSERT INTO r VALUES ($in_a) ON CONFLICT DO NOTHING; ROLLBACK",
		'SELECT count(*) FROM r WHERE k IS NOT NULL', 'SELECT count(*) FROM (SELECT k FROM r ORDER BY k DESC) s', "SELECT kyro.rebuild('r_k')", "SELECT count(*) FROM kyro.verify('r_k', true)")
	{
		my %run = (in => "$set SET statement_timeout = '20s';\n" . "$q;\n" x 20, out => '', err => '');

		$run{h} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$run{in}, '>', \$run{out}, '2>', \$run{err}, IPC::Run::timeout(120));
		push @runs, \%run;
	}
	foreach my $run (@runs)
	{
		$hangs++ if !eval { $run->{h}->finish; 1 };
		$hangs++ if $run->{err} =~ /statement timeout/;
	}
	is($hangs, 0, 'several sessions in a ring: none hangs');
	if ($hangs)
	{
		$node->stop('immediate');
		done_testing();
		exit 1;
	}
	is((run_sql("$set SELECT count(*) FROM r WHERE k = 2"))[0], 1, 'several sessions in a ring: others are read');
	$node->stop;
}
# these change the table: last
with_ring('VACUUM of a ring', { $b => { right => $a, high_key => leaf_get($ring[$a])->{low_key} } }, "DELETE FROM r WHERE ctid = '(0,2)'; VACUUM r", $damaged);
with_ring('VACUUM of an empty leaf whose right link leads to its left sibling', { $b => { right => $a } },
	'DELETE FROM r WHERE k >= ' . leaf_get($ring[$b])->{low_key} . ' AND k < ' . leaf_get($ring[$b])->{high_key} . '; VACUUM r', $damaged);

log_lacks($node, 'PANIC|TRAP|terminated by signal|XX000', 'rings: nothing bad in the log');

# ---- fences, row addresses, page headers ----

# An error, or the right answer (which the table gives).
sub one_damage
{
	my ($what, $changes, $damaged_block, @sql) = @_;
	my @pages = @ring;

	$pages[$_] = ref $changes->{$_} ? leaf_set($ring[$_], %{ $changes->{$_} }) : $changes->{$_} foreach keys %$changes;
	write_pages($rfile, @pages);
	$node->start;
	foreach my $q (@sql)
	{
		my ($out, $err) = run_sql("$set $q");
		my ($right) = run_sql("SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off; $q");

		unlike($err, qr/server closed|XX000/, "$what: no crash");
		ok($err =~ /ERROR:  XX002: index "r_k" is damaged at block $damaged_block\b/ || ($err eq '' && $out eq $right), "$what: an error or the right answer: $q") or diag("$out, not $right; $err");
	}
	isnt((run_sql(q{SET client_min_messages = error; SELECT count(*) FROM kyro.verify('r_k')}))[0], '0', "$what: verify reports it");
	$node->stop;
}

write_pages($rfile, @ring);
$node->start;
$node->safe_psql('postgres', "REINDEX INDEX r_k; INSERT INTO r VALUES ($in_a); CHECKPOINT");
$rfile = relation_file($node, 'r_k');
$node->stop;
@ring = read_pages($rfile);
{
	my ($with_run) = grep { page_kind($ring[$_]) == PAGE_LEAF && leaf_get($ring[$_])->{nrun} > 0 } 0 .. $#ring;
	my $h = leaf_get($ring[$b]);
	my ($low, $high) = ($h->{low_key}, $h->{high_key});
	my $beyond = $high + 1000000000000000;
	my $below = $low - 1000000000000000;
	my @queries = ("SELECT count(*), sum(k) FROM r WHERE k IS NOT NULL", "SELECT count(*), sum(k) FROM (SELECT k FROM r ORDER BY k DESC OFFSET 0) s",
		"SELECT count(*), sum(k) FROM r WHERE k BETWEEN $low + 5 AND $beyond - 10", "SELECT count(*), sum(k) FROM (SELECT k FROM r WHERE k BETWEEN $below + 10 AND $high ORDER BY k DESC OFFSET 0) s",
		"SELECT count(*), sum(k) FROM r WHERE k BETWEEN $below + 10 AND $beyond", "SELECT count(*) FROM r WHERE k = (SELECT min(k) FROM r WHERE k >= $high)",
		"SELECT count(*), sum(k) FROM (SELECT k FROM r WHERE k BETWEEN $below + 10 AND $high + 1 ORDER BY k DESC OFFSET 0) s");

	one_damage('a high fence too high', { $b => { high_key => $beyond } }, "(?:$b|$c)", @queries);
	one_damage('a high fence too high by a bit of its tid', { $b => { high_tid => 65536 } }, "(?:$b|$c)", @queries, "SELECT count(*) FROM r WHERE k BETWEEN $low + 5 AND $high");
	one_damage('a high fence that is that of the next leaf', { $b => { high_key => leaf_get($ring[$c])->{high_key} } }, "(?:$b|$c)", @queries);
	one_damage('a high fence too low', { $b => { high_key => $high - 1000000000000000 } }, "(?:$b|$c)", @queries);
	one_damage('a low fence too low', { $b => { low_key => $below } }, "(?:$a|$b|1)", @queries);
	one_damage('a low fence too high', { $b => { low_key => $low + 1000000000000000 } }, "(?:$a|$b|1)", @queries);
	one_damage('a leaf of keys that says it is one of NULLs', { $b => { flags => 1 } }, "(?:$a|$b|1)", @queries);

	# the entry in the insert run, at the end of the page
	foreach my $tid ("\0" x 6, "\xff" x 6, "\0\0\1\0\0\0", "\xff\xff\0\0\0\0")
	{
		my $page = $ring[$with_run];

		substr($page, 8192 - 16 - 112 + 64, 6) = $tid;
		foreach my $q ("SELECT count(*) FROM r WHERE k = $in_a", "SELECT count(*) FROM r WHERE k BETWEEN $in_a - 1 AND $in_a + 1", "SET enable_indexscan = off; SET enable_bitmapscan = on; SELECT count(*) FROM r WHERE k = $in_a",
			"INSERT INTO r VALUES ($in_a)", 'DELETE FROM r WHERE k = 2; VACUUM r')
		{
			write_pages($rfile, @ring[ 0 .. $with_run - 1 ], $page, @ring[ $with_run + 1 .. $#ring ]);
			$node->start;
			my ($out, $err) = run_sql("$set $q");
			like($err, qr/ERROR:  XX002: index "r_k" is damaged at block $with_run\n.*row address/, 'a row address that cannot be, ' . unpack('H*', $tid) . ": $q");
			$node->stop;
		}
	}

	# bounds that the server takes, and that a change of the page would not survive
	my $meta = $ring[0];
	substr($meta, 12, 4) = pack('vv', 24, 100);
	write_pages($rfile, $meta, @ring[ 1 .. $#ring ]);
	$node->start;
	my ($out, $err) = run_sql(q{SELECT kyro.rebuild('r_k')});
	like($err, qr/ERROR:  XX002: index "r_k" is damaged at block 0\n/, 'bounds of the meta page that are wrong');
	$node->stop;

	# an index whose changes are logged in another way, which this version does not know
	$meta = $ring[0];
	substr($meta, 36, 1) = chr(3);
	write_pages($rfile, $meta, @ring[ 1 .. $#ring ]);
	$node->start;
	foreach my $q ('SELECT count(*) FROM r WHERE k = 2', 'INSERT INTO r VALUES (4)', 'DELETE FROM r WHERE k = 4; VACUUM r', q{SELECT kyro.rebuild('r_k')}, q{SELECT * FROM kyro.verify('r_k')})
	{
		($out, $err) = run_sql("$set $q");
		like($err, qr/ERROR:  55000: index "r_k" was written by a WAL method/, "another carrier is refused: $q");
	}
	$node->stop;
}
log_lacks($node, 'PANIC|TRAP|terminated by signal|XX000', 'fences: nothing bad in the log');

# ---- the view of all indexes ----

{
	my $carrier = own_carrier() ? 'own' : 'generic';
	my %meta = (
		'zeros' => "\0" x 8192,
		'no magic number' => do { my $p = $ring[0]; substr($p, 24, 4) = 'WHAT'; $p },
		'another version' => do { my $p = $ring[0]; substr($p, 28, 1) = chr(99); $p },
		'a page header the server refuses' => do { my $p = $ring[0]; substr($p, 12, 2) = pack('v', 65535); $p },
	);

	write_pages($rfile, @ring);
	$node->start;
	$node->safe_psql('postgres', 'CREATE INDEX r_other ON r USING kyro_rmi (k)');
	$node->stop;
	foreach my $how (sort keys %meta)
	{
		write_pages($rfile, $meta{$how}, @ring[ 1 .. $#ring ]);
		$node->start;
		my ($out, $err) = run_sql('SELECT indexrelname, size > 0, carrier, leaves > 5, tuples IS NULL FROM kyro.stat_indexes ORDER BY 1');
		is($out, "r_k|t|||t\nr_other|t|$carrier|t|f", "meta page, $how: the view shows the other index");
		like($err, qr/WARNING:  XX00[12]: .*(?:"r_k"|block 0)/m, "meta page, $how: and warns");
		unlike($err, qr/ERROR/, "meta page, $how: and does not fail");
		$node->stop;
	}
	write_pages($rfile, @ring);
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
SET kyro.directory_cache = '1MB';
SET enable_seqscan = off;
DO $$
DECLARE
	n bigint;
BEGIN
	FOR i IN 1 .. 1200 LOOP
		IF i % 2 = 0 THEN
			CREATE INDEX one_k ON one USING kyro_rmi (k);
			EXECUTE 'SELECT count(*) FROM one WHERE k = 1' INTO n;
			DROP INDEX one_k;
		ELSE
			CREATE TEMP TABLE passing (k bigint);
			CREATE INDEX ON passing USING kyro_rmi (k);
			EXECUTE 'INSERT INTO passing VALUES (1)';
			EXECUTE 'SELECT count(*) FROM passing WHERE k = 1' INTO n;
			DROP TABLE passing;
		END IF;
		ASSERT n = 1;
	END LOOP;
END $$;
SELECT count(*) > 0 AND sum(total_bytes) <= 1024 * 1024 FROM pg_backend_memory_contexts WHERE name = 'kyrodb directory';
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
# ---- random damage to every kind of page ----

# Tables of the same rows; in each round each of them gets one damage, in the
# index of k (NULLs, keys with few and with many rows) or of u (unique).
my $seed = $ENV{KYRO_SEED} // 20240711;
my $rounds = $ENV{KYRO_ROUNDS} // 14;
my $ntables = 30;
my %kinds = (meta => PAGE_META, leaf => PAGE_LEAF, directory => PAGE_DIRECTORY, model => PAGE_MODEL, log => PAGE_LOG, free => PAGE_FREE, history => PAGE_HISTORY);
my (@tables, %files, %good, %answer);

note("seed $seed");
srand($seed);
$node->start;
foreach my $i (1 .. $ntables)
{
	my $sql = qq{
SELECT setseed(0.5);
CREATE TABLE f$i (id bigint, k bigint, u bigint) WITH (autovacuum_enabled = off);
INSERT INTO f$i SELECT g, CASE WHEN g % 97 = 0 THEN NULL WHEN g % 4 = 0 THEN 4000000000 WHEN g % 9 = 0 THEN g % 50 * 1000003 ELSE hashint8extended(g, 1) END,
	CASE WHEN g % 89 = 0 THEN NULL ELSE hashint8extended(g, 2) END FROM generate_series(1, 8000) g;
CREATE INDEX f${i}_k ON f$i USING kyro_rmi (k);
CREATE UNIQUE INDEX f${i}_u ON f$i USING kyro_rmi (u);
DELETE FROM f$i WHERE k BETWEEN -9000000000000000000 AND -1000000000000000000 OR u BETWEEN -9000000000000000000 AND -1000000000000000000;
VACUUM f$i;
INSERT INTO f$i SELECT g, 3000000000000000000 + hashint8(g)::bigint * 99999999, 3000000000000000000 + hashint8(g)::bigint * 99999999 + g FROM generate_series(10001, 10900) g;
VACUUM (FREEZE, ANALYZE, INDEX_CLEANUP off) f$i;};

	$node->safe_psql('postgres', $sql);
	push @tables, "f$i";
}
$node->safe_psql('postgres', 'CHECKPOINT');
foreach my $rel (map { ($_, "${_}_k", "${_}_u") } @tables)
{
	$files{$rel} = relation_file($node, $rel);
}

# What is asked of a table, one session: name, statements, does it read only.
sub script
{
	my ($t, $c) = @_;
	my $idx = "${t}_$c";

	return (
		[ 'verify', "SELECT count(*) > 0 FROM kyro.verify('$idx', true)" ],
		[ 'index scan', "SELECT count(*), sum(id) FROM $t WHERE $c IS NOT NULL" ],
		[ 'index-only scan', "SELECT count(*), sum(hashint8extended($c, 7)) FROM $t WHERE $c IS NOT NULL" ],
		[ 'backward scan', "SELECT count(*), md5(string_agg(${c}::text, ',')) FROM (SELECT $c FROM $t ORDER BY $c DESC) s" ],
		[ 'NULLs', "SELECT count(*), sum(id) FROM $t WHERE $c IS NULL" ],
		[ 'ranges', "SELECT count(*), sum(s.id) FROM generate_series(-9, 8) g, LATERAL (SELECT id FROM $t WHERE $c BETWEEN g * 1000000000000000000 AND g * 1000000000000000000 + 999999999999999999 OFFSET 0) s" ],
		[ 'ranges down', "SELECT count(*), sum(s.id) FROM generate_series(-9, 8) g, LATERAL (SELECT id FROM $t WHERE $c BETWEEN g * 1000000000000000000 AND g * 1000000000000000000 + 999999999999999999 ORDER BY $c DESC OFFSET 0) s" ],
		[ 'points', "SELECT count(*), sum(s.id) FROM generate_series(1, 5000, 13) g, LATERAL (SELECT id FROM $t WHERE $c IN (SELECT hashint8extended(g, CASE '$c' WHEN 'k' THEN 1 ELSE 2 END)) OFFSET 0) s" ],
		[ 'bitmap scan', "SET enable_indexscan = off; SET enable_bitmapscan = on; SELECT count(*), sum(id) FROM $t WHERE $c > -500000000000000000; SET enable_indexscan = on; SET enable_bitmapscan = off" ],
		[ 'model', "SELECT leaves > 0 FROM kyro.model('$idx')" ],
		[ 'model leaves', "SELECT count(*) > 0 FROM kyro.model_leaves('$idx')" ],
		[ 'trace', "SELECT matches FROM kyro.trace('$idx', 4000000000)" ],
		[ 'trace in words', "SELECT count(*) > 0 FROM kyro.explain('$idx', 4000000000)" ],
		[ 'model file', "SELECT length(kyro.export_model('$idx')) > 0, (SELECT count(*) > 0 FROM kyro.training_keys('$idx'))" ],
		[ 'model history', "SELECT count(*) > 0 FROM kyro.model_history('$idx')" ],
		[ 'warmup', "SELECT kyro.warmup('$idx') > 0" ],
		[ 'view', "SELECT count(*) FROM kyro.stat_indexes WHERE relname = '$t'" ],
		[ 'insert', "BEGIN; INSERT INTO $t SELECT 20000 + g, hashint8extended(g, 5), hashint8extended(g, 6) FROM generate_series(1, 400) g; SELECT count(*) FROM $t WHERE $c IN (SELECT hashint8extended(g, CASE '$c' WHEN 'k' THEN 5 ELSE 6 END) FROM generate_series(1, 400) g); ROLLBACK" ],
		[ 'unique', "INSERT INTO $t VALUES (-1, 1, (SELECT max(u + 0) FROM $t)) RETURNING 'inserted a duplicate'" ],
		[ 'upsert', "BEGIN; INSERT INTO $t VALUES (-2, 2, (SELECT min(u + 0) FROM $t)), (-3, NULL, 5) ON CONFLICT (u) DO NOTHING RETURNING u; ROLLBACK" ],
		[ 'rebuild', "SELECT count(*) FROM kyro.rebuild('$idx')" ],
		[ 'after the rebuild', "SELECT count(*), sum(id) FROM $t WHERE $c IS NOT NULL" ],
		[ 'vacuum', "DELETE FROM $t WHERE id % 5 = 2 OR $c > 5000000000000000000; VACUUM (INDEX_CLEANUP on) $t" ],
		[ 'after VACUUM', "SELECT count(*), sum(id) FROM $t WHERE $c IS NOT NULL" ],
		[ 'reindex', "BEGIN; REINDEX INDEX $idx; SELECT count(*), sum(id) FROM $t WHERE $c IS NOT NULL; SELECT * FROM kyro.verify('$idx', true); ROLLBACK" ]);
}

# name => answer, and what went to stderr
sub ask
{
	my ($t, $c) = @_;
	my $sql = "$set\nSET max_parallel_workers_per_gather = 0;\n" . join('', map { "\\echo \@$_->[0]\n\\warn \@$_->[0]\n$_->[1];\n" } script($t, $c));
	my ($out, $err) = run_sql($sql);
	my (%out, %err, $name);

	foreach my $pair ([ \%out, $out ], [ \%err, $err ])
	{
		foreach my $line (split(/\n/, $pair->[1]))
		{
			if ($line =~ /^@(.*)/) { $pair->[0]{ $name = $1 } = '' }
			elsif (defined $name) { $pair->[0]{$name} .= "$line\n" }
		}
		$name = undef;
	}
	return (\%out, \%err);
}

foreach my $c ('k', 'u')
{
	my ($out, $err) = ask($c eq 'k' ? 'f1' : 'f2', $c);

	is(join('', map { $_ eq 'unique' ? '' : $err->{$_} } keys %$err), '', "$c: no error without damage");
	like($err->{unique}, qr/23505/, "$c: a duplicate is found");
	like($out->{verify}, qr/^f$/, "$c: sound without damage");
	$answer{$c} = $out;
}
$node->stop;
# these two have changed now; all others are the same, but for the files
foreach my $rel (keys %files)
{
	foreach my $fork ('', '_fsm', '_vm')
	{
		next if $rel =~ /^f[12](_|$)/ || !-e "$files{$rel}$fork";
		$good{$rel}{$fork} = [ read_pages("$files{$rel}$fork") ];
	}
}
@tables = grep { !/^f[12]$/ } @tables;

foreach my $c ('k', 'u')
{
	my %n;
	$n{ page_kind($_) }++ foreach @{ $good{"f3_$c"}{''} };
	is_deeply([ sort keys %n ], [ sort values %kinds ], "$c: there are pages of all kinds") or diag(explain(\%n));
}

sub pick { return $_[ int(rand(@_)) ] }
sub flip_bit { my ($p, $at) = @_; substr($p, $at, 1) = chr(ord(substr($p, $at, 1)) ^ (1 << int(rand(8)))); return $p }

# Damages one index; returns what was done, and whether it lies in what a leaf says of its entries.
sub damage
{
	my ($t, $c, $kind, $bounds) = @_;
	my @p = @{ $good{"${t}_$c"}{''} };
	my %of;
	push @{ $of{ page_kind($p[$_]) } }, $_ foreach 0 .. $#p;
	my $name = pick(sort keys %kinds, 'leaf', 'leaf', 'meta');
	my $how = pick(('bit') x 5, ('header bit') x 3, ('bounds') x 2, qw(byte zero swap foreign short), 'one page', 'trailer bit');
	($name, $how) = ($kind, 'these bounds') if $kind;
	my $block = pick(@{ $of{ $kinds{$name} } });
	my ($lower, $upper) = unpack('vv', substr($p[$block], 12, 4));
	my $at = '';
	my $payload = 0;

	if ($how eq 'bit' || $how eq 'byte')
	{
		# where there is something
		$at = int(rand($lower - 24 + 8192 - $upper)) + 24;
		$at += $upper - $lower if $at >= $lower;
		$payload = $name eq 'leaf' && $at >= 24 + 40 && $at < 8192 - 16;
		if ($how eq 'bit') { $p[$block] = flip_bit($p[$block], $at) }
		else { substr($p[$block], $at, 1) = chr(ord(substr($p[$block], $at, 1)) ^ (1 + int(rand(255)))) }
	}
	elsif ($how eq 'header bit')
	{
		my $size = $name eq 'meta' ? 136 : $name eq 'leaf' ? 52 : $name eq 'log' ? 16 : $name eq 'free' ? 24 : 40;
		$at = int(rand(24 + $size));
		$payload = $name eq 'leaf' && $at >= 24 + 40 && $at < 24 + 50;
		$p[$block] = flip_bit($p[$block], $at);
	}
	elsif ($how eq 'trailer bit') { $p[$block] = flip_bit($p[$block], $at = 8176 + int(rand(16))) }
	elsif ($how eq 'zero') { $p[$block] = "\0" x 8192 }
	elsif ($how eq 'swap') { $at = pick(grep { $_ != $block } 0 .. $#p); @p[ $block, $at ] = @p[ $at, $block ] }
	elsif ($how eq 'foreign') { my $o = $good{ pick(@tables) . '_' . ($c eq 'k' ? 'u' : 'k') }{''}; $p[$block] = $o->[ $block % @$o ] }
	elsif ($how eq 'short') { pop @p }
	elsif ($how eq 'one page') { @p = ($p[0]) }
	elsif ($how eq 'these bounds') { substr($p[$block], 12, 6) = pack('vvv', @$bounds); $at = join(' ', @$bounds) }
	elsif ($how eq 'bounds') { my $n = 1 + int(rand(3)); for (1 .. $n) { $at = 12 + 2 * int(rand(3)); substr($p[$block], $at, 2) = pack('v', pick(0, 24, 100, 200, 400, 4096, 8176, 8192, 65535, int(rand(8193)))); } }
	write_pages($files{"${t}_$c"}, @p);
	return ("$name page $block of ${t}_$c: $how $at", $payload);
}

my %count = (damages => 0, errors => 0, warnings => 0, harmless => 0, 'wrong without checksums' => 0);
my @bad;

ROUND: foreach my $round (1 .. $rounds)
{
	my %done;

	foreach my $rel (keys %good)
	{
		foreach my $fork ('', '_fsm', '_vm')
		{
			if ($good{$rel}{$fork}) { write_pages("$files{$rel}$fork", @{ $good{$rel}{$fork} }) }
			else { unlink "$files{$rel}$fork" }
		}
	}
	my $checksums = $round % 2;
	$node->adjust_conf('postgresql.conf', 'kyro.debug_any_checksum', $checksums ? 'off' : 'on');
	# bounds of each kind of page that the server takes; then anything
	my @first = $round > 1 ? () : map { my $kind = $_; map { [ $kind, $_ ] } [ 24, 24, 24 ], [ 24, 8176, 8176 ], [ 100, 200, 8184 ], [ 8176, 8176, 8176 ] } sort keys %kinds;
	foreach my $t (@tables)
	{
		my $c = pick('k', 'u');
		$done{$t} = [ damage($t, $c, @{ shift @first // [] }), $c ];
		$done{$t}[1] = 0 if $checksums;
	}
	is(scalar @first, 0, 'all of them') if $round == 1;
	$node->start;
	foreach my $t (@tables)
	{
		my ($what, $payload, $c) = @{ $done{$t} };
		my ($out, $err) = ask($t, $c);
		my $reported = ($out->{verify} // '') =~ /^t$/m || ($err->{verify} // '') =~ /ERROR/;
		my ($errors, $warnings) = (0, 0);
		my $all_err = join('', values %$err);

		$count{damages}++;
		if ($all_err =~ /server closed|terminat/ || !exists $out->{reindex})
		{
			push @bad, "$what: crash: $all_err";
			$node->stop('immediate', fail_ok => 1);
			next ROUND;
		}
		foreach my $step (script($t, $c))
		{
			my $name = $step->[0];
			my ($o, $e) = ($out->{$name} // '', $err->{$name} // '');

			$warnings++ if $e =~ /WARNING/;
			foreach my $line (grep { /(ERROR|FATAL|PANIC):/ } split(/\n/, $e))
			{
				next if $name eq 'unique' && $line =~ /23505/;
				# the rest of a transaction that failed
				next if $line =~ /25P02/;
				$errors++;
				# a wrong row address may lead the server past the end of the table, a bit in the meta page to another WAL method
				push @bad, "$what: $name: $e" if $line !~ /ERROR:  XX00[12]: / && $line !~ /ERROR:  55000: .* by a WAL method/ &&
				  !($payload && $reported && $line =~ /23505|XX000: could not open file .*target block/);
				push @bad, "$what: $name: no block: $e" if $line =~ /XX002/ && $line !~ /block \d+/ && $line !~ /format version/;
			}
			push @bad, "$what: REINDEX does not heal: $o$e" if $name eq 'reindex' && $o ne $answer{$c}{reindex} && !$payload && $e eq '' && $out->{'after VACUUM'} eq $answer{$c}{'after VACUUM'};
			next if $name eq 'verify' || $name eq 'reindex' || ($name =~ /^model|^trace/ && $e =~ /WARNING/);
			next if $o eq $answer{$c}{$name} && !($name eq 'unique' && $e eq '');
			next if $e =~ /ERROR/ && $name ne 'unique';
			next if $name eq 'unique' && $e =~ /ERROR/ && $o eq '';
			# a VACUUM that failed for damage changed the table all the same
			$count{'wrong without checksums'}++;
			push @bad, "$what: $name: wrong answer" . ($reported ? ', reported by verify' : ', NOT REPORTED') . ": $o not $answer{$c}{$name}$e" if !$payload || !$reported;
		}
		$count{ $errors ? 'errors' : $warnings ? 'warnings' : 'harmless' }++;
	}
	$node->stop;
}
is(join("\n", @bad[ 0 .. ($#bad < 19 ? $#bad : 19) ]), '', 'no damage has a consequence it must not have (seed ' . $seed . ')');
note(join(', ', map { "$_ $count{$_}" } sort keys %count));
cmp_ok($count{errors}, '>', $count{damages} / 5, 'many give an error');
log_lacks($node, 'PANIC|TRAP|terminated by signal', 'random damage: nothing bad in the log');
done_testing();
