#!/usr/bin/perl
#
# indent.pl [--check] [FILE...]
#   Formats C files as pgindent does: with its options for pg_bsd_indent, of the
#   version that it wants for PostgreSQL 15.  Without files: all.  --check changes
#   nothing, and prints what would change.
#
# pg_bsd_indent must be told the names of types, or it takes "Type *name" for a
# multiplication, and "(Type *) &x" for one and more.  They are found in the
# sources: what is defined there, and what stands before "*name"; so write that
# without a blank.  A type of the server that is used in other ways only is named
# below.  pg_bsd_indent knows no compound literals: they are made to look like
# calls, of the same width, and made literals again afterwards.
use strict;
use warnings;
use File::Temp;
use FindBin;

my $VERSION = '2.1.1';
my $PROGRAM = $ENV{PG_BSD_INDENT} // 'pg_bsd_indent';
my $OPTIONS = '-bad -bap -bbb -bc -bl -cli1 -cp33 -cdb -nce -d0 -di12 -nfc1 -i4 -l79 -lp -lpl -nip -npro -sac -tpg -ts4';
my $TOP = "$FindBin::Bin/..";
my @FORMATTED = qw(src test);
my @SERVER_TYPES = qw(FormData_pg_class RelationData RmgrData SnapshotData TupleTableSlotOps bool sig_atomic_t);

