
=pod

=head1 NAME

SqlFuzz::Flow - which session does what next

=head1 DESCRIPTION

Transactions, savepoints, cursors, prepared statements and settings, around what the other modules make.

=cut

package SqlFuzz::Flow;

use strict;
use warnings;
use SqlFuzz::Change;
use SqlFuzz::Query;
use SqlFuzz::Upkeep;
use SqlFuzz::Values;
use SqlFuzz::World;

# What the planner may choose from.
my @scans = qw(enable_seqscan enable_indexscan enable_indexonlyscan enable_bitmapscan enable_tidscan);
my @plans = (
	{},
	{ enable_indexscan => 'off', enable_indexonlyscan => 'off', enable_bitmapscan => 'off', enable_tidscan => 'off' },
	{ enable_seqscan => 'off', enable_bitmapscan => 'off' },
	{ enable_seqscan => 'off', enable_bitmapscan => 'off', enable_sort => 'off' },
	{ enable_seqscan => 'off', enable_bitmapscan => 'off', enable_indexonlyscan => 'off' },
	{ enable_seqscan => 'off', enable_indexscan => 'off', enable_indexonlyscan => 'off' });
my %joins = map { $_ => 1 } qw(enable_nestloop enable_hashjoin enable_mergejoin);
my @others = (
	[ enable_sort => 'on', 'off' ], [ enable_incremental_sort => 'on', 'off' ], [ enable_hashagg => 'on', 'off' ], [ enable_material => 'on', 'off' ], [ enable_memoize => 'on', 'off' ],
	[ work_mem => '64kB', '4MB', '4MB' ], [ plan_cache_mode => 'auto', 'force_generic_plan', 'force_custom_plan' ], [ 'kyro.mmap' => 'on', 'off' ], [ 'kyro.sealed_load' => 'on', 'on', 'off' ], [ 'kyro.sealed_load' => 'auto', 'auto', 'off' ], [ 'kyro.directory_cache' => '0', '64MB' ],
	[ enable_partitionwise_join => 'on', 'off' ], [ cursor_tuple_fraction => '0.01', '1' ], [ random_page_cost => '1.1', '4' ], [ maintenance_work_mem => '1MB', '64MB' ],
	[ max_parallel_maintenance_workers => '0', '2' ], [ synchronous_commit => 'on', 'off' ], [ enable_gathermerge => 'on', 'off' ]);

=item new(world, twins)

=cut

sub new
{
	my ($class, $world, $twins) = @_;

	return bless { world => $world, twins => $twins, at => 0, memory => [ map { { savepoints => [], prepared => {}, cursors => {} } } 1 .. $twins->{n} ], gid => 0, gids => [] }, $class;
}

sub settings
{
	my ($memory) = @_;
	my %set;

	if (chance(0.5))
	{
		%set = ((map { $_ => 'on' } @scans, 'enable_sort'), %{ pick(@plans) });
	}
	if (chance(0.3))
	{
		my $only = pick(sort keys %joins);
		$set{$_} = $_ eq $only || chance(0.3) ? 'on' : 'off' foreach sort keys %joins;
	}
	if (chance(0.15))
	{
		my $parallel = chance(0.5);
		$set{max_parallel_workers_per_gather} = $parallel ? 2 : 0;
		$set{parallel_setup_cost} = $set{parallel_tuple_cost} = $set{min_parallel_table_scan_size} = $set{min_parallel_index_scan_size} = 0 if $parallel;
	}
	if (chance(0.04))
	{
		# takes long, so that it is not on for long
		$memory->{jit} = 1;
		@set{qw(jit jit_above_cost)} = ('on', 0);
	}
	foreach my $o (grep { chance(0.1) } @others)
	{
		my ($name, @values) = @$o;
		$set{$name} = pick(@values);
	}
	return 'RESET enable_seqscan' if !%set;
	return 'SELECT ' . join(', ', map { "set_config('$_', '$set{$_}', false)" } sort keys %set);
}

