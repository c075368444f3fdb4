
=pod

=head1 NAME

SqlFuzz::Values - random choices, and values of the types of keys

=cut

package SqlFuzz::Values;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(below chance pick some weighted literal from_number comparable is_key KEY_TYPES);

use constant KEY_TYPES => qw(bigint integer smallint timestamptz timestamp date);

=item below(n), chance(p), pick(list), some(n, list)

A number of 0 .. n - 1; true with probability p; one of a list; about n of a list, never none.

=cut

sub below { return int(rand($_[0])); }
sub chance { return rand() < $_[0]; }
sub pick { return $_[ below(scalar @_) ]; }

sub some
{
	my ($n, @list) = @_;
	my @chosen = grep { chance($n / @list) } @list;

	return @chosen ? @chosen : pick(@list);
}

=item weighted([weight, what], ...)

One what, by weight.

=cut

sub weighted
{
	my (@list) = @_;
	my $sum = 0;

	$sum += $_->[0] foreach @list;
	my $r = rand($sum);
	foreach my $one (@list)
	{
		return $one->[1] if ($r -= $one->[0]) < 0;
	}
	return $list[-1][1];
}

sub is_key
{
	my ($type) = @_;

	return scalar grep { $_ eq $type } KEY_TYPES;
}

# The days, times and numbers at which something is different.
my %edges = (
	bigint => [ '-9223372036854775808', '-9223372036854775807', '-2147483649', '-1', '0', '1', '2147483648', '9223372036854775806', '9223372036854775807' ],
	integer => [ '-2147483648', '-2147483647', '-32769', '-1', '0', '1', '32768', '2147483646', '2147483647' ],
	smallint => [ '-32768', '-32767', '-1', '0', '1', '32766', '32767' ],
	timestamptz => [ "'-infinity'", "'infinity'", "'4713-01-01 00:00Z BC'", "'0001-12-31 23:59:59.999999Z BC'", "'2000-01-01 00:00Z'", "'1999-12-31 23:59:59.999999Z'", "'294276-12-31 23:59:59.999999Z'" ],
	timestamp => [ "'-infinity'", "'infinity'", "'4713-01-01 00:00 BC'", "'0001-12-31 23:59:59.999999 BC'", "'2000-01-01 00:00'", "'1999-12-31 23:59:59.999999'", "'294276-12-31 23:59:59.999999'" ],
	date => [ "'-infinity'", "'infinity'", "'4713-01-01 BC'", "'0001-12-31 BC'", "'2000-01-01'", "'1999-12-31'", "'5874897-12-31'" ]);

=item literal(type)

A value of a type as SQL, often one that others were, sometimes NULL.

=cut

sub literal
{
	my ($type, %opt) = @_;
	my $r = rand();

	return 'NULL' if $r < 0.04 && !$opt{not_null};
	if ($type eq 'text')
	{
		return sprintf("'%s'", pick('', 'a', "b" . below(20), "value " . below(1000))) if $r < 0.8;
		return sprintf("repeat('%s', %d)", pick('x', 'abc ', "long " . below(10)), pick(30, 300, 3000));
	}
	return pick('true', 'false') if $type eq 'boolean';
	return below(100) / 4 if $type eq 'numeric';
	if (my $e = $edges{$type})
	{
		return typed($type, pick(@$e)) if $r < 0.12 && !$opt{usual};
		my $sql = from_number($type, pick('plain', 'plain', 'few', 'spread'));
		my $i = below(2) ? below(60) : below(3000);
		return $sql =~ s/\$i/$i/gr;
	}
	# a domain
	return below(1000);
}

sub typed
{
	my ($type, $value) = @_;

	return $value =~ /^'/ ? "$type $value" : $value =~ /^-/ ? "($value)" : $value;
}

=item from_number(type, how)

An expression of a type that depends on the number $i.  how: plain (one after the other), few
(many rows of a value), spread (in no order), wide (all of the type's range), holes (with NULLs).

=cut

sub from_number
{
	my ($type, $how) = @_;
	my $n = {
		plain => '$i', few => '($i % 37)', spread => '(hashint8($i) % 3000)', wide => 'hashint8extended($i, 7)', holes => 'NULLIF($i % 5, 0) * 11'
	}->{$how};
	my $small = $how eq 'wide' ? 'hashint8($i)' : $n;

	return $n if $type eq 'bigint';
	return $how eq 'wide' ? 'hashint8($i)' : "($n)::integer" if $type eq 'integer';
	return "($small % 32768)::smallint" if $type eq 'smallint';
	return "(timestamptz '2026-01-01 00:00Z' + ($small) * interval '37 ms')" if $type eq 'timestamptz';
	return "(timestamp '2026-01-01 00:00' + ($small) * interval '1 min')" if $type eq 'timestamp';
	return "(date '2020-01-01' + ($small % 1000000)::integer)" if $type eq 'date';
	return $how eq 'wide' ? 'repeat(md5(($i)::text), 1 + ($i)::integer % 80)' : $how eq 'few' ? "'b' || \$i % 20" : 'md5(($i)::text)' if $type eq 'text';
	return '($i % 2 = 0)' if $type eq 'boolean';
	return '($i / 4.0)' if $type eq 'numeric';
	return '($i % 1000)';
}

=item comparable(type)

A type with whose values those of type can be compared through an index.

=cut

sub comparable
{
	my ($type) = @_;

	return $type if chance(0.7);
	return pick(qw(bigint integer smallint)) if $type =~ /int/;
	return pick(qw(timestamptz timestamp date)) if $type =~ /time|date/;
	return $type;
}

1;
