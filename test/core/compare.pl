#!/usr/bin/perl
#
# compare.pl MODE SUITE INPUT RESULTS KNOWN DIR [BASELINE]
#   Compares what PostgreSQL's tests printed with what they should have, command
#   by command.
#
#   MODE     baseline, kyro, kyro-sealed, kyro-background, rmi or keys
#   SUITE    regress or isolation
#   INPUT    core's directory of the suite: schedule, sql or specs, expected
#   RESULTS  directory with the *.out files of the run
#   KNOWN    file with the known differences
#   DIR      where to write: TEST.diff for each test that differs, new.txt
#   BASELINE results of mode baseline, if it ran: as good as core's expected files
#
# compare.pl --shift SCRIPT
#   Prints a script with the blocks of TIDs counted from 1, for mode kyro.
#
# Prints "ok TEST", "ok TEST # known: ..." or "not ok TEST # ..." for each test
# of the schedule, and a line "# REASON NUMBER" for each reason.
#
# A difference is one command whose output differs.  It is let pass if
#
# - the same lines come in another order and the command does not ask for one
#   ("order", found here);
# - in modes rmi and keys, nothing but how an index of ours is described differs
#   ("name", found here); or
# - it is listed in KNOWN, with a reason that a person wrote there.
#
# A line of KNOWN has fields separated by tabs:
#
#   modes      separated by commas; "baseline" stands for all modes.  What is known of
#              kyro and kyro-sealed is known of kyro-background, too, where it
#              depends on the moment which rows are sealed
#   test       SUITE/TEST
#   command    hash of the command's text
#   outputs    hash of the output expected and the output seen; or "plan": any
#              plan will do, provided that the command is an EXPLAIN that does not
#              run the query; or "numbers": other numbers in the same text will do
#   reason     one of the words below, explained in README.md
#   text       how the command begins (not compared)
#
# The lines to add for what is not known are written to new.txt, with "?" as their
# reason, which is not one.

use strict;
use warnings;
use Digest::MD5 qw(md5_hex);

my %REASON = map { $_ => 1 } qw(order plan size tid sample catalog stats environment serializable lock message unsupported);

if (@ARGV == 2 && $ARGV[0] eq '--shift')
{
	open(my $in, '<:raw', $ARGV[1]) or die "$ARGV[1]: $!\n";
	print shift_tids($_) while <$in>;
	exit;
}

my ($mode, $suite, $input, $results, $known_file, $dir, $baseline) = @ARGV;
die "usage: compare.pl MODE SUITE INPUT RESULTS KNOWN DIR [BASELINE]\n" unless defined $dir;

my %known = read_known($known_file);
my %count;
my @new;

my ($schedule, $scripts, $suffix) = $suite eq 'regress'
  ? ("$input/parallel_schedule", "$input/sql", 'sql')
  : ("$input/isolation_schedule", "$input/specs", 'spec');
my ($tests, $ignored) = read_schedule($schedule);

for my $test (@$tests)
{
	my ($verdict, $text) = compare_test($test);
	if ($text ne '')
	{
		open(my $out, '>:raw', "$dir/$test.diff") or die "$dir/$test.diff: $!\n";
		print $out $text;
		close $out;
	}
	print "$verdict\n";
}
print "# $_ $count{$_}\n" for sort keys %count;
open(my $out, '>:raw', "$dir/new.txt") or die "$dir/new.txt: $!\n";
print $out @new;
close $out;

# ---------------------------------------------------------------------------

sub read_known
{
	my ($file) = @_;
	my %known;

	open(my $in, '<:raw', $file) or die "$file: $!\n";
	while (<$in>)
	{
		chomp;
		next if /^#/ || $_ eq '';
		my ($modes, $test, $command, $outputs, $reason) = split /\t/;
		die "$file:$.: no reason\n" unless defined $reason;
		die "$file:$.: unknown reason \"$reason\"\n" unless $REASON{$reason};
		next unless grep { $_ eq 'baseline' || $_ eq $mode || ($mode eq 'kyro-background' && /^kyro(-sealed)?$/) } split /,/, $modes;
		$known{"$test $command $outputs"} = $reason;
	}
	close $in;
	return %known;
}

sub read_schedule
{
	my ($file) = @_;
	my (@tests, %ignored);

	open(my $in, '<:raw', $file) or die "$file: $!\n";
	while (<$in>)
	{
		push @tests, split ' ', $1 if /^test:\s*(.*)/;
		$ignored{$_} = 1 for /^ignore:\s*(.*)/ ? split(' ', $1) : ();
	}
	close $in;
	die "$file: no tests\n" unless @tests;
	return (\@tests, \%ignored);
}

