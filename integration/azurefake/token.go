package azurefake

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
)

// The resources of the database services, as "az cloud show" names them.
const (
	Public       = "https://ossrdbms-aad.database.windows.net"
	USGovernment = "https://ossrdbms-aad.database.usgovcloudapi.net"
	China        = "https://ossrdbms-aad.database.chinacloudapi.cn"
)

// Manager is Azure Resource Manager, which is a resource, too.
const Manager = "https://management.azure.com"

func isResource(s string) bool { return isDatabase(s) || s == Manager }
func isDatabase(s string) bool { return s == Public || s == USGovernment || s == China }

type token struct {
	text            string
	issued, expires int64 // seconds since 1970
}

// sign makes a JSON Web Token. Azure signs with RSA; to whoever looks at the claims it is all the
// same. s.mu is held.
func (s *Server) sign(claims Claims, resource string) token {
	now := time.Now()
	t := token{issued: now.Unix(), expires: now.Add(s.life).Unix()}
	all := Claims{
		"aud": resource, "iss": "https://sts.windows.net/" + Tenant + "/", "tid": Tenant,
		"iat": t.issued, "nbf": t.issued, "exp": t.expires, "ver": "1.0",
	}
	maps.Copy(all, claims)
	payload, _ := json.Marshal(all)
	encode := base64.RawURLEncoding.EncodeToString
	t.text = encode([]byte(`{"typ":"JWT","alg":"EdDSA","kid":"azurefake"}`)) + "." + encode(payload)
	t.text += "." + encode(ed25519.Sign(s.key, []byte(t.text)))
	return t
}

// Verify does what a database does with a token: it checks the signature, the time and that the token
// is for a database of this tenant. Which of its users the bearer may be is for the caller to say.
func (s *Server) Verify(token string) (Claims, error) { return s.verify(token, isDatabase) }

// verify checks a token for one of the resources that is likes.
func (s *Server) verify(token string, is func(resource string) bool) (Claims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a JSON Web Token")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !ed25519.Verify(s.key.Public().(ed25519.PublicKey), []byte(parts[0]+"."+parts[1]), signature) {
		return nil, errors.New("the signature is wrong")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	var claims Claims
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, err
	}
	number := func(name string) time.Time {
		seconds, _ := claims[name].(float64)
		return time.Unix(int64(seconds), 0)
	}
	now := time.Now()
	if audience, _ := claims["aud"].(string); !is(audience) {
		return nil, fmt.Errorf("the token is for %q", audience)
	}
	if claims["tid"] != Tenant {
		return nil, errors.New("the token is of another tenant")
	}
	if now.Before(number("nbf")) || !now.Before(number("exp")) {
		return nil, errors.New("the token has expired, or begins later")
	}
	return claims, nil
}
