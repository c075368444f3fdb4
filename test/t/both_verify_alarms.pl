# kyro.verify() of sound indexes finds nothing, again and again, while leaves
# are split, emptied, deleted and used again, directories rewritten, and indexes
# built: on the primary, and on a standby that replays all this.
#
# KYRO_ROUNDS: how often; KYRO_SEED: other random numbers.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use IPC::Run;
use Test::More;

my $rounds = $ENV{KYRO_ROUNDS} // 8;
my $seed = $ENV{KYRO_SEED} // 20260708;
# Not for ever: replay that waits for a snapshot while it holds a lock that the query wants is a deadlock nobody sees.
my $primary = new_node('verified', init => [ allows_streaming => 1 ],
	conf => "max_standby_streaming_delay = 3s\nfsync = off\ndeadlock_timeout = 100ms\nwal_consistency_checking = ''\nmax_wal_size = 1GB\n");

note("seed $seed, $rounds rounds");
$primary->safe_psql('postgres', q{
CREATE EXTENSION kyrodb;
CREATE SEQUENCE seq;
CREATE TABLE t (k bigint, q bigint DEFAULT nextval('seq'));
CREATE INDEX t_k ON t USING kyro_rmi (k);
CREATE UNIQUE INDEX t_q ON t USING kyro_rmi (q);
CREATE TABLE s (k bigint, q bigint DEFAULT nextval('seq')) USING kyro;
CREATE INDEX s_k ON s USING kyro_rmi (k);
CREATE INDEX s_q ON s USING kyro_rmi (q);
-- rows so close together that leaves must be split
CREATE FUNCTION crowd(c bigint, x bigint, n int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO t SELECT CASE WHEN g % 50 = 0 THEN NULL ELSE c * 1000000000 + abs(hashint8extended(g, x)) % 1000000000 END FROM generate_series(1, n) g;
	INSERT INTO s SELECT c * 1000000000 + abs(hashint8extended(g, x)) % 1000000000 FROM generate_series(1, n / 4) g
$$;
SELECT crowd(c, 1, 600) FROM generate_series(1, 40) c;
VACUUM ANALYZE t, s;
});
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('replica');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

my %load = (
	crowd => [ 6, q{
\set c random(1, 40)
\set x random(1, 1000000000)
SELECT crowd(:c, :x, 400);
} ],
	# all rows of some leaves
	gone => [ 3, q{
\set c random(1, 40)
DELETE FROM t WHERE k BETWEEN :c::bigint * 1000000000 AND :c::bigint * 1000000000 + 999999999;
DELETE FROM s WHERE k BETWEEN :c::bigint * 1000000000 AND :c::bigint * 1000000000 + 999999999;
} ],
	undone => [ 1, q{
\set c random(1, 40)
\set x random(1, 1000000000)
BEGIN;
SELECT crowd(:c, :x, 800);
ROLLBACK;
} ],
	queue => [ 1, q{
DELETE FROM t WHERE q < (SELECT last_value FROM seq) - 30000;
DELETE FROM s WHERE q < (SELECT last_value FROM seq) - 30000;
} ],
	update => [ 2, q{
\set c random(1, 40)
UPDATE t SET k = k + 1 WHERE k BETWEEN :c::bigint * 1000000000 AND :c::bigint * 1000000000 + 100000000;
} ]);
my %maintain = (
	vacuum => [ 4, "VACUUM (INDEX_CLEANUP ON) t;\nVACUUM (INDEX_CLEANUP ON) s;\n" ],
	rebuild => [ 1, "SELECT leaves FROM kyro.rebuild('t_k');\nSELECT leaves FROM kyro.rebuild('s_k');\n" ],
	seal => [ 1, "SELECT rows FROM kyro.snapshot('s', 2000);\n" ],
	build => [ 1, "CREATE INDEX CONCURRENTLY t_c ON t USING kyro_rmi (k);\nDROP INDEX CONCURRENTLY t_c;\nREINDEX INDEX CONCURRENTLY t_q;\nREINDEX INDEX s_q;\n" ]);

sub bench
{
	my ($scripts, @options) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my %run = (err => '');
	my @files;

	foreach my $name (sort keys %$scripts)
	{
		append_to_file("$dir/$name.sql", $scripts->{$name}[1]);
		push @files, '-f', "$dir/$name.sql\@$scripts->{$name}[0]";
	}
	$run{bench} = IPC::Run::start([ 'pgbench', '-n', '-T', 3600, '--max-tries=100', "--random-seed=$seed", @options, @files, $primary->connstr('postgres') ],
		'<', \undef, '>', '/dev/null', '2>', \$run{err});
	return \%run;
}

my @runs = (bench(\%load, '-c', 2, '-R', 60), bench(\%maintain, '-c', 1));
my $verify = q{SELECT c.relname || ': ' || v.block || ': ' || v.problem FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam AND a.amname = 'kyro_rmi',
	LATERAL kyro.verify(c.oid::regclass, deep => %s) v WHERE i.indisvalid};
my %alarm = map { $_->name => '' } ($primary, $standby);

# on a slow or a very fast machine, for longer: leaves must have been split meanwhile
my $splits = 0;
for (my $round = 1; ($round <= $rounds || $splits <= 50) && $runs[0]{bench}->pumpable; $round++)
{
	foreach my $deep ('true', 'false')
	{
		foreach my $node ($primary, $standby)
		{
			my ($rc, $out, $err) = $node->psql('postgres', sprintf($verify, $deep));

			# an index that is dropped meanwhile, or a standby's query in the way of that
			next if $err =~ /^(?:psql:.*)?(?:ERROR|FATAL):  (there is no relation with OID|could not open relation with OID|(?:canceling statement|terminating connection) due to conflict with recovery|relation with OID \d+ does not exist|index "\w+" is not valid)/;
			$alarm{ $node->name } .= "round $round: $out$err\n" if $rc != 0 || $out ne '' || $err ne '';
		}
	}
	$splits = $primary->safe_psql('postgres', q{SELECT splits FROM kyro.stat_indexes WHERE indexrelname = 't_k'});
}
ok($_->{bench}->pumpable, 'the load goes on') foreach @runs;
$_->{bench}->signal('TERM') foreach @runs;
eval { $_->{bench}->finish } foreach @runs;
is(join("\n", grep { /ERROR|FATAL|PANIC|abort/ } split(/\n/, $_->{err})), '', 'without errors') foreach @runs;
is($alarm{$_}, '', "nothing is found wrong on $_") foreach sort keys %alarm;
cmp_ok($splits, '>', 50, 'leaves were split');

$primary->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench'}) or die 'the load does not end';
$primary->safe_psql('postgres', 'SELECT txid_current()');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
sound($_, 'postgres', 'sound at the end: ' . $_->name, qw(t_k t_q s_k s_q)) foreach ($primary, $standby);
log_lacks($_, 'PANIC|TRAP|invalid page|terminated by signal|XX002', 'nothing bad in the log: ' . $_->name) foreach ($primary, $standby);
$standby->stop;
$primary->stop;
done_testing();
