# Random row operations, compared with a btree.  Table h is a heap with kyro_rmi indexes, s a kyro table with
# the same, b a heap with btrees: the oracle.  Each statement is run for all three, on
# thousands of rows at once, and what it returns or counts must be equal: inserts, updates (HOT and not), deletes, look-ups
# by all kinds of scans, ranges forward and backward, cursors, merge joins; in transactions and savepoints that may be rolled
# back; with VACUUM, rebuilds, seals, compaction, REINDEX and TRUNCATE between.  One session does it all, so a seed does the same again.
#
# A row inserted, updated or deleted in h is an operation, and so are a key looked up there and a row of a range or of a
# cursor; the same for s.  What is done to b does not count, nor do comparisons of whole tables.
#
# KYRO_OPERATIONS (default 250000) and KYRO_SEED; tools/longrun.sh makes long runs.
use strict;
use warnings;
use IPC::Open2;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $operations = $ENV{KYRO_OPERATIONS} // 250_000;
my $seed = $ENV{KYRO_SEED} // 20261121;

# Key types, and keys as expressions of a row's number $i: the same number has the same key.
my $int8 = 'hashint8extended($i, 5)';
my @keys = (
	[ dense => 'bigint', '$i' ],
	[ descending => 'bigint', '-$i' ],
	[ gaps => 'bigint', '$i * 1000 + hashint8($i) % 500' ],
	[ random => 'bigint', $int8 ],
	[ clustered => 'bigint', '(hashint8($i / 500) % 1000) * 1000000000000 + $i % 500 * 7' ],
	[ steps => 'bigint', '$i / 100 * 1000000 + ($i % 100) ^ 3' ],
	[ few => 'bigint', 'hashint8($i) % 300' ],
	[ skewed => 'bigint', '(power((hashint8($i) & 65535) / 65536::float8, 4) * 500000)::bigint' ],
	[ nulls => 'bigint', 'CASE WHEN hashint8($i) % 3 = 0 THEN NULL ELSE $i * 3 END' ],
	[ extremes => 'bigint', "CASE abs(hashint8(\$i)) % 50 WHEN 0 THEN 9223372036854775807 WHEN 1 THEN (-9223372036854775808) WHEN 2 THEN 9223372036854775806 - \$i % 200
		WHEN 3 THEN (-9223372036854775807) + \$i % 200 WHEN 4 THEN \$i % 3 - 1 WHEN 5 THEN NULL ELSE $int8 END" ],
	[ 'dense nulls' => 'integer', 'CASE WHEN $i % 2 = 0 THEN NULL ELSE $i END' ],
	[ random => 'integer', 'hashint8($i)' ],
	[ extremes => 'integer', 'CASE abs(hashint8($i)) % 30 WHEN 0 THEN 2147483647 WHEN 1 THEN (-2147483648) WHEN 2 THEN $i % 7 ELSE hashint8($i) END' ],
	[ wrapped => 'smallint', '$i % 65536 - 32768' ],
	[ events => 'timestamptz', q{timestamptz '2026-01-01 00:00Z' + $i * interval '37 ms' + hashint8($i) % 20000 * interval '1 us'} ],
	[ infinities => 'timestamptz', q{CASE abs(hashint8($i)) % 60 WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' ELSE timestamptz '1999-12-31 23:59:59Z' + $i % 5000 * interval '1 ms' END} ],
	[ seconds => 'timestamp', q{timestamp '2026-01-01 00:00' + $i / 3 * interval '1 s'} ],
	[ days => 'date', q{date '2000-01-01' + hashint8($i) % 20000} ]);

note("seed $seed");
srand($seed);
my $node = new_node('soak', init => [ extra => rand() < 0.3 ? ['--data-checksums'] : [] ],
	conf => 'shared_buffers = ' . (qw(4MB 64MB 256MB))[ int(rand(3)) ] . "\nwal_consistency_checking = ''\ntrack_counts = off\n");

# One session for everything.
my ($in, $out);
my $pid = open2($out, $in, 'sh', '-c', 'exec psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$0" 2>&1', $node->connstr('postgres'));
my $last = '';
$in->autoflush(1);
$SIG{PIPE} = 'IGNORE';

# Runs statements, returns their output.
sub run
{
	my ($sql) = @_;
	my $answer = '';

	print $in "$sql\n\\echo ---\n";
	$last .= "$sql\n";
	while (defined(my $line = <$out>))
	{
		return $answer if $line eq "---\n";
		$answer .= $line;
	}
	waitpid($pid, 0);
	die substr($last, -3000) . "\n$answer\n";
}

my %did = (written => 0, 'looked up' => 0, 'in ranges' => 0);
my $total = 0;

sub step
{
	my ($ops) = @_;

	return sprintf("SELECT * FROM sk_steps(%.9f, %d);", rand() * 2 - 1, $ops // 1 + int(rand(8)));
}

# counts what steps did, which is the sum of all lines
sub count
{
	foreach my $line (split /\n/, $_[0])
	{
		my ($w, $p, $r) = $line =~ /^(\d+)\|(\d+)\|(\d+)$/ or next;

		$did{written} += $w;
		$did{'looked up'} += $p;
		$did{'in ranges'} += $r;
		$total += $w + $p + $r;
	}
}

sub transaction
{
	my $r = rand();
	my $end = rand() < 0.6 ? 'COMMIT' : 'ROLLBACK';

	return step() if $r < 0.85;
	return "BEGIN;\n" . step() . "\nSAVEPOINT x;\n" . step() . "\n" . (rand() < 0.5 ? 'ROLLBACK TO x' : 'RELEASE x') . ";\n" . step(2) . "\n$end;" if $r < 0.97;
	return "BEGIN ISOLATION LEVEL REPEATABLE READ;\n" . step() . "\n$end;";
}

sub maintenance
{
	my $t = rand() < 0.5 ? 'h' : 's';
	my $i = rand() < 0.8 ? 'k' : 'id';
	my $r = rand();

	return "VACUUM (INDEX_CLEANUP ON) $t; VACUUM b;" if $r < 0.30;
	return "VACUUM $t;" if $r < 0.40;
	return "SELECT FROM kyro.rebuild('${t}_$i');" if $r < 0.55;
	return "SELECT FROM kyro.snapshot('s', " . (rand() < 0.4 ? 'NULL' : 1 + int(rand(20000))) . ');' if $r < 0.75;
	return "BEGIN; SELECT FROM kyro.snapshot('s');\n" . step(1) . "\n ROLLBACK;" if $r < 0.78;
	return (rand() < 0.5 ? 'VACUUM FULL s;' : "CLUSTER $t USING ${t}_$i;") if $r < 0.81;
	return 'REINDEX INDEX ' . (rand() < 0.5 ? 'CONCURRENTLY ' : '') . "${t}_$i;" if $r < 0.86;
	return "ALTER INDEX ${t}_$i SET (fillfactor = " . (50 + int(rand(51))) . '); SELECT FROM kyro.rebuild(' . "'${t}_$i');" if $r < 0.89;
	return "DROP INDEX ${t}_k; CREATE INDEX ${t}_k ON $t USING kyro_rmi (k);" if $r < 0.92;
	return 'ANALYZE h, s, b;' if $r < 0.95;
	return "SELECT 'unsound: ' || problem FROM kyro.verify('${t}_$i');" if $r < 0.97;
	return (rand() < 0.5 ? 'TRUNCATE h, s, b; UPDATE sk SET rows = 0;' : "BEGIN; TRUNCATE h, s, b;\n" . step(2) . "\nROLLBACK;") if $r < 0.985;
	return 'CHECKPOINT;';
}

{
	local $/;
	$node->safe_psql('postgres', <DATA>);
}
run("SET client_min_messages = error; SET synchronous_commit = off; SET timezone = 'UTC';");

# It finds what differs: a row too many, one too few, another value, another key.
run("SELECT sk_begin('bigint', '\$i', 20000, 5000, true);");
is(eval { run(step(30)); '' } // $@, '', 'some operations');
foreach my $harm ('DELETE FROM h WHERE id % 50 = 1', 'UPDATE s SET k = k + 1 WHERE id % 50 = 1', 'UPDATE h SET v = 7 WHERE id % 50 = 1',
	'INSERT INTO s SELECT -i, i, 0 FROM generate_series(1, 20000, 50) i')
{
	my ($rc, undef, $err) = $node->psql('postgres', "BEGIN; $harm; " . step(200));
	like($err, qr/differs/, "operations show: $harm");
	like($node->safe_psql('postgres', "BEGIN; $harm; SELECT sk_compare()"), qr/differs/, "and so does the comparison of all");
}

# Episodes, each with keys of another kind, until enough is done.  A test is short and takes what the seed says; long runs come to all of them.
my %kinds;
my $episodes = 0;
my $most = $operations < 10_000_000 ? 1000 + $operations / 50 : 200_000;
my $bad = '';
my $done = eval {
	while ($total < $operations && $bad eq '')
	{
		my ($name, $type, $expr) = @{ $keys[ int(rand(@keys)) ] };
		my $rows = int(500 * exp(rand(log($most / 500))));
		my $enough = $total + ($operations < 10_000_000 ? $operations / 10 : 60 * $rows);

		$kinds{"$name $type"}++;
		$episodes++;
		$enough = $operations if $enough > $operations;
		$expr =~ s/'/''/g;
		$last = '';
		run("SELECT sk_begin('$type', '$expr', " . 2 * $rows . ", $rows, " . (rand() < 0.4 ? 'true' : 'false') . ");");
		while ($total < $enough && $bad eq '')
		{
			my $did = run(rand() < 0.85 ? transaction() : maintenance());

			count($did);
			$bad .= join('', $did =~ /^(.*(?:unsound|differs).*)$/m);
			$bad .= run('SELECT sk_compare();') if rand() < 0.002;
		}
		$bad .= run("SELECT sk_compare(); SELECT sk_verify();");
		$bad .= " ($name $type, $rows rows)\n" . substr($last, -3000) if $bad ne '';
	}
	1;
};
$bad .= "error: $@" if !$done;
is($bad, '', "every operation on h and s returned what it did on b");
close($in);
waitpid($pid, 0);
cmp_ok($total, '>=', $operations, 'enough of them');
note("$total operations, " . join(', ', map { "$did{$_} rows $_" } sort keys %did) . "; $episodes episodes of " . join(', ', sort keys %kinds));
log_lacks($node, 'PANIC|TRAP|invalid page|page verification failed|terminated by signal', 'nothing bad in the log');
$node->stop;
done_testing();

__DATA__
SET client_min_messages = error;
CREATE EXTENSION kyrodb;
-- keys: expression of $i; universe: numbers of rows are less; many: rows are about so many; fan: rows of the key of a random row; rows: there are about
CREATE TABLE sk (keys text, universe bigint, many bigint, uniq boolean, fan bigint, rows bigint) WITH (fillfactor = 10);

CREATE FUNCTION sk_begin(type text, keys text, universe bigint, many bigint, uniq boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	t text;
	fan bigint;
BEGIN
	FOREACH t IN ARRAY '{h,s,b}'::text[] LOOP
		EXECUTE format('DROP TABLE IF EXISTS %1$s; CREATE TABLE %1$s (id bigint NOT NULL, k %2$s, v int NOT NULL, p text) USING %3$s WITH (fillfactor = %4$s)',
			t, type, CASE t WHEN 's' THEN 'kyro' ELSE 'heap' END, CASE WHEN many % 2 = 0 THEN 70 ELSE 100 END);
		EXECUTE format('CREATE INDEX %1$s_k ON %1$s USING %2$s (k); CREATE %3$s INDEX %1$s_id ON %1$s USING %2$s (id)',
			t, CASE t WHEN 'b' THEN 'btree' ELSE 'kyro_rmi' END, CASE WHEN uniq OR t = 'b' THEN 'UNIQUE' END);
	END LOOP;
	EXECUTE format('SELECT greatest(1, sum(n * n) / greatest(1, sum(n))) FROM (SELECT count(*) AS n FROM (SELECT %s AS k FROM generate_series(1::bigint, %s) u(i)) x WHERE k IS NOT NULL GROUP BY k) y',
		replace(keys, '$i', 'u.i'), many) INTO fan;
	TRUNCATE sk;
	INSERT INTO sk VALUES (keys, universe, many, uniq, coalesce(fan, 1), 0);
END $$;

CREATE FUNCTION sk_int(below bigint) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT floor(random() * below)::bigint';
-- often a small number
CREATE FUNCTION sk_size(most bigint) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT 1 + floor(most * power(random(), 3))::bigint';
CREATE FUNCTION sk_mode(mode text) RETURNS void LANGUAGE sql AS $$
	SELECT set_config('enable_seqscan', (mode IN ('seq', 'any'))::text, true),
		set_config('enable_indexscan', (mode IN ('index', 'only', 'merge', 'any'))::text, true),
		set_config('enable_indexonlyscan', (mode IN ('only', 'any'))::text, true),
		set_config('enable_bitmapscan', (mode IN ('bitmap', 'any'))::text, true),
		set_config('enable_sort', (mode NOT IN ('index', 'only'))::text, true),
		set_config('enable_nestloop', (mode <> 'merge')::text, true),
		set_config('enable_hashjoin', (mode IN ('seq', 'any'))::text, true),
		set_config('enable_mergejoin', (mode IN ('merge', 'any'))::text, true),
		set_config('max_parallel_workers_per_gather', '0', true)
$$;
CREATE FUNCTION sk_differs(t text, q text, got text, want text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION '% differs: %, not %', t, got, want USING DETAIL = left(q, 2000);
END $$;

-- A statement for all three: $t is the table, $1 the array.  Returns how many rows of h and s it changed.
CREATE FUNCTION sk_change(q text, a bigint[] DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	t text;
	n bigint;
	want bigint;
BEGIN
	FOREACH t IN ARRAY '{b,h,s}'::text[] LOOP
		EXECUTE replace(q, '$t', t) USING a;
		GET DIAGNOSTICS n = ROW_COUNT;
		IF n <> want THEN
			PERFORM sk_differs(t, q, n::text, want::text);
		END IF;
		want := n;
	END LOOP;
	RETURN 2 * n;
END $$;

-- A query with one row of text; of b by btree, of the others by the mode.
CREATE FUNCTION sk_ask(mode text, q text, a bigint[] DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	t text;
	got text;
	want text;
	plan json;
BEGIN
	FOREACH t IN ARRAY '{b,h,s}'::text[] LOOP
		PERFORM sk_mode(CASE WHEN t = 'b' AND mode = 'bitmap' THEN 'index' ELSE mode END);
		IF mode <> 'any' AND random() < 0.02 THEN
			EXECUTE replace('EXPLAIN (FORMAT JSON) ' || q, '$t', t) INTO plan USING a;
			IF plan::text NOT LIKE '%"Index Name": "' || t || '_%' THEN
				RAISE EXCEPTION 'the plan does not use an index of %', t USING DETAIL = left(q, 2000);
			END IF;
		END IF;
		EXECUTE replace(q, '$t', t) INTO got USING a;
		IF got <> want THEN
			PERFORM sk_differs(t, mode || ' ' || q, got, want);
		END IF;
		want := got;
	END LOOP;
	RETURN got;
END $$;

-- A cursor walks to and fro.
CREATE FUNCTION sk_walk(q text, steps int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	c refcursor[] := '{}';
	x refcursor;
	t text;
	forward boolean := true;
	far int;
	got record;
	want record;
BEGIN
	FOREACH t IN ARRAY '{b,h,s}'::text[] LOOP
		x := NULL;
		OPEN x SCROLL FOR EXECUTE replace(q, '$t', t);
		c := c || x;
	END LOOP;
	FOR i IN 1 .. steps LOOP
		far := CASE WHEN random() < 0.03 THEN sk_int(300) ELSE 1 END;
		IF random() < 0.1 THEN
			forward := NOT forward;
		END IF;
		FOR j IN 1 .. 3 LOOP
			x := c[j];
			IF forward THEN
				FETCH RELATIVE far FROM x INTO got;
			ELSE
				far := -abs(far);
				FETCH RELATIVE far FROM x INTO got;
			END IF;
			IF j > 1 AND got IS DISTINCT FROM want THEN
				PERFORM sk_differs((ARRAY['b', 'h', 's'])[j], q, got::text, want::text);
			END IF;
			want := got;
		END LOOP;
	END LOOP;
	FOREACH x IN ARRAY c LOOP
		CLOSE x;
	END LOOP;
	RETURN 2 * steps;
END $$;

-- One kind of operation on many rows.  Returns rows written, keys looked up, rows of ranges.
CREATE FUNCTION sk_step(OUT written bigint, OUT looked bigint, OUT ranged bigint) LANGUAGE plpgsql AS $$
DECLARE
	c sk;
	there bigint;
	answer text;
	r float8 := random();
	a bigint[];
	m bigint;
	n bigint;
	key text;
	keys text;
	of text;		-- of the key in the order
	mode text := (ARRAY['index', 'index', 'only', 'only', 'bitmap', 'any'])[1 + sk_int(6)];
	print text;
	few text;
BEGIN
	SELECT * INTO c FROM sk;
	written := 0; looked := 0; ranged := 0;
	key := format('(%s)', replace(c.keys, '$i', 'u.i'));
	keys := format('(SELECT %s AS k, u.n FROM unnest($1) WITH ORDINALITY u(i, n) OFFSET 0) u', key);
	IF r < 0.65 THEN
		there := c.rows;
		IF random() < 0.02 THEN
			SELECT count(*) INTO there FROM b;
		END IF;
		PERFORM sk_mode('index');
		r := random();
		m := sk_size(least(6000, c.many));
		IF r < 0.45 AND there < c.many * 1.2 OR there < c.many * 0.3 THEN
			-- numbers that are free: the next ones, or anywhere
			IF random() < 0.4 THEN
				SELECT coalesce(max(id), 0) INTO n FROM b;
				SELECT array_agg(i) INTO a FROM generate_series(n + 1, least(n + m, c.universe)) i;
			ELSE
				SELECT array_agg(i ORDER BY o) INTO a FROM (SELECT DISTINCT ON (i) i, o FROM (SELECT sk_int(c.universe) AS i, o FROM generate_series(1, m) o) x ORDER BY i) y
					WHERE NOT EXISTS (SELECT FROM b WHERE b.id = y.i);
			END IF;
			written := sk_change(format('INSERT INTO $t SELECT u.i, %s, 0, CASE WHEN u.i %% 400 = 7 THEN repeat(md5(u.i::text), 100) END FROM unnest($1) u(i)', key), a);
			there := there + written / 2;
		ELSIF r < 0.50 AND c.uniq THEN
			-- also numbers that are not free
			SELECT array_agg(i) INTO a FROM (SELECT DISTINCT sk_int(c.universe) AS i FROM generate_series(1, least(m, 500))) x;
			written := sk_change(format('INSERT INTO $t SELECT u.i, %s, 0, NULL FROM unnest($1) u(i) ON CONFLICT %s', key,
				(ARRAY['DO NOTHING', '(id) DO UPDATE SET v = $t.v + 1', '(id) DO UPDATE SET k = NULL, v = 0'])[1 + sk_int(3)]), a);
		ELSE
			-- rows of random keys, or numbers, or of one range; the fewer the more rows a key has
			n := sk_int(3);
			IF n < 2 THEN
				SELECT array_agg(sk_int(c.universe)) INTO a FROM generate_series(1, greatest(1, CASE n WHEN 0 THEN 2 * m / c.fan ELSE 2 * m END));
				few := format('FROM (SELECT %s AS k FROM unnest($1) u(i)) u WHERE $t.%s = u.k', CASE n WHEN 0 THEN key ELSE 'u.i' END, CASE n WHEN 0 THEN 'k' ELSE 'id' END);
			ELSE
				EXECUTE format('SELECT format(''FROM (SELECT 1) u WHERE $t.k BETWEEN %%L AND %%L'', min(k), max(k)) FROM (SELECT k FROM b WHERE k >= (SELECT %s FROM (SELECT %s::bigint) u(i)) ORDER BY k LIMIT %s) x',
					key, sk_int(c.universe), m) INTO few;
				few := coalesce(few, 'FROM (SELECT 1) u WHERE false');
			END IF;
			IF r < 0.60 THEN
				written := sk_change('UPDATE $t SET v = v + 1 ' || few, a);
			ELSIF r < 0.67 THEN
				written := sk_change(format('UPDATE $t SET k = (%s), v = v + 2 %s', replace(c.keys, '$i', format('(($t.id * 7919 + %s) %% %s)', sk_int(c.universe), c.universe)), few), a);
			ELSIF r < 0.69 THEN
				written := sk_change('UPDATE $t SET k = $t.k, p = left(p, 40) || v ' || few, a);
			ELSIF r < 0.71 THEN
				written := sk_change('UPDATE $t SET k = NULL ' || few, a);
			ELSE
				written := sk_change('DELETE FROM $t USING' || substr(few, 5), a);
				there := there - written / 2;
			END IF;
		END IF;
		UPDATE sk SET rows = there;
		RETURN;
	END IF;

	-- a key and its rows; of index-only scans what the index has
	print := CASE mode WHEN 'only' THEN 'ROW(x.k)' ELSE 'ROW(x.id, x.k, x.v)' END;
	r := random();
	IF r < 0.55 THEN
		m := greatest(1, sk_size(8000) / c.fan);
		SELECT array_agg(CASE WHEN random() < 0.02 THEN -1 ELSE sk_int(c.universe) END) INTO a FROM generate_series(1, m);
		IF random() < 0.2 THEN
			-- in the order of numbers, which may be that of keys
			SELECT array_agg(i ORDER BY i) INTO a FROM unnest(a) i;
		END IF;
		IF r < 0.38 THEN
			answer := sk_ask(CASE mode WHEN 'any' THEN 'index' ELSE mode END, format('SELECT count(*) || '' '' || coalesce(sum(hash_record_extended(%s, u.n)), 0) FROM %s,
				LATERAL (SELECT %s FROM $t WHERE k = u.k OFFSET 0) x', print, keys, CASE mode WHEN 'only' THEN 'k' ELSE 'id, k, v' END), a);
		ELSIF r < 0.44 THEN
			answer := sk_ask('index', 'SELECT count(*) || '' '' || coalesce(sum(hash_record_extended(ROW(x.id, x.k, x.v), u.n)), 0) FROM unnest($1) WITH ORDINALITY u(i, n), LATERAL (SELECT * FROM $t WHERE id = u.i OFFSET 0) x', a);
		ELSE
			answer := sk_ask(mode, format('SELECT count(*) || '' '' || coalesce(sum(hash_record_extended(%s, 1)), 0) FROM $t x WHERE k = ANY (ARRAY(SELECT %s FROM unnest($1) u(i)))', print, key), a);
			SELECT count(DISTINCT i) INTO m FROM unnest(a) i;
		END IF;
		-- of several rows of a key all but one count as those of a range
		looked := 2 * m;
		ranged := 2 * greatest(0, split_part(answer, ' ', 1)::bigint - m);
		RETURN;
	END IF;

	-- ranges from random keys: in order, or all rows between two keys
	m := sk_size(12000);
	n := sk_size(300);
	m := greatest(1, m / n);
	SELECT array_agg(sk_int(c.universe)) INTO a FROM generate_series(1, m);
	IF r < 0.84 THEN
		of := CASE WHEN random() < 0.5 THEN format('k %s u.k ORDER BY k', (ARRAY['>', '>='])[1 + sk_int(2)])
			ELSE format('k %s u.k ORDER BY k DESC', (ARRAY['<', '<='])[1 + sk_int(2)]) END;
		ranged := 2 * split_part(sk_ask(CASE mode WHEN 'bitmap' THEN 'index' ELSE mode END, format('SELECT count(*) || '' '' || coalesce(sum(hash_record_extended(ROW(x.k, u.n), x.n)), 0)
			FROM %s, LATERAL (SELECT k, row_number() OVER () AS n FROM (SELECT k FROM $t WHERE %s LIMIT %s) y) x', keys, of, n), a), ' ', 1)::bigint;
	ELSIF r < 0.94 THEN
		ranged := 2 * split_part(sk_ask(mode, format('SELECT count(*) || '' '' || coalesce(sum(hash_record_extended(%1$s, u.n)), 0)
			FROM %2$s, LATERAL (SELECT max(k) AS hi FROM (SELECT k FROM b WHERE k >= u.k ORDER BY k LIMIT %3$s) y) z,
				LATERAL (SELECT * FROM $t WHERE k BETWEEN u.k AND z.hi OFFSET 0) x', print, keys, n), a), ' ', 1)::bigint;
	ELSIF r < 0.96 THEN
		-- each row of a range with its equals
		ranged := 2 * split_part(sk_ask('merge', format('SELECT count(*) || '' '' || coalesce(sum(hash_record_extended(ROW(x.id, x.k, x.v), u.n)), 0)
			FROM (SELECT %s AS k, n %% 3 AS n FROM unnest($1) WITH ORDINALITY u(i, n) LIMIT %s) u JOIN $t x ON x.k = u.k', key, greatest(1, 2000 / c.fan)), a), ' ', 1)::bigint;
	ELSE
		PERFORM sk_mode(CASE WHEN mode = 'only' THEN 'only' ELSE 'index' END);
		ranged := sk_walk(format('SELECT k FROM $t, (SELECT %s AS lo FROM (SELECT %s::bigint) u(i) OFFSET 0) z WHERE k %s', key, sk_int(c.universe),
			(ARRAY['>= lo ORDER BY k', '<= lo ORDER BY k DESC'])[1 + sk_int(2)]), 20 + sk_int(200)::int);
	END IF;
END $$;

-- Some of them; what some do is undone at once.
CREATE FUNCTION sk_steps(seed float8, ops int, OUT written bigint, OUT looked bigint, OUT ranged bigint) LANGUAGE plpgsql AS $$
DECLARE
	d record;
BEGIN
	PERFORM setseed(seed);
	written := 0; looked := 0; ranged := 0;
	FOR i IN 1 .. ops LOOP
		BEGIN
			d := sk_step();
			written := written + d.written; looked := looked + d.looked; ranged := ranged + d.ranged;
			IF d.written > 0 AND random() < 0.07 THEN
				RAISE EXCEPTION 'undo' USING ERRCODE = 'KY002';
			END IF;
		EXCEPTION WHEN SQLSTATE 'KY002' THEN
			NULL;
		END;
	END LOOP;
END $$;

-- All rows, by sequential scans and through each index both ways.
CREATE FUNCTION sk_compare() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	t text;
	how text[];
	want text;
	got text;
	q text := 'SELECT count(*) || '' '' || coalesce(sum(hash_record_extended(%2$s, 0)), 0) || '' '' || count(*) FILTER (WHERE %3$s before)
		FROM (SELECT *, lag(%4$I) OVER () AS before FROM (SELECT %5$s FROM %1$I ORDER BY %4$I %6$s) o) x';
	full_row text := 'ROW(x.id, x.k, x.v, x.p)';
BEGIN
	PERFORM sk_mode('seq');
	FOREACH t IN ARRAY '{b,h,s}'::text[] LOOP
		EXECUTE format('SELECT count(*) || '' '' || coalesce(sum(hash_record_extended(%s, 0)), 0) FROM %s x', full_row, t) INTO got;
		IF got <> want THEN
			RETURN NEXT format('%s differs: %s, not %s', t, got, want);
		END IF;
		want := got;
	END LOOP;
	-- index-only scans in one direction, index scans in the other
	FOREACH how SLICE 1 IN ARRAY ARRAY[['k', 'index', 'ASC'], ['k', 'only', 'DESC'], ['id', 'index', 'DESC'], ['id', 'only', 'ASC']] LOOP
		want := NULL;
		FOREACH t IN ARRAY '{b,h,s}'::text[] LOOP
			PERFORM sk_mode(CASE t WHEN 'b' THEN 'seq' ELSE how[2] END);
			EXECUTE format(q, t, CASE how[2] WHEN 'only' THEN format('ROW(x.%I)', how[1]) ELSE full_row END, how[1] || CASE how[3] WHEN 'ASC' THEN ' <' ELSE ' >' END, how[1],
				CASE how[2] WHEN 'only' THEN how[1] ELSE '*' END, how[3]) INTO got;
			IF got <> want THEN
				RETURN NEXT format('%s_%s differs, %s, %s: %s, not %s', t, how[1], how[2], how[3], got, want);
			END IF;
			want := coalesce(want, got);
		END LOOP;
	END LOOP;
END $$;
CREATE FUNCTION sk_verify() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT 'unsound: ' || c.relname || ': ' || block || ': ' || problem
		FROM pg_class c JOIN pg_am m ON m.oid = c.relam AND m.amname IN ('kyro_rmi', 'kyro'), LATERAL kyro.verify(c.oid::regclass, true)
$$;
