
=pod

=head1 NAME

SqlFuzz::Query - conditions and queries

=head1 DESCRIPTION

A query has one right answer: it is a set of rows, or its ORDER BY leaves nothing open.
Places of rows (ctid) are used, and not shown.

=cut

package SqlFuzz::Query;

use strict;
use warnings;
use SqlFuzz::Values;
use SqlFuzz::World;
use Exporter 'import';

our @EXPORT = qw(condition point query select_from);

# (a list of values, with NULLs and the same more than once)
sub list_of
{
	my ($type) = @_;
	my @v = map { literal($type) } 1 .. 1 + below(chance(0.1) ? 150 : 12);

	push @v, pick(@v) if chance(0.3);
	return @v;
}

sub comparison
{
	my ($c, $type) = @_;
	my $bare = $c =~ s/^\w\.//r;
	my $op = pick('=', '=', '<', '<=', '>', '>=', '<>');
	my $r = rand();

	return $r < 0.5 ? "$c $op " . literal(comparable($type))
	  : $r < 0.65 ? "$c BETWEEN " . literal($type) . ' AND ' . literal(comparable($type))
	  : $r < 0.75 ? "$c IN (" . join(', ', list_of($type)) . ')'
	  : $r < 0.85 ? "$c = ANY (ARRAY[" . join(', ', list_of($type)) . "]::${type}[])"
	  : $r < 0.88 ? "$c $op ANY (ARRAY[" . join(', ', list_of($type)) . "]::${type}[])"
	  : $r < 0.90 ? "$c = ANY (ARRAY(SELECT $bare FROM (VALUES (NULL::$type), (" . literal($type) . '), (' . literal($type) . ")) z ($bare)))"
	  : $r < 0.95 ? "$c IS NOT NULL"
	  : "$c IS NULL";
}

=item condition(table, prefix)

Something to stand after WHERE.  prefix: 'x.' or nothing.

=cut

