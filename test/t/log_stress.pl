# 16 appenders, in all the ways in which transactions end, with readers, workers of a consumer
# and a reader on a standby: each is given every committed event once, in the order of
# offsets, over crashes.  KYRO_LOG_SECONDS=3600 makes it an hour.
use strict;
use warnings;
use EventLoad;
use KyroTest;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{KYRO_LOG_SECONDS} // 12;
my $rounds = $seconds < 60 ? 3 : int($seconds / 20);
my $readers = 8;
my $workers = 4;
my $conf = q{
max_connections = 60
max_prepared_transactions = 30
restart_after_crash = on
wal_compression = on
max_standby_streaming_delay = -1
};
my $primary = new_node('log_primary', init => [ allows_streaming => 1 ], conf => $conf);

$primary->safe_psql('postgres', q{
CREATE EXTENSION kyrodb;
SELECT kyro.create_log('ev');
-- what was committed, kept by other means
CREATE TABLE twin ("offset" bigint PRIMARY KEY);
CREATE TABLE answers (request int, "offset" bigint);
CREATE TABLE readers (id int PRIMARY KEY, next bigint NOT NULL DEFAULT 1);
CREATE TABLE seen (n bigint GENERATED ALWAYS AS IDENTITY, reader int, "offset" bigint);
CREATE TABLE handed (lease bigint, "offset" bigint);
CREATE TABLE done ("offset" bigint PRIMARY KEY);
INSERT INTO readers SELECT generate_series(0, 7);

CREATE FUNCTION add(n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. n LOOP
		INSERT INTO twin VALUES (kyro.append('ev', '{"n": 1}', key => i));
	END LOOP;
END $$;
CREATE FUNCTION add_batch(n int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO twin SELECT unnest(kyro.append_batch('ev', array_agg(to_jsonb(g)))) FROM generate_series(1, n) g
$$;
-- many ask for the same at the same time
CREATE FUNCTION add_request(r int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	request int := r + (extract(epoch FROM clock_timestamp()) * 5)::bigint % 1000000;
	o bigint := kyro.append('ev', to_jsonb(request), request_id => md5(request::text)::uuid);
BEGIN
	INSERT INTO twin VALUES (o) ON CONFLICT DO NOTHING;
	INSERT INTO answers VALUES (request, o);
END $$;
-- takes its time between the offset of an event and its row
CREATE FUNCTION late(seconds float8) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	PERFORM pg_sleep(seconds);
	RETURN '"late"';
END $$;

CREATE PROCEDURE read(me int) LANGUAGE plpgsql AS $$
DECLARE
	last bigint;
BEGIN
	-- before this transaction has an xid
	WITH r AS (SELECT "offset" FROM kyro.replay('ev', (SELECT next FROM readers WHERE id = me), NULL, 100)),
	i AS (INSERT INTO seen (reader, "offset") SELECT me, "offset" FROM r ORDER BY "offset" RETURNING "offset")
	SELECT max("offset") INTO last FROM i;
	IF last IS NOT NULL THEN
		UPDATE readers SET next = last + 1 WHERE id = me;
	END IF;
END $$;
-- consumes, and forgets it now and then
CREATE PROCEDURE work(forget float8, most int DEFAULT 20) LANGUAGE plpgsql AS $$
DECLARE
	mine bigint;
BEGIN
	WITH c AS (SELECT lease, "offset" FROM kyro.consume('ev', 'c', most, CASE WHEN most > 20 THEN interval '5 min' ELSE '2 s' END)),
	h AS (INSERT INTO handed SELECT * FROM c)
	SELECT max(lease) INTO mine FROM c;
	COMMIT;
	IF mine IS NULL OR random() < forget THEN
		RETURN;
	END IF;
	BEGIN
		INSERT INTO done SELECT "offset" FROM handed WHERE lease = mine;
		PERFORM kyro.ack('ev', 'c', mine);
	EXCEPTION WHEN object_not_in_prerequisite_state OR unique_violation THEN
		-- it took too long, and another one has them; who is the second to note an event done has lost his lease
		IF EXISTS (SELECT FROM ev_leases WHERE lease = mine) THEN
			RAISE;
		END IF;
	END;
END $$;
});

$primary->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('log_standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->start;

# ---- the load ----
my %scripts = (
	one => [ 4, q{SELECT add(1);} ],
	some => [ 2, q{
\set ms random(1, 10)
\set way random(1, 3)
BEGIN;
SELECT add(2);
\sleep :ms ms
\if :way = 1
ROLLBACK;
\else
COMMIT;
\endif
} ],
	savepoint => [ 2, q{
\set ms random(1, 5)
\set way random(1, 2)
BEGIN;
SELECT add(1);
SAVEPOINT a;
SELECT add(2);
\sleep :ms ms
\if :way = 1
ROLLBACK TO a;
\endif
SELECT add(1);
COMMIT;
} ],
	twophase => [ 1, q{
\set ms random(1, 30)
\set way random(1, 3)
BEGIN;
SELECT add(2);
PREPARE TRANSACTION 'ev_:client_id';
\sleep :ms ms
\if :way = 1
ROLLBACK PREPARED 'ev_:client_id';
\else
COMMIT PREPARED 'ev_:client_id';
\endif
} ],
	late => [ 3, q{
WITH e AS (INSERT INTO ev (payload) VALUES (late(0.004)) RETURNING "offset") INSERT INTO twin SELECT "offset" FROM e;
} ],
	batch => [ 1, q{SELECT add_batch(5);} ],
	request => [ 3, q{
\set r random(1, 20)
SELECT add_request(:r);
} ],
	unused => [ 1, q{SELECT nextval('ev_offset_seq');} ]);
my $dir = PostgreSQL::Test::Utils::tempdir();

sub script
{
	my ($name, $text) = @_;

	append_to_file("$dir/$name.sql", $text) if !-e "$dir/$name.sql";
	return "$dir/$name.sql";
}

sub start_load
{
	my ($time) = @_;

	return (
		load_start($primary, $time, '-c', 16, '-j', 1, map { ('-f', script($_, $scripts{$_}[1]) . '@' . $scripts{$_}[0]) } sort keys %scripts),
		load_start($primary, $time, '-c', $readers, '-j', 1, '-f', script('read', "\\sleep 15 ms\nCALL read(:client_id);\n")),
		load_start($primary, $time, '-c', $workers, '-j', 1, '-f', script('work', "\\sleep 15 ms\nCALL work(0.1);\n")));
}

# A reader on the standby, a process of its own.  It keeps what it was given in a file.
my $standby_file = "$dir/standby";
my $enough = "$dir/enough";
append_to_file($standby_file, '');
my $pid = fork() // die "fork: $!";
if ($pid == 0)
{
	my $next = 1;

	$SIG{PIPE} = 'IGNORE';
	until (-e $enough)
	{
		my ($rc, $out);

		# it may go away at any moment
		eval { ($rc, $out) = $standby->psql('postgres', qq{SELECT "offset" FROM kyro.replay('ev', $next, NULL, 500)}) };
		if (defined $rc && $rc == 0 && $out ne '')
		{
			append_to_file($standby_file, "$out\n");
			$next = (split /\n/, $out)[-1] + 1;
		}
		usleep(30_000);
	}
	POSIX::_exit(0);
}

# whatever happens here, it ends
END { kill('TERM', $pid) if $pid; }

my $problems = '';
for my $round (1 .. $rounds)
{
	my @load = start_load($round == $rounds ? int($seconds / $rounds) : 3600);

	if ($round < $rounds)
	{
		my $until = time() + $seconds / $rounds;

		usleep(100_000) while time() < $until;
		load_crash($round, $primary, $standby);
		$problems .= load_end(qr/^$/, @load);
		$primary->poll_query_until('postgres', 'SELECT true') or die 'no recovery';
		settle_prepared($primary);
	}
	else
	{
		$problems .= load_end(qr/^$/, @load);
	}
}
is($problems, '', 'nobody met an error that no crash explains');
settle_prepared($primary);

# ---- all is read to the end ----
my $readers_ok = 1;
for my $i (0 .. $readers - 1)
{
	$readers_ok &&= $primary->poll_query_until('postgres', "CALL read($i); SELECT next > coalesce(kyro.last_offset('ev'), 0) FROM readers WHERE id = $i", "CALL\nt");
}
ok($readers_ok, 'all readers come to the end');
# (after an hour it is millions of events behind)
my $consumed = '';
for (1 .. 50_000)
{
	$consumed = $primary->safe_psql('postgres', q{CALL work(0, 5000); SELECT NOT EXISTS (SELECT FROM ev_leases) AND (SELECT position > kyro.last_offset('ev') FROM ev_consumers)});
	last if $consumed eq 't';
	usleep(10_000);
}
is($consumed, 't', 'so does the consumer');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
my $last = $primary->safe_psql('postgres', q{SELECT kyro.last_offset('ev')});
my $there = 0;
for (1 .. 1800)
{
	my @lines = split /\n/, slurp_file($standby_file);

	$there = @lines && $lines[-1] == $last and last;
	usleep(100_000);
}
ok($there, 'so does the reader on the standby');
append_to_file($enough, 'yes');
waitpid($pid, 0);
$pid = 0;

# ---- and it is what was committed ----
my $n = $primary->safe_psql('postgres', 'SELECT count(*) FROM ev');
cmp_ok($n, '>', 100, "$n events in $rounds rounds");
is($primary->safe_psql('postgres', q{SELECT count(*) FROM (SELECT "offset" FROM ev) e FULL JOIN twin t USING ("offset") WHERE e IS NULL OR t IS NULL}), '0', 'the log has what was committed');
is($primary->safe_psql('postgres', q{
	WITH truth AS (SELECT array_agg("offset" ORDER BY "offset") AS a FROM ev)
	SELECT string_agg(format('reader %s: %s of %s events', reader, count, cardinality(truth.a)), ', ')
	FROM (SELECT reader, count(*), array_agg("offset" ORDER BY n) AS a FROM seen GROUP BY reader) s, truth WHERE s.a <> truth.a}), '',
	'each reader was given every event once, in order');
is($primary->safe_psql('postgres', q{SELECT count(DISTINCT reader) FROM seen}), $readers, "all $readers of them");
is($primary->safe_psql('postgres', q{SELECT count(*) FROM ev e FULL JOIN done d USING ("offset") WHERE e.horizon IS NULL OR d IS NULL}), '0', 'the workers of a consumer have done every event once');
is($primary->safe_psql('postgres', q{SELECT count(*) > 0 FROM (SELECT 1 FROM handed GROUP BY "offset" HAVING count(*) > 1) x}), 't', 'and were handed again what was forgotten');
is(slurp_file($standby_file), $primary->safe_psql('postgres', q{SELECT "offset" FROM ev ORDER BY 1}) . "\n", 'on the standby, too');
is($primary->safe_psql('postgres', q{SELECT count(*) FROM (SELECT request FROM answers GROUP BY request HAVING count(DISTINCT "offset") > 1) x}), '0', 'all who sent a request were told the same offset');
is($primary->safe_psql('postgres', q{SELECT count(*) > 0 FROM (SELECT request FROM answers GROUP BY request HAVING count(*) > 1) x}), 't', 'and requests were sent more than once');
is($primary->safe_psql('postgres', q{SELECT kyro.stable_offset('ev') = kyro.last_offset('ev')}), 't', 'nothing is to come');
is($primary->safe_psql('postgres', q{SELECT * FROM kyro.verify('ev', deep => true)}), '', 'the table is sound');

$standby->stop;
$primary->stop;
done_testing();
