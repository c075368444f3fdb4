# Seals beside writers: unique checks that come between the steps of a seal; CALL
# kyro.seal, cancelled and repeated; and a load of transfers, rows that are deleted and inserted again,
# upserts, children and readers of both isolation levels, with seals and VACUUM back to
# back, sealed rows moved about, a standby, and the server killed in the middle: sums and counts are right in every
# snapshot.  KYRO_SECONDS is how long each load takes.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use Test::More;
use Time::HiRes qw(usleep);

my $seconds = $ENV{KYRO_SECONDS} // 6;
my $node = new_node('seal_online', init => [ allows_streaming => 1, extra => ['--data-checksums'] ],
	conf => "max_connections = 40\ntrack_commit_timestamp = on\n");

sub sql { return $node->safe_psql('postgres', $_[0]); }

# ---- a unique check in the middle of a seal ----
SKIP:
{
	skip 'needs a build with DEBUG_POINTS=1', 1 unless has_debug_points($node);
	sql('CREATE EXTENSION kyrodb');
	my %tables = (btree => 'PRIMARY KEY (id)', kyro_rmi => undef, hash => 'EXCLUDE USING hash (id WITH =)', gist => 'EXCLUDE USING gist (int4range(id, id, \'[]\') WITH &&)');

	foreach my $am (sort keys %tables)
	{
		my $control = $node->background_psql('postgres');
		my $sealer = $node->background_psql('postgres');
		my $writer = $node->background_psql('postgres', on_error_stop => 0);
		my $pid = $writer->query_safe('SELECT pg_backend_pid()');
		my $ready = "SELECT query LIKE '%returned%' OR (query LIKE 'INSERT%' AND coalesce(wait_event IN ('transactionid', 'Extension'), false)) FROM pg_stat_activity WHERE pid = $pid";

		sql("CREATE TABLE u_$am (id int, n int" . ($tables{$am} ? ", $tables{$am}" : '') . ") USING kyro WITH (autovacuum_enabled = off)");
		sql("CREATE UNIQUE INDEX ON u_$am USING kyro_rmi (id)") if $am eq 'kyro_rmi';
		sql("INSERT INTO u_$am SELECT g, 0 FROM generate_series(1, 100) g");

		# the writer stops after a row that it has found to be nobody's
		$control->query_safe("SELECT pg_advisory_lock(hashtextextended('$_', 0))") foreach 'seal-indexed', 'dirty-unseen';
		send_query($sealer, "SELECT 'sealed ' || rows FROM kyro.snapshot('u_$am');");
		ok($node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'advisory')"), "$am: a seal, before its stamps");
		send_query($writer, "INSERT INTO u_$am VALUES (7, 1) RETURNING 'doubled'; SELECT 'returned';");
		ok($node->poll_query_until('postgres', $ready), "$am: an insert of a key that is there waits, or fails");
		$control->query_safe("SELECT pg_advisory_unlock(hashtextextended('seal-indexed', 0))");
		like($sealer->query_until(qr/sealed \d+/, ''), qr/sealed 100/, "$am: the seal goes on");
		ok($node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'u_$am'::regclass AND mode = 'ShareUpdateExclusiveLock')"), "$am: and commits");
		$control->query_safe("SELECT pg_advisory_unlock(hashtextextended('dirty-unseen', 0))");
		# it may have failed at once, and then told so already
		ok($node->poll_query_until('postgres', "SELECT state LIKE 'idle%' FROM pg_stat_activity WHERE pid = $pid"), "$am: the insert has ended");
		is(sql("SELECT count(*), count(DISTINCT id) FROM u_$am"), '100|100', "$am: no key is there twice");
		$_->quit foreach $control, $sealer, $writer;
	}
}

