package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"syscall"
	"time"

	"dbvalet/peer"
	dbtls "dbvalet/tls"
	"dbvalet/tokens"
)

// Upstream is the way to one database: where it is, how its identity is verified and which
// credentials it takes. It is safe for concurrent use; its exported fields are not changed after
// the first use.
type Upstream struct {
	// Endpoint is where the database is, unless Locate says it.
	Endpoint Endpoint
	// Locate returns where the database is that a credential is for, where only the secret says that.
	// Nil is Endpoint.
	Locate func(tokens.Credential) (Endpoint, error)
	// Credentials are what is logged in with.
	Credentials *tokens.Cache
	// Others are further hosts, for where the first one can't be reached or isn't what Target asks for.
	Others []Place
	// Target is which of the hosts will do.
	Target Target
	// Resolver looks up names, at each dial anew; nil: net.DefaultResolver.
	Resolver *net.Resolver
	// Tunnel is what the Endpoints' Dialers are of, and is closed by Close; nil: there is nothing to close.
	Tunnel io.Closer
	// TCP is how the connections are watched.
	TCP TCP
	// Conns limit the connections that are open at once, and Setups those of them that are being set
	// up: those of the route, and those of all routes together.
	Conns, Setups []*Limit
	Log           *slog.Logger

	refusal    error // nil: what is asked for is done
	experience experience

	errands *Upstream // does the Errands of a client with a refusal; nil: they are refused too
}

// refusing is u for a client that may not come in: whatever it is asked for is refused with err. But a
// client that has left already may have done so because it waits for nothing, as some do that ask to
// cancel a query. Who knows the key for that needs no other proof.
func (u *Upstream) refusing(err error) *Upstream {
	refusing := &Upstream{Log: u.Log, refusal: err}
	if errors.Is(err, peer.ErrGone) {
		refusing.errands = u
	}
	return refusing
}

// An Endpoint is where a database is, and how it is known that it is the right one.
type Endpoint struct {
	// Addr is what is dialled: host:port, or the path of a unix socket.
	Addr string
	// TLS makes the handshakes with the database. An engine calls it where its protocol says.
	TLS *dbtls.Client
	// Tunnel, if it is not nil, is called in place of dialling Addr. Its connections are encrypted and
	// verified already, so that within them there is neither TLS nor a credential worth it.
	Tunnel func(context.Context) (net.Conn, error)
	// Dialer, if it is not nil, dials Addr by way of something else, which also looks up the name. Its
	// connections know deadlines, and half-close where TCP's do. Its errors may have a Hint and be Final.
	Dialer func(ctx context.Context, network, addr string) (net.Conn, error)
	// Database is for clients that name none, where the secret names one.
	Database string
	// Target is what the server has to be. An engine checks it at the end of the login.
	Target Target
}

// A Login makes conn ready for commands with cred: the encryption and the authentication, in the
// protocol's own way. It returns the connection to use from then on, which ends conn when it is
// closed. Its error matches ErrRejected if the database refused cred. It does not close conn.
type Login func(ctx context.Context, conn net.Conn, to Endpoint, cred tokens.Credential) (net.Conn, error)

// UpstreamConn is a connection that is logged in. Closing it gives its place under the route's
// limit back, and what the credential was borrowed on.
type UpstreamConn struct {
	net.Conn
	// Credential is the one that the database accepted.
	Credential tokens.Credential
	// Endpoint is where that was.
	Endpoint Endpoint

	logins  *tokens.Attempt
	release func()
}

// Close closes the connection; it is called once.
func (c *UpstreamConn) Close() error {
	defer c.release()
	defer c.logins.Close()
	return c.Conn.Close()
}

// Connect opens a connection to the database and logs in as user, as an Opening does that nobody has
// dialled. An error is a *SetupError.
func (u *Upstream) Connect(ctx context.Context, user string, login Login) (*UpstreamConn, error) {
	o, err := u.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	return o.Login(ctx, user, login)
}

