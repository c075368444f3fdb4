# kyro.verify() of an index says what is wrong and where: each kind of damage,
# made by hand, gives these rows and no others.
#
# Indexes have no OIDs in them, so the file of one index serves for many: each
# damage is done to a copy, and one start of the server is enough for all.
use strict;
use warnings;
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

use constant BODY => 24 + 32;	# where that of a page of the directory or the model begins

# the damage lies behind the checksums of leaves, where there are any
my $node = new_node('verify', conf => "fsync = off\nkyro.debug_any_checksum = on\n");
$node->safe_psql('postgres', q{
CREATE EXTENSION kyrodb;
CREATE TABLE v (k bigint, pad text) WITH (autovacuum_enabled = off);
INSERT INTO v SELECT hashint8extended(g, 1), 'x' FROM generate_series(1, 200000) g;
CREATE INDEX v_k ON v USING kyro_rmi (k) WITH (fillfactor = 50);
});

sub pages_now
{
	$node->safe_psql('postgres', 'CHECKPOINT');
	return read_pages(relation_file($node, 'v_k'));
}

# a page header that the server itself refuses
sub refused { my ($page) = @_; return put($page, 12, pack('vv', 9000, 24)); }

sub put { my ($page, $at, $bytes) = @_; substr($page, $at, length $bytes) = $bytes; return $page }

# Pages with an entry of their own hash have to be given a new one: XXH64 of a string.
sub rotl { use integer; my ($x, $r) = @_; return ($x << $r) | (($x >> (64 - $r)) & ((1 << $r) - 1)) }
sub shr { use integer; my ($x, $r) = @_; return ($x >> $r) & ((1 << (64 - $r)) - 1) }

sub xxh64
{
	use integer;
	my ($s, $seed) = @_;
	my ($p1, $p2, $p3, $p4, $p5) = unpack('q5', pack('Q5', 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5));
	my $n = length $s;
	my $at = 0;
	my $h = $seed + $p5;

	if ($n >= 32)
	{
		my @v = ($seed + $p1 + $p2, $seed + $p2, $seed, $seed - $p1);
		for (; $at + 32 <= $n; $at += 32)
		{
			my @x = unpack('q4', substr($s, $at, 32));
			$v[$_] = rotl($v[$_] + $x[$_] * $p2, 31) * $p1 foreach 0 .. 3;
		}
		$h = rotl($v[0], 1) + rotl($v[1], 7) + rotl($v[2], 12) + rotl($v[3], 18);
		$h = ($h ^ (rotl($_ * $p2, 31) * $p1)) * $p1 + $p4 foreach @v;
	}
	$h += $n;
	for (; $at + 8 <= $n; $at += 8)
	{
		$h = rotl($h ^ (rotl(unpack('q', substr($s, $at, 8)) * $p2, 31) * $p1), 27) * $p1 + $p4;
	}
	for (; $at + 4 <= $n; $at += 4)
	{
		$h = rotl($h ^ (unpack('V', substr($s, $at, 4)) * $p1), 23) * $p2 + $p3;
	}
	for (; $at < $n; $at++)
	{
		$h = rotl($h ^ (ord(substr($s, $at, 1)) * $p5), 11) * $p1;
	}
	$h = ($h ^ shr($h, 33)) * $p2;
	$h = ($h ^ shr($h, 29)) * $p3;
	return $h ^ shr($h, 32);
}
is(sprintf('%016x', xxh64('', 0)), 'ef46db3751d8e999', 'a hash of nothing');

