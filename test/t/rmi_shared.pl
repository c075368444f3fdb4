# Copies of directories in shared memory: one of an index for all sessions, which is
# replaced when there is a newer directory, kept while a transaction uses it, and gone when
# the last one that does has ended, however that is; evicted if there is no room; the same
# on a standby, and none without preloading.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $index_scans = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET max_parallel_workers_per_gather = 0;';
# the number of the first n keys that are found by look-ups
sub look_up
{
	my ($table, $n) = @_;

	return "SELECT count(*) FROM generate_series(1, $n) g JOIN $table ON k = hashint8extended(g, 0)";
}

# copies that sessions find, and those that transactions still use
sub copies { my $n = shift; return $n->safe_psql('postgres', q{SELECT copies || '+' || replaced FROM kyro.shared_directories()}); }
sub totals { my ($n, $what) = @_; return $n->safe_psql('postgres', "SELECT $what FROM kyro.shared_directories()"); }
# bytes of copies of its own that a session has, beside a kilobyte for each index that it knows
my $own = q{SELECT coalesce(sum(total_bytes - 1024), 0) FROM pg_backend_memory_contexts WHERE name = 'kyrodb directory'};

sub session
{
	my ($node, $database) = @_;
	my $s = $node->background_psql($database // 'postgres', on_error_stop => 0);

	$s->query_safe($index_scans);
	return $s;
}

my $node = new_node('shared', init => [ allows_streaming => 1 ], conf => "max_connections = 60\nmax_prepared_transactions = 5\nrestart_after_crash = on\n");
add_index_checks($node, 'postgres');
# the directory of a fresh index has no splits
$node->safe_psql('postgres', q{
CREATE TABLE t (k bigint);
INSERT INTO t SELECT hashint8extended(g, 0) FROM generate_series(1, 100000) g;
CREATE INDEX t_k ON t USING kyro_rmi (k);
CREATE DATABASE other;
});

# ---- one copy ----

is(totals($node, 'made'), 0, 'no copy before somebody looks');
my $probes = int($node->safe_psql('postgres', q{SELECT leaves FROM kyro.stat_indexes WHERE indexrelname = 't_k'}) / 16) + 2;
# all together are as many look-ups as make a session load a copy
foreach my $i (1 .. $probes)
{
	$node->safe_psql('postgres', "$index_scans " . look_up('t', 1));
}
is(copies($node), '1+0', 'sessions with one look-up each have made a copy together');
my @sessions = map { session($node) } 1 .. 25;
is($_->query_safe(look_up('t', 500)), 500, 'a session looks up') foreach @sessions;
is(totals($node, "copies || ' ' || made"), '1 1', 'and all have used one copy');
is($_->query_safe($own), 0, 'and have none of their own') foreach @sessions[ 0, 12, 24 ];
is($node->safe_psql('postgres', q{SELECT shared_directory_bytes > 0, shared_directory_bytes = kyro.shared_directory_bytes('t_k'::regclass), without_model FROM kyro.stat_indexes WHERE indexrelname = 't_k'}),
	't|t|' . ($probes - 2), 'it is shown, and only look-ups before it had no model');

# ---- a newer directory ----

my ($a, $b, $c) = @sessions[ 0 .. 2 ];
$a->query_safe('BEGIN; ' . look_up('t', 5));
my $rebuild = q{SELECT leaves > 0 FROM kyro.rebuild('t_k'); SELECT kyro.warmup('t_k') > 0};
$b->query_safe($rebuild);
is(copies($node), '1+1', 'a transaction keeps the copy that was replaced');
is($c->query_safe(look_up('t', 500)), 500, 'another session goes over to the new one');
$b->query_safe($rebuild);
is(copies($node), '1+1', 'and keeps none between transactions');
$b->query_safe("DELETE FROM t WHERE k < -4000000000000000000; VACUUM t");
my $left = $b->query_safe('SELECT count(*) FROM generate_series(1, 500) g WHERE hashint8extended(g, 0) >= -4000000000000000000');
$b->query_safe($rebuild);
$a->query_safe('INSERT INTO t SELECT hashint8extended(g, 0) FROM generate_series(200001, 230000) g');
is($a->query_safe(look_up('t', 500)), $left, 'the old copy leads to all rows');
is($c->query_safe(look_up('t', 500)), $left, 'and the new one');

# it goes when the transaction ends, whatever way
my $end = sub {
	my ($what, $how) = @_;

	# the insert may have made the transaction go over to a newer directory by itself
	$a->query_safe('BEGIN; ' . look_up('t', 5));
	$b->query_safe($rebuild);
	my $before = copies($node);
	$how->();
	is("$before, " . copies($node), '1+1, 1+0', $what);
};
$a->query_safe('COMMIT');
is(copies($node), '1+0', 'COMMIT frees it');
is(totals($node, 'used'), $node->safe_psql('postgres', q{SELECT kyro.shared_directory_bytes('t_k'::regclass)}), 'that is, its memory');
$end->('ROLLBACK frees it', sub { $a->query_safe('ROLLBACK'); });
$end->('PREPARE TRANSACTION frees it', sub { $a->query_safe("PREPARE TRANSACTION 'p'"); });
$node->safe_psql('postgres', "COMMIT PREPARED 'p'");
$end->('an error frees it', sub { $a->query('SELECT 1 / 0'); $a->{stderr} = ''; $a->query_safe('ROLLBACK'); });
$end->('a savepoint does not, its transaction does', sub {
	$a->query_safe('SAVEPOINT s; ' . look_up('t', 5) . '; ROLLBACK TO s');
	die if copies($node) ne '1+1';
	$a->query_safe('COMMIT');
});
$end->('the end of a session frees it', sub {
	my $pid = $a->query_safe('SELECT pg_backend_pid()');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)") or die;
	eval { $a->quit };
});
$a = session($node);
$end->('a procedure that commits frees it', sub {
	$a->query_safe('COMMIT');
	die if copies($node) ne '1+0';
	$a->query_safe(q{DO $$ DECLARE n bigint; BEGIN
		FOR i IN 1 .. 3 LOOP } . look_up('t', 5) =~ s/FROM/INTO n FROM/r . q{; COMMIT; END LOOP; END $$});
	$a->query_safe('BEGIN; ' . look_up('t', 5));
	$b->query_safe($rebuild);
	$a->query_safe('COMMIT');
});
is($_->query_safe(look_up('t', 500)), $left, 'sessions that have slept meanwhile look up') foreach @sessions[ 3 .. 24 ];
is(copies($node), '1+0', 'in the newest copy');
sound($node, 'postgres', 'the index is sound', 't_k');

