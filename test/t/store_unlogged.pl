# Kyro tables whose changes are not logged: those made in the transaction with
# wal_level = minimal, and unlogged ones, over a crash.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('minimal', preload => 0, conf => "wal_level = minimal\nmax_wal_senders = 0\n");
$node->safe_psql('postgres', 'CREATE EXTENSION kyrodb');

foreach my $skip (0, 1000000)
{
	$node->safe_psql('postgres', qq{
SET wal_skip_threshold = $skip;
CREATE TABLE trunc$skip (id bigint PRIMARY KEY, v text) USING kyro;
INSERT INTO trunc$skip SELECT g, 'gone' FROM generate_series(1, 100) g;
SELECT kyro.snapshot('trunc$skip');
BEGIN;
CREATE TABLE new$skip (id bigint PRIMARY KEY, v text) USING kyro;
CREATE INDEX ON new$skip USING kyro_rmi (id);
INSERT INTO new$skip SELECT g, md5(g::text) FROM generate_series(1, 3000) g;
SELECT kyro.snapshot('new$skip');
UPDATE new$skip SET v = 'changed' WHERE id % 10 = 3;
DELETE FROM new$skip WHERE id % 10 = 4;
INSERT INTO new$skip VALUES (5000, 'log');
TRUNCATE trunc$skip;
INSERT INTO trunc$skip SELECT g, 'here' FROM generate_series(1, 200) g;
SELECT kyro.snapshot('trunc$skip');
SAVEPOINT s;
TRUNCATE trunc$skip;
INSERT INTO trunc$skip SELECT g, 'undone' FROM generate_series(1, 50) g;
SELECT kyro.snapshot('trunc$skip');
ROLLBACK TO s;
CREATE TABLE loaded$skip USING kyro AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 20000) g;
CREATE TABLE copied$skip (id int) USING kyro;
COPY copied$skip FROM PROGRAM 'seq 1 20000';
UPDATE copied$skip SET id = -id WHERE id % 10 = 3;
SAVEPOINT s;
COPY copied$skip FROM PROGRAM 'seq 1 5000';
ROLLBACK TO s;
CREATE TABLE frozen$skip (id int) USING kyro;
COPY frozen$skip FROM PROGRAM 'seq 1 7000' (FREEZE);
CREATE TABLE both$skip (id int) USING kyro;
INSERT INTO both$skip VALUES (1);
SELECT kyro.snapshot('both$skip');
TRUNCATE both$skip;
INSERT INTO both$skip VALUES (2), (3);
SELECT kyro.snapshot('both$skip');
COMMIT;
});
	$node->stop('immediate');
	$node->start;
	is($node->safe_psql('postgres', qq{
SELECT count(*), count(*) FILTER (WHERE v = 'changed'), max(id) FROM new$skip;
SELECT count(*), min(v), max(v) FROM trunc$skip;
SELECT string_agg(id::text, ' ' ORDER BY id) FROM both$skip;
SELECT (SELECT count(v) FROM loaded$skip), (SELECT count(*) FROM copied$skip), (SELECT min(id) FROM copied$skip), (SELECT sum(id) FROM frozen$skip);
SELECT t, v.* FROM unnest(ARRAY['new$skip', 'trunc$skip', 'both$skip', 'loaded$skip', 'copied$skip', 'frozen$skip']) t, kyro.verify(t::regclass, true) v;
}), "2701|300|5000\n200|here|here\n2 3\n20000|20000|-19993|24503500", "wal_level minimal, wal_skip_threshold $skip: all is there after a crash");
	$node->safe_psql('postgres', qq{VACUUM new$skip; DELETE FROM new$skip WHERE id % 10 = 5; VACUUM FULL new$skip});
	is($node->safe_psql('postgres', qq{SELECT count(*) FROM new$skip; SELECT * FROM kyro.verify('new$skip', true)}), '2401',
		"wal_level minimal, wal_skip_threshold $skip: and it goes on");
}

$node->safe_psql('postgres', q{
CREATE UNLOGGED TABLE u (id bigint PRIMARY KEY, v text) USING kyro;
CREATE INDEX u_id ON u USING kyro_rmi (id);
INSERT INTO u SELECT g, 'x' FROM generate_series(1, 3000) g;
SELECT kyro.snapshot('u');
UPDATE u SET v = 'y' WHERE id < 100;
VACUUM u;
});
is($node->safe_psql('postgres', q{SELECT count(*), sum(id) FILTER (WHERE v = 'y') FROM u; SELECT * FROM kyro.verify('u', true)}), '3000|4950', 'an unlogged table');
$node->restart;
is($node->safe_psql('postgres', q{SELECT count(*), sum(id) FILTER (WHERE v = 'y') FROM u; SELECT * FROM kyro.verify('u', true)}), '3000|4950', 'is there after a restart');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', q{SELECT count(*) FROM u; SELECT * FROM kyro.verify('u', true); SELECT count(*) FROM kyro.table_runs('u')}), "0\n0", 'is empty after a crash');
is($node->safe_psql('postgres', q{
INSERT INTO u SELECT g, 'z' FROM generate_series(1, 500) g;
SELECT rows FROM kyro.snapshot('u');
SELECT count(*) FROM u WHERE v = 'z';
SELECT * FROM kyro.verify('u', true);
ALTER TABLE u SET LOGGED;
SELECT rows FROM kyro.snapshot('u');
}), "500\n500\n0", 'and works on; SET LOGGED, which seals');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', q{SELECT count(*) FROM u; SELECT * FROM kyro.verify('u', true)}), '500', 'as a logged one it survives');
log_lacks($node, 'PANIC|TRAP|inconsistent page|terminated by signal', 'nothing bad in the log');
$node->stop;
done_testing();
