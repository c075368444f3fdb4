
=pod

=head1 NAME

SqlFuzz::Change - statements that change rows

=head1 DESCRIPTION

What a statement does must not depend on the order in which it meets the rows.  So a column that may be
unique (id, u) gets the same value in all rows, or values in a given order, and never one that depends on its
own: whether C<SET id = id + 1> fails is a matter of luck.  And a row is joined with one row at most.

=cut

package SqlFuzz::Change;

use strict;
use warnings;
use SqlFuzz::Query;
use SqlFuzz::Values;
use SqlFuzz::World;
use Exporter 'import';

our @EXPORT = qw(change fill);

# A value for a column of a new row.
sub value_for
{
	my ($t, $c) = @_;

	return 'DEFAULT' if chance(0.03);
	return chance(0.6) ? 'NULL' : below(1000) if $c eq 'u';
	return chance(0.3) ? 'NULL' : below(70) if $c eq 'p';
	return literal($t->{columns}{$c}, not_null => 1, usual => chance(0.95)) if $c eq 'id';
	return wide() if $c eq 'w' && chance(0.3);
	return literal($t->{columns}{$c});
}

# A text that is stored elsewhere, compressed or not.
sub wide
{
	my $n = pick(30, 70, 100, 300);
	my $of = below(1000);

	return chance(0.3) ? "repeat('wide $of ', " . (100 * $n) . ')' : "(SELECT string_agg(md5((j + $of)::text), '' ORDER BY j) FROM generate_series(1, $n) j)";
}

# Values for many rows, of the number $i.
sub expression_for
{
	my ($t, $c) = @_;
	my $type = $t->{columns}{$c};

	return pick('$i', '$i % 60', '(hashint8($i) % 3000)') if $c eq 'n';
	return $type eq 'bigint' ? '$i' : "(\$i)::$type" if $c eq 'id';
	return 'CASE WHEN $i % 3 = 0 THEN $i END' if $c eq 'u';
	return '(NULLIF($i % 5, 3) * 7)' . "::$type" if $c eq 'p';
	return pick('NULL', "repeat(md5((\$i)::text), (\$i % 120)::integer)") if $c eq 'w';
	return from_number($type, pick('plain', 'few', 'spread', 'wide', 'holes'));
}

sub rows_of
{
	my ($t) = @_;
	my $names = $t->{names};

	return map { '(' . join(', ', map { value_for($t, $_) } @$names) . ')' } 1 .. 1 + (chance(0.5) ? 0 : below(5));
}

# SELECT of many rows in an order.
sub many_rows
{
	my ($t, $n, $lo) = @_;
	$lo //= pick(0, 0, below(3000), below(20) * 100, 30000);
	my $hi = $lo + $n - 1;

	return 'SELECT ' . join(', ', map { expression_for($t, $_) =~ s/\$i/i/gr } @{ $t->{names} }) . " FROM generate_series($lo, $hi) i" . (chance(0.3) ? ' ORDER BY hashint4(i), i + 0' : ' ORDER BY i + 0');
}

=item fill(table)

A statement that brings the first rows into a table.

=cut

sub fill
{
	my ($t) = @_;

	return "INSERT INTO $t->{name} (" . join(', ', @{ $t->{names} }) . ') ' . many_rows($t, pick(30, 300, 1000), 0) . ' ON CONFLICT DO NOTHING';
}

sub returning
{
	my ($t) = @_;

	return chance(0.25) ? ' RETURNING ' . pick('*', 'id, n', 'tableoid::regclass, id') : '';
}

# Assignments of an UPDATE.  $other: where another row's values are to be had.
sub assignments
{
	my ($t, $other) = @_;
	my @c = grep { $_ ne 'id' && $_ ne 'u' && $_ ne 'p' } @{ $t->{names} };
	my @set;

	foreach my $c (some(1.5, @c))
	{
		my $type = $t->{columns}{$c};

		push @set, "$c = " . ($c eq 'n' ? pick('n + 1', 'NULL', below(100), $other ? "${other}yn" : '5')
			: $c eq 'w' ? (chance(0.5) ? wide() : literal('text'))
			: $c eq 'v' ? (chance(0.3) ? "left(coalesce(v, '') || 'x', 40)" : literal('text'))
			: $type =~ /int$/ && chance(0.3) ? "$c + " . pick(1, -1, 100)
			: literal($type));
	}
	return join(', ', @set);
}

