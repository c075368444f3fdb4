# Damage on disk.  In the directory or the model: no answer changes, there is
# a WARNING, and kyro.rebuild() heals it.  In a leaf: an error that names the
# index and the block.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('corrupt', preload => 0);
add_index_checks($node, 'postgres');
$node->safe_psql('postgres', q{
CREATE TABLE t (id bigint, k bigint, pad text);
INSERT INTO t SELECT g, hashint8extended(g, 1), 'x' FROM generate_series(1, 150000) g;
CREATE INDEX t_k ON t USING kyro_rmi (k);
VACUUM (FREEZE, ANALYZE) t;
CHECKPOINT;
});
my $file = relation_file($node, 't_k');
$node->stop;
my @good = read_pages($file);
my %of;
push @{ $of{ page_kind($good[$_]) } }, $_ foreach 0 .. $#good;
is_deeply($of{ +PAGE_META }, [0], 'the meta page is block 0');
cmp_ok(scalar @{ $of{ +PAGE_LEAF } // [] }, '>', 20, 'there are leaves');
cmp_ok(scalar @{ $of{ +PAGE_DIRECTORY } // [] }, '>', 0, 'there is a directory');
cmp_ok(scalar @{ $of{ +PAGE_MODEL } // [] }, '>', 0, 'there is a model');

my $queries = q{
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT count(*), sum(id) FROM t WHERE k > 0;
SELECT count(*), sum(id) FROM t WHERE k BETWEEN -1000000000000000000 AND 1000000000000000000;
SELECT sum(id) FROM t WHERE k = ANY (ARRAY(SELECT hashint8extended(g, 1) FROM generate_series(1, 100000, 500) g));
SELECT sum(x.k) FROM (SELECT k FROM t ORDER BY k DESC LIMIT 500) x;
SELECT count(x.k) FROM generate_series(1, 500) g, LATERAL (SELECT k FROM t WHERE k = hashint8extended(g, 1) OFFSET 0) x;
};
$node->start;
my $answers = $node->safe_psql('postgres', $queries);
$node->stop;

sub restore
{
	write_pages($file, @good);
}

# Damage to what only makes things fast
my %damage = (
	'one byte' => sub { my $p = shift; substr($p, 100, 1) = chr(ord(substr($p, 100, 1)) ^ 0x55); $p },
	'a bit near the start of the contents' => sub { my $p = shift; substr($p, 30, 1) = chr(ord(substr($p, 30, 1)) ^ 1); $p },
	'zeros' => sub { "\0" x 8192 },
	'noise in the contents' => sub { my $p = shift; my $x = 12345; substr($p, $_, 1) = chr(($x = ($x * 1103515245 + 12345) % 2147483648) >> 16 & 255) for 24 .. 8100; $p },
	'the wrong kind of page' => sub { $good[ $of{ +PAGE_LEAF }[3] ] },
);
foreach my $kind (PAGE_DIRECTORY, PAGE_MODEL)
{
	my $name = $kind == PAGE_DIRECTORY ? 'directory' : 'model';
	foreach my $how (sort keys %damage)
	{
		foreach my $block (@{ $of{$kind} })
		{
			write_page($file, $block, $damage{$how}->($good[$block]));
		}
		$node->start;
		my ($rc, $out, $err) = $node->psql('postgres', $queries);
		is($rc, 0, "$name, $how: queries run") or diag($err);
		is($out, $answers, "$name, $how: no answer changes");
		like($err, qr/WARNING:.*t_k/, "$name, $how: there is a warning");
		cmp_ok(scalar(() = $err =~ /WARNING/g), '<', 6, "$name, $how: but not one per lookup");
		isnt($node->safe_psql('postgres', q{SET client_min_messages = error; SELECT * FROM kyro.verify('t_k')}), '', "$name, $how: verify reports it");
		if ($how eq 'one byte' || $how eq 'zeros')
		{
			# writes go on as well
			$node->safe_psql('postgres', q{SET client_min_messages = error; BEGIN; INSERT INTO t SELECT 1000000 + g, hashint8extended(g, 2), 'y' FROM generate_series(1, 20000) g; ROLLBACK;});
		}
		$node->safe_psql('postgres', q{SET client_min_messages = error; SELECT kyro.rebuild('t_k')});
		($rc, $out, $err) = $node->psql('postgres', $queries);
		is($out, $answers, "$name, $how: answers are right after kyro.rebuild");
		is($err, '', "$name, $how: kyro.rebuild heals it");
		if ($how eq 'the wrong kind of page')
		{
			# what lies there is nobody's, and stays until REINDEX
			is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT block || ' ' || problem, ', ' ORDER BY block || ' ' || problem) FROM kyro.verify('t_k', true)}),
				join(', ', sort map { "$_ page belongs at another place of the index" } @{ $of{$kind} }), "$name, $how: verify finds what is left over");
		}
		else
		{
			sound($node, 'postgres', "$name, $how: verify finds nothing any more", 't_k');
		}
		$node->stop;
		# kyro.rebuild wrote elsewhere, and the rows above are gone with their entries or not: start afresh
		restore();
	}
}

# VACUUM heals it too, as far as it retrains
write_page($file, $_, "\0" x 8192) foreach @{ $of{ +PAGE_MODEL } };
$node->start;
my ($vrc, $vout, $verr) = $node->psql('postgres', 'DELETE FROM t WHERE id = 1; VACUUM t;');
is($vrc, 0, 'VACUUM runs with a damaged model');
indexes_agree($node, 'postgres', 'answers are right after it', ['t', 'k', 't_k']);
$node->safe_psql('postgres', q{SET client_min_messages = error; SELECT kyro.rebuild('t_k'); CHECKPOINT});
$node->stop;
@good = read_pages($file);
%of = ();
push @{ $of{ page_kind($good[$_]) } }, $_ foreach 0 .. $#good;

# Damage to a leaf: an error for who reads it, for nobody else
my $victim = $of{ +PAGE_LEAF }[ @{ $of{ +PAGE_LEAF } } / 2 ];
my %leaf_damage = (
	'header' => sub { my $p = shift; substr($p, 24 + 40, 12) = "\xff" x 12; $p },
	'kind' => sub { my $p = shift; substr($p, 8192 - 5, 1) = "\x09"; $p },
	'zeros' => sub { "\0" x 8192 },
	'another index' => sub { my $p = shift; substr($p, 8192 - 16, 4) = pack('V', 4711); $p },
	'another block' => sub { my $p = shift; substr($p, 8192 - 12, 4) = pack('V', 4711); $p },
	'version' => sub { my $p = shift; substr($p, 8192 - 4 - 1, 1) = "\x63"; $p },
);
foreach my $how (sort keys %leaf_damage)
{
	write_page($file, $victim, $leaf_damage{$how}->($good[$victim]));
	$node->start;
	foreach my $q ('SELECT count(*) FROM t WHERE k IS NOT NULL', 'SELECT count(pad) FROM t WHERE k IS NOT NULL', 'SELECT k FROM t ORDER BY k DESC OFFSET 10000000')
	{
		my ($rc, $out, $err) = $node->psql('postgres', "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;\n\\set VERBOSITY verbose\n$q");
		isnt($rc == 0 && $err eq '', 1, "leaf $how: $q fails");
		like($err, qr/ERROR:  XX002:.*"t_k".*block $victim\b/s, "leaf $how: the error names index and block");
	}
	my ($rc, $out, $err) = $node->psql('postgres', "SET enable_seqscan = off; SELECT count(*) FROM (SELECT k FROM t ORDER BY k LIMIT 100) s");
	is($out, '100', "leaf $how: others are read");
	my $v = $node->safe_psql('postgres', q{SET client_min_messages = error; SELECT block FROM kyro.verify('t_k')});
	like($v, qr/^$victim$/m, "leaf $how: verify reports the block");
	($rc, $out, $err) = $node->psql('postgres', 'REINDEX INDEX t_k');
	is($rc, 0, "leaf $how: REINDEX works");
	sound($node, 'postgres', "leaf $how: and heals", 't_k');
	# damage the new file in the next round
	$node->safe_psql('postgres', 'VACUUM t; CHECKPOINT');
	$file = relation_file($node, 't_k');
	$node->stop;
	@good = read_pages($file);
	%of = ();
	push @{ $of{ page_kind($good[$_]) } }, $_ foreach 0 .. $#good;
	$victim = $of{ +PAGE_LEAF }[ @{ $of{ +PAGE_LEAF } } / 2 ];
}

# a random byte anywhere: an error or a right answer, never a crash
my $seed = 4242;
my $wrong = 0;
my $crash = 0;
foreach my $i (1 .. 6)
{
	foreach my $block (0 .. $#good)
	{
		my $p = $good[$block];
		$seed = ($seed * 1103515245 + 12345) % 2147483648;
		my $at = ($seed >> 8) % 8192;
		substr($p, $at, 1) = chr(ord(substr($p, $at, 1)) ^ (1 + ($seed % 255)));
		write_page($file, $block, $p);
	}
	$node->start;
	foreach my $q ('SELECT count(*) FROM t WHERE k > 0', 'SELECT sum(hashint8extended(k, 1)) FROM t WHERE k < 0', "SELECT * FROM kyro.verify('t_k', true)",
		"SELECT * FROM kyro.model('t_k')", "INSERT INTO t SELECT g, hashint8extended(g, 3) FROM generate_series(1, 100) g", 'VACUUM t', "SELECT kyro.rebuild('t_k')", "SELECT kyro.trace('t_k', 5)")
	{
		my ($rc, $out, $err) = $node->psql('postgres', "SET client_min_messages = error; SET enable_seqscan = off; SET statement_timeout = '60s'; " . ($q =~ /VACUUM/ ? '' : 'BEGIN; ') . $q) if $q !~ /VACUUM/;
		($rc, $out, $err) = $node->psql('postgres', $q) if $q =~ /VACUUM/;
		$crash++ if ($err // '') =~ /server closed the connection|statement timeout/;
		diag("$q: $err") if ($err // '') =~ /server closed the connection|statement timeout/;
	}
	$node->stop;
	restore();
}
is($crash, 0, 'random bytes crash nothing');

# the file cut short, and gone
truncate($file, 8192 * int(@good / 2));
$node->start;
my ($trc, $tout, $terr) = $node->psql('postgres', "SET enable_seqscan = off; SET enable_bitmapscan = off;\nSELECT count(*) FROM t WHERE k IS NOT NULL");
like($terr, qr/ERROR:.*t_k/, 'a file cut short is an error');
isnt($node->safe_psql('postgres', q{SET client_min_messages = error; SELECT count(*) FROM kyro.verify('t_k')}), '0', 'verify reports it');
$node->safe_psql('postgres', 'REINDEX INDEX t_k');
indexes_agree($node, 'postgres', 'REINDEX heals it', ['t', 'k', 't_k']);
log_lacks($node, 'PANIC|TRAP|terminated by signal', 'no crash in the log');
$node->stop;

done_testing();
