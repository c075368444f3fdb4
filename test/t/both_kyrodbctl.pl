# kyrodbctl: each command does what it says, arguments are values and nothing else, and the
# exit status tells.
use strict;
use warnings;
use File::Basename qw(dirname);
use IPC::Run;
use JSON::PP;
use KyroTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = dirname(dirname(dirname(File::Spec->rel2abs(__FILE__))));
my $node = new_node('ctl');
$node->safe_psql('postgres', q{
CREATE EXTENSION kyrodb;
SELECT kyro.create_log('orders');
SELECT kyro.create_kv('prices', 'numeric', history => true);
SELECT kyro.create_kv('names');
CREATE TABLE t (id bigint, v text) USING kyro;
INSERT INTO t SELECT g, 'v' FROM generate_series(1, 20000) g;
CREATE INDEX t_id ON t USING kyro_rmi (id);
CREATE TABLE b (id bigint);
INSERT INTO b SELECT generate_series(1, 20000);
CREATE INDEX b_id ON b (id);
ANALYZE;
});
local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;

# What a call prints, what it says of errors, and its exit status; the installed program, by PATH.
sub ctl
{
	my ($input, @arguments) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'kyrodbctl', '-d', 'postgres', @arguments ], '<', \$input, '>', \$out, '2>', \$err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	chomp $out;
	return ($out, $err, $? >> 8);
}

sub gives { my ($expected, $what, @arguments) = @_; my ($out, $err, $rc) = ctl('', @arguments); is("$out ($rc)", "$expected (0)", $what) or diag($err); }
sub fails { my ($status, $pattern, $what, @arguments) = @_; my ($out, $err, $rc) = ctl('', @arguments); is($rc, $status, $what); like($err, $pattern, $what); }

