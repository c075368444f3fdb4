# Damage to the file of a kyro table, page kind by page kind: an error that
# names table and block, never a crash, never an answer that is wrong without
# an error.  Data checksums are off, and each read is tried with and without
# memory maps.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('damage', conf => "restart_after_crash = off\n");
$node->safe_psql('postgres', q{
CREATE EXTENSION kyrodb;
CREATE TABLE t (id bigint PRIMARY KEY, v text) USING kyro;
CREATE INDEX t_id ON t USING kyro_rmi (id);
INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 5000) g;
SELECT kyro.snapshot('t');
DELETE FROM t WHERE id % 100 = 7;
UPDATE t SET v = 'new' WHERE id % 100 = 8;
SELECT id FROM t WHERE id % 100 = 9 FOR UPDATE;
INSERT INTO t SELECT g, md5(g::text) FROM generate_series(5001, 5100) g;
CREATE TABLE o (id bigint) USING kyro;
INSERT INTO o SELECT g FROM generate_series(1, 100) g;
CREATE INDEX o_id ON o USING kyro_rmi (id);
SELECT kyro.snapshot('o');
CHECKPOINT;
});
my $file = relation_file($node, 't');
my $btree = relation_file($node, 't_pkey');
my $queries = q{
RESET enable_seqscan; RESET enable_indexscan;
SELECT count(*), sum(id), count(DISTINCT v) FROM t;
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT count(v), sum(id) FROM t WHERE id > 0;
SET enable_indexscan = off; SET enable_bitmapscan = on;
SELECT count(v), sum(id) FROM t WHERE id BETWEEN 1 AND 4000;
};
my $answers = $node->safe_psql('postgres', $queries);
$node->stop;
my @good = read_pages($file);

# what is on the pages: the layout of src/store/page.h
my %kinds = (1 => 'list', 2 => 'rows', 3 => 'groups', 4 => 'links');
my %of;
foreach my $block (0 .. $#good)
{
	my ($lower, $upper) = unpack('vv', substr($good[$block], 12, 4));
	my ($magic, $kind) = unpack('VC', substr($good[$block], 24, 5));

	push @{ $of{ $lower == 24 && $upper == 24 && $magic == 0x4F52594B ? $kinds{$kind} : 'log' } }, $block;
}
is_deeply([ sort keys %of ], [qw(groups links list log rows)], 'there are pages of all kinds');

my %damage = (
	'a bit behind the header' => sub { my $p = shift; substr($p, 60, 1) = chr(ord(substr($p, 60, 1)) ^ 4); $p },
	'a bit in the middle' => sub { my $p = shift; substr($p, 4000, 1) = chr(ord(substr($p, 4000, 1)) ^ 16); $p },
	'a bit near the end' => sub { my $p = shift; substr($p, 7000, 1) = chr(ord(substr($p, 7000, 1)) ^ 1); $p },
	'kind' => sub { my $p = shift; substr($p, 28, 1) = chr(9); $p },
	'version' => sub { my $p = shift; substr($p, 29, 1) = chr(99); $p },
	'magic number' => sub { my $p = shift; substr($p, 24, 4) = 'WHAT'; $p },
	'noise' => sub { my $p = shift; my $x = 4711; substr($p, $_, 1) = chr(($x = ($x * 1103515245 + 12345) % 2147483648) >> 16 & 255) for 24 .. 8191; $p },
	'zeros' => sub { "\0" x 8192 },
	# the server refuses such a page itself
	'page header' => sub { my $p = shift; substr($p, 12, 4) = pack('vv', 28, 24); $p },
);
my $refused = qr/invalid page in block \d+ of relation "?base/;

sub restore
{
	truncate($file, 8192 * @good) or die "cannot truncate: $!";
	write_page($file, $_, $good[$_]) foreach 0 .. $#good;
}

# The views of all tables go on, and say which table is damaged; the others are as they were.
sub views
{
	my ($what, $state) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', q{
SELECT DISTINCT state FROM kyro.stat_runs WHERE relname = 't' AND state <> 'committed';
SELECT relname, state, sealed_rows FROM kyro.stat_tables WHERE relname = 'o';
SELECT relname, state, rows FROM kyro.stat_runs WHERE relname = 'o';
SELECT relname, state FROM kyro.stat_indexes WHERE relname = 'o';
SELECT 't', state, log_bytes IS NULL FROM kyro.stat_tables WHERE relname = 't'});

	is($rc, 0, "$what: views do not fail") or diag($err);
	like($out, qr/^(damaged\n)?o\|ok\|100\no\|committed\|100\no\|ok\nt\|($state)\|[tf]$/, "$what: one table alone");
	is($out =~ /^t\|damaged\|t$/m ? 1 : 0, $err =~ /WARNING/ ? 1 : 0, "$what: a WARNING if it is damaged") or diag("$out\n$err");
	unlike($err, qr/PANIC|server closed|terminat/, "$what: and no more");
}

