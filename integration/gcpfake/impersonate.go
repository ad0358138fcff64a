package gcpfake

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// caller returns whose token r bears. Where the token does not do, it has answered.
func (s *Server) caller(w http.ResponseWriter, r *http.Request) (string, bool) {
	text, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	t, alive := s.Token(text)
	switch {
	case !alive:
		refuse(w, http.StatusUnauthorized, "UNAUTHENTICATED", "ACCESS_TOKEN_TYPE_UNSUPPORTED",
			"Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.")
		return "", false
	case !slices.Contains(t.Scopes, CloudPlatform):
		refuse(w, http.StatusForbidden, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
			"Request had insufficient authentication scopes.")
		return "", false
	}
	return t.Principal, true
}

func (s *Server) isUser(principal string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.users {
		if u.email == principal {
			return true
		}
	}
	return false
}

// impersonate serves POST /v1/projects/-/serviceAccounts/EMAIL:generateAccessToken.
// https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
func (s *Server) impersonate(w http.ResponseWriter, r *http.Request) {
	email, isGenerate := strings.CutSuffix(r.PathValue("call"), ":generateAccessToken")
	var request struct {
		Delegates []string `json:"delegates"`
		Scope     []string `json:"scope"`
		Lifetime  string   `json:"lifetime"`
	}
	if !isGenerate {
		http.NotFound(w, r)
		return
	}
	caller, ok := s.caller(w, r)
	if !ok {
		return
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "", "Invalid JSON payload received.")
		return
	}
	life, err := time.ParseDuration(request.Lifetime)
	if len(request.Scope) == 0 || err != nil || life > time.Hour {
		refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "", "Request contains an invalid argument.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.creators[email] == nil {
		refuse(w, http.StatusNotFound, "NOT_FOUND", "", "Not found; Gaia id not found for email "+email)
		return
	}
	from := caller
	for _, name := range append(request.Delegates, "projects/-/serviceAccounts/"+email) {
		to, isName := strings.CutPrefix(name, "projects/-/serviceAccounts/")
		if !isName {
			refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "", "Invalid delegate: "+name)
			return
		}
		if !s.creators[to][from] {
			refuse(w, http.StatusForbidden, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED",
				"Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).")
			return
		}
		from = to
	}
	text, t := s.mint(email, request.Scope, min(life, s.life))
	answer(w, http.StatusOK, map[string]string{"accessToken": text, "expireTime": t.Expires.UTC().Format(time.RFC3339)})
}
