# pgBackRest, as Debian has it: full, incremental and differential backups of a server under load,
# with its check of page checksums; restores of each to a point between, whole and into a directory
# that holds something else; and a standby made of a backup.  Run by `make check-backups`.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use ReplTest;
use Test::More;

need_backup_tools('pgbackrest');
my $seed = $ENV{KYRO_SEED} // 20261201;
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $bad = 'PANIC|inconsistent page|TRAP|invalid page|terminated by signal|checksum';

note("seed $seed");
my $primary = new_node('primary', init => [ allows_streaming => 1, extra => ['--data-checksums'] ], conf => repl_conf());
append_to_file("$dir/pgbackrest.conf", qq{
[global]
repo1-path=$dir/repo
log-path=$dir
lock-path=$dir/lock
spool-path=$dir/spool
log-level-console=warn
log-level-file=info
start-fast=y
repo1-retention-full=9
compress-type=lz4
process-max=2
[kyro]
pg1-path=} . $primary->data_dir . qq{
pg1-port=} . $primary->port . qq{
pg1-socket-path=} . $primary->host . qq{
pg1-user=} . $primary->safe_psql('postgres', 'SELECT current_user') . "\n");
my @pgbackrest = ('pgbackrest', "--config=$dir/pgbackrest.conf", '--stanza=kyro');

$primary->append_conf('postgresql.conf', "archive_mode = on\narchive_command = '@pgbackrest archive-push %p'\n");
$primary->restart;
repl_setup($primary);
command_ok([ @pgbackrest, 'stanza-create' ], 'stanza-create');
command_ok([ @pgbackrest, 'check' ], 'check');

# A moment without writers, and what the tables hold then.
my %held;

sub quiet_point
{
	my ($name) = @_;
	my $session = $primary->background_psql('postgres');

	$session->query_safe('BEGIN');
	$session->query_safe('LOCK TABLE s, h IN SHARE MODE');
	$session->query_safe("SELECT pg_create_restore_point('$name')");
	$held{$name} = $session->query_safe(q{SELECT content('s', 'seq') || ', ' || content('h', 'seq')});
	$session->query_safe('COMMIT');
	$session->quit;
}

# Each backup runs beside writers, seals and VACUUM; what it copies is made whole by the WAL.
my @backups;
my $load = load_start($primary, $seed);
foreach my $type ('full', 'incr', 'diff', 'incr')
{
	load_wait($load, 60);
	my ($out, $err) = run_command([ @pgbackrest, 'backup', "--type=$type" ]);
	is("$out$err", '', scalar(@backups) . ": backup, $type, without a warning: no page is wrong");
	my ($set) = (run_command([ @pgbackrest, 'info' ]))[0] =~ /.*backup: (\S+)/s;
	quiet_point("after $set");
	push @backups, $set;
}
load_wait($load, 60);
is(load_stop($load), '', 'the load ran while backups were made');
repl_agree('after backups', $primary);
# a new file for all, then another increment
$primary->safe_psql('postgres', $_) foreach 'VACUUM FULL s', 'REINDEX TABLE h', q{UPDATE s SET n = n WHERE id % 50 = 0}, q{SELECT kyro.snapshot('s')};
command_ok([ @pgbackrest, 'backup', '--type=incr' ], 'backup of new files');
push @backups, (run_command([ @pgbackrest, 'info' ]))[0] =~ /.*backup: (\S+)/s;
$primary->safe_psql('postgres', q{SELECT add_rows(100, 9)});
quiet_point("after $backups[-1]");
# the archive has it
command_ok([ @pgbackrest, 'check' ], 'check, again');

# A server from a backup, recovered to the point after it.
sub restored
{
	my ($name, $set, @options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	mkdir $_ foreach $node->backup_dir, $node->archive_dir, $node->data_dir;
	return restore_again($node, $set, @options);
}

sub restore_again
{
	my ($node, $set, @options) = @_;

	command_ok([ @pgbackrest, 'restore', "--set=$set", '--pg1-path=' . $node->data_dir, @options ], 'restore to ' . $node->name . " @options");
	settle_restored($node);
	return $node;
}

my $again;
foreach my $i (0 .. $#backups)
{
	my $point = "after $backups[$i]";
	my $node = restored("backup_$i", $backups[$i], '--type=name', "--target=$point", '--target-action=promote');

	$node->start;
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no end of recovery';
	is(repl_state($node), $held{$point}, "$i: the contents are what they were");
	repl_agree("$i: restored", $node);
	is(load_during($node, ++$seed, 50, sub { }), '', "$i: it takes the load");
	repl_agree("$i: after it", $node);
	log_lacks($node, $bad, "$i: nothing bad in the log");
	$node->stop;
	command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], "$i: page checksums are right");
	$again = $node if $i == 1;
	$node->clean_node if $i != 1;
}

# Over what is there: only what differs is copied, by checksums of files.
my $point = "after $backups[-1]";
restore_again($again, $backups[-1], '--delta', '--type=name', "--target=$point", '--target-action=promote');
$again->start;
$again->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no end of recovery';
is(repl_state($again), $held{$point}, 'restored over another state: the contents are what they were');
repl_agree('restored over another state', $again);
$again->stop;
$again->clean_node;

# A standby, which goes on by streaming where the archive ends.
my $standby = restored('standby', $backups[-2], '--type=standby');
$standby->enable_streaming($primary);
$standby->start;
$primary->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'}) or die 'no standby';
is(load_during($primary, ++$seed, 60, sub { }), '', 'the load runs with a standby');
catch_up($primary, $standby);
repl_agree('a standby', $primary, $standby);
log_lacks($_, $bad, 'nothing bad in the log of ' . $_->name) foreach $primary, $standby;
$standby->stop;
# the archive is left when the server stops
$primary->stop;
done_testing();
