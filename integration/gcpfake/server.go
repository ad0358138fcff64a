package gcpfake

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Operations, for Count and Fail.
const (
	OpToken       = "token"       // a token for a key, or for a refresh token
	OpSTS         = "sts"         // a token for the token of another identity provider
	OpMetadata    = "metadata"    // anything of the metadata server
	OpImpersonate = "impersonate" // generateAccessToken
	OpAccess      = "access"      // versions.access
)

// A Failure is what an operation does instead of its work.
type Failure int

// Failures.
const (
	Down      Failure = iota + 1 // the connection is closed without an answer
	Slow                         // no answer before the client gives up
	Throttled                    // 429
	Broken                       // 503
	Denied                       // 403
)

// Server is a Google Cloud of its own. Calls of its methods may be concurrent, also with requests.
type Server struct {
	URL string // http://127.0.0.1:port

	mux    *http.ServeMux
	http   *http.Server
	served chan struct{} // closed when Serve has returned

	mu        sync.Mutex
	tokens    map[string]Token            // by their text
	users     map[string]user             // by refresh token
	subjects  map[string]string           // principal by the other identity provider's token
	creators  map[string]map[string]bool  // service account, who may impersonate it
	secrets   map[string]*secret          // by projects/P/secrets/S
	machine   machine                     // what the metadata server is asked about
	life      time.Duration               // of new tokens
	counts    map[string]int              // by operation
	failures  map[string]Failure          // by operation
	serial    int                         // makes tokens different
	responses map[string]http.HandlerFunc // by operation, instead of what the fake would answer
}

// New starts a Server on a free port. Close ends it.
func New() (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{
		URL:       "http://" + l.Addr().String(),
		mux:       http.NewServeMux(),
		served:    make(chan struct{}),
		tokens:    make(map[string]Token),
		users:     make(map[string]user),
		subjects:  make(map[string]string),
		creators:  make(map[string]map[string]bool),
		secrets:   make(map[string]*secret),
		life:      time.Hour,
		counts:    make(map[string]int),
		failures:  make(map[string]Failure),
		responses: make(map[string]http.HandlerFunc),
	}
	s.http = &http.Server{Handler: s.mux, ReadHeaderTimeout: time.Minute}
	s.Handle(OpToken, "POST /token", s.token)
	s.Handle(OpSTS, "POST /sts", s.exchange)
	s.Handle(OpMetadata, "GET /computeMetadata/v1/", s.metadata)
	s.Handle(OpImpersonate, "POST /v1/projects/-/serviceAccounts/{call}", s.impersonate)
	s.Handle(OpAccess, "GET /v1/projects/{project}/secrets/{secret}/versions/{call}", s.access)
	go s.serve(l)
	return s, nil
}

func (s *Server) serve(l net.Listener) {
	defer close(s.served)
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		panic(fmt.Sprintf("gcpfake: %v", err))
	}
}

// Close ends the Server and its connections.
func (s *Server) Close() {
	_ = s.http.Close()
	<-s.served
}

// Host is URL without its scheme, as GCE_METADATA_HOST wants it.
func (s *Server) Host() string { return s.URL[len("http://"):] }

// Handle adds an API. What is asked at pattern counts as op, and fails when op is told to. It is
// called before the first request.
func (s *Server) Handle(op, pattern string, serve http.HandlerFunc) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.counts[op]++
		failure, response := s.failures[op], s.responses[op]
		s.mu.Unlock()
		switch {
		case failure != 0:
			fail(w, r, op, failure)
		case response != nil:
			response(w, r)
		default:
			serve(w, r)
		}
	})
}

// Count returns how many requests there were for op, failed ones included.
func (s *Server) Count(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[op]
}

// Fail makes op fail from now on, until Recover.
func (s *Server) Fail(op string, failure Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures[op] = failure
}

// Respond makes op answer with serve from now on, until Recover.
func (s *Server) Respond(op string, serve http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.responses[op] = serve
}

// Recover ends what Fail and Respond did to op.
func (s *Server) Recover(op string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.failures, op)
	delete(s.responses, op)
}

// fail answers as op does when it is in trouble.
func fail(w http.ResponseWriter, r *http.Request, op string, failure Failure) {
	oauth := op == OpToken || op == OpSTS
	switch failure {
	case Down:
		panic(http.ErrAbortHandler)
	case Slow:
		<-r.Context().Done()
	case Throttled:
		if oauth {
			refuseOAuth(w, http.StatusTooManyRequests, "rate_limit_exceeded", "Too many requests.")
			return
		}
		refuse(w, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED", "Quota exceeded for quota metric.")
	case Broken:
		if oauth {
			refuseOAuth(w, http.StatusServiceUnavailable, "internal_failure", "Backend Error")
			return
		}
		refuse(w, http.StatusServiceUnavailable, "UNAVAILABLE", "", "The service is currently unavailable.")
	case Denied:
		if oauth {
			refuseOAuth(w, http.StatusForbidden, "access_denied", "Account restricted")
			return
		}
		refuse(w, http.StatusForbidden, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED", "The caller does not have permission")
	}
}
