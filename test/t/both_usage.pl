# Statistics of use beyond one session: other sessions, parallel workers, a clean restart, a
# crash, a standby and its promotion, databases and relations that go, and the file they are in while
# the server is stopped, whatever is in it.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('usage', init => [ allows_streaming => 1, extra => [ '--no-locale', '--encoding=UTF8' ] ], conf => "restart_after_crash = on\nkyro.autopilot = off\nmax_parallel_workers = 4\nmax_prepared_transactions = 2\n");
$node->safe_psql('postgres', q{
CREATE EXTENSION kyrodb;
CREATE TABLE t (k bigint, v int);
INSERT INTO t SELECT g * 10, g FROM generate_series(1, 20000) g;
CREATE INDEX t_k ON t USING kyro_rmi (k);
CREATE TABLE s (k bigint) USING kyro;
INSERT INTO s SELECT generate_series(1, 3000);
SELECT kyro.snapshot('s');
VACUUM ANALYZE t;
});

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]); }

# A column of the views, of a relation.
sub column
{
	my ($rel, $column, $from) = @_;

	return ($from // $node)->safe_psql('postgres', qq{
SELECT $column FROM kyro.stat_indexes WHERE indexrelname = '$rel'}) if $rel =~ /_/;
	return ($from // $node)->safe_psql('postgres', qq{SELECT $column FROM kyro.stat_tables WHERE relname = '$rel'});
}

