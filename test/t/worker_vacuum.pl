# The autopilot leaves to autovacuum what is its job: it seals, and autovacuum is told that the rows in the log are
# dead, so that it comes and removes them, also where nothing was written since it came last.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('vacuum', conf => q{
autovacuum = on
autovacuum_naptime = 1s
kyro.autopilot = on
kyro.autopilot_naptime = 1s
});

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub until_true { ok($node->poll_query_until('postgres', $_[0]), $_[1]) or diag(sql('SELECT * FROM kyro.stat_worker')); }

sql(q{CREATE EXTENSION kyrodb;
SET kyro.sealed_load = off;
CREATE TABLE v (id bigint, t text) USING kyro WITH (autovacuum_vacuum_insert_threshold = -1);
CREATE TABLE off (id bigint, t text) USING kyro WITH (autovacuum_enabled = off);
INSERT INTO v SELECT g, 'v' FROM generate_series(1, 50000) g;
INSERT INTO off SELECT g, 'v' FROM generate_series(1, 50000) g});
sql('VACUUM v, off');
my $comes = q{autovacuum_count FROM pg_stat_user_tables WHERE relname};
is(sql("SELECT $comes = 'v'"), '0', 'autovacuum has nothing to do');
sql(q{SELECT kyro.set_policy('v', seal_rows => 1000), kyro.set_policy('off', seal_rows => 1000); CREATE TABLE written AS SELECT 1});
until_true(qq{SELECT sealed_rows = 50000 FROM kyro.stat_tables WHERE relname = '$_'}, "$_ is sealed") foreach qw(v off);
until_true(q{SELECT autovacuum_count > 0 FROM pg_stat_user_tables WHERE relname = 'v'}, 'then autovacuum comes');
is(sql("SELECT $comes = 'off'"), '0', 'nobody does it where it is off: not the autopilot, either');
is(sql(q{SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'v'}), '1', 'nor for it');
# its pages are free: as many rows more make the file no longer
my $size = sql(q{SELECT pg_relation_size('v')});
sql(q{SELECT kyro.drop_policy('v')});
sql(q{SET kyro.sealed_load = off; INSERT INTO v SELECT g, 'v' FROM generate_series(50001, 90000) g});
is(sql(q{SELECT pg_relation_size('v')}), $size, 'the space of the log is used again');
is(sql(q{SELECT count(*), sum(id) FROM v}), sql('SELECT 90000, 90000::bigint * 90001 / 2'), 'no row is lost');
is(sql(q{SELECT count(*) FROM kyro.verify('v', deep => true)}), '0', 'it is sound');
log_lacks($node, 'ERROR|PANIC|TRAP', 'no error in the log');
$node->stop;
done_testing();
