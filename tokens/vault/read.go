package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"dbvalet/tokens"
)

// An answer is what Vault had at a path.
type answer struct {
	path    string
	secret  *api.Secret
	session *session
	asked   time.Time // before the request, so that no lease is thought to live longer than it does
}

// Reasons for there being no secret at a path.
var (
	errNoSecret    = errors.New("there is no such secret")
	errPathWithout = errors.New("the path of a KV version 2 secret lacks its data/")
	errNotKV2      = errors.New("kv=2 is given, and the secret is not one of KV version 2")
)

// deletedError is a version of a KV version 2 secret that there was.
type deletedError struct {
	version   string
	at        string // empty if it was destroyed, which no undelete brings back
	destroyed bool
}

func (e *deletedError) Error() string {
	if e.destroyed {
		return fmt.Sprintf("version %s is destroyed", e.version)
	}
	return fmt.Sprintf("version %s was deleted at %s", e.version, e.at)
}

// pathError says at which path there was no secret.
type pathError struct {
	path string
	err  error
}

func (e *pathError) Error() string { return e.err.Error() }
func (e *pathError) Unwrap() error { return e.err }

// gone reports whether err is that of a version which does not exist, or not any more.
func gone(err error) bool {
	_, deleted := errors.AsType[*deletedError](err)
	return deleted || errors.Is(err, errNoSecret)
}

// read asks Vault for the secret, with another login if the token at hand is not good any more.
// Its errors are *tokens.Error.
func (s *Source) read(ctx context.Context, version string) (answer, error) {
	ses, kept, err := s.session(ctx)
	if err != nil {
		return answer{}, err
	}
	a, err := s.search(ctx, ses, version)
	if kept && ses.logsIn && status(err) == 403 {
		ses.drop()
		if ses, _, err = s.session(ctx); err != nil {
			return answer{}, err
		}
		a, err = s.search(ctx, ses, version)
	}
	if err != nil {
		return answer{}, s.describeRead(ses, err)
	}
	return a, nil
}

// search reads at the path, and where that may be one of KV version 2 without its data/, at the
// paths that have it. Vault says so itself only to who may read the path without it.
func (s *Source) search(ctx context.Context, ses *session, version string) (answer, error) {
	var first error
	for _, path := range s.paths() {
		a := answer{path: path, session: ses, asked: s.now().Round(0)}
		err := a.read(ctx, version)
		if err == nil && s.kv == "2" && !a.versioned() {
			err = errNotKV2
		}
		if err == nil || gone(err) && a.secret != nil {
			s.remember(a)
		}
		if err == nil {
			return a, nil
		}
		if first == nil || errors.Is(first, errPathWithout) {
			first = &pathError{path, err}
		}
		elsewhere := errors.Is(err, errPathWithout) || status(err) == 403 ||
			errors.Is(err, errNoSecret) && path != s.path // with data/ in the wrong place
		if !elsewhere {
			break
		}
	}
	return answer{}, first
}

// paths returns where the secret may be, likeliest first.
func (s *Source) paths() []string {
	s.mu.Lock()
	found := s.found
	s.mu.Unlock()
	if found != "" {
		return []string{found}
	}
	keys := strings.Split(s.path, "/")
	var paths []string
	complete := strings.Contains(s.path, "/data/")
	if s.kv != "2" || complete {
		paths = append(paths, s.path)
	}
	if s.kv == "1" || complete || s.OwnUser() {
		return paths
	}
	for i := 1; i < len(keys); i++ { // a mount may have more than one part
		paths = append(paths, strings.Join(keys[:i], "/")+"/data/"+strings.Join(keys[i:], "/"))
	}
	return paths
}

// remember keeps what was learned about the secret.
func (s *Source) remember(a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found, s.versioned = a.path, s.kv != "1" && a.versioned()
}

// read fills in the secret.
func (a *answer) read(ctx context.Context, version string) error {
	query := map[string][]string{}
	if version != "" {
		query["version"] = []string{version}
	}
	secret, err := a.session.client.Logical().ReadWithDataWithContext(ctx, a.path, query)
	switch {
	case err != nil:
		return err
	case secret == nil:
		return errNoSecret
	case secret.Data == nil: // a 404 with a body
		for _, warning := range secret.Warnings {
			if strings.Contains(warning, "Invalid path for a versioned K/V secrets engine") {
				return errPathWithout
			}
		}
		return errNoSecret
	}
	a.secret = secret
	if meta := a.metadata(); meta != nil && a.secret.Data["data"] == nil {
		at, _ := meta["deletion_time"].(string)
		destroyed, _ := meta["destroyed"].(bool)
		return &deletedError{version: fmt.Sprint(meta["version"]), at: at, destroyed: destroyed}
	}
	return nil
}

// metadata returns what KV version 2 says about the version that it gave; nil elsewhere.
func (a *answer) metadata() map[string]any {
	if a.secret == nil || a.secret.LeaseID != "" {
		return nil
	}
	meta, _ := a.secret.Data["metadata"].(map[string]any)
	_, data := a.secret.Data["data"]
	if _, number := meta["version"].(json.Number); !number || !data {
		return nil
	}
	return meta
}

func (a *answer) versioned() bool { return a.metadata() != nil }

// versionBefore returns the number of the version before the one that was read.
func (a *answer) versionBefore() (string, bool) {
	current, err := strconv.Atoi(fmt.Sprint(a.metadata()["version"]))
	return strconv.Itoa(current - 1), err == nil && current > 1
}

// lookedUp makes a credential of what has no lease.
func (s *Source) lookedUp(a answer) (tokens.Credential, error) {
	data, id := a.secret.Data, a.path
	rotated, static := data["last_vault_rotation"].(string)
	if static {
		id = "rotated " + rotated
	}
	if meta := a.metadata(); meta != nil && s.kv != "1" {
		id = fmt.Sprintf("version %v", meta["version"])
		data, _ = data["data"].(map[string]any)
	}
	cred, err := s.decode(s.decoder, data, static)
	cred.ID = id
	return cred, err
}

// decode reads the data of a secret. Where that is one text, it is the password. The data of a role
// has a username, also where path= leads to the password alone.
func (s *Source) decode(d tokens.Decoder, data map[string]any, role bool) (tokens.Credential, error) {
	if d.Path == "" {
		d.Path = onlyText(data)
	}
	payload, err := json.Marshal(data)
	if err != nil {
		return tokens.Credential{}, s.denied(errors.New("the secret is not JSON"), "put a password into the secret")
	}
	cred, err := d.Credential(payload)
	if e, ok := errors.AsType[*tokens.Error](err); ok {
		e.Source = s.name
	}
	if user, ok := data["username"].(string); ok && role && err == nil {
		cred.User = user
	}
	return cred, err
}

// onlyText returns the key of a secret that has only this one, and a text for it, as path= wants it.
func onlyText(data map[string]any) string {
	if len(data) != 1 {
		return ""
	}
	for key, value := range data {
		if _, text := value.(string); text {
			return strings.NewReplacer(`\`, `\\`, `.`, `\.`).Replace(key)
		}
	}
	return ""
}