# Sessions of before may not have ended yet.
sub becomes
{
	my ($rel, $condition, $what, $from) = @_;
	my ($view, $name) = $rel =~ /_/ ? ('indexes', 'indexrelname') : ('tables', 'relname');

	ok(($from // $node)->poll_query_until('postgres', qq{SELECT $condition FROM kyro.stat_$view WHERE $name = '$rel'}), $what)
	  or diag(($from // $node)->safe_psql('postgres', qq{SELECT * FROM kyro.stat_$view WHERE $name = '$rel'}));
}

my $lookup = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT v FROM t WHERE k = 50;';

# ---- sessions ----
sql($lookup);
becomes('t_k', 'lookups = 1', 'what a session that has ended has counted');
my $session = $node->background_psql('postgres');
$session->query_safe($lookup);
becomes('t_k', 'lookups = 2', 'the first of a session is added at once');
is($session->query_safe(q{SELECT v FROM t WHERE k = 70; SELECT v FROM t WHERE k = 80; SELECT lookups FROM kyro.stat_indexes WHERE indexrelname = 't_k'}), "7\n8\n4", 'it sees its own');
is(column('t_k', 'lookups'), '4', 'looking adds them');
# many in a transaction, and while it is open
$session->query_safe('BEGIN; SELECT count((SELECT v FROM t WHERE k = g * 10 OFFSET 0)) FROM generate_series(1, 100) g');
is(column('t_k', 'lookups'), '4', 'others do not see those of an open transaction');
$session->query_safe('ROLLBACK');
$session->quit;
becomes('t_k', 'lookups = 104', 'nor must it commit');

# ---- parallel workers ----
sql('SELECT kyro.stat_reset()');
is(sql(q{
SET debug_parallel_query = on;
} x ($node->pg_version >= 16) . q{
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET min_parallel_index_scan_size = 0;
SET max_parallel_workers_per_gather = 2; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET enable_memoize = off;
SET enable_bitmapscan = off; SET parallel_leader_participation = off;
SELECT count(u.v) FROM t JOIN t u ON u.k = t.k WHERE t.v <= 5000;
}), '5000', 'a join by parallel workers');
becomes('t_k', 'lookups BETWEEN 5000 AND 5010', 'they count');

# ---- rollback of what was made, drops ----
sub entries { return sql('SELECT count(*) FROM pg_class c, kyro.index_counters(c.oid) i WHERE i.counted_since IS NOT NULL'); }
my $before = entries();
sql(q{BEGIN; CREATE TABLE gone (k int); CREATE INDEX gone_k ON gone USING kyro_rmi (k); INSERT INTO gone VALUES (1); ROLLBACK;});
is(entries(), $before, 'rolled back');
sql(q{CREATE TABLE gone (k int); CREATE INDEX gone_k ON gone USING kyro_rmi (k); INSERT INTO gone VALUES (1);
BEGIN; SAVEPOINT a; DROP TABLE gone; ROLLBACK TO a; COMMIT; BEGIN; DROP TABLE gone; ROLLBACK;});
becomes('gone_k', 'inserts_append = 1', 'a drop that is rolled back');
sql(q{BEGIN; DROP TABLE gone; PREPARE TRANSACTION 'drop'});
sql(q{ROLLBACK PREPARED 'drop'});
becomes('gone_k', 'inserts_append = 1', 'one that was prepared');
sql(q{BEGIN; CREATE TABLE made (k int); CREATE INDEX made_k ON made USING kyro_rmi (k); DROP TABLE gone; PREPARE TRANSACTION 'drop'});
sql(q{COMMIT PREPARED 'drop'});
is(sql(q{SELECT counted_since IS NOT NULL FROM kyro.stat_indexes WHERE indexrelname = 'made_k'}), 't', 'what was made and prepared is counted');
sql('DROP TABLE made');
# a commit that fails at its last step, of a transaction that has made an index
my ($pivot, $other) = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;
my $rolled_back;

sql('CREATE TABLE skew AS SELECT 1 AS n');
$_->query_safe('BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT sum(n) FROM skew; INSERT INTO skew VALUES (1)') foreach $pivot, $other;
$rolled_back = $pivot->query_safe(q{CREATE TABLE gone (k int); CREATE INDEX gone_k ON gone USING kyro_rmi (k); SELECT oid || ' ' || 'gone_k'::regclass::oid FROM pg_database WHERE datname = current_database()});
$other->query_safe('COMMIT');
$pivot->query('COMMIT');
is(sql(q{SELECT to_regclass('gone_k') IS NULL}), 't', 'the commit has failed');
$rolled_back = pack('LL', split(/ /, $rolled_back));
$_->quit foreach $pivot, $other;

# ---- look-ups while a rebuild runs ----
SKIP:
{
	skip 'built without DEBUG_POINTS=1', 6 if !has_debug_points($node);
	my ($holder, $rebuilder) = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;
	my $timed = "SET kyro.sample_rate = 1; $lookup";

	sql('SELECT kyro.stat_reset()');
	sql($timed);
	becomes('t_k', 'samples = 1 AND us_p50 > 0 AND rebuild_samples = 0', 'no rebuild runs');
	$holder->query_safe(q{SELECT pg_advisory_lock(hashtextextended('rmi-dir-tree', 0))});
	send_query($rebuilder, q{SELECT kyro.rebuild('t_k');});
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'page'});
	sql($timed);
	becomes('t_k', 'samples = 1 AND rebuild_samples = 1 AND rebuild_us_p50 > 0', 'one runs');
	$holder->query_safe('SELECT pg_advisory_unlock_all()');
	returned($rebuilder);
	sql($timed);
	becomes('t_k', 'samples = 2 AND rebuild_samples = 1', 'it has ended');
	# one that fails, in the middle of a transaction and at the end of the session
	$rebuilder->query(q{SET kyro.debug_error = 'rmi-dir-model'; SELECT kyro.rebuild('t_k');});
	sql($timed);
	becomes('t_k', 'samples = 3 AND rebuild_samples = 1', 'it has failed');
	# ... in a part of a transaction, which goes on without the lock
	$rebuilder->query(qq{BEGIN; SET LOCAL kyro.debug_error = 'rmi-dir-model'; DO \$\$ BEGIN PERFORM kyro.rebuild('t_k'); EXCEPTION WHEN OTHERS THEN END \$\$});
	sql($timed);
	becomes('t_k', 'samples = 4 AND rebuild_samples = 1', 'a part of its transaction was rolled back');
	$rebuilder->query('COMMIT');
	$holder->query_safe(q{SELECT pg_advisory_lock(hashtextextended('rmi-dir-tree', 0))});
	send_query($rebuilder, q{RESET kyro.debug_error; SELECT kyro.rebuild('t_k');});
	$node->poll_query_until('postgres', q{SELECT count(pg_terminate_backend(pid)) = 1 FROM pg_locks WHERE locktype = 'page'});
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'page'});
	sql($timed);
	becomes('t_k', 'samples = 5 AND rebuild_samples = 1', 'its session was ended');
	$holder->quit;
	eval { $rebuilder->quit };
}

