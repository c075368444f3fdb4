# The autopilot puts off what is due while the server is busy, says why, and goes on when it is not, or when it has
# waited long enough.  Sessions that only wait do not make a server busy.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

my $node = new_node('busy', conf => q{
kyro.autopilot = on
kyro.autopilot_naptime = 1s
kyro.retrain_threshold = 5
kyro.retrain_scale_factor = 0
kyro.busy_sessions = 2
});

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub until_true { ok($node->poll_query_until('postgres', $_[0]), $_[1]) or diag(sql('SELECT * FROM kyro.stat_worker')); }

sub settings
{
	$node->append_conf('postgresql.conf', "$_[0]\n");
	$node->reload;
}

# Sessions that do such a thing, and their end.
sub sessions
{
	my ($n, $what, $state) = @_;
	my @sessions = map { my $s = $node->background_psql('postgres'); send_query($s, "$what;"); $s } 1 .. $n;

	$node->poll_query_until('postgres', "SELECT count(*) >= $n FROM pg_stat_activity WHERE state = 'active' AND application_name <> 'psql' OR $state") or die "no sessions";
	return @sessions;
}

sub end_them
{
	sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()});
	eval { $_->quit } foreach @_;
	until_true(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend'}, 'sessions end');
}
my $burn = 'DO $$ BEGIN LOOP NULL; END LOOP; END $$';
my $burning = q{query ~ 'LOOP NULL' AND state = 'active' AND pid <> pg_backend_pid()};

sql(q{CREATE EXTENSION kyrodb;
CREATE TABLE s (id bigint, v text) USING kyro;
CREATE TABLE i (k bigint);
INSERT INTO i SELECT g * 1000 FROM generate_series(1, 100000) g;
CREATE INDEX i_k ON i USING kyro_rmi (k);
SELECT kyro.set_policy('s', seal_rows => 1, min_rows => 1, batch => 100)});

# ---- sessions that wait ----
my @waiting = (sessions(3, 'SELECT pg_sleep(100000)', q{wait_event = 'PgSleep'}), sessions(1, 'SELECT pg_advisory_lock(1)', q{query ~ 'advisory'}), sessions(3, 'SELECT pg_advisory_lock(1)', q{wait_event = 'advisory'}));
sql(q{INSERT INTO s SELECT g, 'v' FROM generate_series(1, 1000) g});
until_true(q{SELECT sealed_rows = 1000 FROM kyro.stat_tables WHERE relname = 's'}, 'sessions that wait make nobody busy');
end_them(@waiting);

# ---- sessions at work ----
my @burning = sessions(3, $burn, $burning);
sql(q{INSERT INTO s SELECT g, 'v' FROM generate_series(1001, 2000) g;
INSERT INTO i SELECT hashint4(g)::bigint % 1000000 FROM generate_series(1, 60000) g});
my $said = q{result ~ '^stepped back: the server is busy: \d sessions are at work, more than 2$' AND failures = 0 AND error IS NULL AND next > finished};
until_true(qq{SELECT count(*) = 2 FROM kyro.stat_worker WHERE $said AND relation IN ('public.s', 'public.i_k')}, 'while more sessions are at work than may be, what is due is put off, and why');
my $then = sql(q{SELECT max(finished) FROM kyro.stat_worker WHERE relation = 'public.s'});
until_true(qq{SELECT finished > '$then' AND $said FROM kyro.stat_worker WHERE relation = 'public.s'}, 'and looked at again');
is(sql(q{SELECT log_rows, sealed_rows FROM kyro.stat_tables WHERE relname = 's'}), '1000|1000', 'nothing was sealed');
is(sql(q{SELECT count(*) FROM kyro.model_history('i_k') WHERE reason = 'autopilot'}), '0', 'nor retrained');
end_them(@burning);
until_true(q{SELECT sealed_rows = 2000 FROM kyro.stat_tables WHERE relname = 's'}, 'then it is sealed');
until_true(q{SELECT splits_since <= 5 FROM kyro.stat_indexes WHERE indexrelname = 'i_k'}, 'and retrained');

# ---- in the middle of a seal ----
settings("kyro.cost_limit = 1\nkyro.cost_delay = 100ms");
sql(q{INSERT INTO s SELECT g, 'v' FROM generate_series(2001, 60000) g});
until_true(q{SELECT sealed_rows > 2000 FROM kyro.stat_tables WHERE relname = 's'}, 'a seal has begun');
@burning = sessions(3, $burn, $burning);
until_true(q{SELECT result ~ '^sealed \d+ rows, batches: \d+; then stepped back: the server is busy' AND next > finished OR result ~ '^stepped back: the server is busy' FROM kyro.stat_worker WHERE relation = 'public.s'}, 'ends with the batch at hand');
cmp_ok(sql(q{SELECT log_rows FROM kyro.stat_tables WHERE relname = 's'}), '>', 0, 'and has not done all');

# ---- for long ----
settings("kyro.cost_delay = 0\nkyro.busy_patience = 2s");
until_true(q{SELECT sealed_rows = 60000 FROM kyro.stat_tables WHERE relname = 's'}, 'when it was put off for long enough, all of it is done');
is(sql("SELECT count(*) FROM pg_stat_activity WHERE $burning"), '3', 'though the server is busy');
settings("kyro.busy_patience = 1h\nkyro.busy_sessions = 0");
sql(q{INSERT INTO s SELECT g, 'v' FROM generate_series(60001, 61000) g});
until_true(q{SELECT sealed_rows = 61000 FROM kyro.stat_tables WHERE relname = 's'}, 'or at once, if no number of sessions is too many');
end_them(@burning);
is(sql(qq{SELECT count(*) FROM kyro.verify('$_', deep => true)}), '0', "$_ is sound") foreach qw(s i_k);
log_lacks($node, 'ERROR|PANIC|TRAP', 'no error in the log');
$node->stop;
done_testing();
