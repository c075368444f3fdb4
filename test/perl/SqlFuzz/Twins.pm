
=pod

=head1 NAME

SqlFuzz::Twins - two databases that are told the same

=head1 DESCRIPTION

In database C<fuzz_kyro> tables are kyro tables and indexes kyro_rmi indexes.  In C<fuzz_heap> the access method that is
called kyro is the heap, and btree stands for kyro_rmi.  Each session has a connection to both, statements go to the first
and then to the second, one at a time, and answers are compared: rows, counts, SQLSTATE.

Where the answers of the two may differ is said here, in C<excused>, and nowhere else.  A transaction in which that
happens is aborted on both sides.

A statement is a hash

  session     number
  sql
  kyro        runs there alone: what a heap does not have
  sound       returns problems, so it must return nothing
  ordered     the order of rows counts
  many        may meet more than one row that is an error

=cut

package SqlFuzz::Twins;

use strict;
use warnings;
use SqlFuzz::Client;

# One session waits for another in vain, so it does not wait for long.
my $settings = join(' ', map { "SET $_;" } ("search_path = w, pg_temp", 'client_min_messages = error', "lock_timeout = '15ms'", "timezone = 'UTC'",
	"deadlock_timeout = '10s'", "statement_timeout = '120s'", 'max_parallel_workers_per_gather = 0')) . " SET transaction_isolation = 'read committed'";

# What a seal or another function of ours may refuse.
my %refused = (
	'25001' => 'a fixed snapshot, or CALL in a transaction block',
	'25006' => 'a read-only transaction',
	'25P02' => 'the transaction is aborted already',
	'42501' => 'not the owner',
	'42809' => 'not a table of ours',
	'42P01' => 'no such table, any more',
	'42704' => 'no such index, any more',
	'55000' => 'an index that is not valid',
	'55006' => 'own row locks, cursors or trigger events',
	'55P03' => 'somebody else writes',
	'0A000' => 'a temporary table of another session');

# Errors of rows, and of rows that others hold: which is first depends on the order in which a statement meets them.
my %of_row = map { $_ => 1 } qw(21000 22003 22008 23502 23503 23505 23514 40001 42804 55P03);

=item twins_prepare(node)

The databases.

=cut

sub twins_prepare
{
	my ($node) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE fuzz_$_") foreach qw(kyro heap);
	$node->safe_psql('fuzz_kyro', 'CREATE EXTENSION kyrodb');
	$node->safe_psql('fuzz_heap', 'CREATE ACCESS METHOD kyro TYPE TABLE HANDLER heap_tableam_handler');
}

=item new(node, sessions)

A new, empty schema w in both, and sessions.

=cut

sub new
{
	my ($class, $node, $n) = @_;
	my $self = bless { node => $node, n => $n, sessions => [], seals => 0, prepared => {}, excuses => {}, recent => [], statements => 0, rows => 0, errors => 0 }, $class;

	foreach my $db (qw(fuzz_kyro fuzz_heap))
	{
		$node->safe_psql('postgres', $_) foreach map { "ROLLBACK PREPARED '$_'" } split /\n/, $node->safe_psql('postgres', "SELECT gid FROM pg_prepared_xacts WHERE database = '$db'") =~ s/'/''/gr;
		$node->safe_psql($db, 'SET client_min_messages = error; DROP SCHEMA IF EXISTS w CASCADE; CREATE SCHEMA w');
	}
	$self->connect;
	return $self;
}

sub connect
{
	my ($self) = @_;

	foreach my $i (1 .. $self->{n})
	{
		my %s = (state => 'idle', fixed => 0, serializable => 0, seals => 0, sealed => 0, alone => 0);

		foreach my $twin (qw(kyro heap))
		{
			$s{$twin} = SqlFuzz::Client->new($self->{node}, "fuzz_$twin");
			my $r = $s{$twin}->run($settings);
			die $r->{text} if $r->{error};
		}
		push @{ $self->{sessions} }, \%s;
	}
	$self->{watch} = { map { $_ => SqlFuzz::Client->new($self->{node}, "fuzz_$_") } qw(kyro heap) };
}

=item disconnect()

=cut

