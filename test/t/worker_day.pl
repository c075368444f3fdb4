# A day in the life, without a manual step: tables are made and loaded, the autopilot is switched on, retrains an
# index whose keys drift and seals a table while applications write and read; the server crashes and starts
# warm; a standby is promoted, and the autopilot goes on there.  Under `make check-day` metrics are
# scraped, too, and the server is upgraded to the next version.  After each step everything is verified, and
# in the end no log has an error.
#
# OLD_INSTALLS: the directory above bin of a version to begin with, and upgrade from; else it is the one in PATH.
use strict;
use warnings;
use File::Basename qw(dirname);
use HTTP::Tiny;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;
use Time::HiRes qw(usleep);

my $monitoring = dirname(dirname(dirname(__FILE__))) . '/monitoring';
my $old_install = (split / /, $ENV{OLD_INSTALLS} // '')[-1];
my $seed = $ENV{KYRO_SEED} // 20261204;
my $conf = q{
kyro.autopilot = on
kyro.autopilot_naptime = 1s
kyro.retrain_threshold = 5
kyro.retrain_scale_factor = 0
kyro.busy_sessions = 0
shared_buffers = 128MB
kyro.autowarm = 'postgres.public.requests_key, postgres.public.readings'
autovacuum = on
autovacuum_naptime = 1s
};
my @nodes;

note("seed $seed");
my $node = new_node('morning', init => [ allows_streaming => 1, extra => [ '--data-checksums', '--no-locale', '--encoding=UTF8' ] ], conf => $conf, install_path => $old_install);
push @nodes, $node;

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub until_true { ok($node->poll_query_until('postgres', $_[0]), $_[1]) or diag(sql('SELECT * FROM kyro.stat_worker')); }

# ---- what there is ----
# Readings come in order of time, into a kyro table; requests have keys from anywhere.  Each has a twin
# without anything of ours, and each statement changes both, so they are equal to any snapshot.
sql(q{
CREATE EXTENSION kyrodb;
CREATE SEQUENCE ids;
CREATE TABLE readings (id bigint PRIMARY KEY WITH (kyro_rmi), at timestamptz NOT NULL, n int NOT NULL, v text) USING kyro;
CREATE TABLE readings_twin (id bigint PRIMARY KEY, at timestamptz NOT NULL, n int NOT NULL, v text);
CREATE INDEX readings_at ON readings USING kyro_rmi (at);
CREATE TABLE requests (key bigint NOT NULL, id bigint);
CREATE TABLE requests_twin (key bigint NOT NULL, id bigint);
CREATE INDEX requests_key ON requests USING kyro_rmi (key);
CREATE INDEX ON requests_twin (key);
CREATE FUNCTION add(readings int, requests int, width bigint) RETURNS void LANGUAGE sql AS $$
	WITH new AS MATERIALIZED (SELECT nextval('ids') AS id FROM generate_series(1, readings)),
	r AS (INSERT INTO readings SELECT id, timestamptz '2026-12-01' + id * interval '1 second', 0, md5(id::text) FROM new RETURNING *)
	INSERT INTO readings_twin SELECT * FROM r;
	WITH new AS MATERIALIZED (SELECT nextval('ids') AS id FROM generate_series(1, requests)),
	r AS (INSERT INTO requests SELECT abs(hashint8extended(id, 1)) % width, id FROM new RETURNING *)
	INSERT INTO requests_twin SELECT * FROM r;
$$;
CREATE FUNCTION change(x bigint) RETURNS void LANGUAGE sql AS $$
	WITH r AS (UPDATE readings SET n = n + 1 WHERE id = x RETURNING *) UPDATE readings_twin t SET n = r.n FROM r WHERE t.id = r.id;
	WITH r AS (DELETE FROM requests WHERE key BETWEEN x AND x + 100 RETURNING id) DELETE FROM requests_twin t USING r WHERE t.id = r.id AND t.key BETWEEN x AND x + 100;
$$;
SELECT add(20000, 50000, 1000000000);
SELECT kyro.set_policy('readings', seal_rows => 5000, batch => 2000);
VACUUM ANALYZE;
});

# All is sound, and equal to what it should be.
sub all_is_well
{
	my ($what) = @_;

	is(sql(q{
SELECT 'only in readings: ' || x::text FROM (TABLE readings EXCEPT ALL TABLE readings_twin) x
UNION ALL SELECT 'only in readings_twin: ' || x::text FROM (TABLE readings_twin EXCEPT ALL TABLE readings) x
UNION ALL SELECT 'only in requests: ' || x::text FROM (TABLE requests EXCEPT ALL TABLE requests_twin) x
UNION ALL SELECT 'only in requests_twin: ' || x::text FROM (TABLE requests_twin EXCEPT ALL TABLE requests) x LIMIT 5}), '', "$what: nothing is lost, nothing is wrong");
	is(sql(q{SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT 'other by index' WHERE (SELECT (count(*), sum(id)) FROM requests WHERE key > 0) <> (SELECT (count(*), sum(id)) FROM requests_twin WHERE key > 0)
	OR (SELECT (count(*), sum(n)) FROM readings WHERE at > '2026-12-01') <> (SELECT (count(*), sum(n)) FROM readings_twin WHERE at > '2026-12-01')}), '', "$what: indexes find it");
	is(sql(q{SELECT c.oid::regclass || ': ' || v.problem FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname IN ('kyro', 'kyro_rmi'), LATERAL kyro.verify(c.oid::regclass, deep => true) v WHERE c.relkind IN ('r', 'i')}), '', "$what: deep verify");
}

# ---- applications ----
my ($bench, $bench_out, $bench_err);

sub work
{
	my $file = PostgreSQL::Test::Utils::tempdir() . '/work.sql';

	append_to_file($file, q{
\set x random(1, 30000)
\set key random(1, 1000000000)
SELECT add(20, 5, 1000000000);
SELECT change(:x);
SELECT 1 / (a IS NOT DISTINCT FROM b)::int FROM (SELECT (SELECT v FROM readings WHERE id = :x) AS a, (SELECT v FROM readings_twin WHERE id = :x) AS b) q;
SELECT count(*) FROM requests WHERE key BETWEEN :key AND :key + 100000;
});
	($bench_out, $bench_err) = ('', '');
	local %ENV = $node->_get_env();
	$bench = IPC::Run::start([ $node->installed_command('pgbench'), '-n', '-T', 3600, '-c', 2, '-R', 20, '--random-seed=' . ++$seed, '-f', $file, $node->connstr('postgres') . ' application_name=work' ], '<', \undef, '>', \$bench_out, '2>', \$bench_err);
	until_true(q{SELECT count(*) = 2 FROM pg_stat_activity WHERE application_name = 'work'}, 'applications are at work');
}

sub rest
{
	my ($dead) = @_;

	$bench->signal('TERM') if $bench->pumpable;
	eval { $bench->finish };
	return if $dead;
	unlike($bench_err, qr/ERROR|FATAL|abort/, 'applications have met no error');
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'work'}) or die 'sessions do not end';
}

