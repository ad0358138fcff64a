package gcpfake

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Scopes that matter here.
const (
	CloudPlatform = "https://www.googleapis.com/auth/cloud-platform"
	CloudSQLLogin = "https://www.googleapis.com/auth/sqlservice.login"
	AlloyDBLogin  = "https://www.googleapis.com/auth/alloydb.login"
)

// A Token is what the fake knows about an access token that it gave.
type Token struct {
	Principal string // the email of a service account or a user
	Scopes    []string
	Expires   time.Time
}

// Token returns what text is, and whether it is a token that is alive.
func (s *Server) Token(text string) (Token, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tokens[text]
	return t, ok && time.Now().Before(t.Expires)
}

// TokenValid reports whether a database with IAM logins would take text as a password: it is alive,
// and is good for that and nothing else.
func (s *Server) TokenValid(text string) bool {
	t, ok := s.Token(text)
	return ok && len(t.Scopes) == 1 && (t.Scopes[0] == CloudSQLLogin || t.Scopes[0] == AlloyDBLogin)
}

// SetTokenLife sets how long the tokens live that are made from now on; an hour at first. It does not
// concern the metadata server.
func (s *Server) SetTokenLife(life time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = life
}

// Revoke makes all tokens invalid.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// mint makes a token. s.mu is held.
func (s *Server) mint(principal string, scopes []string, life time.Duration) (string, Token) {
	s.serial++
	text := fmt.Sprintf("ya29.%s.%d", rand.Text(), s.serial)
	t := Token{Principal: principal, Scopes: scopes, Expires: time.Now().Add(life).Round(0)}
	s.tokens[text] = t
	return text, t
}

// key is the one RSA key that all service accounts here have. Making it takes long.
var key = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// token serves POST /token.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	switch grant := r.PostFormValue("grant_type"); grant {
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		claims, refused := s.verify(r.PostFormValue("assertion"))
		if refused != "" {
			refuseOAuth(w, http.StatusBadRequest, "invalid_grant", refused)
			return
		}
		s.grant(w, claims.Issuer, strings.Fields(claims.Scope), nil)
	case "refresh_token":
		s.refresh(w, r)
	default:
		refuseOAuth(w, http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: "+grant)
	}
}

// claims are those of the JWT by which a service account asks for a token.
type claims struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	Scope    string `json:"scope"` // separated by spaces
	Issued   int64  `json:"iat"`   // Unix time, as the next
	Expires  int64  `json:"exp"`
}

// verify checks a JWT: three parts in base64url, separated by dots, of which the last is an RSA
// signature of the others. refused is what is wrong with it, in the words of Google.
func (s *Server) verify(jwt string) (c claims, refused string) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return c, "Invalid JWT."
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return c, "Invalid JWT Signature."
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(&key().PublicKey, crypto.SHA256, sum[:], signature) != nil {
		return c, "Invalid JWT Signature."
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return c, "Invalid JWT."
	}
	now := time.Now().Unix()
	s.mu.Lock()
	_, known := s.creators[c.Issuer]
	s.mu.Unlock()
	switch {
	case !known:
		return c, "Invalid grant: account not found"
	case c.Audience != s.URL+"/token":
		return c, "Invalid JWT: Failed audience check."
	case c.Issued > now+60 || c.Expires < now || c.Expires-c.Issued > 3600:
		return c, "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. " +
			"Check your iat and exp values in the JWT claim."
	case c.Scope == "":
		return c, "Empty or missing scope not allowed."
	}
	return c, ""
}

// refresh serves the grant of a user's refresh token, for the scopes that are asked for.
func (s *Server) refresh(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	u, known := s.users[r.PostFormValue("refresh_token")]
	s.mu.Unlock()
	if r.PostFormValue("client_id") != clientID || r.PostFormValue("client_secret") != clientSecret {
		refuseOAuth(w, http.StatusUnauthorized, "invalid_client", "The OAuth client was not found.")
		return
	}
	if !known {
		refuseOAuth(w, http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked.")
		return
	}
	scopes := u.scopes
	if asked := strings.Fields(r.PostFormValue("scope")); len(asked) > 0 {
		scopes = asked
	}
	for _, scope := range scopes {
		if !slices.Contains(u.scopes, scope) {
			refuseOAuth(w, http.StatusBadRequest, "invalid_scope", "Bad Request")
			return
		}
	}
	s.grant(w, u.email, scopes, nil)
}

// exchange serves POST /sts: the token of another identity provider against one of Google's.
// https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token
func (s *Server) exchange(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	principal, known := s.subjects[r.PostFormValue("subject_token")]
	s.mu.Unlock()
	switch {
	case r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange":
		refuseOAuth(w, http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type.")
	case r.PostFormValue("audience") != poolAudience:
		refuseOAuth(w, http.StatusBadRequest, "invalid_target", "The target service indicated by the \"audience\" parameters is invalid.")
	case !known:
		refuseOAuth(w, http.StatusBadRequest, "invalid_grant", "The given credential is rejected by the attribute condition.")
	default:
		s.grant(w, principal, strings.Fields(r.PostFormValue("scope")),
			map[string]any{"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})
	}
}

// grant answers with a new token, and with what else the endpoint says.
func (s *Server) grant(w http.ResponseWriter, principal string, scopes []string, more map[string]any) {
	s.mu.Lock()
	text, t := s.mint(principal, scopes, s.life)
	s.mu.Unlock()
	body := map[string]any{
		"access_token": text,
		"expires_in":   seconds(t.Expires),
		"token_type":   "Bearer",
		"scope":        strings.Join(scopes, " "),
	}
	for name, value := range more {
		body[name] = value
	}
	answer(w, http.StatusOK, body)
}

// seconds returns how many there are until t. Part of one is gone when somebody looks.
func seconds(t time.Time) int {
	return int(time.Until(t).Round(time.Second)/time.Second) - 1
}
