
=pod

=head1 NAME

SqlFuzz - random SQL for kyro tables and their heap twins

=head1 DESCRIPTION

Worlds of a few random tables are made, one after the other, and three sessions take turns with random statements; each is
run for kyro tables and for heaps, and what differs is a failure.  From time to time all is compared and verified, and
the server is killed.  All follows from the seed of a world.

  SqlFuzz/Twins.pm    runs statements for both and compares; what may differ
  SqlFuzz/Psql.pm     a connection
  SqlFuzz/World.pm    tables
  SqlFuzz/Flow.pm     sessions, transactions, cursors, prepared statements, settings
  SqlFuzz/Query.pm    queries
  SqlFuzz/Change.pm   statements that change rows
  SqlFuzz/Upkeep.pm   seals, VACUUM, definitions
  SqlFuzz/Values.pm   values

A failure leaves the statements of its world in a file, one JSON object a line, which C<replay> runs again, and which
C<shrink> makes shorter.

=cut

package SqlFuzz;

use strict;
use warnings;
use JSON::PP;
use SqlFuzz::Change;
use SqlFuzz::Flow;
use SqlFuzz::Twins;
use SqlFuzz::Upkeep;
use SqlFuzz::Values;
use SqlFuzz::World;
use Exporter 'import';

our @EXPORT = qw(fuzz_prepare fuzz_world fuzz_replay fuzz_shrink fuzz_sql);

use constant {
	SESSIONS => 3,
	COMPARE_EVERY => 120,		# statements
};

my $json = JSON::PP->new->canonical;

=item fuzz_prepare(node)

The databases; once for a cluster.

=cut

sub fuzz_prepare { SqlFuzz::Twins::twins_prepare($_[0]); }

# Runs one entry of the list of a world; what differs, or undef.
sub step
{
	my ($twins, $st) = @_;

	return $twins->compare if $st->{compare};
	return $twins->restart if $st->{crash};
	return $twins->run($st);
}

=item fuzz_world(node, seed, statements, crashes => n)

Returns a hash: statements, rows, errors, excuses (how many, by reason), did (by first word: how many, with effect, with error), codes (of errors), and if something differed
failure, list (all statements, the last is the one).

=cut

sub fuzz_world
{
	my ($node, $seed, $statements, %opt) = @_;

	srand($seed);
	my $twins = SqlFuzz::Twins->new($node, SESSIONS);
	my $world = SqlFuzz::World->new;
	my $flow = SqlFuzz::Flow->new($world, $twins);
	my (@list, $failure);
	my $do = sub {
		my ($st) = @_;

		push @list, $st;
		print { $opt{trace} } $json->encode($st), "\n" if $opt{trace};
		$failure = step($twins, $st);
		return defined $failure;
	};
	my $settle = sub {
		foreach my $i (0 .. SESSIONS - 1)
		{
			return 1 if $twins->session($i)->{state} ne 'idle' && $do->({ session => $i, sql => pick('COMMIT', 'COMMIT', 'ROLLBACK') });
		}
		foreach my $gid (sort keys %{ $twins->{prepared} })
		{
			return 1 if $do->({ session => 0, sql => pick('COMMIT', 'ROLLBACK') . " PREPARED '$gid'" });
		}
		return $do->({ compare => 1 });
	};
	my $look = sub { $world->read_from($twins->session($_[0])); };
	my $temporary = sub {
		foreach my $i (0 .. SESSIONS - 1)
		{
			foreach my $sql ($world->temporary)
			{
				return 1 if $do->({ session => $i, sql => $sql });
			}
		}
		return 0;
	};
	my $turnover = sub {
		foreach my $st (turnover($world))
		{
			return 1 if $do->({ session => 0, %$st });
		}
		return 0;
	};
	my %crash = map { 30 + below($statements) => 1 } 1 .. $opt{crashes} // 0;

	foreach my $sql ($world->creation)
	{
		goto done if $do->({ session => 0, sql => $sql });
	}
	goto done if chance(0.4) && $temporary->();
	$look->(0);
	foreach my $t (grep { $_->{kind} ne 'partition' && chance(0.8) } $world->tables)
	{
		goto done if $do->({ session => 0, sql => fill($t) });
		goto done if $t->{am} eq 'kyro' && chance(0.6) && $do->({ session => 0, kyro => 1, sql => "SELECT rows FROM kyro.snapshot('$t->{name}')" });
	}
	while ($twins->{statements} < $statements)
	{
		my $n = $twins->{statements};
		my $st = $flow->next;

		next if defined $ENV{KYRO_WITHOUT} && $st->{sql} =~ /$ENV{KYRO_WITHOUT}/;
		goto done if $do->($st);
		$look->($st->{session}) if $st->{definition} || ($st->{sql} =~ /^(ROLLBACK|COMMIT)/);
		if (delete $crash{$n})
		{
			goto done if $do->({ crash => 1 }) || $settle->();
			$flow->restarted;
			$look->(0);
		}
		goto done if ($n + 1) % COMPARE_EVERY == 0 && $settle->();
		goto done if $twins->idle && chance(0.1) && $turnover->();
	}
	$settle->();
done:
	my %result = (map { $_ => $twins->{$_} } qw(statements rows errors excuses did codes));
	@result{qw(failure list)} = ($failure, \@list) if defined $failure;
	eval { $twins->disconnect; };
	return \%result;
}

=item fuzz_replay(node, list)

Runs a list again.  Returns (failure, index of the statement), nothing if there is none.

=cut

sub fuzz_replay
{
	my ($node, $list) = @_;
	my $twins = SqlFuzz::Twins->new($node, SESSIONS);
	my @found;

	foreach my $i (0 .. $#$list)
	{
		my $failure = step($twins, $list->[$i]);

		next if !defined $failure;
		@found = ($failure, $i);
		last;
	}
	$twins->disconnect;
	return @found;
}

# What kind of failure it is, so that another one is not taken for it.
sub kind_of
{
	my ($failure) = @_;

	return $failure =~ /^(\w[\w.]*)( \S+)?:/ ? "$1 " . ($failure =~ /ERROR:  (\w{5})/ ? $1 : '') : 'rows';
}

=item fuzz_shrink(node, list, say)

A shorter list that fails in the same way: takes out ever smaller parts.

=cut

sub fuzz_shrink
{
	my ($node, $list, $say) = @_;
	my ($failure, $i) = fuzz_replay($node, $list);

	return ($list, undef) if !defined $failure;
	my @list = @{$list}[ 0 .. $i ];
	my $kind = kind_of($failure);
	my $part = int(@list / 2);

	while ($part >= 1)
	{
		my $at = 0;
		my $gone = 0;

		while ($at < @list)
		{
			my @shorter = @list;
			splice(@shorter, $at, $part);
			my ($f, $n) = fuzz_replay($node, \@shorter);
			if (defined $f && kind_of($f) eq $kind)
			{
				@list = @shorter[ 0 .. $n ];
				$failure = $f;
				$gone = 1;
			}
			else
			{
				$at += $part;
			}
		}
		$say->("parts of $part: " . @list . ' statements are left') if $say;
		next if $gone && $part == 1;
		$part = int($part / 2);
	}
	return (\@list, $failure);
}

=item fuzz_sql(list)

A list as SQL for people.

=cut

sub fuzz_sql
{
	my ($list) = @_;

	return join('', map { $_->{compare} ? "-- compare and verify all\n" : $_->{crash} ? "-- crash\n" : "/* $_->{session}" . ($_->{kyro} ? ' kyro' : '') . " */ $_->{sql}" . ($_->{sql} =~ /\\\.\z/ ? "\n" : ";\n") } @$list);
}

1;