# a page of the directory or the model, with its hash: header (generation, hash, level, count, next) and body
sub dir_get { my %h; @h{qw(generation hash level count next)} = unpack('QQVVV', substr($_[0], 24, 28)); return \%h }
sub dir_hashed
{
	my ($page) = @_;
	my $count = dir_get($page)->{count};
	my $bytes = page_kind($page) == PAGE_DIRECTORY ? $count * 24 : $count;

	$page = put($page, 32, pack('Q', 0));
	my $hash = xxh64(substr($page, BODY, $bytes), xxh64(substr($page, 24, 32), 0));
	return put($page, 32, pack('q', $hash));
}
sub model_hashed
{
	my ($page) = @_;
	my $bytes = unpack('V', substr($page, BODY + 12, 4));

	return dir_hashed(put($page, BODY + $bytes - 8, pack('q', xxh64(substr($page, BODY, $bytes - 8), 0))));
}

# ---- a sound index with pages of all kinds ----

# A leaf before and after it was split, and one that VACUUM deletes.
my @before = pages_now();
my ($victim) = map { leaf_get($before[$_])->{low_key} } grep { page_kind($before[$_]) == PAGE_LEAF && leaf_get($before[$_])->{low_key} > 1 << 61 } 1 .. $#before;
$node->safe_psql('postgres', "INSERT INTO v SELECT $victim + g FROM generate_series(1::bigint, 3000) g");
my @split = pages_now();
# a hole of some leaves
my ($from, $to) = (-(1 << 62), -(1 << 62) + (1 << 60));
$node->safe_psql('postgres', "DELETE FROM v WHERE k BETWEEN $from AND $to");
my @emptied = pages_now();
$node->safe_psql('postgres', 'VACUUM v');
$node->safe_psql('postgres', "INSERT INTO v SELECT $victim + 100000 + g FROM generate_series(1::bigint, 3000) g");
my @good = pages_now();
my %of;
push @{ $of{ page_kind($good[$_]) } }, $_ foreach 0 .. $#good;
ok(@{ $of{$_} // [] } > 0, "there is a page of kind $_") foreach (PAGE_META, PAGE_LEAF, PAGE_DIRECTORY, PAGE_MODEL, PAGE_LOG, PAGE_FREE);

my @chain;
for (my $b = 1; ; $b = leaf_get($good[$b])->{right})
{
	push @chain, $b;
	last if leaf_get($good[$b])->{right} == 0xFFFFFFFF;
}
my ($a, $b, $c) = @chain[ 10 .. 12 ];
my ($la, $lb, $lc) = map { leaf_get($good[$_]) } ($a, $b, $c);
my ($root) = unpack('x48V', $good[0]);
is(dir_get($good[$root])->{level}, 1, 'the directory has two levels');
my @children = map { unpack('V', substr($good[$root], BODY + 24 * $_ + 16, 4)) } 0 .. dir_get($good[$root])->{count} - 1;
my ($model) = grep { dir_get($good[$_])->{level} == 0 } @{ $of{ +PAGE_MODEL } };
my $log = $of{ +PAGE_LOG }[0];
my ($free) = grep { $emptied[$_] && page_kind($emptied[$_]) == PAGE_LEAF } @{ $of{ +PAGE_FREE } };
ok(defined $free, 'a page that was a leaf is free');
ok(dir_hashed($good[$_]) eq $good[$_], "the hash of page $_ as we compute it") foreach ($root, $model);
ok(model_hashed($good[$model]) eq $good[$model], 'and of the model');

# where leaf_before and its new neighbour lie
my ($old_left) = grep { page_kind($before[$_]) == PAGE_LEAF && leaf_get($before[$_])->{low_key} == $victim } 1 .. $#before;
my $old_right = leaf_get($before[$old_left])->{right};
my $new = leaf_get($split[$old_left])->{right};
my $past = 99999999;

# what: pages that are different => rows that are reported
my @damages = (
	[ 'nothing', {} ],
	# links and fences
	[ 'a left link', { $b => leaf_set($good[$b], left => $c) }, "$b|left link leads to block $c instead of $a" ],
	[ 'a left link of the leftmost leaf', { 1 => leaf_set($good[1], left => $c) }, '1|leftmost leaf has a left link' ],
	[ 'a right link past the end', { $a => leaf_set($good[$a], right => $past) }, "$a|right link leads to block $past, past the end of the index" ],
	[ 'a right link to itself', { $a => leaf_set($good[$a], right => $a) }, "$a|right link leads to block $a, which cannot be a right sibling" ],
	[ 'a right link that leaves one out', { $a => leaf_set($good[$a], right => $c) }, "$c|low fence is not the high fence of its left sibling, block $a" ],
	[ 'a right link to a free page', { $a => leaf_set($good[$a], right => $free) }, "$free|page is of another kind" ],
	[ 'a right link to a page of the directory', { $a => leaf_set($good[$a], right => $root) }, "$root|page is of another kind" ],
	[ 'a low fence', { $b => leaf_set($good[$b], low_key => $lb->{low_key} - 1) }, "$b|low fence is not the high fence of its left sibling, block $a" ],
	[ 'a high fence', { $a => leaf_set($good[$a], high_key => $la->{high_key} + 1) }, "$b|low fence is not the high fence of its left sibling, block $a" ],
	[ 'a high fence below the low one', { $a => leaf_set($good[$a], high_key => $la->{low_key} - 1) }, "$a|high fence is not above low fence", "$a|fences out of order" ],
	[ 'fences that leave entries out', { $a => leaf_set($good[$a], high_key => $la->{low_key} + 1), $b => leaf_set($good[$b], low_key => $la->{low_key} + 1) }, "$a|entry at or above the high fence" ],
	[ 'leaves that changed places', { $b => $good[$c], $c => $good[$b] }, "$b|page belongs at another place of the index" ],
	[ 'a leaf in the chain twice', { $b => leaf_set($good[$b], right => $a, high_key => $la->{low_key}) }, "$b|high fence is not above low fence", "$b|fences out of order" ],
	# pages of leaves
	[ 'an empty page', { $b => "\0" x 8192 }, "$b|page is empty" ],
	[ 'a page of another index', { $b => put($good[$b], 8176, pack('V', 4711)) }, "$b|page belongs to another index" ],
	[ 'a page of another format', { $b => put($good[$b], 8176 + 11, pack('C', 77)) }, "$b|page has an unknown format version" ],
	[ 'a page of nothing', { $b => put($good[$b], 8176 + 14, pack('v', 77)) }, "$b|page does not belong to a kyro_rmi index" ],
	[ 'the header of a leaf', { $b => leaf_set($good[$b], nblk => 9999) }, "$b|the leaf header is not valid" ],
	[ 'the number of slots', { $b => leaf_set($good[$b], nslot => $lb->{nslot} + 1) }, "$b|number of slots differs from the header's" ],
	[ 'unused space', { $b => put($good[$b], $lb->{pend} + 5, 'x') }, "$b|unused space is not zero" ],
	[ 'the page header', { $b => put($good[$b], 12, pack('v', $lb->{pend} + 8)) }, "$b|page header does not agree with the leaf header" ],
	# writes that were lost
	[ 'the deletion of a leaf, lost', { $free => $emptied[$free] }, "$free|leaf is not in the chain" ],
	[ 'the split of a leaf, lost on its left', { $old_left => leaf_set($before[$old_left], left => leaf_get($good[$old_left])->{left}) }, 'see below' ],
	# pages that nobody reads
	[ 'the kind of a free page', { $free => put($good[$free], 8176 + 10, pack('C', 77)) }, "$free|page is of no kind that may be there" ],
	[ 'a free page of elsewhere', { $free => put($good[$free], 8180, pack('V', 4711)) }, "$free|page belongs at another place of the index" ],
	[ 'a second meta page', { $free => put($good[$free], 8176 + 10, pack('C', PAGE_META)) }, "$free|page is of no kind that may be there" ],
	# pages that the server does not read
	[ 'a leaf that is refused', { $b => refused($good[$b]) }, "$b|page cannot be read: invalid page in block $b" ],
	[ 'the first leaf', { 1 => refused($good[1]) }, '1|page cannot be read: invalid page in block 1' ],
	[ 'the meta page', { 0 => refused($good[0]) }, '0|page cannot be read: invalid page in block 0' ],
	[ 'the root that is refused', { $root => refused($good[$root]) }, "$root|directory: page cannot be read: invalid page in block $root" ],
	[ 'two pages of the directory that are refused, and a left link', { $b => leaf_set($good[$b], left => $c), map { $_ => refused($good[$_]) } @children[ 0, 1 ] },
		(map { "$_|directory: page cannot be read: invalid page in block $_" } @children[ 0, 1 ]), "$b|left link leads to block $c instead of $a" ],
	[ 'the model, the split log and a free page that are refused', { map { $_ => refused($good[$_]) } $model, $log, $free },
		(map { "$_->[0]|$_->[1]page cannot be read: invalid page in block $_->[0]" } [ $model, 'model: ' ], [ $log, 'split log: ' ], [ $free, '' ]) ],
	# the directory
	[ 'a bit of the root', { $root => put($good[$root], 100, chr(ord(substr($good[$root], 100, 1)) ^ 1)) }, "$root|directory: checksum does not match" ],
	[ 'a bit of a page of the directory', { $children[1] => put($good[ $children[1] ], 100, chr(ord(substr($good[ $children[1] ], 100, 1)) ^ 1)) }, "$children[1]|directory: checksum does not match" ],
	[ 'two pages of the directory', { map { $_ => "\0" x 8192 } @children[ 0, 1 ] }, map { "$_|directory: page is empty" } @children[ 0, 1 ] ],
	[ 'the level of a page', { $children[0] => dir_hashed(put($good[ $children[0] ], 40, pack('V', 5))) }, "$children[0]|directory: page is of another level" ],
	[ 'the order of entries', { $children[0] => dir_hashed(put(put($good[ $children[0] ], BODY + 24 * 3, substr($good[ $children[0] ], BODY + 24 * 4, 24)), BODY + 24 * 4, substr($good[ $children[0] ], BODY + 24 * 3, 24))) },
		"$children[0]|directory: entries 3 and 4 do not ascend" ],
	[ 'an entry that names the meta page', { $children[0] => dir_hashed(put($good[ $children[0] ], BODY + 24 * 3 + 16, pack('V', 0))) }, "$children[0]|directory: entry 3 names block 0, which cannot be a leaf" ],
	[ 'an entry that names a block past the end', { $children[0] => dir_hashed(put($good[ $children[0] ], BODY + 24 * 3 + 16, pack('V', $past))) }, "$children[0]|directory: entry 3 names block $past, which cannot be a leaf" ],
	[ 'the first entry', { $children[0] => dir_hashed(put($good[ $children[0] ], BODY + 16, pack('V', $b))) }, "$root|directory does not begin with the leftmost leaf" ],
	[ 'a page that is not where the root says', { $children[1] => dir_hashed(put($good[ $children[1] ], BODY, pack('q', unpack('q', substr($good[ $children[1] ], BODY, 8)) - 1))) },
		"$children[1]|directory: page does not begin where block $root says" ],
	[ 'a page past the end', { $root => dir_hashed(put($good[$root], BODY + 24 + 16, pack('V', $past))) }, "$root|directory: block $past is past the end of the index" ],
	# the model
	[ 'a bit of the model', { $model => put($good[$model], 300, chr(ord(substr($good[$model], 300, 1)) ^ 1)) }, "$model|model: checksum does not match" ],
	[ 'no model', { $model => "\0" x 8192 }, "$model|model: page is empty" ],
	[ 'the version of the model', { $model => model_hashed(put($good[$model], BODY + 8, pack('V', 9))) }, "$model|model is damaged" ],
	# the split log
	[ 'no split log', { $log => "\0" x 8192 }, "$log|split log: page is empty" ],
	[ 'the generation of the split log', { $log => put($good[$log], 24, pack('Q', 4711)) }, "$log|split log: page is not of this generation" ],
	[ 'an entry of the split log', { $log => put($good[$log], 24 + 16 + 16, pack('V', $past)) }, "$log|split log: entry 0 names block $past, which cannot be a leaf" ],
);
{
	# a model that promises too much: the error bound of its lines is zero, and their slope another
	my $page = $good[$model];
	my ($nmodels) = unpack('V', substr($page, BODY + 28, 4));

	for my $i (0 .. $nmodels - 1)
	{
		my $at = BODY + 64 + 48 * $i;
		$page = put($page, $at + 16, pack('Q', 1));
		$page = put($page, $at + 36, pack('V', 0));
	}
	$page = put($page, BODY + 36, pack('V', 0));
	push @damages, [ 'coefficients and error bounds', { $model => model_hashed($page) }, qr/^($model\|model predicts positions \d+ to \d+ for position \d+\n?)+$/ ];

	# numbers on the meta page that lie
	push @damages, [ 'the number of entries of the directory', { 0 => put($good[0], 24 + 32, pack('V', 7)) }, qr/^0\|directory has \d+ entries, not 7$/m ];
	push @damages, [ 'the number of levels of the directory', { 0 => put($good[0], 24 + 28, pack('V', 9)) }, qr/^0\|directory: number of levels is out of range$/m ];
	push @damages, [ 'the number of entries of the split log', { 0 => put($good[0], 24 + 64, pack('V', 3000)) }, qr/^0\|split log has \d+ entries and ends at block $log, not 3000 and $log$/m ];
}

# ---- all of it at once ----

$node->safe_psql('postgres', 'CREATE TABLE e (k bigint); ' . join(' ', map { "CREATE INDEX e_$_ ON e USING kyro_rmi (k);" } 0 .. $#damages));
my @files = map { relation_file($node, "e_$_") } 0 .. $#damages;

# a directory that lists fewer leaves with keys than its model is about: a page of them is of NULLs, it says
my $last = $children[-1];
my $nulls = $good[$last];
my $nnulls = dir_get($nulls)->{count};
$nulls = put($nulls, BODY + 24 * $_ + 8, pack('Q', unpack('Q', substr($nulls, BODY + 24 * $_ + 8, 8)) | 1 << 63)) foreach 0 .. $nnulls - 1;
$node->safe_psql('postgres', 'CREATE TABLE n (k bigint); CREATE INDEX n_k ON n USING kyro_rmi (k)');
my $nfile = relation_file($node, 'n_k');

# rows of the table that are other than the index says
my %heap = map { $_ => "d_$_" } qw(key gone end);
my $vfile = relation_file($node, 'v');
my %heapfiles;
$node->safe_psql('postgres', 'VACUUM (FREEZE) v; CHECKPOINT');
foreach my $how (sort keys %heap)
{
	$node->safe_psql('postgres', "CREATE TABLE $heap{$how} (k bigint, pad text); CREATE INDEX $heap{$how}_k ON $heap{$how} USING kyro_rmi (k)");
	$heapfiles{$how} = [ relation_file($node, $heap{$how}), relation_file($node, "$heap{$how}_k") ];
}
my $sound = $node->safe_psql('postgres', q{SELECT count(*) FROM kyro.verify('v_k', true)});
is($sound, '0', 'the index is sound to begin with');
my $kfile = relation_file($node, 'v_k');
$node->stop;

foreach my $i (0 .. $#damages)
{
	my @pages = @good;

	$pages[$_] = $damages[$i][1]{$_} foreach keys %{ $damages[$i][1] };
	write_pages($files[$i], @pages);
}

write_pages($nfile, map { $_ == $last ? dir_hashed($nulls) : $good[$_] } 0 .. $#good);

my @heap = read_pages($vfile);
my @index = read_pages($kfile);
my $item = unpack('V', substr($heap[20], 24 + 4 * 2, 4));	# (20,3)
my $at = ($item & 0x7FFF) + 24;
my $key = unpack('q', substr($heap[20], $at, 8));
my $gone = unpack('q', substr($heap[20], (unpack('V', substr($heap[20], 24 + 4 * 6, 4)) & 0x7FFF) + 24, 8));
my %table = (
	key => [ map { $_ == 20 ? put($heap[$_], $at, pack('q', $key + 1)) : $heap[$_] } 0 .. $#heap ],
	gone => [ map { $_ == 20 ? put($heap[$_], 24 + 4 * 6, pack('V', 0)) : $heap[$_] } 0 .. $#heap ],
	end => [ @heap[ 0 .. $#heap - 1 ] ]);
foreach my $how (keys %heap)
{
	write_pages($heapfiles{$how}[0], @{ $table{$how} });
	write_pages($heapfiles{$how}[1], @index);
}

$node->start;
foreach my $i (0 .. $#damages)
{
	my ($what, $pages, @want) = @{ $damages[$i] };
	my ($rc, $out, $err) = $node->psql('postgres', "SELECT * FROM kyro.verify('e_$i')");

	is($err, '', "$what: no error, no warning");
	$out =~ s/ of relation "?base\S*//g;
	if (ref $want[0]) { like($out, $want[0], "$what: is reported") }
	else
	{
		# the split: which page is which now
		if ($what =~ /lost on its left/)
		{
			my $left = leaf_get($good[$old_right])->{left};
			@want = ("$old_right|left link leads to block $left instead of $old_left");
			for (my $x = leaf_get($good[$old_left])->{right}; $x != $old_right; $x = leaf_get($good[$x])->{right}) { push @want, "$x|leaf is not in the chain" }
			@want = ($want[0], sort { (split /\|/, $a)[0] <=> (split /\|/, $b)[0] } @want[ 1 .. $#want ]);
		}
		is($out, join("\n", @want), "$what: is reported");
	}
}

# ---- models in, where the present one is about other leaves than are listed ----
my $listed = $node->safe_psql('postgres', q{SELECT count(*) FROM kyro.training_keys('n_k')});
is($listed + $nnulls, unpack('V', substr($good[0], 24 + 36, 4)), 'leaves that are of NULLs, the directory says');
$node->safe_psql('postgres', slurp_file(dirname(__FILE__) . '/../lib/model_file.sql'));
my $trained = 64 + 56 * int(($listed + 63) / 64) + 8;
my (undef, undef, $worse) = $node->psql('postgres', q{SELECT kyro.import_model('n_k', train('n_k', 8))});
like($worse, qr/no better than .*; it has \d+ bytes, and $trained\.$/s, 'one is judged by what would be trained on those that are listed');

# ---- index against table ----
like($node->safe_psql('postgres', q{SELECT problem FROM kyro.verify('d_key_k', true)}), qr/^(?=.*^entry for row \(20,3\): key differs from the row's$)(?=.*^row \(20,3\) of the table is missing in the index$)/ms, 'a key that differs: both sides');
is($node->safe_psql('postgres', q{SELECT problem FROM kyro.verify('d_gone_k', true)}), 'entry for row (20,7): address has no row in the table', 'a row that is gone');
my @end = split(/\n/, $node->safe_psql('postgres', q{SELECT problem FROM kyro.verify('d_end_k', true)}));
cmp_ok(scalar @end, '>', 10, 'a table cut short');
is(scalar(grep { $_ !~ /^entry for row \($#heap,\d+\): address is past the end of the table$/ } @end), 0, 'a table cut short: rows past the end');
is($node->safe_psql('postgres', "SELECT count(*) FROM kyro.verify('${_}_k')"), '0', "$_: a look at the index alone finds nothing") foreach sort values %heap;
log_lacks($node, 'PANIC|TRAP|terminated by signal', 'nothing bad in the log');
$node->stop;
done_testing();
