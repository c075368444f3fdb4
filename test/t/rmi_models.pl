# kyro.import_model() that fails, crashes, or is killed at each of its steps: the
# index has the old model or the new one, with the history that belongs to it, is
# sound, and so is a standby, which has the same.  Then damage to the history, and
# models of an index that is replaced beside.  Needs a build with DEBUG_POINTS=1.
#
# Runs with both carriers.
use strict;
use warnings;
use File::Basename;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('models_primary', init => [ allows_streaming => 1 ], conf => "restart_after_crash = on\n");
my $lib = slurp_file(dirname(__FILE__) . '/../lib/model_file.sql');
$node->safe_psql('postgres', 'CREATE EXTENSION kyrodb');
need_debug_points($node);
$node->safe_psql('postgres', $lib);
$node->safe_psql('postgres', q{
CREATE TABLE t (k bigint) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT sum(1 + (g * 7919 % 1000) * (2::numeric ^ (ARRAY[0,35,20])[1 + g / 40001])::bigint) OVER (ORDER BY g) FROM generate_series(1, 120000) g;
CREATE INDEX t_k ON t USING kyro_rmi (k);
CREATE TABLE files AS SELECT kyro.export_model('t_k') AS present, train('t_k', 8) AS better, 0 AS n;
CREATE TABLE s (k bigint) WITH (autovacuum_enabled = off);
INSERT INTO s SELECT g FROM generate_series(1, 5000) g;
CREATE INDEX s_k ON s USING kyro_rmi (k);
});
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('models_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;

my $import = q{SELECT leaves_taken > 0 FROM files, kyro.import_model('t_k', better)};
my $state = q{SELECT (SELECT md5(kyro.export_model('t_k'))), (SELECT string_agg(concat_ws(',', generation, trained_at, role, backend, reason, eps_before, eps_after, hash), '; ' ORDER BY generation) FROM kyro.model_history('t_k'))};
my $sound = q{SELECT * FROM kyro.verify('t_k', true)};
my $counts = q{SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*), count(DISTINCT k), sum(k % 1000) FROM t WHERE k >= 0};
my $want = $node->safe_psql('postgres', $counts);
my $hash_matches = q{SELECT hash = lpad(to_hex(get_le(f, length(f) - 8, 8)), 16, '0') FROM kyro.model_history('t_k') h, kyro.export_model('t_k') f ORDER BY generation DESC LIMIT 1};

# the old model or the new one, and nothing in between
sub check
{
	my ($what, $before, $may) = @_;
	my $now = $node->safe_psql('postgres', $state);

	is($node->safe_psql('postgres', $sound), '', "$what: sound");
	is($node->safe_psql('postgres', $counts), $want, "$what: the same answers");
	is($node->safe_psql('postgres', $hash_matches), 't', "$what: the history is about this model");
	if ($may eq 'old')
	{
		is($now, $before, "$what: the old model, and its history");
	}
	elsif ($may eq 'new')
	{
		isnt($now, $before, "$what: the new model, and its history");
	}
	# it cannot begin before the primary is there
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	is($standby->safe_psql('postgres', $state), $now, "$what: the standby has the same model and history");
	is($standby->safe_psql('postgres', $sound), '', "$what: and is sound");
}

sub again
{
	$node->safe_psql('postgres', q{SELECT leaves FROM kyro.rebuild('t_k')});
	return $node->safe_psql('postgres', $state);
}

# ---- errors and crashes ----

foreach my $point (qw(rmi-import rmi-dir-begin rmi-dir-tree rmi-dir-model rmi-dir-switched rmi-dir-freed))
{
	my $before = again();
	my $may = $point =~ /switched|freed/ ? 'new' : 'old';
	my ($rc, $out, $err) = $node->psql('postgres', "SET kyro.debug_error = '$point'; $import");

	like($err, qr/error at debug point "$point"/, "$point: an error there");
	check("$point, error", $before, $may);
}
foreach my $point (qw(rmi-import rmi-dir-begin rmi-dir-tree rmi-dir-model rmi-dir-switch-record rmi-dir-switch-logged rmi-dir-switched rmi-dir-free rmi-dir-freed))
{
	my $before = again();
	my $log_end = -s $node->logfile;
	my ($rc, $out, $err) = $node->psql('postgres', "SET kyro.debug_crash = '$point'; $import");

	is($rc, 2, "$point: the server crashes") or die $err;
	$node->wait_for_log(qr/database system is ready to accept connections/, $log_end);
	# what was logged may not have been flushed
	check("$point, crash", $before, $point =~ /switch|free/ ? 'any' : 'old');
}
# what a crash has left is found
$node->safe_psql('postgres', 'VACUUM t');
is($node->safe_psql('postgres', $sound), '', 'sound after VACUUM');
my $pages = $node->safe_psql('postgres', q{SELECT pg_relation_size('t_k') / 8192});
$node->safe_psql('postgres', q{SELECT count(*) FROM generate_series(1, 20) g, LATERAL (SELECT g, (kyro.rebuild('t_k')).leaves) r, LATERAL (SELECT r, try_import('t_k', better) FROM files) i});
cmp_ok($node->safe_psql('postgres', q{SELECT pg_relation_size('t_k') / 8192}), '<=', $pages + 10, 'the file does not grow with imports');

