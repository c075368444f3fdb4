# The indexes of an application's keys exchanged for kyro_rmi indexes and back,
# again and again, under upserts, cascades, foreign-key checks and reads: no
# transaction fails, no row is lost, and the catalogs are those of a twin that
# had btrees all along.  Then the server is killed at each step of an exchange.
#
# Runs with both carriers.  KYRO_EXCHANGES=125 makes 1,000 exchanges there and back.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $rounds = $ENV{KYRO_EXCHANGES} // 8;
my $clients = 8;
my $node = new_node('keys_exchange', init => [ extra => ['--data-checksums'] ], conf => "max_connections = 40\nrestart_after_crash = on\nwal_consistency_checking = ''\nlog_lock_waits = on\ndeadlock_timeout = 50ms\nlog_line_prefix = '%m [%p] %a '\n");

my $schema = q{
SET client_min_messages = error;
CREATE EXTENSION kyrodb;
CREATE TABLE users (id bigint PRIMARY KEY, name text);
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, usr bigint NOT NULL REFERENCES users ON DELETE CASCADE ON UPDATE CASCADE, at timestamptz UNIQUE, n int);
CREATE TABLE lines (ord bigint REFERENCES orders ON DELETE CASCADE, item int) USING kyro;
CREATE TABLE counters (k int CONSTRAINT counters_key UNIQUE NOT NULL, n bigint);
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree DEFERRABLE);
CREATE TABLE events (id bigint PRIMARY KEY, n int, note text) PARTITION BY RANGE (id);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (100);
CREATE TABLE events_2 (note text, gone int, n int, id bigint NOT NULL) PARTITION BY RANGE (id);
ALTER TABLE events_2 DROP COLUMN gone;
CREATE TABLE events_21 PARTITION OF events_2 FOR VALUES FROM (100) TO (110);
ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM (100) TO (200);
CREATE TABLE events_3 PARTITION OF events DEFAULT USING kyro;
CREATE INDEX ON events (n);
CREATE TABLE notes (event bigint REFERENCES events ON DELETE CASCADE);
INSERT INTO events SELECT 100 * (g % 3) + g / 3, 0 FROM generate_series(0, 29) g;
INSERT INTO notes SELECT id FROM events;
CREATE INDEX orders_usr ON orders (usr);
CREATE INDEX lines_ord ON lines (ord);
CREATE INDEX orders_many ON orders (n) WHERE n > 5;
COMMENT ON INDEX users_pkey IS 'who';
COMMENT ON CONSTRAINT counters_key ON counters IS 'what';
ALTER TABLE orders CLUSTER ON orders_pkey;
ALTER TABLE counters REPLICA IDENTITY USING INDEX counters_key;
INSERT INTO users SELECT g, 'user ' || g FROM generate_series(1, 800) g;
INSERT INTO orders (usr, at, n) SELECT g % 800 + 1, '2024-01-01 00:00+00'::timestamptz + g * interval '1 s', g % 10 FROM generate_series(1, 4000) g;
INSERT INTO lines SELECT g, g % 7 FROM generate_series(1, 4000) g;
INSERT INTO counters SELECT g, 0 FROM generate_series(1, 20) g;
INSERT INTO tree SELECT g, nullif(g / 2, 0) FROM generate_series(1, 500) g;
};
$node->safe_psql('postgres', "CREATE DATABASE $_") foreach ('app', 'twin');
$node->safe_psql($_, $schema) foreach ('app', 'twin');

