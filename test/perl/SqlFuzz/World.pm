
=pod

=head1 NAME

SqlFuzz::World - the tables, indexes and triggers that statements are made for

=head1 DESCRIPTION

A world is made by statements as those that come later, then read from the catalogs after
each change of it, so that what is generated mostly has a meaning.  A table is a hash

  name, kind      what it was made as: plain, parent, child, partitioned, partition, inherits, unlogged, temp
  columns         name => type, of those that can be written
  generated       names of those that cannot
  indexes         names

=cut

package SqlFuzz::World;

use strict;
use warnings;
use SqlFuzz::Values;

=item new()

Chooses what there will be.

=cut

sub new
{
	my ($class) = @_;
	my $self = bless { tables => [], names => 0, kinds => {} }, $class;

	return $self;
}

sub name { return $_[1] . ++$_[0]{names}; }

# Columns of a table as SQL: id, which identifies, two or three keys, and others.
sub columns
{
	my ($id_type, %opt) = @_;
	my @c = ("id $id_type NOT NULL");

	push @c, "k$_ " . pick(KEY_TYPES) . ($_ == 1 && chance(0.2) ? ' NOT NULL' : '') foreach 1 .. 2 + below(2);
	push @c, 'u bigint' if chance(0.5);
	push @c, 'd positive' if chance(0.5);
	push @c, 'n integer DEFAULT 7';
	push @c, 'v text';
	push @c, 'w text' if chance(0.6);
	push @c, 'f boolean' if chance(0.4);
	push @c, 'm numeric' if chance(0.3);
	push @c, 'g bigint GENERATED ALWAYS AS (' . pick('id * 3 + n', 'abs(n)', 'length(v)') . ') STORED' if chance(0.4);
	push @c, 'p ' . $opt{references} if $opt{references};
	push @c, 'CHECK (n > -30000)' if chance(0.3);
	return join(', ', @c);
}

=item creation()

The statements that make it.

=cut

