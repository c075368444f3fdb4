# A kyro table, and a crash or an error at every step of a seal, of the first
# touch of a row, of VACUUM, of moves and of compaction: nothing is lost and nothing is
# there twice.  Needs a build with DEBUG_POINTS=1, as make check makes it.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('points', conf => "restart_after_crash = on\n");
$node->safe_psql('postgres', 'CREATE EXTENSION kyrodb');
need_debug_points($node);
# what a crash interrupts is done to both or neither
add_twice($node);

# a is a kyro table, b its heap twin
$node->safe_psql('postgres', q{
CREATE TABLE a (id bigint PRIMARY KEY, k bigint, v text) USING kyro;
CREATE TABLE b (LIKE a INCLUDING ALL) USING heap;
CREATE INDEX a_k ON a USING kyro_rmi (k);
CREATE INDEX a_v ON a USING hash (v);
CREATE TABLE seq (n bigint);
INSERT INTO seq VALUES (0);
CREATE FUNCTION add_rows(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	s bigint;
BEGIN
	UPDATE seq SET n = seq.n + add_rows.n RETURNING seq.n INTO s;
	EXECUTE format('INSERT INTO a SELECT g, g * 3, md5(g::text) FROM generate_series(%s, %s) g', s - n + 1, s);
	EXECUTE format('INSERT INTO b SELECT g, g * 3, md5(g::text) FROM generate_series(%s, %s) g', s - n + 1, s);
END $$;
});

sub agree
{
	my ($what) = @_;
	my $r = $node->safe_psql('postgres', q{
SELECT 'only in a: ' || x::text FROM (TABLE a EXCEPT ALL TABLE b) x
UNION ALL SELECT 'only in b: ' || x::text FROM (TABLE b EXCEPT ALL TABLE a) x
UNION ALL SELECT 'verify: ' || block || ': ' || problem FROM kyro.verify('a', true)
UNION ALL SELECT 'index: ' || block || ': ' || problem FROM kyro.verify('a_k', true);
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT 'by key' FROM (SELECT count(*), sum(k) FROM a WHERE id > 0 EXCEPT SELECT count(*), sum(k) FROM b) x
UNION ALL SELECT 'by kyro_rmi' FROM (SELECT count(*), sum(k) FROM a WHERE k > -1000000000000 EXCEPT SELECT count(*), sum(k) FROM b) x;
});
	is($r, '', $what);
}

my $seal = q{SELECT kyro.snapshot('a')};
my $move = q{CALL kyro.compact('a')};
my %points = (
	'seal-collected' => $seal,
	'seal-written' => $seal,
	'seal-listed' => $seal,
	'seal-indexed' => $seal,
	'space-map-cleared' => $seal,
	'space-claimed' => $seal,
	'seal-page-stamped' => $seal,
	'seal-stamped' => $seal,
	'touch-link-page-made' => q{SELECT twice('DELETE FROM $t WHERE id % 7 = 3')},
	'touch-map-cleared' => q{SELECT twice('UPDATE $t SET v = v || 1 WHERE id % 11 = 3')},
	'touch-record' => q{SELECT twice('UPDATE $t SET v = v || 2 WHERE id % 11 = 4')},
	'touch-logged' => q{SELECT twice('DELETE FROM $t WHERE id % 29 = 4')},
	'delete-record' => q{SELECT twice('WITH l AS MATERIALIZED (SELECT id FROM $t WHERE id % 29 = 7 FOR UPDATE) DELETE FROM $t WHERE id IN (SELECT id FROM l)')},
	'delete-logged' => q{SELECT twice('DELETE FROM $t WHERE id % 43 = 4')},
	'row-touched' => q{SELECT twice('DELETE FROM $t WHERE id % 13 = 3')},
	'update-prepared' => q{SELECT twice('UPDATE $t SET k = -k WHERE id % 17 = 3')},
	'update-record' => q{SELECT twice('UPDATE $t SET k = -k, v = repeat(v, 100) WHERE id % 19 = 3')},
	'update-logged' => q{SELECT twice('UPDATE $t SET k = -k WHERE id % 23 = 3')},
	'vacuum-resolved' => q{VACUUM (INDEX_CLEANUP ON) a},
	'vacuum-log-done' => q{VACUUM (INDEX_CLEANUP ON) a},
	'vacuum-map-set' => q{VACUUM (INDEX_CLEANUP ON) a},
	'vacuum-indexes-cleaned' => q{VACUUM (INDEX_CLEANUP ON) a},
	'trim-listed' => q{VACUUM (INDEX_CLEANUP ON) a},
	'free-listed' => q{VACUUM (INDEX_CLEANUP ON) a},
	(map { ("move: $_" => $move) } qw(seal-collected seal-written seal-listed seal-indexed space-map-cleared space-claimed
		move-map-cleared seal-page-stamped seal-stamped compact-planned compact-batch-done vacuum-indexes-cleaned vacuum-retired trim-listed)),
	'compact-log-written' => q{VACUUM FULL a},
	'compact-run-written' => q{CLUSTER a USING a_pkey},
);

# a run behind empty pages, and some of its rows touched
sub to_move
{
	$node->safe_psql('postgres', q{
SELECT twice('DELETE FROM $t WHERE id < (SELECT n - 3000 FROM seq)');
VACUUM FULL a;
SELECT add_rows(9000);
SELECT kyro.snapshot('a');
VACUUM (INDEX_CLEANUP ON) a;
SELECT twice('UPDATE $t SET v = ''y'' WHERE id % 997 = 5 AND id > (SELECT n - 5000 FROM seq)');
BEGIN; SELECT FROM a WHERE id % 31 = 5 AND id > (SELECT n - 5000 FROM seq) FOR UPDATE; COMMIT;
});
}

foreach my $name (sort keys %points)
{
	my $point = $name =~ s/.*: //r;
	my $moves = $name =~ /^move: /;

	# some rows in the log, some sealed, some touched, some pages marked visible
	$node->safe_psql('postgres', q{
SELECT add_rows(700);
SELECT kyro.snapshot('a');
VACUUM a;
SELECT twice('DELETE FROM $t WHERE id % 37 = 5');
SELECT twice('UPDATE $t SET v = ''x'' WHERE id % 41 = 5');
SELECT add_rows(300);
CHECKPOINT;
SELECT add_rows(100);
});

	# something to cut off
	$node->safe_psql('postgres', q{BEGIN; SELECT add_rows(8000); SELECT kyro.snapshot('a', 50); ROLLBACK}) if $name eq 'trim-listed';

	# and something that does not lie at the end; twice, since the error has done half of it
	my $undone = q{BEGIN; SELECT kyro.snapshot('a', 50); ROLLBACK; SELECT kyro.snapshot('a', 50)};
	$node->safe_psql('postgres', $undone) if $point eq 'free-listed';

	# or empty pages, and less to seal than they have room for
	$node->safe_psql('postgres', q{SELECT add_rows(3000); SELECT kyro.snapshot('a'); VACUUM (INDEX_CLEANUP ON) a; SELECT add_rows(50)}) if $name =~ /^space/;

	# first an error, which the session survives and others see nothing of
	to_move() if $moves;
	if ($point !~ /^(touch-map-cleared|move-map-cleared|.*-record|touch-logged)$/)
	{
		my ($rc, $out, $err) = $node->psql('postgres', "SET kyro.debug_error = '$point'; $points{$name}");
		like($err, qr/error at debug point "$point"/, "$name: an error there");
		agree("$name: nothing happened after an error");
	}

	# then a crash
	to_move() if $moves;
	$node->safe_psql('postgres', 'VACUUM a; SELECT add_rows(50)') if $name =~ /^space/;
	$node->safe_psql('postgres', $undone) if $point eq 'free-listed';
	my $log_end = -s $node->logfile;
	my ($rc) = $node->psql('postgres', "SET kyro.debug_crash = '$point'; $points{$name}");
	isnt($rc, 0, "$name: the server crashes");
	# until the crash is noticed a query may succeed: the log is surer
	$node->wait_for_log(qr/database system is ready to accept connections/, $log_end);
	agree("$name: nothing happened after a crash");

	# and what was left is no obstacle
	$node->safe_psql('postgres', $points{$name});
	agree("$name: it can be done afterwards");
	$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) a');
	agree("$name: and VACUUM cleans up");
}

# an aborted run leaves no index entries behind
$node->safe_psql('postgres', q{BEGIN; SELECT kyro.snapshot('a', 50); ROLLBACK});
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM kyro.stat_runs WHERE state = 'aborted'}), 't',
	'runs of aborted seals are listed');
$node->safe_psql('postgres', 'VACUUM FULL a');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kyro.stat_runs WHERE state = 'aborted'}), '0',
	'VACUUM FULL drops them');
agree('after VACUUM FULL');
$node->stop;
done_testing();
