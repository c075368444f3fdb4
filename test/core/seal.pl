#!/usr/bin/perl
#
# seal.pl FROM TO
#   Copies PostgreSQL's test scripts (*.sql, *.spec) from one directory to
#   another and adds calls that seal tables after their rows were loaded.
#
# A call is a line of its own, "CALL kyro_core.seal($kyro$name$kyro$);", after each
# INSERT, COPY, UPDATE, MERGE, CREATE TABLE AS, SELECT INTO and
# [REFRESH] MATERIALIZED VIEW, or after the end of the transaction block that it
# is in.  compare.pl takes the lines out of the output again.  In a spec it is a
# set-up block after the others.

use strict;
use warnings;

my $NAME = qr/(?:"[^"]+"|[\w\$\x80-\xff]+)(?:\.(?:"[^"]+"|[\w\$\x80-\xff]+))*/;

# Scripts that look at what the last command was; and specs in which the first
# UPDATE of a sealed row would wait for a row lock until the tester gives up, since
# it locks like FOR UPDATE.
my %LEFT_ALONE = map { $_ => 1 } qw(
  psql.sql
  fk-deadlock.spec fk-deadlock2.spec lock-committed-update.spec multixact-no-forget.spec
  propagate-lock-delete.spec tuplelock-update.spec tuplelock-upgrade-no-deadlock.spec
  update-locked-tuple.spec);

my ($from, $to) = @ARGV;
die "usage: seal.pl FROM TO\n" unless defined $to;

for my $file (glob("$from/*.sql"), glob("$from/*.spec"))
{
	my ($name) = $file =~ m{([^/]+)$};
	open(my $in, '<:raw', $file) or die "$file: $!\n";
	my @lines = <$in>;
	close $in;
	if (!$LEFT_ALONE{$name})
	{
		@lines = $name =~ /\.spec$/ ? spec(@lines) : script(@lines);
	}
	open(my $out, '>:raw', "$to/$name") or die "$to/$name: $!\n";
	print $out @lines;
	close $out or die "$to/$name: $!\n";
}

# The table that a command fills, if any.
sub target
{
	my ($sql) = @_;

	return $1 if $sql =~ /^\s*(?:with\b.*?\b)?insert\s+into\s+($NAME)/is;
	return $1 if $sql =~ /^\s*(?:with\b.*?\b)?merge\s+into\s+(?:only\s+)?($NAME)/is;
	return $1 if $sql =~ /^\s*(?:with\b.*?\b)?update\s+(?:only\s+)?($NAME)/is;
	return $1 if $sql =~ /^\s*copy\s+($NAME)\s*(?:\([^)]*\)\s*)?from\b/is;
	return $1 if $sql =~ /^\s*create\s+(?:(?:global|local)\s+)?(?:temp\w*\s+|unlogged\s+)?table\s+(?:if\s+not\s+exists\s+)?($NAME).*?\bas\b\s*(?:select|values|table|with|execute|\()/is;
	return $1 if $sql =~ /^\s*(?:create|refresh)\s+materialized\s+view\s+(?:concurrently\s+)?(?:if\s+not\s+exists\s+)?($NAME)/is;
	return $1 if $sql =~ /^\s*(?:with\b.*?\b)?select\b.*?\binto\s+(?:temp\w*\s+|unlogged\s+)?(?:table\s+)?($NAME)/is;
	return;
}

sub calls
{
	my %seen;
	return map { "CALL kyro_core.seal(\$kyro\$$_\$kyro\$);\n" } grep { !$seen{$_}++ } @_;
}