# what may stand inside of parentheses or braces and is not to be looked into
my $OPAQUE = qr{/\*.*?\*/|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'}s;

sub slurp
{
	my ($name) = @_;
	local $/;

	open(my $in, '<', $name) or die "cannot read $name: $!\n";
	return scalar <$in>;
}

sub put
{
	my ($name, $text) = @_;

	open(my $out, '>', $name) or die "cannot write $name: $!\n";
	print $out $text;
	close($out) or die "cannot write $name: $!\n";
}

sub types_in
{
	my ($source) = @_;
	my @types;

	$source =~ s!/\*.*?\*/!!gs;
	push @types, $1 while $source =~ /[\s(,](?!return\b|else\b|case\b|const\b|goto\b|sizeof\b)([A-Za-z_]\w*)\s+\*+(?=[A-Za-z_])/g;
	push @types, $1 while $source =~ /\((?:const )?([A-Za-z_]\w*) \*+\)/g;
	push @types, $1 while $source =~ /^typedef\b[^;{}]*\{.*?^\}\s*(\w+);/gms;
	push @types, $1 while $source =~ /^typedef\b[^;{}()]*?\b(\w+)(?:\[\w*\])?;/gm;
	push @types, $1 while $source =~ /^typedef\b[^;{}()]*?(?:\(\*\s*)?\b(\w+)\)?\s*\([^;{}]*;/gm;	# of functions
	return @types;
}

# The place behind the bracket that closes the one before $from.
sub closing
{
	my ($source, $from, $open, $close) = @_;
	my $depth = 1;

	pos($$source) = $from;
	while ($$source =~ /\G(?:[^"'\/$open$close]|$OPAQUE|\/(?!\*))*+([$open$close])/g)
	{
		$depth += $1 eq $open ? 1 : -1;
		return pos($$source) if $depth == 0;
	}
	die "a bracket is not closed\n";
}

# "(Type) {...}" becomes "L1____(...)", and what was there before the dots is
# remembered.  So are braces within, which then have no name to be as wide as.
sub hide_literals
{
	my ($source) = @_;
	my @hidden;

	my $hide = sub {
		my ($begin, $from) = @_;
		my $what = substr($source, $begin, $from - $begin);
		my $end = closing(\$source, $from, '{', '}');
		my $name = sprintf('L%d', scalar @hidden);

		$name .= '_' x (length($what) - 1 - length($name)) if length($what) > length($name);
		push @hidden, [ $name, $what ];
		substr($source, $end - 1, 1) = ')';
		substr($source, $begin, length($what)) = "$name(";
		return $end - length($what) + length($name) + 1;
	};

	while ($source =~ /(?:[^\w\s]|\breturn)\s*\K(\((?:const )?\w+(?: \*)?(?:\[\])?\) ?\{)/)
	{
		my $begin = $-[0];
		my $end = $hide->($begin, $+[0]);

		# without a type before it
		pos($source) = $begin;
		while ($source =~ /\G(?:[^"'\/{)]|$OPAQUE|\/(?!\*)|\)(?: ?\{)?)*+\{/g && pos($source) < $end)
		{
			my $from = pos($source);
			my $length = length($source);

			$hide->($from - 1, $from);
			$end += length($source) - $length;
			pos($source) = $from;
		}
	}
	return ($source, @hidden);
}

sub show_literals
{
	my ($source, @hidden) = @_;

	foreach (@hidden)
	{
		my ($name, $what) = @$_;
		my $begin = index($source, "$name(");
		my $end = closing(\$source, $begin + length($name) + 1, '(', ')');

		substr($source, $end - 1, 1) = '}';
		substr($source, $begin, length($name) + 1) = $what;
	}
	return $source;
}

# It leaves a file .BAK where it is called.
my $dir = File::Temp->newdir();

sub bsd_indent
{
	my ($source) = @_;
	my $said;

	put("$dir/source.c", $source);
	$said = `cd $dir && $PROGRAM $OPTIONS -Utypes source.c 2>&1`;
	die $said if $? != 0 || $said ne '';
	return slurp("$dir/source.c");
}

sub format_source
{
	my ($source) = @_;
	my @hidden;

	$source =~ s!/\* +---!/*---X_X!g;	# comments that are kept as they are
	($source, @hidden) = hide_literals($source);
	$source = bsd_indent($source);
	$source = show_literals($source, @hidden);
	$source =~ s!/\*---X_X!/* ---!g;
	$source =~ s!,\.(?=[A-Za-z_]\w* = )!, .!g;	# designated initializers
	$source =~ s!\*/(/\*.*\*/)$!*/\t$1!gm;
	$source =~ s!^([A-Za-z_]\S*)[ \t]+\*$!$1 *!gm;	# what a function returns
	return $source;
}

# All that is not space or comment.
sub tokens
{
	my ($source) = @_;

	return join(' ', map { m!^/\*! ? () : $_ } $source =~ /$OPAQUE|\w+|[^\w\s]/g);
}

my $check = @ARGV && $ARGV[0] eq '--check' && shift @ARGV;
my $version = `$PROGRAM --version 2>/dev/null` // '';
die "indent.pl: there is no $PROGRAM $VERSION (Debian: pg-bsd-indent)\n" if $version !~ / \Q$VERSION\E /;

my %types;
foreach my $file (glob("$TOP/src/*.[ch] $TOP/src/*/*.[ch] $TOP/test/*/*.[ch] $TOP/bench/*.[ch]"))
{
	$types{$_} = 1 foreach types_in(slurp($file));
}

if (!@ARGV)
{
	chdir($TOP) or die "cannot enter $TOP: $!\n";
	@ARGV = sort map { glob("$_/*.[ch] $_/*/*.[ch]") } @FORMATTED;
}
foreach my $file (@ARGV)
{
	my $before = slurp($file);
	my %here = map { $_ => 1 } types_in($before);

	# "text" is a type in one file and a variable in another
	put("$dir/types", join('', map { "$_\n" } @SERVER_TYPES, sort grep { !/^[a-z]+$/ || $here{$_} } keys %types));
	my $after = eval { format_source($before) };

	die "$file: $@" if !defined $after;
	die "$file: pg_bsd_indent takes some token apart\n" if tokens($before) ne tokens($after);
	next if $after eq $before;
	if ($check)
	{
		put("$dir/formatted", $after);
		print `diff -u --label $file --label formatted $file $dir/formatted`;
	}
	else
	{
		put($file, $after);
	}
}
