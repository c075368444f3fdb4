=pod

=head1 NAME

PgbenchTwin - three equal tables under pgbench

=head1 DESCRIPTION

Table C<h> is a heap with kyro_rmi indexes, C<s> a kyro table with the same, C<b> a heap with
btrees: the twin of both.  A transaction of a client does the same to all three, and it
is an error if row counts differ.  Statements of one transaction must not see different data because
somebody commits between them, so a client changes rows of its own (column C<own>) or
one row that it has locked by an upsert; pages are everybody's.

Column C<n> of table C<done> counts the transactions of each client.  pgbench logs those of which it was told that they are committed:
after a crash C<done> must have each of these, and at most one more.

Meanwhile two other clients do maintenance, one for each of C<h> and C<s>.

=cut

package PgbenchTwin;

use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Exporter 'import';
use KyroTest;

our @EXPORT = qw(pgbench_setup pgbench_start pgbench_join pgbench_settle pgbench_differences pgbench_between pgbench_done);

use constant CLIENTS => 4;
use constant MANY => 20_000;		# rows: more are deleted before a round

my @kinds = qw(asc ran upd del);
my $transactions = 0;
my ($prepared, $invalid) = (0, 0);

# Errors that the server may log: crashes, and a deadlock of maintenance with maintenance.  Of warnings only ours count.
my $expected = join('|',
	'ERROR: +deadlock detected',
	'FATAL: +the database system is (?:starting up|in recovery mode|shutting down|not yet accepting connections)',
	'FATAL: +terminating .* due to (?:administrator command|unexpected postmaster exit)',
	'FATAL: +postmaster exited during');

=item pgbench_setup(node)

Extension, tables, functions, some rows.

=cut

sub pgbench_setup
{
	my ($node) = @_;
	local $/;

	add_index_checks($node);
	$node->safe_psql('postgres', <DATA>);
}

# Scripts with weights, as arguments of pgbench.
sub scripts
{
	my ($name, @scripts) = @_;
	my @args;

	while (my ($sql, $weight) = splice(@scripts, 0, 2))
	{
		my $file = "$PostgreSQL::Test::Utils::tmp_check/$name" . @args . '.sql';

		open(my $fh, '>', $file) or die "cannot write $file: $!";
		print $fh $sql;
		close($fh);
		push @args, '-f', "$file\@$weight";
	}
	return @args;
}

sub maintenance
{
	my ($t) = @_;
	my @all = (
		"VACUUM $t;" => 8,
		"VACUUM (INDEX_CLEANUP ON) $t;" => 8,
		"VACUUM (FREEZE) $t;" => 3,
		"VACUUM FULL $t;" => 2,
		"CLUSTER $t USING ${t}_" . (rand() < 0.5 ? 'id' : 'k') => 2,
		"CREATE INDEX CONCURRENTLY IF NOT EXISTS ${t}_new ON $t USING kyro_rmi (" . (rand() < 0.5 ? 'k' : 't') . ');' => 10,
		"DROP INDEX CONCURRENTLY IF EXISTS ${t}_new;" => 8,
		"CHECKPOINT;" => 4);

	foreach my $column (qw(id k t))
	{
		push @all, "REINDEX INDEX CONCURRENTLY ${t}_$column;" => 4, "SELECT leaves FROM kyro.rebuild('${t}_$column');" => 4,
		  "REINDEX INDEX ${t}_$column" => 1;
	}
	push @all, "TRUNCATE h, s, b;" => 1 if $t eq 'h';
	push @all, "SELECT run FROM kyro.snapshot('s');" => 8, "SELECT run FROM kyro.snapshot('s', 700);" => 8,
	  "BEGIN;\nSELECT run FROM kyro.snapshot('s');\nROLLBACK;" => 3 if $t eq 's';
	return @all;
}

=item pgbench_start(node, seconds, seed, round)

Starts pgbench for the load and for maintenance.  The four loads (ascending inserts, random inserts,
updates, deletes) take turns in being the main one.

=cut