foreach my $kind (qw(rows groups links list))
{
	my $victim = $of{$kind}[ @{ $of{$kind} } / 2 ];

	foreach my $how (sort keys %damage)
	{
		write_page($file, $victim, $damage{$how}->($good[$victim]));
		$node->start;
		foreach my $mmap ('on', 'off')
		{
			my ($rc, $out, $err) = $node->psql('postgres', "SET kyro.mmap = $mmap; \\set VERBOSITY verbose\n$queries", on_error_stop => 0);

			# a page of links or groups may not be needed for an answer; if it is, there is an error
			if ($err eq '')
			{
				is($out, $answers, "$kind, $how, mmap $mmap: no error, no difference");
				isnt($kind, 'rows', "$kind, $how, mmap $mmap: damaged rows are not read");
			}
			else
			{
				like($err, $how eq 'page header' ? qr/ERROR:  XX001: $refused/ : qr/ERROR:  XX001: table "t" is damaged in block \d+/, "$kind, $how, mmap $mmap: an error that says so");
				unlike($err, qr/PANIC|server closed|terminat/, "$kind, $how, mmap $mmap: and no more");
			}
		}
		my ($rc, $out, $err) = $node->psql('postgres', q{SELECT block, problem FROM kyro.verify('t', true)});
		is($rc, 0, "$kind, $how: verify does not fail") or diag($err);
		like($out, qr/^\d*\|/, "$kind, $how: verify reports it");
		like($out, qr/^$victim\|page cannot be read: $refused\S*$/, "$kind, $how: as what it is") if $how eq 'page header';
		views("$kind, $how", $kind eq 'list' && $how =~ /^a bit/ ? 'damaged' : 'ok|damaged');
		# writing into it must not make it worse than an error either
		($rc, $out, $err) = $node->psql('postgres', q{BEGIN; UPDATE t SET v = 'x' WHERE id = 2500; ROLLBACK; BEGIN; DELETE FROM t WHERE id < 300; ROLLBACK; VACUUM t;}, on_error_stop => 0);
		unlike($err, qr/PANIC|server closed|terminat/, "$kind, $how: writers live");
		$node->stop;
		restore();
	}
}

# Several pages that the server refuses, each of another kind: verify goes on behind each
{
	my @victims = sort { $a <=> $b } map { $of{$_}[-1] } qw(groups links log rows);
	my $log = $of{log}[0];

	write_page($file, $_, $damage{'page header'}->($good[$_])) foreach @victims;
	# and an item of another page that is out of place
	my $page = $good[$log];
	substr($page, 24, 4) = pack('V', 8190 | 1 << 15 | 100 << 17);
	write_page($file, $log, $page);
	$node->start;
	my ($rc, $out, $err) = $node->psql('postgres', q{SELECT block, problem FROM kyro.verify('t', true) ORDER BY block});
	is($rc, 0, 'refused pages: verify does not fail') or diag($err);
	my %seen = map { $_ => 1 } $out =~ /^(\d+)\|page cannot be read: $refused/mg;
	is_deeply([ sort { $a <=> $b } keys %seen ], \@victims, 'refused pages: each is reported');
	is(scalar(() = $out =~ /page cannot be read/g), scalar @victims, 'refused pages: and once');
	like($out, qr/^$log\|item 1 is out of place$/m, 'refused pages: and what else there is');
	$node->stop;
	restore();
}