# ---- CALL kyro.seal ----
sql('CREATE EXTENSION IF NOT EXISTS kyrodb');
sql(q{CREATE TABLE c (id int PRIMARY KEY, v text) USING kyro WITH (autovacuum_enabled = off);
INSERT INTO c SELECT g, 'old' FROM generate_series(1, 5000) g});
my ($rc, $out, $err) = $node->psql('postgres', q{CALL kyro.seal('c', older_than => '1 hour')});
is($rc, 0, 'nothing is as old');
like($err, qr/sealed 0 rows of "c", batches: 0/, 'so nothing is sealed');
# between those rows and the next there are some seconds
my $moment = sql("SELECT clock_timestamp() + interval '2 s'");
ok($node->poll_query_until('postgres', "SELECT clock_timestamp() > timestamptz '$moment' + interval '2 s'"), 'later');
sql(q{INSERT INTO c SELECT g, 'new' FROM generate_series(5001, 5100) g});
($rc, $out, $err) = $node->psql('postgres', "SELECT format('CALL kyro.seal(%L, batch => 1000, older_than => %L)', 'c', clock_timestamp() - timestamptz '$moment')\\gexec");
like($err, qr/sealed 5000 rows of "c", batches: \d/, 'rows from before a moment');
is(sql("SELECT log_rows FROM kyro.stat_tables WHERE relname = 'c'"), '100', 'the others are in the log');
($rc, $out, $err) = $node->psql('postgres', q{SET default_transaction_isolation = 'serializable'; CALL kyro.seal('c')});
like($err, qr/sealed 100 rows/, 'whatever the default isolation level');
foreach my $case (["CALL kyro.seal('c', 0)", 'batch must be greater than 0'], ["CALL kyro.seal('c', NULL)", 'batch must not be null'], ["CALL kyro.seal(NULL)", 'tbl must not be null'],
	["CALL kyro.seal('c', older_than => '-1 day')", 'older_than must not be negative'], ["CALL kyro.seal('pg_class')", 'is not a table of access method kyro'],
	["BEGIN; CALL kyro.seal('c')", 'cannot run inside a transaction block'], ["SET default_transaction_read_only = on; CALL kyro.seal('c')", 'in a read-only transaction'])
{
	($rc, $out, $err) = $node->psql('postgres', $case->[0]);
	like($err, qr/$case->[1]/, $case->[0]);
}
SKIP:
{
	skip 'needs a build with DEBUG_POINTS=1', 1 unless has_debug_points($node);
	my $control = $node->background_psql('postgres');
	my $sealer = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $sealer->query_safe('SELECT pg_backend_pid()');

	sql(q{INSERT INTO c SELECT g, 'x' FROM generate_series(10001, 15000) g});
	$control->query_safe("SELECT pg_advisory_lock(hashtextextended('seal-batch-done', 0))");
	send_query($sealer, "CALL kyro.seal('c', 1000); SELECT 'returned';");
	ok($node->poll_query_until('postgres', "SELECT wait_event = 'advisory' FROM pg_stat_activity WHERE pid = $pid"), 'between two batches');
	is(sql("SELECT count(*) FROM pg_locks WHERE pid = $pid AND relation IS NOT NULL"), '0', 'nothing is locked');
	sql('VACUUM c');
	my $sealed = sql("SELECT sealed_rows FROM kyro.stat_tables WHERE relname = 'c'");
	cmp_ok($sealed, '>', 5100, 'one batch is sealed');
	sql("SELECT pg_cancel_backend($pid)");
	returned($sealer);
	is(sql("SELECT sealed_rows FROM kyro.stat_tables WHERE relname = 'c'"), $sealed, 'and stays so when it is cancelled');
	$control->query_safe("SELECT pg_advisory_unlock(hashtextextended('seal-batch-done', 0))");
	($rc, $out, $err) = $node->psql('postgres', q{CALL kyro.seal('c', 1000)});
	is(sql("SELECT log_rows, sealed_rows FROM kyro.stat_tables WHERE relname = 'c'"), '0|10100', 'the next call takes the rest');
	$_->quit foreach $control, $sealer;
}
is(sql("SELECT count(*), count(DISTINCT id) FROM c"), has_debug_points($node) ? '10100|10100' : '5100|5100', 'all are there');

