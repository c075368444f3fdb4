# The documents keep their word: their examples run as they stand, in the order in which a
# newcomer meets them, and docs/reference.md has the settings, functions and columns of the
# server.
use strict;
use warnings;
use File::Basename qw(dirname);
use KyroTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = dirname(dirname(dirname(File::Spec->rel2abs(__FILE__))));
my $node = new_node('documents', conf => "track_commit_timestamp = on\nkyro.autopilot = off\n");

# The blocks of SQL of a document.
sub examples
{
	my ($file) = @_;

	return slurp_file("$root/$file") =~ /^```sql\n(.*?)^```$/msg;
}

# Run all examples of a document in a database.
sub run_document
{
	my ($database, $file) = @_;
	my @examples = examples($file);

	cmp_ok(scalar(@examples), '>', 0, "$file has examples");
	foreach my $sql (@examples)
	{
		# it has to be installed, and is tested by both_partman
		next if $sql =~ /\bpartman\./;
		# the document has more than one way for the step before
		$node->safe_psql($database, 'SELECT * FROM kyro.leave(dry_run => false)') if $sql =~ /^DROP EXTENSION kyrodb/m;
		my ($rc, $out, $err) = $node->psql($database, $sql, on_error_stop => 1);

		is($rc, 0, "$file: " . ($sql =~ /^(.*)$/m)[0]) or diag($err);
	}
	return;
}

# Those that go on from "Getting started", and the last one takes all away; and those that stand alone.
$node->safe_psql('postgres', 'CREATE DATABASE started');
run_document('started', $_)
  foreach 'README.md', map { "docs/$_.md" } qw(operating model_format reference backups upgrading leaving);
is( $node->safe_psql('started', "SELECT count(*) FROM pg_extension WHERE extname = 'kyrodb'"),
	'0', 'the last document has removed the extension');
my @alone = qw(event_log key_value time_travel);
# it has to be installed, and is tested by both_vectors
push @alone, 'vectors' if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'});
foreach my $name (@alone)
{
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, 'CREATE EXTENSION kyrodb');
	run_document($name, "docs/$name.md");
}

# ---- the reference ----

my $reference = slurp_file("$root/docs/reference.md");

# The text under a heading, up to the next one.
sub under
{
	my ($heading) = @_;

	$reference =~ /^#+ \Q$heading\E\n(.*?)(?=^#|\z)/ms or die "docs/reference.md has no heading $heading";
	return $1;
}

# What of a list is not named in a text, as a word in backquotes.
sub missing
{
	my ($text, @names) = @_;
	my %named = map { $_ => 1 } map { /(\w+)/g } $text =~ /`([^`]*)`/g;

	return join ' ', grep { !$named{$_} } @names;
}

# The row of a table that begins with this name.
sub row_of
{
	my ($text, $name) = @_;

	return join "\n", $text =~ /^\| `\Q$name\E`[^\n]*$/mg;
}

$node->safe_psql('postgres', 'CREATE EXTENSION kyrodb');

# A setting's default as a document writes it.
sub plain
{
	my ($value, $unit) = @_;

	return 'empty' if $value eq '';
	return $value / 1024 . ' MB' if $unit eq 'kB';
	my $seconds = $unit eq 's' ? $value : $unit eq 'ms' ? $value / 1000 : 0;
	return $seconds / 3600 . ' h' if $seconds >= 3600;
	return $seconds / 60 . ' min' if $seconds >= 60;
	return $unit eq '' ? $value : "$value $unit";
}

# Settings and their defaults.
my %shown;
foreach my $line (split /\n/, $node->safe_psql('postgres',
		q{SELECT name, boot_val, coalesce(unit, '') FROM pg_settings WHERE name LIKE 'kyro.%' AND name NOT LIKE 'kyro.debug%'}))
{
	my ($name, $value, $unit) = split /\|/, $line, -1;

	$shown{$name} = plain($value, $unit);
}
my %told;
foreach my $line (split /\n/, under('Settings'))
{
	my ($names, $values) = $line =~ /^\| (`kyro\.[^|]*?) \| ([^|]*?) \|/ or next;
	my @values = split /, /, $values;

	$told{$_} = shift @values foreach $names =~ /`(kyro\.\w+)`/g;
}
is_deeply(\%told, \%shown, 'settings and their defaults');

# Arguments of functions, and columns that they return.
my $functions = join '', map { under($_) } 'Functions and procedures', 'Indexes of constraints', 'Event logs', 'Key-value tables', 'Time travel', 'Counters';
my $helpers = under('Helpers');
my $rows = under('Rows they return');
foreach my $line (split /\n/, $node->safe_psql('postgres', q{
	SELECT proname, coalesce(array_to_string(proargnames[1:pronargs], ' '), ''),
		CASE WHEN pronargs < array_length(proargnames, 1) THEN array_to_string(proargnames[pronargs + 1:], ' ') ELSE '' END
	FROM pg_proc WHERE pronamespace = 'kyro'::regnamespace}))
{
	my ($name, $arguments, $columns) = split /\|/, $line, -1;

	next if $helpers =~ /`kyro\.$name(?:\(|`)/;
	my ($told) = join ' ', $functions =~ /`(?:CALL )?kyro\.$name\(([^`]*)\)`/g;
	is(join(' ', grep { $told !~ /\b$_\b/ } split / /, $arguments), '', "arguments of kyro.$name");
	is(missing($rows . $functions, split / /, $columns), '', "columns of kyro.$name");
}

# Columns of the views.
my $columns = under('Columns of the views');
foreach my $line (split /\n/, $node->safe_psql('postgres', q{
	SELECT c.relname, string_agg(attname, ' ') FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped
	WHERE c.relnamespace = 'kyro'::regnamespace AND c.relkind IN ('v', 'r') GROUP BY 1}))
{
	my ($view, $names) = split /\|/, $line;
	my $text = row_of($columns, "kyro.$view");

	$text .= under('Counters') if $text =~ /\[counters\]/;
	is(missing($text, split / /, $names), '', "columns of kyro.$view");
}
$node->stop;
done_testing();
