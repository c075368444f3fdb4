=pod

=head1 NAME

Crash - a loaded server, killed again and again

=head1 DESCRIPTION

The engine of the crash tests.  A round starts a load, kills the server at a random moment in
one of several ways, starts it, and has the load say what is wrong.  Settings change from
round to round; all choices follow from one seed, which is printed.  The moment does not, so a seed that
failed may need more than one try.

A load is a reference to a hash of functions:

=over

=item start(seconds, seed, round)

Starts sessions that end after that many seconds or when the server goes away; returns them.

=item join(sessions)

Waits for them; returns what none should have met, '' if nothing.

=item settle(seed)

After recovery: ends prepared transactions, cleans what was interrupted.  Returns what was wrong, '' if nothing.

=item differences()

All ways in which the tables and indexes are not what they should be, '' if there are none.

=item between(round)

After some rounds: whatever should be possible then.

=item done()

What the load did so far, for the last line: a number of transactions, and a text.

=back

Environment: KYRO_ROUNDS crashes, KYRO_SECONDS the longest time between two, KYRO_SEED.
tools/longrun.sh makes long runs.

=cut

package Crash;

use strict;
use warnings;
use KyroTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes;
use Exporter 'import';

our @EXPORT = qw(crash_seed crash_node crash_rounds);