# ---- a clean restart ----
sql("SELECT kyro.stat_reset()");
sql($lookup);
sql('SELECT count(*) FROM s');
becomes('t_k', 'lookups = 1', 'before a restart');
becomes('s', 'mmap_reads + buffer_reads > 0', 'reads of a table');
$node->psql('postgres', q{SELECT kyro.snapshot('s', -1)});
# the views read the table's pages
my $sums = q{SELECT to_jsonb(i) - '{idx_scan,idx_tup_read,idx_tup_fetch,idx_blks_read,idx_blks_hit,shared_directory_bytes}'::text[] FROM kyro.stat_indexes i UNION ALL SELECT to_jsonb(t) - '{mmap_reads,buffer_reads,verified_pages}'::text[] FROM kyro.stat_tables t};
my $stat = $node->data_dir . '/pg_stat/kyrodb.stat';
my $was = sql($sums);
ok(!-e $stat, 'no file while the server runs');
$node->stop;
ok(-e $stat, 'a file while it is stopped');
my $bytes = slurp_file($stat);
unlike($bytes, qr/\Q$rolled_back\E/, 'nothing in it of what was made by a transaction that could not commit');
$node->start;
ok(!-e $stat, 'none when it runs again');
is(sql($sums), $was, 'kept over a restart');
$node->restart;
is(sql($sums), $was, 'and another');

# ---- ends that are not clean ----
$node->stop('immediate');
ok(!-e $stat, 'no file after an immediate stop');
$node->start;
is(column('t_k', 'lookups'), '0', 'counting begins anew');
sql($lookup);
becomes('t_k', 'lookups = 1', 'counts go on');
my $pid = $node->background_psql('postgres', on_error_stop => 0);
my $backend = $pid->query_safe('SELECT pg_backend_pid()');
my $log_end = -s $node->logfile;
kill 'KILL', $backend;
# until the crash is noticed a query may succeed
$node->wait_for_log(qr/database system is ready to accept connections/, $log_end);
$node->poll_query_until('postgres', q{SELECT lookups = 0 FROM kyro.stat_indexes WHERE indexrelname = 't_k'});
is(column('t_k', 'lookups'), '0', 'after a crash, too');
eval { $pid->quit };
# a file that is there although the server was not shut down
sql($lookup);
$node->stop('immediate');
write_file($bytes);
$node->start;
is(column('t_k', 'lookups'), '0', 'an old file after a crash is not read');
ok(!-e $stat, 'and removed');

# ---- files of all kinds ----
sub write_file
{
	open my $f, '>:raw', $stat or die "$stat: $!";
	print $f $_[0];
	close $f;
}

sub crc32c
{
	my ($data) = @_;
	my @table = map { my $c = $_; $c = $c & 1 ? ($c >> 1) ^ 0x82F63B78 : $c >> 1 foreach 1 .. 8; $c } 0 .. 255;
	my $crc = 0xFFFFFFFF;

	$crc = $table[ ($crc ^ $_) & 0xFF ] ^ ($crc >> 8) foreach unpack('C*', $data);
	return $crc ^ 0xFFFFFFFF;
}

# The same header with another checksum: what a hand has made.
use constant { HEADER => 32, LAST_ERROR => 104 };
sub sealed
{
	my ($file) = @_;

	substr($file, 28, 4) = pack('L', crc32c(substr($file, HEADER) . substr($file, 0, 28)));
	return $file;
}
is(sealed($bytes), $bytes, 'we know the format');