# ---- load ----
sql(q{
CREATE TABLE acc (id int PRIMARY KEY, num int NOT NULL, n int NOT NULL) USING kyro WITH (autovacuum_enabled = off);
CREATE UNIQUE INDEX acc_num ON acc USING kyro_rmi (num);
CREATE INDEX acc_n ON acc (n);
CREATE TABLE queue (key int, n int) USING kyro WITH (autovacuum_enabled = off);
CREATE UNIQUE INDEX queue_key ON queue USING kyro_rmi (key);
CREATE TABLE hits (key int PRIMARY KEY, n int NOT NULL) USING kyro WITH (autovacuum_enabled = off);
CREATE TABLE hit (key int, id serial) USING kyro WITH (autovacuum_enabled = off);
CREATE TABLE child (id bigserial PRIMARY KEY, pid int NOT NULL REFERENCES acc) USING kyro WITH (autovacuum_enabled = off);
INSERT INTO acc SELECT g, g, 100 FROM generate_series(1, 2000) g;
INSERT INTO queue SELECT g, 0 FROM generate_series(1, 2000) g;

-- one snapshot, several ways through the tables
CREATE FUNCTION problem() RETURNS text STABLE LANGUAGE plpgsql AS $$
DECLARE a text; b text;
BEGIN
	SELECT concat_ws(' ', count(*), count(DISTINCT id), sum(n)) INTO a FROM acc;
	b := '2000 2000 200000';
	IF a <> b THEN RETURN format('acc: %s, not %s', a, b); END IF;
	SELECT concat_ws(' ', count(*), count(DISTINCT num), sum(n)) INTO a FROM acc WHERE num BETWEEN 1 AND 2000;
	IF a <> b THEN RETURN format('acc by num: %s, not %s', a, b); END IF;
	SELECT concat_ws(' ', count(*), count(DISTINCT key)) INTO a FROM queue WHERE key > 0;
	IF a <> '2000 2000' THEN RETURN format('queue: %s', a); END IF;
	SELECT concat_ws(' ', sum(n), count(*)) INTO a FROM hits;
	SELECT concat_ws(' ', nullif(count(*), 0), count(DISTINCT key)) INTO b FROM hit;
	IF a <> b THEN RETURN format('hits: %s, not %s', a, b); END IF;
	SELECT count(*) INTO a FROM child WHERE NOT EXISTS (SELECT FROM acc WHERE acc.id = pid);
	IF a <> '0' THEN RETURN format('child: %s orphans', a); END IF;
	RETURN NULL;
END $$;
CREATE FUNCTION check_all() RETURNS void STABLE LANGUAGE plpgsql AS $$
DECLARE p text := problem();
BEGIN IF p IS NOT NULL THEN RAISE EXCEPTION 'wrong: %', p; END IF; END $$;
});

my $dir = PostgreSQL::Test::Utils::tempdir;
my %scripts = (
	transfer => [ 4, q{\set a random(1, 1999)
\set b random(:a + 1, 2000)
BEGIN;
UPDATE acc SET n = n - 1 WHERE id = :a;
UPDATE acc SET n = n + 1 WHERE num = :b;
COMMIT;} ],
	requeue => [ 3, q{\set a random(1, 2000)
BEGIN;
SELECT pg_advisory_xact_lock(:a);
DELETE FROM queue WHERE key = :a;
INSERT INTO queue VALUES (:a, :client_id);
COMMIT;} ],
	upsert => [ 3, q{\set a random_gaussian(1, 3000, 4.0)
BEGIN;
INSERT INTO hits VALUES (:a, 1) ON CONFLICT (key) DO UPDATE SET n = hits.n + 1;
INSERT INTO hit VALUES (:a);
COMMIT;} ],
	nothing => [ 1, q{\set a random(1, 2000)
INSERT INTO queue VALUES (:a, 0) ON CONFLICT DO NOTHING;} ],
	child => [ 2, q{\set a random(1, 2000)
INSERT INTO child (pid) VALUES (:a);
DELETE FROM child WHERE id IN (SELECT id FROM child WHERE pid = :a LIMIT 1);} ],
	lock => [ 1, q{\set a random(1, 2000)
BEGIN;
SELECT n FROM acc WHERE id = :a FOR KEY SHARE;
UPDATE acc SET n = n WHERE id = :a;
ROLLBACK;} ],
	move => [ 1, q{\set a random(1, 2000)
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE acc SET n = n + 1 WHERE id = :a;
UPDATE acc SET n = n - 1 WHERE id = :a;
COMMIT;} ],
	read => [ 1, q{SELECT check_all();
SET enable_seqscan = off;
SELECT check_all();
RESET enable_seqscan;} ],
	repeat => [ 1, q{BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT check_all();
SET LOCAL enable_seqscan = off;
SET LOCAL enable_indexscan = off;
SELECT check_all();
COMMIT;} ]);
my %seals = (
	seal => [ 3, join("\n", map { "CALL kyro.seal('$_', 500);" } qw(acc queue hits hit child)) ],
	compact => [ 2, join("\n", map { "CALL kyro.compact('$_', 500);" } qw(acc queue hits hit child)) ],
	part => [ 2, join("\n", map { "SELECT kyro.snapshot('$_', 700);" } qw(acc queue hits hit child)) ],
	vacuum => [ 2, 'VACUUM (INDEX_CLEANUP ON) acc, queue, hits, hit, child;' ]);

