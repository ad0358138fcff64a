package azurefake

import (
	"fmt"
	"net/http"
)

// Fail lets all requests end with a status and a body.
func (s *Server) Fail(status int, body string) { s.fail(failure{status: status, body: body}) }

// Deny lets all requests end with an error of Microsoft Entra, such as 7000215.
func (s *Server) Deny(code int, text string) {
	description := fmt.Sprintf("AADSTS%d: %s Trace ID: 0b8a7d1c-0000-4000-8000-00000000aaaa Correlation ID: "+
		"5c1e7d1c-0000-4000-8000-00000000bbbb Timestamp: 2026-01-02 03:04:05Z", code, text)
	s.fail(failure{status: http.StatusBadRequest, body: fmt.Sprintf(
		`{"error":"invalid_grant","error_description":%q,"error_codes":[%d],"timestamp":"2026-01-02 03:04:05Z"}`, description, code)})
}

// Down cuts all connections; Hang leaves all requests without an answer.
func (s *Server) Down() { s.fail(failure{cut: true}) }
func (s *Server) Hang() { s.fail(failure{hang: true}) }

// Up ends what Fail, Deny, Down and Hang began.
func (s *Server) Up() { s.fail(failure{}) }

func (s *Server) fail(f failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = f
}

// failing counts and fails requests, and passes the others on to next.
func (s *Server) failing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		f := s.failure
		s.hosts = append(s.hosts, r.Host)
		s.mu.Unlock()
		switch {
		case f.cut:
			panic(http.ErrAbortHandler)
		case f.hang:
			select {
			case <-r.Context().Done():
			case <-s.closing:
			}
		case f.status != 0:
			s.count()
			answer(w, f.status, f.body)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (s *Server) count() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}