sub conflict
{
	my ($t) = @_;
	return ' ON CONFLICT DO NOTHING' if !grep { $_->{unique} } @{ $t->{indexes} };
	my $target = chance(0.9) || !$t->{columns}{u} ? '(id)' : pick('(u)', '(u) WHERE v IS NOT NULL', '((u / 2))');

	return ' ON CONFLICT' . pick('', " $target") . ' DO NOTHING' if chance(0.4);
	my @set = map { "$_ = " . ($_ eq 'n' ? "coalesce($t->{name}.n, 0) + 1" : "EXCLUDED.$_") } some(1.5, grep { $_ ne 'id' } @{ $t->{names} });
	return " ON CONFLICT $target DO UPDATE SET " . join(', ', @set) . (chance(0.3) ? " WHERE $t->{name}.n " . pick('< 50', 'IS NOT NULL') : '');
}

=item change(world)

A statement.

=cut

sub change
{
	my ($world) = @_;
	my $t = $world->table;
	# mostly as one writes to partitions
	($t) = ((grep { $_->{name} eq 'p' } $world->tables), $t) if $t->{kind} eq 'partition' && chance(0.8);
	my $name = $t->{name};
	my $names = join(', ', @{ $t->{names} });
	my $into = "INSERT INTO $name ($names)";
	my $u = $world->table;
	my $small = chance(0.5);
	my $where = $small ? point($t) : condition($t);

	my @kinds = (
		[ 6, sub { return ("$into VALUES " . join(', ', rows_of($t)) . returning($t)); } ],
		[ 3, sub { return ("$into " . many_rows($t, 1 + below(60)) . returning($t)); } ],
		[ 2, sub { return ("$into " . many_rows($t, pick(300, 300, 1000, 2500)) . ' ON CONFLICT DO NOTHING'); } ],
		[ 1, sub { return ("INSERT INTO $name (id, n, v) SELECT DISTINCT ON (id) id, n, v FROM $u->{name} WHERE " . condition($u) . ' ORDER BY id, n, v' . pick('', ' ON CONFLICT DO NOTHING') . returning($t)); } ],
		[ 4, sub { return ("$into VALUES " . join(', ', rows_of($t)) . conflict($t) . returning($t)); } ],
		[ 2, sub { return ("$into " . many_rows($t, 1 + below(60)) . conflict($t) . returning($t)); } ],
		[ 8, sub { return ("UPDATE $name SET " . assignments($t) . " WHERE $where" . returning($t)); } ],
		[ 2, sub { return ("UPDATE $name SET " . pick("id = " . literal($t->{columns}{id} // 'bigint'), $t->{columns}{u} ? 'u = ' . below(1000) : (), $t->{columns}{p} ? ('p = ' . below(70)) x 2 : ()) . ' WHERE ' . point($t) . returning($t)); } ],
		[ 2, sub { return ("UPDATE $name SET " . assignments($t, 'y.') . " FROM (SELECT id AS yid, min(n) AS yn FROM $u->{name} WHERE " . condition($u) . ' GROUP BY id) y WHERE yid = id' . ($small ? " AND $where" : '')); } ],
		[ 5, sub { return ("DELETE FROM $name WHERE $where" . returning($t)); } ],
		[ 1, sub { return ("DELETE FROM $name USING (SELECT DISTINCT id AS yid FROM $u->{name} WHERE " . condition($u) . ") y WHERE yid = id" . ($small ? " AND $where" : '')); } ],
		[ 1, sub { my $first = "SELECT ctid FROM ONLY $name x WHERE $where ORDER BY x::text LIMIT " . pick(1, 5) . ' FOR UPDATE SKIP LOCKED';
			return ("DELETE FROM ONLY $name WHERE ctid = ANY (ARRAY($first))"); } ],
		[ 1, sub { return ("WITH gone AS (DELETE FROM $name WHERE $where RETURNING id) SELECT count(*), sum(id) FROM gone"); } ],
		[ 1, sub { return ("WITH new AS (UPDATE $name SET " . assignments($t) . " WHERE $where RETURNING *) SELECT count(*), sum(hashtextextended(new::text, 0)) FROM new"); } ],
		[ 1, sub { my $off = 3000 + below(20000); return "INSERT INTO $name (id, k1, n, v) SELECT DISTINCT ON (id) id + $off, k1, n, v FROM $name x WHERE $where ORDER BY id, x::text"; } ],
		[ 2, sub { return block($world, $t); } ],
		[ 3, sub { return merge($t); } ],
		[ 2, sub { return copy($t); } ],
		[ 0.2, sub { return ("TRUNCATE $name" . pick('', '', ' CASCADE')); } ],
		[ 0.2, sub { return ("DELETE FROM $name"); } ]);

	return weighted(@kinds)->();
}

# Statements of one command, some of which may fail, and seals between them.
sub block
{
	my ($world, $t) = @_;
	my $body = '';

	foreach (1 .. 2 + below(3))
	{
		my $one = pick(
			"UPDATE $t->{name} SET " . assignments($t) . ' WHERE ' . point($t),
			"DELETE FROM $t->{name} WHERE " . point($t),
			"INSERT INTO $t->{name} (" . join(', ', @{ $t->{names} }) . ') VALUES ' . join(', ', rows_of($t)),
			"PERFORM kyro.snapshot('$t->{name}')", "PERFORM kyro.snapshot('$t->{name}', 5)",
			"PERFORM * FROM $t->{name} WHERE " . point($t) . ' FOR UPDATE',
			"IF (SELECT count(*) FROM $t->{name} WHERE " . condition($t) . ') > 3 THEN UPDATE ' . "$t->{name} SET n = 1 WHERE " . point($t) . '; END IF');

		# (not those of locks: they need not be the same)
		my $failure = $one =~ /kyro/ ? 'OTHERS' : 'integrity_constraint_violation OR data_exception OR program_limit_exceeded';
		$body .= chance(0.6) ? "BEGIN $one; EXCEPTION WHEN $failure THEN NULL; END; " : "$one; ";
	}
	return "DO \$do\$ BEGIN $body END \$do\$";
}

sub merge
{
	my ($t) = @_;
	my $name = $t->{name};
	my $names = join(', ', @{ $t->{names} });
	my $source = chance(0.3) ? '(' . many_rows($t, 1 + below(40)) . ')' : '(VALUES ' . join(', ', map { "($_)" } map { my $i = below(1500); join(', ', map { expression_for($t, $_) =~ s/\$i/$i/gr } @{ $t->{names} }) } 1 .. 1 + below(4)) . ')';
	my $sql = "MERGE INTO $name x USING $source y ($names) ON x.id = y.id";

	$sql .= ' WHEN MATCHED AND ' . pick('x.n > 50', 'x.n < 5', 'x.n IS NULL') . ' THEN ' . pick('DELETE', 'DO NOTHING') if chance(0.4);
	$sql .= ' WHEN MATCHED THEN UPDATE SET ' . join(', ', map { "$_ = y.$_" } some(1.5, grep { $_ ne 'id' && $_ ne 'u' } @{ $t->{names} })) if chance(0.8);
	$sql .= " WHEN NOT MATCHED THEN INSERT ($names) VALUES (" . join(', ', map { "y.$_" } @{ $t->{names} }) . ')' if chance(0.7) || $sql !~ /WHEN/;
	return $sql;
}

# (in the middle of columns of the same type as others; text without what COPY would have escaped)
sub copy
{
	my ($t) = @_;
	my @c = grep { $_ eq 'id' || chance(0.7) } @{ $t->{names} };
	my $lo = pick(below(3000), 0, 20000 + below(5000));
	my $sql = "COPY $t->{name} (" . join(', ', @c) . ") FROM STDIN";
	my $rows = '';

	foreach my $i ($lo .. $lo + (chance(0.5) ? below(200) : below(10)))
	{
		$rows .= join("\t", map {
			my $type = $t->{columns}{$_};
			$_ eq 'id' ? $i : chance(0.1) || $_ eq 'u' || $_ eq 'p' ? '\N' : $type =~ /^(bigint|integer|numeric)$/ ? below(100000) : $type eq 'smallint' ? below(30000) : $type eq 'date' ? sprintf('20%02d-0%d-11', below(90), 1 + below(9))
			  : $type =~ /time/ ? sprintf('2026-01-01 %02d:%02d:00', below(24), below(60)) : $type eq 'boolean' ? pick('t', 'f') : $type eq 'text' ? 'copied ' x below($_ eq 'w' ? 700 : 4) : below(1000)
		} @c) . "\n";
	}
	return "$sql;\n$rows\\.";
}

1;