sub pgbench_start
{
	my ($node, $seconds, $seed, $round) = @_;
	my $main = $kinds[ ($round - 1) % @kinds ];
	my $load = { node => $node, out => '', log => "$PostgreSQL::Test::Utils::tmp_check/log$round", log_end => -s $node->logfile };
	my @load;

	$node->safe_psql('postgres', 'SELECT pb_shrink(' . MANY . ', ' . int(rand(3)) . ');
		TRUNCATE done; INSERT INTO done SELECT generate_series(0, ' . (CLIENTS - 1) . '), 0');
	foreach my $kind (@kinds)
	{
		my $step = "\\set r random(1, 1000000000)\nSELECT pb_step('$kind', :client_id, :r);\n";
		my $weight = $kind eq $main ? 40 : 4;

		push @load, $step => $weight,
		  "BEGIN;\n${step}PREPARE TRANSACTION 'client :client_id';\nCOMMIT PREPARED 'client :client_id';\n" => $weight / 2;
	}
	push @load, "\\set r random(1, 1000000000)\nSELECT pb_step('uni', :client_id, :r);\n" => 8;

	foreach my $p ([ CLIENTS, [ '-l', "--log-prefix=$load->{log}", scripts('load', @load) ] ],
		map { [ 1, [ scripts("maintain_$_", maintenance($_)) ] ] } qw(h s))
	{
		push @{ $load->{handles} }, IPC::Run::start(
			[ 'pgbench', '-n', '-c', $p->[0], '-T', int($seconds), "--random-seed=$seed", @{ $p->[1] }, $node->connstr('postgres') ],
			'<', \undef, '>&', \$load->{out});
	}
	return $load;
}

=item pgbench_join(load)

Waits for them.  Returns what none should have met.

=cut

sub pgbench_join
{
	my ($load) = @_;
	my @acknowledged = (0) x CLIENTS;

	$_->finish foreach @{ $load->{handles} };
	foreach my $file (glob("$load->{log}.*"))
	{
		# client, transaction, time it took or "failed", ...
		foreach my $line (split /\n/, slurp_file($file))
		{
			my ($client, undef, $time) = split / /, $line;

			$acknowledged[$client]++ if $time ne 'failed';
		}
		unlink($file);
	}
	$load->{node}{acknowledged} = \@acknowledged;
	$transactions += $_ foreach @acknowledged;
	my @bad = grep { !/$expected/ } grep { /(?:ERROR|FATAL|PANIC): |WARNING: .*damaged/ } split /\n/, slurp_file($load->{node}->logfile, $load->{log_end});
	return join("\n", @bad ? (@bad[ 0 .. ($#bad < 9 ? $#bad : 9) ], grep { /^pgbench: error/ } split /\n/, $load->{out}) : ());
}

=item pgbench_settle(node, seed)

Ends prepared transactions, looks for each transaction that was acknowledged, writes on, then drops or
builds anew what CONCURRENTLY left invalid.  Returns what is wrong.

=cut

sub pgbench_settle
{
	my ($node, $seed) = @_;
	my $trouble = '';
	my $left = 'FROM pg_index WHERE NOT indisvalid';
	my $writes = join('', map { "SELECT pb_step('$_', 0, $seed);\n" } @kinds, 'uni');

	# an index that is not valid is no obstacle to writes
	foreach my $line (split /\n/, $node->safe_psql('postgres', qq{
SELECT 'prepared', count(*) FROM pg_prepared_xacts;
SELECT format('%s PREPARED %L', CASE WHEN (hashtext(gid) + $seed) % 3 = 0 THEN 'ROLLBACK' ELSE 'COMMIT' END, gid) FROM pg_prepared_xacts \\gexec
SELECT 'client', client, n FROM done ORDER BY 2;
$writes
SELECT 'invalid', count(*) $left;
SELECT format('%s INDEX %s %s', CASE WHEN indexrelid::regclass::text ~ '_cc(new|old)' OR $seed % 2 = 0 THEN 'DROP' ELSE 'REINDEX' END,
	CASE WHEN $seed % 3 > 0 THEN 'CONCURRENTLY' END, indexrelid::regclass) $left \\gexec
SELECT 'still', count(*) $left;
}))
	{
		my ($what, $n, $m) = split /\|/, $line;

		next if !defined $n;
		$prepared += $n if $what eq 'prepared';
		$invalid += $n if $what eq 'invalid';
		$trouble .= "$n indexes are still not valid\n" if $what eq 'still' && $n > 0;
		next if $what ne 'client';
		my $told = $node->{acknowledged}[$n];
		$trouble .= "client $n was told of $told transactions, $m are there\n" if $m != $told && $m != $told + 1;
	}
	return $trouble;
}

=item pgbench_differences(node)

What differs, or is not sound.

=cut

sub pgbench_differences
{
	my ($node) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', 'SELECT pb_differences()');

	return $rc == 0 ? $out : "$out\n$err";
}

=item pgbench_between(node, round)

Seals, vacuums, rebuilds, and writes more.

=cut

sub pgbench_between
{
	my ($node, $round) = @_;

	$node->safe_psql('postgres', $_) foreach q{SELECT kyro.snapshot('s')}, $round % 2 ? 'VACUUM (INDEX_CLEANUP ON) h, s' : 'VACUUM FULL s', 'VACUUM ANALYZE',
	  q{SELECT leaves FROM pg_index, kyro.rebuild(indexrelid) WHERE indrelid IN ('h'::regclass, 's'::regclass)}, map { "SELECT pb_step('$_', 1, $round)" } @kinds;
}

=item pgbench_done()

Transactions, and other figures as text.

=cut

sub pgbench_done
{
	return ($transactions, "all that were acknowledged are there; $prepared were prepared, $invalid indexes left invalid");
}

1;

__DATA__
SET client_min_messages = error;
CREATE SEQUENCE ids INCREMENT 64;
CREATE TABLE done (client int PRIMARY KEY, n bigint NOT NULL) WITH (fillfactor = 10);
CREATE TABLE h (id bigint NOT NULL, k bigint, t timestamptz, own int NOT NULL, v int NOT NULL DEFAULT 0, p text) USING heap WITH (fillfactor = 80);
CREATE TABLE s (LIKE h INCLUDING ALL) USING kyro;
CREATE TABLE b (LIKE h INCLUDING ALL) USING heap;
CREATE UNIQUE INDEX h_id ON h USING kyro_rmi (id);
CREATE INDEX h_k ON h USING kyro_rmi (k);
CREATE INDEX h_t ON h USING kyro_rmi (t);
CREATE UNIQUE INDEX s_id ON s USING kyro_rmi (id);
CREATE INDEX s_k ON s USING kyro_rmi (k);
CREATE INDEX s_t ON s USING kyro_rmi (t);
CREATE UNIQUE INDEX b_id ON b (id);
CREATE INDEX b_k ON b (k);
CREATE INDEX b_t ON b (t);

-- A statement, for all three: $t is the table.
CREATE FUNCTION pb_all(q text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	tbl text;
	n bigint;
	before bigint;
BEGIN
	FOREACH tbl IN ARRAY '{h,s,b}'::text[] LOOP
		EXECUTE replace(q, '$t', tbl);
		GET DIAGNOSTICS n = ROW_COUNT;
		IF n <> before THEN
			RAISE EXCEPTION 'twins differ in %: % rows, before: %', tbl, n, before USING ERRCODE = 'KY001', DETAIL = q;
		END IF;
		before := n;
	END LOOP;
END $$;
CREATE FUNCTION pb_int(below int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * below)::int';

-- One transaction of a client.  r: seed.
CREATE FUNCTION pb_step(kind text, client int, r int) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
	lo bigint;
	hi bigint;
	col text;
	mine text := format('own = %s', client);
	salt int;
	undo boolean;
BEGIN
	PERFORM setseed(r / 1000000000.0);
	salt := pb_int(1000000);
	undo := random() < 0.07;
	BEGIN
		IF kind = 'asc' THEN
			lo := nextval('ids');
			PERFORM pb_all(format('INSERT INTO $t SELECT g, g * 10 + %s, timestamptz ''2026-01-01 00:00Z'' + g * interval ''1 ms'', %s, 0, CASE WHEN g %% 61 = 0 THEN repeat(md5(g::text), 90) ELSE g::text END
				FROM generate_series(%s::bigint, %s) g', salt % 10, client, lo, lo + pb_int(64)));
		ELSIF kind = 'ran' THEN
			-- an odd factor makes different numbers of different numbers
			lo := nextval('ids');
			PERFORM pb_all(format('INSERT INTO $t SELECT (1::bigint << 41) + (g * 2654435761 & ((1::bigint << 40) - 1)),
					CASE g %% 23 WHEN 3 THEN NULL WHEN 5 THEN 9223372036854775807 WHEN 6 THEN (-9223372036854775808) WHEN 7 THEN g %% 100 ELSE hashint8extended(g, %s) END,
					timestamptz ''2026-01-01 00:00Z'' + (hashint8(g) %% 30000000) * interval ''1 s'', %s, 0, NULL
				FROM generate_series(%s::bigint, %s) g', salt, client, lo, lo + pb_int(40)));
		ELSIF kind IN ('upd', 'del') THEN
			-- some rows that follow one another, here or there; deletes often take the oldest
			col := (ARRAY['id', 'id', 'k', 't'])[1 + pb_int(4)];
			IF col = 't' THEN
				lo := pb_int(30000000);
				mine := format('%s AND t BETWEEN timestamptz ''2026-01-01 00:00Z'' + %s * interval ''1 s'' AND timestamptz ''2026-01-01 00:00Z'' + %s * interval ''1 s''',
					mine, lo, lo + 20000);
			ELSE
				EXECUTE format('SELECT min(x), max(x) FROM (SELECT %1$I AS x FROM b WHERE %1$I >= %2$s ORDER BY %1$I LIMIT %3$s) o', col,
					CASE WHEN col = 'k' THEN hashint8extended(r, 2) WHEN random() < 0.5 THEN 1 ELSE pb_int(1 << 21)::bigint << 21 END,
					CASE kind WHEN 'del' THEN 20 + pb_int(300) ELSE 10 + pb_int(60) END) INTO lo, hi;
				mine := format('%s AND %I BETWEEN %s AND %s', mine, col, coalesce(lo, 0), coalesce(hi, 0));
			END IF;
			IF kind = 'upd' THEN
				PERFORM pb_all(format('UPDATE $t SET %s WHERE %s', (ARRAY['v = v + 1', 'v = v + 1', format('k = k # %s', salt), format('k = k # %s::bigint << 30', salt),
					't = t + interval ''1 hour''', 'p = left(p, 2000) || id, v = 0', 'k = NULL', format('k = hashint8extended(id, %s)', salt)])[1 + pb_int(8)], mine));
			ELSE
				-- perhaps the same ids again
				PERFORM pb_all(CASE WHEN random() < 0.2 THEN format('WITH gone AS (DELETE FROM $t WHERE %s RETURNING *) INSERT INTO $t SELECT id, k, t, own, v + 1, p FROM gone WHERE v < 5', mine)
					ELSE format('DELETE FROM $t WHERE %s', mine) END);
			END IF;
		ELSE
			-- a key that others want too: the upsert locks its row, there or not
			lo := -1 - pb_int(300);
			PERFORM pb_all(format('INSERT INTO $t VALUES (%1$s, %2$s, now(), -1) ON CONFLICT (id) DO UPDATE SET v = $t.v + 1, k = %2$s', lo, salt));
			IF random() < 0.5 THEN
				PERFORM pb_all(format('DELETE FROM $t WHERE id = %s', lo));
			END IF;
		END IF;
		IF undo THEN
			RAISE EXCEPTION 'undo' USING ERRCODE = 'KY002';
		END IF;
	EXCEPTION WHEN SQLSTATE 'KY002' THEN
		NULL;
	END;
	UPDATE done SET n = n + 1 WHERE done.client = pb_step.client;
END $$;

-- Less than so many rows.
CREATE FUNCTION pb_shrink(many int, how int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF (SELECT count(*) FROM b) > many THEN
		IF how = 0 THEN
			TRUNCATE h, s, b;
		ELSE
			PERFORM pb_all(CASE how WHEN 1 THEN 'DELETE FROM $t WHERE id & 7 <> 0' ELSE 'DELETE FROM $t WHERE id > (SELECT percentile_disc(0.1) WITHIN GROUP (ORDER BY id) FROM $t)' END);
		END IF;
	END IF;
END $$;

-- All ways in which the tables differ, or an index from its table, when nobody writes.
CREATE FUNCTION pb_differences() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	tbl text;
	col text;
	mode text;
	dir text;
	q text;
	want text;
	got text;
	plan jsonb;
	-- rows in order of the index: how many, which, how many out of order
	ordered text := 'SELECT count(*) || '' '' || coalesce(sum(hashtextextended(r, 0)), 0) || '' '' || count(*) FILTER (WHERE %2$I %4$s p OR (%2$I IS NULL) %4$s (p IS NULL))
		FROM (SELECT r, %2$I, lag(%2$I, 1, %2$I) OVER () AS p FROM (SELECT %2$I, %5$s::text AS r FROM %1$I x ORDER BY %2$I %3$s) o) l';
	points text := 'SELECT count(*) || '' '' || coalesce(sum(hashtextextended(x::text, 0)), 0) FROM (SELECT DISTINCT %2$I FROM b WHERE hashint8(id) %% 32 = 7 LIMIT 3000) p,
		LATERAL (SELECT * FROM %1$I WHERE %1$I.%2$I = p.%2$I OFFSET 0) x';
BEGIN
	PERFORM scan_mode('seq');
	FOREACH tbl IN ARRAY '{h,s}'::text[] LOOP
		RETURN QUERY EXECUTE format('(SELECT ''%1$s alone has '' || left(x::text, 200) FROM (TABLE %1$s EXCEPT ALL TABLE b) x ORDER BY 1 LIMIT 5)
			UNION ALL (SELECT ''%1$s lacks '' || left(x::text, 200) FROM (TABLE b EXCEPT ALL TABLE %1$s) x ORDER BY 1 LIMIT 5)', tbl);
	END LOOP;
	RETURN QUERY SELECT 'verify, ' || c.relname || ': ' || block || ': ' || problem
		FROM pg_class c JOIN pg_am m ON m.oid = c.relam AND m.amname IN ('kyro_rmi', 'kyro'), LATERAL kyro.verify(c.oid::regclass, true);
	FOREACH col IN ARRAY '{id,k,t}'::text[] LOOP
		FOREACH mode IN ARRAY '{index,indexonly}'::text[] LOOP
			PERFORM scan_mode('seq');
			EXECUTE format(ordered, 'b', col, 'ASC', '<', CASE mode WHEN 'index' THEN 'x' ELSE col END) INTO want;
			PERFORM scan_mode(mode);
			FOREACH tbl IN ARRAY '{h,s}'::text[] LOOP
				FOREACH dir IN ARRAY '{ASC,DESC}'::text[] LOOP
					q := format(ordered, tbl, col, dir, CASE dir WHEN 'ASC' THEN '<' ELSE '>' END, CASE mode WHEN 'index' THEN 'x' ELSE col END);
					EXECUTE 'EXPLAIN (FORMAT JSON) ' || q INTO plan;
					IF plan::text NOT LIKE '%"Index Name": "' || tbl || '_%' THEN
						RETURN NEXT format('%s by %s: no index is used', q, mode);
					END IF;
					EXECUTE q INTO got;
					IF got <> want THEN
						RETURN NEXT format('%s.%s, %s, %s: %s, not %s', tbl, col, mode, dir, got, want);
					END IF;
				END LOOP;
			END LOOP;
		END LOOP;
		PERFORM scan_mode('index'), set_config('enable_sort', 'on', true);
		EXECUTE format(points, 'b', col) INTO want;
		FOREACH mode IN ARRAY '{index,bitmap}'::text[] LOOP
			PERFORM scan_mode(mode), set_config('enable_sort', 'on', true);
			FOREACH tbl IN ARRAY '{h,s}'::text[] LOOP
				EXECUTE format(points, tbl, col) INTO got;
				IF got <> want THEN
					RETURN NEXT format('%s.%s by key, %s: %s, not %s', tbl, col, mode, got, want);
				END IF;
			END LOOP;
		END LOOP;
	END LOOP;
END $$;

SELECT pb_step(kind, i % 4, i * 1000) FROM generate_series(1, 20) i, unnest('{asc,ran,upd}'::text[]) kind;
