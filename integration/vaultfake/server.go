package vaultfake

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"time"
)

// A State is how the whole server behaves.
type State int

// What a server can be.
const (
	Up        State = iota
	Down            // closes each connection without an answer
	Sealed          // 503
	Standby         // 473, of a performance standby
	Throttled       // 429, of a rate limit quota
	Hanging         // answers when its state changes
)

// A Server is a fake Vault.
type Server struct {
	URL string
	CA  []byte // PEM, of a server with TLS

	http *httptest.Server

	mu        sync.Mutex
	offset    time.Duration // what Advance added to the clock
	timer     *time.Timer   // of the next end of a lease or a token; nil if there is none
	state     State
	changed   chan struct{} // closed when state changes
	failing   map[string]*failure
	requests  []string // the paths, without /v1/
	namespace string
	tokens    map[string]*token
	leases    map[string]*lease
	v1        map[string]map[string]any // by path
	v2        map[string]*versions      // by path, with data/ in it
	roles     map[string]Role           // by path, with creds/ in it
	statics   map[string]*staticRole    // by path, with static-creds/ in it
	logins    map[string][]login        // by path of the login
	identity  string                    // what the metadata service of Google Cloud gives
	audience  string                    // for whom it was asked to
	closed    bool
}

// A failure is an answer that a path gives instead of its own.
type failure struct {
	left   int
	status int
	errors []string
}

// New starts a server without TLS, as a Vault Agent listens.
func New() *Server {
	s := newServer()
	s.http.Start()
	s.URL = s.http.URL
	return s
}

// NewTLS starts a server whose certificate is signed by CA.
func NewTLS() *Server {
	s := newServer()
	s.http.StartTLS()
	s.URL = s.http.URL
	s.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
	return s
}

func newServer() *Server {
	s := &Server{
		changed: make(chan struct{}),
		failing: make(map[string]*failure),
		tokens:  make(map[string]*token),
		leases:  make(map[string]*lease),
		v1:      make(map[string]map[string]any),
		v2:      make(map[string]*versions),
		roles:   make(map[string]Role),
		statics: make(map[string]*staticRole),
		logins:  make(map[string][]login),
	}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.Config.ErrorLog = discard // of TLS handshakes that a test lets fail
	return s
}

// Close stops the server. The users of its leases stay where they are.
func (s *Server) Close() {
	s.Set(Down)
	s.mu.Lock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	s.http.Close()
}

// Set makes the server behave in another way.
func (s *Server) Set(state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
	close(s.changed)
	s.changed = make(chan struct{})
}

// FailNext lets the next times requests to a path, without /v1/, fail with a status and the texts of
// errors.
func (s *Server) FailNext(times int, at string, status int, errors ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing[at] = &failure{left: times, status: status, errors: errors}
}

// SetNamespace lets the server have everything in one namespace, and in no other.
func (s *Server) SetNamespace(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.namespace = namespace
}

// Requests returns how many requests there were to paths, without /v1/, that match a pattern.
func (s *Server) Requests(pattern string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, at := range s.requests {
		if matches(pattern, at) {
			n++
		}
	}
	return n
}

