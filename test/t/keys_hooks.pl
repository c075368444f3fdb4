# Keys with kyro_rmi indexes where other libraries have their hooks before and
# behind ours: pg_stat_statements counts each command once, pgaudit reports it, and
# what the commands do is the same in either order.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use KyroTest;
use Test::More;

# The commands, a line each; what the log of pgaudit has of them, in their order.
my @commands = (
	'CREATE TABLE par (id bigint PRIMARY KEY WITH (kyro_rmi), u int UNIQUE WITH (kyro_rmi), w int)',
	'CREATE TABLE child (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, par bigint REFERENCES par ON DELETE CASCADE)',
	'INSERT INTO par SELECT g, g, g FROM generate_series(1, 1000) g',
	'INSERT INTO child (par) SELECT g FROM generate_series(1, 1000) g',
	'INSERT INTO par (id, u) VALUES (5, 0) ON CONFLICT (id) DO UPDATE SET u = excluded.u',
	'CREATE UNIQUE INDEX par_i ON par USING kyro_rmi (w)',
	'ALTER TABLE par ADD CONSTRAINT par_w UNIQUE USING INDEX par_i',
	'ALTER TABLE child ADD UNIQUE (par) WITH (kyro_rmi)',
	'ALTER TABLE par ALTER id TYPE int',
	'ALTER TABLE par DROP CONSTRAINT par_u_key',
	'DELETE FROM par WHERE id = 7',
	q{CALL kyro.replace_btree('child')},
	q{CALL kyro.restore_btree('par')},
	'ALTER TABLE par RENAME CONSTRAINT par_w TO par_w_2');
my $state = q{
SELECT c.relname, a.amname, m.amname, i.indisprimary, i.indisvalid, c.reloptions::text, pg_get_constraintdef(k.oid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam JOIN pg_opclass o ON o.oid = i.indclass[0] JOIN pg_am m ON m.oid = o.opcmethod
	LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.contype <> 'f'
WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1;
SELECT count(*), sum(hashtext(par::text)) FROM par;
SELECT count(*), sum(hashtext(child::text)) FROM child;
SELECT conname, conindid::regclass, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f';
SELECT v.* FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname = 'kyro_rmi', LATERAL kyro.verify(c.oid::regclass, deep => true) v WHERE c.relkind = 'i';
};

my $node = new_node('keys_hooks', conf => "compute_query_id = on\n");
my %has = map { $_ => $node->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = '$_'") } ('pg_stat_statements', 'pgaudit');
foreach my $name (sort keys %has)
{
	note("$name is not installed: nothing is tested with it") unless $has{$name};
}
my @others = grep { $has{$_} } sort keys %has;

sub run_commands
{
	my ($db, $what) = @_;

	foreach my $command (@commands)
	{
		my ($rc, $out, $err) = $node->psql($db, "SET client_min_messages = warning; $command");

		is($rc, 0, "$what: $command") or diag($err);
	}
}

# alone
$node->safe_psql('postgres', 'CREATE DATABASE alone');
$node->safe_psql('alone', 'CREATE EXTENSION kyrodb');
run_commands('alone', 'alone');
my $expected = $node->safe_psql('alone', $state);
like($expected, qr/^child_pkey\|kyro_rmi\|(?:btree|kyro_rmi)\|t\|t\|\{kyro_rmi=true\}\|PRIMARY KEY/m, 'alone: a key of ours');
like($expected, qr/^par_pkey\|btree\|btree\|t\|t\|\|PRIMARY KEY/m, 'alone: one that is a btree again');

SKIP:
{
	skip('neither pg_stat_statements nor pgaudit is installed', 1) unless @others;
	foreach my $order ([ 'kyrodb', @others ], [ @others, 'kyrodb' ])
	{
		my $what = join(', ', @$order);
		my $db = $order->[0] eq 'kyrodb' ? 'first' : 'last';

		$node->append_conf('postgresql.conf', "shared_preload_libraries = '$what'\n" .
			($has{pg_stat_statements} ? "pg_stat_statements.track = top\n" : '') .
			($has{pgaudit} ? "pgaudit.log = 'ddl'\npgaudit.log_catalog = off\npgaudit.log_level = log\n" : ''));
		$node->restart;
		$node->safe_psql('postgres', "CREATE DATABASE $db");
		$node->safe_psql($db, "CREATE EXTENSION $_") foreach ('kyrodb', @others);
		my $start = -s $node->logfile;
		$node->safe_psql($db, 'SELECT pg_stat_statements_reset()') if $has{pg_stat_statements};
		run_commands($db, $what);
		is($node->safe_psql($db, $state), $expected, "$what: the same tables and keys");
		if ($has{pg_stat_statements})
		{
			# as they were written, whatever we make of them
			# (parameters of CALL are no constants from 17 on)
			my @counted = sort map { s/^(\d+ CALL [^(]+)\(.*\)/$1(\$1)/r } split /\n/, $node->safe_psql($db, q{SELECT calls || ' ' || query FROM pg_stat_statements WHERE query ~ '^(CREATE|ALTER|CALL)'});
			is_deeply(\@counted, [ sort map { "1 $_" =~ s/^(\d+ CALL [^(]+)\(.*\)/$1(\$1)/r } grep { /^(CREATE|ALTER|CALL)/ } @commands ], "$what: pg_stat_statements has each command once");
		}
		if ($has{pgaudit})
		{
			my $log = slurp_file($node->logfile, $start);

			foreach my $command (grep { /^(CREATE|ALTER)/ } @commands)
			{
				like($log, qr/AUDIT: SESSION,\d+,1,DDL,\w+ \w+,[^\n]*\Q$command\E/, "$what: pgaudit has $command");
			}
			# the table whose constraint we make
			like($log, qr/AUDIT: SESSION,\d+,\d+,DDL,ALTER TABLE,TABLE,public\.par,"?ALTER TABLE par ADD CONSTRAINT par_w UNIQUE USING INDEX/, "$what: and knows of which table");
		}
	}
}
log_lacks($node, 'PANIC|TRAP|still active|inconsistent page', 'nothing bad in the log');
$node->stop;

done_testing();
