# An application's schema of 22 tables, once with btrees for all keys and once with
# kyro_rmi indexes for those that can have one, under the same statements: each has
# the same outcome, and the tables the same content, after a crash, on a standby, after
# a dump, with the keys exchanged for the other kind and back, after promotion.
#
# KYRO_APPLICATION=n makes each stretch of the load n times as long, SEED another one.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Application;
use KyroTest;
use Test::More;

my $node = new_node('keys_application', init => [ allows_streaming => 1 ]);

application_databases($node, 'plain', 'ours');
my ($btrees, $keys) = map { key_methods($node, $_) } ('plain', 'ours');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('keys_application_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

load_both($node, 'fresh', 'plain', 'ours');

$node->stop('immediate');
$node->start;
same_content($node, 'after a crash', 'plain', 'ours');
load_both($node, 'on it', 'plain', 'ours');

$node->wait_for_catchup($standby);
is(application_state($standby, 'ours'), application_state($node, 'plain'), 'standby: the same content, and through the keys');
is(application_problems($standby, 'ours'), '', 'standby: sound');

# ---- dumped and restored

foreach my $db ('plain', 'ours')
{
	my $file = PostgreSQL::Test::Utils::tempdir() . "/$db";

	$node->command_ok([ 'pg_dump', '-F', 'c', '-f', $file, '-d', $node->connstr($db) ], "dump of $db");
	$node->safe_psql('postgres', "CREATE DATABASE ${db}_2");
	$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr("${db}_2"), $file ], "and restored");
	is(key_methods($node, "${db}_2"), key_methods($node, $db), 'with the same kinds of keys');
}
load_both($node, 'restored', 'plain_2', 'ours_2');

# ---- exchanged, all keys that can be, for the other kind, and back

exchange_keys($node, 'plain', 'replace_btree');
exchange_keys($node, 'ours', 'restore_btree');
like(key_methods($node, 'plain'), qr/kyro_rmi \d\d/, 'plain has kyro_rmi indexes');
load_both($node, 'exchanged', 'plain', 'ours');
exchange_keys($node, 'plain', 'restore_btree');
exchange_keys($node, 'ours', 'replace_btree');
is(key_methods($node, 'plain'), $btrees, 'plain has btrees again');
is(key_methods($node, 'ours'), $keys, 'ours its own');
load_both($node, 'and back', 'plain', 'ours');

# ---- promoted

$node->wait_for_catchup($standby);
$node->stop('immediate');
$standby->promote;
same_content($standby, 'promoted', 'plain', 'ours');
load_both($standby, 'after it', 'plain', 'ours');
log_lacks($_, 'PANIC|TRAP|still active|inconsistent page|corrupt', 'nothing bad in the log of ' . $_->name) foreach ($node, $standby);
$standby->stop;

done_testing();
