
=pod

=head1 NAME

SqlFuzz::Upkeep - seals and other functions of ours, VACUUM and its kin, changes of tables

=cut

package SqlFuzz::Upkeep;

use strict;
use warnings;
use SqlFuzz::Change;
use SqlFuzz::Query;
use SqlFuzz::Values;
use SqlFuzz::World;
use Exporter 'import';

our @EXPORT = qw(seal upkeep turnover definition);

# A kyro table, or sometimes another.
sub store
{
	my ($world) = @_;
	my @stores = grep { $_->{am} eq 'kyro' } $world->tables;

	return @stores && chance(0.97) ? pick(@stores) : $world->table;
}

sub learned
{
	my ($world) = @_;

	return map { $_->{name} } grep { $_->{method} eq 'kyro_rmi' } map { @{ $_->{indexes} } } $world->tables;
}

=item seal(world, state)

What is done to the kyro twin alone, as a statement, in a session whose transaction is in this state.

=cut

sub seal
{
	my ($world, $state) = @_;
	my $t = store($world)->{name};
	my @learned = learned($world);
	my $r = rand();

	return { kyro => 1, sql => "SELECT rows FROM kyro.snapshot('$t')" } if $r < 0.40;
	return { kyro => 1, sql => "SELECT rows FROM kyro.snapshot('$t', " . pick(1, 5, 50, 500) . ')' } if $r < ($state eq 'idle' || chance(0.1) ? 0.50 : 0.65);
	return { kyro => 1, sql => "CALL kyro.seal('$t'" . pick('', ', 1', ', 100', ', batch => 1000', ", older_than => '1 hour'", ", older_than => '0'") . ')' } if $r < 0.60;
	return { kyro => 1, sql => "CALL kyro.compact('$t'" . pick('', '', ', 1', ', 100') . ')' } if $r < 0.65;
	return { kyro => 1, sql => "SELECT (kyro.snapshot('$t')).*" } if $r < 0.68;
	return { kyro => 1, sql => "SELECT relname, s.rows FROM pg_class c JOIN pg_am m ON m.oid = c.relam AND m.amname = 'kyro', kyro.snapshot(c.oid) s WHERE c.relname IN ('p0', 'p1', 'p2', '$t') AND c.relkind = 'r' AND c.relnamespace = 'w'::regnamespace" } if $r < 0.70;
	return { kyro => 1, sql => 'CALL kyro.' . pick('replace_btree', 'replace_btree', 'restore_btree') . "('$t')" } if $r < 0.73;
	return { kyro => 1, sql => "SELECT leaves FROM kyro.rebuild('" . pick(@learned) . "')" } if $r < 0.80 && @learned;
	return { kyro => 1, sql => "SELECT kyro.warmup('" . pick($t, @learned) . "')" } if $r < 0.85;
	return { kyro => 1, sound => 1, sql => "SELECT * FROM kyro.verify('" . pick($t, $t, @learned) . "', deep => " . pick('true', 'false') . ')' } if $r < 0.95;
	return { kyro => 1, sql => 'SELECT count(*) FROM kyro.' . pick('stat_tables', 'stat_indexes', 'stat_runs') } if $r < 0.98;
	return { kyro => 1, sql => 'CHECKPOINT' };
}

=item upkeep(world)

VACUUM and others that change no row.

=cut

sub upkeep
{
	my ($world) = @_;
	my $t = store($world);
	my $name = $t->{name};
	my @indexes = map { $_->{name} } @{ $t->{indexes} };
	my @learned = learned($world);
	my $r = rand();

	# (truncation at the end of a heap would wait for readers, five seconds)
	return 'VACUUM (TRUNCATE OFF' . join('', map { ", $_" } grep { chance(0.2) } 'INDEX_CLEANUP ON', 'FREEZE', 'ANALYZE', 'DISABLE_PAGE_SKIPPING') . ") $name" if $r < 0.45;
	return "VACUUM (TRUNCATE OFF, INDEX_CLEANUP OFF) $name" if $r < 0.48;
	return 'VACUUM (FULL' . (chance(0.3) ? ', FREEZE' : '') . (chance(0.3) ? ', ANALYZE' : '') . ") $name" if $r < 0.60;
	return "ANALYZE $name" if $r < 0.70;
	return "CLUSTER $name USING " . pick(@indexes) if $r < 0.80 && @indexes;
	return "CLUSTER $name" if $r < 0.82;
	my $concurrently = pick('', ' CONCURRENTLY');
	return "REINDEX TABLE$concurrently $name" if $r < 0.86;
	return "REINDEX INDEX$concurrently " . pick(@learned, @indexes) if @learned || @indexes;
	return "ANALYZE";
}

=item turnover(world)

Statements after which ledger tuples of some sealed rows lie where those of others were, that are dead: if no other
transaction is open, VACUUM makes room of them.  They are few, so that it does not tidy the links that lead there.

=cut

sub turnover
{
	my ($world) = @_;
	my $name = store($world)->{name};
	my $n = pick(50, 150, 300, 600);
	my @which = map { below($n) } 0 .. 2;
	my $touch = pick("SELECT count(*) FROM (SELECT FROM $name WHERE id % $n = $which[2] FOR UPDATE) x",
		"SELECT count(*) FROM (SELECT FROM $name WHERE id % $n = $which[2] FOR KEY SHARE) x", "DELETE FROM $name WHERE id % $n = $which[2]");

	return (
		{ kyro => 1, sql => "SELECT rows FROM kyro.snapshot('$name')" },
		(map { ({ many => 1, sql => "DELETE FROM $name WHERE id % $n = $_" }, { sql => "VACUUM (TRUNCATE OFF) $name" }) } @which[ 0, 1 ]),
		{ many => 1, sql => $touch },
		{ sql => "SELECT * FROM $name" });
}