# ---- a directory that inserts have written ----

my $made = totals($node, 'made');
my $rebuilds = q{SELECT rebuilds FROM kyro.stat_indexes WHERE indexrelname = 't_k'};
my $written = $node->safe_psql('postgres', $rebuilds);
$b->query_safe('INSERT INTO t SELECT hashint8extended(g, 0) FROM generate_series(300001, 460000) g');
cmp_ok($node->safe_psql('postgres', $rebuilds), '>', $written, 'an index grows until there is a new directory');
my $all = 'SELECT count(*) FROM generate_series(300001, 460000) g JOIN t ON k = hashint8extended(g, 0)';
is($b->query_safe($all), 160000, 'the session that has inserted finds all');
is($node->safe_psql('postgres', "$index_scans $all"), 160000, 'a new one as well');
cmp_ok(totals($node, 'made'), '>', $made, 'which has made a new copy');
is($c->query_safe($all), 160000, 'and so do others');
is(copies($node), '1+0', 'of which none keeps the old one');

# ---- other files, and none ----

my $same = q{SELECT made, copies, replaced, evicted FROM kyro.shared_directories()};
my $shown = $node->safe_psql('postgres', $same);
$b->query_safe("BEGIN; TRUNCATE t; INSERT INTO t SELECT hashint8extended(g, 0) FROM generate_series(1, 60000) g; " . look_up('t', 2000));
is($b->query_safe(look_up('t', 2000)), 2000, 'a transaction looks up in a file of its own');
is($node->safe_psql('postgres', $same), $shown, 'without a copy for others');
$b->query_safe('ROLLBACK');
is($b->query_safe(look_up('t', 500)), $left, 'and after its rollback in the old one');
$b->query_safe('REINDEX INDEX t_k');
is($_->query_safe(look_up('t', 500)), $left, 'REINDEX') foreach @sessions[ 1 .. 5 ];
is(copies($node), '1+0', 'replaces the copy');
$b->query_safe('REINDEX INDEX CONCURRENTLY t_k');
is($_->query_safe(look_up('t', 500)), $left, 'so does REINDEX CONCURRENTLY') foreach @sessions[ 1 .. 5 ];
is(copies($node), '1+0', 'with an index of its own');
$b->query_safe('BEGIN; DROP INDEX t_k; ROLLBACK');
is(copies($node), '1+0', 'a drop that is rolled back leaves the copy');
$b->query_safe('DROP INDEX t_k');
is(copies($node), '0+0', 'DROP INDEX removes it');
is(totals($node, 'used'), 0, 'and frees the memory');
# each look-up reads the table
is($c->query_safe(look_up('t', 5)), $b->query_safe('SELECT count(*) FROM generate_series(1, 5) g WHERE hashint8extended(g, 0) >= -4000000000000000000'), 'sessions that knew it do without');
$b->query_safe('CREATE INDEX t_k ON t USING kyro_rmi (k)');
is($_->query_safe(look_up('t', 500)), $left, 'and with the next one') foreach $b, $c;
is(copies($node), '1+0', 'which has a copy');

