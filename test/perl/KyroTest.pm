
=pod

=head1 NAME

KyroTest - what the TAP tests of kyrodb share

=head1 DESCRIPTION

Clusters with the settings of test/regress.conf, the comparison of an index
with its table, and pages of index files.

=cut

package KyroTest;

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Exporter 'import';

our @EXPORT = qw(new_node own_carrier add_index_checks indexes_agree sound
  read_pages page_kind write_page write_pages relation_file leaf_get leaf_set
  send_query returned has_debug_points need_debug_points need_backup_tools settle_restored sparse_leaves add_twice log_lacks wal_of
  PAGE_META PAGE_LEAF PAGE_DIRECTORY PAGE_MODEL PAGE_LOG PAGE_FREE PAGE_HISTORY);

use constant {
	PAGE_META => 1,
	PAGE_LEAF => 2,
	PAGE_DIRECTORY => 3,
	PAGE_MODEL => 4,
	PAGE_LOG => 5,
	PAGE_FREE => 6,
	PAGE_HISTORY => 7,
	BLCKSZ => 8192,
	TRAILER => 16,
};

=item new_node(name, init => [...], conf => "...", preload => 0|1, install_path => "...")

A started cluster.  wal_consistency_checking is for our records alone: core's
own check takes the zero pages of a table that was truncated meanwhile for
damage.  preload (default 1) puts the library into
shared_preload_libraries.  install_path: of another version of PostgreSQL than that in PATH.

=cut