# A part of the day, which the autopilot meets with work of both kinds: keys move to where there were none.
my $models = q{SELECT count(*) FROM kyro.model_history('requests_key') WHERE reason = 'autopilot'};

sub part_of_the_day
{
	my ($what, $width) = @_;
	my $trained = sql($models);
	my $sealed = sql(q{SELECT sealed_rows FROM kyro.stat_tables WHERE relname = 'readings'});

	sql("SELECT add(6000, 30000, $width)");
	until_true("SELECT ($models) > $trained", "$what: keys drift, and their index is retrained");
	until_true("SELECT sealed_rows > $sealed FROM kyro.stat_tables WHERE relname = 'readings'", "$what: readings are sealed");
	until_true(q{SELECT count(*) = 2 FROM kyro.stat_worker WHERE relation IN ('public.readings', 'public.requests_key') AND action IN ('seal', 'retrain') AND failures = 0 AND why <> ''}, "$what: it says what it did");
	# (while a worker is at it, models are stale)
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM kyro.health() WHERE severity IN ('critical', 'warning')}), "$what: nothing for anybody to do") or diag(sql('SELECT * FROM kyro.health()'));
}

# ---- morning ----
work();
part_of_the_day('morning', 1000000);
all_is_well('morning');

SKIP:
{
	skip 'make check-day installs the exporter', 1 if !$ENV{KYRO_DAY};
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $log = '';

	sql('CREATE ROLE prometheus LOGIN IN ROLE pg_monitor');
	local $ENV{DATA_SOURCE_NAME} = 'host=' . $node->host . ' port=' . $node->port . ' user=prometheus dbname=postgres sslmode=disable';
	my $exporter = IPC::Run::start([ 'prometheus-postgres-exporter', "--web.listen-address=127.0.0.1:$port", "--extend.query-path=$monitoring/queries.yaml" ], '<', \undef, '>&', \$log);
	my $metrics = '';
	for (1 .. 1800)
	{
		my $answer = HTTP::Tiny->new(timeout => 30)->get("http://127.0.0.1:$port/metrics");

		$metrics = $answer->{content} if $answer->{success};
		last if $metrics =~ /^kyrodb_build_info/m || !$exporter->pumpable;
		usleep(100_000);
	}
	like($metrics, qr/^kyrodb_rmi_rebuilds_total\{[^}]*indexrelname="requests_key"[^}]*\} [1-9]/m, 'scraped: rebuilds') or diag($log);
	like($metrics, qr/^kyrodb_table_sealed_rows\{[^}]*relname="readings"[^}]*\} [1-9]/m, 'scraped: sealed rows');
	like($metrics, qr/^kyrodb_health_problems\{[^}]*severity="critical"[^}]*\} 0/m, 'scraped: nothing critical');
	$exporter->signal('TERM');
	$exporter->finish;
}

