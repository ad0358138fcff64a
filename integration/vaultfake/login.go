package vaultfake

import (
	"net/http"
	"strings"
)

// A login makes a token of what check likes.
type login struct {
	access   Access
	metadata map[string]string
	check    func(body map[string]any) (refusal string) // empty: it is right
}

// AddAppRole lets an AppRole log in at auth/MOUNT/login. An empty secret id is one that the role does
// not want.
func (s *Server) AddAppRole(mount, name, roleID, secretID string, a Access) {
	s.addLogin(mount, login{a, map[string]string{"role_name": name}, func(body map[string]any) string {
		secret, _ := body["secret_id"].(string)
		switch {
		case body["role_id"] != roleID:
			return "invalid role ID"
		case secret != secretID:
			return "invalid secret id"
		}
		return ""
	}})
}

// AddJWTRole lets the holder of a JWT log in at auth/MOUNT/login in a role, as the methods
// kubernetes, jwt and gcp do. metadata is what Vault then says who that is.
func (s *Server) AddJWTRole(mount, role, jwt string, metadata map[string]string, a Access) {
	s.addLogin(mount, login{a, metadata, func(body map[string]any) string {
		switch {
		case body["role"] != role:
			return "invalid role name"
		case body["jwt"] != jwt:
			return "error validating token"
		}
		return ""
	}})
}

// SetIdentity lets the server be the metadata service of Google Cloud too, whose address is that of
// URL without http://, and which gives a machine's JWT to whoever asks for the audience of a role.
func (s *Server) SetIdentity(role, jwt string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.audience, s.identity = "/vault/"+role, jwt
}

func (s *Server) addLogin(mount string, l login) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := "auth/" + mount + "/login"
	s.logins[at] = append(s.logins[at], l)
}

func (s *Server) serveLogin(w http.ResponseWriter, r *http.Request, at string, body map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.logins[at] == nil:
		refuse(w, http.StatusNotFound, `no handler for route "`+at+`". route entry not found.`)
		return
	case r.Method != http.MethodPut && r.Method != http.MethodPost:
		refuse(w, http.StatusMethodNotAllowed, "unsupported operation")
		return
	}
	refusal := ""
	for _, l := range s.logins[at] {
		if refusal = l.check(body); refusal == "" {
			t := s.addToken("hvs."+random(20), l.access)
			answer(w, http.StatusOK, response{Auth: t.auth(s.now(), l.metadata)})
			return
		}
	}
	refuse(w, http.StatusBadRequest, refusal)
}

func (s *Server) serveMetadata(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Metadata-Flavor", "Google")
	query := r.URL.Query()
	switch {
	case r.Header.Get("Metadata-Flavor") != "Google":
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path != "/computeMetadata/v1/instance/service-accounts/default/identity" || s.identity == "":
		w.WriteHeader(http.StatusNotFound)
	case !strings.HasSuffix(query.Get("audience"), s.audience) || query.Get("format") != "full":
		w.WriteHeader(http.StatusBadRequest)
	default:
		_, _ = w.Write([]byte(s.identity))
	}
}