# The lines of a file, but empty ones, what seal.pl added, and what event trigger kyro_on_rewrite
# tells of tables that seal.pl has sealed (NOTICE and HINT).
sub read_lines
{
	my ($file) = @_;

	open(my $in, '<:raw', $file) or return;
	my (@lines, $added);
	while (<$in>)
	{
		s/\n\z//;
		my $tag = $added && $_ eq 'CALL';	# psql prints it unless QUIET is set
		$added = /^CALL kyro_core\.seal\(\$kyro\$.*\$kyro\$\);$/;
		next if /^(?:\w+: )?NOTICE:  sealed rows of table ".*" go back to the log as it is written anew$/ ||
			/^HINT:  SELECT \* FROM kyro\.snapshot\('.*'\) seals them again\.$/;
		push @lines, $_ unless $_ eq '' || $added || $tag;
	}
	close $in;
	return \@lines;
}

sub compare_test
{
	my ($test) = @_;
	my $actual = read_lines("$results/$test.out");
	return ("not ok $test # no output", '') unless $actual;

	my $shift = $mode =~ /^kyro(-background)?$/ && $test =~ /^(?:tidscan|tidrangescan|combocid|eval-plan-qual)$/;
	my @units = split_output($test, $actual, $shift);
	if ($shift)
	{
		# blocks are numbered from 1
		for my $unit (@units)
		{
			s/(?<!\w)\((\d+)(?<!4294967295)(,\d+\))/"(" . ($1 - 1) . $2/ge for @{ $unit->{output} };
		}
	}
	my ($best, $best_differences);
	my @files = glob("$input/expected/$test.out $input/expected/${test}_[0-9].out");
	push @files, "$baseline/$test.out" if defined $baseline && $mode ne 'baseline';
	for my $file (@files)
	{
		my $expected = read_lines($file) or next;
		return ("ok $test", '') if join("\n", @$expected) eq join("\n", @$actual);

		my @differences = differences([split_output($test, $expected)], \@units);
		# spaces and empty lines
		return ("ok $test", '') unless @differences;
		($best, $best_differences) = ($file, \@differences)
		  if !$best || @differences < @$best_differences;
	}
	return ("not ok $test # no expected file", '') unless $best;
	return ("ok $test # ignored", '') if $ignored->{$test};

	my ($text, $bad, %reasons) = ("expected: $best\n", 0);
	for my $d (@$best_differences)
	{
		my $reason = judge($test, $d);
		if (defined $reason)
		{
			$reasons{$reason}++;
			$count{$reason}++;
		}
		else
		{
			$bad++;
			$count{new}++;
		}
		$text .= sprintf("\n======== %s\n%s\n", $reason // 'NEW', $d->{command}) .
		  show($d->{expected}, $d->{actual});
	}
	my $known = join(', ', map { "$_ $reasons{$_}" } sort keys %reasons);
	return ("not ok $test # $bad new" . ($known ? ", known: $known" : ''), $text) if $bad;
	return ("ok $test # known: $known", $text);
}

sub hash { return substr(md5_hex(join("\n", @_)), 0, 10) }

# Why a difference is all right, or undef.
sub judge
{
	my ($test, $d) = @_;
	my $command = $d->{command} =~ s/\s+/ /gr;
	my @expected = @{ $d->{expected} };
	my @actual = @{ $d->{actual} };

	if ($mode eq 'rmi' || $mode eq 'keys')
	{
		# the name is longer, so that columns become wider
		my $was = join("\n", map { squeeze($_) } @expected);
		my $is = join("\n", map { squeeze(plain_name($_)) } @actual);
		return 'name' if $is eq $was && grep { /kyro_rmi/ } @actual;
	}
	return 'order'
	  if join("\n", sort @expected) eq join("\n", sort @actual) && !wants_order($d->{command});

	# this one prints the oids of access methods
	@actual = map { s/\b\d{5,}\b/OID/gr } @actual if $test eq 'opr_sanity';

	my $key = "$suite/$test " . hash($command);
	my $outputs = hash(@expected, '--', @actual);
	my $numbers = join("\n", map { squeeze(s/\d+/N/gr) } @expected) eq join("\n", map { squeeze(s/\d+/N/gr) } @actual);
	for my $o ($outputs, is_plan($d) ? 'plan' : (), $numbers ? 'numbers' : ())
	{
		return $known{"$key $o"} if defined $known{"$key $o"};
	}
	push @new, join("\t", $mode, "$suite/$test", hash($command), is_plan($d) ? 'plan' : $outputs,
		is_plan($d) ? 'plan' : '?', substr($command, 0, 100)) . "\n";
	return;
}

# A line with the index of a constraint as a btree would be described.
sub plain_name
{
	my ($line) = @_;

	$line =~ s/kyro_rmi \((\w+|"[^"]+") kyro\.\w+_ops\)/kyro_rmi ($1)/g;
	$line =~ s/ WITH \(kyro_rmi='?true'?\)//g;
	return $line =~ s/kyro_rmi/btree/gr;
}

sub squeeze
{
	my ($line) = @_;
	$line =~ s/-{2,}/--/g;
	$line =~ s/\s+/ /g;
	$line =~ s/^ | $//g;
	return $line;
}

# A line of a script that names TIDs of a table: the next block.
sub shift_tids
{
	my ($line) = @_;
	$line =~ s/'\((\d+)(?<!4294967295)(, *\d+\)')/"'(" . ($1 + 1) . $2/ge;
	$line =~ s/(::integer > )2;/${1}3;/;	# tidrangescan keeps rows of blocks 0 to 2
	return $line;
}

# Does the order of the output mean something?  When in doubt, it does.
sub wants_order
{
	my ($command) = @_;

	return 0 if $command =~ /^\s*copy\b.*\bto\s+stdout\b/is && $command !~ /\border\s+by\b/i;
	return $command =~ /\border\s+by\b|\bover\b|\bwithin\s+group\b/i ||
	  $command !~ /^\s*(?:step\s+\S+:\s*)?(?:\(\s*)*(?:select|with|table|values|insert|update|delete|merge)\b/i;
}

sub is_plan
{
	my ($d) = @_;
	return $d->{command} =~ /^\s*explain\b/i && $d->{command} !~ /\banaly[sz]e\b/i &&
	  !grep { !grep { /^\s*QUERY PLAN\s*$/ } @$_ } ($d->{expected}, $d->{actual});
}

# ---------------------------------------------------------------------------
# Output as a list of units { key, command, output }.

sub split_output
{
	my ($test, $lines, $shift) = @_;
	return $suite eq 'regress' ? split_script($test, $lines, $shift) : split_spec($lines);
}

# psql -a prints each line of the script as it reads it, but not the data of COPY
# FROM STDIN.  A unit is a line of the script and what came after it.
sub split_script
{
	my ($test, $lines, $shift) = @_;
	my $original = read_lines("$scripts/$test.$suffix") or die "$scripts/$test.$suffix: $!\n";
	my $script = $shift ? [ map { shift_tids($_) } @$original ] : $original;
	my @units = ({ key => -1, command => '(start)', output => [] });
	my $next = 0;
	my $after_data;				# where the script may go on

	for my $line (@$lines)
	{
		if (defined $after_data && !($next < @$script && $line eq $script->[$next]) &&
			$after_data < @$script && $line eq $script->[$after_data])
		{
			$next = $after_data;
		}
		if ($next > 0 && $next < @$script && $script->[$next - 1] =~ /^\\echo -n\b/ &&
			$line =~ s/^(.+)\Q$script->[$next]\E\z/$script->[$next]/)
		{
			push @{ $units[-1]{output} }, $1;	# output without an end of line
		}
		if ($next < @$script && $line eq $script->[$next])
		{
			my $command = command_at($original, $next);
			undef $after_data;
			if ($line =~ /;\s*(?:--.*)?$/ && $command =~ /\bfrom\s+std(?:in|out)\b/i)
			{
				my $i = $next + 1;
				$i++ while $i < @$script && $script->[$i] !~ /^\\\.\s*$/;
				$after_data = $i + 1 if $i < @$script;
			}
			elsif ($line =~ /^\s*\\copy\b.*\bfrom\s+std(?:in|out)\b/i)
			{
				my $i = $next + 1;
				$i++ while $i < @$script && $script->[$i] !~ /^\\\.\s*$/;
				$after_data = $i + 1 if $i < @$script;
			}
			push @units, { key => $next, command => $command, output => [] };
			$next++;
		}
		else
		{
			push @{ $units[-1]{output} }, $line;
		}
	}
	# A script that broke off, or that we lost track of, must not look complete.
	push @units, { key => -2, command => '(end)', output => ["stopped before: $script->[$next]"] }
	  if $next < @$script && !(defined $after_data && $after_data >= @$script);
	return @units;
}

# The command whose last line this is: back to the end of the one before it.
sub command_at
{
	my ($script, $last) = @_;
	my $first = $last;

	while ($first > 0 && $last - $first < 200)
	{
		my $above = $script->[$first - 1];
		last if $above =~ /;\s*(?:--.*)?$/ || $above =~ /^\s*--/ || $above =~ /^\s*\\/;
		$first--;
	}
	return join("\n", @$script[$first .. $last]);
}

# isolationtester prints the permutation, then each step with its output.
sub split_spec
{
	my ($lines) = @_;
	my @units = ({ key => 'start', command => '(start)', output => [] });
	my ($permutation, $number) = ('', 0);
	my %seen;

	for my $line (@$lines)
	{
		if ($line =~ /^starting permutation: (.*)/)
		{
			$permutation = "$line " . ++$seen{$line};
			$number = 0;
			push @units, { key => $permutation, command => $line, output => [$line] };
		}
		elsif ($line =~ /^step (\S+):/)
		{
			$number++;
			push @units, { key => "$permutation/$number $1", command => $line, output => [$line] };
		}
		else
		{
			push @{ $units[-1]{output} }, $line;
		}
	}
	for my $unit (@units)
	{
		# the whole text of a step: its lines come first in its output
		$unit->{command} = join("\n", @{ $unit->{output} })
		  if $unit->{command} =~ /^step/ && $unit->{command} !~ /;\s*(?:<.*>)?\s*$/;
		my ($p) = $unit->{key} =~ m{^([^/]*)/};
		$unit->{where} = $p if defined $p;
	}
	return @units;
}

sub differences
{
	my ($expected, $actual) = @_;
	my %actual = map { $_->{key} => $_ } @$actual;
	my %expected = map { $_->{key} => $_ } @$expected;
	my @result;

	# steps that come in another order are compared as whole permutations
	if ($suite eq 'isolation' && join('|', map { $_->{key} } @$expected) ne join('|', map { $_->{key} } @$actual))
	{
		($expected, $actual) = (permutations($expected, $actual), permutations($actual, $expected));
		%actual = map { $_->{key} => $_ } @$actual;
		%expected = map { $_->{key} => $_ } @$expected;
	}
	for my $e (@$expected)
	{
		my $a = $actual{ $e->{key} } // { output => [] };
		push @result, difference($e, $e->{output}, $a->{output});
	}
	for my $a (@$actual)
	{
		push @result, difference($a, [], $a->{output}) unless $expected{ $a->{key} };
	}
	return @result;
}

sub difference
{
	my ($unit, $expected, $actual) = @_;

	return if join("\n", @$expected) eq join("\n", @$actual);
	return { command => (defined $unit->{where} ? "$unit->{command}\n-- $unit->{where}" : $unit->{command}),
		expected => $expected, actual => $actual };
}

# The units of those permutations joined whose steps differ from the other's.
sub permutations
{
	my ($units, $others) = @_;
	my $steps = sub {
		my %steps;
		for my $u (@{ $_[0] })
		{
			my ($p) = split m{/}, $u->{key};
			$steps{$p} .= "|$u->{key}";
		}
		return \%steps;
	};
	my ($mine, $theirs) = ($steps->($units), $steps->($others));
	my @result;

	for my $u (@$units)
	{
		my ($p) = split m{/}, $u->{key};
		if (($mine->{$p} // '') eq ($theirs->{$p} // '') || $u->{key} eq $p)
		{
			push @result, { %$u, output => [ @{ $u->{output} } ] };
		}
		else
		{
			push @{ $result[-1]{output} }, @{ $u->{output} };
		}
	}
	return \@result;
}

# A plain diff of two lists of lines.
sub show
{
	my ($old, $new) = @_;
	my @files;
	my $n = 0;

	for my $list ($old, $new)
	{
		my $file = "$dir/.diff." . $n++;
		open(my $out, '>:raw', $file) or die "$file: $!\n";
		print $out map { "$_\n" } @$list;
		close $out;
		push @files, $file;
	}
	my $diff = `diff -U 4 '$files[0]' '$files[1]' | tail -n +4`;
	unlink @files;
	return $diff;
}