# temporary tables have buffers of their own
$b->query_safe('CREATE TEMP TABLE x AS SELECT * FROM t; CREATE INDEX ON x USING kyro_rmi (k); ' . look_up('x', 2000));
is($b->query_safe(look_up('x', 500)), $left, 'a temporary table');
is(copies($node), '1+0', 'has no copy for others');
cmp_ok($b->query_safe($own), '>', 0, 'but one of its own');

# another database
$node->safe_psql('other', q{CREATE EXTENSION kyrodb; CREATE TABLE t (k bigint);
INSERT INTO t SELECT hashint8extended(g, 0) FROM generate_series(1, 50000) g; CREATE INDEX t_k ON t USING kyro_rmi (k);});
is($node->safe_psql('other', "$index_scans " . look_up('t', 5000)), 5000, 'another database');
is(copies($node), '2+0', 'has a copy of its own');
$node->safe_psql('postgres', 'DROP DATABASE other');
is(copies($node), '1+0', 'which goes with it');
$_->quit foreach @sessions[ 1 .. 24 ];
$a->quit;

# ---- a process that dies ----

my $victim = session($node);
$victim->query_safe('BEGIN; ' . look_up('t', 500));
my $pid = $victim->query_safe('SELECT pg_backend_pid()');
kill 'KILL', $pid;
eval { $victim->quit };
$node->poll_query_until('postgres', 'SELECT true') or die;
is(copies($node), '0+0', 'a crash leaves nothing');
is($node->safe_psql('postgres', "$index_scans " . look_up('t', 500)), $left, 'and look-ups go on');
is(copies($node), '1+0', 'with a new copy');

# ---- a standby ----

