# What logical decoding makes of changes of sealed rows: the same as of a heap's.  A kyro table
# and a heap get the same statements; what is decoded must be equal, and so must what subscribers
# make of it, whichever kinds of changes they take.  Then crashes, and a standby that replays it all.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $bad = 'PANIC|inconsistent page|TRAP|invalid page|terminated by signal';
my $conf = q{
wal_consistency_checking = 'all'
max_prepared_transactions = 10
max_wal_senders = 50
max_replication_slots = 50
max_worker_processes = 50
max_logical_replication_workers = 30
logical_decoding_work_mem = 64kB
restart_after_crash = on
};
$conf .= "max_active_replication_origins = 50\n" if `pg_config --version` =~ /(\d+)/ && $1 >= 18;
my $pub = new_node('dec_pub', init => [ allows_streaming => 'logical' ], conf => $conf);
my $sub = new_node('dec_sub', init => [ allows_streaming => 'logical' ], conf => $conf);

# In schema k tables are of kyro, and are sealed by seal(); in h they are heaps.
my @identities = ('default', 'full', 'index', 'nothing');
$pub->safe_psql('postgres', q{
CREATE EXTENSION kyrodb;
CREATE SCHEMA k;
CREATE SCHEMA h;
CREATE FUNCTION k.seal() RETURNS void LANGUAGE sql AS $$
	SELECT count((kyro.snapshot(c.oid::regclass)).rows) FROM pg_class c JOIN pg_am a ON a.oid = relam
		WHERE amname = 'kyro' AND relkind = 'r' AND relnamespace = 'k'::regnamespace
$$;
CREATE FUNCTION h.seal() RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION wide(i int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT string_agg(md5((i * 1000 + g)::text), '') FROM generate_series(1, 100) g
$$;
CREATE FUNCTION by_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.n := NEW.n + 1;
	RETURN NEW;
END $$;
});
foreach my $schema ('k', 'h')
{
	my $am = $schema eq 'k' ? 'kyro' : 'heap';

	foreach my $identity (@identities)
	{
		# the identity of "index" is a column that is stored out of line at times
		my $replica = $identity eq 'index' ? "USING INDEX ${identity}_name" : $identity;

		$pub->safe_psql('postgres', qq{
CREATE TABLE $schema."$identity" (id int PRIMARY KEY, gone text, n int, name text NOT NULL, v text) USING $am;
ALTER TABLE $schema."$identity" ALTER v SET STORAGE EXTERNAL, ALTER name SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX ${identity}_name ON $schema."$identity" (name);
CREATE INDEX ${identity}_n ON $schema."$identity" USING kyro_rmi (n);
ALTER TABLE $schema."$identity" REPLICA IDENTITY $replica;
});
	}
	$pub->safe_psql('postgres', qq{
CREATE TABLE $schema.part (id int PRIMARY KEY, n int, v text) PARTITION BY RANGE (id);
CREATE TABLE $schema.part1 PARTITION OF $schema.part FOR VALUES FROM (MINVALUE) TO (100) USING $am;
CREATE TABLE $schema.part2 PARTITION OF $schema.part FOR VALUES FROM (100) TO (MAXVALUE) USING $am;
CREATE TABLE $schema.parent (id int PRIMARY KEY, n int) USING $am;
CREATE TABLE $schema.child (id int PRIMARY KEY, pid int REFERENCES $schema.parent ON DELETE CASCADE ON UPDATE CASCADE) USING $am;
CREATE TABLE $schema.names (oid oid PRIMARY KEY, n int) USING $am WITH (user_catalog_table = true);
});
}

# ---- what is decoded ----
my $script = q{
INSERT INTO "$t" SELECT g, 'g', g, CASE WHEN g % 3 = 0 THEN 'n' || left(wide(g), 2400) ELSE 'n' || g END, CASE WHEN g % 2 = 0 THEN wide(g) ELSE 'v' || g END FROM generate_series(1, 40) g;
SELECT seal();
-- one by one: no column of the identity, the key, the name, all
UPDATE "$t" SET n = n + 100 WHERE id = 1;
UPDATE "$t" SET id = -2 WHERE id = 2;
UPDATE "$t" SET name = 'name 3' WHERE id = 3;
UPDATE "$t" SET id = -4, n = 0, name = 'name 4', v = wide(4004) WHERE id = 4;
UPDATE "$t" SET n = n WHERE id = 5;
-- and again, in the log
UPDATE "$t" SET n = n + 100 WHERE id IN (1, -2, 3);
-- out of line: kept, replaced, made, removed, and that of a name that stays
UPDATE "$t" SET n = 0 WHERE id = 6;
UPDATE "$t" SET v = wide(8008) WHERE id = 8;
UPDATE "$t" SET v = wide(7007) WHERE id = 7;
UPDATE "$t" SET v = NULL WHERE id = 10;
UPDATE "$t" SET v = 'short', n = NULL WHERE id = 9;
-- many; some of them sealed
UPDATE "$t" SET n = n + 1 WHERE id BETWEEN 5 AND 12;
DELETE FROM "$t" WHERE id IN (1, 11, 13);
-- locked first, in each mode
BEGIN; SELECT FROM "$t" WHERE id = 14 FOR KEY SHARE; UPDATE "$t" SET n = 14 WHERE id = 14; COMMIT;
BEGIN; SELECT FROM "$t" WHERE id = 15 FOR SHARE; UPDATE "$t" SET id = -15 WHERE id = 15; COMMIT;
BEGIN; SELECT FROM "$t" WHERE id = 16 FOR UPDATE; SAVEPOINT a; UPDATE "$t" SET n = 0 WHERE id = 16; ROLLBACK TO a; UPDATE "$t" SET n = 16 WHERE id = 16; COMMIT;
-- rolled back, in part and whole
BEGIN; UPDATE "$t" SET n = -1 WHERE id = 17; ROLLBACK;
BEGIN; SAVEPOINT a; UPDATE "$t" SET n = -1, v = wide(1) WHERE id = 18; ROLLBACK TO a; DELETE FROM "$t" WHERE id = 18; COMMIT;
BEGIN; SAVEPOINT a; UPDATE "$t" SET n = -1 WHERE id = 19; RELEASE a; SAVEPOINT b; UPDATE "$t" SET v = 'b' WHERE id = 19; ROLLBACK TO b; UPDATE "$t" SET id = -19 WHERE id = 19; COMMIT;
BEGIN; UPDATE "$t" SET n = 20 WHERE id = 20; UPDATE "$t" SET v = 'twice' WHERE id = 20; DELETE FROM "$t" WHERE id = 20; INSERT INTO "$t" VALUES (20, 'g', 20, 'again', 'again'); COMMIT;
-- prepared
BEGIN; UPDATE "$t" SET n = -21 WHERE id = 21; UPDATE "$t" SET id = -22 WHERE id = 22; PREPARE TRANSACTION 'p1';
BEGIN; UPDATE "$t" SET n = -23 WHERE id = 23; PREPARE TRANSACTION 'p2';
COMMIT PREPARED 'p1';
ROLLBACK PREPARED 'p2';
UPDATE "$t" SET n = 24 WHERE id IN (21, 23, 24);
-- other statements that update
INSERT INTO "$t" VALUES (25, 'g', 25, 'upsert', 'x'), (-25, 'g', 25, 'upsert', 'x') ON CONFLICT (id) DO UPDATE SET n = -25, v = excluded.v;
MERGE INTO "$t" t USING (VALUES (26, 1), (27, 2), (-27, 3)) s (id, n) ON t.id = s.id WHEN MATCHED AND s.n = 1 THEN UPDATE SET n = s.n WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'g', s.n, 'merged', 'm');
WITH u AS (UPDATE "$t" SET n = n + 1 WHERE id = 28 RETURNING *) UPDATE "$t" t SET n = u.n FROM u WHERE t.id = 29;
BEGIN; DECLARE c CURSOR FOR SELECT * FROM "$t" WHERE id = 30 FOR UPDATE; FETCH c; UPDATE "$t" SET n = 0, name = name || 'c' WHERE CURRENT OF c; COMMIT;
CREATE TRIGGER by BEFORE UPDATE ON "$t" FOR EACH ROW EXECUTE FUNCTION by_trigger();
UPDATE "$t" SET v = v WHERE id IN (31, 32);
DROP TRIGGER by ON "$t";
-- columns that the sealed rows do not have
ALTER TABLE "$t" ADD more int DEFAULT 7, DROP gone;
UPDATE "$t" SET more = id WHERE id IN (33, 36);
UPDATE "$t" SET id = -34 WHERE id = 34;
SELECT seal();
UPDATE "$t" SET more = NULL WHERE id IN (33, 35);
-- sealed and changed in the transaction that made the rows
BEGIN; INSERT INTO "$t" VALUES (50, 1, 'fifty', wide(50), 1), (51, 1, 'fifty-one', 'x', 1); SELECT seal(); UPDATE "$t" SET n = 2 WHERE id = 50; UPDATE "$t" SET id = -51 WHERE id = 51; SELECT seal(); UPDATE "$t" SET n = 3 WHERE id = 50; COMMIT;
-- larger than what is kept in memory while decoding
INSERT INTO "$t" SELECT g, g, 'n' || g, 'v' || g FROM generate_series(1000, 1999) g;
SELECT seal();
BEGIN; UPDATE "$t" SET n = n + 1 WHERE id >= 1000; SAVEPOINT a; UPDATE "$t" SET n = n - 1 WHERE id >= 1500; ROLLBACK TO a; UPDATE "$t" SET id = id + 1000, v = wide(id) WHERE id BETWEEN 1500 AND 1520; COMMIT;
DELETE FROM "$t" WHERE id >= 1000;
};
my $others = q{
INSERT INTO part SELECT g, g, g FROM generate_series(1, 200) g;
SELECT seal();
UPDATE part SET n = n + 1 WHERE id IN (1, 101);
UPDATE part SET id = id + 100 WHERE id = 50 AND n = 51;
DELETE FROM part WHERE id = 150;
UPDATE part SET id = id + 1000 WHERE id IN (2, 102);
UPDATE part1 SET n = 0 WHERE id = 3;
INSERT INTO parent SELECT g, g FROM generate_series(1, 20) g;
INSERT INTO child SELECT g, g % 20 + 1 FROM generate_series(1, 60) g;
SELECT seal();
UPDATE parent SET id = 100 WHERE id = 5;
DELETE FROM parent WHERE id = 6;
UPDATE parent SET n = 0 WHERE id = 7;
INSERT INTO names SELECT g, g FROM generate_series(1, 9) g;
SELECT seal();
BEGIN; UPDATE names SET n = n + 1 WHERE n < 5; UPDATE names SET oid = 100 WHERE oid = 3; DELETE FROM names WHERE n = 2; COMMIT;
TRUNCATE names;
};