// matches reports whether a path is the pattern, or begins with what is before a * at its end.
func matches(pattern, at string) bool {
	prefix, any := strings.CutSuffix(pattern, "*")
	return at == pattern || any && strings.HasPrefix(at, prefix)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/computeMetadata/") {
		s.serveMetadata(w, r)
		return
	}
	at, ok := strings.CutPrefix(path.Clean(r.URL.Path), "/v1/")
	if !ok {
		refuse(w, http.StatusNotFound)
		return
	}
	s.expire()
	s.mu.Lock()
	s.requests = append(s.requests, at)
	s.mu.Unlock()
	if s.misbehave(w, r, at) {
		return
	}
	if namespace := strings.Trim(r.Header.Get("X-Vault-Namespace"), "/"); namespace != s.ownNamespace() {
		refuse(w, http.StatusForbidden, "permission denied")
		return
	}
	body := make(map[string]any)
	if r.Method == http.MethodPut || r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			refuse(w, http.StatusBadRequest, "failed to parse JSON input")
			return
		}
	}
	if strings.HasPrefix(at, "auth/") && strings.HasSuffix(at, "/login") {
		s.serveLogin(w, r, at, body)
		return
	}
	token := s.allowed(r.Header.Get("X-Vault-Token"), at)
	if token == nil {
		refuse(w, http.StatusForbidden, "permission denied")
		return
	}
	switch {
	case strings.HasPrefix(at, "auth/token/"):
		s.serveToken(w, at, token)
	case strings.HasPrefix(at, "sys/leases/"):
		s.serveLease(w, at, body)
	case r.Method == http.MethodGet:
		s.serveRead(w, r, at, token)
	default:
		refuse(w, http.StatusMethodNotAllowed, "unsupported operation")
	}
}

// misbehave answers in place of the path, if it has been told to.
func (s *Server) misbehave(w http.ResponseWriter, r *http.Request, at string) bool {
	s.mu.Lock()
	for s.state == Hanging {
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-r.Context().Done():
			return true
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	switch s.state {
	case Down:
		panic(http.ErrAbortHandler)
	case Sealed:
		refuse(w, http.StatusServiceUnavailable, "Vault is sealed")
		return true
	case Standby:
		refuse(w, 473)
		return true
	case Throttled:
		refuse(w, http.StatusTooManyRequests, `request path "`+at+`": rate limit quota exceeded`)
		return true
	}
	if f := s.failing[at]; f != nil && f.left > 0 {
		f.left--
		refuse(w, f.status, f.errors...)
		return true
	}
	return false
}

func (s *Server) ownNamespace() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Trim(s.namespace, "/")
}

// serveRead answers a GET of a secret.
func (s *Server) serveRead(w http.ResponseWriter, r *http.Request, at string, t *token) {
	s.mu.Lock()
	role, dynamic := s.roles[at]
	s.mu.Unlock()
	if dynamic {
		s.serveRole(w, at, role, t)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch mount, _, _ := strings.Cut(at, "/"); {
	case s.statics[at] != nil:
		answer(w, http.StatusOK, response{Data: s.statics[at].data(s.now()), Mount: "database"})
	case s.v1[at] != nil:
		answer(w, http.StatusOK, response{Data: s.v1[at], Duration: 2764800, Mount: "kv"})
	case s.v2[at] != nil:
		s.v2[at].serve(w, r.URL.Query().Get("version"))
	case s.lacksData(at):
		answer(w, http.StatusNotFound, response{Warnings: []string{"Invalid path for a versioned K/V secrets engine. " +
			"See the API docs for the appropriate API endpoints to use. If using the Vault CLI, use 'vault kv get' for this operation."}})
	case strings.Contains(at, "/creds/") || strings.Contains(at, "/static-creds/"):
		refuse(w, http.StatusBadRequest, "unknown role: "+path.Base(at))
	case mount == "":
		refuse(w, http.StatusNotFound, "no handler for route")
	default:
		refuse(w, http.StatusNotFound)
	}
}

// A response is what Vault answers with 200, and with the 404 of a deleted version.
type response struct {
	LeaseID   string         `json:"lease_id"`
	Renewable bool           `json:"renewable"`
	Duration  int            `json:"lease_duration"`
	Data      map[string]any `json:"data"`
	Warnings  []string       `json:"warnings"`
	Auth      map[string]any `json:"auth"`
	Mount     string         `json:"mount_type,omitempty"`

	RequestID string `json:"request_id"`
	WrapInfo  any    `json:"wrap_info"`
}

func answer(w http.ResponseWriter, status int, r response) {
	r.RequestID = random(16)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(r) // the client may have gone
}

func refuse(w http.ResponseWriter, status int, errors ...string) {
	if errors == nil {
		errors = []string{}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": errors})
}