sub options
{
	my ($scripts) = @_;
	my @options;

	foreach my $name (sort keys %$scripts)
	{
		my $file = "$dir/$name.sql";
		my $fh;

		open($fh, '>', $file) or die $!;
		print $fh $scripts->{$name}[1], "\n";
		close($fh);
		push @options, '-f', "$file\@$scripts->{$name}[0]";
	}
	return @options;
}

sub start
{
	my ($on, $clients, $scripts, @more) = @_;
	my %h = (out => '', err => '');

	$h{run} = IPC::Run::start([ 'pgbench', '-n', '-c', $clients, '-j', 2, '-T', $seconds, '--max-tries', 1000, @more,
		options($scripts), '-h', $on->host, '-p', $on->port, 'postgres' ], '>', \$h{out}, '2>', \$h{err});
	return \%h;
}

# What a load has met; tolerant of a server that went away.
sub finish
{
	my ($h, $name, $killed) = @_;

	$h->{run}->finish;
	my @errors = grep { /error|fatal|panic|wrong/i && !($killed && /terminat|recovery|shutting|connect|backend died|Run was aborted/) } split /\n/, $h->{err};
	is(join("\n", @errors), '', "$name met nothing unexpected");
	like($h->{out}, qr/processed: [1-9]/, "$name was at work");
	note("$name: $1 transactions") if $h->{out} =~ /processed: (\d+)/;
}

# Start after a kill: processes of before may take a while to notice.
sub started
{
	foreach my $try (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if $node->start(fail_ok => 1);
		$node->stop('immediate', fail_ok => 1);
		usleep(100_000);
	}
	return 0;
}

sub is_sound
{
	my ($on, $when) = @_;

	is($on->safe_psql('postgres', 'SELECT problem()'), '', "$when: sums and counts are right");
	is($on->safe_psql('postgres', q{SELECT t, v.* FROM unnest(ARRAY['acc', 'queue', 'hits', 'hit', 'child']) t, kyro.verify(t::regclass, deep => true) v}), '', "$when: tables and indexes are sound");
}

$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('seal_online_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\nmax_standby_streaming_delay = -1\n");
$standby->start;

my @loads = ([ start($node, 8, \%scripts), 'the load' ], [ start($node, 1, \%seals), 'seals' ],
	[ start($standby, 2, { map { $_ => $scripts{$_} } qw(read repeat) }), 'readers on a standby' ]);
finish(@$_) foreach @loads;
is_sound($node, 'after the load');
foreach my $table (qw(acc queue hits hit child))
{
	like($loads[1][0]{err}, qr/sealed [1-9]\d* rows of "$table"/, "with seals of $table") if $table ne 'child';
	like($loads[1][0]{err}, qr/moved [1-9]\d* rows of "$table"/, "and rows of $table moved") if $table =~ /^(acc|queue)$/;
}
my $state = q{SELECT string_agg(sum, ' ' ORDER BY sum) FROM (SELECT 'acc ' || md5(string_agg(a::text, ' ' ORDER BY id)) AS sum FROM acc a
	UNION ALL SELECT 'queue ' || md5(string_agg(a::text, ' ' ORDER BY key)) FROM queue a
	UNION ALL SELECT 'hits ' || md5(string_agg(a::text, ' ' ORDER BY key)) FROM hits a
	UNION ALL SELECT 'child ' || md5(string_agg(a::text, ' ' ORDER BY id)) FROM child a) x};
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $state), sql($state), 'the standby has the same rows');
is_sound($standby, 'standby');

# ---- a crash in the middle ----
foreach my $crash (1 .. $ENV{KYRO_ROUNDS} // 1)
{
	my $enough = sql("SELECT pg_current_wal_insert_lsn() + 8000000");

	@loads = ([ start($node, 8, \%scripts), 'the load', 1 ], [ start($node, 1, \%seals), 'seals', 1 ]);
	ok($node->poll_query_until('postgres', "SELECT pg_current_wal_insert_lsn() > '$enough'"), 'at work');
	sql('CHECKPOINT') if $crash % 2;
	$node->kill9;
	finish(@$_) foreach @loads;
	ok(started(), 'recovered');
	is_sound($node, "after crash $crash");
	sql("SELECT kyro.snapshot('$_')") foreach qw(acc queue hits hit child);
	sql("CALL kyro.compact('$_')") foreach qw(acc queue hits hit child);
	sql('VACUUM (INDEX_CLEANUP ON) acc, queue, hits, hit, child');
	is_sound($node, "sealed after crash $crash");
	$node->wait_for_catchup($standby);
	is($standby->safe_psql('postgres', $state), sql($state), 'the standby has the same rows');
}
$standby->stop;
$node->stop;
done_testing();