# ---- keys and values ----
gives('1', 'put', 'put', 'prices', 7, '10');
my ($second) = ctl('', 'put', 'prices', 7, '12.50');
cmp_ok($second, '>', 1, 'put again');
gives('12.50', 'get', 'get', 'prices', 7);
gives('10', 'get, as of an offset', 'get', 'prices', 7, 1);
gives('12.50', 'get, as of a time', 'get', 'prices', 7, 'tomorrow');
fails(1, qr/key 8 has no value/, 'get of what is not there', 'get', 'prices', 8);
my ($third) = ctl('', 'put', 'prices', 7, '13', $second);
cmp_ok($third, '>', $second, 'compare and set');
fails(1, qr/last change of key 7 is another/, 'and when another was quicker', 'put', 'prices', 7, '14', $second);
gives('13', 'nothing was written then', 'get', 'prices', 7);
my $odd = q{it's "$(id)" `id` \ :'a' :a; DROP TABLE names -- ü};
gives('1', 'odd characters', 'put', 'names', 1, $odd);
gives($odd, 'are kept', 'get', 'names', 1);
gives('2', 'an empty value', 'put', 'names', -1, '');
gives('', 'is one', 'get', 'names', -1);
is_deeply([ map { decode_json($_)->{key} } split /\n/, (ctl('', 'lookup', 'names', 1, 5, -1))[0] ], [ -1, 1 ], 'lookup');
fails(2, qr/"1\}'::bigint" is not a key/, 'what is not a key', 'lookup', 'names', "1}'::bigint");
fails(3, qr/invalid input syntax for type bigint/, 'nor is that', 'get', 'names', '1 OR true');
fails(3, qr/invalid name syntax/, 'no name of a table', 'get', "names'; DROP TABLE names; --", 1);
fails(3, qr/invalid input syntax for type numeric/, 'a value of another type', 'put', 'prices', 1, 'x');

# ---- events ----
gives('1', 'append', 'append', 'orders', '{"n": 1}', 7, 'placed', '0b7c9a52-5e0e-4f0c-9a53-2f1a7f0e6b11');
gives('1', 'the same request', 'append', 'orders', '{"n": 2}', 7, 'placed', '0b7c9a52-5e0e-4f0c-9a53-2f1a7f0e6b11');
my ($out, $err, $rc) = ctl('{"long": "' . 'x' x 500_000 . "\"}\n", 'append', 'orders', '-');
cmp_ok($out, '>', 1, 'append from standard input') or diag($err);
my @events = map { decode_json($_) } split /\n/, (ctl('', 'replay', 'orders'))[0];
is($events[0]{kind} . $events[0]{payload}{n} . $events[0]{key}, 'placed17', 'replay');
is(length $events[1]{payload}{long}, 500_000, 'of a long one');
gives('', 'replay to where nothing is', 'replay', 'orders', '', 0);
is(scalar(split /\n/, (ctl('', 'replay', 'orders', '', '', 1))[0]), 1, 'at most so many');
fails(3, qr/invalid input syntax for type json/, 'no JSON', 'append', 'orders', '{');
fails(3, qr/limit must not be negative/, 'a negative limit', 'replay', 'orders', 1, '', -1);
fails(3, qr/beyond the end/, 'beyond the end', 'replay', 'orders', 1000);
fails(3, qr/beyond the end/, 'nor can it be followed', 'follow', 'orders', 1000);

my $followed = '';
my $follow = IPC::Run::start([ 'kyrodbctl', '-d', $node->connstr('postgres'), 'follow', 'orders', $events[1]{offset} ], '<', \undef, '>', \$followed);
$follow->pump until $followed =~ /\n/;
ctl('', 'append', 'orders', '"followed"');
ctl('', 'append', 'orders', '"and on"');
$follow->pump until $followed =~ /and on.*\n/;
$follow->kill_kill;
is_deeply([ map { decode_json($_)->{offset} } split /\n/, $followed ],
	[ split /\n/, $node->safe_psql('postgres', "SELECT \"offset\" FROM orders WHERE \"offset\" >= $events[1]{offset} ORDER BY 1") ], 'follow prints each event once');

# ---- administration ----
like((ctl('', 'snapshot', 't', 15000))[0], qr/\b15000\b/, 'snapshot');
is($node->safe_psql('postgres', q{SELECT sealed_rows FROM kyro.stat_tables WHERE relname = 't'}), '15000', 'has sealed');
my $rebuilds = q{SELECT rebuilds FROM kyro.stat_indexes WHERE indexrelname = 't_id'};
my $before = $node->safe_psql('postgres', $rebuilds);
like((ctl('', 'build', 't_id'))[0], qr/leaves/, 'build');
is($node->safe_psql('postgres', $rebuilds), $before + 1, 'has trained');
cmp_ok((ctl('', 'warmup', 't_id'))[0], '>', 10, 'warmup');
like((ctl('', 'advise', 'public'))[0], qr/b_id/, 'advise');
gives('', 'verify', 'verify', 't_id', 'deep');
gives('', 'verify of a table', 'verify', 't');
fails(3, qr/does not exist/, 'no such index', 'build', 'nope');
($out, $err, $rc) = ctl('', 'health');
is($rc, $node->safe_psql('postgres', 'SELECT count(*) > 0 FROM kyro.health()') eq 't' ? 1 : 0, 'health') or diag("$out$err");

my $file = relation_file($node, 't_id');
$node->stop;
my @pages = read_pages($file);
my ($leaf) = grep { page_kind($pages[$_]) == PAGE_LEAF } 0 .. $#pages;
substr($pages[$leaf], 4000, 1) ^= "\x01";
write_page($file, $leaf, $pages[$leaf]);
$node->start;
($out, $err, $rc) = ctl('', 'verify', 't_id');
is($rc, 1, 'verify finds damage');
like($out, qr/^block $leaf: /m, 'and says where');

# ---- calls that are none ----
fails(2, qr/^usage: /, "usage: @$_", @$_) foreach ['frob'], ['get'], [ 'get', 'names' ], [ 'put', 'names', 1 ], [ 'health', 'x' ], [ 'verify', 't', 'deeply' ], [ 'lookup', 'names' ];
like((ctl('', 'help'))[0], qr/^usage: /, 'help');
$node->stop;
done_testing();
