package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/vault/api"

	"dbvalet/tokens"
)

// A login is how a Vault token is come by. What is sent to auth/MOUNT/login is read anew for each
// login, because whoever writes the files replaces them.
type login struct {
	method    string
	mount     string
	role      string
	tokenFile string                                        // of method token
	payload   func(context.Context) (map[string]any, error) // nil: method token
}

// kubernetesJWT is where a pod has the token of its service account.
const kubernetesJWT = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// newLogin reads the options of one method. Those of the others are unknown options.
func (s *Source) newLogin(u *tokens.SecretURL, o Options) (login, error) {
	l := login{method: cmp.Or(u.Option("login"), "token")}
	if l.method == "token" {
		l.tokenFile = u.Option("token_file")
		return l, nil
	}
	l.mount = cmp.Or(strings.Trim(u.Option("login_mount"), "/"), l.method)
	if l.method != "approle" {
		l.role = u.Option("role")
	}
	missing := ""
	switch l.method {
	case "approle":
		id, file := u.Option("role_id"), u.Option("secret_id_file")
		if id == "" {
			missing = "role_id"
		}
		l.payload = func(context.Context) (map[string]any, error) { return s.appRole(id, file) }
	case "kubernetes", "jwt":
		file := u.Option("jwt_file")
		if l.method == "kubernetes" {
			file = cmp.Or(file, kubernetesJWT)
		}
		switch {
		case file == "":
			missing = "jwt_file"
		case l.role == "" && l.method == "kubernetes":
			missing = "role"
		}
		l.payload = func(context.Context) (map[string]any, error) { return s.jwt(l.role, file) }
	case "aws":
		if o.AWS == nil {
			return l, s.denied(errors.New("there are no AWS credentials for login=aws"), "choose another login=")
		}
		caller := awsCaller{credentials: o.AWS, region: cmp.Or(u.Option("region"), "us-east-1"), role: l.role, header: u.Option("header")}
		l.payload = func(ctx context.Context) (map[string]any, error) { return s.signedByAWS(ctx, caller) }
	case "gcp":
		if l.role == "" {
			missing = "role"
		}
		l.payload = func(ctx context.Context) (map[string]any, error) { return s.identityOfGCP(ctx, l.role) }
	default:
		return l, s.denied(errors.New("option login has an unknown method"), "methods are token, approle, kubernetes, jwt, aws and gcp")
	}
	if missing != "" {
		return l, s.denied(fmt.Errorf("login=%s needs %s=", l.method, missing), "add "+missing+"=… to the URL")
	}
	return l, nil
}

// logIn makes a session with a new token.
func (s *Source) logIn(ctx context.Context) (*session, error) {
	payload, err := s.login.payload(ctx)
	if err != nil {
		return nil, err
	}
	asked := s.now().Round(0)
	secret, err := s.client.Logical().WriteWithContext(ctx, "auth/"+s.login.mount+"/login", payload)
	switch {
	case err != nil:
		return nil, s.describeLogin(err, payload)
	case secret == nil || secret.Auth == nil || secret.Auth.ClientToken == "":
		return nil, s.denied(fmt.Errorf("%s gave no token", s.login), "check that the login wants no MFA: vault read sys/auth/"+s.login.mount)
	}
	ses := newSession(s.client, secret.Auth.ClientToken, s.login.who(secret.Auth.Metadata))
	ses.logsIn = true
	ses.grant(asked, time.Duration(secret.Auth.LeaseDuration)*time.Second, secret.Auth.Renewable)
	s.log.Debug("logged in to Vault", "session", ses.who, "expires", ses.end())
	return ses, nil
}

func (l login) String() string { return fmt.Sprintf("the %s login at auth/%s", l.method, l.mount) }

// who says as whom Vault knows us: the role and the identity behind it, as far as the answer to the
// login has them.
func (l login) who(metadata map[string]string) string {
	who := l.method
	if role := cmp.Or(l.role, metadata["role_name"], metadata["role"]); role != "" {
		who += " role " + role
	}
	account := metadata["service_account_name"]
	if account != "" {
		account = metadata["service_account_namespace"] + "/" + account
	}
	if identity := cmp.Or(metadata["client_arn"], metadata["service_account_email"], account); identity != "" {
		who += ", " + identity
	}
	return who
}

// token returns the token that somebody else logged in for, and where it was.
func (s *Source) token() (token, who string, err error) {
	if file := s.login.tokenFile; file != "" {
		token, err := s.file("token_file", file)
		return token, "the token in " + file, err
	}
	for _, name := range []string{api.EnvVaultToken, "VAULT_SERVER_TOKEN"} { // the latter is the Go CDK's
		if token := strings.TrimSpace(os.Getenv(name)); token != "" {
			return token, "the token of " + name, s.checkToken(token, name)
		}
	}
	// As "vault login" leaves it behind.
	if home, err := os.UserHomeDir(); err == nil {
		if content, err := os.ReadFile(filepath.Join(home, ".vault-token")); err == nil {
			if token := strings.TrimSpace(string(content)); token != "" {
				return token, "the token in ~/.vault-token", s.checkToken(token, "~/.vault-token")
			}
		}
	}
	if !strings.HasPrefix(s.server.address, "https:") {
		return "", "the token of the Vault Agent", nil // which may add its own to what it passes on
	}
	return "", "", s.denied(errors.New("there is no Vault token"),
		`run "vault login", or set VAULT_TOKEN or token_file=…, or choose a login=, such as login=kubernetes%26role=NAME`)
}

// file reads a file with a secret that an option names.
func (s *Source) file(option, name string) (string, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return "", &tokens.Error{Source: s.name, Err: fmt.Errorf("%s=: %w", option, err),
			Advice: "check the path, and that dbvalet may read it", Denied: !errors.Is(err, os.ErrNotExist)}
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		return "", &tokens.Error{Source: s.name, Err: fmt.Errorf("%s=%s is empty", option, name), Advice: "check what writes the file"}
	}
	return text, s.checkToken(text, name)
}

// checkToken finds what is more or less than a token, which the client would only call an invalid header.
func (s *Source) checkToken(token, where string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return s.denied(fmt.Errorf("%s holds more than a token", where), "leave one token in it, on one line")
	}
	return nil
}

// appRole is the payload of https://developer.hashicorp.com/vault/api-docs/auth/approle. A role may
// want no secret id.
func (s *Source) appRole(id, file string) (map[string]any, error) {
	payload := map[string]any{"role_id": id}
	secret := strings.TrimSpace(os.Getenv("VAULT_SECRET_ID"))
	if file != "" {
		var err error
		if secret, err = s.file("secret_id_file", file); err != nil {
			return nil, err
		}
	}
	if secret != "" {
		payload["secret_id"] = secret
	}
	return payload, nil
}

// jwt is the payload of https://developer.hashicorp.com/vault/api-docs/auth/kubernetes and …/jwt.
func (s *Source) jwt(role, file string) (map[string]any, error) {
	token, err := s.file("jwt_file", file)
	return withRole(role, map[string]any{"jwt": token}), err
}

// withRole names the role, where it is not left to the method's default.
func withRole(role string, payload map[string]any) map[string]any {
	if role != "" {
		payload["role"] = role
	}
	return payload
}
