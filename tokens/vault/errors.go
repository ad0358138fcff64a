package vault

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"

	"dbvalet/tokens"
)

// describeRead says why there is no secret. Of what Vault says, only known words are repeated: it may
// quote the database, which may quote the statement that makes the user.
func (s *Source) describeRead(ses *session, err error) *tokens.Error {
	path := s.path
	if at, ok := errors.AsType[*pathError](err); ok {
		path, err = at.path, at.err
	}
	deleted, isDeleted := errors.AsType[*deletedError](err)
	switch {
	case errors.Is(err, errNoSecret), errors.Is(err, errPathWithout):
		return s.denied(fmt.Errorf("%w at %s", errNoSecret, path), "check the path, which for KV version 2 has data/ after the mount: "+s.look())
	case errors.Is(err, errNotKV2):
		return s.denied(err, "leave kv= out")
	case isDeleted && deleted.destroyed:
		return s.denied(err, "write a new version: vault kv put "+kvPath(path)+" password=…")
	case isDeleted:
		return s.denied(err, fmt.Sprintf("vault kv undelete -versions=%s %s, or write a new version", deleted.version, kvPath(path)))
	}
	switch status(err) {
	case http.StatusForbidden:
		if ses.token.Empty() {
			return s.noToken()
		}
		return s.denied(fmt.Errorf("permission denied for %s", ses.who), "allow it with a policy: "+s.policy(path)+expired(ses))
	case http.StatusBadRequest:
		switch {
		case says(err, "unknown role"):
			return s.denied(errors.New("no role of that name"), "see which there are: vault list "+rolesPath(path))
		case says(err, "missing client token"):
			return s.noToken()
		}
		return s.denied(errors.New("the request was refused (400)"), "see what it says: "+s.look())
	case http.StatusMethodNotAllowed:
		return s.denied(errors.New("what is at the path can't be read"), "check the path: "+s.look())
	}
	return s.outage(err)
}

// noToken says that Vault got no token, neither from us nor from a Vault Agent.
func (s *Source) noToken() *tokens.Error {
	return s.denied(errors.New("there is no Vault token, and no Vault Agent that adds one which may read this"),
		`run "vault login", or set VAULT_TOKEN or token_file=…, or let the agent use its own: api_proxy { use_auto_auth_token = true }`)
}

// describeRenewal says why a lease was not renewed.
func (s *Source) describeRenewal(ses *session, err error) *tokens.Error {
	switch status(err) {
	case http.StatusForbidden:
		return s.denied(fmt.Errorf("permission to renew a lease denied for %s", ses.who), "allow it with a policy: "+capability("sys/leases/renew", "update"))
	case http.StatusBadRequest:
		if says(err, "lease is not renewable") {
			return s.denied(errNotRenewable, "nothing needs to be done: another is made")
		}
		return s.denied(errors.New("the lease has ended, or is renewed no more"), "nothing needs to be done: another is made")
	}
	return s.outage(err)
}

// describeRevocation says why a lease was not revoked.
func (s *Source) describeRevocation(ses *session, err error) *tokens.Error {
	switch status(err) {
	case http.StatusForbidden:
		return s.denied(fmt.Errorf("permission to revoke a lease denied for %s", ses.who), "allow it with a policy: "+capability("sys/leases/revoke", "update"))
	case http.StatusBadRequest, http.StatusNotFound:
		return s.denied(errors.New("the revocation of a lease was refused"), "look at Vault's log")
	}
	return s.outage(err)
}

// describeLogin says why there is no token. payload is what was sent.
func (s *Source) describeLogin(err error, payload map[string]any) *tokens.Error {
	at := "auth/" + s.login.mount
	role := ""
	if s.login.role != "" {
		role = fmt.Sprintf(" with role %q", s.login.role)
	}
	switch status(err) {
	case http.StatusNotFound:
		return s.denied(fmt.Errorf("there is no login at %s", at), "see where there is one, and set login_mount=: vault auth list")
	case http.StatusBadRequest, http.StatusForbidden, http.StatusUnauthorized:
		return s.denied(fmt.Errorf("%s%s was refused%s", s.login, role, s.reason(err, payload)), s.loginAdvice())
	}
	e := s.outage(err)
	e.Err = fmt.Errorf("%s%s: %w", s.login, role, e.Err)
	return e
}

