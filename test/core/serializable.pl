#!/usr/bin/perl
#
# serializable.pl specs FROM TO
#   Copies those of PostgreSQL's isolation tests that are about SERIALIZABLE from
#   directory FROM to TO, with a seal of all tables after each step, and prints
#   their names.  A session "kyro_sealer" of its own does it.
#
# serializable.pl compare EXPECTED RESULTS NAMES
#   Compares what those of file NAMES printed (RESULTS/*.out) with core's expected
#   files.  Prints "ok TEST # ..." or "not ok TEST # ..." for each, and what is wrong.
#
# Rows that are sealed after a snapshot cannot be changed with it, and reading
# locks whole tables.  So more transactions fail than would with a heap, and a
# permutation need not print what core expects.  But
#
# - where a transaction fails with a serialization error in a heap, one must fail here:
#   else an anomaly has passed; and
# - where none fails here, everything must be as core expects it; where one does,
#   everything before that.  Rows may come in any order if the step does not say
#   ORDER BY: a seal moves those that it gets behind those that it does not.

use strict;
use warnings;

# Not about predicate locks, but about row locks, notifications and partitions.
my %OTHERS = map { $_ => 1 } qw(async-notify fk-partitioned-2 insert-conflict-do-nothing-2
  lock-committed-keyupdate lock-committed-update lock-update-delete partition-key-update-3);
my $FAILED = qr/^(?:step [^:]*: )?ERROR:  could not serialize access|^(?:step [^:]*: )?ERROR:  deadlock detected/;

my ($what, $from, $to, $names) = @ARGV;
if    (@ARGV == 3 && $what eq 'specs')   { specs() }
elsif (@ARGV == 4 && $what eq 'compare') { exit compare(split ' ', slurp($names)) }
else { die "usage: serializable.pl specs FROM TO | compare EXPECTED RESULTS NAMES\n" }

sub slurp
{
	my ($file) = @_;

	open(my $in, '<:raw', $file) or die "$file: $!\n";
	local $/;
	my $text = <$in>;
	close $in;
	return $text;
}

# ---------------------------------------------------------------------------

