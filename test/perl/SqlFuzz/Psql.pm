
=pod

=head1 NAME

SqlFuzz::Psql - one psql, kept open, that runs one statement after the other

=cut

package SqlFuzz::Psql;

use strict;
use warnings;
use IO::Select;
use IPC::Open2;

use constant PATIENCE => 180;		# seconds for one statement

=item new(connection string, settings)

settings: statements that a new session begins with.

=cut

sub new
{
	my ($class, $connstr, $settings) = @_;
	my ($in, $out);
	my $pid = open2($out, $in, 'sh', '-c', 'exec psql -X -A -t -n -P null=NULL -v VERBOSITY=verbose -v SHOW_CONTEXT=never -d "$0" 2>&1', $connstr);
	my $self = bless { pid => $pid, in => $in, out => $out, select => IO::Select->new($out), n => 0 }, $class;

	$in->autoflush(1);
	my $r = $self->run($settings);
	die "cannot connect: $r->{text}" if $r->{error};
	return $self;
}

=item run(sql)

Runs a statement, without its semicolon; that of COPY ends with the data and the line C<\.>.  Returns
lines (rows, and the command tag as the last), error (its SQLSTATE, undef if none; 'lost' if the connection is),
text (all that psql said).

=cut

sub run
{
	my ($self, $sql) = @_;
	my $end = '-- end ' . ++$self->{n};
	my ($text, $deadline) = ('', time() + PATIENCE);
	local $SIG{PIPE} = 'IGNORE';

	# the data of a COPY that fails would be taken for the beginning of the next statement
	$sql .= $sql =~ /\\\.\z/ ? "\n\\r" : ';';
	print { $self->{in} } "$sql\n\\echo '$end'\n";
	until ($text =~ s/^\Q$end\E\n\z//m)
	{
		my $left = $deadline - time();
		my $got = $left > 0 && $self->{select}->can_read($left) ? sysread($self->{out}, $text, 65536, length($text)) : undef;

		return { lines => [], error => 'lost', text => "no answer within " . PATIENCE . " s\n$text" } if !defined $got;
		return { lines => [], error => 'lost', text => "the connection is lost\n$text" } if !$got;
	}
	$text =~ s/^Query buffer reset.*\n//m;

	my ($error) = $text =~ /^(?:ERROR|FATAL|PANIC):  (\w{5}):/m;
	return { lines => [ split /\n/, $text ], error => $error, text => $text };
}

=item close()

=cut

sub close
{
	my ($self) = @_;

	close($self->{in});
	close($self->{out});
	kill('TERM', $self->{pid});
	waitpid($self->{pid}, 0);
}

1;
