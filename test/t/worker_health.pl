# kyro.health(): of the things that test/pgtap/health.sql cannot make, each is reported, by its
# severity, once it is there, and not once the command that is named has been run.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('health', conf => "kyro.autopilot_naptime = 1s\n");

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub until_true { ok($node->poll_query_until('postgres', $_[0]), $_[1]) or diag(sql('SELECT * FROM kyro.health()')); }

# What is said of a subject: severity and problem.
sub said { return sql("SELECT concat_ws(': ', severity, problem) FROM kyro.health() WHERE subject = '$_[0]'"); }

# Run the command for a subject, as a user would who copies it.
sub obey
{
	my ($subject) = @_;
	my $command = sql("SELECT command FROM kyro.health() WHERE subject = '$subject'");

	my ($rc, $out, $err) = $node->psql('postgres', $command);
	is($rc, 0, "the command can be run: $command") or diag($err);
}

sql('CREATE EXTENSION kyrodb');
is(sql('SELECT * FROM kyro.health()'), '', 'a new database: nothing to do');

# ---- many runs ----
sql(q{CREATE TABLE runs (id bigint) USING kyro WITH (autovacuum_enabled = off)});
sub seals { sql("DO \$\$ BEGIN FOR i IN 1 .. $_[0] LOOP INSERT INTO runs VALUES (i); COMMIT; PERFORM kyro.snapshot('runs'); COMMIT; END LOOP; END \$\$"); }
seals(999);
is(sql(q{SELECT runs FROM kyro.stat_tables WHERE relname = 'runs'}), '999', 'many runs');
unlike(said('table public.runs'), qr/runs; one is read/, 'not too many yet');
seals(1);
like(said('table public.runs'), qr/^info: it has 1000 runs; one is read faster$/m, 'too many');
is(sql(q{SELECT string_agg(command, ';') FROM kyro.health() WHERE problem ~ 'runs; one'}), 'VACUUM FULL public.runs', 'what VACUUM FULL would do is told');
sql('VACUUM FULL public.runs');
is(said('table public.runs'), '', 'done');
is(sql(q{SELECT count(*), sum(id) FROM runs}), '1000|' . (999 * 500 + 1), 'no row is lost');

# ---- a log that is empty ----
sql(q{SET kyro.sealed_load = off; CREATE TABLE empty (id bigint, v text) USING kyro WITH (autovacuum_enabled = off);
INSERT INTO empty SELECT g, md5(g::text) FROM generate_series(1, 50000) g});
sql(q{SELECT kyro.snapshot('empty')});
sql('VACUUM empty');
like(said('table public.empty'), qr/^info: \d+ kB of its file are for rows in the log, of which there are 0$/, 'a file that is mostly an empty log');
obey('table public.empty');
is(said('table public.empty'), '', 'done');

# ---- a worker that fails: the age of rows is not known ----
# (not before, as the snapshot of a worker that looks around would keep the rows that were moved)
$node->append_conf('postgresql.conf', "kyro.autopilot = on\n");
$node->reload;
sql(q{CREATE TABLE byage (id bigint) USING kyro; INSERT INTO byage SELECT generate_series(1, 1000);
SELECT kyro.set_policy('byage', seal_rows => 10, min_rows => 1)});
$node->poll_query_until('postgres', q{SELECT sealed_rows = 1000 FROM kyro.stat_tables WHERE relname = 'byage'}) or die 'no autopilot';
sql(q{UPDATE kyro.policies SET seal_after = '1 day'; INSERT INTO byage SELECT generate_series(1, 1000)});
until_true(q{SELECT EXISTS (SELECT FROM kyro.health() WHERE severity = 'warning' AND subject = 'autopilot' AND problem ~ '^seal of public.byage has failed \d+ times, last: .*rows were committed' AND command = 'CALL kyro.seal(''public.byage'')')}, 'a worker fails, and why');
is(sql(q{SELECT string_agg(severity, ';') FROM kyro.health() WHERE command = 'ALTER SYSTEM SET track_commit_timestamp = on'}), 'warning', 'and what it lacks');
sql('ALTER SYSTEM SET track_commit_timestamp = on');
$node->restart;
until_true(q{SELECT count(*) = 0 FROM kyro.health() WHERE subject = 'autopilot'}, 'done');

# ---- versions ----
sub with_version { return sql("BEGIN; UPDATE pg_extension SET extversion = '$_[0]' WHERE extname = 'kyrodb'; SELECT concat_ws(': ', severity, subject, problem, command) FROM kyro.health() WHERE subject IN ('extension', 'server'); ROLLBACK"); }
like(with_version('0.0.9'), qr/^warning: extension: the extension in this database is 0.0.9, the library \S+: ALTER EXTENSION kyrodb UPDATE$/, 'an extension that is older than the library');
like(with_version('99.0'), qr/^warning: server: the library that the server has loaded is \S+, the extension in this database 99.0: restart the server: pg_ctl restart$/, 'a library that is older than the extension');

# ---- damage ----
sql(q{CREATE TABLE d (id bigint) USING kyro; INSERT INTO d SELECT generate_series(1, 20000); SELECT kyro.snapshot('d'); CREATE INDEX d_id ON d USING kyro_rmi (id)});
my $file = relation_file($node, 'd_id');
$node->stop;
my ($meta) = read_pages($file);
substr($meta, 100, 100) = 'x' x 100;
write_page($file, 0, $meta);
$node->start;
like(said('index public.d_id'), qr/^critical: a page did not pass its checks/, 'an index that is damaged');
obey('index public.d_id');
is(said('index public.d_id'), '', 'done');
is(sql(q{SELECT count(*) FROM kyro.verify('d_id', deep => true)}), '0', 'it is sound');

# ---- not preloaded ----
sql(q{SELECT kyro.drop_policy('byage')});
# without the library nobody knows our resource manager
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\nwal_consistency_checking = 'generic'\n");
$node->restart;
like(said('server'), qr/^warning: kyrodb is not in shared_preload_libraries/, 'a library that is not preloaded');
obey('server');
$node->restart;
is(said('server'), '', 'done');
is(sql('SELECT preloaded FROM kyro.build_info'), 't', 'it is preloaded');
is(sql(q{SELECT string_agg(h::text, ';') FROM kyro.health() h}), '', 'in the end, nothing to do');
$node->stop;
done_testing();