sub changed { my ($file, $at, $new) = @_; substr($file, $at, length $new) = $new; return $file; }
my $entries = unpack('L', substr($bytes, 24, 4));
my $size = unpack('L', substr($bytes, 12, 4));
is(length $bytes, HEADER + $entries * $size, 'its size');
my ($table) = grep { unpack('L', substr($bytes, HEADER + $_ * $size + 8, 4)) == 2 } 0 .. $entries - 1;
my $at = HEADER + $table * $size;
my %files = (
	'empty' => [ '', 'another format' ],
	'short' => [ 'x', 'another format' ],
	'half a header' => [ substr($bytes, 0, 16), 'another format' ],
	'header only' => [ substr($bytes, 0, HEADER), 'its size' ],
	'cut off' => [ substr($bytes, 0, -1), 'its size' ],
	'cut between entries' => [ substr($bytes, 0, -$size), 'its size' ],
	'too long' => [ $bytes . 'x', 'its size' ],
	'noise' => [ join('', map { chr(int(rand(256))) } 1 .. 5000), 'another format' ],
	'another version' => [ sealed(changed($bytes, 8, pack('L', 99))), 'another version' ],
	'entries of another size' => [ sealed(changed($bytes, 12, pack('L', $size + 8))), 'another version' ],
	'another cluster' => [ sealed(changed($bytes, 16, pack('Q', 1))), 'another database cluster' ],
	'very many entries' => [ sealed(changed($bytes, 24, pack('L', 0xFFFFFFFF))), 'its size' ],
	'a bit in an entry' => [ changed($bytes, HEADER + 100, chr(ord(substr($bytes, HEADER + 100, 1)) ^ 4)), 'its checksum' ],
	'a bit in the checksum' => [ changed($bytes, 28, chr(ord(substr($bytes, 28, 1)) ^ 1)), 'its checksum' ],
	'no relation' => [ sealed(changed($bytes, HEADER + 4, pack('L', 0))), 'makes no sense' ],
	'no kind' => [ sealed(changed($bytes, HEADER + 8, pack('L', 7))), 'makes no sense' ],
	'an impossible time' => [ sealed(changed($bytes, HEADER + 16, pack('q', 0x7FFFFFFFFFFFFFF0))), 'makes no sense' ],
	'a text without end' => [ sealed(changed($bytes, $at + LAST_ERROR, 'x' x 160)), 'makes no sense' ],
);
my $log = -s $node->logfile;
$node->stop;
foreach my $name (sort keys %files)
{
	my ($file, $says) = @{ $files{$name} };

	write_file($file);
	$log = -s $node->logfile;
	$node->start;
	like(slurp_file($node->logfile, $log), qr/ignoring file "pg_stat\/kyrodb.stat": .*$says/, $name);
	ok(!-e $stat, "$name: it is removed");
	is(column('t_k', 'lookups'), '0', "$name: nothing of it is used");
	$node->stop;
}
# numbers may be any, and so may be what is in a text; of an entry that is there twice one is used
my $hostile = $bytes;
$hostile = changed($hostile, HEADER + $_ * $size + 24, "\xFF" x ($size - 24)) foreach grep { $_ != $table } 0 .. $entries - 1;
$hostile = changed($hostile, $at + LAST_ERROR, "\xFF\xFE" . "\0" x 158);
$hostile = changed($hostile, $at + LAST_ERROR - 8, pack('q', 1));
$hostile .= substr($hostile, HEADER, $size);
write_file(sealed(changed($hostile, 24, pack('L', $entries + 1))));
$node->start;
is(column('t_k', 'lookups'), '-1', 'numbers that nobody has counted are shown');
is(column('s', q{last_error_at > '2000-01-01', last_error IS NULL}), 't|t', 'a text in no encoding is not');
sql($lookup);
becomes('t_k', 'lookups = 0', 'and they are added to');
sql('SELECT kyro.stat_reset()');
is(column('t_k', 'lookups'), '0', 'and reset');
$node->stop;
# a directory in its place
unlink $stat;
mkdir $stat or die "$stat: $!";
$node->start;
is(column('t_k', 'lookups'), '0', 'no file, but a directory');
$node->stop;
rmdir $stat;
$node->start;

