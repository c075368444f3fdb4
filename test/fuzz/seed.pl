#!/usr/bin/perl
#
# seed.pl index|store FILE
#   Make of a relation's file, as a server has written it (CHECKPOINT first), the
#   input of fuzz_index or fuzz_store with the same pages, on stdout.  At most 64
#   blocks; see server.c for the format.

use strict;
use warnings;

my ($what, $file) = @ARGV;
die "usage: seed.pl index|store FILE\n" unless defined $file && $what =~ /^(index|store)$/;

open(my $in, '<:raw', $file) or die "$file: $!\n";
my $bytes = do { local $/; <$in> };
my $blocks = length($bytes) / 8192;
die "$blocks blocks\n" if $blocks < 1 || $blocks > 64;

binmode STDOUT;
print pack('Q<', 1), pack('C', $blocks - 1);
for my $block (0 .. $blocks - 1)
{
	my $page = substr($bytes, $block * 8192, 8192);
	my $how = 0;

	# the checksum and LSN are nobody's business
	substr($page, 0, 10) = "\0" x 10;
	if ($what eq 'index')
	{
		# what mend() of fuzz_index.c writes: header and trailer
		$how = unpack('C', substr($page, 8186, 1));
		next if $how == 0;
		substr($page, 0, 24) = "\0" x 24;
		substr($page, 8176) = "\0" x 16;
		$how |= 8 | 16;
	}
	elsif (substr($page, 12, 4) eq pack('vv', 24, 24))
	{
		# a page of ours: put the checksum right
		$how = 1;
	}
	my $pieces = 0;
	while ($page =~ /[^\0](?:\0{0,11}[^\0])*/gs)
	{
		print pack('CCvv', $block, $how, $-[0], $+[0] - $-[0]), substr($page, $-[0], $+[0] - $-[0]);
		$pieces++;
	}
	print pack('CCvv', $block, $how, 0, 0) if $how != 0 && $pieces == 0;
}
