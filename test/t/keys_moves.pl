# Keys with kyro_rmi indexes on the move: dumps of all kinds, restored with and
# without the library, a standby that is promoted, logical replication by key,
# pg_upgrade.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('keys_moves', init => [ allows_streaming => 'logical' ], conf => "wal_consistency_checking = 'all'\nwal_compression = on\n");
my $schema = q{
SET client_min_messages = error;
CREATE EXTENSION kyrodb;
CREATE DOMAIN positive AS bigint CHECK (VALUE > 0);
CREATE TABLE par (id bigint PRIMARY KEY WITH (kyro_rmi), u int UNIQUE NULLS NOT DISTINCT WITH (kyro_rmi, fillfactor = 60), at timestamptz CONSTRAINT later UNIQUE WITH (kyro_rmi) DEFERRABLE INITIALLY DEFERRED,
	p positive UNIQUE WITH (kyro_rmi), t text UNIQUE);
CREATE TABLE child (id serial PRIMARY KEY WITH (kyro_rmi), par bigint REFERENCES par ON DELETE CASCADE, u int REFERENCES par (u) ON DELETE CASCADE, up int REFERENCES child ON DELETE SET NULL) USING kyro;
CREATE TABLE tree (id bigint CONSTRAINT tree_key PRIMARY KEY WITH (kyro_rmi), up bigint REFERENCES tree ON DELETE SET NULL, par bigint REFERENCES par ON DELETE CASCADE, d bigint) PARTITION BY RANGE (id);
ALTER TABLE tree ADD CONSTRAINT tree_later UNIQUE (id) WITH (kyro_rmi) DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE tree_1 PARTITION OF tree FOR VALUES FROM (0) TO (1000);
CREATE TABLE tree_2 PARTITION OF tree FOR VALUES FROM (1000) TO (2000) PARTITION BY HASH (id);
CREATE TABLE tree_21 PARTITION OF tree_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE tree_22 PARTITION OF tree_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1) USING kyro;
CREATE TABLE tree_3 (d bigint, up bigint, par bigint, id bigint PRIMARY KEY WITH (kyro_rmi, fillfactor = 60));
ALTER TABLE tree ATTACH PARTITION tree_3 DEFAULT;
CREATE UNIQUE INDEX tree_plain ON tree USING kyro_rmi (id);
CREATE TABLE leaf (tree bigint REFERENCES tree ON DELETE CASCADE);
ALTER TABLE leaf REPLICA IDENTITY FULL;
CREATE UNLOGGED TABLE unlogged (d date PRIMARY KEY WITH (kyro_rmi));
};
my $rows = q{
INSERT INTO par SELECT g, g, '2024-01-01 00:00+00'::timestamptz + g * interval '1 s', g, g FROM generate_series(1, 3000) g;
INSERT INTO child (par, u, up) SELECT g % 3000 + 1, g % 3000 + 1, nullif(g / 2, 0) FROM generate_series(1, 6000) g;
INSERT INTO tree SELECT g, nullif(g / 2, 0), g FROM generate_series(1, 2999) g;
INSERT INTO leaf SELECT id FROM tree;
INSERT INTO unlogged SELECT '2000-01-01'::date + g FROM generate_series(1, 100) g;
SELECT kyro.snapshot('child');
ALTER TABLE par CLUSTER ON par_pkey;
COMMENT ON INDEX par_pkey IS 'the key';
ALTER TABLE par REPLICA IDENTITY USING INDEX par_pkey;
};
my $state = q{
SELECT c.relname, a.amname, m.amname, i.indisvalid, (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = c.oid), i.indisprimary, i.indisunique, i.indimmediate, i.indisclustered, i.indisreplident, c.reloptions::text, pg_get_constraintdef(k.oid), obj_description(c.oid, 'pg_class'),
	(SELECT string_agg(pg_describe_object(d.refclassid, d.refobjid, 0), ', ' ORDER BY pg_describe_object(d.refclassid, d.refobjid, 0)) FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_opclass'::regclass)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam JOIN pg_opclass o ON o.oid = i.indclass[0] JOIN pg_am m ON m.oid = o.opcmethod
	LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.contype <> 'f'
WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1;
SELECT conrelid::regclass, CASE WHEN conparentid = 0 THEN conname END, pg_get_constraintdef(oid), conindid::regclass FROM pg_constraint WHERE contype = 'f' ORDER BY conrelid::regclass::text, 2, 3;
SELECT count(*), sum(hashtext(par::text)) FROM par;
SELECT count(*), sum(hashtext(child::text)) FROM child;
SELECT tableoid::regclass, count(*), sum(hashtext(tree::text)) FROM tree GROUP BY tableoid ORDER BY tableoid::regclass::text;
SELECT count(*), sum(tree) FROM leaf;
};
my $problems = q{SELECT c.relname, v.* FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname LIKE 'kyro%', LATERAL kyro.verify(c.oid::regclass, deep => true) v WHERE c.relkind IN ('i', 'r', 'I')};

# A key refuses what is there, a foreign key what is not, and ON CONFLICT finds both.
sub keys_work
{
	my ($n, $db, $what) = @_;
	my ($rc, $out, $err);

	($rc, $out, $err) = $n->psql($db, 'INSERT INTO par (id) VALUES (5)');
	like($err, qr/duplicate key value violates unique constraint "par_pkey"/, "$what: a key");
	($rc, $out, $err) = $n->psql($db, 'INSERT INTO child (id, par) VALUES (-1, -5)');
	like($err, qr/violates foreign key constraint "child_par_fkey"/, "$what: a foreign key");
	($rc, $out, $err) = $n->psql($db, 'BEGIN; UPDATE par SET at = at + interval \'1 s\'; COMMIT');
	is($rc, 0, "$what: a deferred constraint waits") or diag($err);
	is($n->safe_psql($db, "BEGIN; INSERT INTO par (id, t) VALUES (5, 'x') ON CONFLICT (id) DO UPDATE SET t = excluded.t RETURNING t; ROLLBACK"), 'x', "$what: ON CONFLICT");
	is($n->safe_psql($db, "BEGIN; INSERT INTO tree AS t VALUES (5), (1005), (1006), (2005) ON CONFLICT ON CONSTRAINT tree_key DO UPDATE SET d = excluded.id + 1 RETURNING d; ROLLBACK"), "6\n1006\n1007\n2006", "$what: ON CONFLICT through a partitioned table");
	($rc, $out, $err) = $n->psql($db, 'INSERT INTO leaf VALUES (-5)');
	like($err, qr/violates foreign key constraint "leaf_tree_fkey"/, "$what: a foreign key to it");
	is($n->safe_psql($db, "BEGIN; DELETE FROM tree WHERE id = 2005 RETURNING 'gone'; SELECT count(*) FROM leaf WHERE tree = 2005; ROLLBACK"), "gone\n0", "$what: a cascade from it");
	is($n->safe_psql($db, "BEGIN; DELETE FROM par WHERE id = 7 RETURNING 'gone'; SELECT count(*) FROM child WHERE par = 7; ROLLBACK"), "gone\n0", "$what: a cascade");
	is($n->safe_psql($db, $problems), '', "$what: sound");
}

$node->safe_psql('postgres', 'CREATE DATABASE src');
$node->safe_psql('src', $schema . $rows);
my $expected = $node->safe_psql('src', $state);
keys_work($node, 'src', 'as made');
$expected = $node->safe_psql('src', $state);

# ---- dumps

my $dir = $PostgreSQL::Test::Utils::tmp_check;
$node->command_ok([ 'pg_dump', '-F', 'c', '-f', "$dir/c", '-d', $node->connstr('src') ], 'pg_dump -Fc');
$node->command_ok([ 'pg_dump', '-F', 'd', '-f', "$dir/d", '-d', $node->connstr('src') ], 'pg_dump -Fd');
$node->command_ok([ 'pg_dump', '-f', "$dir/p", '-d', $node->connstr('src') ], 'pg_dump, plain');
my %restores = (
	plain => [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/p" ],
	custom => [ 'pg_restore', '--exit-on-error' ],
	single => [ 'pg_restore', '--exit-on-error', '--single-transaction' ],
	parallel => [ 'pg_restore', '--exit-on-error', '-j', 2 ]);
foreach my $kind (sort keys %restores)
{
	my @command = @{ $restores{$kind} };

	$node->safe_psql('postgres', "CREATE DATABASE $kind");
	push @command, '-d', $node->connstr($kind);
	push @command, $kind eq 'parallel' ? "$dir/d" : "$dir/c" unless $kind eq 'plain';
	$node->command_ok(\@command, "restored, $kind");
	# (sealed rows are in the log, and are the same)
	is($node->safe_psql($kind, $state), $expected, "$kind: everything is as it was");
	keys_work($node, $kind, $kind);
}

# Without the library nothing is made silently of another kind.
my $bare = new_node('bare', preload => 0);
$bare->safe_psql('postgres', 'CREATE DATABASE loud');
my ($out, $err) = ('', '');
IPC::Run::run([ 'pg_restore', '--exit-on-error', '-d', $bare->connstr('loud'), "$dir/c" ], '>', \$out, '2>', \$err);
my $methods = $bare->safe_psql('loud', q{SELECT coalesce(string_agg(DISTINCT amname, ' '), 'none') FROM pg_constraint k JOIN pg_class c ON c.oid = conindid JOIN pg_am a ON a.oid = relam WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u') AND pg_get_constraintdef(k.oid) NOT LIKE '%(t)%'});
ok($err =~ /unrecognized parameter "kyro_rmi"/ || $methods eq 'kyro_rmi', 'not preloaded: an error, or the same indexes') or diag("$methods; $err");
my ($rc, $o, $e) = $bare->psql('postgres', 'CREATE TABLE x (id int PRIMARY KEY WITH (kyro_rmi))');
like($e, qr/unrecognized parameter "kyro_rmi"/, 'not preloaded: the parameter is refused');
$bare->append_conf('postgresql.conf', "shared_preload_libraries = 'kyrodb'\n");
$bare->restart;
($rc, $o, $e) = $bare->psql('postgres', 'CREATE TABLE x (id int PRIMARY KEY WITH (kyro_rmi))');
like($e, qr/access method "kyro_rmi" does not exist/, 'no extension: there is no such access method');
$bare->stop;

# ---- files written anew while the table is used

$expected = $node->safe_psql('src', $state);
$node->safe_psql('src', 'REINDEX TABLE CONCURRENTLY par');
$node->safe_psql('src', 'REINDEX INDEX CONCURRENTLY child_pkey');
is($node->safe_psql('src', $state), $expected, 'REINDEX CONCURRENTLY: everything is as it was');
keys_work($node, 'src', 'REINDEX CONCURRENTLY');
SKIP:
{
	my $program = $node->config_data('--bindir') . '/pg_repack';

	skip('pg_repack is not installed', 1) unless -x $program &&
		$node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_repack'}) == 1;
	$node->safe_psql('src', 'CREATE EXTENSION pg_repack');
	$expected = $node->safe_psql('src', $state);
	foreach my $what ([ '-t', 'par', '-o', 'id' ], [ '-t', 'child' ], [ '-t', 'par', '--only-indexes' ])
	{
		my $name = "pg_repack @$what";

		$node->command_ok([ $program, '-h', $node->host, '-p', $node->port, '-d', 'src', @$what ], $name);
		is($node->safe_psql('src', $state), $expected, "$name: everything is as it was");
		keys_work($node, 'src', $name);
		$expected = $node->safe_psql('src', $state);
	}
	$node->safe_psql('src', 'DROP EXTENSION pg_repack');
}

# ---- a standby

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('keys_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->safe_psql('src', q{SET client_min_messages = error; CALL kyro.restore_btree('par'); CALL kyro.replace_btree('par'); CALL kyro.replace_btree('child'); CALL kyro.restore_btree('tree'); CALL kyro.replace_btree('tree');
INSERT INTO par (id, u) SELECT g, g FROM generate_series(10000, 11000) g; DELETE FROM par WHERE id % 10 = 0});
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('src', $state), $node->safe_psql('src', $state), 'the standby has what the primary has');
is($standby->safe_psql('src', 'SET enable_seqscan = off; SELECT count(*) FROM par WHERE id BETWEEN 10000 AND 10100'), $node->safe_psql('src', 'SELECT count(*) FROM par WHERE id BETWEEN 10000 AND 10100'), 'and finds it by key');
$standby->promote;
keys_work($standby, 'src', 'promoted');
$standby->stop;

# ---- logical replication by key, into tables with such keys

my $sub = new_node('keys_sub', init => [ allows_streaming => 'logical' ]);
$sub->safe_psql('postgres', 'CREATE DATABASE src');
$sub->safe_psql('src', $schema);
$sub->safe_psql('src', 'ALTER TABLE par REPLICA IDENTITY USING INDEX par_pkey');
$node->safe_psql('src', 'CREATE PUBLICATION pub FOR TABLE par, child, tree, leaf');
$sub->safe_psql('src', "CREATE SUBSCRIPTION sub CONNECTION '" . $node->connstr . " dbname=src' PUBLICATION pub");
$sub->wait_for_subscription_sync($node, 'sub', 'src') if $sub->can('wait_for_subscription_sync');
$sub->poll_query_until('src', "SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate NOT IN ('r', 's')") or die 'no sync';
$node->safe_psql('src', q{UPDATE par SET t = t || 'x' WHERE id % 3 = 0; DELETE FROM par WHERE id % 50 = 1; UPDATE tree SET d = id WHERE id % 3 = 0; DELETE FROM tree WHERE id > 2500; UPDATE par SET id = id + 100000 WHERE id % 500 = 2 AND NOT EXISTS (SELECT FROM child WHERE par = par.id) AND NOT EXISTS (SELECT FROM tree WHERE par = par.id);
INSERT INTO par (id, u, t) SELECT g, g, 'new ' || g FROM generate_series(200001, 200100) g});
$node->wait_for_catchup('sub');
is($sub->safe_psql('src', 'SELECT count(*), sum(hashtext(par::text)) FROM par; SELECT count(*), sum(hashtext(child::text)) FROM child; SELECT count(*), sum(hashtext(tree::text)), sum(d) FROM tree; SELECT count(*) FROM leaf'),
	$node->safe_psql('src', 'SELECT count(*), sum(hashtext(par::text)) FROM par; SELECT count(*), sum(hashtext(child::text)) FROM child; SELECT count(*), sum(hashtext(tree::text)), sum(d) FROM tree; SELECT count(*) FROM leaf'), 'the subscriber has what the publisher has');
keys_work($sub, 'src', 'subscriber');
$sub->safe_psql('src', 'DROP SUBSCRIPTION sub');
log_lacks($_, 'PANIC|TRAP|inconsistent page|corrupt|missing operator', 'nothing bad in the log of ' . $_->name) foreach ($node, $sub);
$sub->stop;

# ---- pg_upgrade, which restores a dump below the files: every index must be what it was, though settings say what new ones are to be

$node->safe_psql('postgres', "ALTER DATABASE $_ SET kyro.constraint_index_method = kyro_rmi") foreach ('src', 'postgres');
$node->safe_psql('postgres', 'ALTER ROLE CURRENT_USER SET kyro.constraint_index_method = kyro_rmi');
$node->safe_psql('src', q{SET client_min_messages = error;
CREATE TABLE btrees (id bigint PRIMARY KEY WITH (kyro_rmi = false), u int UNIQUE WITH (kyro_rmi = false));
CREATE TABLE btree_tree (id bigint PRIMARY KEY WITH (kyro_rmi = false)) PARTITION BY RANGE (id);
CREATE TABLE btree_tree_1 PARTITION OF btree_tree FOR VALUES FROM (0) TO (1000);
INSERT INTO btrees SELECT g, g FROM generate_series(1, 999) g;
INSERT INTO btree_tree SELECT g FROM generate_series(1, 999) g});
my $before = $node->safe_psql('src', $state);
my $upgraded = new_node('keys_upgraded');
$_->stop foreach ($node, $upgraded);
my @programs = map { $_->config_data('--bindir') } ($node, $upgraded);
chdir($PostgreSQL::Test::Utils::tmp_check) or die;	# it writes where it is
command_ok([ "$programs[1]/pg_upgrade", '--no-sync', '-d', $node->data_dir, '-D', $upgraded->data_dir, '-b', $programs[0], '-B', $programs[1],
		'-s', $upgraded->host, '-p', $node->port, '-P', $upgraded->port ], 'pg_upgrade');
$upgraded->start;
is($upgraded->safe_psql('src', $state), $before, 'upgraded: keys, indexes and rows are what they were');
is($upgraded->safe_psql('src', 'SET enable_seqscan = off; SELECT (SELECT count(*) FROM btrees WHERE id BETWEEN 100 AND 199), (SELECT count(*) FROM btrees WHERE u > 900), (SELECT count(*) FROM btree_tree WHERE id < 100)'),
	'100|99|99', 'upgraded: btrees of keys find rows');
keys_work($upgraded, 'src', 'upgraded');
log_lacks($upgraded, 'PANIC|TRAP|inconsistent page|corrupt|missing operator', 'nothing bad in its log');
$upgraded->stop;

done_testing();
