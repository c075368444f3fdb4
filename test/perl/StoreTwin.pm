
=pod

=head1 NAME

StoreTwin - a kyro table and its heap twin, under random load

=head1 DESCRIPTION

Table C<a> is a kyro table and C<b> its twin, a heap; C<ca> and C<cb> are children of theirs
by foreign keys.  Sessions of random transactions change both: each
statement is run for C<a> and C<ca>, then for C<b> and C<cb>, in one transaction, and what
it returns or counts is compared at once.  So at any time, to any snapshot,
twins are equal; each side of a difference says what was lost.

Statements of one pair must not see different data because somebody commits
between them.  There are three spaces of keys, each with a reason why they cannot:

=over

=item C<g>, guarded

Transactions take an advisory lock on the bucket of keys (C<id % 16>) that they work in.
Here everything is allowed.

=item C<u>, permanent

Rows that are never deleted, always selected by C<id>; no other lock than the
rows' own.  The lock on C<a>'s row comes first and is held till the end, so it guards C<b>'s.

=item C<r>, volatile

Keys that come and go.  Transactions are REPEATABLE READ or SERIALIZABLE, so both statements
see the same; or they are READ COMMITTED and begin with an upsert, which locks the row
whether it was there or not.

=back

Environment: KYRO_STORE_AM=heap makes both twins heaps, which tests the test;
KYRO_SEED is the seed of the random choices.

=cut

package StoreTwin;

use strict;
use warnings;
use File::Basename;
use File::Temp;
use IPC::Open2;
use IPC::Run;
use Test::More;
use Time::HiRes;
use Exporter 'import';

our @EXPORT = qw(twin_am twin_seed twin_setup twin_start twin_stop twin_join twin_settle twin_differences twins_agree twin_totals);

use constant {
	BUCKETS => 16,
	GUARDED => 2400,			# ids 0 ..
	PERMANENT => 300,			# ids 100000 ..
	VOLATILE => 200,			# ids 200000 ..
	COPIED => 300000,			# ids from here on, 1000 for each session
};

# What a session may meet.  Everything else is reported.
my %expected = map { $_ => 1 } (
	'40001',	# serialization failure
	'3B001',	# the transaction failed before it had a savepoint
	'40P01',	# deadlock
	'23505',	# unique violation
	'23503',	# foreign key violation
	'24000',	# WHERE CURRENT OF beyond the last row
	'25P02',	# the transaction is aborted already
	'42704',	# COMMIT PREPARED of a transaction that could not be prepared
	'54000',	# row too big
	'55P03',	# NOWAIT
	'55006',	# seal: rows that the own transaction has locked
	'25001',	# seal: fixed snapshot
);

# and when the server is killed
my %expected_in_crash = map { $_ => 1 } ('57P01', '57P02', '57P03');

