# Recovery to restore points made in the middle of a load, some of them in the middle of a seal, of
# VACUUM and of an update; and pg_rewind of a primary that went on after its standby was promoted.
#
# Runs with both carriers.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::BackgroundPsql;
use KyroTest;
use ReplTest;
use Test::More;

my $seed = $ENV{KYRO_SEED} // 20261121;
my $bad = 'PANIC|inconsistent page|TRAP|invalid page|terminated by signal|checksum';

note("seed $seed");
my $primary = new_node('to_primary', init => [ allows_streaming => 1, has_archiving => 1, extra => ['--data-checksums'] ], conf => repl_conf() . "wal_keep_size = 4GB\n");
repl_setup($primary);
my ($rc) = $primary->psql('postgres', "SET kyro.debug_crash = ''");
my $debug_points = $rc == 0;

# ---- restore points ----
# What the tables held at each; undef where writers went on meanwhile, then twins must be equal.
my @points;
my %held;

sub restore_point
{
	my ($session, $name, $held) = @_;

	$session->query_safe("SELECT pg_create_restore_point('$name')");
	push @points, $name;
	$held{$name} = $held;
}

# While writers, seals and VACUUM are kept out for a moment.
sub quiet_point
{
	my ($name) = @_;
	my $session = $primary->background_psql('postgres');

	$session->query_safe('BEGIN');
	$session->query_safe('LOCK TABLE s, h IN SHARE MODE');
	restore_point($session, $name, $session->query_safe(q{SELECT content('s', 'seq') || ', ' || content('h', 'seq')}));
	$session->query_safe('COMMIT');
	$session->quit;
}

# While a session stands at a debug point, and the load goes on.
sub point_within
{
	my ($name, $work) = @_;
	my $session = $primary->background_psql('postgres');
	my ($out, $err) = ('', '');

	$session->query_safe("SELECT pg_advisory_lock(hashtextextended('$name', 0))");
	my $run = IPC::Run::start([ 'psql', '-XAtq', '-d', $primary->connstr('postgres'), '-c', $work ], '<', \undef, '>', \$out, '2>', \$err);
	# this session, or one of the load
	$primary->poll_query_until('postgres', qq{SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
		AND (classid::bigint << 32) | objid::bigint = hashtextextended('$name', 0)}) or die "nobody comes to $name";
	restore_point($session, $name);
	$session->query_safe("SELECT pg_advisory_unlock(hashtextextended('$name', 0))");
	$session->quit;
	$run->finish;
	is($err, '', "$name: was left");
}

my $load = load_start($primary, $seed);
load_wait($load, 100);
$primary->backup('backup');
load_wait($load, 50);
quiet_point('quiet');
load_wait($load, 50);
{
	my $session = $primary->background_psql('postgres');
	restore_point($session, 'running');
	load_wait($load, 50);
	if ($debug_points)
	{
		foreach my $name ('seal-written', 'seal-listed', 'seal-indexed', 'seal-page-stamped', 'seal-stamped')
		{
			point_within($name, q{SELECT rows FROM kyro.snapshot('s')});
			load_wait($load, 30);
		}
		$session->query_safe(q{SELECT add_rows(10, 3)});
		$session->query_safe(q{SELECT rows FROM kyro.snapshot('s')});
		my $update = q{WITH u AS (UPDATE s SET n = -1 WHERE id = (SELECT last_value FROM ids) RETURNING *) UPDATE h SET n = u.n FROM u WHERE h.id = u.id};
		foreach my $name ('row-touched', 'update-prepared', 'update-logged')
		{
			$session->query_safe(q{SELECT add_rows(10, 3)});
			$session->query_safe(q{SELECT rows FROM kyro.snapshot('s')});
			point_within($name, $update);
		}
		foreach my $name ('vacuum-resolved', 'vacuum-log-done', 'vacuum-map-set', 'vacuum-indexes-cleaned')
		{
			$session->query_safe(q{SELECT rows FROM kyro.snapshot('s')});
			point_within($name, 'VACUUM (INDEX_CLEANUP ON) s');
		}
	}
	restore_point($session, 'running again');
	load_wait($load, 50);
	$session->quit;
}
quiet_point('quiet again');
load_wait($load, 50);
is(load_stop($load), '', 'the load ran while restore points were made');
repl_agree('after restore points', $primary);
my $segment = $primary->safe_psql('postgres', 'SELECT pg_walfile_name(pg_current_wal_lsn())');
$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
$primary->poll_query_until('postgres', "SELECT last_archived_wal >= '$segment' FROM pg_stat_archiver") or die 'no archive';