$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
my @readers = map { session($standby) } 1 .. 4;
is($_->query_safe(look_up('t', 500)), $left, 'a standby looks up') foreach @readers;
is(totals($standby, "copies || ' ' || made"), '1 1', 'in one copy');
$readers[0]->query_safe('BEGIN; ' . look_up('t', 5));
$node->safe_psql('postgres', "INSERT INTO t SELECT hashint8extended(g, 0) FROM generate_series(500001, 600000) g; $rebuild");
$node->wait_for_catchup($standby, 'replay');
is($_->query_safe('SELECT count(*) FROM generate_series(500001, 600000, 50) g JOIN t ON k = hashint8extended(g, 0)'), 2000, 'what was replayed is found') foreach @readers[ 1 .. 3 ];
$readers[1]->query_safe(q{SELECT kyro.warmup('t_k') > 0});
is(copies($standby), '1+1', 'the newer directory is there for others');
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die;
$readers[0]->query_safe('COMMIT');
is(copies($standby), '1+0', 'after promotion');
$standby->safe_psql('postgres', "INSERT INTO t SELECT hashint8extended(g, 0) FROM generate_series(700001, 750000) g; $rebuild");
is($_->query_safe('SELECT count(*) FROM generate_series(700001, 750000, 50) g JOIN t ON k = hashint8extended(g, 0)'), 1000, 'the same sessions go on') foreach @readers;
sound($standby, 'postgres', 'the index is sound there', 't_k');
$_->quit foreach @readers;
$standby->stop;

# ---- no room ----

