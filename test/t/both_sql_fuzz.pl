# Random SQL, for kyro tables with kyro_rmi indexes and for heaps with btrees: answers, counts and errors are equal, and so are
# the tables.  SqlFuzz.pm says how.  What differs is written to sql-SEED.json among the logs, and shown with the statements before.
#
# KYRO_SEED (default: two that are always the same, and a random one), KYRO_STATEMENTS of each seed; tools/longrun.sh makes long runs.
# KYRO_WITHOUT=pattern leaves statements out, while something is not mended.
# KYRO_REPLAY=file runs what a failure left; KYRO_SHRINK=1 makes failures shorter.
#
# Runs with both carriers.
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use SqlFuzz;
use Test::More;
use Time::HiRes;

my $statements = $ENV{KYRO_STATEMENTS} // 600;
my $world = 600;				# statements of one world
my @seeds = defined $ENV{KYRO_SEED} ? $ENV{KYRO_SEED} : (1, 2, 1000 + int(rand(1e9)));
my $json = JSON::PP->new->canonical;

my $node = new_node('fuzz', conf => "track_commit_timestamp = on\nmax_prepared_transactions = 20\nmax_parallel_workers = 4\nshared_buffers = 64MB\nlog_min_messages = fatal\n");
fuzz_prepare($node);

sub report
{
	my ($failure, $list) = @_;

	if ($ENV{KYRO_SHRINK})
	{
		($list, my $f) = fuzz_shrink($node, $list, sub { diag($_[0]); });
		$failure = $f // "$failure(not again)";
	}
	my @last = @$list;
	@last = @last[ -40 .. -1 ] if @last > 40;
	return substr(fuzz_sql(\@last), -8000) . "-- $failure";
}

sub write_list
{
	my ($file, $list) = @_;

	open(my $fh, '>', $file) or die "cannot write $file: $!";
	print $fh $json->encode($_), "\n" foreach @$list;
	close($fh);
}

if (my $file = $ENV{KYRO_REPLAY})
{
	my @list = map { $json->decode($_) } split /\n/, slurp_file($file);
	my ($failure, $i) = fuzz_replay($node, \@list);

	is(defined $failure ? report($failure, [ @list[ 0 .. $i ] ]) : '', '', "replay of $file");
	done_testing();
	exit;
}

my ($done, $rows, $errors, $begin, %excuses, %did, %codes) = (0, 0, 0, Time::HiRes::time());
foreach my $seed (@seeds)
{
	my $left = $statements;

	for (my $n = 0; $left > 0; $n++, $left -= $world)
	{
		# the first world of a seed has just that
		my $of_world = $seed + 1_000_003 * $n;
		my $r = fuzz_world($node, $of_world, $left < $world ? $left : $world, crashes => $n % 3 == 0 ? 1 : 0);

		$done += $r->{statements};
		$rows += $r->{rows};
		$errors += $r->{errors};
		$excuses{$_} += $r->{excuses}{$_} foreach keys %{ $r->{excuses} };
		foreach my $word (keys %{ $r->{did} })
		{
			$did{$word}[$_] += $r->{did}{$word}[$_] foreach 0 .. 2;
		}
		$codes{$_} += $r->{codes}{$_} foreach keys %{ $r->{codes} };
		my $text = '';
		if (defined $r->{failure})
		{
			my $file = "$PostgreSQL::Test::Utils::log_path/sql-$of_world.json";

			write_list($file, $r->{list});
			$text = report($r->{failure}, $r->{list}) . "\nseed $of_world, statement $r->{statements}, all of them in $file";
		}
		is($text, '', "seed $of_world");
		last if $text;
	}
}
log_lacks($node, 'PANIC|inconsistent page|TRAP|invalid page|page verification failed|terminated by signal', 'nothing bad in the log');
cmp_ok($rows, '>', $done, 'statements returned rows');
note("statements, with effect, with error: " . join(', ', map { "$_ " . join('/', @{ $did{$_} }) } sort keys %did));
note('errors: ' . join(', ', map { "$_ $codes{$_}" } sort keys %codes));
note(sprintf('%d statements, %d a second, with %d rows, %d errors on both sides; excused: %s', $done, $done / (Time::HiRes::time() - $begin), $rows, $errors,
	join(', ', map { "$_ $excuses{$_}" } sort keys %excuses) || 'none'));
$node->stop;
done_testing();
