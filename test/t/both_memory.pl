# Little memory: builds, seals and compactions in 1 MB, queries in 64 kB, and
# sessions whose allocations fail at many places (RLIMIT_DATA, and RLIMIT_AS
# so that maps fail).  An allocation that fails is 53200 and no more: the same
# session goes on correctly when it has memory again.  And what idle sessions
# keep is bounded by kyro.directory_cache; so there is no shared memory for directories here.
#
# KYRO_LOAD_SECONDS makes it longer: more steps, 200 sessions.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;

my $long = $ENV{KYRO_LOAD_SECONDS} // 0;
my $node = new_node('memory', conf => "max_connections = 230\nwal_consistency_checking = ''\nmaintenance_work_mem = 1MB\nwork_mem = 64kB\nlog_temp_files = 0\nmax_parallel_workers_per_gather = 0\nkyro.shared_directories = 0\n");
add_index_checks($node, 'postgres');

# ---- builds, seals and compactions that spill ----

$node->safe_psql('postgres', q{
CREATE TABLE t (id bigint, k bigint);
INSERT INTO t SELECT g, hashint8extended(g, 0) FROM generate_series(1, 90000) g;
INSERT INTO t SELECT -g, NULL FROM generate_series(1, 30000) g;
CREATE INDEX t_k ON t USING kyro_rmi (k);
CREATE UNIQUE INDEX t_id ON t USING kyro_rmi (id);
CREATE TABLE s (id bigint, k bigint, v text) USING kyro;
CREATE INDEX s_k ON s USING kyro_rmi (k);
CREATE INDEX s_id ON s USING kyro_rmi (id);
INSERT INTO s SELECT g, hashint8extended(g, 0), md5(g::text) FROM generate_series(1, 20000) g;
SELECT kyro.snapshot('s', 4000);
SELECT kyro.snapshot('s', 7000);
SELECT kyro.snapshot('s');
UPDATE s SET v = v || 'x' WHERE id % 10 = 0;
DELETE FROM s WHERE id % 15 = 0;
VACUUM (INDEX_CLEANUP ON) s;
CREATE TABLE s_twin AS TABLE s;
});
my $spilled = () = slurp_file($node->logfile) =~ /temporary file: path/g;
cmp_ok($spilled, '>', 4, 'sorts went to disk');
my @indexes = (['t', 'k', 't_k'], ['t', 'id', 't_id'], ['s', 'k', 's_k'], ['s', 'id', 's_id']);
sound($node, 'postgres', 'after builds and seals in 1 MB', map { $_->[2] } @indexes);
$node->safe_psql('postgres', 'VACUUM FULL s');
my $differ = 'SELECT x::text FROM (TABLE s EXCEPT ALL TABLE s_twin) x UNION ALL SELECT x::text FROM (TABLE s_twin EXCEPT ALL TABLE s) x LIMIT 5';
is($node->safe_psql('postgres', $differ), '', 'after VACUUM FULL in 1 MB');
sound($node, 'postgres', 'indexes after VACUUM FULL', map { $_->[2] } @indexes);

# ---- allocations that fail ----

