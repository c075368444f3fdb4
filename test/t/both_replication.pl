# Streaming replication under load, with a standby behind a standby, the latter without
# the library preloaded if changes are logged by generic WAL: restarts, crashes, base backups, old snapshots, promotion.
# Replay of all resource managers is compared with what the primary did.
#
# Runs with both carriers.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use IPC::Run;
use KyroTest;
use ReplTest;
use Test::More;

my $seed = $ENV{KYRO_SEED} // 20261121;
my $bad = 'PANIC|inconsistent page|TRAP|invalid page|terminated by signal|checksum';

note("seed $seed");
my $primary = new_node('repl_primary', init => [ allows_streaming => 1, extra => ['--data-checksums'] ], conf => repl_conf());
repl_setup($primary);

# ---- base backups under load, of the primary and of the standby ----
my ($one, $two) = map { PostgreSQL::Test::Cluster->new("repl_$_") } ('one', 'two');
my $said = load_during($primary, $seed, 200, sub {
	$primary->backup('backup');
	$one->init_from_backup($primary, 'backup', has_streaming => 1);
	$one->append_conf('postgresql.conf', "hot_standby_feedback = on\n");
	$one->start;
	$one->backup('backup');
	$two->init_from_backup($one, 'backup', has_streaming => 1);
	$two->append_conf('postgresql.conf', "shared_preload_libraries = ''\n") if !own_carrier();
	$two->start;
});
is($said, '', 'the load ran while base backups were taken');
is($two->safe_psql('postgres', q{SELECT preloaded FROM kyro.build_info}), own_carrier() ? 't' : 'f', 'who has preloaded the library');
catch_up($primary, $one, $two);
repl_agree('base backups', $primary, $one, $two);

# ---- reading while replaying, restarts, crashes ----
sub read_standbys
{
	my ($what) = @_;
	my $problems = '';

	foreach (1 .. 2)
	{
		$problems .= repl_problems($_) foreach ($one, $two);
	}
	is($problems, '', "$what: to one snapshot all ways of reading are equal while standbys replay");
}

foreach my $round ([ 'fast', 'immediate' ], [ 'immediate', 'fast' ], [ 'immediate', 'immediate' ])
{
	my ($how_one, $how_two) = @$round;
	my $what = "first standby stopped $how_one, second $how_two";

	$seed++;
	my $load = load_start($primary, $seed);
	load_wait($load, 200);
	read_standbys($what);
	$two->stop($how_two);
	load_wait($load, 100);
	$one->stop($how_one);
	load_wait($load, 100);
	# a restartpoint for the next round, perhaps
	$primary->safe_psql('postgres', 'CHECKPOINT');
	$one->start;
	$two->start;
	load_wait($load, 100);
	read_standbys($what);
	is(load_stop($load), '', "$what: the load ran");
	catch_up($primary, $one, $two);
	repl_agree($what, $primary, $one, $two);
}
indexes_agree($two, 'postgres', 'the second standby agrees in detail', repl_indexes());

# ---- a base backup that becomes a server of its own ----
my $copy = PostgreSQL::Test::Cluster->new('repl_copy');
$seed++;
is(load_during($primary, $seed, 100, sub { $primary->backup('backup2') }), '', 'the load ran while a base backup was taken');
$copy->init_from_backup($primary, 'backup2');
$copy->start;
repl_agree('a base backup by itself', $copy);
$seed++;
is(load_during($copy, $seed, 100, sub { }), '', 'it takes the load');
repl_agree('then', $copy);
log_lacks($copy, $bad, "nothing bad in the base backup's log");
$copy->stop;

# ---- an old snapshot on the second standby, with feedback ----
# What VACUUM would remove on the primary, if it were not for the snapshot.
my @works = (
	[ 'deletes and VACUUM', q{SELECT add_rows(400, 5)}, q{WITH d AS (DELETE FROM s WHERE id % 13 = 0 RETURNING id) DELETE FROM h USING d WHERE h.id = d.id}, 'VACUUM (INDEX_CLEANUP ON) s, h' ],
	[ 'updates and VACUUM', q{WITH u AS (UPDATE s SET k = k / 2, n = n + 1 WHERE id % 15 = 1 RETURNING *) UPDATE h SET k = u.k, n = u.n FROM u WHERE h.id = u.id}, 'VACUUM (FREEZE, INDEX_CLEANUP ON) s, h' ],
	[ 'a seal and VACUUM', q{SELECT rows FROM kyro.snapshot('s')}, 'VACUUM (INDEX_CLEANUP ON) s' ],
	[ 'updates of sealed rows and VACUUM', q{WITH u AS (UPDATE s SET n = n + 1 WHERE id % 14 = 1 RETURNING *) UPDATE h SET n = u.n FROM u WHERE h.id = u.id}, 'VACUUM (INDEX_CLEANUP ON) s' ],
);
$two->append_conf('postgresql.conf', "hot_standby_feedback = on\n");
$two->reload;
my $old = $two->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $before = $old->query_safe(q{SELECT content('s', 'seq') || ', ' || content('h', 'seq')});
my $xmin = $old->query_safe('SELECT pg_snapshot_xmin(pg_current_snapshot())');
$primary->poll_query_until('postgres', qq{SELECT backend_xmin::text::bigint <= $xmin FROM pg_stat_replication}) or die 'no feedback';
foreach my $work (@works)
{
	my ($name, @steps) = @$work;

	$primary->safe_psql('postgres', $_) foreach @steps;
	catch_up($primary, $one, $two);
	is($old->query_safe('SELECT * FROM differs()'), '', "feedback, $name: all ways of reading are equal to an old snapshot");
	is($old->query_safe(q{SELECT content('s', 'seq') || ', ' || content('h', 'seq')}), $before, "feedback, $name: and what they were");
}
$old->query_safe('COMMIT');
$old->quit;
isnt(repl_state($two), $before, 'a new snapshot sees other rows');
is($two->safe_psql('postgres', q{SELECT sum(confl_tablespace + confl_lock + confl_snapshot + confl_bufferpin + confl_deadlock) FROM pg_stat_database_conflicts}), '0', 'feedback: no conflicts');
repl_agree('after old snapshots with feedback', $primary, $one, $two);

