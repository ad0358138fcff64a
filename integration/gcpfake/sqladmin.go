package gcpfake

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Operations of the Cloud SQL Admin API, for Count and Fail.
const (
	OpConnectSettings = "connectSettings"       // where an instance is, and its CA
	OpEphemeralCert   = "generateEphemeralCert" // a client certificate for it
)

// SQLAdminScope is the one with which the connector asks the Cloud SQL Admin API.
const SQLAdminScope = "https://www.googleapis.com/auth/sqlservice.admin"

// SQLAdmin is the part of the Cloud SQL Admin API that connectors use, and the instances themselves:
//
//	GET  /sql/v1beta4/projects/P/instances
//	GET  /sql/v1beta4/projects/P/instances/I/connectSettings
//	POST /sql/v1beta4/projects/P/instances/I:generateEphemeralCert
//
// https://cloud.google.com/sql/docs/postgres/admin-api/rest/v1beta4/connect
type SQLAdmin struct {
	*Server

	state     sync.Mutex
	instances map[string]*Instance // by project:name
	clients   map[string]bool      // who has roles/cloudsql.client
	disabled  bool
	life      time.Duration // of certificates
	listings  listings
}

// NewSQLAdmin adds the API to s, once. Close ends the instances; s ends by itself.
func NewSQLAdmin(s *Server) *SQLAdmin {
	a := &SQLAdmin{Server: s, instances: make(map[string]*Instance), clients: make(map[string]bool), life: time.Hour}
	const prefix = " /sql/v1beta4/projects/{project}/instances/"
	s.Handle(OpConnectSettings, "GET"+prefix+"{instance}/connectSettings", a.connectSettings)
	s.Handle(OpListInstances, "GET /sql/v1beta4/projects/{project}/instances", a.listInstances)
	s.Handle(OpEphemeralCert, "POST"+prefix+"{call}", a.ephemeralCert)
	return a
}

// Close ends all instances and their connections.
func (a *SQLAdmin) Close() {
	a.state.Lock()
	instances := a.instances
	a.instances = make(map[string]*Instance)
	a.state.Unlock()
	for _, i := range instances {
		i.close()
	}
}

// AllowConnect gives principal roles/cloudsql.client.
func (a *SQLAdmin) AllowConnect(principal string) {
	a.state.Lock()
	defer a.state.Unlock()
	a.clients[principal] = true
}

// Disable turns the API off, as it is in a new project.
func (a *SQLAdmin) Disable() {
	a.state.Lock()
	defer a.state.Unlock()
	a.disabled = true
}

// SetCertificateLife sets how long the certificates live that are made from now on; an hour at first.
// Connectors replace them four minutes before the end.
func (a *SQLAdmin) SetCertificateLife(life time.Duration) {
	a.state.Lock()
	defer a.state.Unlock()
	a.life = life
}

// connectSettings says where an instance is.
func (a *SQLAdmin) connectSettings(w http.ResponseWriter, r *http.Request) {
	if i, ok := a.authorize(w, r, r.PathValue("instance")); ok {
		answer(w, http.StatusOK, i.settings())
	}
}

// ephemeralCert signs the key of a client. The certificate stands for the login token as well.
func (a *SQLAdmin) ephemeralCert(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutSuffix(r.PathValue("call"), ":generateEphemeralCert")
	if !ok {
		http.NotFound(w, r)
		return
	}
	i, ok := a.authorize(w, r, name)
	if !ok {
		return
	}
	var request struct {
		PublicKey   string `json:"public_key"`
		AccessToken string `json:"access_token"`
	}
	if json.NewDecoder(r.Body).Decode(&request) != nil {
		refuseSQL(w, http.StatusBadRequest, "parseError", "Parse Error")
		return
	}
	key, err := publicKey(request.PublicKey)
	if err != nil {
		refuseSQL(w, http.StatusBadRequest, "invalid", "Invalid public key: "+err.Error())
		return
	}
	if !a.TokenValid(request.AccessToken) {
		refuseSQL(w, http.StatusBadRequest, "invalid", "The access token is not one for logins.")
		return
	}
	a.state.Lock()
	life := a.life
	a.state.Unlock()
	cert := i.sign(key, request.AccessToken, life)
	answer(w, http.StatusOK, map[string]any{"ephemeralCert": map[string]string{
		"kind": "sql#sslCert", "cert": cert, "instance": i.name, "expirationTime": time.Now().Add(life).UTC().Format(time.RFC3339),
	}})
}

// authorize finds the instance that r is about. Where the caller may not have it, it has answered.
func (a *SQLAdmin) authorize(w http.ResponseWriter, r *http.Request, name string) (*Instance, bool) {
	text, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	t, alive := a.Token(text)
	a.state.Lock()
	defer a.state.Unlock()
	i := a.instances[r.PathValue("project")+":"+name]
	switch {
	case !alive:
		refuseSQL(w, http.StatusUnauthorized, "authError", "Request had invalid authentication credentials.")
	case !slices.Contains(t.Scopes, CloudPlatform) && !slices.Contains(t.Scopes, SQLAdminScope):
		refuseSQL(w, http.StatusForbidden, "insufficientPermissions", "Request had insufficient authentication scopes.")
	case a.disabled:
		refuseSQL(w, http.StatusForbidden, "accessNotConfigured", "Cloud SQL Admin API has not been used in project "+
			"123456789012 before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/sqladmin.googleapis.com/overview?project=123456789012 then retry.")
	case !a.clients[t.Principal]:
		refuseSQL(w, http.StatusForbidden, "forbidden", fmt.Sprintf("boss::NOT_AUTHORIZED: Not authorized to access resource. "+
			"Possibly missing permission cloudsql.instances.get on resource instances/%s.", name))
	case i == nil:
		refuseSQL(w, http.StatusNotFound, "instanceDoesNotExist", "The Cloud SQL instance does not exist.")
	default:
		return i, true
	}
	return nil, false
}

// refuseSQL writes an error as the Cloud SQL Admin API does: with the older list of errors.
func refuseSQL(w http.ResponseWriter, code int, reason, message string) {
	answer(w, code, map[string]any{"error": map[string]any{
		"code": code, "message": message,
		"errors": []any{map[string]string{"message": message, "domain": "global", "reason": reason}},
	}})
}

// publicKey reads what connectors send: PKIX in a block that is called RSA PUBLIC KEY.
func publicKey(text string) (*rsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fmt.Errorf("not PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%T is not an RSA key", key)
	}
	return public, nil
}