# ---- killed while it stands in the middle, beside readers and writers ----

my $before = again();
my ($out, $err) = ('', '');
# holds the lock that makes others wait at the point, until the server goes
my $holder = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', q{SELECT pg_advisory_lock(hashtextextended('rmi-dir-model', 0)), pg_sleep(10000)} ], '<', \undef, '>', \my $held, '2>&1');
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted}), 'the lock is held');
my $run = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') . ' application_name=stopped', '-c', $import ], '<', \undef, '>', \$out, '2>', \$err);
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'stopped' AND wait_event = 'Extension'}), 'an import stands in the middle');
is($node->safe_psql('postgres', $counts), $want, 'readers go on');
$node->safe_psql('postgres', 'INSERT INTO t SELECT k FROM t WHERE k % 7 = 0 ORDER BY hashint8(k); DELETE FROM t WHERE k < 100');
$want = $node->safe_psql('postgres', $counts);
is($node->safe_psql('postgres', $state), $before, 'with the old model');
kill 'KILL', $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE application_name = 'stopped'});
$run->finish;
$holder->finish;
# not a psql that reads a query: one that cannot connect ends before, and writing to it would end the test
my $there;
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if $there = IPC::Run::run([ 'pg_isready', '-q', '-h', $node->host, '-p', $node->port ]);
	select(undef, undef, undef, 0.1);
}
ok($there, 'the server is there again');
check('kill -9', $before, 'old');
is($node->safe_psql('postgres', q{SELECT splits_since > 0 FROM kyro.model('t_k')}), 't', 'leaves were split beside');

# ---- with splits between its look at the directory and the new one, and those that wait for it ----

again();
my $control = $node->background_psql('postgres');
$control->query_safe(q{SELECT pg_advisory_lock(hashtextextended('rmi-import', 0))});
($out, $err) = ('', '');
$node->safe_psql('postgres', q{UPDATE files SET better = train('t_k', 8)});
$run = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') . ' application_name=stopped', '-c', $import ], '<', \undef, '>', \$out, '2>', \$err);
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'stopped' AND wait_event = 'Extension'}), 'an import stands before the file is compared');
$node->safe_psql('postgres', 'INSERT INTO t SELECT k + 1 FROM t WHERE k % 5 = 0 ORDER BY hashint8(k)');
$want = $node->safe_psql('postgres', $counts);
my @waiting = map { [ split /:/, $_, 2 ] } ('VACUUM:VACUUM t', q{rebuild:SELECT leaves FROM kyro.rebuild('t_k')}, "import:$import");
foreach my $w (@waiting)
{
	$w->[3] = '';
	$w->[2] = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') . " application_name=waiting_$w->[0]", '-c', $w->[1] ], '<', \undef, '>', \my $o, '2>', \$w->[3]);
}
ok($node->poll_query_until('postgres', q{SELECT count(*) = 3 FROM pg_stat_activity WHERE application_name ~ '^waiting' AND state = 'active' AND wait_event_type IS NOT NULL}), 'VACUUM, a rebuild and an import wait for it');
$control->query_safe(q{SELECT pg_advisory_unlock(hashtextextended('rmi-import', 0))});
$run->finish;
is("$out$err", "t\n", 'the import is done');
foreach my $w (@waiting)
{
	$w->[2]->finish;
	like($w->[3], qr/^$|the model does not fit|is no better/, "$w->[0] after it");
}
$control->quit;
check('with splits beside', '', 'any');
like($node->safe_psql('postgres', q{SELECT string_agg(reason, ' ' ORDER BY generation) FROM kyro.model_history('t_k')}), qr/rebuild import .*(rebuild|vacuum)/, 'all of them are in the history');

