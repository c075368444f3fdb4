
=pod

=head1 NAME

SqlFuzz::Client - a connection to the server

=head1 DESCRIPTION

Speaks the simple query protocol itself, over the socket of a test cluster, which trusts everybody: a psql in between would take as long as most statements.

=cut

package SqlFuzz::Client;

use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;

use constant PATIENCE => 240;		# seconds for one statement

=item new(node, database)

=cut

sub new
{
	my ($class, $node, $database) = @_;
	my $socket = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port) or die "cannot connect to $database: $!";
	my $self = bless { socket => $socket, select => IO::Select->new($socket), in => '' }, $class;
	my $startup = pack('N', 196608) . join('', map { "$_\0" } user => scalar(getpwuid($<)), database => $database, client_encoding => 'UTF8') . "\0";

	binmode($socket);
	$self->put(pack('N', 4 + length($startup)) . $startup);
	my $r = $self->answer;
	die "cannot connect to $database: $r->{text}" if $r->{error};
	return $self;
}

sub put
{
	my ($self, $bytes) = @_;
	local $SIG{PIPE} = 'IGNORE';

	while (length $bytes)
	{
		my $n = syswrite($self->{socket}, $bytes) or return;
		substr($bytes, 0, $n) = '';
	}
}

sub message
{
	my ($self, $type, $body) = @_;

	$self->put($type . pack('N', 4 + length($body)) . $body);
}

# The next message, (type, body); nothing if there comes none.  While there comes none, slow is called each second.
sub get
{
	my ($self, $deadline, $slow) = @_;

	for (;;)
	{
		if (length($self->{in}) >= 5)
		{
			my ($type, $length) = unpack('aN', $self->{in});
			if (length($self->{in}) > $length)
			{
				my $body = substr($self->{in}, 5, $length - 4);
				substr($self->{in}, 0, $length + 1) = '';
				return ($type, $body);
			}
		}
		my $left = $deadline - time();
		return if $left <= 0;
		if (!$self->{select}->can_read($slow ? 1 : $left))
		{
			$slow->() if $slow;
			next;
		}
		return if !sysread($self->{socket}, $self->{in}, 65536, length($self->{in}));
	}
}

# All up to where the server is ready again.
sub answer
{
	my ($self, $data, $slow) = @_;
	my $deadline = time() + PATIENCE;
	my %r = (lines => [], tag => '', text => '');

	while (my ($type, $body) = $self->get($deadline, $slow))
	{
		if ($type eq 'D')
		{
			my ($n, $at, @values) = (unpack('n', $body), 2);

			while ($n-- > 0)
			{
				my $length = unpack('l>', substr($body, $at, 4));
				push @values, $length < 0 ? 'NULL' : substr($body, $at + 4, $length);
				$at += 4 + ($length < 0 ? 0 : $length);
			}
			push @{ $r{lines} }, join('|', @values);
		}
		elsif ($type eq 'C')
		{
			$r{tag} = substr($body, 0, -1);
		}
		elsif ($type eq 'E')
		{
			my %f = map { substr($_, 0, 1) => substr($_, 1) } split /\0/, $body;

			# the first counts
			$r{error} //= $f{C};
			$r{text} .= "$f{S}:  $f{C}: $f{M}\n" . ($f{D} ? "DETAIL:  $f{D}\n" : '') . ($f{H} ? "HINT:  $f{H}\n" : '') . ($f{W} ? "CONTEXT:  $f{W}\n" : '');
		}
		elsif ($type eq 'G')
		{
			$self->message('d', $data // '');
			$self->message('c', '');
		}
		elsif ($type eq 'd')
		{
			push @{ $r{lines} }, $body =~ s/\n\z//r;
		}
		elsif ($type eq 'K')
		{
			$self->{pid} = unpack('N', $body);
		}
		elsif ($type eq 'Z')
		{
			$r{text} = join('', map { "$_\n" } @{ $r{lines} }, $r{tag}) if !defined $r{error};
			return \%r;
		}
	}
	return { lines => [], tag => '', error => 'lost', text => "$r{text}the connection is lost, or there was no answer within " . PATIENCE . " s\n" };
}

=item run(sql, slow => sub)

Runs a statement; that of COPY has its data behind it, and the line C<\.> at the end.  Each second that there is no answer, slow is called.  Returns
lines (its rows), tag, error (SQLSTATE, undef if none, 'lost' if the connection is), text (all of it).

=cut

sub run
{
	my ($self, $sql, %opt) = @_;
	my ($command, $data) = $sql =~ /\A(COPY [^\n]*);\n(.*)\\\.\z/s ? ($1, $2) : ($sql, undef);

	$self->message('Q', "$command\0");
	return $self->answer($data, $opt{slow});
}

=item close()

=cut

sub close
{
	my ($self) = @_;

	$self->message('X', '');
	$self->{socket}->close;
}

1;
