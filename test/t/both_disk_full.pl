# No space left: inserts that split leaves, folds of the directory, VACUUM,
# index builds, rebuilds, seals, first touches and compactions run out of it at
# many places.  Each says so by 53100 and leaves everything as it was; what has
# failed again and again leaves no more behind than what failed once; and when
# there is space again, everything goes on.
#
# Two ways: a tablespace on a small tmpfs, in a mount namespace of the server's
# own, where the kernel allows that without privileges; else a limit on the size
# of files (RLIMIT_FSIZE) of the one backend.
#
# KYRO_LOAD_SECONDS makes it longer: many more steps between nothing free and
# enough, and both ways.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;

my $long = $ENV{KYRO_LOAD_SECONDS} // 0;
# pages that are free when a statement begins
my @steps = $long ? (0 .. 20, map { 20 + $_ * 5 } 1 .. 60) : (0, 1, 2, 5, 11, 40, 100);

# ---- two ways to run out of space ----

# pg_ctl starts the server in a mount namespace with a tmpfs
my $mount = PostgreSQL::Test::Utils::tempdir_short() . '/full';
my $wrapper = PostgreSQL::Test::Utils::tempdir();
my ($pg_ctl) = grep { -x $_ } map { "$_/pg_ctl" } split(/:/, $ENV{PATH});
mkdir $mount or die "cannot make $mount: $!";
my @unshare = ('unshare', '--user', '--map-current-user', '--mount', '--keep-caps', 'sh', '-c');
my $have_tmpfs = system("@unshare[0..4] sh -c 'mount -t tmpfs -o size=1m tmpfs $mount' >/dev/null 2>&1") == 0;
append_to_file("$wrapper/pg_ctl", qq{#!/bin/sh
case " \$* " in
*" start "*) exec @unshare 'mount -t tmpfs -o size=48m tmpfs $mount && exec $pg_ctl "\$\@"' pg_ctl "\$@" ;;
*) exec $pg_ctl "\$\@" ;;
esac
});
chmod 0755, "$wrapper/pg_ctl";
my $have_prlimit = system('prlimit --version >/dev/null 2>&1') == 0;
plan skip_all => 'neither unprivileged mount namespaces nor prlimit' unless $have_tmpfs || $have_prlimit;

my ($node, $session, $session_pid);

sub new_session
{
	$session->quit if $session;
	$session = $node->background_psql('postgres', on_error_stop => 0);
	$session->query('\set VERBOSITY verbose');
	$session_pid = $session->query_safe('SELECT pg_backend_pid()');
}