# ---- damage to the history ----

$node->safe_psql('postgres', q{SELECT leaves FROM kyro.rebuild('s_k')});
is($node->safe_psql('postgres', q{SELECT string_agg(reason, ' ' ORDER BY generation) FROM kyro.model_history('s_k')}), 'build rebuild', 'a history');
my $file = relation_file($node, 's_k');
$node->stop;
my @all = read_pages($file);
my ($at) = grep { page_kind($all[$_]) == PAGE_HISTORY } 0 .. $#all;
ok(defined $at, 'there is a page of it');
my $page = $all[$at];
substr($page, 200, 1) ^= "\x01";
write_page($file, $at, $page);
$node->start;
like($node->safe_psql('postgres', q{SELECT block, problem FROM kyro.verify('s_k')}), qr/^$at\|history: checksum does not match$/, 'verify finds the damage');
my ($rc, $stdout, $stderr) = $node->psql('postgres', q{\set VERBOSITY verbose
SELECT * FROM kyro.model_history('s_k')});
like($stderr, qr/XX002: the history of index "s_k" is damaged at block $at/, 'and who asks for it is told');
is($node->safe_psql('postgres', q{SET enable_seqscan = off; SELECT count(*) FROM s WHERE k = 77}), '1', 'look-ups need it not');
$node->safe_psql('postgres', q{SELECT leaves FROM kyro.rebuild('s_k')});
is($node->safe_psql('postgres', q{SELECT string_agg(reason, ' ' ORDER BY generation) FROM kyro.model_history('s_k')}), 'rebuild', 'the next directory begins a new one');
is($node->safe_psql('postgres', q{SELECT * FROM kyro.verify('s_k', true)}), '', 'sound');

# ---- an index of before there were histories ----

$node->safe_psql('postgres', q{CREATE INDEX s_old ON s USING kyro_rmi (k)});
$file = relation_file($node, 's_old');
$node->stop;
my $meta = (read_pages($file))[0];
# RmiMetaData.history; the checksum of the meta page is right again with the next directory
my $offset = 24 + 104;
isnt(unpack('V', substr($meta, $offset, 4)), 0, 'the meta page names it');
substr($meta, $offset, 4) = pack('V', 0);
write_page($file, 0, $meta);
$node->append_conf('postgresql.conf', 'kyro.debug_any_checksum = on');
$node->start;
is($node->safe_psql('postgres', q{SELECT * FROM kyro.model_history('s_old')}), '', 'an index without a history');
is($node->safe_psql('postgres', q{SET enable_seqscan = off; SELECT count(*) FROM s WHERE k = 77}), '1', 'works');
$node->safe_psql('postgres', q{INSERT INTO s SELECT g FROM generate_series(5001, 6000) g; VACUUM s});
is($node->safe_psql('postgres', q{SELECT length(kyro.export_model('s_old')) > 0}), 't', 'has a model');
$node->safe_psql('postgres', q{SELECT leaves FROM kyro.rebuild('s_old')});
is($node->safe_psql('postgres', q{SELECT reason, eps_before IS NULL, count(*) OVER () FROM kyro.model_history('s_old') LIMIT 1}), 'rebuild|t|1', 'and gets a history with its next directory');
$node->adjust_conf('postgresql.conf', 'kyro.debug_any_checksum', 'off');
$node->reload;
is($node->safe_psql('postgres', q{SELECT * FROM kyro.verify('s_old', true)}), '', 'sound');

# ---- of a standby, and after promotion ----

$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
($rc, $stdout, $stderr) = $standby->psql('postgres', $import);
like($stderr, qr/cannot import a model during recovery/, 'no import on a standby');
my $last = $node->safe_psql('postgres', $state);
$node->stop;
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no promotion';
is($standby->safe_psql('postgres', $state), $last, 'the promoted standby has the model and its history');
$standby->safe_psql('postgres', q{SELECT leaves FROM kyro.rebuild('t_k')});
is($standby->safe_psql('postgres', q{SELECT reason FROM kyro.model_history('t_k') LIMIT 1}), 'rebuild', 'and goes on with it');
is($standby->safe_psql('postgres', $sound), '', 'sound');
$standby->stop;
done_testing();
