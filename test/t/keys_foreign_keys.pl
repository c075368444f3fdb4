# Foreign keys beside unique kyro_rmi indexes that are older than the btrees:
# dumps restored by several processes, and each command in a session of its
# own, with the library preloaded and not.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

# Not so by a dump's own order alone: the btrees are made anew, and so last.
my $tables = q{
SET client_min_messages = error;
CREATE EXTENSION kyrodb;
CREATE TABLE par (id bigint PRIMARY KEY, v int UNIQUE, w int);
INSERT INTO par SELECT g, g + 1000, g FROM generate_series(1, 3000) g;
CREATE UNIQUE INDEX par_id_idx ON par USING kyro_rmi (id);
CREATE UNIQUE INDEX par_v_idx ON par USING kyro_rmi (v);
CREATE UNIQUE INDEX par_w_idx ON par USING kyro_rmi (w);
CREATE TABLE child (a bigint REFERENCES par (id), b int REFERENCES par (v));
INSERT INTO child SELECT g, g + 1000 FROM generate_series(1, 1000) g;
};
my $keys = q{SELECT string_agg(conrelid::regclass || '.' || conname || ' ' || conindid::regclass, ', ' ORDER BY conrelid::regclass::text, conname) FROM pg_constraint WHERE contype = 'f'};
my $two = 'child.child_a_fkey par_pkey, child.child_b_fkey par_v_key';
my $order = q{SELECT min(indexrelid) FILTER (WHERE relam = 403) > max(indexrelid) FILTER (WHERE relam <> 403) FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = 'par'::regclass};
my $invalid = 'SELECT count(*) FROM pg_index WHERE NOT indisvalid';

foreach my $preload (1, 0)
{
	my $name = $preload ? 'preloaded' : 'not preloaded';
	my $node = new_node("keys$preload", preload => $preload);
	my $dump = $PostgreSQL::Test::Utils::tmp_check . "/dump$preload";
	my ($rc, $out, $err);

	$node->safe_psql('postgres', 'CREATE DATABASE src');
	$node->safe_psql('src', $tables);
	$node->command_ok([ 'pg_dump', '-F', 'd', '-f', $dump, '-d', $node->connstr('src') ], "$name: pg_dump");
	foreach my $i (1 .. 3)
	{
		$node->safe_psql('postgres', "CREATE DATABASE copy$i");
		$node->command_ok([ 'pg_restore', '--exit-on-error', '-j', $i, '-d', $node->connstr("copy$i"), $dump ], "$name: pg_restore by $i");
		is($node->safe_psql("copy$i", $keys), $two, "$name: with the foreign keys");
	}

	# each in a new session
	$node->safe_psql('copy1', "REINDEX INDEX CONCURRENTLY par_$_") foreach ('pkey', 'v_key');
	is($node->safe_psql('copy1', $order), 't', "$name: the btrees come last");
	$node->safe_psql('copy1', $_)
	  foreach ('CREATE TABLE c1 (a bigint REFERENCES par (id), b int REFERENCES par (v))',
		'CREATE TABLE c2 (a bigint, b int)', 'ALTER TABLE c2 ADD FOREIGN KEY (a) REFERENCES par (id)',
		'ALTER TABLE c2 ADD FOREIGN KEY (b) REFERENCES par (v) NOT VALID', 'ALTER TABLE c2 ALTER a TYPE int, ALTER b TYPE bigint',
		'BEGIN; ALTER TABLE c2 ADD COLUMN c int REFERENCES par (v); SELECT count(*) FROM c2; COMMIT',
		'ALTER TABLE par ALTER id TYPE int');
	is($node->safe_psql('copy1', $keys), 'c1.c1_a_fkey par_pkey, c1.c1_b_fkey par_v_key, c2.c2_a_fkey par_pkey, c2.c2_b_fkey par_v_key, c2.c2_c_fkey par_v_key, ' . $two,
		"$name: foreign keys find their btrees");
	($rc, $out, $err) = $node->psql('copy1', 'ALTER TABLE c2 ADD FOREIGN KEY (b) REFERENCES par (w)');
	like($err, qr/there is no unique constraint matching given keys for referenced table "par"/, "$name: none without a btree");
	($rc, $out, $err) = $node->psql('copy1', 'ALTER TABLE c2 ADD FOREIGN KEY (b) REFERENCES par (v), ADD FOREIGN KEY (b) REFERENCES nowhere (v)');
	isnt($rc, 0, "$name: a command that fails");
	is($node->safe_psql('copy1', $invalid), '0', "$name: leaves every index valid");

	# many at once: nobody meets an index that is not valid, nor fails
	$node->safe_psql('copy1', 'CREATE TABLE many (i int, a bigint)');
	$node->pgbench('-n -c 4 -j 2 -t 50 copy1', 0, [qr/number of failed transactions: 0/], [qr/^$/], "$name: at once",
		{ '041_keys' => q{
\set r random(1, 1000000000)
CREATE TABLE m:r (a int REFERENCES par (v));
ALTER TABLE m:r ADD FOREIGN KEY (a) REFERENCES par (id);
INSERT INTO m:r VALUES (NULL);
UPDATE par SET w = w WHERE id = 5 AND w = 5;
DROP TABLE m:r;
} });
	is($node->safe_psql('copy1', $invalid), '0', "$name: every index is valid");
	sound($node, 'copy1', "$name: indexes are sound", 'par_id_idx', 'par_v_idx', 'par_w_idx');
	$node->stop;
}

done_testing();