sub specs
{
	for my $file (sort glob("$from/*.spec"))
	{
		my ($name) = $file =~ m{([^/]+)\.spec$};
		my $text = slurp($file);
		next if $OTHERS{$name} || $text !~ /\bserializable\b/i;

		my ($sessions, $permutations) = parse($text);
		$permutations = [ interleavings(map { [ @$_ ] } @$sessions) ] unless @$permutations;
		$text =~ s/^permutation\b.*?(?=^permutation\b|^#|\z)//gms;
		$text .= "\nsession kyro_sealer\nsetup { SET lock_timeout = '1ms'; }\n" .
		  "step kyro_seal { CALL kyro_core.seal_now(); }\n\n";
		$text .= "permutation " . join(' ', map { ($_, 'kyro_seal') } @$_) . "\n" for @$permutations;
		open(my $out, '>:raw', "$to/$name.spec") or die "$to/$name.spec: $!\n";
		print $out $text;
		close $out or die "$to/$name.spec: $!\n";
		print "$name\n";
	}
}

# The steps of each session, and the permutations.
sub parse
{
	my ($text) = @_;
	my (@sessions, @permutations);

	# blocks do not nest, and a "#" in one is no comment
	my @tokens = $text =~ /\{[^}]*\}|#[^\n]*|"[^"]*"|[^\s{}"#]+/g;
	@tokens = grep { !/^#/ } @tokens;
	while (defined(my $token = shift @tokens))
	{
		if    ($token eq 'session') { shift @tokens; push @sessions, [] }
		elsif ($token eq 'step')    { push @{ $sessions[-1] }, shift @tokens }
		elsif ($token eq 'permutation') { push @permutations, [] }
		elsif (@permutations)       { push @{ $permutations[-1] }, $token }
	}
	return (\@sessions, \@permutations);
}

# All ways to interleave the steps of some sessions, in the isolation tester's order.
sub interleavings
{
	my @piles = @_;
	my @result;

	for my $i (0 .. $#piles)
	{
		my ($first, @rest) = @{ $piles[$i] };
		next unless defined $first;
		my @others = @piles;
		$others[$i] = \@rest;
		my @ways = interleavings(@others);
		push @result, @ways ? map { [ $first, @$_ ] } @ways : [$first];
	}
	return @result;
}

# ---------------------------------------------------------------------------

sub compare
{
	my @names = @_;
	my $bad = 0;

	for my $name (@names)
	{
		my $actual = -e "$to/$name.out" ? permutations_of(slurp("$to/$name.out")) : [];
		my ($best, $best_sum);
		for my $expected (glob("$from/$name.out $from/${name}_[0-9].out"))
		{
			my ($problems, $sum) = judge(permutations_of(slurp($expected)), $actual);
			($best, $best_sum) = ($problems, $sum) if !$best || @$problems < @$best;
		}
		$best //= ["no expected file"];
		$best_sum //= '';
		print @$best ? "not ok" : "ok", " $name # $best_sum\n", map { "# $_\n" } @$best;
		$bad++ if @$best;
	}
	return $bad ? 1 : 0;
}

# [ name, lines ] of each permutation, without what we have added.
sub permutations_of
{
	my ($text) = @_;
	my @result;
	my $n = 0;

	for my $line (split /\n/, $text)
	{
		$line =~ s/\s+$//;
		next if $line eq '' || $line =~ /^step kyro_seal:/;
		if ($line =~ s/^starting permutation: //)
		{
			$line = join(' ', grep { $_ ne 'kyro_seal' } split ' ', $line);
			push @result, [ $line, [] ];
		}
		elsif (@result)
		{
			push @{ $result[-1][1] }, $line;
		}
	}
	sort_rows($_->[1]) for @result;
	return \@result;
}

# Sort the rows between the names of columns and "(n rows)".
sub sort_rows
{
	my ($lines) = @_;
	my ($step, $first) = ('');

	for my $i (0 .. $#$lines)
	{
		$step = '' if $lines->[$i] =~ /^step /;
		$step .= $lines->[$i];
		if ($lines->[$i] =~ /^-[-+]*$/)
		{
			$first = $i + 1;
		}
		elsif (defined $first && $lines->[$i] =~ /^\(\d+ rows?\)$/)
		{
			@$lines[ $first .. $i - 1 ] = sort @$lines[ $first .. $i - 1 ] if $step !~ /\border\s+by\b/i;
			undef $first;
		}
	}
}

# What is wrong in which permutation, and a summary.
sub judge
{
	my ($expected, $actual) = @_;
	my @problems;
	my ($both, $more, $same) = (0, 0, 0);

	push @problems, @$actual . " permutations, not " . @$expected if @$expected != @$actual || !@$actual;
	for my $i (0 .. ($#$expected < $#$actual ? $#$expected : $#$actual))
	{
		my ($name, $e) = @{ $expected->[$i] };
		my ($actual_name, $a) = @{ $actual->[$i] };
		my ($fails) = grep { $e->[$_] =~ $FAILED } 0 .. $#$e;
		my ($failed) = grep { $a->[$_] =~ $FAILED } 0 .. $#$a;

		if ($name ne $actual_name)
		{
			push @problems, "permutation \"$actual_name\", not \"$name\"";
		}
		elsif (defined $fails && !defined $failed)
		{
			push @problems, "$name: all transactions committed";
		}
		else
		{
			# a command that fails is printed before the message
			my $upto = defined $failed ? $failed - 1 : $#$a > $#$e ? $#$a : $#$e;
			for my $j (0 .. $upto)
			{
				next if ($a->[$j] // '') eq ($e->[$j] // '');
				# the step that failed may have been waiting where a heap's does not
				last if defined $failed && $j >= $failed - 1;
				push @problems, "$name: \"" . ($a->[$j] // '') . '", not "' . ($e->[$j] // '') . '"';
				last;
			}
			if    (!defined $failed) { $same++ }
			elsif (defined $fails)   { $both++ }
			else                     { $more++ }
		}
	}
	return (\@problems, "$both fail, $more more than with a heap, $same do not");
}
