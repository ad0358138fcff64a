package gcpfake

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// machine is what the metadata server knows about the machine that it is for.
type machine struct {
	email string        // of the attached service account; empty: none
	left  time.Duration // how long its tokens live on
}

// SetMachine attaches a service account to the machine whose metadata server this is, or takes it
// away where email is empty. The server hands out tokens that it has kept for a while: left is how
// long they live on.
func (s *Server) SetMachine(email string, left time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.machine = machine{email, left}
}

// metadata serves GET /computeMetadata/v1/.
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Metadata-Flavor", "Google")
	if r.Header.Get("Metadata-Flavor") != "Google" {
		http.Error(w, "Missing Metadata-Flavor:Google header.", http.StatusForbidden)
		return
	}
	s.mu.Lock()
	m := s.machine
	s.mu.Unlock()
	const account = "instance/service-accounts/default/"
	path := strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/")
	switch {
	case m.email == "" && strings.HasPrefix(path, account):
		http.NotFound(w, r)
	case path == account+"email":
		_, _ = io.WriteString(w, m.email)
	case path == account+"token":
		s.machineToken(w, r, m)
	default:
		http.NotFound(w, r)
	}
}

// machineToken answers with a token of the attached service account. Without scopes= it would be for
// all that the machine may do, which nobody here wants.
func (s *Server) machineToken(w http.ResponseWriter, r *http.Request, m machine) {
	scopes := r.URL.Query().Get("scopes")
	if scopes == "" {
		http.Error(w, "gcpfake: a token without scopes", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	text, t := s.mint(m.email, strings.Split(scopes, ","), m.left)
	s.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"access_token": text, "expires_in": seconds(t.Expires), "token_type": "Bearer"})
}
