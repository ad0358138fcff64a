package gcpfake

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
)

const (
	clientID     = "764086051850-fake.apps.googleusercontent.com"
	clientSecret = "d-fake-client-secret"
	poolAudience = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/provider"
)

// A user is somebody who has run "gcloud auth application-default login".
type user struct {
	email  string
	scopes []string // what the login was for
}

// AddServiceAccount makes a service account known. Nobody may impersonate it yet.
func (s *Server) AddServiceAccount(email string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.creators[email] == nil {
		s.creators[email] = make(map[string]bool)
	}
}

// AllowImpersonation gives caller roles/iam.serviceAccountTokenCreator on the service account email.
func (s *Server) AllowImpersonation(caller, email string) {
	s.AddServiceAccount(email)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.creators[email][caller] = true
}

// An ADC is the content of a file with Application Default Credentials. Write puts it where client
// libraries find it.
type ADC map[string]any

// Write writes a into a file in dir, and returns its path. dir is a directory of the test.
func (a ADC) Write(dir string) (string, error) {
	content, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "application_default_credentials.json")
	return path, os.WriteFile(path, content, 0o600)
}

// ServiceAccount returns a key of the service account email, which exists from now on.
func (s *Server) ServiceAccount(email string) ADC {
	s.AddServiceAccount(email)
	der, err := x509.MarshalPKCS8PrivateKey(key())
	if err != nil {
		panic(err)
	}
	return ADC{
		"type":           "service_account",
		"project_id":     "proj",
		"private_key_id": "fake-key-id",
		"private_key":    string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email":   email,
		"client_id":      "100000000000000000001",
		"token_uri":      s.URL + "/token",
	}
}

// User returns what "gcloud auth application-default login" leaves, for scopes: those that it asks for
// by itself where none are given. It does not say who the user is.
func (s *Server) User(email string, scopes ...string) ADC {
	if len(scopes) == 0 {
		scopes = []string{"openid", "https://www.googleapis.com/auth/userinfo.email", CloudPlatform, CloudSQLLogin}
	}
	refresh := "1//" + rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[refresh] = user{email, scopes}
	return ADC{
		"type":             "authorized_user",
		"account":          "",
		"client_id":        clientID,
		"client_secret":    clientSecret,
		"refresh_token":    refresh,
		"quota_project_id": "quota-proj",
		"universe_domain":  "googleapis.com",
		"token_uri":        s.URL + "/token",
	}
}

// EndSessions makes all refresh tokens of users invalid, as a session length that is over does.
func (s *Server) EndSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.users)
}

// Impersonated returns what "gcloud auth application-default login --impersonate-service-account"
// leaves: source impersonates the service account email.
func (s *Server) Impersonated(source ADC, email string, delegates ...string) ADC {
	names := []string{}
	for _, d := range delegates {
		names = append(names, "projects/-/serviceAccounts/"+d)
	}
	return ADC{
		"type":                              "impersonated_service_account",
		"service_account_impersonation_url": s.impersonationURL(email),
		"delegates":                         names,
		"source_credentials":                source,
	}
}

// Federated returns a configuration of workload identity federation: the other identity provider's
// token is in a file in dir, and stands for principal. email is the service account to impersonate;
// empty is none.
func (s *Server) Federated(dir, principal, email string) (ADC, error) {
	subject := "eyJfake." + rand.Text()
	path := filepath.Join(dir, "subject-token")
	if err := os.WriteFile(path, []byte(subject), 0o600); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.subjects[subject] = principal
	s.mu.Unlock()
	a := ADC{
		"type":               "external_account",
		"audience":           poolAudience,
		"subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"token_url":          s.URL + "/sts",
		"credential_source":  map[string]any{"file": path},
	}
	if email != "" {
		a["service_account_impersonation_url"] = s.impersonationURL(email)
	}
	return a, nil
}

func (s *Server) impersonationURL(email string) string {
	return s.URL + "/v1/projects/-/serviceAccounts/" + email + ":generateAccessToken"
}