my @work = (
	['a point', 'SELECT id FROM t WHERE k = (SELECT k FROM t WHERE id = 77)'],
	['a range', 'SELECT count(*), sum(id) FROM t WHERE k > 0'],
	['an index-only scan', 'SELECT count(*) FROM (SELECT k FROM t WHERE id BETWEEN 5 AND 50000) x'],
	['a bitmap', 'SET enable_indexscan = off; SET enable_seqscan = off; SELECT sum(id) FROM t WHERE k > 0; RESET enable_indexscan; RESET enable_seqscan'],
	['sealed rows by key', 'SELECT sum(length(v)) FROM generate_series(1, 1000) g JOIN s ON s.id = g * 13'],
	['all sealed rows', 'SELECT count(*), sum(length(v)), sum(id) FROM s'],
	['changes', 'BEGIN; UPDATE s SET k = k + 1 WHERE id BETWEEN 500 AND 900; INSERT INTO t SELECT g, hashint8extended(g, 1) FROM generate_series(1000000, 1001000) g;
		SELECT count(*), sum(id) FROM s WHERE k IS NOT NULL; ROLLBACK'],
	['a build', 'BEGIN; CREATE INDEX x ON t USING kyro_rmi (id); SELECT count(*) FROM t WHERE id > 100; ROLLBACK'],
	['a rebuild', "SELECT leaves > 0 FROM kyro.rebuild('t_k')"],
	['verify', "SELECT count(*) FROM kyro.verify('t_k', true)"],
	['verify of a table', "SELECT count(*) FROM kyro.verify('s', true)"],
	['warmup', "SELECT kyro.warmup('s') > 0, kyro.warmup('t_k') > 0"],
	['VACUUM', 'VACUUM (INDEX_CLEANUP ON) s'],
	['a seal', "BEGIN; SELECT rows > 0 FROM kyro.snapshot('s'); SELECT count(*), sum(id) FROM s; ROLLBACK"]);

SKIP:
{
	skip 'no prlimit', 1 if system('prlimit --version >/dev/null 2>&1') != 0;
	# what everything answers, when there is enough
	my %want;
	my $s = $node->background_psql('postgres', on_error_stop => 0);
	$want{ $_->[0] } = $s->query_safe($_->[1]) foreach @work;
	$s->quit;

	my ($failures, $wrong) = (0, '');
	my @bytes = $long ? map { $_ * 24 * 1024 } 0 .. 200 : map { $_ * 1024 } (0, 64, 160, 256, 400, 640, 1000);
	foreach my $what ('data', 'as')
	{
		foreach my $bytes ($long || $what eq 'data' ? @bytes : @bytes[ 0, 3 ])
		{
			my $s = $node->background_psql('postgres', on_error_stop => 0);

			$s->query_safe('\set VERBOSITY verbose');
			my $pid = $s->query_safe('SELECT pg_backend_pid()');
			# the session knows the catalogs, but nothing of what is in our pages
			$s->query_safe(join('; ', map { $_->[1] =~ /^(SELECT [^;]*)/ ? "EXPLAIN $1" : () } @work));
			my ($used) = slurp_file("/proc/$pid/status") =~ ($what eq 'data' ? qr/VmData:\s+(\d+)/ : qr/VmSize:\s+(\d+)/);
			# the stack counts as address space too, and nobody can do without it
			my $limit = $used * 1024 + $bytes + ($what eq 'as' ? 32 * 1024 * 1024 : 0);

			system('prlimit', '--pid', $pid, "--$what=$limit:") == 0 or die 'prlimit failed';
			my $stuck = 0;		# there was no memory for a ROLLBACK
			my $lost = 0;		# nor for the server to know in which state its transaction is: a FATAL of its own
			foreach my $w (@work)
			{
				$s->{stderr} = '';
				my $got = eval { $s->query($w->[1]) };
				my $err = $s->{stderr};

				$lost = $@ ne '';
				last if $lost;
				if ($err =~ /ERROR/)
				{
					$failures++;
					$wrong .= "$w->[0] with $bytes bytes: $err\n" if $err =~ /ERROR: ++(?!53[20]00|25P02)/ || $err !~ /ERROR: +53[20]00/;
				}
				elsif ($got ne $want{ $w->[0] })
				{
					$wrong .= "$w->[0] with $bytes bytes: $got, not $want{ $w->[0] }\n";
				}
				$s->{stderr} = '';
				eval { $s->query('ROLLBACK') } if $w->[1] =~ /^BEGIN/;
				$lost = $@ ne '' if $w->[1] =~ /^BEGIN/;
				last if $lost;
				# then nothing else can be done until there is memory again
				$stuck = 1 if $s->{stderr} =~ /ERROR: +53200/;
				last if $stuck;
				$s->query('RESET ALL') if $w->[1] =~ /RESET/;
			}
			if ($lost)
			{
				$s->{run}->kill_kill;
				next;
			}
			# the same session, with memory again
			system('prlimit', '--pid', $pid, "--$what=unlimited:") == 0 or die 'prlimit failed';
			$s->query('ROLLBACK; RESET ALL') if $stuck;
			foreach my $w (@work)
			{
				$s->{stderr} = '';
				my $got = $s->query($w->[1]);

				$wrong .= "$w->[0] after $bytes bytes: $got $s->{stderr}, not $want{ $w->[0] }\n" if $got ne $want{ $w->[0] } || $s->{stderr} =~ /ERROR|FATAL/;
			}
			$s->quit;
		}
	}
	cmp_ok($failures, '>', 20, 'allocations failed');
	is($wrong, '', 'and did no harm');
	is($node->safe_psql('postgres', $differ), '', 'nothing is lost');
	sound($node, 'postgres', 'the indexes are sound', 't_k', 't_id');
	indexes_agree($node, 'postgres', 'and find every row', ['s', 'k', 's_k'], ['s', 'id', 's_id']);
}

# ---- what sessions keep ----

# one with many indexes, in a small cache
my $parts = 120;
$node->safe_psql('postgres', 'CREATE TABLE p (k bigint) PARTITION BY RANGE (k); CREATE INDEX p_k ON p USING kyro_rmi (k);');
$node->safe_psql('postgres', join('', map { "CREATE TABLE p$_ PARTITION OF p FOR VALUES FROM (" . ($_ * 1000) . ') TO (' . ($_ * 1000 + 1000) . ');' } 0 .. $parts - 1));
$node->safe_psql('postgres', "INSERT INTO p SELECT g FROM generate_series(0, $parts * 1000 - 1) g");
my $kept = q{SELECT coalesce(sum(total_bytes), 0) FROM pg_backend_memory_contexts WHERE name LIKE 'kyro%'};
my $bytes = $node->safe_psql('postgres', "SET kyro.directory_cache = '64kB'; SET enable_seqscan = off; " . 'SELECT count(*) FROM p WHERE k >= 0;' x 6 . " $kept") =~ /(\d+)\s*$/ ? $1 : -1;
note("$bytes bytes for $parts indexes in a cache of 64 kB");
# beside the copies a kilobyte or two for each index
cmp_ok($bytes, '<', 65536 + $parts * 3000 + 65536, 'many indexes in a small cache');

# an index that outgrows the cache while its copy is in use is read through shared pages from then on
$node->safe_psql('postgres', 'CREATE TABLE g (k bigint); INSERT INTO g SELECT hashint8extended(g, 0) FROM generate_series(1, 1000000) g; CREATE INDEX g_k ON g USING kyro_rmi (k) WITH (fillfactor = 100)');
my $leaves = $node->safe_psql('postgres', "SELECT leaves FROM kyro.model('g_k')");
my $cache = int($leaves * 24 / 1024) + 4;
my $copy = q{SELECT coalesce(sum(total_bytes), 0) FROM pg_backend_memory_contexts WHERE name = 'kyrodb directory'};
my ($before, $after) = split(/\n/, $node->safe_psql('postgres', qq{
SET kyro.directory_cache = '${cache}kB';
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT count(*) AS n FROM generate_series(1, 1000) i JOIN g ON k = hashint8extended(i, 0) \\gset
$copy;
INSERT INTO g SELECT hashint8extended(g, 3) FROM generate_series(1, 120000) g;
SELECT count(*) AS n FROM generate_series(1, 1000) i JOIN g ON k = hashint8extended(i, 0) \\gset
$copy;
}));
my $splits = $node->safe_psql('postgres', "SELECT leaves - $leaves FROM kyro.model('g_k')");
note("$leaves leaves and $splits more, cache $cache kB, copy of $before bytes, then $after");
cmp_ok($before, '>', $leaves * 16, 'the copy of an index that fits is made');
cmp_ok($splits, '>', 1024, 'the index grows by more than a copy takes in as it is');
cmp_ok($after, '<', $cache * 1024, 'and its copy does not outgrow the cache');
sound($node, 'postgres', 'which is sound', 'g_k');

# many sessions, each of which has used an index once
my $sessions = $long ? 200 : 40;
$node->safe_psql('postgres', 'CREATE TABLE kept (bytes bigint)');
my $file = $PostgreSQL::Test::Utils::tmp_check . '/once.sql';
append_to_file($file, "SELECT count(*) FROM t WHERE k = 1;\nSELECT count(*) FROM s WHERE id = 5;\nUPDATE s SET v = v WHERE id = :client_id + 1;\nINSERT INTO kept $kept;\n");
$node->command_ok([ 'pgbench', '-n', '-c', $sessions, '-t', 6, '-f', $file, $node->connstr('postgres') ], "$sessions sessions");
my $most = $node->safe_psql('postgres', 'SELECT max(bytes) FROM kept');
note("$most bytes of a session at most");
cmp_ok($most, '<', 1024 * 1024, 'a session that has used two indexes and a table keeps little');
log_lacks($node, 'PANIC|TRAP|invalid page|leak|terminated by signal', 'nothing bad in the log');
unlike(slurp_file($node->logfile), qr/FATAL:\s++(?!\w+: unexpected state (?:STARTED|SUBBEGIN)|terminating|the database system)/, 'no session ended but by the server');
$node->stop;
done_testing();
