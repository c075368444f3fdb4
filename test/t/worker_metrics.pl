# Metrics: Debian's exporter with monitoring/queries.yaml, as a user who is a mere
# monitor, and a real Prometheus that scrapes it: every metric of the queries is found
# there, with the right value; alert rules and dashboard use no other.  Where exporter or
# Prometheus are not installed it is left out, or fails under `make check-metrics`.
use strict;
use warnings;
use File::Basename qw(dirname);
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;
use Time::HiRes qw(usleep);

my @missing = grep { my $p = $_; !grep { -x "$_/$p" } split /:/, "$ENV{PATH}:/usr/bin" } qw(prometheus promtool prometheus-postgres-exporter);
if (@missing)
{
	die "missing: @missing" if $ENV{KYRO_METRICS};
	plan skip_all => "@missing is not installed; make check-metrics installs it";
}

my $monitoring = dirname(dirname(dirname(__FILE__))) . '/monitoring';
my $queries = slurp_file("$monitoring/queries.yaml");
my (@metrics, $query);
foreach (split /\n/, $queries)
{
	$query = $1 if /^(\w+):/;
	push @metrics, "${query}_$1" if /^    - (\w+):/;
	pop @metrics if /usage: "(?:LABEL|DISCARD)"/;
	$metrics[-1] = [ map { "$metrics[-1]_$_" } qw(bucket sum count) ] if /usage: "HISTOGRAM"/;
}
@metrics = map { ref $_ ? @$_ : $_ } @metrics;
cmp_ok(scalar @metrics, '>', 30, 'metrics');

# ---- what needs no server ----
command_ok([ 'promtool', 'check', 'rules', "$monitoring/alerts.yml" ], 'alert rules');
command_ok([ 'promtool', 'test', 'rules', "$monitoring/alerts_test.yml" ], 'they fire when they should');
my %known = map { $_ => 1 } @metrics;
my $dashboard = decode_json(slurp_file("$monitoring/dashboard.json"));
my @used = map { $_->{expr} } map { @{ $_->{targets} } } @{ $dashboard->{panels} };
cmp_ok(scalar @used, '>', 10, 'panels of the dashboard');
is_deeply([ grep { !$known{$_} } map { /\b(kyrodb_\w+)/g } @used, slurp_file("$monitoring/alerts.yml") =~ /expr: (.*)/g ], [], 'alerts and dashboard use what there is');

# ---- a server, the exporter, Prometheus ----
my $node = new_node('metrics');
$node->safe_psql('postgres', q{
CREATE EXTENSION kyrodb;
CREATE ROLE prometheus LOGIN IN ROLE pg_monitor;
CREATE TABLE t (id bigint, v text) USING kyro;
INSERT INTO t SELECT g, 'v' FROM generate_series(1, 50000) g;
CREATE INDEX t_id ON t USING kyro_rmi (id);
SELECT kyro.snapshot('t', 30000);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET kyro.sample_rate = 1;
SELECT count(*) FROM t WHERE id = 5;
RESET kyro.sample_rate;
UPDATE t SET v = 'w' WHERE id < 1000;
});
my ($exporter_port, $port) = map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 2;
my $dir = $PostgreSQL::Test::Utils::tmp_check;
append_to_file("$dir/prometheus.yml", <<"YML");
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: ['$monitoring/alerts.yml']
scrape_configs:
  - job_name: kyrodb
    static_configs:
      - targets: ['127.0.0.1:$exporter_port']
YML
command_ok([ 'promtool', 'check', 'config', "$dir/prometheus.yml" ], 'configuration');

my ($exporter_log, $prometheus_log) = ('', '');
local $ENV{DATA_SOURCE_NAME} = 'host=' . $node->host . ' port=' . $node->port . ' user=prometheus dbname=postgres sslmode=disable';
my $exporter = IPC::Run::start([ 'prometheus-postgres-exporter', "--web.listen-address=127.0.0.1:$exporter_port",
		"--extend.query-path=$monitoring/queries.yaml" ], '<', \undef, '>&', \$exporter_log);
my $prometheus = IPC::Run::start([ 'prometheus', "--config.file=$dir/prometheus.yml", "--storage.tsdb.path=$dir/tsdb",
		"--web.listen-address=127.0.0.1:$port" ], '<', \undef, '>&', \$prometheus_log);
my $http = HTTP::Tiny->new(timeout => 10);

# Ask until it is so, for up to three minutes.
sub wait_for
{
	my ($what, $test) = @_;
	my $until = time + 180;
	my $result;

	until ($result = $test->())
	{
		last if time > $until;
		$_->pumpable && $_->pump_nb foreach $exporter, $prometheus;
		usleep(100_000);
	}
	ok($result, $what) or diag("exporter: $exporter_log\nPrometheus: $prometheus_log");
	return $result;
}

sub ask
{
	my ($promql) = @_;
	my $r = $http->post_form("http://127.0.0.1:$port/api/v1/query", { query => $promql });

	return $r->{success} ? decode_json($r->{content})->{data}{result} : [];
}

