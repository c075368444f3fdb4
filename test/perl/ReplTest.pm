
=pod

=head1 NAME

ReplTest - twins under a load of pgbench, on clusters that replicate

=head1 DESCRIPTION

Table C<s> is a kyro table and C<h> its twin, a heap; both have a btree and two kyro_rmi
indexes, one of ascending and one of random keys.  Every statement of the load changes both in
the same way, and both parts see the same snapshot, so the twins are equal to any
snapshot on any node, and after any recovery.

=cut

package ReplTest;

use strict;
use warnings;
use IPC::Run;
use KyroTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Exporter 'import';

our @EXPORT = qw(repl_conf repl_setup repl_indexes load_start load_wait load_stop load_during
  repl_state repl_problems repl_agree catch_up);

=item repl_conf()

Settings of the clusters.  All resource managers' replay is compared; images are many, so
they are compressed, and small enough segments make restartpoints happen.

=cut

sub repl_conf
{
	return qq{
wal_consistency_checking = 'all'
wal_compression = on
max_connections = 30
max_wal_size = 256MB
wal_keep_size = 512MB
wal_receiver_status_interval = 1s
max_standby_streaming_delay = -1
max_standby_archive_delay = -1
session_preload_libraries = ''
};
}

sub repl_indexes
{
	return (['s', 'a', 's_a'], ['s', 'k', 's_k'], ['h', 'a', 'h_a'], ['h', 'k', 'h_k']);
}

=item repl_setup(node)

VACUUM must not truncate: when a standby begins again before a truncation, core's own
consistency check takes the pages that are gone for damage.

=cut