=item definition(world)

A statement that changes a table, or what belongs to it.

=cut

# Types that values of a type can be changed to.
my %next_type = (
	bigint => [ 'integer', 'bigint', 'numeric' ], integer => [ 'bigint', 'smallint' ], smallint => [ 'integer', 'bigint' ], numeric => ['bigint'],
	timestamptz => [ 'timestamp', 'date' ], timestamp => [ 'timestamptz', 'date' ], date => [ 'timestamp', 'timestamptz' ]);

sub definition
{
	my ($world) = @_;
	my $t = $world->table;
	my $name = $t->{name};
	my @keys = grep { $_ ne 'id' } SqlFuzz::World::keys_of($t);
	my @indexes = map { $_->{name} } grep { !$_->{twice} } @{ $t->{indexes} };
	my $c = pick(@keys, 'n');
	my $type = $t->{columns}{$c} // 'bigint';
	my @optional = grep { !/^(id|n|v|k1)$/ } @{ $t->{names} }, @{ $t->{generated} };
	my $fresh = $world->name('e');

	my @kinds = (
		[ 5, sub { return $world->index_on($name, $c, how => $t->{relkind} eq 'r' ? pick('', '', 'CONCURRENTLY') : ''); } ],
		[ 3, sub { return 'DROP INDEX ' . pick('', '', 'CONCURRENTLY ') . (@indexes ? pick(@indexes) : 'none'); } ],
		[ 2, sub { my $of = pick(KEY_TYPES, 'text', 'boolean'); return "ALTER TABLE $name ADD $fresh $of" . pick('', ' DEFAULT ' . literal($of), ' NOT NULL DEFAULT ' . literal($of, not_null => 1)); } ],
		[ 1, sub { return "ALTER TABLE $name ADD $fresh bigint GENERATED ALWAYS AS (id + 1) STORED"; } ],
		[ 1, sub { return "ALTER TABLE $name DROP " . (@optional ? pick(@optional) : 'none'); } ],
		[ 1, sub { return "ALTER TABLE $name ALTER $c TYPE " . pick(@{ $next_type{$type} // ['text'] }); } ],
		[ 0.5, sub { return "ALTER TABLE $name ALTER id TYPE " . pick('bigint', 'integer'); } ],
		[ 1, sub { return "ALTER TABLE $name ALTER $c " . pick('SET NOT NULL', 'DROP NOT NULL', "SET DEFAULT " . literal($type), 'DROP DEFAULT', 'SET STATISTICS 10'); } ],
		[ 0.5, sub { return "ALTER TABLE $name ALTER v SET STORAGE " . pick(qw(EXTERNAL EXTENDED MAIN PLAIN)); } ],
		[ 2, sub { return "ALTER TABLE $name SET ACCESS METHOD " . pick('heap', 'kyro', 'kyro'); } ],
		[ 0.5, sub { return "ALTER TABLE $name SET " . pick('LOGGED', 'UNLOGGED'); } ],
		[ 0.5, sub { return "ALTER TABLE $name SET (fillfactor = " . pick(10, 50, 100) . ')'; } ],
		[ 0.5, sub { return "ALTER TABLE $name ADD CONSTRAINT $fresh CHECK ($c IS NOT NULL)" . pick('', ' NOT VALID'); } ],
		[ 0.5, sub { return "ALTER TABLE $name ADD CONSTRAINT $fresh EXCLUDE USING kyro_rmi (k1 WITH =) WHERE (n = 4)"; } ],
		[ 0.7, sub { return "ALTER TABLE $name " . pick('CLUSTER ON ' . (@indexes ? pick(@indexes) : 'none'), 'SET WITHOUT CLUSTER'); } ],
		[ 1, sub { return @{ $t->{triggers} } ? "DROP TRIGGER " . pick(@{ $t->{triggers} }) . " ON $name" : $world->trigger_on($name); } ],
		[ 0.5, sub { return "ALTER TABLE p DETACH PARTITION " . pick('p0', 'p1', 'pd'); } ],
		[ 0.5, sub { return "ALTER TABLE p ATTACH PARTITION " . pick('p0 FOR VALUES FROM (MINVALUE) TO (200)', 'p1 FOR VALUES FROM (200) TO (1000)', 'pd DEFAULT'); } ],
		[ 1, sub { return "LOCK TABLE $name IN " . pick('SHARE', 'SHARE ROW EXCLUSIVE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE') . ' MODE'; } ],
		[ 1, sub { return "CREATE TABLE made USING kyro AS " . select_from($t); } ],
		[ 2, sub { return "CREATE TABLE made (LIKE $name) USING kyro"; } ],
		[ 4, sub { my ($made) = grep { $_->{name} eq 'made' } $world->tables; return $made ? SqlFuzz::Change::copy($made) : "CREATE TABLE made (LIKE $name) USING kyro"; } ],
		[ 1, sub { return 'TRUNCATE made'; } ],
		[ 1, sub { return 'DROP TABLE made'; } ],
		[ 1, sub { return "CREATE MATERIALIZED VIEW seen USING kyro AS " . select_from($t); } ],
		[ 1, sub { return 'REFRESH MATERIALIZED VIEW seen'; } ],
		[ 0.5, sub { return 'DROP MATERIALIZED VIEW seen'; } ]);

	return weighted(@kinds)->();
}

1;
