# Nobody waits for the autopilot: while its workers retrain an index and seal a table, which is made to
# take a minute, sessions that want the strongest lock get it within their lock_timeout, again and
# again, and all is sound in the end.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

# a worker sleeps for up to 0.16 s at each page
my $node = new_node('waits', conf => q{
kyro.autopilot = on
kyro.autopilot_naptime = 1s
kyro.cost_limit = 1
kyro.cost_delay = 40
kyro.retrain_threshold = 0
kyro.retrain_scale_factor = 0
deadlock_timeout = 100ms
});

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{CREATE EXTENSION kyrodb;
CREATE TABLE i (k bigint);
INSERT INTO i SELECT hashint8(g)::bigint * 1000 FROM generate_series(1, 300000) g;
CREATE INDEX i_k ON i USING kyro_rmi (k);
CREATE TABLE s (id bigint, v text) USING kyro;
INSERT INTO s SELECT g, repeat('v', 100) FROM generate_series(1, 30000) g;
});

# How long is the lock of such a table held by a worker, if nobody else wants it?  Far longer than we may wait.
# In the first round there is nothing to do but to retrain: a seal that has begun keeps the worker for all others.
my $busy = q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'kyrodb worker' AND query ~ 'retraining|sealing'};
my %met;
foreach my $round (1 .. 8)
{
	# pages of one part of the index are split, too few for those who insert to train a model
	sql(qq{INSERT INTO i SELECT (hashint8(g)::bigint % 300000000 + ($round - 4) * 500000000::bigint) * 1000 FROM generate_series(1, 10000) g;
INSERT INTO s SELECT g, 'v' FROM generate_series(1, 100) g});
	ok($node->poll_query_until('postgres', $busy), "round $round: a worker is at it");
	my $at = sql(q{SELECT string_agg(DISTINCT substring(query FROM 'retraining|sealing'), ',') FROM pg_stat_activity WHERE backend_type = 'kyrodb worker'});

	$met{$_} = 1 foreach split /,/, $at;
	foreach my $table (qw(i s))
	{
		my ($rc, $out, $err) = $node->psql('postgres', "SET lock_timeout = '10s'; BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE; COMMIT; ALTER TABLE $table SET (autovacuum_enabled = off)");

		is($err, '', "round $round: the lock of $table is had in time") or diag(sql(q{SELECT * FROM kyro.stat_worker}));
	}
	sql(q{SELECT kyro.set_policy('s', seal_rows => 1, min_rows => 1, batch => 100)}) if $round == 1;
}
ok($met{retraining}, 'an index was being retrained');
ok($met{sealing}, 'a table was being sealed');
# with a usual pace the work is done in the end
$node->append_conf('postgresql.conf', "kyro.cost_delay = 0\n");
$node->reload;
sql('INSERT INTO s VALUES (0, NULL)');
ok($node->poll_query_until('postgres', q{SELECT sealed_rows > 30000 FROM kyro.stat_tables WHERE relname = 's'}), 'the table is sealed');
ok($node->poll_query_until('postgres', q{SELECT splits_since = 0 FROM kyro.stat_indexes WHERE indexrelname = 'i_k'}), 'the index is retrained');
is(sql(qq{SELECT count(*) FROM kyro.verify('$_', deep => true)}), '0', "$_ is sound") foreach qw(i_k s);
is(sql('SELECT count(*) FROM kyro.stat_worker WHERE failures > 0'), '0', 'to step back is no failure');
$node->stop;
done_testing();