sub repl_setup
{
	my ($node) = @_;

	add_index_checks($node, 'postgres');
	$node->safe_psql('postgres', q{
CREATE SEQUENCE ids;
CREATE TABLE h (id bigint PRIMARY KEY, a bigint NOT NULL, k bigint, n int NOT NULL, v text)
	WITH (vacuum_truncate = off, toast.vacuum_truncate = off);
CREATE TABLE s (id bigint PRIMARY KEY, a bigint NOT NULL, k bigint, n int NOT NULL, v text) USING kyro
	WITH (toast.vacuum_truncate = off);
ALTER TABLE h ALTER v SET STORAGE EXTERNAL;
ALTER TABLE s ALTER v SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX h_a ON h USING kyro_rmi (a);
CREATE UNIQUE INDEX s_a ON s USING kyro_rmi (a);
CREATE INDEX h_k ON h USING kyro_rmi (k);
CREATE INDEX s_k ON s USING kyro_rmi (k);

CREATE FUNCTION key_of(id bigint, x bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE id % 20 WHEN 0 THEN NULL WHEN 1 THEN id WHEN 2 THEN x ELSE hashint8extended(id, x) END
$$;
CREATE FUNCTION value_of(id bigint, x bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE (id + x) % 97 WHEN 0 THEN repeat(md5(x::text), 90) ELSE md5(id::text) END
$$;
CREATE FUNCTION add_rows(n int, x bigint) RETURNS bigint LANGUAGE sql AS $$
	WITH new AS MATERIALIZED (SELECT nextval('ids') AS id FROM generate_series(1, n)),
	i AS (INSERT INTO s SELECT id, id * 4, key_of(id, x), 0, value_of(id, x) FROM new RETURNING *),
	j AS (INSERT INTO h SELECT * FROM i RETURNING id)
	SELECT count(*) FROM j
$$;

-- number and sum of hashes of all rows, by one way of reading
CREATE FUNCTION content(tbl text, way text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r text;
BEGIN
	PERFORM scan_mode(CASE way WHEN 'seq' THEN 'seq' WHEN 'bitmap' THEN 'bitmap' ELSE 'index' END);
	EXECUTE format('SELECT sum(c) || '' '' || sum(h) FROM (SELECT count(*) AS c, coalesce(sum(hashtextextended(x::text, 0)), 0) AS h FROM %1$I x WHERE %2$s
		UNION ALL SELECT count(*), coalesce(sum(hashtextextended(x::text, 0)), 0) FROM %1$I x WHERE %3$s) y',
		tbl, CASE way WHEN 'seq' THEN 'true' WHEN 'id' THEN 'id > 0' WHEN 'a' THEN 'a > 0' ELSE 'k IS NOT NULL' END,
		CASE WHEN way IN ('k', 'bitmap') THEN 'k IS NULL' ELSE 'false' END) INTO r;
	RETURN r;
END $$;
-- in a transaction of one snapshot: where ways of reading and twins differ
CREATE FUNCTION differs() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	want text := content('h', 'seq');
	got text;
	tbl text;
	way text;
BEGIN
	FOREACH tbl IN ARRAY ARRAY['h', 's'] LOOP
		FOREACH way IN ARRAY ARRAY['seq', 'id', 'a', 'k', 'bitmap'] LOOP
			got := content(tbl, way);
			IF got <> want THEN
				RETURN NEXT format('%s by %s: %s, not %s', tbl, way, got, want);
			END IF;
		END LOOP;
	END LOOP;
END $$;
-- reads until it is stopped
CREATE FUNCTION read_on() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	first text := content('s', 'seq');
	d text;
BEGIN
	LOOP
		SELECT string_agg(x, ', ') FROM differs() x INTO d;
		IF d <> '' OR content('s', 'seq') <> first THEN
			RAISE EXCEPTION 'wrong answer: %, % was %', d, content('s', 'seq'), first;
		END IF;
	END LOOP;
END $$;
});
	$node->safe_psql('postgres', q{SELECT add_rows(3000, 1)});
	$node->safe_psql('postgres', q{SELECT rows FROM kyro.snapshot('s')});
	$node->safe_psql('postgres', q{SELECT add_rows(2000, 2)});
	$node->safe_psql('postgres', q{VACUUM ANALYZE s, h});
}

my %writes = (
	insert => [ 5, q{
\set x random(-1000000000, 1000000000)
SELECT add_rows(6, :x);
} ],
	update => [ 6, q{
\set x random(1, 1000000000)
\set back random(0, 9000)
SELECT greatest(last_value - :back, 1) AS id FROM ids \gset
WITH u AS (UPDATE s SET k = key_of(id, :x), n = n + 1, v = value_of(id, :x), a = id * 4 + :x % 4 WHERE id = :id RETURNING *)
	UPDATE h SET k = u.k, n = u.n, v = u.v, a = u.a FROM u WHERE h.id = u.id;
} ],
	hot => [ 4, q{
\set back random(0, 9000)
SELECT greatest(last_value - :back, 1) AS id FROM ids \gset
WITH u AS (UPDATE s SET n = n + 1 WHERE id = :id RETURNING *) UPDATE h SET n = u.n FROM u WHERE h.id = u.id;
} ],
	# of its own, so that two that delete more than one row do not meet
	delete => [ 1, q{
\set back random(0, 9000)
SELECT greatest(last_value - :back, 1) AS id FROM ids \gset
WITH u AS (DELETE FROM s WHERE id BETWEEN :id AND :id + 150 AND id % 4 = :client_id RETURNING id) DELETE FROM h USING u WHERE h.id = u.id;
} ],
	lock => [ 1, q{
\set back random(0, 9000)
SELECT greatest(last_value - :back, 1) AS id FROM ids \gset
BEGIN;
SELECT count(*) FROM (SELECT FROM s WHERE id BETWEEN :id AND :id + 20 FOR SHARE) x;
COMMIT;
} ],
	rollback => [ 1, q{
\set x random(1, 1000000000)
\set back random(0, 9000)
SELECT greatest(last_value - :back, 1) AS id FROM ids \gset
BEGIN;
SELECT add_rows(5, :x);
SAVEPOINT p;
UPDATE s SET k = 0 WHERE id = :id;
ROLLBACK TO p;
UPDATE h SET k = 0 WHERE id = :id;
ROLLBACK;
} ],
);
my %maintenance = (
	vacuum_s => [ 2, "VACUUM (INDEX_CLEANUP ON) s;\n" ],
	vacuum_h => [ 2, "VACUUM (INDEX_CLEANUP ON) h;\n" ],
	freeze => [ 1, "VACUUM (FREEZE) s, h;\n" ],
	rebuild_s => [ 1, "SELECT leaves FROM kyro.rebuild('s_k');\n" ],
	rebuild_h => [ 1, "SELECT leaves FROM kyro.rebuild('h_a');\n" ],
	seal => [ 2, "SELECT rows FROM kyro.snapshot('s', 1500);\n" ],
);

sub start_bench
{
	my ($load, $scripts, @options) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my %run = (out => '', err => '');
	my @files;

	foreach my $name (sort keys %$scripts)
	{
		my ($weight, $text) = @{ $scripts->{$name} };
		append_to_file("$dir/$name.sql", $text);
		push @files, '-f', "$dir/$name.sql\@$weight";
	}
	local %ENV = $load->{node}->_get_env();
	$run{bench} = IPC::Run::start([ 'pgbench', '-n', '-T', 3600, '--max-tries=100', "--random-seed=$load->{seed}", @options, @files, $load->{node}->connstr('postgres') . ' application_name=repl_load' ],
		'<', \undef, '>', \$run{out}, '2>', \$run{err});
	push @{ $load->{runs} }, \%run;
}

=item load_start(node, seed)

Starts writers and a session of VACUUM, kyro.rebuild and kyro.snapshot.

=item load_wait(load, n)

Returns when the load has taken n more ids, of which it takes some with each sixth transaction or so.

=item load_stop(load, dead)

Stops the load, waits until its sessions are gone, and returns what they complained of.
dead: the server is, too.

=item load_during(node, seed, n, sub)

Runs sub while the load runs, which takes n ids before and n after it.  Returns what load_stop() does.

=cut

sub load_start
{
	my ($node, $seed) = @_;
	my $load = { node => $node, seed => $seed, runs => [] };

	start_bench($load, \%writes, '-c', 3, '-j', 1, '-R', 150);
	start_bench($load, \%maintenance, '-c', 1, '-R', 8);
	return $load;
}

sub load_wait
{
	my ($load, $n) = @_;
	my $to = $load->{node}->safe_psql('postgres', "SELECT last_value + $n FROM ids");

	$load->{node}->poll_query_until('postgres', "SELECT last_value >= $to FROM ids") or die "the load does not go on: " . join('', map { $_->{err} } @{ $load->{runs} });
}

sub load_stop
{
	my ($load, $dead) = @_;
	my $said = '';

	foreach my $run (@{ $load->{runs} })
	{
		$run->{bench}->signal('TERM') if $run->{bench}->pumpable;
		eval { $run->{bench}->finish };
		$said .= $run->{err};
	}
	if (!$dead)
	{
		$load->{node}->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'repl_load'") or die 'sessions of the load do not end';
	}
	return join("\n", grep { /ERROR|FATAL|PANIC|abort|error:/ } split(/\n/, $said));
}

sub load_during
{
	my ($node, $seed, $n, $sub) = @_;
	my $load = load_start($node, $seed);

	load_wait($load, $n);
	$sub->();
	load_wait($load, $n);
	return load_stop($load);
}

=item repl_state(node)

The contents, as text.

=cut

sub repl_state
{
	my ($node) = @_;

	return $node->safe_psql('postgres', q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT content('s', 'seq') || ', ' || content('h', 'seq'); COMMIT});
}

=item repl_problems(node)

Where twins and ways of reading differ, to one snapshot.

=cut

sub repl_problems
{
	my ($node) = @_;

	return $node->safe_psql('postgres', q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM differs(); COMMIT});
}

