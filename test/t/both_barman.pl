# Barman, as Debian has it, by streaming: base backups and WAL of a server under load, verified,
# recovered to points between.  Run by `make check-backups`.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use ReplTest;
use Test::More;

need_backup_tools('barman', 'rsync');
my $seed = $ENV{KYRO_SEED} // 20261202;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $bad = 'PANIC|inconsistent page|TRAP|invalid page|terminated by signal|checksum';

note("seed $seed");
my $primary = new_node('primary', init => [ allows_streaming => 1, extra => ['--data-checksums'] ], conf => repl_conf());
my $user = $primary->safe_psql('postgres', 'SELECT current_user');
my $conninfo = 'host=' . $primary->host . ' port=' . $primary->port . " user=$user dbname=postgres";

append_to_file("$dir/barman.conf", qq{
[barman]
barman_user = $user
barman_home = $dir
barman_lock_directory = $dir
configuration_files_directory = $dir/conf.d
log_file = $dir/barman.log
log_level = INFO
path_prefix = } . $primary->config_data('--bindir') . qq{

[kyro]
description = a server with kyrodb
conninfo = $conninfo
streaming_conninfo = $conninfo
backup_method = postgres
immediate_checkpoint = true
streaming_archiver = on
archiver = off
create_slot = auto
slot_name = barman
});
my @barman = ('barman', '-c', "$dir/barman.conf");

repl_setup($primary);
command_ok([ @barman, 'receive-wal', '--create-slot', 'kyro' ], 'a slot');
my ($received, $said) = ('', '');
my $receiver = IPC::Run::start([ @barman, 'receive-wal', 'kyro' ], '<', \undef, '>', \$received, '2>', \$said);
$primary->poll_query_until('postgres', q{SELECT active FROM pg_replication_slots WHERE slot_name = 'barman'}) or die "nobody receives: $said";
command_ok([ @barman, 'switch-wal', '--force', '--archive', 'kyro' ], 'WAL arrives');
command_ok([ @barman, 'check', 'kyro' ], 'check');

# The newest backup's name.
sub newest { return (run_command([ @barman, 'list-backup', '--minimal', 'kyro' ]))[0] =~ /^(\S+)/ ? $1 : die 'no backup'; }

my (@backups, %held);
my $load = load_start($primary, $seed);
foreach my $round (0, 1)
{
	load_wait($load, 60);
	command_ok([ @barman, 'backup', '--wait', 'kyro' ], "$round: backup");
	push @backups, newest();
	command_ok([ @barman, 'verify-backup', 'kyro', $backups[-1] ], "$round: by its manifest it is whole");
	load_wait($load, 60);
	my $session = $primary->background_psql('postgres');
	$session->query_safe('BEGIN');
	$session->query_safe('LOCK TABLE s, h IN SHARE MODE');
	$session->query_safe("SELECT pg_create_restore_point('point $round')");
	$held{$round} = $session->query_safe(q{SELECT content('s', 'seq') || ', ' || content('h', 'seq')});
	$session->query_safe('COMMIT');
	$session->quit;
}
load_wait($load, 60);
is(load_stop($load), '', 'the load ran while backups were made');
command_ok([ @barman, 'switch-wal', '--force', '--archive', 'kyro' ], 'the last WAL arrives');

# each backup to each point that comes after it
foreach my $pair ([ 0, 0 ], [ 0, 1 ], [ 1, 1 ])
{
	my ($backup, $point) = @$pair;
	my $what = "backup $backup to point $point";
	my $node = PostgreSQL::Test::Cluster->new("to_${backup}_$point");

	mkdir $_ foreach $node->backup_dir, $node->archive_dir;
	command_ok([ @barman, 'recover', '--target-name', "point $point", '--target-action', 'promote', 'kyro', $backups[$backup], $node->data_dir ], "$what: recover");
	settle_restored($node);
	$node->start;
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no end of recovery';
	is(repl_state($node), $held{$point}, "$what: the contents are what they were");
	repl_agree($what, $node);
	is(load_during($node, ++$seed, 50, sub { }), '', "$what: it takes the load");
	repl_agree("$what, then", $node);
	log_lacks($node, $bad, "$what: nothing bad in the log");
	$node->stop;
	command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], "$what: page checksums are right");
	$node->clean_node;
}
$receiver->signal('TERM');
$receiver->finish;
$primary->stop;
done_testing();