sub condition
{
	my ($t, $x) = @_;
	$x //= '';
	my @keys = SqlFuzz::World::keys_of($t);
	my $r = rand();
	my $c = pick(@keys, 'id');

	return comparison($x . $c, $t->{columns}{$c} // 'bigint') if $r < 0.60;
	return '(' . condition($t, $x) . pick(' AND ', ' AND ', ' OR ') . condition($t, $x) . ')' if $r < 0.75;
	return "NOT (" . condition($t, $x) . ')' if $r < 0.77;
	# the next page
	return "($x$c, ${x}id) " . pick('>', '>=', '<', '<=') . ' (' . literal($t->{columns}{$c} // 'bigint') . ', ' . literal($t->{columns}{id} // 'bigint') . ')' if $r < 0.83;
	return "${x}id % " . pick(2, 3, 7, 30) . ' = 1' if $r < 0.87;
	return pick("${x}id / 3 = " . below(400), "length(${x}v) > " . below(40), "length(${x}v) = " . pick(1, 8, 32), "coalesce(${x}n, 0) % 50 < 3 AND ${x}v IS NOT NULL", "${x}n > 5", "${x}n = 3",
		$t->{columns}{u} ? ("${x}u = " . below(1000), "${x}u / 2 = " . below(500)) : ()) if $r < 0.92;
	return "${x}ctid = ANY (ARRAY(SELECT y.ctid FROM ONLY $t->{name} y WHERE y.$c " . pick('<', '>') . ' ' . literal($t->{columns}{$c} // 'bigint') . ")) AND ${x}tableoid = '$t->{name}'::regclass" if $r < 0.95 && $t->{relkind} eq 'r';
	my $lo = below(500);
	return "${x}id BETWEEN $lo AND " . ($lo + below(200));
}

=item point(table)

A condition that few rows meet.

=cut

sub point
{
	my ($t) = @_;

	my $r = rand();

	return 'id = ' . below(pick(40, 300)) if $r < 0.5;
	return 'id = ' . literal($t->{columns}{id} // 'bigint', usual => 1) if $r < 0.7;
	return 'id IN (' . join(', ', map { below(200) } 1 .. 2 + below(5)) . ')' if $r < 0.85;
	my $c = pick(SqlFuzz::World::keys_of($t), 'id');
	return "$c = " . literal($t->{columns}{$c} // 'bigint');
}

=item select_from(table)

A simple SELECT, as text, without an order.

=cut

sub select_from
{
	my ($t) = @_;

	return 'SELECT * FROM ' . (chance(0.15) ? 'ONLY ' : '') . "$t->{name} WHERE " . condition($t);
}

=item query(world)

A query, as (text, ordered): ordered says that the order of its rows counts.

=cut

sub query
{
	my ($world) = @_;
	my $t = $world->table;
	my $name = $t->{name};
	my @keys = SqlFuzz::World::keys_of($t);
	my $k = pick(@keys, 'id');
	my $type = $t->{columns}{$k} // 'bigint';
	my $where = condition($t, 'x.');
	my $direction = pick('', '', ' DESC', ' DESC NULLS LAST', ' NULLS FIRST');
	my $limit = chance(0.6) ? ' LIMIT ' . (1 + below(30)) . (chance(0.3) ? ' OFFSET ' . below(40) : '') : '';
	my $u = $world->table;
	# a column that can be compared with that
	my $numbers = $type =~ /int/;
	my ($j) = grep { ($u->{columns}{$_} =~ /int/) eq $numbers && chance(0.6) } SqlFuzz::World::keys_of($u);
	my $on = defined $j ? $k : 'id';
	$j //= 'id';
	my $lo = below(300);
	my $digest = 'count(*), sum(hashtextextended(x::text, 0)), ';

	my @kinds = (
		[ 6, sub { return "SELECT * FROM $name x WHERE $where"; } ],
		[ 6, sub { return ("SELECT * FROM $name x WHERE $where ORDER BY $k$direction, x::text$limit", 1); } ],
		# the index knows all
		[ 5, sub { return ("SELECT $k FROM $name WHERE " . comparison($k, $type) . " ORDER BY $k$direction$limit", 1); } ],
		[ 3, sub { return "SELECT count(*), min($k), max($k), count(DISTINCT $k) FROM $name x WHERE $where"; } ],
		[ 2, sub { return "SELECT min($k) FROM $name" . (chance(0.5) ? ' WHERE ' . comparison($k, $type) : ''); } ],
		[ 3, sub { return "SELECT $digest sum(n::numeric) FROM $name x"; } ],
		[ 2, sub { return "SELECT $k, count(*), sum(n::numeric) FROM $name x WHERE $where GROUP BY $k"; } ],
		[ 1, sub { return "SELECT DISTINCT $k FROM $name x WHERE $where"; } ],
		[ 1, sub { return ("SELECT DISTINCT ON ($k) $k, id, n FROM $name x ORDER BY $k$direction, x::text$limit", 1); } ],
		# (few rows of one of the tables: a value may have thousands)
		[ 3, sub { return "SELECT count(*), sum(x.id::numeric), sum(y.id::numeric), sum(y.n::numeric) FROM $name x " . pick('', 'LEFT ') . "JOIN $u->{name} y ON x.$on = y.$j WHERE x.id BETWEEN $lo AND $lo + 100" . (chance(0.4) ? " AND $where" : ''); } ],
		[ 2, sub { return "SELECT count(*), sum(x.id::numeric), sum(y.id::numeric), sum(y.n::numeric) FROM (SELECT * FROM $name x WHERE $where ORDER BY x::text LIMIT 100) x " . pick('', 'LEFT ', 'FULL ') . "JOIN $u->{name} y ON x.$on = y.$j"; } ],
		[ 2, sub { return "SELECT count(*), sum(hashtextextended(x::text, 0)) FROM $name x WHERE " . pick('', 'NOT ') . "EXISTS (SELECT FROM $u->{name} y WHERE y.$j = x.$on" . (chance(0.5) ? ' AND ' . condition($u, 'y.') : '') . ')'; } ],
		[ 1, sub { return "SELECT * FROM $name x WHERE x.$on IN (SELECT $j FROM $u->{name} WHERE " . condition($u) . ')'; } ],
		[ 3, sub { return "SELECT count(*), sum(x.id::numeric * series), sum(x.n::numeric * series) FROM generate_series(" . below(50) . ', ' . (50 + below(300)) . ") series, LATERAL (SELECT * FROM $name WHERE $k = " . (from_number($type, pick('plain', 'few', 'spread')) =~ s/\$i/series/gr) . ' OFFSET 0) x'; } ],
		[ 1, sub { return ("SELECT id, $k, row_number() OVER w, lag($k) OVER w FROM $name x WHERE $where WINDOW w AS (ORDER BY $k$direction, x::text) ORDER BY $k$direction, x::text$limit", 1); } ],
		[ 1, sub { return "SELECT $on FROM $name x WHERE $where " . pick('UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT', 'EXCEPT ALL') . " SELECT $j FROM $u->{name} WHERE " . condition($u); } ],
		# by place
		[ 2, sub { return "SELECT * FROM ONLY $name WHERE ctid = (SELECT ctid FROM ONLY $name x WHERE $where ORDER BY x::text LIMIT 1)"; } ],
		[ 2, sub { return "SELECT * FROM ONLY $name WHERE ctid = ANY (ARRAY(SELECT ctid FROM ONLY $name x WHERE $where))"; } ],
		[ 2, sub { my $at = "(SELECT ctid FROM ONLY $name x WHERE $where ORDER BY x::text LIMIT 1)";
			return "SELECT count(*), sum(hashtextextended(x::text, 0)) FROM (SELECT * FROM ONLY $name WHERE ctid <= $at UNION ALL SELECT * FROM ONLY $name WHERE ctid > $at) x"; } ],
		[ 1, sub { return "SELECT $digest 0 FROM ONLY $name x WHERE ctid >= '(0,0)' AND ctid < '(100000,1)'"; } ],
		[ 1, sub { return "SELECT count(*), sum(hashtextextended(x::text, 0)) FROM $name x JOIN $name y ON x.ctid = y.ctid AND x.tableoid = y.tableoid WHERE $where"; } ],
		[ 1, sub { return "SELECT $digest 0 FROM $name x TABLESAMPLE " . pick('SYSTEM', 'BERNOULLI') . ' (100)'; } ],
		[ 4, sub { my $lock = pick('UPDATE', 'NO KEY UPDATE', 'SHARE', 'KEY SHARE');
			return ("SELECT * FROM $name x WHERE $where ORDER BY x::text$limit FOR $lock" . ($lock eq 'KEY SHARE' ? pick('', ' NOWAIT') : pick('', '', ' NOWAIT', ' SKIP LOCKED')), 1); } ],
		[ 1, sub { return "SELECT x.id, y.id, y.n FROM $name x JOIN $u->{name} y ON x.$on = y.$j WHERE $where AND x.id BETWEEN $lo AND $lo + 5 FOR " . pick('UPDATE', 'SHARE') . ' OF x'; } ],
		# what a function of ours moves is there, once, for what is left of its statement
		[ 0.5, sub { return "SELECT $digest count(s) FROM $name x, kyro.snapshot('$name') s"; } ],
		[ 0.5, sub { return "SELECT $digest 0 FROM $name x WHERE $where AND (SELECT count(*) FROM kyro.snapshot('$name', " . pick(1, 20, 'NULL') . ')) = 1'; } ],
		[ 1, sub { return ("SELECT * FROM $name WHERE $k > " . literal($type) . " ORDER BY $k, id, $name\::text LIMIT 3 FOR UPDATE SKIP LOCKED", 1); } ],
		[ 1, sub { return "COPY (SELECT * FROM $name x WHERE $where) TO STDOUT"; } ],
		[ 1, sub { return 'SELECT tbl, what, count(*), sum(id), sum(n) FROM audit GROUP BY 1, 2'; } ],
		[ 1, sub { return "SELECT tableoid::regclass, count(*) FROM $name x WHERE $where GROUP BY 1"; } ]);

	return weighted(@kinds)->();
}

1;
