# The autopilot prunes the histories of tables: what is older than they keep goes, and what is
# not, and every epoch that is not, stays.
use strict;
use warnings;
use KyroTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('past_worker', conf => q{
kyro.autopilot = on
kyro.autopilot_naptime = 1
track_commit_timestamp = on
});

$node->safe_psql('postgres', q{
CREATE EXTENSION kyrodb;
CREATE ROLE owner;
GRANT CREATE ON SCHEMA public TO owner;
SET ROLE owner;
CREATE TABLE short (id int PRIMARY KEY);
CREATE TABLE long (id int PRIMARY KEY);
INSERT INTO short VALUES (1);
INSERT INTO long VALUES (1);
SELECT kyro.keep_history('short', '1 second'), kyro.keep_history('long', '1 day');
SELECT kyro.create_epoch('old');
UPDATE short SET id = 2;
UPDATE long SET id = 2;
});
ok($node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM short_changes)}), 'old changes go');
is($node->safe_psql('postgres', q{SELECT DISTINCT relation, action, error FROM kyro.stat_worker WHERE action = 'prune'}), 'public.short|prune|', 'the autopilot tells of it');
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT * FROM kyro.as_of(NULL::short, 'old')});
like($err, qr/epoch "old" is older than the history of table public.short/, 'and what they are needed for is refused');
is($node->safe_psql('postgres', q{SELECT * FROM kyro.as_of(NULL::long, 'old')}), '1', 'what is to be kept is');

# Pruned by hand while a transaction runs that is older than an epoch: not what the epoch needs.
$node->safe_psql('postgres', q{ALTER SYSTEM SET kyro.autopilot = off; SELECT pg_reload_conf()});
$node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'kyrodb worker%')});
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN; UPDATE short SET id = 3});
$node->safe_psql('postgres', q{SELECT kyro.create_epoch('while it runs')});
ok($node->poll_query_until('postgres', q{SELECT made_at < now() - interval '1 second' FROM kyro.epochs WHERE name = 'while it runs'}), 'an epoch gets old');
$writer->query_safe(q{COMMIT});
$writer->quit;
$node->safe_psql('postgres', q{SELECT kyro.keep_history('short', '1 hour'); SELECT kyro.prune_history('short')});
is($node->safe_psql('postgres', q{SELECT * FROM kyro.as_of(NULL::short, 'while it runs')}), '2', 'a change that was made before the epoch, and committed behind it, stays');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kyro.as_of(NULL::short, now())}), '1', 'and times go on');
$node->stop;
done_testing();
