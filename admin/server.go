package admin

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server answers the requests of whoever looks after the program. Its fields are set before the first
// Serve and not changed after it; without any of them it serves the list of its endpoints, an empty one.
type Server struct {
	// Status returns what /status shows, as JSON. It has no secret in it, at no depth. It may be
	// called concurrently. Nil: there is no such endpoint.
	Status func() any
	// Probes are what /startup, /livez and /readyz say.
	Probes Probes
	// Metrics serves /metrics. It has no secret in it either. Nil: there is no such endpoint.
	Metrics http.Handler
	// Reload reads the configuration again, all of it or nothing. It may be called concurrently. Nil:
	// there is no such endpoint.
	Reload func(context.Context) Outcome
	// CloseSession ends the session with this ID, which Status shows, as gently as sessions are ended,
	// and returns when it has ended or the context has; ErrNoSession if there is none. It may be called
	// concurrently. Nil: there is no such endpoint.
	CloseSession func(ctx context.Context, id string) error
	// Quit asks the program to end, and returns at once. It is called at most once. Nil: there is no
	// such endpoint.
	Quit func()
	// Admit returns why a client may not come in, for the client to read; nil: everybody may who can
	// connect.
	Admit func(net.Conn) error
	// Timeout bounds a request, and then its answer, but for what takes its time: a reload, or logins; 0
	// means DefaultTimeout.
	Timeout time.Duration
	// Log is told at debug about what is refused and about what goes wrong; nil: nobody is told.
	Log *slog.Logger

	quit    sync.Once
	secrets secrets
	streams atomic.Int32 // that are open
	latest  snapshot
	beat    time.Duration // of the streams; 0: a second
	calm    time.Duration // after which a stream says that nothing is new; 0: 15 seconds
}

// DefaultTimeout is long for a request of a few lines from the same machine.
const DefaultTimeout = 5 * time.Second

const (
	maxHeaderBytes = 8 << 10 // net/http adds 4 KiB of its own
	maxConns       = 32      // for each listener; more wait in the kernel
	maxPublicConns = 128     // so that it takes more to keep a probe waiting
	maxRefused     = 4       // of those who may not come in; the rest are not told why
	grace          = time.Second
)

// Serve answers requests from ln until ctx ends. Then it closes ln, gives the requests in progress a
// second, and returns. It returns an error only if ln fails for good. It may be called once for each of
// several listeners at the same time.
//
// Nothing but this machine may be able to connect to ln: that is the caller's part.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	rules := &guard{unix: ln.Addr().Network() == "unix", token: s.secrets.get().token, next: s.endpoints()}
	return s.serve(ctx, ln, rules, s.Admit, maxConns)
}

// ServePublic is Serve for a listener that other machines may reach: metrics and probes are all that
// there is. Admit is not asked. Where ln is not of this machine alone, the Host header may name
// anything: a kubelet sends the address of the pod, and Prometheus what it was told.
func (s *Server) ServePublic(ctx context.Context, ln net.Listener) error {
	rules := &guard{unix: ln.Addr().Network() == "unix", anyHost: isRemote(ln.Addr()), next: s.publicEndpoints()}
	return s.serve(ctx, ln, rules, nil, maxPublicConns)
}

// isRemote reports whether other machines can connect to addr, or may be able to.
func isRemote(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && !tcp.IP.IsLoopback()
}

// serve is Serve with its rules.
func (s *Server) serve(ctx context.Context, ln net.Listener, rules *guard, admit func(net.Conn) error, most int) error {
	log := cmp.Or(s.Log, slog.New(slog.DiscardHandler)).With("listener", ln.Addr().String())
	rules.log = log
	timeout := cmp.Or(s.Timeout, DefaultTimeout)
	server := &http.Server{
		Handler:           rules,
		ReadHeaderTimeout: timeout,
		ReadTimeout:       timeout,
		WriteTimeout:      timeout,
		IdleTimeout:       timeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return withEnd(ctx) },
		ConnContext:       remember,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		// Else net/http answers "OPTIONS *" by itself, before the guard.
		DisableGeneralOptionsHandler: true,
	}
	// One request for each connection: what follows it is never taken for another.
	server.SetKeepAlivesEnabled(false)

	ended := make(chan struct{})
	goesOn := context.AfterFunc(ctx, func() {
		defer close(ended)
		end(server)
	})
	err := server.Serve(&doorway{Listener: ln, admit: admit, places: make(chan struct{}, most), refused: make(chan struct{}, maxRefused)})
	if goesOn() {
		server.Close()
		return err
	}
	<-ended
	return nil
}

// end closes the server's listener, and its connections when they have been answered.
func end(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		server.Close()
	}
}