# Each client has users of its own, so that nobody waits for anybody's rows in a circle.
my %scripts = (
	upsert => q{
\set k random(1, 20)
INSERT INTO counters VALUES (:k, 1) ON CONFLICT (k) DO UPDATE SET n = counters.n + 1;
INSERT INTO counters VALUES (:k, 1) ON CONFLICT ON CONSTRAINT counters_key DO UPDATE SET n = counters.n + 1;
INSERT INTO counters VALUES (:k, 1) ON CONFLICT DO NOTHING;
},
	# through the parent, of rows that come and go
	event => q{
\set e 100 * random(0, 2) + random(0, 9)
INSERT INTO events VALUES (:e, 1) ON CONFLICT (id) DO UPDATE SET n = coalesce(events.n, 0) + 1;
INSERT INTO events VALUES (:e, 1) ON CONFLICT ON CONSTRAINT events_pkey DO UPDATE SET n = events.n + 1, note = excluded.note;
INSERT INTO events VALUES (:e, 1) ON CONFLICT DO NOTHING;
DELETE FROM events WHERE id = :e;
INSERT INTO events VALUES (:e, 1) ON CONFLICT (id) DO NOTHING;
},
	order => q{
\set u 1 + :client_id + 8 * random(0, 99)
BEGIN;
INSERT INTO orders (usr, n) VALUES (:u, :u % 10) RETURNING id AS oid \gset
INSERT INTO lines SELECT :oid, g FROM generate_series(1, 3) g;
COMMIT;
},
	cascade => q{
\set u 1 + :client_id + 8 * random(0, 99)
BEGIN;
DELETE FROM users WHERE id = :u;
INSERT INTO users VALUES (:u, 'again');
COMMIT;
},
	move => q{
\set u 1 + :client_id + 8 * random(0, 99)
BEGIN;
UPDATE users SET id = -:u WHERE id = :u;
UPDATE users SET id = :u WHERE id = -:u;
COMMIT;
},
	read => q{
\set u 1 + :client_id + 8 * random(0, 99)
SELECT 1 / (count(*) = 1)::int FROM users WHERE id = :u;
SELECT count(*) FROM users u JOIN orders o ON o.usr = u.id LEFT JOIN lines l ON l.ord = o.id WHERE u.id = :u;
SELECT 1 / (count(*) = 500)::int FROM tree a LEFT JOIN tree b ON b.id = a.up;
},
);
my @files;
foreach my $name (sort keys %scripts)
{
	push @files, '-f', PostgreSQL::Test::Utils::tempdir() . "/$name.sql";
	append_to_file($files[-1], $scripts{$name});
}

# How the indexes and what hangs on them look, whatever their oids.
my $catalogs = q{
SELECT 'index', c.relname, a.amname, i.indisprimary, i.indisunique, i.indisvalid, i.indimmediate, i.indisclustered, i.indisreplident, c.reloptions::text, c.relispartition,
	obj_description(c.oid, 'pg_class'), o.opcname, m.amname
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam JOIN pg_opclass o ON o.oid = i.indclass[0] JOIN pg_am m ON m.oid = o.opcmethod
WHERE c.relnamespace = 'public'::regnamespace ORDER BY 2;
SELECT 'constraint', conrelid::regclass, conname, contype, conindid::regclass, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint') FROM pg_constraint
WHERE connamespace = 'public'::regnamespace ORDER BY 2, 3;
SELECT 'trigger', t.tgrelid::regclass, f.proname, t.tgconstrindid::regclass, count(*) FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid GROUP BY 1, 2, 3, 4 ORDER BY 2::text, 3, 4::text;
SELECT 'depends', regexp_replace(pg_describe_object(d.classid, d.objid, d.objsubid), '\d+', 'N', 'g'), regexp_replace(pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid), '\d+', 'N', 'g'), d.deptype, count(*)
FROM pg_depend d WHERE d.classid IN ('pg_class'::regclass, 'pg_constraint'::regclass) AND d.refobjid >= 16384
	AND NOT EXISTS (SELECT FROM pg_extension e JOIN pg_depend x ON x.refobjid = e.oid AND x.deptype = 'e' WHERE x.objid = d.objid AND x.classid = d.classid) GROUP BY 1, 2, 3, 4 ORDER BY 2, 3, 4;
SELECT 'attribute', c.relname, a.attname, a.attnotnull FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 ORDER BY 2, 3;
};
my $methods = q{SELECT string_agg(a.amname || ' ' || n, ', ' ORDER BY a.amname) FROM (SELECT relam, count(*) AS n FROM pg_class WHERE relkind = 'i' AND relnamespace = 'public'::regnamespace GROUP BY 1) x JOIN pg_am a ON a.oid = relam};
my @tables = ('users', 'orders', 'lines', 'counters', 'tree', 'events');

sub verify
{
	my ($what) = @_;

	is($node->safe_psql('app', q{SELECT c.relname, v.* FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname LIKE 'kyro%', LATERAL kyro.verify(c.oid::regclass, deep => true) v WHERE c.relkind IN ('i', 'r', 'I')}),
		'', "$what: indexes and tables are sound");
	is($node->safe_psql('app', q{SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
SELECT (SELECT count(*) FROM orders o WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = o.usr)) + (SELECT count(*) FROM lines l WHERE NOT EXISTS (SELECT FROM orders o WHERE o.id = l.ord)),
	(SELECT count(*) - count(DISTINCT id) FROM users), (SELECT count(*) - count(DISTINCT id) FROM orders) + (SELECT count(*) - count(DISTINCT id) FROM events), (SELECT count(*) FROM users), (SELECT count(*) FROM counters)}),
		'0|0|0|800|20', "$what: references and keys hold");
}

