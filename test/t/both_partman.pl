# pg_partman, as Debian has it: the recipe of docs/operating.md, by which the partitions that it makes are kyro
# tables with kyro_rmi indexes and keys, by time and by number; rows of the default partition moved, partitions
# that go by age, policies for all, and the way back.  Run by `make check-backups`.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

need_backup_tools();
my $node = new_node('partman', conf => "kyro.autopilot_naptime = 1s\n");

sub sql { return $node->safe_psql('postgres', $_[0]); }

# Of what access methods are the partitions, and their indexes?
sub methods
{
	my ($tree) = @_;

	return sql(qq{SELECT string_agg(DISTINCT a.amname, ' ' ORDER BY a.amname) FROM pg_partition_tree('$tree') t
	JOIN pg_class c ON c.oid = t.relid AND t.isleaf LEFT JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid IN (c.oid, i.indexrelid) JOIN pg_am a ON a.oid = x.relam});
}

sub problems
{
	return sql(q{SELECT c.oid::regclass || ': ' || v.problem FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname IN ('kyro', 'kyro_rmi'), LATERAL kyro.verify(c.oid::regclass, deep => true) v WHERE c.relkind IN ('r', 'i')});
}

my $partman5 = sql(q{SELECT default_version ~ '^5' FROM pg_available_extensions WHERE name = 'pg_partman'}) eq 't';
my $native = $partman5 ? '' : "p_type => 'native',";
my ($day, $by_number) = $partman5 ? ('1 day', '10000') : ('daily', '10000');

# ---- the recipe ----
sql(q{CREATE EXTENSION kyrodb; CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman;
CREATE ROLE partitions LOGIN; GRANT ALL ON SCHEMA partman, public TO partitions;
GRANT ALL ON ALL TABLES IN SCHEMA partman TO partitions;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA partman TO partitions;
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA partman TO partitions;
GRANT CREATE, TEMPORARY ON DATABASE postgres TO partitions;
ALTER ROLE partitions SET default_table_access_method = kyro});
my @as = (extra_params => [ '-U', 'partitions' ]);
sub maintain { return $node->safe_psql('postgres', $_[0], @as); }

maintain(qq{
CREATE TABLE events (id bigint NOT NULL, ts timestamptz NOT NULL, v text) PARTITION BY RANGE (ts);
CREATE INDEX events_ts ON events USING kyro_rmi (ts);
CREATE INDEX events_id ON events USING kyro_rmi (id);
SELECT partman.create_parent('public.events', 'ts', $native p_interval => '$day', p_premake => 2, p_start_partition => (now() - interval '5 days')::text);
SELECT kyro.set_policy('events', seal_rows => 2000, min_rows => 1);
CREATE TABLE numbers (id bigint PRIMARY KEY WITH (kyro_rmi), v text) PARTITION BY RANGE (id);
SELECT partman.create_parent('public.numbers', 'id', $native p_interval => '$by_number', p_premake => 2, p_start_partition => '0');
});
is(methods('events'), 'kyro kyro_rmi', 'partitions by time are kyro tables with our indexes');
is(methods('numbers'), 'kyro kyro_rmi', 'those by number, too, and so are their keys');
cmp_ok(sql(q{SELECT count(*) FROM pg_partition_tree('events') WHERE isleaf}), '>=', 8, 'there are many');
is(sql(q{SELECT count(*) FROM pg_constraint WHERE contype = 'p' AND conrelid IN (SELECT relid FROM pg_partition_tree('numbers'))}), sql(q{SELECT count(*) FROM pg_partition_tree('numbers')}), 'each with its key');

