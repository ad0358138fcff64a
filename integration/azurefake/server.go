package azurefake

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Tenant is the id of the tenant that all identities belong to.
const Tenant = "72f988bf-0000-4000-8000-2d7cd011db47"

// header is the secret that the App Service endpoint wants to see.
const header = "header-of-the-app-service"

// Claims are what a token says about its bearer, such as oid, appid, upn and xms_mirid. The rest is
// added to each token: aud, iss, tid, iat, nbf, exp and ver.
type Claims map[string]any

// Server is the fake. Calls may be concurrent.
type Server struct {
	URL string // of the App Service endpoint: what IDENTITY_ENDPOINT is set to

	plain, secure *httptest.Server
	key           ed25519.PrivateKey
	closing       chan struct{}

	mu       sync.Mutex
	managed  map[string]Claims // by client id; "" is the system-assigned identity
	apps     map[string]app    // by client id
	life     time.Duration
	failure  failure
	requests int
	hosts    []string
	manager  manager
}

// An app is a service principal.
type app struct {
	claims            Claims
	secret, assertion string // what it shows; one of them is empty
}

// A failure is the answer to all requests, if there is one.
type failure struct {
	status int
	body   string
	cut    bool // the connection is closed without an answer
	hang   bool // no answer, until the client or the server goes away
}

// New starts the fake, with no identities. Tokens live for an hour.
func New() *Server {
	_, key, _ := ed25519.GenerateKey(rand.Reader) // fails never
	s := &Server{key: key, closing: make(chan struct{}), managed: map[string]Claims{}, apps: map[string]app{}, life: time.Hour}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /msi/token", s.appService)
	mux.HandleFunc("GET /metadata/identity/oauth2/token", s.metadata)
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", s.discovery)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", s.grant)
	s.manages(mux)
	handler := s.failing(mux)
	s.plain, s.secure = httptest.NewServer(handler), httptest.NewTLSServer(handler)
	s.URL = s.plain.URL + "/msi/token"
	return s
}

// Close stops the fake. Requests that hang end.
func (s *Server) Close() {
	close(s.closing)
	s.plain.Close()
	s.secure.Close()
}

// Env returns the environment of a program in an App Service with the managed identities, as
// NAME=value.
func (s *Server) Env() []string {
	return []string{"IDENTITY_ENDPOINT=" + s.URL, "IDENTITY_HEADER=" + header}
}

// Client returns a client for which all of Azure is this fake: whatever https:// or http:// host it
// asks. It verifies the fake's certificate.
func (s *Server) Client() *http.Client {
	transport := s.secure.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.ServerName = "example.com" // which the certificate of httptest is for
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		to := s.plain.Listener.Addr().String()
		if strings.HasSuffix(address, ":443") {
			to = s.secure.Listener.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, to)
	}
	return &http.Client{Transport: transport}
}

// Identity adds or replaces a managed identity; clientID "" is the system-assigned one.
func (s *Server) Identity(clientID string, claims Claims) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.managed[clientID] = maps.Clone(claims)
}

// SecretApp adds or replaces a service principal with a client secret.
func (s *Server) SecretApp(clientID, secret string, claims Claims) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apps[clientID] = app{claims: maps.Clone(claims), secret: secret}
}

// FederatedApp adds or replaces a service principal that shows a token of somebody else, such as
// Kubernetes.
func (s *Server) FederatedApp(clientID, assertion string, claims Claims) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apps[clientID] = app{claims: maps.Clone(claims), assertion: assertion}
}

// Life sets how long tokens live from now on. The SDK keeps those with more than five minutes.
func (s *Server) Life(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = d
}

// Requests returns how many tokens were asked for, with or without success.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Hosts returns the host of each request, in their order: the cloud that was asked.
func (s *Server) Hosts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.hosts...)
}