=item repl_agree(what, node, standby...)

One test for each: indexes and tables are sound, the twins and all ways of reading are equal,
and the contents are the first node's.

=cut

sub repl_agree
{
	my ($what, @nodes) = @_;
	my $want = repl_state($nodes[0]);

	foreach my $node (@nodes)
	{
		my $problems = repl_problems($node);
		my $state = repl_state($node);

		$problems .= "\n" . $node->safe_psql('postgres', q{
SELECT r || ': ' || v.block || ': ' || v.problem FROM unnest(ARRAY['s', 's_a', 's_k', 'h_a', 'h_k']::regclass[]) r, LATERAL kyro.verify(r, deep => true) v});
		$problems .= "\ncontents are $state, not $want" if $state ne $want;
		$problems =~ s/^\s+|\s+$//g;
		is($problems, '', "$what: " . $node->name . ' is right');
	}
}

=item catch_up(node, standby, standby of the standby...)

Waits until each of the chain has replayed what the first has written.

=cut

sub catch_up
{
	my ($node, @chain) = @_;

	# VACUUM does not flush
	$node->safe_psql('postgres', 'SELECT txid_current()');
	my $lsn = $node->lsn('flush');
	foreach my $standby (@chain)
	{
		$node->wait_for_catchup($standby, 'replay', $lsn);
		$node = $standby;
	}
}

1;