# One server goes from point to point and is looked at there; the last it takes for its end.
my $walker = PostgreSQL::Test::Cluster->new('to_walker');
$walker->init_from_backup($primary, 'backup', has_restoring => 1, standby => 0);
$walker->append_conf('postgresql.conf', "archive_mode = off\nrecovery_target_action = pause\n");
foreach my $name (@points)
{
	$walker->append_conf('postgresql.conf', "recovery_target_name = '$name'\n");
	$walker->start;
	$walker->poll_query_until('postgres', "SELECT pg_get_wal_replay_pause_state() = 'paused'") or die "no pause at $name";
	is(repl_problems($walker), '', "$name: all ways of reading are equal");
	is(repl_state($walker), $held{$name}, "$name: the contents are what they were") if defined $held{$name};
	last if $name eq $points[-1];
	$walker->stop($name =~ /update|seal/ ? 'immediate' : 'fast');
}
$walker->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
$walker->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no end of recovery';
is(repl_state($walker), $held{ $points[-1] }, 'at the end the contents are what they were');
repl_agree("recovered to $points[-1]", $walker);
$seed++;
is(load_during($walker, $seed, 100, sub { }), '', 'the recovered server takes the load');
repl_agree('after it', $walker);
log_lacks($walker, $bad, "nothing bad in the recovered server's log");
$walker->stop;
$walker->clean_node;

# Others end there, with transactions that never did: a seal, a VACUUM, an update.
foreach my $name ('running', $debug_points ? ('seal-page-stamped', 'update-logged', 'vacuum-map-set') : ())
{
	my $ended = PostgreSQL::Test::Cluster->new("to_$name");
	$ended->init_from_backup($primary, 'backup', has_restoring => 1, standby => 0);
	$ended->append_conf('postgresql.conf', "archive_mode = off\nrecovery_target_action = promote\nrecovery_target_name = '$name'\n");
	$ended->start;
	$ended->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no end of recovery';
	repl_agree("ended at $name", $ended);
	$seed++;
	is(load_during($ended, $seed, 50, sub { }), '', "ended at $name: it takes the load");
	repl_agree("ended at $name, then", $ended);
	log_lacks($ended, $bad, "ended at $name: nothing bad in the log");
	$ended->stop;
	$ended->clean_node;
}

# ---- pg_rewind ----
# The standby is promoted while its primary goes on.  Both change the tables, then the old
# primary is rewound and follows the new one.  Then again, in the other direction.
my $standby = PostgreSQL::Test::Cluster->new('to_standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "archive_mode = off\n");
$standby->start;
my ($old, $new) = ($primary, $standby);
foreach my $how ('fast', 'immediate')
{
	my $what = "old primary stopped $how";

	$old->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'}) or die 'no standby';
	$seed++;
	my $load_old = load_start($old, $seed);
	load_wait($load_old, 100);
	$new->promote;
	$new->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no promotion';
	# pg_rewind reads the new timeline from the control file
	$new->safe_psql('postgres', 'CHECKPOINT');
	$seed++;
	my $load_new = load_start($new, $seed);
	load_wait($load_old, 100);
	load_wait($load_new, 100);
	$old->safe_psql('postgres', q{SELECT rows FROM kyro.snapshot('s')});
	$old->safe_psql('postgres', q{CREATE TABLE lost USING kyro AS SELECT g AS id FROM generate_series(1, 3000) g; CREATE INDEX lost_id ON lost USING kyro_rmi (id); SELECT rows FROM kyro.snapshot('lost')});
	$new->safe_psql('postgres', 'VACUUM FULL s') if $how eq 'immediate';
	load_wait($load_old, 50);
	load_wait($load_new, 50);
	if ($how eq 'fast')
	{
		is(load_stop($load_old), '', "$what: the load ran on it");
		$old->safe_psql('postgres', 'VACUUM FULL s');
	}
	$old->stop($how);
	load_stop($load_old, 1) if $how ne 'fast';
	copy_conf($old, 'aside');
	command_ok([ 'pg_rewind', '--no-sync', '--source-server', $new->connstr('postgres'), '--target-pgdata', $old->data_dir ], "$what: pg_rewind");
	copy_conf($old, 'back');
	$old->enable_streaming($new);
	$old->start;
	load_wait($load_new, 50);
	is(repl_problems($old), '', "$what: all ways of reading are equal while it follows");
	is(load_stop($load_new), '', "$what: the load ran on the new one");
	catch_up($new, $old);
	repl_agree("$what, rewound", $new, $old);
	is($old->safe_psql('postgres', q{SELECT to_regclass('lost')}), '', "$what: what it did alone is gone");
	indexes_agree($old, 'postgres', "$what: it agrees in detail", repl_indexes());
	log_lacks($_, $bad, "$what: nothing bad in the log of " . $_->name) foreach ($old, $new);
	($old, $new) = ($new, $old);
}
$new->stop;
$old->stop;
done_testing();

# pg_rewind copies the settings of the source, too
sub copy_conf
{
	my ($node, $to) = @_;
	my @files = ($node->data_dir . '/postgresql.conf', $node->basedir . '/postgresql.conf.aside');

	@files = reverse @files if $to eq 'back';
	my $text = slurp_file($files[0]);
	unlink $files[1];
	append_to_file($files[1], $text);
}