// Errand opens a bare connection for something that is no session, such as a cancel request, and
// closes it when do returns or ctx ends. The client has to have shown a key for it. It counts among the
// connections that are being set up.
func (u *Upstream) Errand(ctx context.Context, to Endpoint, do func(net.Conn) error) error {
	if u.errands != nil {
		return u.errands.Errand(ctx, to, do)
	}
	if u.refusal != nil {
		return u.refusal
	}
	leave, err := enterAll(ctx, u.Setups)
	if err != nil {
		return err
	}
	defer leave()
	conn, err := u.dial(ctx, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	return do(conn)
}

// dial opens a bare connection to the database. The error is a *SetupError.
func (u *Upstream) dial(ctx context.Context, to Endpoint) (net.Conn, error) {
	if to.Tunnel != nil {
		conn, err := to.Tunnel(ctx)
		if err != nil {
			return nil, atStage(StageDial, err)
		}
		return conn, nil
	}
	network := "tcp"
	if to.Addr != "" && to.Addr[0] == '/' {
		network = "unix"
	}
	if to.Dialer != nil {
		return u.dialBy(ctx, to, network)
	}
	// The name is looked up each time. Of its addresses each has its part of the time, so that a dead one
	// leaves some for the others; those of IPv6 and of IPv4 are tried side by side.
	dialer := net.Dialer{Timeout: dialTime, KeepAliveConfig: u.TCP.config(), Resolver: u.Resolver}
	conn, err := dialer.DialContext(ctx, network, to.Addr)
	if err != nil {
		return nil, &SetupError{Stage: StageDial, Err: &dialError{to.Addr, dialCause(err)}, Advice: dialAdvice(err)}
	}
	return u.reached(to.Addr, conn), nil
}

// dialBy opens a bare connection by way of the Endpoint's Dialer.
func (u *Upstream) dialBy(ctx context.Context, to Endpoint, network string) (net.Conn, error) {
	conn, err := to.Dialer(ctx, network, to.Addr)
	if err != nil {
		return nil, &SetupError{Stage: StageDial, Err: &dialError{to.Addr, err}, Advice: cmp.Or(Hint(err), dialAdvice(err))}
	}
	return u.reached(to.Addr, conn), nil
}

// reached is what there is to do with a connection that is open.
func (u *Upstream) reached(addr string, conn net.Conn) net.Conn {
	u.TCP.watch(conn)
	u.experience.reach(addr)
	return fast(conn)
}

// dialTime is how long a dial may take. Within it, the kernel has asked four times for a connection.
// Then the name is looked up anew: it may lead elsewhere by now.
const dialTime = 10 * time.Second

// A dialError is a connection that could not be opened.
type dialError struct {
	addr  string
	cause error
}

func (e *dialError) Error() string { return fmt.Sprintf("dial %s: %v", e.addr, e.cause) }
func (e *dialError) Unwrap() error { return e.cause }

// deadlineFrom makes the end of ctx a deadline of a connection, by one of its three methods for
// that. disarm lifts it; it returns false if ctx had ended before.
func deadlineFrom(ctx context.Context, setDeadline func(time.Time) error) (disarm func() bool) {
	stop := context.AfterFunc(ctx, func() { _ = setDeadline(time.Unix(1, 0)) })
	// For a moment after ctx has ended, stop still comes in time.
	return func() bool { return stop() && ctx.Err() == nil }
}

// dialCause leaves out what the caller says anyway: operation and address.
func dialCause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// dialAdvice says what usually helps when a database can't be reached.
func dialAdvice(err error) string {
	dns, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case isDNS && dns.IsNotFound:
		return "check the host name, and whether this machine's DNS knows it (VPN, private zone)"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "check that the database is up and that the port, or dial=, is right"
	case timedOut(err):
		return "check the way there: VPN, security group, firewall, or a tunnel named in dial="
	}
	return "check that the database can be reached from here"
}