// reason repeats what Vault says about a login that it refused. That does not hold what was sent,
// but in the case of AWS, whose answer may quote the signed request with its session token.
func (s *Source) reason(err error, payload map[string]any) string {
	const maxReason = 120 // bytes
	e, ok := errors.AsType[*api.ResponseError](err)
	if !ok || e.RawError || s.login.method == "aws" {
		return ""
	}
	text := strings.Join(strings.Fields(strings.Join(e.Errors, "; ")), " ")
	for _, key := range []string{"secret_id", "jwt"} {
		if secret, _ := payload[key].(string); secret != "" && strings.Contains(text, secret) {
			return ""
		}
	}
	if text == "" {
		return ""
	}
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return ": " + text
}

// loginAdvice says where to look for what Vault does not like about a login.
func (s *Source) loginAdvice() string {
	role := "auth/" + s.login.mount + "/role/" + s.login.role
	switch s.login.method {
	case "approle":
		return "check role_id=, and that the secret id is not used up: vault write -f auth/" + s.login.mount + "/role/NAME/secret-id"
	case "kubernetes":
		return "compare the pod's service account and namespace with the role: vault read " + role
	case "aws":
		return "compare bound_iam_principal_arn with \"aws sts get-caller-identity\", and header= with iam_server_id_header_value: vault read " + role
	}
	return "compare the claims of the token with the role: vault read " + role
}

// outage describes what may be different in a moment, and what is none of Vault's words.
func (s *Source) outage(err error) *tokens.Error {
	e := &tokens.Error{Source: s.name, Err: withoutURL(err), Advice: "check that Vault is unsealed: vault status -address=" + s.address()}
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, hostname := errors.AsType[x509.HostnameError](err)
	switch code := status(err); {
	case errors.Is(err, tokens.ErrInClear):
		e.Denied = true
		e.Advice = "check where Vault at " + s.address() + " sends its clients: api_addr must begin with https://"
	case code == http.StatusServiceUnavailable && says(err, "sealed"):
		e.Err = errors.New("the Vault is sealed")
	case code == http.StatusTooManyRequests, code == 472, code == 473:
		e.Err = fmt.Errorf("the Vault is a standby, or asked too often (%d)", code)
	case code != 0:
		e.Err = fmt.Errorf("answer %d of Vault: %s", code, http.StatusText(code))
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		e.Err = fmt.Errorf("no answer from Vault: %w", withoutURL(err))
	case authority:
		e.Advice = "name the CA of Vault's certificate with ca=/path/ca.pem or VAULT_CACERT"
	case hostname:
		e.Advice = "write the address as the certificate names it, or set VAULT_TLS_SERVER_NAME"
	}
	return e
}

// status returns the status code of an answer of Vault, and 0 where there was none.
func status(err error) int {
	e, ok := errors.AsType[*api.ResponseError](err)
	if !ok {
		return 0
	}
	return e.StatusCode
}

// says reports whether Vault used these words.
func says(err error, words string) bool {
	e, ok := errors.AsType[*api.ResponseError](err)
	return ok && strings.Contains(strings.Join(e.Errors, "\n"), words)
}

// address returns where Vault is, for a command.
func (s *Source) address() string {
	u, err := url.Parse(s.server.address)
	if err != nil {
		return s.server.address
	}
	return u.Redacted()
}

// policy returns what allows to use the secret at a path.
func (s *Source) policy(path string) string {
	text := capability(path, "read")
	if path == s.path && s.kv == "" && !s.OwnUser() && !strings.Contains(path, "/data/") {
		mount, rest, _ := strings.Cut(path, "/")
		text += " (for KV version 2: " + mount + "/data/" + rest + ")"
	}
	if s.OwnUser() && strings.Contains(path, "/creds/") {
		text += " " + capability("sys/leases/renew", "update") + " " + capability("sys/leases/revoke", "update")
	}
	return text
}

func capability(path, what string) string {
	return fmt.Sprintf("path %q { capabilities = [%q] }", path, what)
}

// expired adds what else a 403 means for a token that somebody else sees to.
func expired(ses *session) string {
	if ses.logsIn {
		return ""
	}
	return "; or the token has expired: vault token lookup"
}

// look returns the command that reads the secret by hand.
func (s *Source) look() string { return "vault read " + s.path }

// kvPath returns the path as the vault command wants it.
func kvPath(path string) string { return strings.Replace(path, "/data/", "/", 1) }

// rolesPath returns where the roles are listed beside which there are credentials.
func rolesPath(path string) string {
	keys := strings.Split(path, "/")
	if n := len(keys) - 2; n >= 0 {
		if keys[n] == "static-creds" {
			return strings.Join(append(keys[:n:n], "static-roles"), "/")
		}
		return strings.Join(append(keys[:n:n], "roles"), "/")
	}
	return path
}
