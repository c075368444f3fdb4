=pod

=head1 NAME

EventLoad - pgbench against a primary with a standby, both of which crash

=head1 DESCRIPTION

What the stress tests of event logs and of histories have in common: rounds of a load by
pgbench, each of which ends with a crash of the primary, by turns of the server and of one
of its processes; in the latter case the standby crashes, too.

=over

=cut

package EventLoad;

use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Exporter 'import';

our @EXPORT = qw(load_start load_end load_crash settle_prepared);

# A standby that never got to a restart point reads all WAL again, which takes long after an hour.
$ENV{PGCTLTIMEOUT} = 900 if ($ENV{PGCTLTIMEOUT} // 0) < 900;

=item load_start(node, seconds, arguments of pgbench)

Starts pgbench; returns what load_end wants.

=cut

sub load_start
{
	my ($node, $seconds, @args) = @_;
	my $out = '';
	my $h = IPC::Run::start([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-T', $seconds, @args, 'postgres' ], '>', \$out, '2>&1');

	return { h => $h, out => \$out };
}

=item load_end(explained, loads)

Waits for loads, which end with the server.  Returns the errors that they met and that neither a crash
nor the pattern C<explained> explains, '' if none.

=cut

sub load_end
{
	my ($explained, @loads) = @_;
	my $said = '';

	foreach my $b (@loads)
	{
		eval { $b->{h}->finish };
		$said .= join '', map { "$_\n" } grep {
			/ERROR|FATAL|PANIC/ && !/terminating connection|shutting down|recovery mode|starting up|not yet accepting/ && $_ !~ $explained
		} split(/\n/, ${ $b->{out} });
	}
	return $said;
}

=item load_crash(round, primary, standby)

Crashes the primary, or a process of it and the standby.  They are up again, or on their way.

=cut

sub load_crash
{
	my ($round, $primary, $standby) = @_;

	if ($round % 2)
	{
		$primary->stop('immediate');
		$primary->start;
	}
	else
	{
		# one process, and with it all
		my $victim = $primary->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1});

		kill('KILL', $victim);
		$standby->stop('immediate');
		$standby->start;
	}
	return;
}

=item settle_prepared(primary)

Ends prepared transactions.  Whether they were to be committed is anybody's guess.

=back

=cut

sub settle_prepared
{
	my ($primary) = @_;

	foreach my $gid (split(/\n/, $primary->safe_psql('postgres', q{SELECT gid FROM pg_prepared_xacts ORDER BY gid})))
	{
		$primary->safe_psql('postgres', (rand() < 0.5 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid'");
	}
	return;
}

1;