# ---- under load

my ($out, $err) = ('', '');
my $log_start = -s $node->logfile;
my $times = PostgreSQL::Test::Utils::tempdir() . '/times';
my $load = IPC::Run::start([ 'pgbench', '-n', '-c', $clients, '-j', 2, '-T', 36000, '-l', '--aggregate-interval=1', "--log-prefix=$times", '-h', $node->host, '-p', $node->port, @files, 'app' ],
	'<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default * 20 + 30 * $rounds));
$node->poll_query_until('app', "SELECT sum(n) > 100 FROM counters") or die 'no load';
foreach my $round (1 .. $rounds)
{
	$node->safe_psql('app', "SET client_min_messages = warning; CALL kyro.replace_btree('$_')") foreach (@tables);
	is($node->safe_psql('app', $methods), 'kyro_rmi 14', "round $round: all are kyro_rmi indexes") if $round == 1;
	$node->safe_psql('app', "SELECT kyro.snapshot('lines')") if $round == 2;
	$node->safe_psql('app', "SET client_min_messages = warning; CALL kyro.restore_btree('$_')") foreach (reverse @tables);
}
ok($load->pumpable, 'the load still runs');
# as its own timer would, so that it ends what it has begun, and reports
$load->signal('ALRM');
ok($load->finish, 'the load ends well');
unlike($err, qr/ERROR|aborted|FATAL/, 'no transaction failed');
note($err) if $err =~ /ERROR|aborted|FATAL/;
like($out, qr/^number of failed transactions: 0 /m, 'not one');
# rows are waited for, when two clients want the same one, but tables and indexes never
unlike(slurp_file($node->logfile, $log_start), qr/ pgbench LOG:  process \d+ still waiting for \w+ on (?!tuple|transaction)/,
	'no client has waited for a lock on a table or an index');
my $longest = 0;
foreach my $file (glob("$times.*"))
{
	foreach (split /\n/, slurp_file($file))
	{
		my @fields = split / /;
		$longest = $fields[5] if $fields[5] > $longest;
	}
}
ok($longest > 0, 'the times of transactions are known');
note(sprintf('longest transaction: %.1f ms', $longest / 1000));
is($node->safe_psql('app', $methods), 'btree 14', 'all are btrees again');
is($node->safe_psql('app', $catalogs), $node->safe_psql('twin', $catalogs), "after $rounds exchanges there and back the catalogs are those of the twin");
verify('after the load');

# ---- stopped and killed

SKIP:
{
	skip 'no debug points', 1 unless has_debug_points($node);
	foreach my $point ('keys-built', 'keys-checked', 'keys-swapped')
	{
		foreach my $way ('error', 'crash')
		{
			foreach my $table ('users', 'events')
			{
				my $log_end = -s $node->logfile;
				my ($rc, $o, $e) = $node->psql('app', "SET client_min_messages = warning; SET kyro.debug_$way = '$point'; CALL kyro.replace_btree('$table')");
				my $what = "$table, $point, $way";

				isnt($rc, 0, "$what: it was stopped");
				$node->wait_for_log(qr/database system is ready to accept connections/, $log_end) if $way eq 'crash';
				verify($what);
				is($node->safe_psql('app', "SELECT count(DISTINCT c.relam) FROM pg_partition_tree('${table}_pkey') JOIN pg_class c ON c.oid = relid"), 1, "$what: the tree is of one piece") if $table eq 'events';
				$node->safe_psql('app', "INSERT INTO users VALUES (5, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name");
				$node->safe_psql('app', "INSERT INTO events VALUES (5), (105), (205) ON CONFLICT (id) DO UPDATE SET note = 'x'");
				$node->safe_psql('app', "SET client_min_messages = warning; CALL kyro.replace_btree('$table')");
				is($node->safe_psql('app', "SELECT count(*) FROM pg_class WHERE relname LIKE '%exchange'"), '0', "$what: called again it leaves nothing");
				is($node->safe_psql('app', "SELECT string_agg(DISTINCT amname, ', ') FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam WHERE indrelid::regclass::text ~ '^$table'"),
					'kyro_rmi', "$what: called again it gets to the end");
				$node->safe_psql('app', "SET client_min_messages = warning; CALL kyro.restore_btree('$table')");
			}
		}
	}
	is($node->safe_psql('app', $catalogs), $node->safe_psql('twin', $catalogs), 'the catalogs are those of the twin');
}
log_lacks($node, 'PANIC|TRAP|still active|snapshot reference leak|inconsistent page|corrupt', 'nothing bad in the log');
$node->stop;

done_testing();
