# Subscribers of event logs: woken once for each transaction, by nobody while none listens,
# and none misses what commits while it begins to listen.
use strict;
use warnings;
use KyroTest;
use PostgreSQL::Test::BackgroundPsql;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('listen', init => [ allows_streaming => 1 ], conf => "max_prepared_transactions = 5\n");

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{CREATE EXTENSION kyrodb; SELECT kyro.create_log('heard'); SELECT kyro.append('heard', '"first"')});
$node->backup('b');

my $l = $node->background_psql('postgres');
my $a = $node->background_psql('postgres');

# What a session was notified of since it was asked last: offsets, "-" for an empty one.
sub heard
{
	my ($session) = @_;
	my $out = $session->query_safe('SELECT 1');

	return join(' ', map { /with payload ".*?"offset":(\d+)/ ? $1 : '-' } $out =~ /(Asynchronous notification[^\n]*)/g);
}

# ---- nobody listens ----
my $trace = q{SELECT pg_notification_queue_usage()};
is($a->query_safe(q{BEGIN; SELECT kyro.append('heard', '"a"')}), 2, 'an append');
$a->query_safe('COMMIT');
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), '0', 'and no lock is left');

# ---- one listens ----
like($l->query_safe(q{SELECT string_agg(payload #>> '{}', ' ') FROM kyro.subscribe('heard')}), qr/^first a$/m, 'a subscriber is given what is there');
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'RowExclusiveLock'}), '1', 'it holds its lock');
heard($l);
sql(q{SELECT kyro.append('heard', '"b"')});
is(heard($l), '3', 'it is woken by an append');
sql(q{BEGIN; SELECT kyro.append('heard', '1'); SELECT kyro.append('heard', '2'); INSERT INTO heard (payload) VALUES ('3'); COMMIT});
is(heard($l), '6', 'once by a transaction, of SQL, too');
sql(q{BEGIN; SELECT kyro.append('heard', '1'); ROLLBACK});
is(heard($l), '', 'not by what is rolled back');
like($l->query_safe(q{SELECT payload FROM kyro.subscribe('heard', 3, 1)}), qr/^"b"$/m, 'it reads on');
is(heard($l), '', 'and is not woken by itself again');
$l->query_safe(q{SELECT kyro.append('heard', '"own"')});
like($l->query_safe('SELECT 1') . 'x', qr/1/, 'it goes on');
sql(q{BEGIN; SELECT kyro.append('heard', '"prepared"'); PREPARE TRANSACTION 'p'});
sql(q{COMMIT PREPARED 'p'});
is(heard($l), '', 'a prepared transaction is not notified');
like($l->query_safe(q{SELECT string_agg(payload #>> '{}', ' ') FROM kyro.subscribe('heard', 8)}), qr/^own prepared$/m, 'but read');

# ---- while it begins to listen ----
my $m = $node->background_psql('postgres');
$a->query_safe(q{BEGIN; SELECT kyro.append('heard', '"open"')});
$m->query_safe(q{BEGIN});
like($m->query_safe(q{SELECT count(*) FROM kyro.subscribe('heard', 10)}), qr/^0$/m, 'an event of an open transaction is not there yet');
$a->query_safe('COMMIT');
$m->query_safe('COMMIT');
like($m->query_safe('SELECT 1') . $m->query_safe(q{SELECT payload FROM kyro.subscribe('heard', 10)}), qr/"open"/, 'committed before the LISTEN, it is there when that has woken it');

# ---- the end of it ----
$l->query_safe(q{SELECT kyro.unsubscribe('heard')});
$m->query_safe('DISCARD ALL');
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), '0', 'unsubscribed, or after DISCARD, no lock is left');
sql(q{SELECT kyro.append('heard', '"x"')});
is(heard($l), '', 'and it is not woken');

# ---- a standby ----
my $standby = PostgreSQL::Test::Cluster->new('listen_standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
my ($rc, $out, $err) = $standby->psql('postgres', q{\set VERBOSITY verbose
SELECT kyro.subscribe('heard')});
like($err, qr/25006: a standby cannot wake subscribers/, 'refused on a standby');
is($standby->safe_psql('postgres', q{SELECT count(*) = 10 FROM kyro.replay('heard')}), 't', 'which replays');
is($standby->safe_psql('postgres', q{SELECT kyro.stable_offset('heard') = kyro.last_offset('heard')}), 't', 'to the end');

$_->quit for $l, $a, $m;

# ---- logical replication: a copy, which only its publisher knows to be complete ----
my $sub = new_node('listen_sub');
$node->stop;
$node->append_conf('postgresql.conf', "wal_level = logical\n");
$node->start;
$sub->safe_psql('postgres', q{CREATE EXTENSION kyrodb; SELECT kyro.create_log('heard')});
sql(q{CREATE PUBLICATION p FOR TABLE heard});
sql(q{SELECT pg_create_logical_replication_slot('decoded', 'test_decoding')});
sql(q{SELECT kyro.append('heard', '"decoded"', key => 7, request_id => '00000000-0000-0000-0000-000000000007')}) for 1 .. 2;
sql(q{SELECT count(*) FROM (SELECT kyro.snapshot('heard')) x});
like(sql(q{SELECT string_agg(data, E'\n') FROM pg_logical_slot_get_changes('decoded', NULL, NULL, 'include-xids', '0') WHERE data LIKE 'table public.heard%'}),
	qr/\Atable public\.heard: INSERT: "offset"\[bigint\]:\d+ .*key\[bigint\]:7 .*payload\[jsonb\]:'"decoded"'[^\n]*\z/, 'test_decoding has each event once, and no seals');
sql(q{SELECT pg_drop_replication_slot('decoded')});
$sub->safe_psql('postgres', "CREATE SUBSCRIPTION s CONNECTION '" . $node->connstr . " dbname=postgres' PUBLICATION p");
$sub->wait_for_subscription_sync($node, 's');
sql(q{SELECT kyro.append('heard', '"published"')});
$node->wait_for_catchup('s');
is($sub->safe_psql('postgres', 'SELECT array_agg("offset" ORDER BY "offset") FROM heard'), sql('SELECT array_agg("offset" ORDER BY "offset") FROM heard'), 'a subscription has the events with their offsets');
($rc, $out, $err) = $sub->psql('postgres', q{SELECT kyro.replay('heard')});
like($err, qr/is written by a subscription/, 'but cannot replay them');
($rc, $out, $err) = $sub->psql('postgres', q{SELECT kyro.stable_offset('heard')});
like($err, qr/is written by a subscription/, 'nor say what is complete');
$sub->safe_psql('postgres', 'DROP SUBSCRIPTION s');
is($sub->safe_psql('postgres', q{SELECT count(*) FROM kyro.replay('heard')}), '12', 'until it is dropped');

# ---- a dump ----
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'a dump of a log');
sql('CREATE DATABASE copy');
my $copy = new_node('listen_copy');
$copy->psql('postgres', slurp_file($dump), on_error_die => 1);
is($copy->safe_psql('postgres', q{SELECT array_agg(("offset", payload)::text ORDER BY "offset") FROM kyro.replay('heard')}),
	sql(q{SELECT array_agg(("offset", payload)::text ORDER BY "offset") FROM kyro.replay('heard')}), 'restored, it is read to the end');
is($copy->safe_psql('postgres', q{SELECT kyro.append('heard', '"restored"')}), sql(q{SELECT kyro.append('heard', '"here"')}), 'and goes on with the next offset');
is($copy->safe_psql('postgres', q{SELECT kyro.stable_offset('heard') = kyro.last_offset('heard')}), 't', 'whatever its xids are');

$_->stop for $node, $standby, $sub, $copy;
done_testing();