# ---- databases ----
sql('CREATE DATABASE other');
sql(q{CREATE EXTENSION kyrodb; CREATE TABLE t (k bigint); CREATE INDEX t_k ON t USING kyro_rmi (k); INSERT INTO t VALUES (1)}, 'other');
ok($node->poll_query_until('other', q{SELECT inserts_append = 1 FROM kyro.stat_indexes}), 'another database');
sql($lookup);
becomes('t_k', 'lookups = 1', 'this one');
sql('SELECT kyro.stat_reset()', 'other');
is(sql('SELECT inserts_append FROM kyro.stat_indexes', 'other'), '0', 'is reset there');
is(column('t_k', 'lookups'), '1', 'and not here');
my $oid = sql(q{SELECT oid FROM pg_database WHERE datname = 'other'});
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'other'});
sql('DROP DATABASE other');
$node->stop;
unlike(slurp_file($stat), qr/\A.{32}(?:.{$size})*?\Q@{[pack 'L', $oid]}\E/s, 'what was dropped is not in the file');
$node->start;

# ---- a standby counts its own ----
sql('SELECT kyro.stat_reset()');
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('usage_standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is(column('t_k', 'lookups', $standby), '0', 'a standby begins with nothing');
$standby->safe_psql('postgres', $lookup) foreach 1 .. 3;
becomes('t_k', 'lookups = 3', 'it counts', $standby);
is(column('t_k', 'lookups'), '0', 'for itself');
$standby->restart;
is(column('t_k', 'lookups', $standby), '3', 'kept over a restart of the standby');
$standby->safe_psql('postgres', 'SELECT kyro.stat_reset()');
is(column('t_k', 'lookups', $standby), '0', 'and reset there');
# dropped there by replay
$node->safe_psql('postgres', q{CREATE TABLE d (k bigint); INSERT INTO d VALUES (1); CREATE INDEX d_k ON d USING kyro_rmi (k)});
$node->wait_for_catchup($standby);
$standby->safe_psql('postgres', 'SET enable_seqscan = off; SELECT * FROM d WHERE k = 1');
becomes('d_k', 'lookups = 1', 'an index is used there', $standby);
$oid = $standby->safe_psql('postgres', q{SELECT 'd_k'::regclass::oid});
$node->safe_psql('postgres', 'DROP TABLE d');
$node->wait_for_catchup($standby);
$standby->stop;
like(slurp_file($standby->data_dir . '/pg_stat/kyrodb.stat'), qr/\Q@{[pack 'L', $oid]}\E/, 'replay does not tell of drops');
$standby->start;
$standby->promote;
$standby->append_conf('postgresql.conf', "kyro.autopilot = on\nkyro.autopilot_naptime = 1\n");
$standby->reload;
$standby->safe_psql('postgres', 'INSERT INTO t VALUES (5, 5)');
becomes('t_k', 'inserts_run + inserts_merge + inserts_append = 1', 'promoted, it goes on', $standby);
# a worker that finds something to do has swept before
$standby->safe_psql('postgres', q{INSERT INTO s SELECT generate_series(1, 2000); SELECT kyro.set_policy('s', seal_rows => 1000)});
ok($standby->poll_query_until('postgres', q{SELECT count(*) > 0 FROM kyro.stat_worker WHERE action = 'seal' AND finished IS NOT NULL}), 'a worker has come');
$standby->stop;
unlike(slurp_file($standby->data_dir . '/pg_stat/kyrodb.stat'), qr/\Q@{[pack 'L', $oid]}\E/, 'and what is gone is swept');
$standby->start;
$standby->stop;
$node->stop;

# ---- without preloading ----
my $plain = new_node('usage_plain', preload => 0);
$plain->safe_psql('postgres', q{CREATE EXTENSION kyrodb; CREATE TABLE t (k bigint); CREATE INDEX t_k ON t USING kyro_rmi (k); INSERT INTO t VALUES (1)});
is($plain->safe_psql('postgres', 'SELECT lookups IS NULL, inserts_append IS NULL, counted_since IS NULL FROM kyro.stat_indexes'), 't|t|t', 'not preloaded: nothing is counted');
my ($rc, $out, $err) = $plain->psql('postgres', 'SELECT kyro.stat_reset()');
like($err, qr/there are no statistics of use.*HINT:  Put kyrodb into shared_preload_libraries/s, 'nor is there something to reset');
$plain->stop;
done_testing();
