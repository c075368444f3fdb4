#!/usr/bin/perl
#
# circles.pl DIRECTORY
#   Finds circles of files: each calls something in the next one, and the last
#   in the first.  Reads the symbols of the objects below DIRECTORY, from which
#   no line is printed if there is none.
use strict;
use warnings;
use File::Find;

my ($dir) = @ARGV;
my (%home, %wants, %calls);

find(
	{
		no_chdir => 1,
		wanted => sub {
			my $object = $_;

			return if $object !~ /\.o$/ || !-e $object =~ s/\.o$/.c/r;
			open(my $nm, '-|', 'nm', $object) or die "cannot run nm: $!";
			while (<$nm>)
			{
				my ($kind, $symbol) = /([A-Za-z]) (\S+)$/ or next;
				$home{$symbol} = $object if $kind =~ /[TDBRC]/;
				push @{ $wants{$object} }, $symbol if $kind eq 'U';
			}
			close($nm) or die "nm $object failed";
		}
	},
	$dir);
die "no objects below $dir\n" if !%home;

foreach my $object (sort keys %wants)
{
	foreach my $symbol (grep { defined $home{$_} && $home{$_} ne $object } @{ $wants{$object} })
	{
		push @{ $calls{$object}{ $home{$symbol} } }, $symbol;
	}
}

# the way from one file to another, if there is one
sub way
{
	my ($from, $to) = @_;
	my @next = map { [ $from, $_ ] } sort keys %{ $calls{$from} // {} };
	my %seen;

	while (my $path = shift @next)
	{
		my $last = $path->[-1];

		return $path if $last eq $to;
		push @next, map { [ @$path, $_ ] } grep { !$seen{$_}++ } sort keys %{ $calls{$last} // {} };
	}
	return undef;
}

my %told;
foreach my $object (sort keys %calls)
{
	my $path = $told{$object} ? undef : way($object, $object) or next;

	$told{$_} = 1 foreach @$path;
	foreach my $i (0 .. $#$path - 1)
	{
		my ($from, $to) = map { s/^\Q$dir\E\///r =~ s/\.o$/.c/r } @$path[ $i, $i + 1 ];

		print $i == 0 ? 'circle: ' : '  then ', "$from calls ", join(', ', @{ $calls{ $path->[$i] }{ $path->[ $i + 1 ] } }), " of $to\n";
	}
}