# ---- partitions are made as rows come, and rows that were too early are moved ----
sql(q{INSERT INTO events SELECT g, now() - (g % 5) * interval '1 day', 'v' || g FROM generate_series(1, 15000) g;
INSERT INTO events SELECT 100000 + g, now() + interval '10 days' + g * interval '1 minute', 'default' FROM generate_series(1, 3000) g;
INSERT INTO numbers SELECT g, 'v' || g FROM generate_series(1, 25000) g});
maintain(q{CALL partman.partition_data_proc('public.events', p_wait => 0, p_quiet => true)});
maintain(q{CALL partman.partition_data_proc('public.numbers', p_wait => 0, p_quiet => true)});
maintain(q{SELECT partman.run_maintenance()});
is(sql(q{SELECT count(*) FROM ONLY events_default}) . ' ' . sql(q{SELECT count(*) FROM ONLY numbers_default}), '0 0', 'nothing is left in the default partitions');
is(methods('events'), 'kyro kyro_rmi', 'new partitions by time are of the same methods');
is(methods('numbers'), 'kyro kyro_rmi', 'and those by number');
is(sql(q{SELECT count(*), count(DISTINCT id) FROM events}), '18000|18000', 'no row is lost');
is(sql(q{SET enable_seqscan = off; SELECT count(*) FROM events WHERE ts > now() + interval '9 days'}), '3000', 'rows that were moved are found by their index');
is(sql(q{INSERT INTO numbers VALUES (5, 'again'), (25001, 'new') ON CONFLICT (id) DO UPDATE SET v = excluded.v RETURNING id || v}), "5again\n25001new", 'upserts');
is(problems(), '', 'all is sound');

# ---- a policy for all ----
is(sql(q{SELECT count(*) FROM kyro.stat_policies WHERE policy_of = 'events'::regclass}), sql(q{SELECT count(*) FROM pg_partition_tree('events') WHERE isleaf}), 'the policy of the tree is that of each partition');
$node->append_conf('postgresql.conf', "kyro.autopilot = on\n");
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT sum(sealed_rows) = 15000 FROM kyro.stat_tables WHERE relname ~ '^events_p' AND sealed_rows > 0 AND log_rows = 0}), 'the autopilot seals the partitions that are full');
is(sql(q{SELECT count(*), count(DISTINCT id) FROM events}), '18000|18000', 'no row is lost');

# ---- old ones go ----
sql(q{UPDATE partman.part_config SET retention = '2 days', retention_keep_table = false, infinite_time_partitions = true WHERE parent_table = 'public.events';
UPDATE partman.part_config SET retention = '10000', retention_keep_table = true WHERE parent_table = 'public.numbers'});
my $before = sql(q{SELECT count(*) FROM pg_partition_tree('events') WHERE isleaf});
maintain(q{SELECT partman.run_maintenance()});
cmp_ok(sql(q{SELECT count(*) FROM pg_partition_tree('events') WHERE isleaf}), '<', $before, 'partitions of old rows are dropped');
is(sql(q{SELECT count(*) FROM events WHERE ts < now() - interval '3 days'}), '0', 'with their rows');
is(sql(q{SELECT count(*) FROM kyro.policies p LEFT JOIN pg_class c ON c.oid = p.relation WHERE c.oid IS NULL}), '0', 'no policy is left behind');
is(sql(q{SELECT a.amname FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE relname = 'numbers_p0'}), 'kyro', 'one that is kept is a table of its own');
is(sql(q{SELECT count(*) FROM numbers_p0}), '9999', 'with its rows');
is(problems(), '', 'all is sound');

# ---- and back ----
is(sql('SHOW default_table_access_method'), 'heap', 'others make heaps');
sql(q{CREATE TABLE plain (LIKE events); ALTER TABLE plain OWNER TO partitions});
maintain(q{CALL partman.undo_partition_proc('public.events', p_target_table => 'public.plain', p_keep_table => false, p_wait => 0, p_quiet => true)});
is(sql(q{SELECT count(*) FROM events}), '0', 'all rows are taken out of the tree');
is(sql(q{SELECT count(*) FROM plain WHERE ts > now() + interval '9 days'}), '3000', 'into the table named');
is(problems(), '', 'all is sound');
log_lacks($node, 'PANIC|TRAP|ERROR|FATAL', 'no error in the log');
$node->stop;
done_testing();