# in the order of the key, not in that in which rows lie
sub run
{
	my ($schema, $sql) = @_;

	$pub->safe_psql('postgres', "SET search_path = $schema, public; SET enable_seqscan = off; SET enable_bitmapscan = off;\n$sql");
}

sub decoded
{
	my $r = $pub->safe_psql('postgres', q{SELECT data FROM pg_logical_slot_get_changes('decoded', NULL, NULL, 'include-xids', '0', 'skip-empty-xacts', '1')});

	$r =~ s/\btable [kh]\./table /g;
	return $r;
}

$pub->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('decoded', 'test_decoding')});
foreach my $identity (@identities, 'others')
{
	my $sql = $identity eq 'others' ? $others : $script =~ s/\$t/$identity/gr;
	my %got;

	foreach my $schema ('h', 'k')
	{
		run($schema, $sql);
		$got{$schema} = decoded();
	}
	# 17 tells of TRUNCATE that it names all tables at once
	$got{$_} =~ s/TRUNCATE: .*/TRUNCATE/ foreach keys %got;
	ok($got{h} =~ /UPDATE/ && $got{h} =~ /DELETE/, "$identity: there is something to compare");
	is($got{k}, $got{h}, "$identity: the same is decoded as from a heap");
}

# beside others who have the row locked, before and since
foreach my $schema ('h', 'k')
{
	my @session = map { $pub->background_psql('postgres') } 1 .. 3;

	$_->query_safe("SET search_path = $schema") foreach @session;
	run($schema, q{INSERT INTO "default" VALUES (3000, 1, '3000', wide(1)), (3001, 1, '3001', 'x'); SELECT seal()});
	$session[$_]->query_safe('BEGIN; SELECT id FROM "default" WHERE id >= 3000 FOR KEY SHARE') foreach 0, 1;
	$session[2]->query_safe('BEGIN; SELECT id FROM "default" WHERE id = 3000 FOR NO KEY UPDATE; SAVEPOINT a; UPDATE "default" SET n = 0 WHERE id >= 3000; ROLLBACK TO a');
	$session[2]->query_safe('UPDATE "default" SET n = 2 WHERE id >= 3000');
	$session[0]->query_safe('COMMIT; BEGIN; SELECT id FROM "default" WHERE id = 3000 FOR KEY SHARE');
	$session[2]->query_safe('COMMIT');
	$session[$_]->query_safe('COMMIT') foreach 0, 1;
	run($schema, 'UPDATE "default" SET id = -id WHERE id >= 3000');
	$_->quit foreach @session;
}
my $shared = decoded();
my @lines = grep { /3000|3001/ } split /\n/, $shared;
is_deeply([ @lines[ @lines / 2 .. $#lines ] ], [ @lines[ 0 .. @lines / 2 - 1 ] ], 'beside key-share locks: the same is decoded as from a heap');
is(scalar(@lines), 12, 'beside key-share locks: two inserts and four updates each');

# the tables are equal, and so are the counters
sub twins
{
	my ($node, $what) = @_;

	foreach my $table (@identities, 'part', 'parent', 'child', 'names')
	{
		is($node->safe_psql('postgres', qq{SELECT 'only in ' || s || x FROM ((SELECT 'k' AS s, a::text AS x FROM (TABLE k."$table" EXCEPT ALL TABLE h."$table") a)
			UNION ALL (SELECT 'h', a::text FROM (TABLE h."$table" EXCEPT ALL TABLE k."$table") a)) d}), '', "$what: $table has the rows of its twin");
	}
	is($node->safe_psql('postgres', q{SELECT c.relname, v.* FROM pg_class c JOIN pg_am a ON a.oid = relam, kyro.verify(c.oid, deep => true) v WHERE amname IN ('kyro', 'kyro_rmi') AND relkind IN ('r', 'i')}),
		'', "$what: sound");
}
twins($pub, 'decoded');
$pub->poll_query_until('postgres', qq{SELECT count(DISTINCT (n_tup_ins, n_tup_upd, n_tup_del)) = 1 AND min(n_tup_upd) > 1000 AND count(*) = 2 FROM pg_stat_user_tables WHERE relname = '$_'})
  or fail("$_: statistics count what those of a heap do") foreach @identities;

# unchanged TOAST values are not stored again
$pub->safe_psql('postgres', q{
CREATE TABLE k.toasted (id int PRIMARY KEY, n int, v text) USING kyro;
ALTER TABLE k.toasted ALTER v SET STORAGE EXTERNAL;
INSERT INTO k.toasted SELECT g, g, wide(g) FROM generate_series(1, 100) g;
SELECT kyro.snapshot('k.toasted');
});
my $toast = q{SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = 'k.toasted'::regclass};
my $before = $pub->safe_psql('postgres', $toast);
$pub->safe_psql('postgres', 'UPDATE k.toasted SET n = n + 1');
is($pub->safe_psql('postgres', $toast), $before, 'TOAST values that do not change are not stored again');
is($pub->safe_psql('postgres', 'SELECT count(*) FROM k.toasted WHERE v = wide(id) AND n = id + 1'), '100', 'and are there');
$pub->safe_psql('postgres', 'BEGIN; UPDATE k.toasted SET n = 0, v = 1; ROLLBACK; UPDATE k.toasted SET n = 0 WHERE id < 50; DELETE FROM k.toasted WHERE id >= 90; VACUUM k.toasted; VACUUM FULL k.toasted');
is($pub->safe_psql('postgres', 'SELECT count(*) FROM k.toasted WHERE v = wide(id)'), '89', 'also after rollback, deletion and VACUUM FULL');

# ---- subscribers ----
# Each takes some kinds of changes.  They have a column of their own, keep one that the publisher
# has dropped, and their triggers write down what is done.
my @kinds = ('insert', 'update', 'delete', 'insert, update', 'insert, delete', 'update, delete', 'insert, update, delete');
my @published = ('default', 'full', 'index', 'part');

foreach my $i (0 .. $#kinds)
{
	$sub->safe_psql('postgres', "CREATE DATABASE s$i");
	$sub->safe_psql("s$i", q{
CREATE SCHEMA k;
CREATE SCHEMA h;
CREATE TABLE log (seq serial, s text, t text, op text, old text, new text);
CREATE FUNCTION write_down() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.log (s, t, op, old, new) VALUES (TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP,
		CASE WHEN TG_OP <> 'INSERT' THEN OLD::text END, CASE WHEN TG_OP <> 'DELETE' THEN NEW::text END);
	RETURN NULL;
END $$;
});
	foreach my $schema ('k', 'h')
	{
		foreach my $table (grep { $_ ne 'part' } @published)
		{
			my $replica = $table eq 'index' ? "USING INDEX ${table}_name" : $table;

			$sub->safe_psql("s$i", qq{
CREATE TABLE $schema."$table" (id int PRIMARY KEY, gone text DEFAULT 'kept', n int, name text NOT NULL, v text, more int, own text DEFAULT 'own');
CREATE UNIQUE INDEX ${table}_name ON $schema."$table" (name);
ALTER TABLE $schema."$table" REPLICA IDENTITY $replica;
CREATE TRIGGER write_down AFTER INSERT OR UPDATE OR DELETE ON $schema."$table" FOR EACH ROW EXECUTE FUNCTION write_down();
ALTER TABLE $schema."$table" ENABLE ALWAYS TRIGGER write_down;
});
		}
		$sub->safe_psql("s$i", qq{
CREATE TABLE $schema.part (id int PRIMARY KEY, n int, v text, own text DEFAULT 'own');
CREATE TRIGGER write_down AFTER INSERT OR UPDATE OR DELETE ON $schema.part FOR EACH ROW EXECUTE FUNCTION write_down();
ALTER TABLE $schema.part ENABLE ALWAYS TRIGGER write_down;
});
	}
	$pub->safe_psql('postgres', "CREATE PUBLICATION p$i FOR TABLE " . join(', ', map { my $s = $_; map { "$s.\"$_\"" } @published } 'k', 'h')
		. " WITH (publish = '$kinds[$i]', publish_via_partition_root = true)");
}
$pub->safe_psql('postgres', "DELETE FROM $_->[0].\"$_->[1]\"; SELECT $_->[0].seal()") foreach map { my $t = $_; ([ 'k', $t ], [ 'h', $t ]) } @published;
foreach my $schema ('k', 'h')
{
	run($schema, qq{INSERT INTO "$_" SELECT g, g, 'name ' || g || CASE WHEN g % 5 = 0 THEN left(wide(g), 2400) ELSE '' END, CASE WHEN g % 2 = 0 THEN wide(g) ELSE 'v' END, g FROM generate_series(1, 60) g}) foreach grep { $_ ne 'part' } @published;
	run($schema, q{INSERT INTO part SELECT g, g, g FROM generate_series(50, 149) g; SELECT seal()});
}
foreach my $i (0 .. $#kinds)
{
	$sub->safe_psql("s$i", "CREATE SUBSCRIPTION s$i CONNECTION '" . $pub->connstr . " dbname=postgres' PUBLICATION p$i");
}
foreach my $i (0 .. $#kinds)
{
	$sub->wait_for_subscription_sync($pub, "s$i", "s$i");
	# what is only here, and rows that are missing here
	$sub->safe_psql("s$i", join('', map { my $s = $_; map { qq{UPDATE $s."$_" SET own = 'own ' || id; DELETE FROM $s."$_" WHERE id % 10 = 7;} } @published } 'k', 'h') . 'TRUNCATE log');
}

my $changes = q{
UPDATE "$t" SET n = n + 1000 WHERE id BETWEEN 1 AND 10;
UPDATE "$t" SET id = -id WHERE id BETWEEN 11 AND 20;
UPDATE "$t" SET v = wide(id + 1), name = name || '!' WHERE id BETWEEN 21 AND 27;
DELETE FROM "$t" WHERE id BETWEEN 31 AND 35;
BEGIN; UPDATE "$t" SET n = 0 WHERE id = 36; SAVEPOINT a; UPDATE "$t" SET n = -1 WHERE id IN (37, 38); ROLLBACK TO a; UPDATE "$t" SET v = 'v38' WHERE id = 38; COMMIT;
UPDATE "$t" SET n = n + 1 WHERE id = ANY ('{1,2,3,4,40}');
INSERT INTO "$t" VALUES (100, 1, 'hundred', wide(5), 1), (101, 1, 'hundred-one', 'x', 1);
SELECT seal();
UPDATE "$t" SET n = 2 WHERE id >= 100;
};
foreach my $schema ('k', 'h')
{
	run($schema, $changes =~ s/\$t/$_/gr) foreach grep { $_ ne 'part' } @published;
	run($schema, q{UPDATE part SET n = 0 WHERE id IN (50, 57, 120); UPDATE part SET id = id + 100 WHERE id IN (60, 130); UPDATE part SET id = id - 1000 WHERE id = 61; DELETE FROM part WHERE id IN (70, 140)});
}
foreach my $i (0 .. $#kinds)
{
	my $what = "publish = '$kinds[$i]'";
	my %log;

	$pub->wait_for_catchup("s$i");
	foreach my $table (@published)
	{
		is($sub->safe_psql("s$i", qq{SELECT s || x FROM ((SELECT 'k' AS s, a::text AS x FROM (TABLE k."$table" EXCEPT ALL TABLE h."$table") a)
			UNION ALL (SELECT 'h', a::text FROM (TABLE h."$table" EXCEPT ALL TABLE k."$table") a)) d}), '', "$what: $table arrives as a heap does");
	}
	$log{$_} = $sub->safe_psql("s$i", "SELECT t, op, old, new FROM log WHERE s = '$_' ORDER BY t, seq") foreach 'k', 'h';
	is($log{k}, $log{h}, "$what: triggers see the same");
	my %has = map { $_ => 1 } $log{h} =~ /\|(INSERT|UPDATE|DELETE)\|/g;
	is(lc(join(', ', grep { $has{$_} } 'INSERT', 'UPDATE', 'DELETE')), $kinds[$i], "$what: just that happens");
}
# with full identity pgoutput sends the old row whole, with everything else the key: so this is known to be right
is($sub->safe_psql('s6', q{SELECT count(*) FROM k."default" WHERE own = 'own ' || abs(id) AND gone = 'kept'}), '49', "what only the subscriber has is kept");
$sub->safe_psql("s$_", "DROP SUBSCRIPTION s$_") foreach 0 .. $#kinds;
log_lacks($sub, "$bad|ERROR: ", "nothing bad in the subscriber's log");
$sub->stop;

# ---- crashes, and a standby ----
my $standby = PostgreSQL::Test::Cluster->new('dec_standby');
$pub->backup('backup');
$standby->init_from_backup($pub, 'backup', has_streaming => 1);
$standby->start;
foreach my $schema ('k', 'h')
{
	run($schema, q{DELETE FROM "default"; INSERT INTO "default" SELECT g, g, g, CASE WHEN g % 3 = 0 THEN wide(g) ELSE 'v' END, g FROM generate_series(1, 600) g; SELECT seal()});
}
decoded();
my $some = q{UPDATE "default" SET n = n + 1, v = v || 'x' WHERE id > 0 AND id %% 4 = %d; UPDATE "default" SET id = -id, v = wide(id) WHERE id > 0 AND id %% 60 = %d};
my $debug = has_debug_points($pub);
foreach my $round (0 .. 3)
{
	my $update = sprintf($some, $round, $round * 10 + 5);
	my @points = $debug ? (undef, 'update-prepared', 'update-record', 'update-logged') : (undef);

	# one that is open, one at a step of its update; both are gone then
	foreach my $point (@points)
	{
		my $open = $pub->background_psql('postgres', on_error_stop => 0);
		my $log_end = -s $pub->logfile;

		$open->query_safe(qq{SET search_path = k, public; BEGIN; UPDATE "default" SET n = -n, v = v || v WHERE id % 7 = $round});
		if (defined $point)
		{
			my ($rc) = $pub->psql('postgres', qq{SET search_path = k, public; SET kyro.debug_crash = '$point'; UPDATE "default" SET n = -n WHERE id > 0 AND id % 7 = 1 + $round});
			isnt($rc, 0, "round $round, $point: the server crashes");
			$pub->wait_for_log(qr/database system is ready to accept connections/, $log_end);
		}
		else
		{
			$pub->safe_psql('postgres', 'CHECKPOINT') if $round % 2;
			run('k', q{INSERT INTO names VALUES (1, 1); DELETE FROM names});	# flushes
			run('h', q{INSERT INTO names VALUES (1, 1); DELETE FROM names});
			$pub->stop('immediate');
			$pub->start;
		}
		$open->{run}->kill_kill if $open->{run};
	}
	decoded();
	my %got;
	foreach my $schema ('h', 'k')
	{
		run($schema, $update);
		$got{$schema} = decoded();
	}
	is($got{k}, $got{h}, "round $round: the same is decoded after crashes");
	run('k', 'SELECT seal()') if $round == 1;
}
twins($pub, 'after crashes');
$pub->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'}) or die 'no standby';
$pub->wait_for_catchup($standby, 'replay', $pub->lsn('insert'));
twins($standby, 'the standby');
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no promotion';
$standby->safe_psql('postgres', qq{SET search_path = $_, public; UPDATE "default" SET n = n + 1; UPDATE "default" SET id = id + 10000 WHERE id % 3 = 0; SELECT seal(); UPDATE "full" SET v = 'promoted'}) foreach 'k', 'h';
twins($standby, 'the standby, promoted');
log_lacks($_, $bad, 'nothing bad in the log of ' . $_->name) foreach $standby;
$standby->stop;
$pub->safe_psql('postgres', q{SELECT pg_drop_replication_slot('decoded')});
$pub->stop;
done_testing();
