# PgBouncer in front of the server, transactions pooled: many clients over few sessions, in which nothing of
# one client's may be left for the next; commands that commit in the middle; and a server that is restarted,
# and one that crashes, behind it.  Run by `make check-backups`.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use ReplTest;
use Test::More;

need_backup_tools('pgbouncer');
my $seed = $ENV{KYRO_SEED} // 20261203;
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $bad = 'PANIC|inconsistent page|TRAP|invalid page|terminated by signal';

note("seed $seed");
my $node = new_node('behind', conf => repl_conf());
my $user = $node->safe_psql('postgres', 'SELECT current_user');
my $port = PostgreSQL::Test::Cluster::get_free_port();

repl_setup($node);
$node->safe_psql('postgres', q{CREATE TABLE key (id bigint PRIMARY KEY WITH (kyro_rmi), n int); INSERT INTO key SELECT g, 0 FROM generate_series(1, 1000) g});
append_to_file("$dir/pgbouncer.ini", '
[databases]
postgres = host=' . $node->host . ' port=' . $node->port . " dbname=postgres user=$user
[pgbouncer]
listen_addr =
unix_socket_dir = $dir
listen_port = $port
auth_type = any
admin_users = $user
pool_mode = transaction
default_pool_size = 3
max_client_conn = 60
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
logfile = $dir/log
");
my ($said, $complained) = ('', '');
my $bouncer = IPC::Run::start([ (-x '/usr/sbin/pgbouncer' ? '/usr/sbin/pgbouncer' : 'pgbouncer'), "$dir/pgbouncer.ini" ], '<', \undef, '>', \$said, '2>', \$complained);
my $through = "host=$dir port=$port dbname=postgres user=$user";

# The answer to a command by way of the pool; dies where that fails.
sub pooled
{
	my ($sql, $db) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $through . ($db ? " dbname=$db" : ''), '-f', '-' ], '<', \$sql, '>', \$out, '2>', \$err) or die "$sql: $err";
	chomp $out;
	return $out;
}

# Until it listens.
my $up = 0;
for (1 .. 1800)
{
	$up = eval { pooled('SELECT 1'); 1 } and last;
	$bouncer->pump_nb;
	last if !$bouncer->pumpable;
	select undef, undef, undef, 0.1;
}
ok($up, 'PgBouncer runs') or BAIL_OUT("$said$complained");

sub start_pgbench
{
	my ($script, @options) = @_;
	my %run = (out => '', err => '');
	my $file = "$dir/" . ++$seed . '.sql';

	append_to_file($file, $script);
	$run{bench} = IPC::Run::start([ 'pgbench', '-n', "--random-seed=$seed", '--max-tries=1000', @options, '-f', $file, $through ], '<', \undef, '>', \$run{out}, '2>', \$run{err});
	return \%run;
}

# ---- 30 clients, 3 sessions ----
my $writers = q{
\set x random(1, 1000000000)
\set back random(0, 6000)
\set key random(1, 1100)
SELECT add_rows(3, :x);
BEGIN;
SELECT greatest(last_value - :back, 1) AS id FROM ids \gset
WITH u AS (UPDATE s SET k = key_of(id, :x), n = n + 1 WHERE id = :id RETURNING *) UPDATE h SET k = u.k, n = u.n FROM u WHERE h.id = u.id;
WITH u AS (DELETE FROM s WHERE id = :id + 1 RETURNING id) DELETE FROM h USING u WHERE h.id = u.id;
INSERT INTO key VALUES (:key, 1) ON CONFLICT (id) DO UPDATE SET n = key.n + 1;
COMMIT;
};
my $readers = q{
\set id random(1, 5000)
BEGIN;
SET LOCAL enable_seqscan = off;
SET LOCAL kyro.mmap = off;
SELECT 1 / (count(DISTINCT x) = 1)::int FROM (SELECT (SELECT s::text FROM s WHERE a BETWEEN :id * 4 AND :id * 4 + 3) UNION ALL SELECT (SELECT h::text FROM h WHERE a BETWEEN :id * 4 AND :id * 4 + 3)) y (x) HAVING count(x) > 0;
DECLARE c CURSOR FOR SELECT k FROM s WHERE k > :id ORDER BY k;
FETCH 20 FROM c;
COMMIT;
};
my $maintenance = "CALL kyro.seal('s', 500);\nVACUUM s;\nSELECT leaves FROM kyro.rebuild('s_k');\nCALL kyro.replace_btree('key');\nCALL kyro.restore_btree('key');\n";
my @runs = (start_pgbench($writers, '-c', 20, '-t', 30), start_pgbench($readers, '-c', 10, '-t', 60), start_pgbench($maintenance, '-c', 1, '-t', 2));
foreach my $run (@runs)
{
	ok($run->{bench}->finish, 'clients of a pool');
	unlike($run->{err}, qr/ERROR|FATAL|abort/, 'without errors');
}
is($node->safe_psql('postgres', q{SELECT count(*) <= 3 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()}), 't', 'few sessions did it');
is($node->safe_psql('postgres', q{SELECT sum(n) FROM key}), 20 * 30, 'each upsert counts once');
repl_agree('a pool', $node);
pooled(q{CALL kyro.replace_btree('key')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM kyro.verify('key_pkey', deep => true)}), '0', 'keys are sound');
is(pooled('SHOW kyro.mmap'), 'on', 'what a client has set for its transaction is gone');

# ---- the server is restarted: who comes waits ----
pooled('PAUSE', 'pgbouncer');
my $late = start_pgbench($writers, '-c', 4, '-t', 20);
$node->restart;
pooled('RESUME', 'pgbouncer');
ok($late->{bench}->finish, 'clients that came while the server was restarted');
unlike($late->{err}, qr/ERROR|FATAL|abort/, 'have no errors');
repl_agree('after a restart', $node);

# ---- it crashes: clients are told, and those that come again find all that was committed ----
my $doomed = start_pgbench($writers, '-c', 4, '-t', 100000);
my $from = $node->safe_psql('postgres', 'SELECT last_value FROM ids');
$node->poll_query_until('postgres', "SELECT last_value > $from + 60 FROM ids") or die 'no load';
$node->stop('immediate');
$node->start;
$doomed->{bench}->signal('TERM');
eval { $doomed->{bench}->finish };
my $again = 0;
for (1 .. 1800)
{
	$again = eval { pooled('SELECT add_rows(5, 1)'); 1 } and last;
	select undef, undef, undef, 0.1;
}
ok($again, 'the pool finds the server again');
repl_agree('after a crash', $node);
is(pooled(q{SELECT count(*) FROM kyro.verify('s', deep => true)}), '0', 'sound');

$bouncer->signal('TERM');
eval { $bouncer->finish };
log_lacks($node, $bad, 'nothing bad in the log');
$node->stop;
done_testing();