sub crash_seed { return $ENV{KYRO_SEED} // 20261121; }

=item crash_node(name)

A cluster to be killed, with data checksums or without; indexes log by the own resource manager
(unless KYRO_CARRIER says how), or by generic WAL.

=cut

my $own;

sub crash_node
{
	my ($name) = @_;

	note('seed ' . crash_seed());
	srand(crash_seed());
	$own = rand() < 0.6;
	$ENV{KYRO_CARRIER} = 'generic' if !$own && !defined $ENV{KYRO_CARRIER};
	$own = own_carrier();
	return new_node($name, init => [ extra => rand() < 0.5 ? ['--data-checksums'] : [] ],
		conf => "max_connections = 40\nmax_prepared_transactions = 20\nrestart_after_crash = on\nautovacuum_naptime = 1s\n");
}

# Settings of the rounds to come.  Without images of whole pages replay cannot be checked:
# it meets pages of files dropped later, and takes them for damaged.  So nothing is left to replay
# when these change: the server was stopped.  BRIN needs the images: its redo looks at a page that is
# gone, and fails an assertion, or crashes from 17 on.
sub settings
{
	my ($brin) = @_;
	my $images = rand() < 0.7 || $brin;
	my $minimal = rand() < 0.4;

	return join('', map { "$_\n" } (
		'full_page_writes = ' . ($images ? 'on' : 'off'),
		'wal_consistency_checking = ' . ($images && rand() < 0.8 ? ($own ? "'generic, kyro_rmi'" : "'generic'") : "''"),
		'wal_level = ' . ($minimal ? 'minimal' : 'replica'),
		'max_wal_senders = ' . ($minimal ? 0 : 2),
		# few buffers: pages are written, and replay meets what is newer than its record
		'shared_buffers = ' . (qw(2MB 16MB 128MB))[ int(rand(3)) ],
		'autovacuum = ' . (rand() < 0.4 ? 'on' : 'off'),
		'checkpoint_timeout = ' . (rand() < 0.3 ? '30s' : '1h'),
		# records of a resource manager can only be replayed by it
		(rand() < 0.5 || $own ? ("shared_preload_libraries = 'kyrodb'", "session_preload_libraries = ''")
			: ("shared_preload_libraries = ''", "session_preload_libraries = 'kyrodb'")),
		'kyro.mmap = ' . (rand() < 0.7 ? 'on' : 'off'),
		'kyro.directory_cache = ' . (rand() < 0.8 ? '64MB' : '0')));
}

sub postmaster
{
	my ($node) = @_;
	open(my $fh, '<', $node->data_dir . '/postmaster.pid') or return 0;
	my $pid = <$fh> // '';

	return $pid =~ /^(\d+)$/ ? $1 : 0;
}

sub children
{
	my ($parent) = @_;
	my @pids;

	foreach my $stat (glob('/proc/[0-9]*/stat'))
	{
		open(my $fh, '<', $stat) or next;
		my $line = <$fh> // next;
		push @pids, $1 if $line =~ /^(\d+) \(.*\) \S (\d+) / && $2 == $parent;
	}
	return @pids;
}

sub until_gone
{
	my (@pids) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	while (kill(0, @pids))
	{
		die "a process outlives the postmaster" if time() > $deadline;
		Time::HiRes::sleep(0.02);
	}
}

# kill -9 of the postmaster, and of all others unless they shall notice by themselves
sub kill_server
{
	my ($node, $others) = @_;
	my $postmaster = postmaster($node);
	my @pids = ($postmaster);

	# at once: it must not start new ones
	kill('STOP', $postmaster) if $others;
	push @pids, children($postmaster);
	kill('KILL', grep { $_ != $postmaster } @pids) if $others;
	kill('KILL', $postmaster);
	until_gone(@pids);
	$node->kill9;				# so that it knows
}

# The server is killed again, while it replays or soon after; then started once more.
sub kill_in_recovery
{
	my ($node) = @_;
	my $old = postmaster($node);
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;
	my $pid;

	kill_server($node, 1);
	system_or_bail('pg_ctl', '-W', '-D', $node->data_dir, '-l', $node->logfile, 'start');
	# its lock files are complete when it has a child; half a one would keep the next server from starting
	until (($pid = postmaster($node)) && $pid != $old && children($pid))
	{
		die 'no postmaster' if time() > $deadline;
		Time::HiRes::sleep(0.005);
	}
	# replay takes a few milliseconds, or longer
	Time::HiRes::sleep(rand(rand() < 0.5 ? 0.05 : 0.3));
	kill_server($node, 1);
	$node->start;
}

# A process chosen at random.  The postmaster restarts by itself, if it was not one about to end anyway.
sub kill_process
{
	my ($node) = @_;
	my $log_end = -s $node->logfile;
	my $crash = sub { return scalar(() = slurp_file($node->logfile) =~ /terminating any other active server processes/g); };
	my $crashes = $crash->();

	while ($crash->() == $crashes)
	{
		my @pids = children(postmaster($node));
		my $deadline = time() + 10;

		kill('KILL', $pids[ int(rand(@pids)) ]) if @pids;
		Time::HiRes::sleep(0.05) until $crash->() > $crashes || time() > $deadline;
	}
	$node->wait_for_log(qr/database system is ready to accept connections/, $log_end);
}

# name, how, how many crashes it is
my @ways = (
	[ 'kill -9 of all processes', sub { kill_server($_[0], 1); $_[0]->start; }, 1 ],
	[ 'kill -9 of a process', \&kill_process, 1 ],
	[ 'kill -9, and again in recovery', \&kill_in_recovery, 2 ],
	[ 'kill -9 of the postmaster', sub { kill_server($_[0], 0); $_[0]->start; }, 1 ],
	[ 'immediate shutdown', sub { $_[0]->stop('immediate'); $_[0]->start; }, 1 ]);

=item crash_rounds(node, load)

Does that, as tests; stops the server.

=cut

sub crash_rounds
{
	my ($node, $load) = @_;
	my $rounds = $ENV{KYRO_ROUNDS} // 5;
	my $seconds = $ENV{KYRO_SECONDS} // 3;
	my $seed = crash_seed();
	my $crashes = 0;

	foreach my $round (1 .. $rounds)
	{
		my ($way, $crash, $n) = @{ $ways[ ($round - 1) % @ways ] };
		my $what = "round $round, $way";

		# every other time the load goes on where recovery ended
		if ($round % 2)
		{
			my $brin = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_class JOIN pg_am a ON relam = a.oid WHERE amname = 'brin'});

			$node->stop;
			$node->append_conf('postgresql.conf', settings($brin));
			$node->start;
		}
		my $wait = 0.3 + rand($seconds);
		my $sessions = $load->{start}->($wait + 120, $seed + $round, $round);
		$node->poll_query_until('postgres', q{SELECT count(*) > 5 FROM pg_stat_activity WHERE backend_type = 'client backend'}) or die 'sessions do not start';
		Time::HiRes::sleep($wait);
		$crash->($node);
		$crashes += $n;
		is($load->{join}->($sessions), '', "$what: no session met anything unexpected");
		is($load->{settle}->($seed + $round), '', "$what: what was committed is there, and what was interrupted is cleaned up");
		is($load->{differences}->(), '', "$what: sound, and equal to the heap twin");
		# a long run keeps what it found
		last if !Test::More->builder->is_passing;
		if ($round % 3 == 0)
		{
			$load->{between}->($round);
			is($load->{differences}->(), '', "$what: and after some more");
		}
	}
	log_lacks($node, 'PANIC|inconsistent page|TRAP|invalid page|page verification failed|terminated by signal (?!9:)', 'nothing bad in the log');
	my ($transactions, $text) = $load->{done}->();
	cmp_ok($transactions, '>', 0, 'the load was one');
	note("$crashes crashes, $transactions transactions; $text");
	$node->stop;
}

1;