sub cursor
{
	my ($self, $s, $memory) = @_;
	my $name = chance(0.9) ? pick(sort(keys %{ $memory->{cursors} }), !%{ $memory->{cursors} } ? 'c1' : ()) : 'c' . (1 + below(2));
	my $t = $self->{world}->table;

	if (!$memory->{cursors}{$name} || chance(0.03))
	{
		my $for_update = chance(0.5);
		my $where = condition($t, 'x.');
		my ($k) = pick(SqlFuzz::World::keys_of($t), 'id');
		my $scroll = $for_update ? '' : pick(' SCROLL', ' NO SCROLL');

		$memory->{made} = [ cursors => $name ];
		$memory->{cursors}{$name} = { table => $t->{name}, for_update => $for_update };
		return { sql => "DECLARE $name$scroll CURSOR" . (!$for_update && chance(0.2) ? ' WITH HOLD' : '') . " FOR SELECT * FROM $t->{name} x WHERE $where ORDER BY x.$k" . pick('', ' DESC') . ', x::text' . ($for_update ? ' FOR UPDATE' : '') };
	}
	my $c = $memory->{cursors}{$name};
	my $r = rand();
	if ($c->{for_update} && $r < 0.4)
	{
		my ($of) = grep { $_->{name} eq $c->{table} } $self->{world}->tables;
		return { sql => chance(0.3) ? "DELETE FROM $c->{table} WHERE CURRENT OF $name" : "UPDATE $c->{table} SET " . ($of ? SqlFuzz::Change::assignments($of) : 'n = n + 1') . " WHERE CURRENT OF $name" };
	}
	if ($r < 0.9)
	{
		return { ordered => 1, sql => pick('FETCH ', 'FETCH ', 'MOVE ') . pick('NEXT', 1 + below(10), 30, 'NEXT', 'ALL') . " FROM $name" } if $c->{for_update} || chance(0.6);
		return { ordered => 1, sql => 'FETCH ' . pick('PRIOR', 'FIRST', 'LAST', 'BACKWARD ' . (1 + below(10)), 'ABSOLUTE ' . (below(30) - 5), 'RELATIVE ' . (below(10) - 5), 'BACKWARD ALL') . " FROM $name" };
	}
	delete $memory->{cursors}{$name};
	return { sql => "CLOSE $name" };
}

