# Random changes of three tables that keep a history by several sessions, with epochs in between, each
# with a copy of the tables by the same snapshot: as of every epoch each table is what the copy is,
# over crashes, seals and changes of columns, on the primary and on a standby.
# KYRO_PAST_SECONDS=3600 makes it an hour.
use strict;
use warnings;
use EventLoad;
use KyroTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{KYRO_PAST_SECONDS} // 12;
my $rounds = $seconds < 60 ? 4 : int($seconds / 15);
my $conf = q{
max_connections = 40
max_prepared_transactions = 20
restart_after_crash = on
track_commit_timestamp = on
max_standby_streaming_delay = 1s
};
my $primary = new_node('past_primary', init => [ allows_streaming => 1 ], conf => $conf);

$primary->safe_psql('postgres', q{
CREATE EXTENSION kyrodb;
-- with a key, without one, and in partitions
CREATE TABLE a (id int PRIMARY KEY, n int, v text) USING kyro;
CREATE TABLE b (n int, v text);
CREATE TABLE c (id int PRIMARY KEY, n int, v text) PARTITION BY RANGE (id);
CREATE TABLE c1 PARTITION OF c FOR VALUES FROM (0) TO (150);
CREATE TABLE c2 (v text, dropped int, n int, id int NOT NULL) USING kyro;
ALTER TABLE c2 DROP COLUMN dropped;
ALTER TABLE c ATTACH PARTITION c2 FOR VALUES FROM (150) TO (1000);
INSERT INTO a SELECT i, i, 'first' FROM generate_series(1, 200) i;
INSERT INTO b SELECT i % 20, 'first' FROM generate_series(1, 200) i;
INSERT INTO c SELECT i, i, 'first' FROM generate_series(1, 200) i;
SELECT kyro.keep_history(t, '1 day') FROM unnest(ARRAY['a', 'b', 'c']::regclass[]) t;
CREATE TABLE copy_a (e int, id int, n int, v text);
CREATE TABLE copy_b (e int, n int, v text);
CREATE TABLE copy_c (e int, id int, n int, v text);
CREATE SEQUENCE epochs;
CREATE PROCEDURE wait(seconds float8) LANGUAGE sql AS 'SELECT pg_sleep(seconds)';

-- how many rows are in one and not in the other
CREATE FUNCTION differ(epoch int) RETURNS bigint LANGUAGE sql STABLE AS $$
	SELECT count(*) FROM (
		SELECT sum(s) FROM (
			SELECT 'a', id, n, v, 1 AS s FROM kyro.as_of(NULL::a, 'e' || epoch) UNION ALL SELECT 'a', id, n, v, -1 FROM copy_a WHERE e = epoch
			UNION ALL SELECT 'b', 0, n, v, 1 FROM kyro.as_of(NULL::b, 'e' || epoch) UNION ALL SELECT 'b', 0, n, v, -1 FROM copy_b WHERE e = epoch
			UNION ALL SELECT 'c', id, n, v, 1 FROM kyro.as_of(NULL::c, 'e' || epoch) UNION ALL SELECT 'c', id, n, v, -1 FROM copy_c WHERE e = epoch
		) AS x (t, id, n, v, s) GROUP BY t, id, n, v HAVING sum(s) <> 0) d
$$;
});

