# pgvector beside kyrodb: a kyro table with vectors and its heap twin, with HNSW and IVFFlat indexes, through
# seals, changes, VACUUM, compaction and crashes.  What is exact must be equal: scans, filtered and hybrid
# queries, IVFFlat when it looks at all lists.  What is approximate must return rows of the twin, at their distances, in
# order, and find as many of the nearest as the twin's index does.
use strict;
use warnings;
use Crash;
use IPC::Run;
use KyroTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The two indexes differ by chance: pgvector draws levels and centres at random.
use constant MARGIN => 0.05;

my $node = new_node('vectors', conf => "kyro.autopilot = off\nmax_parallel_maintenance_workers = 2\nmin_parallel_table_scan_size = 0\nmax_parallel_workers_per_gather = 0\n");
my $version = $node->safe_psql('postgres', q{SELECT default_version FROM pg_available_extensions WHERE name = 'vector'});
# 0.8 goes on with a scan whose rows were filtered out
plan skip_all => 'pgvector is not installed' if $version eq '';
plan skip_all => "pgvector $version is older than 0.8" if $version =~ /^0\.[0-7]\./;
note("pgvector $version");

sub sql { return $node->safe_psql('postgres', $_[0]); }

add_twice($node);
sql(q{
CREATE EXTENSION kyrodb;
CREATE EXTENSION vector;
ALTER DATABASE postgres SET client_min_messages = error;
ALTER DATABASE postgres SET hnsw.ef_search = 100;
ALTER DATABASE postgres SET hnsw.iterative_scan = strict_order;

-- 40 clusters, and the same vectors everywhere
CREATE FUNCTION vec(n bigint, salt int) RETURNS vector IMMUTABLE LANGUAGE sql AS $$
	SELECT array_agg(((hashint8extended(n % 40, d) & 1023) + (hashint8extended(n, salt * 100 + d) & 1023))::real / 1024 ORDER BY d)::vector FROM generate_series(1, 16) d $$;
CREATE FUNCTION words(n bigint) RETURNS text IMMUTABLE LANGUAGE sql AS $$
	SELECT string_agg('w' || (hashint8extended(n, d) & 15), ' ' ORDER BY d) FROM generate_series(1, 5) d $$;

CREATE TABLE a (id bigint NOT NULL, grp int, body text, e vector(16),
	words tsvector GENERATED ALWAYS AS (to_tsvector('simple', body)) STORED,
	f vector(16) GENERATED ALWAYS AS (e) STORED) USING kyro;
CREATE TABLE b (LIKE a INCLUDING GENERATED) USING heap;
CREATE TABLE q AS SELECT n, vec(n * 7919, 1) AS v FROM generate_series(1, 20) n;

-- of 50 rows one has a vector that others have, too
CREATE FUNCTION more(first bigint, last bigint) RETURNS void LANGUAGE sql AS $$
	SELECT twice(format('INSERT INTO $t SELECT g, g %% 10, words(g), vec(CASE WHEN g %% 50 = 0 THEN g %% 1000 ELSE g END, 2) FROM generate_series(%s, %s) g', first, last)) $$;

CREATE FUNCTION mode(m text) RETURNS void LANGUAGE sql AS $$
	SELECT set_config('enable_seqscan', (m = 'exact')::text, true), set_config('enable_indexscan', (m = 'index')::text, true),
		set_config('enable_bitmapscan', (m = 'bitmap')::text, true), set_config('enable_sort', (m <> 'index')::text, true) $$;

-- Does a statement use an index?
CREATE FUNCTION uses(statement text, index text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || statement INTO plan;
	RETURN plan::text LIKE '%"Index Name": "' || index || '"%';
END $$;

-- In what are the exact answers of the tables different?  In exact mode by sequential scans, in bitmap mode by the other indexes.
CREATE FUNCTION differences() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	statement text;
	want text;
	got text;
BEGIN
	PERFORM mode('exact');
	RETURN QUERY SELECT 'only in a: ' || left(x::text, 200) FROM (TABLE a EXCEPT ALL TABLE b) x LIMIT 3;
	RETURN QUERY SELECT 'only in b: ' || left(x::text, 200) FROM (TABLE b EXCEPT ALL TABLE a) x LIMIT 3;
	FOREACH statement IN ARRAY ARRAY[
		-- the nearest, by each distance, and those of a group
		'SELECT n, r.* FROM q, LATERAL (SELECT id, e <-> v AS d FROM $t ORDER BY d, id LIMIT 20) r',
		'SELECT n, r.* FROM q, LATERAL (SELECT id, e <=> v AS d FROM $t ORDER BY d, id LIMIT 20) r',
		'SELECT n, r.* FROM q, LATERAL (SELECT id, e <#> v AS d FROM $t ORDER BY d, id LIMIT 20) r',
		'SELECT n, r.* FROM q, LATERAL (SELECT id, e <-> v AS d FROM $t WHERE grp = n % 10 ORDER BY d, id LIMIT 20) r',
		'SELECT n, count(*) FROM q JOIN $t ON e <-> v < 1.5 GROUP BY n',
		'SELECT grp, avg(e), sum(e) FROM (SELECT grp, e FROM $t ORDER BY id OFFSET 0) s GROUP BY grp',
		-- hybrid: a range of keys, words, a distance
		'SELECT n, r.* FROM q, LATERAL (SELECT id, grp, e <-> v AS d FROM $t WHERE id BETWEEN 100 * n AND 100 * n + 50 ORDER BY d, id LIMIT 10) r',
		'SELECT n, r.* FROM q, LATERAL (SELECT id, body, e <-> v AS d FROM $t WHERE id BETWEEN 100 * n AND 100 * n + 2000 AND words @@ ''w3 & (w5 | w7)'' ORDER BY d, id LIMIT 10) r',
		'SELECT n, r.* FROM q, LATERAL (SELECT id, 1.0 / (60 + t.place) + 1.0 / (60 + s.place) AS score
			FROM (SELECT id, row_number() OVER (ORDER BY ts_rank(words, ''w1 | w2''), id) AS place FROM $t WHERE words @@ ''w1 | w2'' AND id > 40 * n) t
			JOIN (SELECT id, row_number() OVER (ORDER BY e <-> v, id) AS place FROM $t WHERE id > 40 * n) s USING (id) ORDER BY score DESC, id LIMIT 10) r']
	LOOP
		statement := 'SELECT string_agg(x::text, '' '' ORDER BY x::text) FROM (' || statement || ') x';
		PERFORM mode('exact');
		EXECUTE replace(statement, '$t', 'b') INTO want;
		EXECUTE replace(statement, '$t', 'a') INTO got;
		IF want IS NULL OR got IS DISTINCT FROM want THEN
			RETURN NEXT format('%s: %s, not %s', statement, left(got, 300), left(want, 300));
		END IF;
		IF statement LIKE '%id BETWEEN%' OR statement LIKE '%words @@%' THEN
			PERFORM mode('bitmap');
			-- or both
			IF NOT uses(replace(statement, '$t', 'a'), 'a_id') AND NOT uses(replace(statement, '$t', 'a'), 'a_words') THEN
				RETURN NEXT statement || ': the plan does not use an index';
			END IF;
			EXECUTE replace(statement, '$t', 'a') INTO got;
			IF got IS DISTINCT FROM want THEN
				RETURN NEXT format('by bitmaps: %s: %s, not %s', statement, left(got, 300), left(want, 300));
			END IF;
		END IF;
	END LOOP;
END $$;

-- What is wrong with the k nearest that an index finds, of rows for which a condition holds, and how large a part of the right ones they are.
CREATE FUNCTION search(t text, index text, col text, cond text, k int, OUT problems text, OUT recall float8) LANGUAGE plpgsql AS $$
DECLARE
	query text := format('SELECT n, r.* FROM q, LATERAL (SELECT row_number() OVER () AS place, s.* FROM
		(SELECT id, grp, body, e, %2$I <-> v AS d FROM $t WHERE %3$s ORDER BY %2$I <-> v LIMIT %4$s) s) r', NULL, col, cond, k);
BEGIN
	DROP TABLE IF EXISTS pg_temp.want, pg_temp.got;
	PERFORM mode('exact');
	EXECUTE 'CREATE TEMP TABLE want AS ' || replace(query, '$t', 'b');
	PERFORM mode('index');
	EXECUTE 'CREATE TEMP TABLE got AS ' || replace(query, '$t', t);
	IF NOT uses(replace(query, '$t', t), t || '_' || index) THEN
		problems := 'the plan does not use the index';
		RETURN;
	END IF;
	PERFORM mode('exact');
	EXECUTE format('SELECT string_agg(p, E''\n'') FROM (
		SELECT ''no such row: '' || left(got::text, 200) FROM got JOIN q USING (n)
			WHERE NOT EXISTS (SELECT FROM b WHERE %s AND b.id = got.id AND (b.grp, b.body, b.e, b.e <-> q.v) IS NOT DISTINCT FROM (got.grp, got.body, got.e, got.d))
		UNION ALL SELECT ''more than once: '' || id FROM got GROUP BY n, id HAVING count(*) > 1
		UNION ALL SELECT ''out of order: '' || n FROM (SELECT n, d < lag(d) OVER (PARTITION BY n ORDER BY place) AS wrong FROM got) o WHERE wrong
		UNION ALL SELECT ''rows of '' || n || '': '' || (SELECT count(*) FROM got WHERE got.n = want.n) || '', not '' || count(*) FROM want
			GROUP BY n HAVING count(*) <> (SELECT count(*) FROM got WHERE got.n = want.n)
		LIMIT 5) AS all_of(p)', cond) INTO problems;
	-- of those with the same distance any will do
	SELECT sum((SELECT count(*) FROM got WHERE got.n = w.n AND got.d <= w.farthest)) / sum(w.rows) INTO recall
		FROM (SELECT n, max(d) AS farthest, count(*) AS rows FROM want GROUP BY n) w;
END $$;
});

# The same searches by an index of each table.
sub searches
{
	my ($what, $ask, $index, $col, $setting, $cond, $k) = @_;
	my %recall;

	foreach my $t ('a', 'b')
	{
		my ($problems, $recall) = $ask->("$setting; SELECT problems, recall FROM search('$t', '$index', '$col', '$cond', $k)") =~ /^(.*)\|([^|]*)\s*$/s;

		is($problems, '', "$what: $index of $t where $cond, $setting");
		$recall{$t} = $recall || 0;
	}
	note("$what: recall of $index where $cond, $setting: $recall{a}, the twin's $recall{b}");
	return %recall;
}

# All that a step must not change.  ask: a function that has SQL run by the session that looks.
sub compare
{
	my ($what, $ask) = @_;

	$ask //= \&sql;
	is($ask->('SELECT * FROM differences()'), '', "$what: exact answers");
	foreach (['hnsw', 'e', 'SET hnsw.ef_search = 100', 'true'], ['hnsw', 'e', 'SET hnsw.ef_search = 100', 'grp = 3'], ['ivf', 'f', 'SET ivfflat.probes = 10', 'true'])
	{
		my ($index, $col, $setting, $cond) = @$_;
		my %recall = searches($what, $ask, $index, $col, $setting, $cond, 10);

		cmp_ok($recall{a}, '>=', $recall{b} - MARGIN, "$what: recall of $index where $cond");
	}
	# all lists: nothing may be missing
	foreach (['true', 30], ['grp = 3', 30], ['id BETWEEN 700 AND 2300', 20], ['f IS NOT NULL', 100000])
	{
		my ($cond, $k) = @$_;
		my %recall = searches($what, $ask, 'ivf', 'f', 'SET ivfflat.probes = 20', $cond, $k);

		is($recall{a}, 1, "$what: all of the $k nearest where $cond");
	}
}

# ---- built over runs and the log, by several processes; then rows come, and are sealed ----
sql('SELECT more(1, 2000)');
sql(q{SELECT kyro.snapshot('a', 1500)});
foreach my $t ('a', 'b')
{
	sql("CREATE UNIQUE INDEX ${t}_id ON $t USING " . ($t eq 'a' ? 'kyro_rmi' : 'btree') . " (id);
CREATE INDEX ${t}_words ON $t USING gin (words);
CREATE INDEX ${t}_hnsw ON $t USING hnsw (e vector_l2_ops) WITH (m = 8, ef_construction = 32);
CREATE INDEX ${t}_ivf ON $t USING ivfflat (f vector_l2_ops) WITH (lists = 20);
ANALYZE $t");
}
compare('built');
sql('SELECT more(2001, 3000)');
compare('inserted');
sql(q{CALL kyro.seal('a', batch => 400)});
is(sql(q{SELECT log_rows FROM kyro.stat_tables WHERE relname = 'a'}), '0', 'all is sealed');
compare('sealed');
sql('VACUUM a, b');
compare('sealed, VACUUM');

# ---- changes, and a snapshot from before ----
my $old = $node->background_psql('postgres');
my $ask_old = sub { return $old->query_safe($_[0]); };
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $state = q{SELECT mode('exact'); SELECT count(*) || md5(string_agg(x::text, '' ORDER BY id)) FROM %s x};
my $before = $old->query_safe(sprintf($state, 'b'));

sql(q{SELECT twice('UPDATE $t SET e = vec(id, 3) WHERE id % 7 = 0');
SELECT twice('UPDATE $t SET body = words(id + 1), grp = 3 WHERE id % 11 = 0');
SELECT twice('UPDATE $t SET e = NULL WHERE id % 331 = 0');
SELECT twice('DELETE FROM $t WHERE id % 13 = 0 OR id BETWEEN 800 AND 900')});
compare('changed');
sql(q{SELECT kyro.snapshot('a')});
compare('changed, sealed');
sql('VACUUM a, b');
compare('changed, sealed, VACUUM');
is($old->query_safe(sprintf($state, $_)), $before, "what the old snapshot sees in $_") foreach 'a', 'b';
compare('the old snapshot', $ask_old);
$old->query_safe('COMMIT');
$old->quit;
sql('VACUUM a, b');
sql(q{SELECT twice('UPDATE $t SET e = vec(id, 4) WHERE id % 9 = 0')});
sql('SELECT more(3001, 3500)');
compare('where dead rows were');

# ---- compaction ----
sql(q{SELECT twice('DELETE FROM $t WHERE id < 1500 AND id % 3 > 0')});
sql(q{CALL kyro.seal('a')});
my ($rc, undef, $said) = $node->psql('postgres', q{SET client_min_messages = notice;
CALL kyro.compact('a', batch => 500)}, on_error_stop => 1);
is($rc, 0, 'kyro.compact');
like($said, qr/moved [1-9]\d* rows of "a"/, 'moves rows');
note($said);
compare('compacted');
sql('VACUUM a, b');
Crash::kill_server($node, 1);
$node->start;
compare('compacted, after a crash');

# ---- vectors that are stored out of line ----
sql(q{
CREATE TABLE wide_a (id bigint, n int, e vector(700)) USING kyro;
CREATE TABLE wide_b (LIKE wide_a) USING heap;
CREATE FUNCTION wide(n bigint) RETURNS vector IMMUTABLE LANGUAGE sql AS $$
	SELECT array_agg((hashint8extended(n, d) & 1023)::real ORDER BY d)::vector FROM generate_series(1, 700) d $$;
SELECT twice('INSERT INTO wide_$t SELECT g, 0, wide(g) FROM generate_series(1, 300) g');
CREATE INDEX wide_a_e ON wide_a USING hnsw (e vector_l2_ops) WITH (m = 8, ef_construction = 32)});
my $wide = sub {
	my ($what) = @_;

	is(sql(q{SELECT x::text FROM (TABLE wide_a EXCEPT ALL TABLE wide_b) x UNION ALL SELECT x::text FROM (TABLE wide_b EXCEPT ALL TABLE wide_a) x LIMIT 1}), '', "$what: wide vectors are the same");
	# each is the nearest to itself
	is(sql(q{SELECT mode('index'); SELECT set_config('enable_seqscan', 'off', false), set_config('enable_sort', 'off', false);
SELECT count(*) FROM unnest(ARRAY(SELECT id FROM wide_b ORDER BY id)) w, LATERAL (SELECT id FROM wide_a ORDER BY e <-> wide(w) LIMIT 1) r WHERE r.id = w}) =~ s/^.*\n//sr,
		sql('SELECT count(*) FROM wide_b'), "$what: and are found");
};
sql(q{CALL kyro.seal('wide_a')});
$wide->('sealed');
sql(q{SELECT twice('UPDATE wide_$t SET n = 1 WHERE id % 2 = 0');
SELECT twice('DELETE FROM wide_$t WHERE id % 3 = 0')});
sql('VACUUM wide_a, wide_b');
$wide->('changed');
sql(q{CALL kyro.seal('wide_a')});
sql(q{CALL kyro.compact('wide_a')});
sql(q{SELECT twice('INSERT INTO wide_$t SELECT g, 0, wide(g) FROM generate_series(301, 400) g')});
$wide->('compacted');
Crash::kill_server($node, 1);
$node->start;
$wide->('after a crash');

# ---- crashes under load: each transaction changes both tables or neither ----
sql(q{
CREATE SEQUENCE ids START 10000;
CREATE TABLE compacted (round int);
CREATE PROCEDURE churn(me int) LANGUAGE plpgsql AS $$
DECLARE
	i bigint;
BEGIN
	LOOP
		-- rows of another session are never touched
		i := nextval('ids') * 2 + me;
		PERFORM more(i, i);
		PERFORM twice(format('UPDATE $t SET e = vec(id, %s) WHERE (id BETWEEN %s AND %s OR id BETWEEN %s AND %s) AND id %% 2 = %s',
			i, i % 3500, i % 3500 + 6, i - 200, i - 190, me));
		PERFORM twice(format('DELETE FROM $t WHERE (id BETWEEN %s AND %s OR id = %s) AND id %% 2 = %s', i - 440, i - 400, i * 7 % 3500, me));
		COMMIT;
	END LOOP;
END $$});
foreach my $round (1 .. 3)
{
	my @sessions;
	my @errors = ('') x 3;
	my @command = ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'));
	my $rows = sql('SELECT max(id) FROM b');

	push @sessions, IPC::Run::start([ @command, '-c', "CALL churn($_)" ], '<', \undef, '>', \my $out, '2>', \$errors[$_]) foreach 0, 1;
	push @sessions, IPC::Run::start([ @command, map { ('-c', $_) } (q{CALL kyro.seal('a', batch => 100)}, 'VACUUM a, b', q{CALL kyro.compact('a')}, "INSERT INTO compacted VALUES ($round)") x 1000 ],
		'<', \undef, '>', \my $out, '2>', \$errors[2]);
	ok($node->poll_query_until('postgres', "SELECT max(id) > $rows + 600 AND (SELECT count(*) >= $round % 2 FROM compacted WHERE round = $round) FROM b"),
		"round $round: rows come" . ($round % 2 ? ', and are sealed and compacted' : ''));
	Crash::kill_server($node, 1);
	$_->finish foreach @sessions;
	unlike(join("\n", @errors), qr/ERROR/, "round $round: no errors before the crash");
	$node->start;
	compare("crash $round");
}

# ---- new files ----
sql('VACUUM FULL a');
sql('VACUUM FULL b');
compare('VACUUM FULL');
sql(q{SELECT more(3601, 3700)});
sql(q{CALL kyro.seal('a')});
sql('REINDEX TABLE CONCURRENTLY a');
sql('VACUUM a, b');
compare('REINDEX CONCURRENTLY');

is(sql(qq{SELECT '$_ ' || block || ': ' || problem FROM kyro.verify('$_', deep => true)}), '', "$_ is sound") foreach 'a', 'a_id', 'wide_a';
$node->stop;
log_lacks($node, 'PANIC|TRAP|ERROR', 'no errors in the log');
done_testing();