sub new_node
{
	my ($name, %opt) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, $opt{install_path} ? (install_path => $opt{install_path}) : ());

	my $preload = $opt{preload} // 1;
	my $records = $preload ? 'generic, kyro_rmi' : 'generic';
	my $resource_manager = own_carrier() ? 'on' : 'off';

	# with checksums if that is said: from 18 on it is the default
	my %init = @{ $opt{init} // [] };
	my @extra = @{ $init{extra} // [] };
	push @extra, '--no-data-checksums' if $node->pg_version >= 18 && !grep { /data-checksums/ } @extra;
	$node->init(%init, extra => \@extra);
	$node->append_conf('postgresql.conf', qq{
wal_consistency_checking = '$records'
kyro.resource_manager = $resource_manager
log_min_messages = warning
autovacuum = off
jit = off
max_wal_size = 4GB
wal_keep_size = 1GB
});
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'kyrodb'\n") if $preload;
	$node->append_conf('postgresql.conf', $opt{conf}) if $opt{conf};
	$node->start;
	return $node;
}

=item own_carrier()

Do indexes of clusters that have preloaded the library log by its own resource manager?
KYRO_CARRIER=generic says no.

=cut

sub own_carrier { return ($ENV{KYRO_CARRIER} // 'own') ne 'generic'; }

=item add_index_checks(node, database)

Creates the extension and function index_disagrees(table, key, index), which
returns a text for each way in which scans through the index differ from the
sequential scan: as multisets of rows, in order both ways, and at points.

=cut

sub add_index_checks
{
	my ($node, $db) = @_;

	$node->safe_psql($db // 'postgres', q{
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS kyrodb;
CREATE FUNCTION scan_mode(mode text) RETURNS void LANGUAGE sql AS $$
	SELECT set_config('enable_seqscan', (mode = 'seq')::text, true),
		set_config('enable_indexscan', (mode IN ('index', 'indexonly'))::text, true),
		set_config('enable_indexonlyscan', (mode = 'indexonly')::text, true),
		set_config('enable_bitmapscan', (mode = 'bitmap')::text, true),
		set_config('enable_sort', (mode = 'seq')::text, true),
		set_config('max_parallel_workers_per_gather', '0', true)
$$;
CREATE FUNCTION index_disagrees(tbl text, key text, idx text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	bounds text[];
	cond text;
	rows text;		-- counts and sums all columns
	keys text;		-- counts and sums the key alone
	q text;
	j jsonb;
	want text;
	got text;
	mode text;
	dir text;
BEGIN
	PERFORM scan_mode('seq');
	EXECUTE format('SELECT ARRAY[min(%1$I)::text, percentile_disc(0.5) WITHIN GROUP (ORDER BY %1$I)::text, max(%1$I)::text] FROM %2$I', key, tbl) INTO bounds;
	IF bounds[1] IS NULL THEN
		bounds := ARRAY['0', '0', '0'];
	END IF;
	FOREACH cond IN ARRAY ARRAY['IS NOT NULL', 'IS NULL', '>= ' || quote_literal(bounds[2]), '< ' || quote_literal(bounds[2]),
		'= ' || quote_literal(bounds[2]), '= ' || quote_literal(bounds[1]), '>= ' || quote_literal(bounds[3])]
	LOOP
		rows := format('SELECT count(*) || '' '' || coalesce(sum(hashtextextended((s.*)::text, 0)), 0) FROM %2$I s WHERE %1$I %3$s', key, tbl, cond);
		keys := format('SELECT count(*) || '' '' || coalesce(sum(hash_array_extended(ARRAY[%1$I], 0)), 0) FROM %2$I WHERE %1$I %3$s', key, tbl, cond);
		FOREACH mode IN ARRAY ARRAY['index', 'indexonly', 'bitmap'] LOOP
			q := CASE mode WHEN 'indexonly' THEN keys ELSE rows END;
			PERFORM scan_mode('seq');
			EXECUTE q INTO want;
			PERFORM scan_mode(mode);
			EXECUTE 'EXPLAIN (FORMAT JSON) ' || q INTO j;
			-- (later versions know the answer where a column is NOT NULL)
			IF NOT j::text LIKE '%"Index Name": "' || idx || '"%' AND NOT (cond LIKE 'IS %' AND
				(SELECT attnotnull FROM pg_attribute WHERE attrelid = tbl::regclass AND attname = key)) THEN
				RETURN NEXT format('%s: the plan does not use %s', q, idx);
			END IF;
			EXECUTE q INTO got;
			IF got <> want THEN
				RETURN NEXT format('%s %s by %s: %s, not %s', key, cond, mode, got, want);
			END IF;
		END LOOP;
	END LOOP;
	PERFORM scan_mode('indexonly');
	FOREACH dir IN ARRAY ARRAY['ASC', 'DESC'] LOOP
		RETURN QUERY EXECUTE format('SELECT ''out of order, %3$s: '' || before || '' before '' || k FROM
			(SELECT k, lag(k) OVER () AS before FROM (SELECT %1$I AS k FROM %2$I ORDER BY %1$I %3$s) o) s WHERE k %4$s before LIMIT 3',
			key, tbl, dir, CASE dir WHEN 'ASC' THEN '<' ELSE '>' END);
	END LOOP;
END $$;
});
}

=item indexes_agree(node, database, what, [table, key, index]...)

One test: each index is sound by kyro.verify(deep) and answers as its table,
which is sound if it is a kyro table.

=cut

sub indexes_agree
{
	my ($node, $db, $what, @indexes) = @_;
	my $problems = '';

	foreach my $i (@indexes)
	{
		my ($table, $key, $index) = @$i;
		$problems .= $node->safe_psql($db, "SELECT '$index verify: ' || block || ': ' || problem FROM kyro.verify('$index', true)
			UNION ALL SELECT * FROM index_disagrees('$table', '$key', '$index')
			UNION ALL SELECT '$table verify: ' || v.block || ': ' || v.problem FROM pg_class c JOIN pg_am a ON a.oid = c.relam AND a.amname = 'kyro',
				LATERAL kyro.verify(c.oid, true) v WHERE c.oid = '$table'::regclass") . "\n";
	}
	$problems =~ s/\s+$//;
	$problems =~ s/^\s+//;
	is($problems, '', $what);
}

=item sound(node, database, what, index...)

One test: kyro.verify(deep) of each index returns no row.

=cut

sub sound
{
	my ($node, $db, $what, @indexes) = @_;
	my $problems = '';

	$problems .= $node->safe_psql($db, "SELECT '$_: ' || block || ': ' || problem FROM kyro.verify('$_', true)") foreach @indexes;
	is($problems, '', $what);
}

=item read_pages(file)

The pages of a relation file, as a list of byte strings.

=cut

sub read_pages
{
	my ($file) = @_;
	my @pages;

	open(my $fh, '<:raw', $file) or die "cannot open $file: $!";
	while (read($fh, my $page, BLCKSZ))
	{
		push @pages, $page;
	}
	close($fh);
	return @pages;
}

=item page_kind(page)

The kind in the page's trailer (one of PAGE_*), 0 if it is none of ours.

=cut

sub page_kind
{
	my ($page) = @_;
	my ($index_id, $block, $spare, $kind, $format, $spare2, $page_id) =
	  unpack('VVvCCvv', substr($page, BLCKSZ - TRAILER, TRAILER));

	return $page_id == 0xFF8B ? $kind : 0;
}

=item write_page(file, block, page)

=cut

sub write_page
{
	my ($file, $block, $page) = @_;

	open(my $fh, '+<:raw', $file) or die "cannot open $file: $!";
	seek($fh, $block * BLCKSZ, 0) or die "cannot seek: $!";
	print $fh $page or die "cannot write: $!";
	close($fh) or die "cannot close: $!";
}

=item write_pages(file, page, ...)

The whole file.

=cut

sub write_pages
{
	my ($file, @pages) = @_;

	open(my $fh, '>:raw', $file) or die "cannot open $file: $!";
	print $fh join('', @pages) or die "cannot write $file: $!";
	close($fh) or die "cannot close $file: $!";
}

=item relation_file(node, relation)

Path of the first file of a relation in database postgres.

=cut

sub relation_file
{
	my ($node, $relation) = @_;

	return $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('$relation')");
}

=item leaf_get(page), leaf_set(page, field => value, ...)

The header of a leaf, see src/model/leaf.h: all fields but the checksum, as a hash reference;
the page with some of them changed, and the checksum as it was.

=cut

my @leaf_fields = qw(low_key high_key low_tid high_tid left right nblk nrun pend nslot epoch flags reserve);

sub leaf_get
{
	my ($page) = @_;
	my %h;

	@h{@leaf_fields} = unpack('qqQQVVvvvvvCC', substr($page, 24, 52));
	return \%h;
}

sub leaf_set
{
	my ($page, %new) = @_;
	my %h = (%{ leaf_get($page) }, %new);

	substr($page, 24, 52) = pack('qqQQVVvvvvvCC', @h{@leaf_fields});
	return $page;
}

=item send_query(session, sql), returned(session)

Send statements, each with its semicolon, to a background session without waiting for their end; wait for it.

=cut

sub send_query
{
	my ($session, $sql) = @_;

	$session->query_until(qr/sent/, "\\echo sent\n$sql\n\\echo returned\n");
}

sub returned { $_[0]->query_until(qr/returned/, "\n"); }

=item has_debug_points(node), need_debug_points(node)

Was the library, which is created in database postgres, built with DEBUG_POINTS=1?  The second skips all tests if not.

=cut

sub has_debug_points
{
	my ($node) = @_;
	my ($rc) = $node->psql('postgres', "SET kyro.debug_error = ''");

	return $rc == 0;
}

sub need_debug_points
{
	my ($node) = @_;

	plan skip_all => 'built without DEBUG_POINTS=1' if !has_debug_points($node);
}

=item need_backup_tools(program...)

Skips all tests but under `make check-backups`, which installs what they need; dies there where one of them is missing.

=cut

sub need_backup_tools
{
	plan skip_all => 'make check-backups installs what it needs, and runs it' if !$ENV{KYRO_BACKUPS};
	my @missing = grep { my $p = $_; !grep { -x "$_/$p" } split /:/, "$ENV{PATH}:/usr/bin:/usr/sbin" } @_;
	die "missing: @missing" if @missing;
}

=item settle_restored(node)

A tool has written the data directory of a node, which is to run here, and to archive nothing.

=cut

sub settle_restored
{
	my ($node) = @_;

	chmod 0700, $node->data_dir;
	$node->append_conf('postgresql.conf', 'port = ' . $node->port . "\nunix_socket_directories = '" . $node->host . "'\narchive_mode = off\n");
}

=item sparse_leaves(node, table)

Make a table with an index (table_k) whose leaves VACUUM will join. Returns three statements: one that lets rows
go, a cursor c over a range that begins before them, and what it has to return after its first row when they have gone.

=cut

sub sparse_leaves
{
	my ($node, $table) = @_;

	$node->safe_psql('postgres', qq{
CREATE TABLE $table (k bigint, n bigint) WITH (autovacuum_enabled = off);
INSERT INTO $table SELECT g * 1000 + (hashint8(g) & 511), g FROM generate_series(1, 12000) g;
CREATE INDEX ${table}_k ON $table USING kyro_rmi (k);
VACUUM (FREEZE, ANALYZE) $table;
DELETE FROM $table WHERE n % 4 <> 0;
});
	return ("DELETE FROM $table WHERE k BETWEEN 6010000 AND 6200000",
		"DECLARE c CURSOR FOR SELECT k FROM $table WHERE k > 6000000 ORDER BY k",
		"SELECT k FROM $table WHERE k > 6000000 AND NOT k BETWEEN 6010000 AND 6200000 ORDER BY k OFFSET 1");
}

=item add_twice(node)

twice(statement) for database postgres: does it to the table b, then to a, each in the place of $t; both or neither.

=cut

sub add_twice
{
	my ($node) = @_;

	$node->safe_psql('postgres', q{
CREATE FUNCTION twice(q text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE replace(q, '$t', 'b');
	EXECUTE replace(q, '$t', 'a');
END $$});
}

=item log_lacks(node, pattern, what)

One test: the server log has no line that matches.

=cut

sub log_lacks
{
	my ($node, $pattern, $what) = @_;
	my @lines = grep { /$pattern/ } split(/\n/, slurp_file($node->logfile));

	is(join("\n", @lines[ 0 .. ($#lines < 4 ? $#lines : 4) ]), '', $what);
}

=item wal_of(node, lsn, table)

The records since an LSN that change a table, one a line, as pg_waldump shows them; switches to a new WAL file.  One test: there are some.

=cut

sub wal_of
{
	my ($node, $from, $table) = @_;
	my ($out, $err);

	$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
	my $to = $node->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
	run_log([ 'pg_waldump', '-p', $node->data_dir . '/pg_wal', '-s', $from, '-e', $to ], '>', \$out, '2>', \$err);
	my ($file) = $node->safe_psql('postgres', "SELECT pg_relation_filepath('$table')") =~ m{^base/(\d+/\d+)$};
	my @lines = grep { m{/$file } } split /\n/, $out;
	ok(@lines > 0, "pg_waldump has read what became of $table");
	return join("\n", @lines);
}

1;
