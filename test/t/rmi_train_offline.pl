# bench/train_offline.py, where this machine has numpy and scikit-learn: what it
# trains is imported, and is better than what there was.
use strict;
use warnings;
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $script = dirname(__FILE__) . '/../../bench/train_offline.py';
plan(skip_all => 'no python3 with numpy and scikit-learn (python3-numpy, python3-sklearn)')
  if system('/usr/bin/python3 -c "import numpy, sklearn" >/dev/null 2>&1') != 0;

my $node = new_node('rmi_train_offline');
$node->safe_psql('postgres', q{
CREATE EXTENSION kyrodb;
CREATE TABLE t (k bigint, ts timestamptz);
INSERT INTO t SELECT k, timestamptz '2020-01-01' + k % 100000000 * interval '1 ms' FROM
	(SELECT sum(1 + (g * 7919 % 1000) * (2::numeric ^ (ARRAY[0,35,20])[1 + g / 40001])::bigint) OVER (ORDER BY g) AS k FROM generate_series(1, 120000) g) x;
CREATE INDEX t_k ON t USING kyro_rmi (k);
CREATE INDEX "t ts" ON t USING kyro_rmi (ts);
CREATE INDEX one ON t USING kyro_rmi (k) WHERE k < 50;
});
my $keep = PostgreSQL::Test::Utils::tempdir() . '/model';
my ($out, $err) = run_command([ '/usr/bin/python3', $script, '-d', $node->connstr('postgres'), '-n', '-o', $keep, '-s', '8,16', 't_k' ]);
is($err, '', 'trains without complaints');
like($out, qr/present .*trained .*trained /s, 'and compares');
is($node->safe_psql('postgres', q{SELECT string_agg(reason, ' ') FROM kyro.model_history('t_k')}), 'build', 'a dry run imports nothing');
($out, $err) = run_command([ '/usr/bin/python3', $script, '-d', $node->connstr('postgres'), '-s', '8,16', 't_k' ]);
is($err, '', 'imports');
like($out, qr/imported: leaves_taken [1-9]/, 'lines of it are used');
is($node->safe_psql('postgres', q{SELECT string_agg(reason, ' ' ORDER BY generation), bool_or(eps_after < eps_before) FROM kyro.model_history('t_k')}), 'build import|t', 'and are better');
is(unpack('H*', slurp_file($keep)), $node->safe_psql('postgres', q{SELECT encode(kyro.export_model('t_k'), 'hex')}), 'the model is the file');
is($node->safe_psql('postgres', q{SELECT * FROM kyro.verify('t_k', true)}), '', 'sound');
($out, $err) = run_command([ '/usr/bin/python3', $script, '-d', $node->connstr('postgres'), '-s', '8,16', 't_k' ]);
is($err, '', 'once more');
like($out, qr/leaves_taken 0/, 'it is there already');

# names with blanks, other types, one leaf
foreach my $index ('"t ts"', 'one')
{
	($out, $err) = run_command([ '/usr/bin/python3', $script, '-d', $node->connstr('postgres'), $index ]);
	like($err, qr/^$|the model is no better/, "$index: works");
	is($node->safe_psql('postgres', qq{SELECT * FROM kyro.verify('$index', true)}), '', "$index: sound");
}
($out, $err) = run_command([ '/usr/bin/python3', $script, '-d', $node->connstr('postgres'), 'nonexistent' ]);
like($err, qr/relation "nonexistent" does not exist/, 'an error of the server is shown');
$node->stop;
done_testing();