# Leave so many pages for a relation to grow by.
sub squeeze
{
	my ($way, $pages, $rel) = @_;

	if ($way eq 'tmpfs')
	{
		$node->safe_psql('postgres', qq{COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; rm -f $mount/filler; a=\$(df -B 4096 --output=avail $mount | tail -n 1); fallocate -l \$(( (a - 2 * $pages) * 4096 )) $mount/filler'});
	}
	else
	{
		my $size = $rel ? $node->safe_psql('postgres', "SELECT pg_relation_size('$rel')") : 0;
		# not so low that WAL does not get through
		$size = 1280 * 1024 if $size < 1280 * 1024;
		system('prlimit', '--pid', $session_pid, '--fsize=' . ($size + $pages * 8192) . ':') == 0 or die 'prlimit failed';
	}
}

sub relax
{
	my ($way) = @_;

	if ($way eq 'tmpfs')
	{
		$node->safe_psql('postgres', "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; rm -f $mount/filler'");
	}
	else
	{
		system('prlimit', '--pid', $session_pid, '--fsize=unlimited:') == 0 or die 'prlimit failed';
	}
}

my $no_space = qr/53100: |could not (?:extend|write).*File too large/s;
my ($failed, $unexpected) = (0, '');

# Run a statement in the session; whether it succeeded.
sub try
{
	my ($sql) = @_;

	$session->{stderr} = '';
	$session->query($sql);
	my $err = $session->{stderr};
	$session->query('ROLLBACK') if $sql =~ /^BEGIN/;
	$session->{stderr} = $err;
	return 1 unless $err =~ /ERROR|FATAL|PANIC/;
	$failed++;
	$unexpected .= "$sql: $err" unless $err =~ $no_space;
	return 0;
}

sub size { return $node->safe_psql('postgres', "SELECT pg_relation_size('$_[0]') / 8192"); }

sub agree
{
	my ($what) = @_;

	is($unexpected, '', "$what: no error but for space");
	$unexpected = '';
	is($node->safe_psql('postgres', q{
SELECT 'heap, index ' || i || ': ' || block || ' ' || problem FROM unnest(ARRAY['t_k', 't_g']) i, kyro.verify(i::regclass, true)
UNION ALL SELECT 'table: ' || block || ' ' || problem FROM kyro.verify('s', true)
UNION ALL SELECT 'table, index ' || block || ' ' || problem FROM kyro.verify('s_k', true)
UNION ALL SELECT 'lost: ' || x::text FROM (TABLE twin EXCEPT ALL TABLE t) x
UNION ALL SELECT 'too much: ' || x::text FROM (TABLE t EXCEPT ALL TABLE twin) x
UNION ALL SELECT 'kyro lost: ' || x::text FROM (TABLE s_twin EXCEPT ALL TABLE s) x
UNION ALL SELECT 'kyro too much: ' || x::text FROM (TABLE s EXCEPT ALL TABLE s_twin) x LIMIT 5;
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT 'by t_k' FROM (SELECT count(*), sum(g) FROM t WHERE k IS NOT NULL EXCEPT SELECT count(*), sum(g) FROM twin) x
UNION ALL SELECT 'by t_g' FROM (SELECT count(*), sum(k::numeric) FROM t WHERE g IS NOT NULL EXCEPT SELECT count(*), sum(k::numeric) FROM twin) x
UNION ALL SELECT 'by s_k' FROM (SELECT count(*), sum(g) FROM s WHERE k IS NOT NULL EXCEPT SELECT count(*), sum(g) FROM s_twin) x
}), '', "$what: nothing lost, nothing too much");
}

sub test_way
{
	my ($way) = @_;
	my $where = $way eq 'tmpfs' ? 'TABLESPACE small' : '';

	{
		local $ENV{PATH} = $way eq 'tmpfs' ? "$wrapper:$ENV{PATH}" : $ENV{PATH};
		$node = new_node("full_$way", init => [ extra => ['--wal-segsize=1'] ], conf => "wal_consistency_checking = ''\n");
	}
	add_index_checks($node, 'postgres');
	if ($way eq 'tmpfs')
	{
		$node->safe_psql('postgres', "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; mkdir $mount/space'");
		$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$mount/space'");
	}
	# Heap tables and twins have all the space they want, indexes and the kyro table have not.
	$node->safe_psql('postgres', qq{
CREATE TABLE t (g int, k bigint);
INSERT INTO t SELECT g, hashint8extended(g, 0) FROM generate_series(1, 180000) g;
CREATE TABLE twin AS TABLE t;
CREATE INDEX t_k ON t USING kyro_rmi (k) $where;
CREATE INDEX t_g ON t USING kyro_rmi (g) $where;
CREATE TABLE s (g int, k bigint, v text) USING kyro $where;
CREATE INDEX s_k ON s USING kyro_rmi (k) $where;
INSERT INTO s SELECT g, hashint8extended(g, 0), md5(g::text) FROM generate_series(1, 40000) g;
CREATE TABLE s_twin AS SELECT * FROM s;
});
	new_session();

	# inserts that split leaves and write directories
	my $n = 180000;
	foreach my $pages (@steps)
	{
		squeeze($way, $pages, 't_k');
		foreach my $batch (1 .. ($long ? 40 : 12))
		{
			my ($from, $to) = ($n + 1, $n + 4000);
			my $rows = "SELECT g, hashint8extended(g, 0) FROM generate_series($from, $to) g";

			last unless try("BEGIN; INSERT INTO t $rows; INSERT INTO twin $rows; COMMIT");
			$n = $to;
		}
		relax($way);
	}
	cmp_ok($failed, '>', 0, "$way: inserts met it");
	agree("$way, inserts");

	# VACUUM of what was deleted frees rows in spite of it
	$failed = 0;
	foreach my $pages (0, 1, 3)
	{
		$node->safe_psql('postgres', "DELETE FROM $_ WHERE g % 50 = $pages") foreach qw(t twin);
		squeeze($way, $pages, 't_k');
		ok(try('VACUUM (INDEX_CLEANUP ON, PARALLEL 0) t'), "$way: VACUUM gets by with $pages pages") or diag($session->{stderr});
		relax($way);
	}
	agree("$way, VACUUM");

	# builds
	($failed, my $files) = (0, $node->safe_psql('postgres', 'SELECT count(*) FROM pg_class'));
	foreach my $sql ('CREATE INDEX x ON t USING kyro_rmi (k) ' . $where, 'REINDEX INDEX t_k', 'VACUUM FULL s', 'ALTER INDEX t_k SET ' . ($where || 'TABLESPACE pg_default'))
	{
		next if $way ne 'tmpfs' && $sql =~ /ALTER|FULL/;
		foreach my $pages (@steps)
		{
			squeeze($way, $pages);
			$node->safe_psql('postgres', 'DROP INDEX IF EXISTS x') if try($sql);
			relax($way);
		}
	}
	cmp_ok($failed, '>', 0, "$way: builds met it");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_class'), $files, "$way: failed builds leave nothing");
	ok(try('REINDEX INDEX t_k'), "$way: and a build works again");
	agree("$way, builds");

	# rebuilds write a directory beside the old one
	$failed = 0;
	try("SELECT FROM kyro.rebuild('t_k')");
	my $before = size('t_k');
	foreach my $pages ((0, 1, 2, 3) x 5)
	{
		squeeze($way, $pages, 't_k');
		try("SELECT FROM kyro.rebuild('t_k')");
		relax($way);
		$node->safe_psql('postgres', 'VACUUM t') if $pages == 3;
	}
	ok(try("SELECT FROM kyro.rebuild('t_k')"), "$way: a rebuild works again");
	cmp_ok(size('t_k'), '<=', $before + 30, "$way: rebuilds that failed leave no pages for ever");
	agree("$way, rebuilds");

	# seals
	$failed = 0;
	$before = size('s');
	foreach my $pages (@steps, (100) x 10)
	{
		squeeze($way, $pages, 's');
		# with more space it is the index that has none, or nothing fails
		try("BEGIN; SELECT FROM kyro.snapshot('s', 30000); ROLLBACK");
		relax($way);
	}
	cmp_ok($failed, '>', 10, "$way: seals met it");
	$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) s');
	is(size('s'), $before, "$way: seals that failed leave no pages for ever");
	agree("$way, failed seals");
	ok(try("SELECT FROM kyro.snapshot('s')"), "$way: a seal works again");
	agree("$way, a seal");

	# first touches make link pages and log pages; VACUUM takes the dead rows
	$failed = 0;
	my $id = 1;
	foreach my $pages (@steps)
	{
		$node->safe_psql('postgres', 'VACUUM s');
		squeeze($way, $pages, 's');
		foreach my $batch (1 .. 10)
		{
			my $where = 'WHERE g % 500 = ' . $id++ % 500;

			last unless try(join('', 'BEGIN; ', (map { "UPDATE $_ SET v = v || 'x', k = k + 1 $where; DELETE FROM $_ $where AND g % 7 = 0;" } 's', 's_twin'), 'COMMIT'));
		}
		relax($way);
	}
	cmp_ok($failed, '>', 0, "$way: first touches met it") if $way eq 'tmpfs';
	agree("$way, changes of sealed rows");
	squeeze($way, 0, 's');
	ok(try('VACUUM (INDEX_CLEANUP ON, PARALLEL 0) s'), "$way: VACUUM of a kyro table gets by") or diag($session->{stderr});
	relax($way);
	ok(try('VACUUM FULL s'), "$way: VACUUM FULL works again");
	agree("$way, at the end");

	$session->quit;
	undef $session;
	$node->stop('immediate');
	$node->start if $way ne 'tmpfs';	# the tmpfs is gone with the server
	if ($way ne 'tmpfs')
	{
		agree("$way, after a crash");
		$node->stop;
	}
	log_lacks($node, 'PANIC|TRAP|leak|terminated by signal', "$way: nothing bad in the log");
}

SKIP:
{
	skip 'no mount namespace without privileges here', 1 unless $have_tmpfs;
	test_way('tmpfs');
}
SKIP:
{
	skip 'the tmpfs will do', 1 if $have_tmpfs && !$long;
	skip 'no prlimit', 1 unless $have_prlimit;
	test_way('prlimit');
}
done_testing();