$primary->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('past_standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->start;

my $change = q{
\set t random(1, 3)
\set way random(1, 7)
\set id random(1, 300)
\set to random(1, 300)
\set n random(1, 30)
};
# a row of one of the tables; errors of unique keys and deadlocks are a way to be rolled back
my $statement = q{
\if :t = 1
\if :way <= 2
INSERT INTO a VALUES (:id, :n, 'put') ON CONFLICT (id) DO UPDATE SET n = excluded.n, v = 'put again';
\elif :way = 3
MERGE INTO a USING (SELECT :id AS id) s ON a.id = s.id WHEN MATCHED AND a.n % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = 'merged' WHEN NOT MATCHED THEN INSERT VALUES (s.id, :n, 'merge');
\elif :way = 4
UPDATE a SET id = :to WHERE id = :id AND NOT EXISTS (SELECT FROM a WHERE id = :to);
\elif :way = 5
DELETE FROM a WHERE id = :id;
\else
UPDATE a SET n = n + 1 WHERE id BETWEEN :id AND :id + 3;
\endif
\elif :t = 2
\if :way <= 3
INSERT INTO b SELECT :n, repeat('x', i) FROM generate_series(1, 3) i;
\elif :way <= 5
DELETE FROM b WHERE ctid IN (SELECT ctid FROM b WHERE n = :n LIMIT 3);
\else
UPDATE b SET n = :n WHERE n = :to / 10;
\endif
\else
\if :way <= 3
INSERT INTO c VALUES (:id, :n, 'put') ON CONFLICT (id) DO UPDATE SET n = excluded.n, v = 'put again';
\elif :way <= 5
UPDATE c SET id = :to WHERE id = :id AND NOT EXISTS (SELECT FROM c WHERE id = :to);
\else
DELETE FROM c WHERE id = :id;
\endif
\endif
};
my %scripts = (
	one => [ 6, $change . $statement ],
	some => [ 3, "$change\\set end random(1, 3)\nBEGIN;\n$statement\\sleep :n ms\n$change$statement\\if :end = 1\nROLLBACK;\n\\else\nCOMMIT;\n\\endif\n" ],
	savepoint => [ 2, "BEGIN;\n$change$statement" . "SAVEPOINT s;\n$change$statement\\sleep :n ms\nROLLBACK TO s;\n$change$statement" . "SAVEPOINT s;\n$change$statement" . "COMMIT;\n" ],
	serializable => [ 1, "BEGIN ISOLATION LEVEL SERIALIZABLE;\n$change$statement$change$statement" . "COMMIT;\n" ],
	twophase => [ 1, "BEGIN;\n$change$statement" . "PREPARE TRANSACTION 'past_:client_id';\n\\sleep :n ms\n\\if :way < 3\nROLLBACK PREPARED 'past_:client_id';\n\\else\nCOMMIT PREPARED 'past_:client_id';\n\\endif\n" ],
	seal => [ 1, "\\set t random(1, 4)\n\\sleep 50 ms\n\\if :t = 1\nSELECT count(*) FROM (SELECT kyro.snapshot('a')) x;\n\\elif :t = 2\nSELECT count(*) FROM (SELECT kyro.snapshot('a_changes')) x;\n\\elif :t = 3\nVACUUM a;\n\\else\nVACUUM a_changes;\n\\endif\n" ],
	truncate => [ 1, "\\sleep 400 ms\n\\set t random(1, 3)\n\\if :t = 1\nTRUNCATE b;\n\\elif :t = 2\nTRUNCATE c1;\n\\else\nTRUNCATE c;\n\\endif\n" ]);
# (TRUNCATE takes rows away from snapshots that are older: it must not come between snapshot and copy.)
my $epoch = q{
\sleep 150 ms
SELECT nextval('epochs') AS e \gset
BEGIN ISOLATION LEVEL REPEATABLE READ;
LOCK TABLE a, b, c IN ACCESS SHARE MODE;
SELECT kyro.create_epoch('e:e');
INSERT INTO copy_a SELECT :e, id, n, v FROM a;
INSERT INTO copy_b SELECT :e, n, v FROM b;
INSERT INTO copy_c SELECT :e, id, n, v FROM c;
COMMIT;
};
$epoch =~ s/kyro\.create_epoch\('e:e'\)/kyro.create_epoch('e' || :e)/;
my $dir = PostgreSQL::Test::Utils::tempdir();
my @files;

foreach my $name (sort keys %scripts)
{
	append_to_file("$dir/$name.sql", $scripts{$name}[1]);
	push @files, '-f', "$dir/$name.sql\@$scripts{$name}[0]";
}
append_to_file("$dir/epoch.sql", $epoch);

# On the standby, where replay may have to end a query that is in its way.
sub on_standby
{
	my ($sql) = @_;

	for (1 .. 50)
	{
		my ($rc, $out, $err) = $standby->psql('postgres', $sql);

		return $out if $rc == 0;
		die $err if $err !~ /conflict with recovery|terminating connection|server closed/;
		usleep(100_000);
	}
	die 'replay is always in the way';
}

# what other sessions explain
my $explained = qr/duplicate key|deadlock detected|could not serialize|could not access status|in use|does not exist|current transaction is aborted/;
my $problems = '';

# Of epochs in some order, which differ; and whether there are any.
sub differing
{
	my ($which) = @_;

	return qq{SELECT string_agg(name || ': ' || d, ', ') FILTER (WHERE d <> 0), count(*) > 0 FROM (SELECT name, differ(substr(name, 2)::int) AS d FROM (SELECT * FROM kyro.epochs $which) e OFFSET 0) x};
}

my $all = differing('');
my $recent = differing('ORDER BY made_at DESC LIMIT 3');
my $some = differing('ORDER BY random() LIMIT 6');

for my $round (1 .. $rounds)
{
	my @load = map { load_start($primary, $round == $rounds ? int($seconds / $rounds) : 3600, '--max-tries=1', @$_) } [ '-c', 10, '-j', 1, @files ], [ '-c', 1, '-f', "$dir/epoch.sql" ];
	my $until = time() + $seconds / $rounds;
	my ($looked, $standby_looked) = (0, 0);

	if ($round < $rounds)
	{
		while (time() < $until)
		{
			# while the load is on
			like($primary->safe_psql('postgres', $recent), qr/^\|/, "round $round: as of the last epochs, under load") if $looked++ < 2;
			like(on_standby($recent), qr/^\|/, "round $round: the same on the standby") if $standby_looked++ < 2;
			usleep(100_000);
		}
		if ($round == 2)
		{
			$primary->safe_psql('postgres', q{ALTER TABLE a ADD COLUMN more int DEFAULT 7; ALTER TABLE c ADD COLUMN more text DEFAULT 'm'; ALTER TABLE a ADD COLUMN less text});
		}
		elsif ($round == 3)
		{
			$primary->safe_psql('postgres', q{ALTER TABLE a DROP COLUMN more});
		}
		load_crash($round, $primary, $standby);
		$problems .= load_end($explained, @load);
		$primary->poll_query_until('postgres', 'SELECT true') or die 'no recovery';
		settle_prepared($primary);
	}
	else
	{
		$problems .= load_end($explained, @load);
	}
	is($primary->safe_psql('postgres', $some), '|t', "round $round: as of some epochs");
}
is($primary->safe_psql('postgres', $all), '|t', 'as of all epochs');
is($problems, '', 'nobody met an error that neither a crash nor another session explains');
settle_prepared($primary);
my $n = $primary->safe_psql('postgres', q{SELECT count(*) FROM a_changes});
my $epochs = $primary->safe_psql('postgres', q{SELECT count(*) FROM kyro.epochs});
cmp_ok($n, '>', 300, "$n changes of table a, $epochs epochs");
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
is(on_standby($all), '|t', 'as of all epochs, on the standby');

# By time: what was committed by then, to the microsecond of a commit and of the moment before.  (b is not truncated alone here.)
is($primary->safe_psql('postgres', q{
	CREATE TABLE timed (id int PRIMARY KEY);
	SELECT kyro.keep_history('timed', '1 day');
	INSERT INTO timed VALUES (1);
	INSERT INTO timed VALUES (2);
	DELETE FROM timed WHERE id = 1;
	SELECT string_agg((SELECT string_agg(id::text, ',' ORDER BY id) FROM kyro.as_of(NULL::timed, pg_xact_commit_timestamp(xid::xid) - d)), ' ' ORDER BY c."offset", d DESC)
	FROM timed_changes c, (VALUES (interval '0'), (interval '1 microsecond')) AS v(d)
}) =~ s/^timed_changes\n//r, '1 1 1,2 1,2 2', 'by time');

# back to the first epoch, and forth again
$primary->safe_psql('postgres', q{SELECT kyro.create_epoch('last'); CREATE TABLE last_a AS TABLE a; CREATE TABLE last_b AS TABLE b; CREATE TABLE last_c AS TABLE c});
my $first = $primary->safe_psql('postgres', q{SELECT name FROM kyro.epochs ORDER BY made_at LIMIT 1});
$primary->safe_psql('postgres', qq{SELECT kyro.restore_to(t, '$first', dry_run => false) FROM unnest(ARRAY['a', 'b', 'c']::regclass[]) t});
my $number = substr($first, 1);
is($primary->safe_psql('postgres', qq{
	SELECT count(*) FROM (
		(SELECT id, n, v FROM a EXCEPT ALL SELECT id, n, v FROM copy_a WHERE e = $number) UNION ALL (SELECT id, n, v FROM copy_a WHERE e = $number EXCEPT ALL SELECT id, n, v FROM a)
		UNION ALL (SELECT id, n, v FROM c EXCEPT ALL SELECT id, n, v FROM copy_c WHERE e = $number) UNION ALL (SELECT id, n, v FROM copy_c WHERE e = $number EXCEPT ALL SELECT id, n, v FROM c)
		UNION ALL (SELECT 0, n, v FROM b EXCEPT ALL SELECT 0, n, v FROM copy_b WHERE e = $number) UNION ALL (SELECT 0, n, v FROM copy_b WHERE e = $number EXCEPT ALL SELECT 0, n, v FROM b)) x}), '0', 'restored to the first epoch');
$primary->safe_psql('postgres', q{SELECT kyro.restore_to(t, 'last', dry_run => false) FROM unnest(ARRAY['a', 'b', 'c']::regclass[]) t});
is($primary->safe_psql('postgres', q{
	SELECT count(*) FROM (SELECT 1 FROM (TABLE a EXCEPT ALL TABLE last_a) x UNION ALL SELECT 1 FROM (TABLE last_a EXCEPT ALL TABLE a) x
		UNION ALL SELECT 1 FROM (TABLE c EXCEPT ALL TABLE last_c) x UNION ALL SELECT 1 FROM (TABLE last_c EXCEPT ALL TABLE c) x
		UNION ALL SELECT 1 FROM (TABLE b EXCEPT ALL TABLE last_b) x UNION ALL SELECT 1 FROM (TABLE last_b EXCEPT ALL TABLE b) x) d}), '0', 'and back to the last');
is($primary->safe_psql('postgres', q{DELETE FROM kyro.epochs WHERE name = 'last'; } . $all), '|t', 'and all epochs are what they were');

# a dump restored elsewhere, where xids begin from the start
my $other = new_node('past_other', conf => $conf);
command_ok([ 'pg_dump', '-Fc', '-f', "$dir/dump", $primary->connstr('postgres') ], 'pg_dump');
command_ok([ 'pg_restore', '-d', $other->connstr('postgres'), "$dir/dump" ], 'pg_restore');
is($other->safe_psql('postgres', $all), '|t', 'all epochs are what they were after a dump and restore');
$other->safe_psql('postgres', q{SELECT kyro.create_epoch('new'); CREATE TABLE last_new AS TABLE a; UPDATE a SET n = n + 1; DELETE FROM c; INSERT INTO b VALUES (1, 'new')});
is($other->safe_psql('postgres', q{SELECT count(*) FROM (SELECT * FROM kyro.as_of(NULL::a, 'new') EXCEPT ALL TABLE last_new) x}), '0', 'so is a new one');
is($other->safe_psql('postgres', q{DELETE FROM kyro.epochs WHERE name = 'new'; } . $all), '|t', 'after changes there, too');

is($primary->safe_psql('postgres', q{SELECT * FROM kyro.verify('a_changes', deep => true) UNION ALL SELECT * FROM kyro.verify('a', deep => true)}), '', 'the tables are sound');
$other->stop;
$standby->stop;
$primary->stop;
done_testing();
