#!/usr/bin/perl
#
# check-docs.pl [DIRECTORY]
#   Do the documents of the tree hold together?  Prints what is wrong:
#
#   - relative links and #anchors of *.md that lead nowhere
#   - files named in README.md, CONTRIBUTING.md and docs/ that are not there
#   - functions, procedures, views and settings that docs/reference.md does not name
#   - a README.md that has outgrown a front door

use strict;
use warnings;
use File::Basename qw(dirname);
use File::Find;
use File::Spec;

use constant README_MAX => 16 * 1000;

my $root = $ARGV[0] // dirname(dirname(File::Spec->rel2abs(__FILE__)));
chdir $root or die "$root: $!\n";

sub slurp
{
	my ($file) = @_;

	open my $f, '<:encoding(UTF-8)', $file or die "$file: $!\n";
	local $/;
	my $text = <$f>;
	return $text;
}

# The text without what is quoted: blocks of code, which keep their lines.
sub prose
{
	my ($text) = @_;
	my $quoted = 0;

	return join "\n", map {
		my $fence = /^\s*(?:```|~~~)/;
		$quoted = !$quoted if $fence;
		$quoted || $fence ? '' : $_;
	} split /\n/, $text;
}

# What a heading's anchor is on GitHub, but for repeated ones.
sub slug
{
	my ($heading) = @_;

	$heading =~ s/\[([^\]]*)\]\([^)]*\)/$1/g;
	$heading = lc $heading;
	$heading =~ s/[^\p{L}\p{N}_ -]//g;
	$heading =~ s/ /-/g;
	return $heading;
}

my %anchors;    # of each file

sub anchors
{
	my ($file) = @_;

	return $anchors{$file} if $anchors{$file};
	my (%found, %times);
	for (split /\n/, prose(slurp($file)))
	{
		if (/^#{1,6}\s+(.*?)\s*#*\s*$/)
		{
			my $slug = slug($1);
			my $n = $times{$slug}++;
			$found{ $n ? "$slug-$n" : $slug } = 1;
		}
		$found{$1} = 1 while /<a\s+(?:id|name)="([^"]+)"/g;
	}
	return $anchors{$file} = \%found;
}

# "docs/../src" to "src", without asking the file system.
sub plain
{
	my @parts;

	for (split m{/}, shift)
	{
		if ($_ eq '..' && @parts && $parts[-1] ne '..') { pop @parts }
		elsif ($_ ne '.' && $_ ne '') { push @parts, $_ }
	}
	return join '/', @parts;
}

sub check_links
{
	my ($file) = @_;
	my $line = 0;

	for (split /\n/, prose(slurp($file)))
	{
		$line++;
		my $text = s/`[^`]*`/x/gr;
		my @targets = $text =~ /\]\(\s*<?([^)\s>]+)/g;
		push @targets, $text =~ /<(?:img|a)\s[^>]*?(?:src|href)="([^"]+)"/g;
		push @targets, $1 if $text =~ /^\s*\[[^\]]+\]:\s+(\S+)/;
		for my $target (@targets)
		{
			next if $target =~ m{^[a-z][a-z0-9+.-]*:}i;
			my ($path, $anchor) = split /#/, $target, 2;
			my $there = $path eq '' ? $file : plain($path =~ m{^/} ? $path : dirname($file) . "/$path");

			if ($there =~ /^\.\./ || !-e ($there eq '' ? '.' : $there))
			{
				print "$file:$line: no file $target\n";
			}
			elsif (defined $anchor && ($there !~ /\.md$/ || !anchors($there)->{$anchor}))
			{
				print "$file:$line: no heading $target\n";
			}
		}
	}
	return;
}

# `src/rmi/xlog.c` and the like; patterns will do.
sub check_names
{
	my ($file) = @_;
	my $line = 0;

	for (split /\n/, prose(slurp($file)))
	{
		$line++;
		while (m{`((?:src|test|tools|bench|docs|sql|demo|expected)/[^`\s]*)[^`]*`}g)
		{
			my $name = $1;
			next if $name =~ /OLD|NAME|--\*/;    # a pattern of names to be
			my @found = glob $name;
			print "$file:$line: no file $name\n" unless @found && -e $found[0];
		}
	}
	return;
}

sub check_reference
{
	my $reference = slurp('docs/reference.md');
	my $sql = join '', map { slurp($_) } grep { !/--/ } glob 'sql/*.sql';
	my %names;

	$names{$1} = 1 while $sql =~ /^CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE|VIEW) (kyro\.\w+)/mg;
	$names{$1} = 1 while $sql =~ /^CREATE EVENT TRIGGER (\w+)/mg;
	my $settings = slurp('src/guc.c');
	$names{$1} = 1 while $settings =~ /DefineCustom\w+Variable\("(kyro\.\w+)"/g;
	die "sql/*.sql and src/guc.c have not been understood\n" if keys %names < 20;
	for (sort keys %names)
	{
		print "docs/reference.md does not name $_\n" unless $reference =~ /\b\Q$_\E\b/;
	}
	return;
}

my @documents;
find(
	{
		no_chdir => 1,
		wanted => sub {
			$File::Find::prune = 1, return if m{^\./(?:build|\.git|tmp_check|results|output_iso)$|/node_modules$};
			push @documents, s{^\./}{}r if /\.md$/ && -f;
		}
	},
	'.');
die "no documents in $root\n" unless @documents;

check_links($_) for sort @documents;
check_names($_) for grep { m{^(?:README|CONTRIBUTING)\.md$|^docs/} } sort @documents;
check_reference();
my $size = -s 'README.md';
print "README.md has $size bytes, more than ", README_MAX, ": move something to docs/\n" if $size > README_MAX;