sub twin_am { return $ENV{KYRO_STORE_AM} // 'kyro'; }
sub twin_seed { return $ENV{KYRO_SEED} // 20261121; }

# sums over all sessions that were joined
my %totals = (statements => 0, transactions => 0, errors => {});

=item twin_setup(node, unique => 'btree'|'kyro_rmi')

Creates extension, tables, some rows, and the functions of the load.  unique:
the access method of the second unique index of C<a>.

=cut

sub twin_setup
{
	my ($node, %opt) = @_;
	my $am = twin_am();
	my $unique = $opt{unique} // 'btree';
	my $buckets = BUCKETS;
	my $per_bucket = GUARDED / BUCKETS;
	my $permanent = PERMANENT;
	my $volatile = VOLATILE;

	$node->safe_psql('postgres', qq{
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
CREATE TABLE a (
	id bigint PRIMARY KEY,
	uq bigint NOT NULL,
	k bigint,
	u int,
	s text,
	tags int[],
	f boolean NOT NULL DEFAULT false,
	n int NOT NULL DEFAULT 0,
	t timestamptz,
	h int DEFAULT 7,
	w text,
	g bigint GENERATED ALWAYS AS (id * 31 + n) STORED
) USING $am;
ALTER TABLE a ALTER s SET STORAGE EXTERNAL, ALTER w SET STORAGE PLAIN;
CREATE TABLE b (LIKE a INCLUDING GENERATED INCLUDING DEFAULTS INCLUDING STORAGE, PRIMARY KEY (id)) USING heap;
CREATE UNIQUE INDEX a_uq ON a USING $unique (uq);
CREATE INDEX a_k ON a USING kyro_rmi (k);
CREATE INDEX a_u ON a USING hash (u);
CREATE INDEX a_part ON a (n) WHERE f;
CREATE INDEX a_expr ON a (("left"(s, 8)), u);
CREATE INDEX a_tags ON a USING gin (tags);
CREATE INDEX a_t ON a USING brin (t) WITH (pages_per_range = 2);
CREATE UNIQUE INDEX b_uq ON b (uq);
CREATE INDEX b_k ON b (k);
CREATE INDEX b_u ON b (u);

CREATE TABLE ca (
	id bigint PRIMARY KEY,
	aid bigint REFERENCES a ON UPDATE CASCADE ON DELETE CASCADE,
	rid bigint REFERENCES a,
	v text
) USING $am;
CREATE INDEX ca_aid ON ca USING kyro_rmi (aid);
CREATE INDEX ca_rid ON ca (rid);
CREATE TABLE cb (
	id bigint PRIMARY KEY,
	aid bigint REFERENCES b ON UPDATE CASCADE ON DELETE CASCADE,
	rid bigint REFERENCES b,
	v text
) USING heap;
CREATE INDEX cb_aid ON cb (aid);
CREATE INDEX cb_rid ON cb (rid);

-- indexes that REINDEX CONCURRENTLY drops
CREATE TABLE tw_replaced (index oid) USING heap;

CREATE FUNCTION tw_int(below int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT floor(random() * below)::int';
CREATE FUNCTION tw_guarded(bucket int) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT $buckets * floor(random() * $per_bucket)::bigint + bucket';
CREATE FUNCTION tw_permanent() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT 100000 + floor(random() * $permanent)::bigint';
CREATE FUNCTION tw_volatile() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT 200000 + floor(random() * $volatile)::bigint';
});
	$node->safe_psql('postgres', slurp_data());
	$node->safe_psql('postgres', qq{
SELECT setseed(0.5);
SELECT tw_pair('rows', format('INSERT INTO \$t (id, uq, k, u, s, tags, f, n, t, h, w) VALUES %s RETURNING \$t.*', tw_row(g)))
	FROM (SELECT generate_series(100000, 100000 + $permanent - 1) UNION ALL SELECT generate_series(0, $buckets * $per_bucket - 1, 2)) i(g);
});
}

=item twin_start(node, seconds, writers => n, readers => n, maintenance => n, seed => s)

Starts sessions, each in a process of its own that ends after that many seconds or when the
server goes away.  Returns a load for twin_stop and twin_join.

=cut

sub twin_start
{
	my ($node, $seconds, %opt) = @_;
	my $load = { node => $node, sessions => [] };
	my $dir = dirname(__FILE__);
	my $n = 0;

	foreach my $kind (qw(writer reader maintenance))
	{
		foreach my $i (1 .. $opt{ $kind . 's' } // $opt{$kind} // 0)
		{
			my $s = { kind => $kind, out => '', number => $n };

			$s->{handle} = IPC::Run::start(
				[ $^X, '-I', $dir, '-MStoreTwin', '-e', 'StoreTwin::session(@ARGV)',
					$kind, $n++, ($opt{seed} // twin_seed()), $seconds, $node->connstr('postgres') ],
				'<', \undef, '>&', \$s->{out});
			push @{ $load->{sessions} }, $s;
		}
	}
	return $load;
}

=item twin_join(load, crashed)

Waits for the sessions of a load.  Returns what none should have met, as text: '' is good.
crashed: the server was killed meanwhile.

=cut

sub twin_join
{
	my ($load, $crashed) = @_;
	my $trouble = '';

	foreach my $s (@{ $load->{sessions} })
	{
		my $who = "$s->{kind} $s->{number}";
		my $done = 0;
		my $excused = 0;

		$s->{handle}->finish;
		foreach my $line (split /\n/, $s->{out})
		{
			# what belongs to the message before
			next if $excused && $line =~ /^    /;
			$excused = 0;
			if ($line =~ /^total (\d+) (\d+)$/)
			{
				$totals{statements} += $1;
				$totals{transactions} += $2;
				$done = 1;
			}
			elsif ($line =~ /^error (\w{5}) (\d+)$/ && ($expected{$1} || ($crashed && $expected_in_crash{$1})))
			{
				$totals{errors}{$1} += $2;
			}
			elsif ($line eq 'lost' && $crashed)
			{
			}
			elsif ($line =~ /ERROR:  XX000: could not open relation with OID (\d+)$/ && index_was_replaced($load->{node}, $1))
			{
				$excused = 1;
				$totals{errors}{'an index that is gone'}++;
			}
			else
			{
				$trouble .= "$who: $line\n";
			}
		}
		$trouble .= "$who: ended without a word\n" if !$done;
	}
	return $trouble;
}

# Is this a standby, and that the index that REINDEX CONCURRENTLY has dropped?  On the primary it waits before it drops the index until nobody uses the
# table any more, but replay waits for nobody.  So on a standby a query that has the list of a table's indexes may find one of them gone, whatever
# the access methods.
sub index_was_replaced
{
	my ($node, $oid) = @_;

	return $node->safe_psql('postgres', "SELECT pg_is_in_recovery() AND EXISTS (SELECT FROM tw_replaced WHERE index = $oid)") eq 't';
}

=item twin_totals()

What all sessions did so far: statements (pairs of them), transactions, errors by SQLSTATE.

=cut

sub twin_totals
{
	my $e = $totals{errors};

	return ($totals{statements}, $totals{transactions}, join(', ', map { "$_: $e->{$_}" } sort keys %$e));
}

=item twin_settle(node, seed)

Ends prepared transactions that a crash left, either way, and drops what REINDEX CONCURRENTLY
leaves when it fails.  Returns how many transactions there were.

=cut

sub twin_settle
{
	my ($node, $seed) = @_;
	my $n = 0;

	foreach my $gid (split /\n/, $node->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts ORDER BY 1'))
	{
		$node->safe_psql('postgres', (($seed + $n++) % 3 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid'");
	}
	foreach my $index (split /\n/, $node->safe_psql('postgres', q{SELECT indexrelid::regclass FROM pg_index WHERE indexrelid::regclass::text ~ '_cc(new|old)'}))
	{
		$node->safe_psql('postgres', "DROP INDEX $index");
	}
	return $n;
}

=item twin_differences(node)

Compares the twins in every way, and runs kyro.verify on all of the first's; nobody may
change them meanwhile.  Returns a text, '' if there is nothing to say.

=cut

sub twin_differences
{
	my ($node) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', 'SELECT tw_differences()');

	return $rc == 0 ? $out : "$out\n$err";
}

=item twins_agree(node, what)

That as one test.

=cut

sub twins_agree
{
	my ($node, $what) = @_;

	return is(twin_differences($node), '', $what);
}

# ---- in the process of a session ----

# One transaction of a writer, as input of psql.
my $files = 0;

sub writer_transaction
{
	my ($number, $dir) = @_;
	my $r = rand();
	my $step = sub {
		my ($space) = @_;
		return sprintf("SELECT tw_step(%.9f, '%s', %d, %d);\n", rand() * 2 - 1, $space, 1 + int(rand(10)), $number);
	};
	my $any = sub { return $step->(rand() < 0.7 ? 'g' : 'u'); };
	my $end = sub { return rand() < 0.75 ? "COMMIT;\n" : "ROLLBACK;\n"; };

	return sprintf("SELECT tw_fast(%.9f, %d);\n", rand() * 2 - 1, 50 + int(rand(300))) if $r < 0.15;
	return $step->('g') if $r < 0.42;
	return $step->('u') if $r < 0.62;
	return "BEGIN ISOLATION LEVEL REPEATABLE READ;\n" . $step->('r') . (rand() < 0.3 ? $step->('r') : '') . $end->() if $r < 0.74;
	return "BEGIN ISOLATION LEVEL SERIALIZABLE;\n" . $step->('r') . $end->() if $r < 0.76;
	return "BEGIN ISOLATION LEVEL REPEATABLE READ;\n" . $step->('g') . $end->() if $r < 0.78;
	if ($r < 0.88)
	{
		return "BEGIN;\n" . $any->() . "SAVEPOINT s1;\n" . $any->()
		  . (rand() < 0.3 ? "SAVEPOINT s2;\n" . $any->() . "ROLLBACK TO s1;\n" : '')
		  . (rand() < 0.5 ? "ROLLBACK TO s1;\n" : "RELEASE s1;\n") . $any->() . $end->();
	}
	if ($r < 0.92)
	{
		my $gid = "w$number " . int(rand(1e9));

		return "BEGIN;\n" . $any->() . "PREPARE TRANSACTION '$gid';\n"
		  . (rand() < 0.7 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid';\n";
	}
	return "BEGIN;\n" . $any->() . "SELECT tw_seal('" . (rand() < 0.7 ? 'a' : 'ca') . "', " . (rand() < 0.5 ? 'NULL' : 1 + int(rand(300))) . ");\n"
	  . $any->() . $end->() if $r < 0.94;
	if ($r < 0.97)
	{
		# rows of a file, in a range of ids of our own
		my $lo = COPIED + 1000 * $number + int(rand(900));
		my $hi = $lo + int(rand(60));
		my $file = "$dir/copy" . ($files++ % 8);

		open(my $fh, '>', $file) or die "cannot write $file: $!";
		foreach my $id ($lo .. $hi)
		{
			print $fh join("\t", $id, $id * 1000, rand() < 0.1 ? '\N' : int(rand(1e6)), int(rand(200)),
				rand() < 0.05 ? 'long' x 700 : "copied $id", '{1,' . int(rand(30)) . '}', 't', 1, '2026-01-01 00:00:00Z', 0, '\N') . "\n";
		}
		close($fh);
		return "BEGIN;\nDELETE FROM a WHERE id BETWEEN $lo AND $hi;\nDELETE FROM b WHERE id BETWEEN $lo AND $hi;\n"
		  . "\\copy a (id, uq, k, u, s, tags, f, n, t, h, w) from '$file'\n\\copy b (id, uq, k, u, s, tags, f, n, t, h, w) from '$file'\n" . $end->()
		  . "\\echo 4\n";
	}
	# a cursor of the client's, open across other statements, holding its place
	return "BEGIN;\nSELECT tw_lock_bucket($number % " . BUCKETS . ");\n"
	  . join('', map { "DECLARE c$_ CURSOR FOR SELECT id FROM $_ WHERE id % " . BUCKETS . " = $number % " . BUCKETS . " AND id < " . GUARDED . " ORDER BY id FOR UPDATE;\n" } qw(a b))
	  . join('', map { my $m = 1 + int(rand(20)); map { "MOVE $m FROM c$_;\nUPDATE $_ SET h = h + $m WHERE CURRENT OF c$_;\n" } qw(a b) } 1 .. 3)
	  . join('', map { my $m = 1 + int(rand(5)); map { "MOVE $m FROM c$_;\nDELETE FROM $_ WHERE CURRENT OF c$_;\n" } qw(a b) } 1 .. 1)
	  . $end->() . "\\echo 8\n";
}

# Snapshots are looked at twice: what they see does not change, whatever happens meanwhile.
sub reader_transaction
{
	my $probe = sub { return sprintf("SELECT tw_probe(%.9f);\n", rand() * 2 - 1); };

	return "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT tw_mark();\n" . $probe->() . $probe->()
	  . sprintf("SELECT pg_sleep(%.3f);\n", rand() * 0.4) . $probe->() . $probe->()
	  . "SELECT tw_compare_mark();\nCOMMIT;\n" if rand() < 0.7;
	return "BEGIN ISOLATION LEVEL REPEATABLE READ;\nDECLARE ca CURSOR FOR SELECT * FROM a ORDER BY id;\nDECLARE cb CURSOR FOR SELECT * FROM b ORDER BY id;\n"
	  . join('', map { my $n = int(rand(200)); "SELECT tw_fetch('ca', 'cb', $n);\n" } 1 .. 8) . "COMMIT;\n" if rand() < 0.7;
	return "SELECT 'unsound, ' || block || ': ' || problem FROM tw_verify('a', " . (rand() < 0.3 ? 'true' : 'false') . ");\n" if rand() < 0.3;
	return $probe->();
}

# Not among them: TRUNCATE and ALTER TABLE that rewrites, after which core too
# shows old snapshots an empty table.
sub maintenance_transaction
{
	my $t = rand() < 0.75 ? 'a' : 'ca';
	my $r = rand();

	return "SELECT tw_seal('$t', NULL);\n" if $r < 0.17;
	return "VACUUM b, cb;\n" if $r < 0.25;
	return "SELECT tw_seal('$t', " . (1 + int(rand(500))) . ");\n" if $r < 0.38;
	return "BEGIN;\nSELECT tw_seal('$t', NULL);\nROLLBACK;\n" if $r < 0.43;
	return "BEGIN;\nSAVEPOINT s;\nSELECT tw_seal('$t', 200);\nROLLBACK TO s;\nSELECT tw_seal('$t', NULL);\nCOMMIT;\n" if $r < 0.47;
	return "VACUUM $t;\n" if $r < 0.54;
	return twin_am() eq 'kyro' ? "SET client_min_messages = warning;\nCALL kyro.compact('$t', " . (10 + int(rand(1000))) . ");\nRESET client_min_messages;\n" : "VACUUM $t;\n" if $r < 0.58;
	return "VACUUM (INDEX_CLEANUP ON) $t;\n" if $r < 0.68;
	return "VACUUM (INDEX_CLEANUP OFF) $t;\n" if $r < 0.70;
	return "VACUUM (FREEZE) $t;\n" if $r < 0.75;
	return "VACUUM (DISABLE_PAGE_SKIPPING, INDEX_CLEANUP ON) $t;\n" if $r < 0.77;
	return "VACUUM FULL $t;\n" if $r < 0.82;
	return "VACUUM (FULL, FREEZE) $t;\n" if $r < 0.83;
	return "CLUSTER a USING " . (rand() < 0.5 ? 'a_pkey' : 'a_expr') . ";\n" if $r < 0.86;
	return "ALTER TABLE a SET WITHOUT CLUSTER;\n" if $r < 0.87;
	return "ANALYZE $t;\n" if $r < 0.90;
	return "REINDEX TABLE $t;\n" if $r < 0.92;
	return "REINDEX INDEX " . (qw(a_pkey a_k a_u a_part a_expr a_tags a_t))[ int(rand(7)) ] . ";\n" if $r < 0.94;
	if ($r < 0.95)
	{
		my $index = (qw(a_pkey a_uq a_k a_u ca_aid))[ int(rand(5)) ];

		return "INSERT INTO tw_replaced VALUES ('$index'::regclass);\nREINDEX INDEX CONCURRENTLY $index;\n";
	}
	return "SELECT 'unsound, ' || block || ': ' || problem FROM tw_verify('$t', false);\n" if $r < 0.98;
	return "CHECKPOINT;\n";
}

sub session
{
	my ($kind, $number, $seed, $seconds, $connstr) = @_;
	my $dir = File::Temp::tempdir(CLEANUP => 1);
	my $end = Time::HiRes::time() + $seconds;
	my ($statements, $transactions, $lost) = (0, 0, 0);
	my $in_flight = 0;
	my %errors;
	my @unexpected;
	my ($failed, $details, $conflict) = (0, 0, 0);
	my $what = \&{"${kind}_transaction"};

	srand($seed * 64 + $number);
	$SIG{PIPE} = 'IGNORE';
	my ($pid, $in, $out, $connect);
	$connect = sub {
		$pid = open2($out, $in, 'sh', '-c', 'exec psql -X -q -A -t -n -v VERBOSITY=verbose -v SHOW_CONTEXT=always -d "$0" 2>&1', $connstr);
		$in->autoflush(1);
		print $in "SET deadlock_timeout = '" . (10 + 7 * $number) . "ms';\nSET work_mem = '" . (rand() < 0.2 ? '64kB' : '4MB') . "';\n"
		  . "SET synchronous_commit = " . (rand() < 0.5 ? 'on' : 'off') . ";\nSET max_parallel_workers_per_gather = 0;\n";
		$in_flight = 0;
	};
	$connect->();

	while ($in_flight > 0 || Time::HiRes::time() < $end)
	{
		# never far ahead, so that we end in time
		while ($in_flight < 3 && Time::HiRes::time() < $end)
		{
			print $in $what->($number, $dir), "\\echo done\n";
			$in_flight++;
		}
		my $line = <$out>;
		if (!defined $line)
		{
			waitpid($pid, 0);
			if ($conflict)
			{
				# replay on a standby ended the session, not the server
				$connect->();
				($conflict, $lost, $failed) = (0, 0, 0);
				next;
			}
			$lost = 1;
			last;
		}
		chomp $line;
		if ($line eq 'done')
		{
			$in_flight--;
			$transactions++;
			$failed = 0;
		}
		elsif ($line =~ /^\d+$/)
		{
			$statements += $line;
		}
		elsif ($line =~ /(?:ERROR|FATAL|PANIC): +(\w{5}): /)
		{
			my $code = $1;

			$errors{$code}++;
			$failed = 1;
			$conflict = 1 if $line =~ /FATAL: +40(?:001|P01)/;
			$details = $expected{$code} || $expected_in_crash{$code} ? 0 : 12;
			push @unexpected, $line if $details;
		}
		elsif ($line =~ /FATAL: +(?:terminating connection|canceling statement) due to conflict with recovery/)
		{
			# before or just after it has connected, when psql does not print SQLSTATEs yet
			$errors{'40001'}++;
			$conflict = $failed = 1;
		}
		elsif ($line =~ /server closed the connection|connection to server (?:was lost|.* failed)|could not (?:send|receive) data|no connection to the server/i)
		{
			$lost = $failed = 1;
		}
		elsif ($line =~ /WARNING: +(\w{5}): /)
		{
			push @unexpected, $line if !$expected_in_crash{$1};
			$failed = 1;
		}
		elsif ($failed && $line !~ /^unsound/)
		{
			# what belongs to the message before
			push @unexpected, '    ' . substr($line, 0, 1000) if $details-- > 0;
		}
		elsif ($line ne '' && $line !~ /^[^:]*NOTICE: /)
		{
			push @unexpected, 'says: ' . substr($line, 0, 1000);
		}
		last if @unexpected > 60;
	}
	close($in);
	while (defined(my $line = <$out>)) { }
	waitpid($pid, 0) if !$lost;
	print "total $statements $transactions\n";
	print "lost\n" if $lost;
	print "error $_ $errors{$_}\n" foreach grep { $expected{$_} || $expected_in_crash{$_} } sort keys %errors;
	print "$_\n" foreach @unexpected;
}

sub slurp_data
{
	local $/;
	return <DATA>;
}

1;

__DATA__
-- random values, as SQL texts
CREATE FUNCTION tw_text() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	r float8 := random();
BEGIN
	RETURN CASE WHEN r < 0.08 THEN NULL
		WHEN r < 0.11 THEN repeat(md5(r::text), 80)		-- one chunk of TOAST and more
		WHEN r < 0.115 THEN repeat(md5(r::text), 700)
		ELSE left(md5(r::text), 1 + tw_int(32)) END;
END $$;
CREATE FUNCTION tw_k() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	r float8 := random();
BEGIN
	RETURN CASE WHEN r < 0.1 THEN 'NULL'
		WHEN r < 0.3 THEN tw_int(50)::text
		WHEN r < 0.31 THEN '9223372036854775807'
		WHEN r < 0.32 THEN '(-9223372036854775808)'
		ELSE ((random() * 1e12)::bigint - 500000000000)::text END;
END $$;
CREATE FUNCTION tw_tags() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	r float8 := random();
BEGIN
	RETURN CASE WHEN r < 0.1 THEN NULL WHEN r < 0.15 THEN '{}' ELSE format('{1,%s,%s}', tw_int(40), tw_int(40)) END;
END $$;
CREATE FUNCTION tw_row(id bigint) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	RETURN format('(%s::bigint, %s::bigint, %s::bigint, %s, %L, %L::int[], %L::boolean, %s, timestamptz ''2026-01-01 00:00Z'' + %s * interval ''1 min'', %s, %L)',
		id, id * 1000 + tw_int(1000), tw_k(), tw_int(200), tw_text(), tw_tags(), random() < 0.5, tw_int(100), tw_int(100000), tw_int(9),
		CASE WHEN random() < 0.005 THEN repeat('w', 7000 + tw_int(1050)) END);
END $$;
-- the same for generated rows, of which the id is an expression
CREATE FUNCTION tw_row_of(id text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	RETURN format('%1$s, %1$s * 1000, nullif(%1$s * %2$s %% 977, 5), (%1$s * %2$s %% 200)::int, %3$L || %1$s, ARRAY[1, (%1$s %% 40)::int], %1$s %% 2 = 0, 0,
		timestamptz ''2026-01-01 00:00Z'' + %1$s * interval ''1 min'', 0, NULL::text', id, 1 + tw_int(1000), tw_text());
END $$;
CREATE FUNCTION tw_set() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	r float8 := random();
BEGIN
	RETURN CASE WHEN r < 0.25 THEN 'h = $t.h + 1'						-- no indexed column: may be HOT
		WHEN r < 0.45 THEN 'n = $t.n + 1'
		WHEN r < 0.55 THEN 'k = ' || tw_k()
		WHEN r < 0.60 THEN format('u = %s, h = 0', tw_int(200))
		WHEN r < 0.70 THEN format('s = %L', tw_text())
		WHEN r < 0.74 THEN 's = left($t.s, 3000) || $t.n'
		WHEN r < 0.80 THEN format('tags = %L', tw_tags())
		WHEN r < 0.85 THEN 'f = NOT $t.f'
		WHEN r < 0.92 THEN format('uq = $t.id * 1000 + %s', tw_int(1000))	-- a key that could be referenced
		WHEN r < 0.95 THEN 's = NULL, k = NULL, tags = NULL'
		WHEN r < 0.98 THEN 't = $t.t + interval ''1 day'''
		WHEN r < 0.985 THEN format('w = repeat(''w'', %s)', 7000 + tw_int(1050))
		ELSE 'w = NULL' END;
END $$;

CREATE FUNCTION tw_mode(mode text) RETURNS void LANGUAGE sql AS $$
	SELECT set_config('enable_seqscan', (mode IN ('seq', 'any'))::text, true),
		set_config('enable_indexscan', (mode IN ('index', 'indexonly', 'any'))::text, true),
		set_config('enable_indexonlyscan', (mode IN ('indexonly', 'any'))::text, true),
		set_config('enable_bitmapscan', (mode IN ('bitmap', 'any'))::text, true)
$$;

CREATE FUNCTION tw_unequal(what text, q text, x text, y text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'twins differ: %', what USING ERRCODE = 'KY001', DETAIL = format('%s: %s, twin: %s', left(q, 1000), left(x, 600), left(y, 600));
END $$;

-- A statement, for both: $t is the table, $c its child.  how: 'rows' compares
-- what RETURNING returns, 'select' what a query does, 'count' the number of rows.
-- Returns 1.
CREATE FUNCTION tw_pair(how text, q text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	qa text := replace(replace(q, '$t', 'a'), '$c', 'ca');
	qb text := replace(replace(q, '$t', 'b'), '$c', 'cb');
	x text;
	y text;
BEGIN
	IF how = 'count' THEN
		EXECUTE qa;
		GET DIAGNOSTICS x = ROW_COUNT;
		EXECUTE qb;
		GET DIAGNOSTICS y = ROW_COUNT;
	ELSE
		IF how = 'rows' THEN
			qa := 'WITH x AS (' || qa || ') SELECT string_agg(x::text, '' '' ORDER BY id) FROM x';
			qb := 'WITH x AS (' || qb || ') SELECT string_agg(x::text, '' '' ORDER BY id) FROM x';
		ELSE
			qa := 'SELECT string_agg(x::text, '' '' ORDER BY id) FROM (' || qa || ') x';
			qb := 'SELECT string_agg(x::text, '' '' ORDER BY id) FROM (' || qb || ') x';
		END IF;
		EXECUTE qa INTO x;
		EXECUTE qb INTO y;
	END IF;
	IF x IS DISTINCT FROM y THEN
		PERFORM tw_unequal(how, qa, x, y);
	END IF;
	RETURN 1;
END $$;

CREATE FUNCTION tw_lock_bucket(bucket bigint) RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_xact_lock(4711, bucket::int)';

-- A cursor of the function's, with WHERE CURRENT OF.
CREATE FUNCTION tw_cursor(cond text, set_clause text, kind int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	tbl text;
	c refcursor;
	i bigint;
	n int;
	x int;
	seen text[] := '{}';
BEGIN
	FOREACH tbl IN ARRAY ARRAY['a', 'b'] LOOP
		n := 0;
		c := NULL;
		-- Without ORDER BY rows come as they lie, so what happens to each must not depend on the others.
		-- Column h keeps index-only scans away: they know the TID of the index, which for heaps
		-- may be a redirection, and then core's UPDATE ... WHERE CURRENT OF finds no row.
		OPEN c FOR EXECUTE format('SELECT id, h FROM %s WHERE %s %s', tbl, cond,
			CASE kind WHEN 0 THEN 'ORDER BY id FOR UPDATE' WHEN 1 THEN 'FOR NO KEY UPDATE' ELSE '' END);
		LOOP
			FETCH c INTO i, x;
			EXIT WHEN NOT FOUND;
			IF i % 7 = 3 THEN
				EXECUTE format('DELETE FROM %s WHERE CURRENT OF %I', tbl, c::text);
				GET DIAGNOSTICS x = ROW_COUNT;
			ELSIF i % 3 > 0 THEN
				EXECUTE format('UPDATE %s SET %s WHERE CURRENT OF %I', tbl, replace(set_clause, '$t', tbl), c::text);
				GET DIAGNOSTICS x = ROW_COUNT;
			ELSE
				x := 1;
			END IF;
			IF x <> 1 THEN
				PERFORM tw_unequal('WHERE CURRENT OF', tbl || ' ' || cond, i || ': ' || x, '1');
			END IF;
			n := n + 1;
		END LOOP;
		CLOSE c;
		seen := seen || n::text;
	END LOOP;
	IF seen[1] <> seen[2] THEN
		PERFORM tw_unequal('rows of a cursor', cond, seen[1], seen[2]);
	END IF;
	RETURN seen[1]::int + 1;
END $$;

-- Statements whose plans the session keeps, over whatever is done to the table.
CREATE FUNCTION tw_static(i bigint) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	x record;
	y record;
BEGIN
	SELECT id, k, n, s INTO x FROM a WHERE id = i FOR UPDATE;
	SELECT id, k, n, s INTO y FROM b WHERE id = i FOR UPDATE;
	IF x IS DISTINCT FROM y THEN
		PERFORM tw_unequal('static SELECT', i::text, x::text, y::text);
	END IF;
	UPDATE a SET n = n + 2 WHERE id = i RETURNING id, uq, n, s INTO x;
	UPDATE b SET n = n + 2 WHERE id = i RETURNING id, uq, n, s INTO y;
	IF x IS DISTINCT FROM y THEN
		PERFORM tw_unequal('static UPDATE', i::text, x::text, y::text);
	END IF;
	SELECT count(*) AS c, max(n) AS m INTO x FROM a WHERE id BETWEEN i AND i + 32 AND id % 16 = i % 16;
	SELECT count(*) AS c, max(n) AS m INTO y FROM b WHERE id BETWEEN i AND i + 32 AND id % 16 = i % 16;
	-- only in the guarded space nobody changed a neighbour
	IF x IS DISTINCT FROM y AND i < 100000 THEN
		PERFORM tw_unequal('static range', i::text, x::text, y::text);
	END IF;
	RETURN 3;
END $$;

-- Many simple statements with plans that are kept, in the guarded space.
CREATE FUNCTION tw_fast(seed float8, many int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	bucket int;
	i bigint;
	what int;
	x record;
	y record;
	nothing record;
	m int;
	o int;
BEGIN
	PERFORM setseed(seed);
	PERFORM tw_mode('any');
	bucket := tw_int(16);
	PERFORM tw_lock_bucket(bucket);
	SELECT NULL INTO nothing;
	FOR statement IN 1 .. many LOOP
		i := tw_guarded(bucket);
		what := tw_int(100);
		x := nothing;
		y := nothing;
		m := statement;
		o := statement;
		IF what < 30 THEN
			UPDATE a SET h = a.h + 1 WHERE id = i RETURNING id, n, h INTO x;
			UPDATE b SET h = b.h + 1 WHERE id = i RETURNING id, n, h INTO y;
		ELSIF what < 40 THEN
			UPDATE a SET k = a.k + m, u = (a.u + m) % 200 WHERE id = i AND k < 1000000000000 RETURNING id, k, u INTO x;
			UPDATE b SET k = b.k + m, u = (b.u + m) % 200 WHERE id = i AND k < 1000000000000 RETURNING id, k, u INTO y;
		ELSIF what < 45 THEN
			UPDATE a SET n = a.n + 1 WHERE id BETWEEN i AND i + 64 AND id % 16 = bucket;
			GET DIAGNOSTICS m = ROW_COUNT;
			UPDATE b SET n = b.n + 1 WHERE id BETWEEN i AND i + 64 AND id % 16 = bucket;
			GET DIAGNOSTICS o = ROW_COUNT;
		ELSIF what < 62 THEN
			INSERT INTO a (id, uq, k, u, s, tags, f) VALUES (i, i * 1000 + m, m, m % 200, 'fast' || m, ARRAY[1, m % 40], m % 2 = 0)
				ON CONFLICT (id) DO UPDATE SET n = a.n + 1 RETURNING id, uq, n, s INTO x;
			INSERT INTO b (id, uq, k, u, s, tags, f) VALUES (i, i * 1000 + m, m, m % 200, 'fast' || m, ARRAY[1, m % 40], m % 2 = 0)
				ON CONFLICT (id) DO UPDATE SET n = b.n + 1 RETURNING id, uq, n, s INTO y;
		ELSIF what < 70 THEN
			INSERT INTO a (id, uq, u) VALUES (i, i * 1000 + m, m % 200) ON CONFLICT DO NOTHING RETURNING id, uq, n, s INTO x;
			INSERT INTO b (id, uq, u) VALUES (i, i * 1000 + m, m % 200) ON CONFLICT DO NOTHING RETURNING id, uq, n, s INTO y;
		ELSIF what < 80 THEN
			DELETE FROM a WHERE id = i AND NOT EXISTS (SELECT FROM ca WHERE rid = i) RETURNING id, uq, n, h INTO x;
			DELETE FROM b WHERE id = i AND NOT EXISTS (SELECT FROM cb WHERE rid = i) RETURNING id, uq, n, h INTO y;
		ELSIF what < 85 THEN
			SELECT id, n, s INTO x FROM a WHERE id = i FOR UPDATE;
			SELECT id, n, s INTO y FROM b WHERE id = i FOR UPDATE;
		ELSIF what < 90 THEN
			SELECT id, n, s INTO x FROM a WHERE id = i FOR KEY SHARE;
			SELECT id, n, s INTO y FROM b WHERE id = i FOR KEY SHARE;
		ELSIF what < 95 THEN
			SELECT count(*) AS c, sum(n) AS n, max(s) AS s INTO x FROM a WHERE id BETWEEN i AND i + 160 AND id % 16 = bucket;
			SELECT count(*) AS c, sum(n) AS n, max(s) AS s INTO y FROM b WHERE id BETWEEN i AND i + 160 AND id % 16 = bucket;
		ELSE
			SELECT count(*) AS c, sum(n) AS n, max(s) AS s INTO x FROM a WHERE u = m % 200 AND id % 16 = bucket AND id < 2400;
			SELECT count(*) AS c, sum(n) AS n, max(s) AS s INTO y FROM b WHERE u = m % 200 AND id % 16 = bucket AND id < 2400;
		END IF;
		IF x IS DISTINCT FROM y OR m <> o THEN
			PERFORM tw_unequal('statement ' || what, 'id ' || i, x::text || ' ' || m, y::text || ' ' || o);
		END IF;
	END LOOP;
	RETURN many;
END $$;

-- Columns that are given values.
CREATE FUNCTION tw_columns() RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT '(id, uq, k, u, s, tags, f, n, t, h, w)' $$;
CREATE FUNCTION tw_values() RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT 'v(id, uq, k, u, s, tags, f, n, t, h, w)' $$;

-- One operation in the guarded space, in a bucket of which we hold the lock.
CREATE FUNCTION tw_op_g(bucket int, number int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	r float8 := random();
	i bigint := tw_guarded(bucket);
	j bigint := tw_guarded(bucket);
	hi bigint := i + 16 * tw_int(12);
	mine text := format('$t.id %% 16 = %s AND $t.id < 100000', bucket);
	span text := format('$t.id BETWEEN %s AND %s AND %s', i, hi, mine);
	unreferenced text := 'NOT EXISTS (SELECT FROM $c WHERE rid = $t.id)';
	child bigint := 16 * tw_int(2000) + bucket;
	strength text := (ARRAY['UPDATE', 'NO KEY UPDATE', 'SHARE', 'KEY SHARE'])[1 + tw_int(4)];
	ids bigint[];
	n int;
BEGIN
	IF r < 0.05 THEN
		RETURN tw_pair('rows', format('INSERT INTO $t %s SELECT * FROM (VALUES %s) %s WHERE NOT EXISTS (SELECT FROM $t WHERE $t.id = v.id) RETURNING $t.*', tw_columns(), tw_row(i), tw_values()));
	ELSIF r < 0.06 THEN
		RETURN tw_pair('rows', format('INSERT INTO $t %s VALUES %s, %s RETURNING $t.*', tw_columns(), tw_row(i), tw_row(j)));
	ELSIF r < 0.13 THEN
		RETURN tw_pair('rows', format('INSERT INTO $t %s SELECT %s FROM generate_series(%s::bigint, %s, 16) v WHERE v < 2400 AND NOT EXISTS (SELECT FROM $t WHERE $t.id = v) RETURNING $t.*',
			tw_columns(), tw_row_of('v'), i, hi + 64));
	ELSIF r < 0.20 THEN
		RETURN tw_pair('rows', format('INSERT INTO $t %s VALUES %s ON CONFLICT %s RETURNING $t.*', tw_columns(), tw_row(i),
			(ARRAY['DO NOTHING', '(id) DO NOTHING', '(id) DO UPDATE SET ' || tw_set(),
				'(id) DO UPDATE SET n = $t.n + 1, s = excluded.s WHERE $t.f'])[1 + tw_int(4)]));
	ELSIF r < 0.23 THEN
		RETURN tw_pair('rows', format('INSERT INTO $t %s SELECT %s FROM generate_series(%s::bigint, %s, 16) v WHERE v < 2400 ON CONFLICT (id) DO UPDATE SET n = $t.n + 1, h = excluded.h RETURNING $t.*',
			tw_columns(), tw_row_of('v'), i, least(hi, i + 96)));
	ELSIF r < 0.33 THEN
		RETURN tw_pair('rows', format('UPDATE $t SET %s WHERE id = %s RETURNING $t.*', tw_set(), i));
	ELSIF r < 0.40 THEN
		RETURN tw_pair('rows', format('UPDATE $t SET %s WHERE %s RETURNING $t.*', tw_set(), span));
	ELSIF r < 0.45 THEN
		RETURN tw_pair('count', format('UPDATE $t SET %s WHERE %s AND %s', tw_set(), mine,
			(ARRAY[format('k BETWEEN %s AND %s', tw_int(50), 25 + tw_int(50)), format('u = %s', tw_int(200)), format('tags && ARRAY[%s]', 2 + tw_int(40)),
				format('f AND n > %s', 80 + tw_int(100)), format('"left"(s, 8) < %L', left(md5(r::text), 1)), 'k IS NULL'])[1 + tw_int(6)]));
	ELSIF r < 0.51 THEN
		RETURN tw_pair('rows', format('DELETE FROM $t WHERE id = %s RETURNING $t.*', i));
	ELSIF r < 0.56 THEN
		RETURN tw_pair('rows', format('DELETE FROM $t WHERE %s AND %s RETURNING $t.*', span, unreferenced));
	ELSIF r < 0.57 THEN
		RETURN tw_pair('count', format('DELETE FROM $t USING (SELECT DISTINCT aid FROM $c WHERE rid IS NULL AND id %% 16 = %s) d WHERE $t.id = d.aid AND $t.n > 60 AND %s AND %s', bucket, mine, unreferenced));
	ELSIF r < 0.61 THEN
		RETURN tw_pair('select', format('SELECT $t.* FROM $t WHERE %s ORDER BY id FOR %s', span, strength));
	ELSIF r < 0.62 THEN
		RETURN tw_pair('select', format('SELECT $t.* FROM $t WHERE %s ORDER BY id LIMIT 5 FOR %s NOWAIT', span, strength));
	ELSIF r < 0.63 THEN
		-- rows that are being sealed are locked, in one of the two
		EXECUTE format('SELECT array_agg(id) FROM (SELECT id FROM a WHERE %s ORDER BY id LIMIT 5 FOR %s SKIP LOCKED) x', replace(span, '$t', 'a'), strength) INTO ids;
		RETURN tw_pair('select', format('SELECT $t.* FROM $t WHERE id = ANY (%L::bigint[]) ORDER BY id FOR %s', coalesce(ids, '{}'), strength));
	ELSIF r < 0.65 THEN
		RETURN tw_pair('select', format('SELECT x.id, $t.n, x.aid, x.v FROM $t JOIN $c x ON x.aid = $t.id WHERE %s FOR %s OF $t', span, strength));
	ELSIF r < 0.67 THEN
		RETURN tw_pair('select', format('SELECT id, uq, k, u, s, tags, n, g FROM $t WHERE %s AND %s', mine,
			(ARRAY[format('k >= %s', tw_int(50)), format('u = %s', tw_int(200)), format('tags @> ARRAY[%s]', tw_int(40)), 'f AND n > 90', 't < timestamptz ''2026-01-20 00:00Z'''])[1 + tw_int(5)]));
	ELSIF r < 0.73 THEN
		RETURN tw_pair('rows', format('INSERT INTO $c VALUES (%s, (SELECT min(id) FROM $t WHERE %s AND id >= %s), (SELECT min(id) FROM $t WHERE %s AND id >= %s AND id %% 5 = 0), %L)
			ON CONFLICT (id) DO UPDATE SET aid = excluded.aid, rid = NULL RETURNING $c.*', child, mine, i, mine, j, tw_text()));
	ELSIF r < 0.74 THEN
		RETURN tw_pair('rows', format('INSERT INTO $c VALUES (%s, %s, %s, %L) RETURNING $c.*', child, i, j, tw_text()));
	ELSIF r < 0.76 THEN
		RETURN tw_pair('rows', format('UPDATE $c SET rid = NULL, v = left(v, 3000) || ''!'' WHERE id BETWEEN %s AND %s AND id %% 16 = %s RETURNING $c.*', child, child + 500, bucket));
	ELSIF r < 0.78 THEN
		RETURN tw_pair('rows', format('DELETE FROM $c WHERE id BETWEEN %s AND %s AND id %% 16 = %s AND id < 100000 RETURNING $c.*', child, child + 700, bucket));
	ELSIF r < 0.81 THEN
		-- the key itself: children follow
		RETURN tw_pair('rows', format('UPDATE $t SET id = %s, uq = %s WHERE id = %s AND NOT EXISTS (SELECT FROM $t WHERE id = %s) AND %s RETURNING $t.*', j, j * 1000 + tw_int(1000), i, j, unreferenced));
	ELSIF r < 0.85 THEN
		RETURN tw_pair('count', format('MERGE INTO $t USING (SELECT v AS x FROM generate_series(%s::bigint, %s, 16) v WHERE v < 2400) m ON $t.id = m.x
			WHEN MATCHED AND $t.n %% 5 = 0 AND %s THEN DELETE
			WHEN MATCHED AND $t.f THEN UPDATE SET %s WHEN MATCHED THEN DO NOTHING
			WHEN NOT MATCHED THEN INSERT %s VALUES (%s)', i, least(hi, i + 160), unreferenced, tw_set(), tw_columns(), tw_row_of('m.x')));
	ELSIF r < 0.88 THEN
		RETURN tw_cursor(format('id BETWEEN %s AND %s AND id %% 16 = %s AND id < 100000', i, least(hi, i + 200), bucket), tw_set(), tw_int(3));
	ELSIF r < 0.91 THEN
		RETURN tw_static(i);
	ELSIF r < 0.93 THEN
		-- held, for a seal that moves them is to the statement as who updates them
		PERFORM tw_pair('count', format('SELECT FROM $t WHERE %s FOR NO KEY UPDATE', span));
		RETURN tw_pair('count', format('UPDATE $t SET %s WHERE ctid = ANY (ARRAY(SELECT ctid FROM $t WHERE %s))', tw_set(), span));
	ELSIF r < 0.95 THEN
		-- rows move to keys beyond and are deleted there
		n := tw_pair('count', format('WITH gone AS (DELETE FROM $t WHERE %s AND n %% 3 = 0 AND NOT EXISTS (SELECT FROM $c WHERE $t.id IN (aid, rid)) RETURNING *)
			INSERT INTO $t %s SELECT id + 2400 * 16, (id + 2400 * 16) * 1000 + 1, k, u, s, tags, f, n + 1, t, h, w FROM gone ON CONFLICT DO NOTHING', span, tw_columns()));
		RETURN n + tw_pair('rows', format('DELETE FROM $t WHERE id BETWEEN 2400 AND 99999 AND %s AND %s RETURNING $t.*', mine, unreferenced));
	ELSE
		-- a subtransaction that may be undone
		BEGIN
			n := tw_op_g(bucket, number) + tw_op_g(bucket, number);
			IF random() < 0.4 THEN
				RAISE EXCEPTION 'undo' USING ERRCODE = 'KY002';
			END IF;
		EXCEPTION WHEN unique_violation OR foreign_key_violation OR lock_not_available OR SQLSTATE 'KY002' THEN
			n := 2;
		END;
		RETURN n;
	END IF;
END $$;

-- In the permanent space: rows are always there, and are selected by id alone.
CREATE FUNCTION tw_op_u(number int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	r float8 := random();
	i bigint := tw_permanent();
	few text := format('id IN (%s, %s, %s)', i, tw_permanent(), tw_permanent());
	child bigint := 1000000 * (number + 1) + tw_int(300);
	ids bigint[];
	n int;
BEGIN
	IF r < 0.25 THEN
		RETURN tw_pair('rows', format('UPDATE $t SET %s WHERE id = %s RETURNING $t.*', tw_set(), i));
	ELSIF r < 0.33 THEN
		RETURN tw_pair('rows', format('UPDATE $t SET %s WHERE %s RETURNING $t.*', tw_set(), few));
	ELSIF r < 0.36 THEN
		RETURN tw_pair('count', format('UPDATE $t SET %s WHERE id BETWEEN %s AND %s', tw_set(), i, least(i + tw_int(20), 100299)));
	ELSIF r < 0.44 THEN
		RETURN tw_pair('select', format('SELECT $t.* FROM $t WHERE %s FOR %s %s', few, (ARRAY['UPDATE', 'NO KEY UPDATE', 'SHARE'])[1 + tw_int(3)],
			(ARRAY['', '', 'NOWAIT'])[1 + tw_int(3)]));
	ELSIF r < 0.50 THEN
		-- KEY SHARE does not keep out changes of other columns
		n := tw_pair('select', format('SELECT $t.id FROM $t WHERE %s FOR KEY SHARE', few));
		RETURN n + tw_pair('rows', format('UPDATE $t SET h = h + 1 WHERE %s RETURNING $t.*', few));
	ELSIF r < 0.56 THEN
		-- whatever the first could lock, both get
		EXECUTE format('SELECT array_agg(id ORDER BY id) FROM (SELECT id FROM a WHERE id BETWEEN %s AND 100299 ORDER BY id LIMIT 3 FOR %s SKIP LOCKED) x',
			i, (ARRAY['UPDATE', 'NO KEY UPDATE'])[1 + tw_int(2)]) INTO ids;
		RETURN tw_pair('rows', format('UPDATE $t SET %s WHERE id = ANY (%L::bigint[]) RETURNING $t.*', tw_set(), coalesce(ids, '{}')));
	ELSIF r < 0.66 THEN
		RETURN tw_pair('rows', format('INSERT INTO $t (id, uq, k) VALUES (%s, %s, 1) ON CONFLICT (id) DO UPDATE SET n = $t.n + 1, s = %L RETURNING $t.*', i, i * 1000, tw_text()));
	ELSIF r < 0.76 THEN
		-- children of the session's own, of rows that others change
		RETURN tw_pair('rows', format('INSERT INTO $c VALUES (%s, %s, %s, %L) ON CONFLICT (id) DO UPDATE SET aid = excluded.aid, rid = excluded.rid RETURNING $c.*', child, i, tw_permanent(), tw_text()));
	ELSIF r < 0.80 THEN
		RETURN tw_pair('rows', format('DELETE FROM $c WHERE id BETWEEN %s AND %s RETURNING $c.*', child, child + tw_int(100)));
	ELSIF r < 0.84 THEN
		RETURN tw_static(i);
	ELSIF r < 0.94 THEN
		-- volatile keys: the upsert locks the row, there or not
		i := tw_volatile();
		n := tw_pair('rows', format('INSERT INTO $t (id, uq, k, u, s) VALUES (%s, %s, %s, %s, %L) ON CONFLICT (id) DO UPDATE SET n = $t.n + 1 RETURNING $t.*', i, i * 1000 + tw_int(1000), tw_k(), tw_int(200), tw_text()));
		IF random() < 0.4 THEN
			n := n + tw_pair('rows', format('UPDATE $t SET %s WHERE id = %s RETURNING $t.*', tw_set(), i));
		END IF;
		IF random() < 0.6 THEN
			n := n + tw_pair('rows', format('DELETE FROM $t WHERE id = %s RETURNING $t.*', i));
			IF random() < 0.3 THEN
				n := n + tw_pair('rows', format('INSERT INTO $t (id, uq, u) VALUES (%s, %s, 3) RETURNING $t.*', i, i * 1000));
			END IF;
		END IF;
		RETURN n;
	ELSE
		BEGIN
			n := tw_op_u(number) + tw_op_u(number);
			IF random() < 0.4 THEN
				RAISE EXCEPTION 'undo' USING ERRCODE = 'KY002';
			END IF;
		EXCEPTION WHEN unique_violation OR foreign_key_violation OR lock_not_available OR SQLSTATE 'KY002' THEN
			n := 2;
		END;
		RETURN n;
	END IF;
END $$;

-- With a fixed snapshot: anything but DO NOTHING, which looks beyond it.
CREATE FUNCTION tw_op_r(number int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	r float8 := random();
	i bigint := tw_volatile();
	j bigint := tw_volatile();
	span text := format('id BETWEEN %s AND %s', i, i + tw_int(12));
BEGIN
	IF r < 0.2 THEN
		RETURN tw_pair('rows', format('INSERT INTO $t %s SELECT * FROM (VALUES %s) %s WHERE NOT EXISTS (SELECT FROM $t WHERE $t.id = v.id) RETURNING $t.*', tw_columns(), tw_row(i), tw_values()));
	ELSIF r < 0.3 THEN
		RETURN tw_pair('rows', format('INSERT INTO $t %s VALUES %s ON CONFLICT (id) DO UPDATE SET n = $t.n + 1 RETURNING $t.*', tw_columns(), tw_row(i)));
	ELSIF r < 0.5 THEN
		RETURN tw_pair('rows', format('UPDATE $t SET %s WHERE %s RETURNING $t.*', tw_set(), span));
	ELSIF r < 0.6 THEN
		RETURN tw_pair('rows', format('DELETE FROM $t WHERE %s RETURNING $t.*', span));
	ELSIF r < 0.65 THEN
		RETURN tw_pair('count', format('UPDATE $t SET h = h + 1 WHERE u = %s AND id >= 200000 AND id < 300000', tw_int(200)));
	ELSIF r < 0.75 THEN
		RETURN tw_pair('select', format('SELECT $t.* FROM $t WHERE %s FOR %s', span, (ARRAY['UPDATE', 'NO KEY UPDATE', 'SHARE', 'KEY SHARE'])[1 + tw_int(4)]));
	ELSIF r < 0.8 THEN
		RETURN tw_pair('select', format('SELECT $t.* FROM $t WHERE u = %s', tw_int(200)));
	ELSIF r < 0.87 THEN
		RETURN tw_pair('count', format('MERGE INTO $t USING (VALUES (%s), (%s)) m(x) ON $t.id = m.x WHEN MATCHED AND $t.f THEN DELETE WHEN MATCHED THEN UPDATE SET %s
			WHEN NOT MATCHED THEN INSERT (id, uq, f) VALUES (m.x, m.x * 1000, true)', i, CASE WHEN i = j THEN 200299 ELSE j END, tw_set()));
	ELSIF r < 0.94 THEN
		RETURN tw_pair('rows', format('INSERT INTO $c SELECT m.x, (SELECT min(id) FROM $t WHERE id >= %s AND id < 300000), NULL, %L FROM (VALUES (%s)) m(x) WHERE NOT EXISTS (SELECT FROM $c WHERE id = m.x) RETURNING $c.*', i, tw_text(), 900000 + tw_int(200)));
	ELSE
		RETURN tw_pair('rows', format('DELETE FROM $c WHERE id BETWEEN %s AND %s RETURNING $c.*', 900000 + tw_int(200), 900000 + tw_int(200)));
	END IF;
END $$;

-- Some operations.  Returns the number of statements, pairs counted once.
CREATE FUNCTION tw_step(seed float8, space text, ops int, number int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	n int := 0;
	bucket int;
BEGIN
	PERFORM setseed(seed);
	bucket := tw_int(16);
	PERFORM tw_mode((ARRAY['any', 'any', 'any', 'any', 'any', 'index', 'index', 'bitmap', 'bitmap', 'seq'])[1 + tw_int(10)]);
	IF space = 'g' THEN
		PERFORM tw_lock_bucket(bucket);
	END IF;
	FOR i IN 1 .. ops LOOP
		n := n + CASE space WHEN 'g' THEN tw_op_g(bucket, number) WHEN 'u' THEN tw_op_u(number) ELSE tw_op_r(number) END;
	END LOOP;
	RETURN n;
END $$;

-- These do nothing for a heap.
CREATE FUNCTION tw_is_kyro(t regclass) RETURNS boolean LANGUAGE sql AS $$
	SELECT amname = 'kyro' FROM pg_class c JOIN pg_am m ON m.oid = c.relam WHERE c.oid = t
$$;
CREATE FUNCTION tw_seal(t regclass, max_rows bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF tw_is_kyro(t) THEN
		PERFORM kyro.snapshot(t, max_rows);
	END IF;
END $$;
CREATE FUNCTION tw_verify(t regclass, deep boolean) RETURNS TABLE (block bigint, problem text) LANGUAGE plpgsql AS $$
BEGIN
	IF tw_is_kyro(t) THEN
		RETURN QUERY SELECT * FROM kyro.verify(t, deep);
	END IF;
END $$;

-- How each index is used, and where: to find all of what it has, and a part.
CREATE TABLE tw_indexes (idx text PRIMARY KEY, twin text, entire text, part text, columns text, modes text[]);
INSERT INTO tw_indexes VALUES
('a_pkey', 'b', 'id >= 0', 'id BETWEEN %s AND %s + 300', 'id', '{index,indexonly,bitmap}'),
('a_uq', 'b', 'uq >= 0', 'uq BETWEEN %s * 1000::bigint AND %s * 1000::bigint + 100000', 'uq', '{index,indexonly,bitmap}'),
('a_k', 'b', 'k IS NOT NULL', 'k BETWEEN %s - 500 AND %s', 'k', '{index,indexonly,bitmap}'),
('a_u', 'b', 'u = ANY (ARRAY(SELECT generate_series(0, 199)))', 'u = (%s %% 200)::int AND %s > -1', 'u', '{bitmap}'),
('a_part', 'b', 'f AND n >= 0', 'f AND n > %s %% 100 AND %s > -1', 'n', '{index,bitmap}'),
('a_expr', 'b', '"left"(s, 8) >= ''''', '"left"(s, 8) >= left(md5(%s::text), 4) AND %s > -1', 's', '{index,bitmap}'),
('a_tags', 'b', 'tags && ARRAY(SELECT generate_series(0, 45))', 'tags && ARRAY[2 + (%s %% 30)::int] AND %s > -1', 'tags', '{bitmap}'),
('a_t', 'b', 't >= timestamptz ''2000-01-01 00:00Z''', 't < timestamptz ''2026-01-01 00:00Z'' + %s %% 100000 * interval ''1 min'' AND %s > -1', 't', '{bitmap}'),
('ca_pkey', 'cb', 'id >= 0', 'id BETWEEN %s AND %s + 3000', 'id', '{index,indexonly,bitmap}'),
('ca_aid', 'cb', 'aid >= 0', 'aid BETWEEN %s AND %s + 100', 'aid', '{index,indexonly,bitmap}'),
('ca_rid', 'cb', 'rid >= 0', 'rid BETWEEN %s AND %s + 100', 'rid', '{index,indexonly,bitmap}');

CREATE FUNCTION tw_query(tbl text, cond text, columns text) RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT count(*) || '' '' || coalesce(sum(hashtextextended(%s::text, 0)), 0) FROM %s WHERE %s', columns, tbl, cond)
$$;
CREATE FUNCTION tw_answer(q text, mode text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r text;
BEGIN
	PERFORM tw_mode(mode);
	EXECUTE q INTO r;
	RETURN r;
END $$;

-- To any snapshot the twins are equal.  One statement has one snapshot.
CREATE FUNCTION tw_probe(seed float8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	i tw_indexes;
	mode text;
	cond text;
	at text;
	q text;
	r record;
BEGIN
	PERFORM setseed(seed);
	PERFORM set_config('max_parallel_workers_per_gather', CASE WHEN random() < 0.2 THEN '2' ELSE '0' END, true),
		set_config('min_parallel_table_scan_size', '0', true), set_config('parallel_setup_cost', '0', true), set_config('parallel_tuple_cost', '0', true);
	SELECT * INTO i FROM tw_indexes ORDER BY random() LIMIT 1;
	mode := (i.modes || '{seq,any}'::text[])[1 + tw_int(cardinality(i.modes) + 2)];
	at := (ARRAY[tw_int(2400)::text, (100000 + tw_int(300))::text, (200000 + tw_int(200))::text])[1 + tw_int(3)];
	cond := CASE WHEN random() < 0.3 THEN i.entire ELSE format(i.part, at, at) END;
	PERFORM tw_mode(mode);
	q := format('SELECT (%s) AS x, (%s) AS y', tw_query(split_part(i.idx, '_', 1) || ' x', cond, CASE mode WHEN 'indexonly' THEN i.columns ELSE 'x' END),
		tw_query(i.twin || ' x', cond, CASE mode WHEN 'indexonly' THEN i.columns ELSE 'x' END));
	EXECUTE q INTO r;
	IF r.x IS DISTINCT FROM r.y THEN
		PERFORM tw_unequal('a snapshot, ' || mode || ' ' || i.idx, q, r.x, r.y);
	END IF;
END $$;
CREATE FUNCTION tw_state() RETURNS text LANGUAGE sql AS $$
	SELECT tw_answer(tw_query('a x', 'true', 'x'), 'seq') || ' ' || tw_answer(tw_query('ca x', 'true', 'x'), 'seq')
$$;
CREATE FUNCTION tw_mark() RETURNS void LANGUAGE sql AS $$ SELECT set_config('tw.mark', tw_state(), true) $$;
CREATE FUNCTION tw_compare_mark() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	now text := tw_state();
BEGIN
	IF now <> current_setting('tw.mark') THEN
		PERFORM tw_unequal('a snapshot sees something else than before', '', now, current_setting('tw.mark'));
	END IF;
END $$;
CREATE FUNCTION tw_fetch(x refcursor, y refcursor, n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	r record;
	s record;
BEGIN
	FOR i IN 1 .. n LOOP
		FETCH x INTO r;
		FETCH y INTO s;
		IF r IS DISTINCT FROM s THEN
			PERFORM tw_unequal('cursors of a snapshot', 'row ' || i, r::text, s::text);
		END IF;
	END LOOP;
END $$;

-- All ways in which the twins differ, when nobody writes.
CREATE FUNCTION tw_differences() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	tbl text;
	twin text;
	i tw_indexes;
	q text;
	mode text;
	want text;
	got text;
	plan jsonb;
BEGIN
	PERFORM set_config('max_parallel_workers_per_gather', '0', true);
	FOREACH tbl IN ARRAY ARRAY['a', 'ca'] LOOP
		twin := replace(tbl, 'a', 'b');
		PERFORM tw_mode('seq');
		RETURN QUERY EXECUTE format('(SELECT %1$L || '' alone has '' || left(x::text, 200) FROM (TABLE %1$s EXCEPT ALL TABLE %2$s) x ORDER BY 1 LIMIT 5)
			UNION ALL (SELECT %1$L || '' lacks '' || left(x::text, 200) FROM (TABLE %2$s EXCEPT ALL TABLE %1$s) x ORDER BY 1 LIMIT 5)', tbl, twin);
		want := tw_answer(tw_query(twin || ' x', 'true', 'x'), 'seq');
		-- every row by its TID, by ranges of TIDs, as a sample, and by parallel workers
		PERFORM set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true);
		got := tw_answer(tw_query(format('%1$s p JOIN %1$s x ON x.ctid = p.ctid', tbl), 'true', 'x'), 'any');
		IF got <> want THEN
			RETURN NEXT format('%s by TID: %s, not %s', tbl, got, want);
		END IF;
		got := tw_answer(format('SELECT (SELECT count(*) FROM %1$s WHERE ctid < ''(3,5)'') + (SELECT count(*) FROM %1$s WHERE ctid >= ''(3,5)'')', tbl), 'any');
		IF got <> split_part(want, ' ', 1) THEN
			RETURN NEXT format('%s by TID ranges: %s, not %s', tbl, got, want);
		END IF;
		got := tw_answer(tw_query(tbl || ' x TABLESAMPLE SYSTEM (100)', 'true', 'x'), 'any');
		IF got <> want THEN
			RETURN NEXT format('%s by sample of pages: %s, not %s', tbl, got, want);
		END IF;
		got := tw_answer(tw_query(tbl || ' x TABLESAMPLE BERNOULLI (100)', 'true', 'x'), 'any');
		IF got <> want THEN
			RETURN NEXT format('%s by sample of rows: %s, not %s', tbl, got, want);
		END IF;
		PERFORM set_config('max_parallel_workers_per_gather', '2', true), set_config('min_parallel_table_scan_size', '0', true),
			set_config('parallel_setup_cost', '0', true), set_config('parallel_tuple_cost', '0', true);
		got := tw_answer(tw_query(tbl || ' x', 'true', 'x'), 'seq');
		IF got <> want THEN
			RETURN NEXT format('%s by parallel workers: %s, not %s', tbl, got, want);
		END IF;
		PERFORM set_config('max_parallel_workers_per_gather', '0', true);
		RETURN QUERY SELECT format('verify, %s: %s: %s', tbl, block, problem) FROM tw_verify(tbl, true);
	END LOOP;
	RETURN QUERY SELECT 'verify, ' || c.relname || ': ' || block || ': ' || problem
		FROM pg_class c JOIN pg_am m ON m.oid = c.relam AND m.amname = 'kyro_rmi', LATERAL kyro.verify(c.oid::regclass, true);
	FOR i IN SELECT * FROM tw_indexes LOOP
		tbl := split_part(i.idx, '_', 1);
		FOREACH mode IN ARRAY i.modes LOOP
			FOREACH q IN ARRAY ARRAY[i.entire, format(i.part, '100', '100')] LOOP
				want := tw_answer(tw_query(i.twin || ' x', q, CASE mode WHEN 'indexonly' THEN i.columns ELSE 'x' END), 'seq');
				q := tw_query(tbl || ' x', q, CASE mode WHEN 'indexonly' THEN i.columns ELSE 'x' END);
				got := tw_answer(q, mode);
				EXECUTE 'EXPLAIN (FORMAT JSON) ' || q INTO plan;
				IF plan::text NOT LIKE '%"Index Name": "' || i.idx || '"%' THEN
					RETURN NEXT format('%s by %s: the plan does not use %s', q, mode, i.idx);
				END IF;
				IF got <> want THEN
					RETURN NEXT format('%s by %s: %s, not %s', q, mode, got, want);
				END IF;
			END LOOP;
		END LOOP;
	END LOOP;
	-- a plain scan of a hash index wants one key
	PERFORM tw_mode('index');
	SELECT count(*), count(DISTINCT x.id) INTO got, want FROM generate_series(0, 199) p(v), LATERAL (SELECT id FROM a WHERE u = p.v OFFSET 0) x;
	IF got <> want OR got <> (SELECT count(*)::text FROM b WHERE u BETWEEN 0 AND 199) THEN
		RETURN NEXT format('hash index, key by key: %s rows, %s keys', got, want);
	END IF;
END $$;