# psql's rules of where a command ends, as far as the tests need them.
sub script
{
	my @lines = @_;
	my @out;
	my $sql = '';				# the command so far
	my $quote = '';				# ', ", E', a dollar quote, or */ in a comment
	my ($depth, $parens, $atomic, $in_block, $several) = (0, 0, 0, 0, 0);
	my @pending;				# tables to seal when the block ends

	while (defined(my $line = shift @lines))
	{
		my $text = $line;
		my @ready;
		my $ended = 0;			# the line ends with the end of a command

		push @out, $line;
		while ($text ne '')
		{
			if ($quote eq '*/')
			{
				if    ($text =~ s{^/\*}{}) { $depth++ }
				elsif ($text =~ s{^\*/}{}) { $quote = '' if --$depth == 0 }
				else { $text =~ s/^(.)//s }
			}
			elsif ($quote ne '')
			{
				my $q = $quote eq "E'" ? "'" : $quote;
				if ($quote eq "E'" && $text =~ s/^(\\.)//s) { $sql .= $1 }
				elsif (index($text, $q) == 0)
				{
					$text = substr($text, length $q);
					$sql .= $q;
					$quote = '';
				}
				else { $text =~ s/^(.)//s; $sql .= $1 }
			}
			elsif ($text =~ s/^--.*//s)   { }
			elsif ($text =~ s{^/\*}{})    { $quote = '*/'; $depth = 1 }
			elsif ($text =~ s/^[eE]'//)   { $quote = "E'"; $sql .= "E'" }
			elsif ($text =~ s/^(['"])//)  { $quote = $1; $sql .= $1 }
			elsif ($text =~ s/^(\$\w*\$)//) { $quote = $1; $sql .= $1 }
			elsif ($text =~ s/^\\;//)     { $several = 1; $sql .= "\n;" }
			elsif ($text =~ s/^\\([^\s\\]*)(.*)//s)
			{
				# a command of psql's; \g and its kin send what is there
				if ($1 =~ /^(?:g|gx|gset|gexec|gdesc|crosstabview|watch|r|reset)$/ || $sql !~ /\S/)
				{
					$sql = '';
					($parens, $atomic, $several) = (0, 0, 0);
				}
				$ended = 0;
			}
			elsif ($text =~ s/^;// && $parens == 0 && $atomic == 0)
			{
				my $table = $several ? undef : target($sql);

				if (!$in_block && $sql =~ /^\s*(?:begin|start\s+transaction)\b/i)
				{
					$in_block = 1;
				}
				elsif ($in_block && $sql =~ /^\s*(?:commit|end|rollback|abort|prepare\s+transaction)\b/i &&
					$sql !~ /^\s*rollback\s+(?:(?:work|transaction)\s+)?to\b/i && $sql !~ /\band\s+chain\b/i)
				{
					$in_block = 0;
				}
				push @pending, $table if defined $table;
				if ($sql =~ /^\s*copy\b.*\bfrom\s+std(?:in|out)\b/is || $sql =~ /^\s*\\copy\b.*\bfrom\s+std(?:in|out)\b/is)
				{
					# the data, if there is any: up to the mark, with no command between
					push @out, take_data(\@lines);
				}
				($sql, $several) = ('', 0);
				$ended = 1;
			}
			elsif ($text =~ s/^([()\[\]]|[\w\x80-\xff]+|\s+|.)//s)
			{
				my $token = $1;

				$parens++ if $token eq '(';
				$parens-- if $token eq ')' && $parens > 0;
				if ($sql =~ /^\s*create\b/i && $sql =~ /\b(?:function|procedure)\b/i)
				{
					$atomic = 1 if lc $token eq 'atomic';
					$atomic++ if lc $token eq 'case' && $atomic > 0;
					$atomic-- if lc $token eq 'end' && $atomic > 0;
				}
				$sql .= $token;
				$ended = 0 if $token =~ /\S/;
			}
		}
		if ($ended && !$in_block && @pending)
		{
			push @out, calls(@pending);
			@pending = ();
		}
	}
	return @out;
}

# Lines of data after COPY ... FROM STDIN.  Some tests expect that COPY fails and
# give none: then a command comes before any end of data.
sub take_data
{
	my ($lines) = @_;

	for my $i (0 .. $#$lines)
	{
		return splice(@$lines, 0, $i + 1) if $lines->[$i] =~ /^\\\.\s*$/;
		last if $lines->[$i] =~ /^\s*(?:--|copy\b|select\b|create\b|drop\b|begin\b|commit\b|insert\b|truncate\b|alter\b|set\b)/i;
	}
	return ();
}

sub spec
{
	my @lines = @_;
	my ($seen, $in_block) = (0, 0);

	for my $i (0 .. $#lines)
	{
		my $line = $lines[$i];
		$line =~ s/#.*// unless $in_block;
		if (!$in_block)
		{
			$seen = 1 if $line =~ /^\s*setup\b/;
			if ($line =~ /^\s*(?:teardown|session)\b/)
			{
				splice(@lines, $i, 0, "setup { CALL kyro_core.seal_all(); }\n") if $seen;
				last;
			}
		}
		# blocks do not nest
		$in_block = 1 if $line =~ /\{/;
		$in_block = 0 if $line =~ /\}[^{]*$/;
	}
	return @lines;
}