# ---- old snapshots without feedback: cancelled ----
$_->append_conf('postgresql.conf', "hot_standby_feedback = off\nmax_standby_streaming_delay = 50ms\n") foreach ($one, $two);
$_->reload foreach ($one, $two);
$primary->poll_query_until('postgres', 'SELECT backend_xmin IS NULL FROM pg_stat_replication') or die 'feedback goes on';
my $read_on = PostgreSQL::Test::Utils::tempdir() . '/read_on.sql';
append_to_file($read_on, "\\set VERBOSITY verbose\nBEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT read_on();\nCOMMIT;\n");
foreach my $work (@works, [ 'VACUUM FULL', 'VACUUM FULL s' ])
{
	my ($name, @steps) = @$work;
	my ($out, $err) = ('', '');

	catch_up($primary, $one, $two);
	my $reader = IPC::Run::start([ 'psql', '-XAtq', '-d', $two->connstr('postgres'), '-f', $read_on ], '<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	$two->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ '^SELECT read_on' AND backend_xmin IS NOT NULL}) or die 'no reader';
	# one that waits between its commands
	my $idle = $two->background_psql('postgres', on_error_stop => 0);
	$idle->query_safe("BEGIN ISOLATION LEVEL REPEATABLE READ");
	my $was = $idle->query_safe(q{SELECT content('s', 'k')});

	$primary->safe_psql('postgres', $_) foreach @steps;
	catch_up($primary, $one, $two);
	eval { $reader->finish };
	is($@, '', "no feedback, $name: a reader of an old snapshot ends");
	like($err, qr/(ERROR|FATAL):  40001: [^\n]*conflict with recovery/, "no feedback, $name: by a conflict with recovery");
	unlike($err, qr/wrong answer|P0001|XX\d\d\d/, "no feedback, $name: without a wrong answer before");
	# replay has passed it, so it must have been ended
	my $got = '';
	eval { local $SIG{PIPE} = 'IGNORE'; $got = $idle->query(q{SELECT content('s', 'k')}); 1 };
	is($got, '', "no feedback, $name: an idle transaction with an old snapshot gets no answer");
	eval { local $SIG{PIPE} = 'IGNORE'; $idle->quit };
	repl_agree("no feedback, $name", $primary, $one, $two);
}
cmp_ok($two->safe_psql('postgres', q{SELECT sum(confl_snapshot) FROM pg_stat_database_conflicts}), '>=', 4, 'conflicts were counted');
log_lacks($_, $bad, 'nothing bad in the log of ' . $_->name) foreach ($primary, $one, $two);

# ---- promotion, under load; the second standby follows ----
foreach ($one, $two)
{
	$_->append_conf('postgresql.conf', "max_standby_streaming_delay = -1\n");
	$_->reload;
}
$seed++;
my $load = load_start($primary, $seed);
load_wait($load, 200);
$primary->stop('immediate');
load_stop($load, 1);
$one->promote;
$one->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no promotion';
repl_agree('promoted', $one);
$seed++;
is(load_during($one, $seed, 200, sub { read_standbys('promoted') }), '', 'the promoted standby takes the load');
$one->safe_psql('postgres', 'VACUUM FULL s');
$one->safe_psql('postgres', q{SELECT add_rows(300, 7)});
catch_up($one, $two);
repl_agree('writes after promotion', $one, $two);
indexes_agree($one, 'postgres', 'the promoted standby agrees in detail', repl_indexes());
# and the one without the library preloaded takes over
$one->stop;
$two->promote;
$two->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no promotion';
$seed++;
is(load_during($two, $seed, 200, sub { }), '', 'and so does the other');
repl_agree('after all', $two);
log_lacks($_, $bad, 'nothing bad in the log of ' . $_->name . ' at the end') foreach ($one, $two);
$two->stop;
done_testing();
