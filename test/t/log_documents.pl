# The examples of the documents about event logs and key-value tables run as they stand.
use strict;
use warnings;
use File::Basename qw(dirname);
use KyroTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = dirname(dirname(dirname(File::Spec->rel2abs(__FILE__))));
my $node = new_node('documents');

# The SQL under a heading and those below it, or of the whole document.
sub examples
{
	my ($file, $heading) = @_;
	my $text = slurp_file("$root/$file");

	$text =~ s/\A.*?^#+ \Q$heading\E\n(.*?)(?=^#{1,3} |\z).*\z/$1/ms or die "$file has no heading $heading" if defined $heading;
	return $text =~ /^```sql\n(.*?)^```$/msg;
}

my $n = 0;
foreach my $part ([ 'README.md', 'An event log' ], [ 'README.md', 'Key and value' ], ['docs/event_log.md'], ['docs/key_value.md'])
{
	my ($file, $heading) = @$part;
	my @examples = examples($file, $heading);
	my $database = 'd' . ++$n;

	cmp_ok(scalar(@examples), '>', 0, "$file has examples" . ($heading ? " under $heading" : ''));
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION kyrodb');
	foreach my $sql (@examples)
	{
		my ($rc, $out, $err) = $node->psql($database, $sql, on_error_stop => 1);

		is($rc, 0, "$file: " . ($sql =~ /^(.*)$/m)[0]) or diag($err);
	}
}
$node->stop;
done_testing();