sub prepared
{
	my ($self, $memory) = @_;
	my $name = 'q' . (1 + below(3));
	my $p = $memory->{prepared}{$name};

	if ($p && chance(0.08))
	{
		delete $memory->{prepared}{$name};
		return { sql => "DEALLOCATE $name" };
	}
	if (!$p)
	{
		my $t = $self->{world}->table;
		my $k = pick(SqlFuzz::World::keys_of($t), 'id');
		my $type = comparable($t->{columns}{$k} // 'bigint');
		my $of = $t->{name};
		my ($sql, $ordered, @types) = @{ pick(
			[ "SELECT * FROM $of WHERE $k = \$1", 0, $type ],
			[ "SELECT $k FROM $of WHERE $k >= \$1 AND $k < \$2 ORDER BY $k", 1, $type, $type ],
			[ "SELECT * FROM $of x WHERE ($k, id) > (\$1, \$2) ORDER BY $k, id, x::text LIMIT 10", 1, $type, 'bigint' ],
			[ "SELECT count(*), min(id), max($k) FROM $of WHERE $k = ANY (ARRAY[\$1, \$2, NULL])", 0, $type, $type ],
			[ "SELECT min($k), max($k) FROM $of WHERE $k > \$1", 0, $type ],
			[ "UPDATE $of SET " . SqlFuzz::Change::assignments($t) . " WHERE $k = \$1", 0, $type ],
			[ "DELETE FROM $of WHERE $k = \$1", 0, $type ],
			[ "INSERT INTO $of (id, k1) VALUES (\$1, NULL)", 0, 'bigint' ],
			[ "SELECT * FROM $of x WHERE id = \$1 ORDER BY x::text FOR UPDATE", 1, 'bigint' ]) };

		$memory->{made} = [ prepared => $name ];
		$memory->{prepared}{$name} = { types => \@types, ordered => $ordered };
		return { sql => "PREPARE $name (" . join(', ', @types) . ") AS $sql" };
	}
	return { sql => "EXECUTE $name (" . join(', ', map { literal($_, usual => chance(0.8)) } @{ $p->{types} }) . ')', ordered => $p->{ordered}, many => 1 };
}

=item restarted()

All sessions are new.

=cut

sub restarted
{
	my ($self) = @_;

	$_->{prepared} = {} foreach @{ $self->{memory} };
}

# How a transaction ends.
sub end
{
	my ($self) = @_;

	if (chance(0.04))
	{
		my $gid = 'g' . ++$self->{gid};
		push @{ $self->{gids} }, $gid;
		return "PREPARE TRANSACTION '$gid'";
	}
	return pick(('COMMIT') x 5, 'ROLLBACK');
}

=item next()

The next statement.

=cut

sub next
{
	my ($self) = @_;
	my ($world, $twins) = @{$self}{qw(world twins)};

	$self->{at} = below($twins->{n}) if chance(0.3);
	my $s = $twins->session($self->{at});
	my $st = $self->of_session($s, $self->{memory}[ $self->{at} ]);
	$st->{session} = $self->{at};
	return $st;
}

sub of_session
{
	my ($self, $s, $memory) = @_;
	my $world = $self->{world};

	# what was not made is not there
	delete $memory->{ $memory->{made}[0] }{ $memory->{made}[1] } if $memory->{made} && $s->{error};
	delete $memory->{made};
	@{$memory}{qw(savepoints cursors)} = ([], {}) if $s->{state} eq 'idle';
	if ($s->{state} eq 'failed' && chance(0.9))
	{
		return { sql => 'ROLLBACK TO ' . pick(@{ $memory->{savepoints} }) } if @{ $memory->{savepoints} } && chance(0.6);
		return { sql => pick('ROLLBACK', 'ROLLBACK', 'COMMIT') };
	}
	if ($s->{state} eq 'open')
	{
		return { sql => $self->end } if chance(0.09);
		if (chance(0.1))
		{
			if (@{ $memory->{savepoints} } && chance(0.6))
			{
				return { sql => pick('ROLLBACK TO ', 'RELEASE ') . pick(@{ $memory->{savepoints} }) };
			}
			push @{ $memory->{savepoints} }, pick('s1', 's2', 's3');
			return { sql => "SAVEPOINT $memory->{savepoints}[-1]" };
		}
	}
	elsif ($s->{state} eq 'idle')
	{
		if (chance(0.2))
		{
			return { sql => 'BEGIN ISOLATION LEVEL ' . pick('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'REPEATABLE READ', 'SERIALIZABLE') . (chance(0.04) ? ' READ ONLY' : '') };
		}
		if (@{ $self->{gids} } && chance(0.15))
		{
			return { sql => pick('COMMIT', 'COMMIT', 'ROLLBACK') . " PREPARED '" . shift(@{ $self->{gids} }) . "'" };
		}
	}

	if ($memory->{jit} && chance(0.2))
	{
		$memory->{jit} = 0;
		return { sql => 'SET jit = off' };
	}
	my $r = rand();
	return cursor($self, $s, $memory) if $r < (%{ $memory->{cursors} } ? 0.3 : $s->{state} eq 'open' ? 0.05 : 0.005);
	$r = rand();
	if ($r < 0.36)
	{
		my ($sql, $ordered) = query($world);
		return { sql => $sql, ordered => $ordered };
	}
	return { sql => change($world), many => 1 } if $r < 0.72;
	return { sql => settings($memory) } if $r < 0.76;
	return prepared($self, $memory) if $r < 0.80;
	return seal($world, $s->{state}) if $r < 0.89 && (!$s->{fixed} || chance(0.1));
	return { sql => upkeep($world) } if $r < 0.97 && ($s->{state} eq 'idle' || chance(0.05));
	return { sql => definition($world), definition => 1 } if $r > 0.97;
	return { sql => change($world), many => 1 };
}

1;