sub creation
{
	my ($self) = @_;
	my @sql = (
		'CREATE DOMAIN positive AS bigint CHECK (VALUE >= 0)',
		'CREATE TABLE audit (what text, tbl text, id bigint, n bigint) USING heap',
		q{CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
			INSERT INTO audit VALUES (TG_OP, TG_TABLE_NAME, coalesce((to_jsonb(NEW)->>'id')::bigint, (to_jsonb(OLD)->>'id')::bigint), 1); RETURN NULL; END $f$},
		q{CREATE FUNCTION note_rows() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
			INSERT INTO audit SELECT TG_OP || 's', TG_TABLE_NAME, sum(id), count(*) FROM changed; RETURN NULL; END $f$},
		q{CREATE FUNCTION change_row() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
			NEW.n := coalesce(NEW.n, 0) % 1000 + 1; RETURN CASE WHEN NEW.n % 11 = 0 THEN NULL ELSE NEW END; END $f$});
	my $id = sub { return pick('bigint', 'bigint', 'integer', 'smallint'); };
	my $make = sub {
		my ($name, $kind, $rest, $how, $parts) = @_;

		$self->{kinds}{$name} = $kind;
		push @sql, "CREATE $how TABLE $name ($rest) " . ($parts // 'USING kyro' . (chance(0.2) ? ' WITH (fillfactor = ' . pick(20, 60) . ')' : ''));
	};
	my $unique = sub {
		my ($name) = @_;

		push @sql, chance(0.6) ? "ALTER TABLE $name ADD PRIMARY KEY (id)" . pick('', ' WITH (kyro_rmi)') : chance(0.8) ? "CREATE UNIQUE INDEX ${name}_id ON $name USING kyro_rmi (id)" : "ALTER TABLE $name ADD UNIQUE (id) DEFERRABLE";
	};

	$make->('a', 'plain', columns($id->()), '');
	$unique->('a');

	# what others refer to
	my $parent_id = $id->();
	my $actions = sub { return ' ON DELETE ' . pick('CASCADE', 'SET NULL', 'RESTRICT', 'NO ACTION') . ' ON UPDATE ' . pick('CASCADE', 'NO ACTION', 'SET NULL') . pick('', '', ' DEFERRABLE INITIALLY DEFERRED'); };
	if (chance(0.7))
	{
		$make->('b', 'parent', columns($parent_id), '');
		push @sql, 'ALTER TABLE b ADD PRIMARY KEY (id)' . pick('', ' WITH (kyro_rmi)');
		push @sql, 'CREATE UNIQUE INDEX b_id ON b USING kyro_rmi (id)' if chance(0.2);
		$make->('c', 'child', columns($id->(), references => "$parent_id REFERENCES b" . $actions->()), '');
		$unique->('c');
		push @sql, 'CREATE INDEX c_p ON c USING kyro_rmi (p)' if chance(0.8);
	}
	if (chance(0.6))
	{
		my $type = pick('bigint', 'integer');
		my $by = pick('RANGE', 'RANGE', 'LIST', 'HASH');
		my @parts = $by eq 'RANGE' ? ('FROM (MINVALUE) TO (200)', 'FROM (200) TO (1000)', 'FROM (1000) TO (2000)')
		  : $by eq 'LIST' ? ('IN (' . join(', ', 0 .. 30) . ')', 'IN (' . join(', ', 31 .. 400) . ')') : map { "WITH (MODULUS 3, REMAINDER $_)" } 0 .. 2;
		$make->('p', 'partitioned', columns($type), '', "PARTITION BY $by (id)");
		push @sql, chance(0.8) ? 'ALTER TABLE p ADD PRIMARY KEY (id)' . pick('', ' WITH (kyro_rmi)', ' WITH (kyro_rmi)') : 'CREATE UNIQUE INDEX p_id ON p USING kyro_rmi (id)' if chance(0.9);
		foreach my $i (0 .. $#parts)
		{
			$self->{kinds}{"p$i"} = 'partition';
			push @sql, "CREATE TABLE p$i PARTITION OF p FOR VALUES $parts[$i] USING " . pick('kyro', 'kyro', 'kyro', 'heap');
		}
		push @sql, 'CREATE TABLE pd PARTITION OF p DEFAULT USING kyro' if $by ne 'HASH';
		$self->{kinds}{pd} = 'partition';
		push @sql, "CREATE INDEX ON p USING kyro_rmi ($_)" foreach some(1, 'id', 'k1', 'k2');
	}
	if (chance(0.5))
	{
		$make->('i', 'inherits', columns($id->()), '');
		push @sql, 'CREATE TABLE j (extra text) INHERITS (i) USING kyro';
		$self->{kinds}{j} = 'inherits';
		push @sql, "CREATE INDEX ${_}_id ON $_ USING kyro_rmi (id)" foreach some(1, 'i', 'j');
	}
	if (chance(0.5))
	{
		$make->('l', 'unlogged', columns($id->()), 'UNLOGGED');
		$unique->('l');
	}
	if (chance(0.3))
	{
		$make->('h', 'plain', columns($id->()), '', 'USING heap');
		$unique->('h');
	}
	foreach my $name (sort keys %{ $self->{kinds} })
	{
		my $kind = $self->{kinds}{$name};

		next if $kind =~ /^partition/ || $name eq 'j';
		push @sql, $self->index_on($name, 'k' . (1 + below(2))) foreach 1 .. below(3);
		push @sql, $self->trigger_on($name) if chance(0.3);
	}
	return @sql;
}

=item temporary()

The statement that makes the temporary table of a session.

=cut

sub temporary
{
	my ($self) = @_;

	$self->{kinds}{x} = 'temp';
	return ('CREATE TEMPORARY TABLE x (id integer PRIMARY KEY, k1 bigint, k2 timestamptz, n integer DEFAULT 7, v text) USING kyro ON COMMIT ' . pick('PRESERVE ROWS', 'PRESERVE ROWS', 'DELETE ROWS'),
		'CREATE INDEX x_k ON x USING kyro_rmi (k1)');
}

=item index_on(table, column)

A statement that makes an index.

=cut

sub index_on
{
	my ($self, $name, $column, %opt) = @_;
	my $fresh = $self->name("${name}_i");
	my $how = $opt{how} // '';

	return pick(
		"CREATE INDEX $how $fresh ON $name USING kyro_rmi ($column)",
		"CREATE INDEX $how $fresh ON $name USING kyro_rmi ($column)",
		"CREATE INDEX $how $fresh ON $name USING kyro_rmi ($column) WITH (fillfactor = " . pick(50, 100) . ")",
		"CREATE INDEX $how $fresh ON $name USING kyro_rmi ($column) WHERE n > 5",
		"CREATE INDEX $how $fresh ON $name USING kyro_rmi ($column) WHERE $column IS NOT NULL",
		"CREATE INDEX $how $fresh ON $name USING kyro_rmi ((id / 3))",
		"CREATE INDEX $how $fresh ON $name USING kyro_rmi ((length(v)))",
		"CREATE INDEX $how $fresh ON $name USING kyro_rmi ((coalesce(n, 0) % 50)) WHERE v IS NOT NULL",
		"CREATE INDEX $how $fresh ON $name ($column, id)",
		"CREATE INDEX $how $fresh ON $name ($column DESC NULLS LAST) INCLUDE (n)",
		"CREATE INDEX $how $fresh ON $name USING hash ($column)",
		"CREATE INDEX $how $fresh ON $name USING brin ($column) WITH (pages_per_range = 2)",
		# u alone: see SqlFuzz::Change
		"CREATE UNIQUE INDEX $how $fresh ON $name USING kyro_rmi (u)" . pick('', ' WHERE v IS NOT NULL'),
		"CREATE UNIQUE INDEX $how $fresh ON $name USING kyro_rmi ((u / 2))");
}

sub trigger_on
{
	my ($self, $name) = @_;
	my $fresh = $self->name('t');

	return pick("CREATE TRIGGER $fresh AFTER " . pick('INSERT', 'UPDATE', 'DELETE', 'INSERT OR UPDATE OR DELETE') . " ON $name FOR EACH ROW EXECUTE FUNCTION note_row()",
		"CREATE TRIGGER $fresh BEFORE " . pick('INSERT', 'UPDATE', 'INSERT OR UPDATE') . " ON $name FOR EACH ROW EXECUTE FUNCTION change_row()",
		"CREATE TRIGGER $fresh AFTER " . pick('INSERT ', 'UPDATE ') . "ON $name REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_rows()",
		"CREATE TRIGGER $fresh AFTER DELETE ON $name REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_rows()");
}

=item read_from(session)

What there is, according to the catalogs as this session sees them: what both twins have.

=cut

sub read_from
{
	my ($self, $s) = @_;
	my $r = $s->{kyro}->run(q{
SELECT c.relname, c.relkind, coalesce(m.amname, ''), (SELECT string_agg(a.attname || ' ' || CASE WHEN a.attgenerated <> '' THEN 'generated' ELSE replace(replace(replace(
		format_type(a.atttypid, NULL), ' with time zone', 'tz'), ' without time zone', ''), 'w.', '') END, ',' ORDER BY a.attnum)
		FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
	(SELECT string_agg(i.relname || ' ' || am.amname || CASE WHEN x.indisunique THEN ' unique' ELSE '' END, ',' ORDER BY i.relname)
		FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_am am ON am.oid = i.relam WHERE x.indrelid = c.oid),
	(SELECT string_agg(t.tgname, ',' ORDER BY t.tgname) FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
	FROM pg_class c LEFT JOIN pg_am m ON m.oid = c.relam WHERE c.relnamespace IN ('w'::regnamespace, pg_my_temp_schema()) AND c.relkind IN ('r', 'p') AND c.relname <> 'audit' ORDER BY 1});
	return if $r->{error};
	# an exchange of indexes that was stopped leaves one that the other has not
	my %both = map { $_ => 1 } @{ $s->{heap}->run(q{SELECT relname FROM pg_class WHERE relkind IN ('i', 'I') AND relnamespace IN ('w'::regnamespace, pg_my_temp_schema())})->{lines} };

	$self->{tables} = [];
	foreach my $line (@{ $r->{lines} })
	{
		my ($name, $relkind, $am, $columns, $indexes, $triggers) = split /\|/, $line, -1;
		my %t = (name => $name, relkind => $relkind, am => $am, kind => $self->{kinds}{$name} // 'plain', columns => {}, names => [], generated => [], indexes => [],
			triggers => [ $triggers eq 'NULL' ? () : split /,/, $triggers ]);

		next if $columns eq 'NULL';
		foreach my $c (split /,/, $columns)
		{
			my ($column, $type) = split / /, $c, 2;

			if ($type eq 'generated')
			{
				push @{ $t{generated} }, $column;
				next;
			}
			$t{columns}{$column} = $type;
			push @{ $t{names} }, $column;
		}
		my @indexes = map { [ split / / ] } $indexes eq 'NULL' ? () : split /,/, $indexes;
		foreach my $i (@indexes)
		{
			my ($index, $method, $unique) = @$i;

			next if !$both{$index};
			# one that is left is unique, too
			push @{ $t{indexes} }, { name => $index, method => $method, unique => $unique, twice => scalar grep { $_->[0] eq "${index}_exchange" } @indexes };
		}
		push @{ $self->{tables} }, \%t;
	}
}

=item tables(), table()

All tables; one of them, most often one of two, so that things happen to rows to which others have happened.

=cut

sub tables { return @{ $_[0]{tables} }; }

sub table
{
	my ($self) = @_;
	my @often = grep { $_->{kind} ne 'temp' && $_->{kind} ne 'partition' } $self->tables;

	return pick($self->tables) if chance(0.15) || !@often;
	$self->{favourites} //= [ map { $_->{name} } @often[ below(scalar @often), below(scalar @often) ] ];
	my @now = grep { my $t = $_; grep { $_ eq $t->{name} } @{ $self->{favourites} } } @often;
	return pick(@now && chance(0.65) ? @now : @often);
}

=item keys_of(table)

Names of its columns that kyro_rmi can have as keys.

=cut

sub keys_of
{
	my ($t) = @_;

	return grep { is_key($t->{columns}{$_}) } @{ $t->{names} };
}

1;
