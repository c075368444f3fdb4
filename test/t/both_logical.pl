# Logical replication: a kyro table, and a heap with kyro_rmi indexes, on either side; what is published when
# rows are sealed; tables found by kyro_rmi indexes and by sequential scans on the subscriber, which seals, too.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $seed = $ENV{KYRO_SEED} // 20261121;
my $bad = 'PANIC|inconsistent page|TRAP|invalid page|terminated by signal';
my $conf = q{
wal_consistency_checking = 'all'
wal_compression = on
max_connections = 30
logical_decoding_work_mem = 64kB
wal_receiver_status_interval = 1s
};

note("seed $seed");
my $pub = new_node('log_pub', init => [ allows_streaming => 'logical' ], conf => $conf);
my $sub = new_node('log_sub', init => [ allows_streaming => 'logical' ], conf => $conf);

# publisher and subscriber: heap or kyro; the last two without a primary key
my %tables = (
	hh => [ 'heap', 'heap' ],
	hs => [ 'heap', 'kyro' ],
	sh => [ 'kyro', 'heap' ],
	ss => [ 'kyro', 'kyro' ],
	full => [ 'kyro', 'kyro' ],
	rmi => [ 'kyro', 'kyro' ],
);
my @names = sort keys %tables;

foreach my $side (0, 1)
{
	my $node = ($pub, $sub)[$side];

	add_index_checks($node, 'postgres');
	foreach my $name (@names)
	{
		my $key = $name =~ /full|rmi/ ? 'NOT NULL' : 'PRIMARY KEY';

		$node->safe_psql('postgres', qq{
CREATE TABLE "$name" (id bigint $key, k bigint, n int NOT NULL DEFAULT 0, v text) USING $tables{$name}[$side];
ALTER TABLE "$name" ALTER v SET STORAGE EXTERNAL;
CREATE INDEX ${name}_k ON "$name" USING kyro_rmi (k);
});
	}
	$node->safe_psql('postgres', q{
CREATE INDEX full_id ON "full" USING kyro_rmi (id);
ALTER TABLE "full" REPLICA IDENTITY FULL;
CREATE UNIQUE INDEX rmi_id ON rmi USING kyro_rmi (id);
ALTER TABLE rmi REPLICA IDENTITY USING INDEX rmi_id;
CREATE FUNCTION value_of(id bigint, x bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE (id + x) % 29 WHEN 0 THEN repeat(md5(x::text), 90) ELSE md5((id + x)::text) END
$$;
});
}
$pub->safe_psql('postgres', qq{INSERT INTO "$_" SELECT g, CASE WHEN g % 20 > 0 THEN hashint8extended(g, 1) END, 0, value_of(g, 0) FROM generate_series(1, 600) g}) foreach @names;
$pub->safe_psql('postgres', qq{SELECT rows FROM kyro.snapshot('"$_"')}) foreach grep { $tables{$_}[0] eq 'kyro' } @names;
$pub->safe_psql('postgres', 'CREATE PUBLICATION pub FOR TABLE ' . join(', ', map { "\"$_\"" } @names));

# ---- what is published ----
# The kinds of messages for one table that a piece of work makes.
$pub->safe_psql('postgres', q{
CREATE TABLE what (id bigint PRIMARY KEY, k bigint, v text) USING kyro;
CREATE INDEX what_k ON what USING kyro_rmi (k);
ALTER TABLE what ALTER v SET STORAGE EXTERNAL;
CREATE PUBLICATION what FOR TABLE what;
SELECT pg_create_logical_replication_slot('what', 'pgoutput');
});

sub published
{
	my ($work, $expected, $what) = @_;

	$pub->psql('postgres', $work);
	my $got = $pub->safe_psql('postgres', q{SELECT coalesce(string_agg(chr(get_byte(data, 0)), '' ORDER BY n), '')
		FROM pg_logical_slot_get_binary_changes('what', NULL, NULL, 'proto_version', '1', 'publication_names', 'what') WITH ORDINALITY AS c(lsn, xid, data, n)});

	# begin, commit, description of the table
	$got =~ s/[BCR]//g;
	is($got, $expected, "published: $what");
}
published('INSERT INTO what SELECT g, g, g FROM generate_series(1, 5) g', 'IIIII', 'inserts');
published('UPDATE what SET k = k + 1 WHERE id = 1', 'U', 'an update of a row in the log');
published(q{SELECT kyro.snapshot('what')}, '', 'nothing for a seal');
published('VACUUM (INDEX_CLEANUP ON) what', '', 'nothing for VACUUM');
published('SELECT FROM what WHERE id < 4 FOR UPDATE', '', 'nothing for row locks of sealed rows');
published('UPDATE what SET k = k + 1 WHERE id = 1', 'U', 'an update of a sealed row as that');
published('UPDATE what SET k = k + 1 WHERE id = 1', 'U', 'its next update, too');
published('DELETE FROM what WHERE id = 2', 'D', 'a delete of a sealed row');
published('BEGIN; DELETE FROM what; ROLLBACK', '', 'nothing for what was rolled back');
published('BEGIN; INSERT INTO what VALUES (6, 6); SAVEPOINT p; UPDATE what SET k = 0; ROLLBACK TO p; DELETE FROM what WHERE id = 3; COMMIT', 'ID', 'nothing for a subtransaction that was');
published(q{BEGIN; INSERT INTO what VALUES (7, 7); SELECT kyro.snapshot('what'); UPDATE what SET v = 'x' WHERE id = 7; COMMIT}, 'IU', 'a row sealed and updated in the transaction that made it');
published(q{INSERT INTO what VALUES (7, 8), (8, 8) ON CONFLICT (id) DO UPDATE SET k = -1; INSERT INTO what VALUES (4, 4) ON CONFLICT (id) DO UPDATE SET k = -4}, 'UIU', 'upserts of rows in the log and sealed');
published('VACUUM FULL what', '', 'nothing for VACUUM FULL');
published(q{BEGIN; SELECT kyro.snapshot('what'); ROLLBACK}, '', 'nothing for a seal that was rolled back');
published('UPDATE what SET id = -id WHERE id = 4', 'U', 'an update of the key of a sealed row');
published('ALTER TABLE what REPLICA IDENTITY FULL; DELETE FROM what WHERE id = -4', 'D', 'a delete with full identity');
published('TRUNCATE what', 'T', 'TRUNCATE');
# the old row, whole, of a sealed row with a TOAST value
$pub->safe_psql('postgres', q{INSERT INTO what VALUES (1, 2, repeat('old', 2000)); SELECT kyro.snapshot('what'); DELETE FROM what});
is($pub->safe_psql('postgres', q{SELECT count(*) FROM pg_logical_slot_get_binary_changes('what', NULL, NULL, 'proto_version', '1', 'publication_names', 'what') c(lsn, xid, data)
	WHERE chr(get_byte(data, 0)) = 'D' AND position(convert_to(repeat('old', 2000), 'UTF8') IN data) > 0}), '1', 'published: the whole old row, its TOAST value included');
$pub->safe_psql('postgres', q{SELECT pg_drop_replication_slot('what')});

# ---- copy, and changes while it goes on and after ----
sub load_script
{
	my ($name) = @_;

	return qq{
\\set x random(1, 1000000000)
\\set id random(1, 900)
BEGIN;
INSERT INTO "$name" SELECT g, CASE WHEN g % 20 > 0 THEN hashint8extended(g, :x) END, 0, value_of(g, :x) FROM (SELECT nextval('more') AS g FROM generate_series(1, 3)) s;
UPDATE "$name" SET k = k / 2, n = n + 1 WHERE id = :id;
UPDATE "$name" SET v = value_of(id, :x), k = :x WHERE id = :id + 7;
DELETE FROM "$name" WHERE id = :id + 20 AND id % 3 = 0;
SAVEPOINT p;
UPDATE "$name" SET n = -1 WHERE id = :id + 1;
ROLLBACK TO p;
COMMIT;
};
}
my $dir = PostgreSQL::Test::Utils::tempdir();
$pub->safe_psql('postgres', 'CREATE SEQUENCE more START 1000');
append_to_file("$dir/$_.sql", load_script($_)) foreach @names;
foreach my $side (0, 1)
{
	append_to_file("$dir/maintain$side.sql", join('', map { "VACUUM \"$_\";\nSELECT leaves FROM kyro.rebuild('${_}_k');\n" . ($tables{$_}[$side] eq 'kyro' ? "SELECT rows FROM kyro.snapshot('\"$_\"', 300);\n" : '') } @names));
}

# Transactions are counted, so all of them run on any machine; sessions that change more than one
# row may meet, and are tried again.
sub start_pgbench
{
	my ($node, @args) = @_;
	my %run = (out => '', err => '');

	local %ENV = $node->_get_env();
	$run{bench} = IPC::Run::start([ 'pgbench', '-n', '--max-tries=100', "--random-seed=$seed", @args, $node->connstr('postgres') ], '<', \undef, '>', \$run{out}, '2>', \$run{err});
	return \%run;
}
sub content
{
	my ($node, $name) = @_;

	return $node->safe_psql('postgres', qq{SELECT count(*) || ' ' || coalesce(sum(hashtextextended(x::text, 0)), 0) FROM "$name" x});
}
sub agree
{
	my ($what) = @_;

	$pub->wait_for_catchup('sub', 'replay', $pub->lsn('insert'));
	is(content($sub, $_), content($pub, $_), "$what: $_ has the same rows") foreach @names;
	foreach my $node ($pub, $sub)
	{
		is($node->safe_psql('postgres', join(' UNION ALL ', map { "SELECT '$_: ' || block || ': ' || problem FROM kyro.verify('$_', deep => true)" }
			((map { "${_}_k" } @names), 'rmi_id', 'full_id', map { "\"$_\"" } grep { $tables{$_}[$node == $sub] eq 'kyro' } @names))), '', "$what: " . $node->name . ' is sound');
	}
}

my @load = map { ('-f', "$dir/$_.sql@" . ($_ eq 'full' ? 1 : 3)) } @names;
my $run = start_pgbench($pub, '-c', 3, '-t', 150, @load);
my $maintain = start_pgbench($pub, '-c', 1, '-t', 4, '-f', "$dir/maintain0.sql");
$sub->safe_psql('postgres', q{CREATE SUBSCRIPTION sub CONNECTION '} . $pub->connstr . q{ dbname=postgres' PUBLICATION pub WITH (streaming = on)});
$sub->wait_for_subscription_sync($pub, 'sub');
my $maintain_sub = start_pgbench($sub, '-c', 1, '-t', 4, '-f', "$dir/maintain1.sql");
foreach ($run, $maintain, $maintain_sub)
{
	ok($_->{bench}->finish, 'a load ran');
	unlike($_->{err}, qr/ERROR|FATAL|abort/, 'without errors');
}
agree('copied under load');

# all rows of the subscriber sealed, so each change is a first touch
$sub->safe_psql('postgres', "SELECT rows FROM kyro.snapshot('\"$_\"')") foreach grep { $tables{$_}[1] eq 'kyro' } @names;
$seed++;
$run = start_pgbench($pub, '-c', 3, '-t', 150, @load);
$maintain = start_pgbench($pub, '-c', 1, '-t', 4, '-f', "$dir/maintain0.sql");
$maintain_sub = start_pgbench($sub, '-c', 1, '-t', 6, '-f', "$dir/maintain1.sql");
foreach ($run, $maintain, $maintain_sub)
{
	ok($_->{bench}->finish, 'a load ran');
	unlike($_->{err}, qr/ERROR|FATAL|abort/, 'without errors');
}
agree('under load');

# ---- one by one ----
foreach my $name (@names)
{
	my $seal = sub { my ($node) = @_; $node->safe_psql('postgres', "SELECT kyro.snapshot('\"$name\"')") if $tables{$name}[$node == $sub] eq 'kyro' };

	# without a key each change reads the whole table
	my $rows = $name eq 'full' ? 100 : 400;

	$pub->wait_for_catchup('sub');
	$seal->($pub);
	$seal->($sub);
	# large transactions are streamed before they commit; this one is rolled back in part
	$pub->safe_psql('postgres', qq{
BEGIN;
INSERT INTO "$name" SELECT 100000 + g, g, 0, value_of(g, 5) FROM generate_series(1, $rows) g;
SAVEPOINT p;
DELETE FROM "$name" WHERE id % 8 = 0;
ROLLBACK TO p;
UPDATE "$name" SET n = n + 1 WHERE id % 10 = 1;
UPDATE "$name" SET k = -5 WHERE id % 100 = 1;
DELETE FROM "$name" WHERE id % 17 = 3;
COMMIT;
BEGIN; UPDATE "$name" SET n = 0 WHERE id % 7 = 0; ROLLBACK;
});
	$pub->wait_for_catchup('sub');
	$seal->($sub);
	# a key that moves, and one that comes again
	$pub->safe_psql('postgres', qq{
UPDATE "$name" SET id = -id WHERE id % 10 = 7;
DELETE FROM "$name" WHERE id = 100001;
INSERT INTO "$name" VALUES (100001, 7, 7, 'again');
COPY "$name" FROM PROGRAM 'printf "500000\\\\t1\\\\t2\\\\tcopied\\\\n"';
});
}
agree('one by one');
ok($pub->poll_query_until('postgres', q{SELECT stream_txns > 0 FROM pg_stat_replication_slots WHERE slot_name = 'sub'}), 'large transactions were streamed');
is($sub->safe_psql('postgres', qq{SELECT count(*) FROM "$_" WHERE v = 'copied' OR v = 'again'}), '2', "$_: rows that were copied and made again arrived") foreach @names;

# the subscriber crashes and goes on where it was
$seed++;
$run = start_pgbench($pub, '-c', 3, '-t', 100, @load);
$pub->poll_query_until('postgres', q{SELECT last_value > } . $pub->safe_psql('postgres', 'SELECT last_value + 100 FROM more') . q{ FROM more}) or die 'no load';
$sub->stop('immediate');
$sub->start;
ok($run->{bench}->finish, 'a load ran while the subscriber crashed');
agree('after a crash of the subscriber');

# and so does the publisher
$pub->stop('immediate');
$pub->start;
$pub->safe_psql('postgres', qq{UPDATE "$_" SET n = n + 1 WHERE id % 5 = 2}) foreach @names;
$pub->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name = 'sub' AND state = 'streaming'}) or die 'no subscriber';
agree('after a crash of the publisher');

# TRUNCATE, all at once
$pub->safe_psql('postgres', 'TRUNCATE ' . join(', ', map { "\"$_\"" } @names));
$pub->safe_psql('postgres', qq{INSERT INTO "$_" SELECT g, g, g, g FROM generate_series(1, 50) g}) foreach @names;
agree('after TRUNCATE');
is(content($sub, 'ss'), content($sub, 'hh'), 'rows that came after it are there');

log_lacks($pub, $bad, "nothing bad in the publisher's log");
# while the publisher was down, the subscriber could not connect
log_lacks($sub, "$bad|ERROR:  (?!(apply worker for subscription \"sub\" )?could not (connect to the publisher|receive data from WAL stream|send data to WAL stream))", "nothing bad in the subscriber's log");
$sub->safe_psql('postgres', 'DROP SUBSCRIPTION sub');
$sub->stop;
$pub->stop;
done_testing();
