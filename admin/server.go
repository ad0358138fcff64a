package admin

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server answers the requests of whoever looks after the program. Its fields are set before the first
// Serve and not changed after it; without any of them it serves the list of its endpoints, an empty one.
type Server struct {
	// Status returns what /status shows, as JSON. It has no secret in it, at no depth. It may be
	// called concurrently. Nil: there is no such endpoint.
	Status func() any
	// Quit asks the program to end, and returns at once. It is called at most once. Nil: there is no
	// such endpoint.
	Quit func()
	// Admit returns why a client may not come in, for the client to read; nil: everybody may who can
	// connect.
	Admit func(net.Conn) error
	// Timeout bounds a request, and then its answer; 0 means DefaultTimeout.
	Timeout time.Duration
	// Log is told at debug about what is refused and about what goes wrong; nil: nobody is told.
	Log *slog.Logger

	quit sync.Once
}

// DefaultTimeout is long for a request of a few lines from the same machine.
const DefaultTimeout = 5 * time.Second

const (
	maxHeaderBytes = 8 << 10 // net/http adds 4 KiB of its own
	maxConns       = 32      // for each listener; more wait in the kernel
	grace          = time.Second
)

// Serve answers requests from ln until ctx ends. Then it closes ln, gives the requests in progress a
// second, and returns. It returns an error only if ln fails for good. It may be called once for each of
// several listeners at the same time.
//
// Nothing but this machine may be able to connect to ln: that is the caller's part.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	log := cmp.Or(s.Log, slog.New(slog.DiscardHandler)).With("listener", ln.Addr().String())
	timeout := cmp.Or(s.Timeout, DefaultTimeout)
	server := &http.Server{
		Handler:           &guard{unix: ln.Addr().Network() == "unix", next: s.endpoints(), log: log},
		ReadHeaderTimeout: timeout,
		ReadTimeout:       timeout,
		WriteTimeout:      timeout,
		IdleTimeout:       timeout,
		MaxHeaderBytes:    maxHeaderBytes,
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
	err := server.Serve(&doorway{Listener: ln, admit: s.Admit, places: make(chan struct{}, maxConns)})
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