# The value of a metric that there is once.
sub value { my $r = ask($_[0]); return @$r == 1 ? $r->[0]{value}[1] : scalar(@$r) . ' values'; }

my $lacking;
wait_for('every metric is found in Prometheus', sub {
	my %found = map { $_->{metric}{__name__} => 1 } @{ ask('{__name__=~"kyrodb.*"}') };
	$lacking = [ grep { !$found{$_} } @metrics ];
	return !@$lacking;
});
is_deeply($lacking, [], 'none is lacking');
my %metric_of = (lookups_total => 'lookups', mispredicts_total => 'landings_off', predicted_total => 'found_at_prediction', probe_len_sum => 'compared_sum',
	reads_total => 'idx_scan', epsilon_max => 'eps_max');
sub sql { return $node->safe_psql('postgres', $_[0]); }
is(value('kyrodb_rmi_index_size_bytes{indexrelname="t_id"}'), sql(q{SELECT pg_relation_size('t_id')}), 'size of an index');
is(value('kyrodb_rmi_sound{indexrelname="t_id"}'), '1', 'it is sound');
is(value('kyrodb_snapshots_total{relname="t"}'), '1', 'seals');
is(value('kyrodb_table_sealed_rows{relname="t"}'), '30000', 'sealed rows');
is(value('kyrodb_table_touched_rows{relname="t"}'), sql(q{SELECT touched_rows FROM kyro.stat_tables WHERE relname = 't'}), 'touched rows');
is(value("kyrodb_rmi_$_\{indexrelname=\"t_id\"}"), sql("SELECT $metric_of{$_} FROM kyro.stat_indexes WHERE indexrelname = 't_id'"), "the same as in kyro.stat_indexes: $_") foreach sort keys %metric_of;
is(value('kyrodb_lookup_fallback_scan_total{indexrelname="t_id"}'), sql(q{SELECT without_model FROM kyro.stat_indexes WHERE indexrelname = 't_id'}), 'searches without a model');
is(value('kyrodb_rmi_lookup_latency_seconds_count{indexrelname="t_id", during_rebuild="false"}'), sql(q{SELECT samples FROM kyro.stat_indexes WHERE indexrelname = 't_id'}), 'look-ups that were timed');
is(value('kyrodb_rmi_insert_entries_total{indexrelname="t_id", way="bulk"}'), sql(q{SELECT inserts_bulk FROM kyro.stat_indexes WHERE indexrelname = 't_id'}), 'inserts by way');
is(value('kyrodb_rmi_probe_len_bucket{indexrelname="t_id", le="15"}'), value('kyrodb_rmi_probe_len_count{indexrelname="t_id"}'), 'no look-up of few rows compares many');
is(value('kyrodb_health_problems{severity="warning"}'), '0', 'nothing to do');
is(ask('kyrodb_build_info')->[0]{metric}{version}, sql('SELECT version FROM kyro.build_info'), 'the version');
is(ask('kyrodb_build_info')->[0]{metric}{datname}, 'postgres', 'each metric names its database');

# what the panels of the dashboard ask for
sub understood
{
	my ($promql) = @_;

	$promql =~ s/\$datname/.*/g;
	return $http->post_form("http://127.0.0.1:$port/api/v1/query", { query => $promql })->{success};
}
is_deeply([ grep { !understood($_) } @used ], [], 'Prometheus understands all that the dashboard asks for');
ok(!understood('sum by (x (y)'), 'and would say if it did not');

unlike($exporter_log, qr/level=error/, 'no error of the exporter');

# Wait until each query has been asked again, and not only answered from what the exporter keeps.
my ($kept) = sort { $b <=> $a } $queries =~ /cache_seconds: (\d+)/g;
sub all_asked_again
{
	my $asked = sub { my $t = value('timestamp(kyrodb_build_info)'); return $t =~ /^[\d.]+$/ ? $t : 0 };
	my $since;

	wait_for('the exporter is asked', sub { return $since = $asked->() });
	wait_for('and again', sub { return $asked->() > $since + $kept + 1 });
}

# an alert fires
sql(q{ALTER TABLE t RENAME TO t2; CREATE INDEX broken ON t2 USING kyro_rmi (id)});
$node->stop;
my $file = sql_file('broken');
$node->start;
wait_for('an alert fires for an index that is damaged', sub { return value('ALERTS{alertname="KyrodbDamaged", alertstate="firing"}') eq '1'; });

# what it said of a server that was away is no matter
all_asked_again();
$exporter_log = '';
all_asked_again();
unlike($exporter_log, qr/level=error/, 'no error of it with an index that is damaged');
$_->signal('TERM') foreach $exporter, $prometheus;
$_->finish foreach $exporter, $prometheus;
$node->stop;
done_testing();

# Damage the meta page of an index of a server that is stopped.
sub sql_file
{
	my ($index) = @_;

	$node->start;
	my $path = $node->data_dir . '/' . sql("SELECT pg_relation_filepath('$index')");
	$node->stop;
	open my $f, '+<:raw', $path or die "$path: $!";
	seek $f, 2000, 0;
	print $f 'x' x 100;
	seek $f, 100, 0;
	print $f 'x' x 100;
	close $f;
	return $path;
}
