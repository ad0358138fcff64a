package gcpfake

import (
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
)

// States of a version.
const (
	Enabled   = "ENABLED"
	Disabled  = "DISABLED"
	Destroyed = "DESTROYED"
)

type secret struct {
	versions  []version       // version 1 is the first
	accessors map[string]bool // who has roles/secretmanager.secretAccessor
}

type version struct {
	payload []byte
	state   string
}

// AddVersion adds a version to the secret, which is made if it is new, and returns its number. It is
// what "latest" means from now on.
func (s *Server) AddVersion(project, name string, payload []byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.secret(project, name)
	v.versions = append(v.versions, version{payload, Enabled})
	return len(v.versions)
}

// SetState enables, disables or destroys a version that there is.
func (s *Server) SetState(project, name string, number int, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secret(project, name).versions[number-1].state = state
}

// AllowAccess gives principal roles/secretmanager.secretAccessor on the secret.
func (s *Server) AllowAccess(project, name, principal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secret(project, name).accessors[principal] = true
}

// RevokeAccess takes it away.
func (s *Server) RevokeAccess(project, name, principal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.secret(project, name).accessors, principal)
}

// secret finds or makes a secret. s.mu is held.
func (s *Server) secret(project, name string) *secret {
	full := "projects/" + project + "/secrets/" + name
	if s.secrets[full] == nil {
		s.secrets[full] = &secret{accessors: make(map[string]bool)}
	}
	return s.secrets[full]
}

// access serves GET /v1/projects/P/secrets/S/versions/V:access.
// https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
func (s *Server) access(w http.ResponseWriter, r *http.Request) {
	wanted, isAccess := strings.CutSuffix(r.PathValue("call"), ":access")
	if !isAccess {
		http.NotFound(w, r)
		return
	}
	caller, ok := s.caller(w, r)
	if !ok {
		return
	}
	switch quota := r.Header.Get("X-Goog-User-Project"); {
	case quota == "" && s.isUser(caller):
		refuse(w, http.StatusForbidden, "PERMISSION_DENIED", "SERVICE_DISABLED",
			"Your application is authenticating by using local Application Default Credentials. "+
				"The secretmanager.googleapis.com API requires a quota project, which is not set by default.")
		return
	case quota != "" && !s.isUser(caller): // no account here has serviceusage.services.use
		refuse(w, http.StatusForbidden, "PERMISSION_DENIED", "USER_PROJECT_DENIED",
			"Caller does not have required permission to use project "+quota+".")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	full := "projects/" + r.PathValue("project") + "/secrets/" + r.PathValue("secret")
	found := s.secrets[full]
	const number = "123456789012" // the project's: the answer has it in place of the project's name
	numbered := "projects/" + number + "/secrets/" + r.PathValue("secret")
	switch {
	case found == nil:
		refuse(w, http.StatusNotFound, "NOT_FOUND", "", fmt.Sprintf("Secret [%s] not found or has no versions.", numbered))
		return
	case !found.accessors[caller]:
		refuse(w, http.StatusForbidden, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED",
			fmt.Sprintf("Permission 'secretmanager.versions.access' denied for resource '%s/versions/%s' (or it may not exist).", full, wanted))
		return
	}
	n := len(found.versions)
	if wanted != "latest" {
		n, _ = strconv.Atoi(wanted)
	}
	if n < 1 || n > len(found.versions) {
		refuse(w, http.StatusNotFound, "NOT_FOUND", "", fmt.Sprintf("Secret Version [%s/versions/%s] not found.", numbered, wanted))
		return
	}
	v := found.versions[n-1]
	name := fmt.Sprintf("%s/versions/%d", numbered, n)
	if v.state != Enabled {
		refuse(w, http.StatusBadRequest, "FAILED_PRECONDITION", "", fmt.Sprintf("Secret Version [%s] is in %s state.", name, v.state))
		return
	}
	sum := crc32.Checksum(v.payload, crc32.MakeTable(crc32.Castagnoli))
	answer(w, http.StatusOK, map[string]any{
		"name": name,
		"payload": map[string]string{
			"data":       base64.StdEncoding.EncodeToString(v.payload),
			"dataCrc32c": strconv.FormatUint(uint64(sum), 10),
		},
	})
}