sub disconnect
{
	my ($self) = @_;

	foreach my $s (@{ $self->{sessions} })
	{
		$_->close foreach grep { defined } $s->{kyro}, $s->{heap};
	}
	$_->close foreach values %{ $self->{watch} // {} };
	@{$self}{qw(sessions watch)} = ([], {});
}

=item session(number)

kyro, heap: its connections; state: idle, open, failed; fixed: its snapshot is; error: SQLSTATE of its last statement in kyro.

=cut

sub session { return $_[0]{sessions}[ $_[1] ]; }

=item idle()

Is no transaction open?

=cut

sub idle { return !grep({ $_->{state} ne 'idle' } @{ $_[0]{sessions} }) && !%{ $_[0]{prepared} }; }

# The transaction state after a statement that succeeded or failed on both sides.
sub follow
{
	my ($self, $s, $sql, $failed) = @_;

	# snapshots that were taken while the transaction ran see rows that it has sealed elsewhere
	$self->{seals}++ if !$failed && ($sql =~ /^COMMIT PREPARED '(.*)'/ ? $self->{prepared}{$1} && $self->{prepared}{$1}{sealed} : $sql eq 'COMMIT' && $s->{sealed});
	if ($failed)
	{
		$s->{state} = 'failed' if $s->{state} eq 'open';
		%$s = (%$s, state => 'idle', fixed => 0, serializable => 0, sealed => 0) if $sql =~ /^(COMMIT|PREPARE TRANSACTION)/;
	}
	elsif ($sql =~ /^BEGIN/)
	{
		%$s = (%$s, state => 'open', fixed => scalar($sql =~ /REPEATABLE|SERIALIZABLE/), serializable => scalar($sql =~ /SERIALIZABLE/), sealed => 0, alone => 0, seals => $self->{seals}) if $s->{state} eq 'idle';
	}
	elsif ($sql =~ /^(COMMIT|ROLLBACK) PREPARED '(.*)'/)
	{
		delete $self->{prepared}{$2};
	}
	elsif ($sql =~ /^(COMMIT|ROLLBACK|PREPARE TRANSACTION)(?! TO)/)
	{
		$self->{prepared}{$1} = { sealed => $s->{sealed}, alone => $s->{alone} } if $sql =~ /^PREPARE TRANSACTION '(.*)'/ && $s->{state} eq 'open';
		%$s = (%$s, state => 'idle', fixed => 0, serializable => 0, sealed => 0);
	}
	elsif ($sql =~ /^ROLLBACK TO/)
	{
		$s->{state} = 'open';
	}
}

# Other transactions.
sub others
{
	my ($self, $s) = @_;

	return ((grep { $_ != $s && $_->{state} ne 'idle' } @{ $self->{sessions} }), values %{ $self->{prepared} });
}

# Why kyro may give this error where the heap gives none; undef if it may not.  docs/limitations.md says all that.
sub excused
{
	my ($self, $s, $error, $sql) = @_;
	my @others = $self->others($s);

	return 'type of a key' if $error =~ /^(42704|0A000)$/ && $sql =~ /^ALTER TABLE .* TYPE (numeric|text)/;
	# a transaction with a fixed snapshot changes or locks a row sealed since
	return 'sealed since the snapshot' if $error eq '40001' && $s->{fixed} && $self->{seals} > $s->{seals};
	# SERIALIZABLE locks all of a table or an index where others lock pages
	return 'serialization' if $error eq '40001' && $s->{serializable};
	# what ran for kyro alone has looked at temporary tables
	return 'temporary tables' if $error eq '0A000' && $s->{alone} && $sql =~ /^PREPARE TRANSACTION/;
	# a function of ours, and a bulk load, keeps its lock till the end of its transaction; one that only looks does so with partitions
	return 'behind a function of ours or a load' if $error eq '55P03' && grep { $_->{sealed} || $_->{alone} } @others;
	return;
}

=item run(statement)

Returns what differs as text, undef if nothing.

=cut

sub run
{
	my ($self, $st) = @_;
	my $s = $self->{sessions}[ $st->{session} ];
	my $sql = $st->{sql};

	$self->{statements}++;
	$self->{recent} = [] if !grep { $_->{serializable} } @{ $self->{sessions} };
	push @{ $self->{recent} }, [ $s, $sql ] if $sql =~ /^(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH)/;
	return $self->commit_serializable($s) if $s->{serializable} && $sql eq 'COMMIT' && $s->{state} eq 'open';
	return $self->skip_sealed($s, $sql) if $sql =~ /SKIP LOCKED/ && $s->{state} ne 'failed' && grep { $_->{sealed} } $self->others($s);
	if ($sql =~ /CONCURRENTLY/ && $s->{state} eq 'idle' && grep { $_->{sealed} || $_->{alone} } $self->others($s))
	{
		# would fail half done, in kyro only
		$self->{excuses}{'CONCURRENTLY beside a function of ours, not done'}++;
		$s->{error} = undef;
		return;
	}
	my ($k, $behind) = $self->run_one($s, 'kyro', $sql);
	my ($word) = $st->{kyro} ? $sql =~ /(kyro\.\w+)/ : $sql =~ /^(\w+( INDEX| TABLE)?)/;
	my $did = $self->{did}{ $word // 'other' } //= [ 0, 0, 0 ];
	$s->{error} = $k->{error};
	$did->[0]++;
	$did->[ $k->{error} ? 2 : 1 ]++ if $k->{error} || $k->{tag} !~ /^[A-Z]+( 0)+$/;
	$self->{codes}{ $k->{error} }++ if $k->{error};
	if ($behind)
	{
		$self->{excuses}{'VACUUM behind a cursor, not done'}++;
		$self->{seals}++;
		return;
	}
	return "kyro: $k->{text}" if ($k->{error} // '') =~ /^(lost|XX|57014|53|58)/;
	# a seal that is refused
	my $alone = $st->{kyro} || ($sql =~ /kyro\.snapshot/ && $k->{error} && $refused{ $k->{error} });
	# batches that were sealed before an error stay so
	$self->{seals}++ if $sql =~ /kyro\.snapshot/ && !$k->{error} || $sql =~ /kyro\.(seal|compact)\b/;
	$s->{sealed} = 1 if $sql =~ /kyro\.(snapshot|rebuild)|^COPY/ && !$k->{error};
	if ($alone)
	{
		$s->{alone} = 1;
		if ($k->{error})
		{
			return "refused: $k->{text}" if !$refused{ $k->{error} } && !$self->excused($s, $k->{error}, $sql);
			$s->{heap}->run('SELECT 1/0') if $s->{state} ne 'idle';
			$self->follow($s, $sql, 1);
		}
		elsif ($st->{sound} && @{ $k->{lines} })
		{
			return "unsound: $k->{text}";
		}
		elsif ($s->{fixed})
		{
			# which takes the snapshot, if it is the first
			$s->{heap}->run('SELECT 1');
		}
		return;
	}

	my $h;
	if ($k->{error} && (my $why = $self->excused($s, $k->{error}, $sql)))
	{
		# would a heap have said the same?  Without doing it.
		my ($before, @after) = $s->{state} eq 'open' ? ('SAVEPOINT excused', 'ROLLBACK TO excused', 'RELEASE excused', 'SELECT 1/0') : ('BEGIN', 'ROLLBACK');

		if ($sql =~ /^(SELECT|INSERT|COPY|UPDATE|MERGE|DELETE|WITH|DO|EXECUTE|FETCH|MOVE|DECLARE)/ && $s->{state} ne 'failed')
		{
			$s->{heap}->run($before);
			$h = $s->{heap}->run(heap_sql($sql));
			$self->{excuses}{$why}++ if ($h->{error} // '') ne $k->{error};
			# so that the same locks are kept
			$s->{heap}->run($_) foreach @after;
			if ($sql =~ /^(FETCH|MOVE)/ && $s->{state} eq 'open')
			{
				# the cursor is of no use any more, even behind ROLLBACK TO; that of the heap is
				$s->{$_}->run('ROLLBACK') foreach qw(kyro heap);
				$self->follow($s, 'ROLLBACK');
				return;
			}
		}
		else
		{
			$s->{heap}->run($sql =~ /^(COMMIT|PREPARE TRANSACTION)/ ? 'ROLLBACK' : 'SELECT 1/0') if $s->{state} ne 'idle';
			$self->{excuses}{"$why, not compared"}++;
		}
		$self->follow($s, $sql, 1);
		return;
	}
	($h, $behind) = $self->run_one($s, 'heap', heap_sql($sql));
	if ($behind)
	{
		$self->{excuses}{'VACUUM of the heap behind a cursor, not done'}++;
		return;
	}
	return "heap: $h->{text}" if ($h->{error} // '') =~ /^(lost|XX|57014|53|58)/;
	if ($k->{error} && $h->{error})
	{
		$self->{errors}++;
		return "kyro: $k->{text}heap: $h->{text}" if $k->{error} ne $h->{error} && !($st->{many} && $of_row{ $k->{error} } && $of_row{ $h->{error} });
	}
	elsif (($h->{error} // '') eq '40001' && $s->{serializable} && $s->{state} eq 'open')
	{
		# The transaction is doomed.  A heap looks with each row that it reads, sealed rows that nobody has touched are read without; but it
		# must not commit, unless a plan of the heap reads more than one of kyro.
		my $c = $s->{kyro}->run("PREPARE TRANSACTION 'serializable kyro'");

		$s->{kyro}->run("ROLLBACK PREPARED 'serializable kyro'") if !$c->{error};
		$s->{heap}->run('ROLLBACK');
		$self->follow($s, 'ROLLBACK');
		return "kyro: $k->{text}, and $c->{text}heap: $h->{text}" if !$c->{error} && !$self->other_plans;
		$self->{excuses}{ $c->{error} ? 'serialization, told at COMMIT' : 'serialization, other plans' }++;
		return;
	}
	elsif ($k->{error} || $h->{error})
	{
		return "kyro: $k->{text}heap: $h->{text}";
	}
	else
	{
		my @k = $st->{ordered} ? @{ $k->{lines} } : sort @{ $k->{lines} };
		my @h = $st->{ordered} ? @{ $h->{lines} } : sort @{ $h->{lines} };

		$self->{rows} += @k;
		return difference(\@k, \@h) if join("\n", @k) ne join("\n", @h);
		return "kyro: $k->{tag}, heap: $h->{tag}" if $k->{tag} ne $h->{tag};
	}
	$self->follow($s, $sql, $k->{error});
	return;
}

# Runs a statement in one twin.  Returns what it gave, and whether it was a VACUUM that another session's cursor held up: that is cancelled.
# It waits for the page that a scan rests on, of a hash index always, of others if they return no more than the index has, or if the table is not
# logged; and to freeze, for that of the table.  A heap's VACUUM does so, too, but the twins may have other plans.
sub run_one
{
	my ($self, $s, $twin, $sql) = @_;
	my $behind = 0;
	my $watch = $self->{watch}{$twin};
	my $slow = sub {
		# as it waits for a pin, it has no other reason: there is nobody but these sessions
		my $waits = $watch->run("SELECT FROM pg_stat_activity WHERE pid = $s->{$twin}{pid} AND wait_event = 'BufferPin'");

		if (@{ $waits->{lines} } && grep { $_ != $s && $_->{state} eq 'open' && @{ $_->{$twin}->run('SELECT FROM pg_cursors')->{lines} } } @{ $self->{sessions} })
		{
			$watch->run("SELECT pg_cancel_backend($s->{$twin}{pid})");
			$behind = 1;
		}
	};
	my $r = $s->{$twin}->run($sql, $sql =~ /^VACUUM|kyro\.compact/ ? (slow => $slow) : ());

	return ($r, $behind && ($r->{error} // '') eq '57014' && $self->cursor_rests_there($s, $twin, $r->{text}));
}

# Does a session with a cursor use the index or table in whose pages VACUUM was, by the context of its error?
sub cursor_rests_there
{
	my ($self, $s, $twin, $text) = @_;
	my ($index, $table) = $text =~ /while (?:vacuuming|cleaning up|scanning|truncating)(?: index "(\w+)" of| block \d+(?: and offset \d+)? of)? relation "(\w+\.\w+)"/ or return 0;
	my $relation = defined $index ? $table =~ s/\.\w+$/.$index/r : $table;

	foreach my $o (grep { $_ != $s && $_->{state} eq 'open' } @{ $self->{sessions} })
	{
		my $cursors = $o->{$twin}->run('SELECT FROM pg_cursors');
		my $lock = $self->{watch}{$twin}->run("SELECT FROM pg_locks WHERE pid = $o->{$twin}{pid} AND relation = to_regclass('$relation') AND granted");

		return 1 if @{ $cursors->{lines} } && @{ $lock->{lines} };
	}
	return 0;
}

# Has one of the statements since the oldest serializable transaction began another plan in the heap?  Now, that is: they are asked afterwards.
sub other_plans
{
	my ($self) = @_;

	foreach my $r (@{ $self->{recent} })
	{
		my ($s, $sql) = @$r;
		my ($before, $after) = $s->{state} eq 'open' ? ('SAVEPOINT plans', 'ROLLBACK TO plans') : ('BEGIN', 'ROLLBACK');
		my @plans;

		next if $s->{state} eq 'failed';
		foreach my $twin (qw(kyro heap))
		{
			$s->{$twin}->run($before);
			push @plans, $s->{$twin}->run('EXPLAIN (COSTS OFF) ' . ($twin eq 'heap' ? heap_sql($sql) : $sql))->{text};
			$s->{$twin}->run($after);
		}
		return 1 if $plans[0] ne $plans[1];
	}
	return 0;
}

# Rows that an open transaction has sealed count as locked in kyro, and a heap knows nothing of that.  So what comes is not compared,
# and no lock is kept of it.
sub skip_sealed
{
	my ($self, $s, $sql) = @_;
	my ($before, @after) = $s->{state} eq 'open' ? ('SAVEPOINT skipped', 'ROLLBACK TO skipped', 'RELEASE skipped') : ('BEGIN', 'ROLLBACK');

	$s->{kyro}->run($before);
	my $k = $s->{kyro}->run($sql);
	$s->{kyro}->run($_) foreach @after;
	$s->{heap}->run('SELECT 1') if $s->{fixed};
	$s->{error} = undef;
	$self->{excuses}{'SKIP LOCKED beside a seal'}++;
	return "kyro: $k->{text}" if ($k->{error} // '') =~ /^(lost|XX|57014|53|58)/;
	return;
}

# COMMIT fails in both or in none.  What a heap notices kyro must notice too, not the reverse.
sub commit_serializable
{
	my ($self, $s) = @_;
	my %r = map { $_ => $s->{$_}->run("PREPARE TRANSACTION 'serializable $_'") } qw(kyro heap);
	my ($k, $h) = map { $r{$_}{error} // 'committed' } qw(kyro heap);

	foreach my $twin (grep { !$r{$_}{error} } keys %r)
	{
		my $end = $r{$twin}{tag} eq 'ROLLBACK' ? undef : $k eq $h ? 'COMMIT' : 'ROLLBACK';
		$s->{$twin}->run("$end PREPARED 'serializable $twin'") if $end;
	}
	my $why = $k ne $h && $k ne 'committed' ? $self->excused($s, $k, 'PREPARE TRANSACTION') : undef;

	$self->follow($s, 'COMMIT', $k ne 'committed');
	# asked outside of the transaction
	$why = 'serialization, other plans' if $k eq 'committed' && $h eq '40001' && $self->other_plans;
	return "COMMIT: kyro $k, heap $h" if $k ne $h && !$why;
	$self->{excuses}{$why}++ if $why;
	return;
}

sub heap_sql
{
	my ($sql) = @_;

	# transactions prepared by the two are in one server
	return $sql =~ s/PERFORM kyro\.snapshot\([^)]*\)/PERFORM 1/gr =~ s/kyro\.snapshot\([^)]*\)/generate_series(1, 1)/gr =~ s/ WITH \(kyro_rmi\)//r =~ s/\bkyro_rmi\b/btree/gr =~ s/(PREPARE TRANSACTION|PREPARED) '/$1 'heap /r;
}

# What one of two lists has and the other has not, and where their order parts.
sub difference
{
	my ($k, $h) = @_;
	my (%n, @only);

	$n{$_}++ foreach @$h;
	foreach (@$k) { $n{$_} ? $n{$_}-- : push @only, "only kyro: $_"; }
	push @only, map { ("only heap: $_") x $n{$_} } grep { $n{$_} } sort keys %n;
	if (!@only)
	{
		my ($i) = grep { $k->[$_] ne $h->[$_] } 0 .. $#$k;
		@only = "row $i is out of order: kyro $k->[$i], heap $h->[$i]";
	}
	my $n = @only;
	@only = @only[ 0 .. 9 ] if $n > 10;
	return sprintf("%d rows of kyro, %d of heap, %d differ\n%s\n", scalar @$k, scalar @$h, $n, join("\n", map { substr($_, 0, 300) } @only));
}

=item compare()

All tables, by sequential scans and through each kyro_rmi index, and kyro.verify(deep) of all.  Returns what differs
as text, undef if nothing.  No transaction may be open.

=cut

sub compare
{
	my ($self) = @_;
	my ($kyro, $heap) = map { $self->{sessions}[0]{$_} } qw(kyro heap);
	my $list = q{SELECT c.oid::regclass FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'w'::regnamespace ORDER BY relname};
	my $index = sub { return 'SET enable_seqscan = ' . ($_[0] ? 'off' : 'on') . '; SET enable_indexscan = ' . ($_[0] ? 'on' : 'off') . '; SET enable_bitmapscan = off; SET max_parallel_workers_per_gather = 0'; };
	my $k = $kyro->run($list);
	my $h = $heap->run($list);

	return "tables: $k->{text}$h->{text}" if $k->{text} ne $h->{text};
	my @tables = @{ $k->{lines} };
	$_->run($index->(0)) foreach $kyro, $heap;
	foreach my $t (@tables)
	{
		my $digest = "SELECT count(*), sum(hashtextextended(x::text, 0)) FROM ONLY $t x";
		my ($dk, $dh) = map { $_->run($digest) } $kyro, $heap;

		return "table $t: kyro: $dk->{text}heap: $dh->{text}" if $dk->{error} || $dh->{error};
		next if $dk->{text} eq $dh->{text};
		my @rows = map { [ sort @{ $_->run("SELECT * FROM ONLY $t")->{lines} } ] } $kyro, $heap;
		return "table $t: kyro $dk->{text}heap $dh->{text}" . difference(@rows);
	}

	# the same through each index on a column
	my $indexes = $kyro->run(q{SELECT i.indrelid::regclass, i.indexrelid::regclass, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam AND m.amname = 'kyro_rmi'
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] WHERE c.relkind = 'i' AND i.indisvalid AND i.indpred IS NULL AND c.relnamespace = 'w'::regnamespace ORDER BY c.relname});
	foreach my $line (@{ $indexes->{lines} })
	{
		my ($t, $name, $column) = split /\|/, $line;
		my @answers;

		foreach my $on (0, 1)
		{
			$kyro->run($index->($on));
			my $r = $kyro->run("SELECT count(*), sum(digest), count(*) FILTER (WHERE k < before) FROM
				(SELECT hashtextextended(x::text, 0) AS digest, $column AS k, lag($column) OVER (ORDER BY $column) AS before FROM ONLY $t x WHERE $column IS NOT NULL) y");
			return "index $name: $r->{text}" if $r->{error};
			push @answers, $r->{text};
		}
		return "index $name: sequential scan $answers[0]index scan $answers[1]" if $answers[0] ne $answers[1];
	}
	$_->run('RESET ALL; ' . $settings) foreach $kyro, $heap;

	my $v = $kyro->run(q{SELECT c.oid::regclass, v.block, v.problem FROM pg_class c JOIN pg_am m ON m.oid = c.relam AND m.amname IN ('kyro', 'kyro_rmi') LEFT JOIN pg_index i ON i.indexrelid = c.oid,
		LATERAL kyro.verify(c.oid::regclass, deep => true) v WHERE c.relkind IN ('r', 'i', 'm') AND i.indisvalid IS NOT FALSE AND c.relnamespace = 'w'::regnamespace});
	return "kyro.verify: $v->{text}" if $v->{error} || @{ $v->{lines} };
	return;
}

=item restart()

Kills the server, starts it again and the sessions anew.  Returns what the log says of replay, undef if nothing.

=cut

sub restart
{
	my ($self) = @_;
	my $node = $self->{node};
	my $end = -s $node->logfile;

	# a crash may lose what was committed with synchronous_commit off
	$node->safe_psql('postgres', q{SELECT pg_logical_emit_message(true, 'all', 'is written')});
	$node->stop('immediate');
	$self->disconnect;
	$node->start;
	$self->connect;
	$self->{seals}++;
	open(my $fh, '<', $node->logfile) or die;
	seek($fh, $end, 0);
	my @bad = grep { /PANIC|inconsistent page|TRAP|invalid page|page verification failed/ } <$fh>;
	return @bad ? join('', @bad) : undef;
}

1;