# What belongs to the table, but is not in its file
{
	my @pages = read_pages($btree);

	write_page($btree, 1, $damage{'page header'}->($pages[1]));
	$node->start;
	my ($rc, $out, $err) = $node->psql('postgres', q{SELECT block, problem FROM kyro.verify('t', true)});
	like("$rc $out", qr/^0 \|$refused\S*$/, 'a btree that cannot be read: is reported') or diag($err);
	is($node->safe_psql('postgres', q{SELECT count(*) FROM kyro.verify('t')}), '0', 'a btree that cannot be read: the table is sound');
	$node->stop;
	write_page($btree, 1, $pages[1]);
}

# Two pages of rows changed places
{
	my ($x, $y) = @{ $of{rows} }[ 2, 3 ];

	write_page($file, $x, $good[$y]);
	write_page($file, $y, $good[$x]);
	$node->start;
	my ($rc, $out, $err) = $node->psql('postgres', $queries);
	like($err, qr/table "t" is damaged in block $x/, 'pages that changed places are told');
	$node->stop;
	restore();
}

# The file is cut, before the start and while it is mapped
foreach my $mmap ('on', 'off')
{
	truncate($file, 8192 * $of{rows}[3]) or die;
	$node->start;
	my ($rc, $out, $err) = $node->psql('postgres', "SET kyro.mmap = $mmap; $queries");
	isnt($rc, 0, "file cut before the start, mmap $mmap: an error");
	unlike($err, qr/PANIC|server closed|terminat/, "file cut before the start, mmap $mmap: no crash");
	like($node->safe_psql('postgres', q{SELECT problem FROM kyro.verify('t')}), qr/past the end/, "file cut before the start, mmap $mmap: verify tells");
	views("file cut before the start, mmap $mmap", 'damaged');
	$node->stop;
	restore();
}

# There is no file
rename($file, "$file.away") or die;
$node->start;
views('no file', 'damaged');
$node->stop;
rename("$file.away", $file) or die;

$node->start;
my $session = $node->background_psql('postgres', on_error_stop => 0);
is($session->query($queries), $answers, 'mapped and read');
truncate($file, 8192 * $of{rows}[3]) or die;
my $got = $session->query($queries);
unlike($got, qr/^\Q$answers\E$/, 'file cut under the maps: no answer');
like($session->{stderr}, qr/could not read block \d+ of table "t"|past the end|could not open file|read only/, 'file cut under the maps: an error, not a crash');
$session->{stderr} = '';
is($session->query('SELECT 1'), '1', 'file cut under the maps: the session lives');
restore();
is($session->query($queries), $answers, 'file restored: the same session reads again');
$session->quit;

# A page of the log that has lost its mark, while the map says that all rows on it are visible to all
$node->safe_psql('postgres', 'CREATE TABLE m (id bigint) USING kyro; INSERT INTO m VALUES (1), (2)');
$node->safe_psql('postgres', 'VACUUM m');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kyro.verify('m')}), 0, 'map and page agree');
my $map_file = relation_file($node, 'm');
$node->stop;
my $page = (read_pages($map_file))[1];
my $flags = unpack('v', substr($page, 10, 2));
is($flags & 4, 4, 'the page has its mark');
substr($page, 10, 2) = pack('v', $flags & ~4);
write_page($map_file, 1, $page);
$node->start;
like($node->safe_psql('postgres', q{SELECT block, problem FROM kyro.verify('m')}), qr/^1\|.*visibility map.*the page does not$/, 'map and page do not agree');
log_lacks($node, 'PANIC|TRAP|terminated by signal', 'nothing bad in the log');
$node->stop('immediate');
done_testing();