# 8 pages; an index of the size of these takes three
$node->append_conf('postgresql.conf', "kyro.shared_directories = '32kB'\nmax_connections = 60");
$node->restart;
$node->safe_psql('postgres', join('', map { "CREATE TABLE r$_ (k bigint); INSERT INTO r$_ SELECT hashint8extended(g, 0) FROM generate_series(1, 280000) g; CREATE INDEX r${_}_k ON r$_ USING kyro_rmi (k) WITH (fillfactor = 20);" } 1 .. 3));
my $pages = $node->safe_psql('postgres', "$index_scans " . look_up('r1', 3000) . q{; SELECT kyro.shared_directory_bytes('r1_k'::regclass) / 4096}) =~ /(\d+)\s*$/ ? $1 : 0;
is($pages, 3, 'two copies have room, three have not');
my ($d, $e) = (session($node), session($node));
my $has = q{SELECT string_agg(i, ' ' ORDER BY i) FROM unnest('{r1_k,r2_k,r3_k}'::text[]) i WHERE kyro.shared_directory_bytes(i::regclass) > 0};
$d->query_safe(look_up('r2', 3000));
is($node->safe_psql('postgres', $has), 'r1_k r2_k', 'two copies');
$d->query_safe(look_up('r1', 1));
$d->query_safe(look_up('r3', 3000));
is($node->safe_psql('postgres', $has), 'r1_k r3_k', 'the third takes the place of the one that was not used for longest');
is(totals($node, "evicted || ' ' || refused"), '1 0', 'which is counted');
is($d->query_safe(look_up('r2', 3000)), 3000, 'and can be read');
is($node->safe_psql('postgres', $has), 'r2_k r3_k', 'and comes back');
# both are in use
$e->query_safe('BEGIN; ' . look_up('r2', 3) . '; ' . look_up('r3', 3));
is($d->query_safe(look_up('r1', 3000)), 3000, 'there is no room while a transaction uses the others');
is($node->safe_psql('postgres', $has), 'r2_k r3_k', 'whose copies stay');
cmp_ok(totals($node, 'refused'), '>', 0, 'that is counted');
cmp_ok($d->query_safe($own), '>', 16 * 500, 'so the session has a copy of its own');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kyro.health() WHERE problem LIKE 'the shared memory for directories%' AND command = $$ALTER SYSTEM SET kyro.shared_directories = '64 kB'$$}), 1, 'kyro.health() tells');
$e->query_safe('COMMIT');
# news: another copy goes
$e->query_safe('DROP TABLE r3');
is($d->query_safe(look_up('r1', 3)), 3, 'when there is room');
is($node->safe_psql('postgres', $has =~ s/,r3_k//r), 'r1_k r2_k', 'it is shared');
is($d->query_safe($own), 0, 'and no longer the own one of that session');
$_->quit foreach $d, $e;

# ---- everything at once, with too little room ----

$node->safe_psql('postgres', q{TRUNCATE t, r1, r2; CREATE TABLE r3 (k bigint); CREATE INDEX r3_k ON r3 USING kyro_rmi (k); CREATE TABLE log (line text)});
my $write = $PostgreSQL::Test::Utils::tmp_check . '/shared_write.sql';
append_to_file($write, qq{
\\set t random(1, 3)
\\set from random(1, 100000000)
$index_scans
BEGIN;
INSERT INTO r:t SELECT hashint8extended(g, 7) FROM generate_series(:from, :from + 300) g;
INSERT INTO log SELECT 'missed' WHERE (SELECT count(*) FROM generate_series(:from, :from + 300) g WHERE EXISTS (SELECT FROM r:t WHERE k = hashint8extended(g, 7))) <> 301;
DELETE FROM r:t WHERE k = hashint8extended(:from, 7);
COMMIT;
});
my $maintain = $PostgreSQL::Test::Utils::tmp_check . '/shared_maintain.sql';
append_to_file($maintain, q{
\set t random(1, 3)
SELECT leaves FROM kyro.rebuild(format('r%s_k', :t)::regclass);
SELECT kyro.warmup(format('r%s_k', :t)::regclass);
VACUUM r:t;
REINDEX TABLE r:t;
});
my $read = $PostgreSQL::Test::Utils::tmp_check . '/shared_read.sql';
append_to_file($read, qq{
$index_scans
BEGIN;
SELECT count(*) FROM generate_series(1, 200) g JOIN r1 ON k = hashint8extended(g, 7);
SELECT count(*) FROM generate_series(1, 200) g JOIN r2 ON k = hashint8extended(g, 7);
SELECT count(*) FROM generate_series(1, 200) g JOIN r3 ON k = hashint8extended(g, 7);
END;
});
$node->command_ok([ 'pgbench', '-n', '-c', 8, '-j', 2, '-t', $ENV{KYRO_LOAD_SECONDS} ? 60 * $ENV{KYRO_LOAD_SECONDS} : 120,
	'-f', "$write\@6", '-f', "$maintain\@1", '-f', "$read\@4", $node->connstr('postgres') ], 'writers, readers, rebuilds, VACUUM and REINDEX');
is($node->safe_psql('postgres', 'SELECT count(*) FROM log'), 0, 'nobody has missed a row');
note('made, evicted, refused: ' . totals($node, "made || ' ' || evicted || ' ' || refused"));
is(totals($node, 'replaced'), 0, 'nobody uses a copy that was replaced');
sound($node, 'postgres', 'the indexes are sound', 'r1_k', 'r2_k', 'r3_k');
indexes_agree($node, 'postgres', 'and find every row', map { [ "r$_", 'k', "r${_}_k" ] } 1 .. 3);
$node->safe_psql('postgres', 'DROP TABLE t, r1, r2, r3');
is(copies($node), '0+0', 'no copy is left');
is(totals($node, 'used'), 0, 'nor any memory');
log_lacks($node, 'PANIC|TRAP|is retired', 'nothing bad in the log');

# ---- off, and not preloaded ----

my $off = qq{SET client_min_messages = warning; CREATE TABLE o (k bigint); INSERT INTO o SELECT hashint8extended(g, 0) FROM generate_series(1, 50000) g;
CREATE INDEX o_k ON o USING kyro_rmi (k); $index_scans } . look_up('o', 5000) . q{; SELECT size IS NULL AND made IS NULL FROM kyro.shared_directories(); SELECT kyro.shared_directory_bytes('o_k'::regclass) IS NULL;} . "$own; DROP TABLE o";
sub off { return $_[0]->safe_psql('postgres', $off) =~ s/(\d+)$/$1 > 1000 ? 'own' : 'none'/er; }

$node->append_conf('postgresql.conf', 'kyro.shared_directories = 0');
$node->restart;
is(off($node), "5000\nt\nt\nown", 'without shared memory each session has its own');
$node->stop;
my $late = new_node('late', preload => 0, conf => "kyro.shared_directories = '1MB'\n");
$late->safe_psql('postgres', 'CREATE EXTENSION kyrodb');
is(off($late), "5000\nt\nt\nown", 'and where the library is loaded late');
$late->stop;
done_testing();