# ---- noon: a crash, and a warm start ----
$node->backup('base');
$node->stop('immediate');
rest('dead');
$node->start;
until_true(q{SELECT count(*) = 2 FROM kyro.stat_worker WHERE action = 'warm' AND result ~ '^\d+ pages$'}, 'after a crash it starts warm');
all_is_well('after a crash');
work();
part_of_the_day('noon', 10000000);

# ---- evening: the standby takes over ----
my $standby = PostgreSQL::Test::Cluster->new('evening', $old_install ? (install_path => $old_install) : ());
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
push @nodes, $standby;
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'}) or die 'no standby';
rest();
my $said = $standby->safe_psql('postgres', q{SELECT count(*) FROM kyro.stat_worker});
is($said, '0', 'on the standby the autopilot rests');
$node->stop;
$standby->promote;
$node = $standby;
$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no promotion';
all_is_well('promoted');
work();
part_of_the_day('evening', 100000000);
rest();
all_is_well('evening');

# ---- night: the next version ----
SKIP:
{
	skip 'there is one version of PostgreSQL here; make check-day has two', 1 if !$old_install;
	my $new = PostgreSQL::Test::Cluster->new('night');

	$node->stop;
	$new->init(extra => [ '--data-checksums', '--no-locale', '--encoding=UTF8' ]);
	$new->append_conf('postgresql.conf', "shared_preload_libraries = 'kyrodb'\nlog_min_messages = warning\njit = off\n$conf");
	chdir($PostgreSQL::Test::Utils::tmp_check) or die;    # pg_upgrade writes where it is
	my $programs = $new->config_data('--bindir');
	command_ok([ "$programs/pg_upgrade", '--no-sync', '--link', '-d', $node->data_dir, '-D', $new->data_dir, '-b', $node->config_data('--bindir'),
			'-B', $programs, '-s', $new->host, '-p', $node->port, '-P', $new->port ], 'pg_upgrade');
	$node = $new;
	push @nodes, $node;
	$node->start;
	note sql('SELECT version()');
	all_is_well('upgraded');
	sql('ANALYZE');
	work();
	part_of_the_day('night', 1000000000);
	rest();
	all_is_well('night');
}
$node->stop;

# Of errors there are those of the crash, and of sessions that were ended by it.
foreach my $n (@nodes)
{
	my @errors = grep { !/terminating connection|terminating walreceiver|could not connect to the primary server|could not send end-of-streaming message|could not receive data from WAL stream|the database system is|terminating background worker|terminating autovacuum|canceling autovacuum task|could not (?:receive|send) data (?:from|to) client|connection to client lost/ } slurp_file($n->logfile) =~ /^.*(?:ERROR|FATAL|PANIC|TRAP|inconsistent page).*$/mg;

	is_deeply(\@errors, [], 'no error in the log of the ' . $n->name);
}
done_testing();
