package gcp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"cloud.google.com/go/compute/metadata"

	"dbvalet/tokens"
)

// adc are Application Default Credentials: the content of a file, or the metadata server. It holds
// nothing that may not be printed.
type adc struct {
	path    string        // of the file; empty: the metadata server
	content tokens.Secret // of the file

	kind      string // of the file: service_account, authorized_user, …
	principal string // the email that tokens are for; empty: unknown
	quota     string // quota_project_id
	target    string // the URL to get a token of an impersonated service account at
	delegates []string
	source    *adc // the credentials to impersonate with
	runs      bool // a program gives the token of another identity provider
}

// file is what is read of a file here. The rest is the library's, and stays in adc.content.
type file struct {
	Type             string          `json:"type"`
	ClientEmail      string          `json:"client_email"`
	Account          string          `json:"account"` // gcloud leaves it empty, mostly
	QuotaProject     string          `json:"quota_project_id"`
	ImpersonationURL string          `json:"service_account_impersonation_url"`
	Delegates        []string        `json:"delegates"`
	Source           json.RawMessage `json:"source_credentials"`
	CredentialSource struct {
		Executable json.RawMessage `json:"executable"`
	} `json:"credential_source"`
}

// The types of files that are treated here, and not by the library.
const (
	kindServiceAccount = "service_account"
	kindUser           = "authorized_user"
	kindImpersonated   = "impersonated_service_account"
)

const fileVariable = "GOOGLE_APPLICATION_CREDENTIALS"

var (
	errNone   = errors.New("no Application Default Credentials found")
	errNotADC = errors.New("not a JSON file with credentials of Google Cloud")
	errNotURL = errors.New("its service_account_impersonation_url does not name a service account")

	// targetURL splits a service_account_impersonation_url: the API's address, and the account.
	targetURL = regexp.MustCompile(`^(https?://[^/]+/)v1/projects/-/serviceAccounts/([^/:]+):generateAccessToken$`)
)

// find returns the credentials of now. The library's own search takes no context, and where it once
// found no metadata server it never looks again.
func (c *caller) find(ctx context.Context) (*adc, error) {
	for _, path := range paths() {
		content, err := os.ReadFile(path)
		switch {
		case err == nil:
			a, err := parse(content)
			if err != nil {
				return nil, &fileError{path, err}
			}
			for part := a; part != nil; part = part.source {
				part.path = path
			}
			return a, nil
		case os.Getenv(fileVariable) != "":
			return nil, &fileError{path, err}
		}
	}
	if !c.inCloud(ctx) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, errNone
	}
	return &adc{}, nil
}

// paths returns where there may be a file: the one that was named, or else gcloud's.
func paths() []string {
	if path := os.Getenv(fileVariable); path != "" {
		return []string{path}
	}
	const name = "application_default_credentials.json"
	var list []string
	if dir := os.Getenv("CLOUDSDK_CONFIG"); dir != "" { // gcloud writes there then, and the library does not look
		list = append(list, filepath.Join(dir, name))
	}
	if runtime.GOOS == "windows" {
		return append(list, filepath.Join(os.Getenv("APPDATA"), "gcloud", name))
	}
	if home, err := os.UserHomeDir(); err == nil {
		list = append(list, filepath.Join(home, ".config", "gcloud", name))
	}
	return list
}

// parse reads the content of a file, or of the source_credentials in one.
func parse(content []byte) (*adc, error) {
	var f file
	if json.Unmarshal(content, &f) != nil || f.Type == "" {
		return nil, errNotADC
	}
	a := &adc{
		content: tokens.NewSecret(string(content)), kind: f.Type, quota: f.QuotaProject,
		target: f.ImpersonationURL, runs: len(f.CredentialSource.Executable) > 0,
	}
	for _, d := range f.Delegates {
		a.delegates = append(a.delegates, strings.TrimPrefix(d, accountPrefix))
	}
	a.principal = strings.ToLower(cmp.Or(f.ClientEmail, f.Account))
	match := targetURL.FindStringSubmatch(a.target)
	if match != nil && strings.Contains(match[2], "@") { // otherwise it is a number
		a.principal = strings.ToLower(match[2])
	}
	if f.Type == kindImpersonated {
		if match == nil {
			return nil, errNotURL
		}
		var err error
		if a.source, err = parse(f.Source); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// String says who we are, as far as the credentials say it.
func (a *adc) String() string {
	if a.principal == "" && a.path != "" {
		return "the user of " + a.path
	}
	return cmp.Or(a.principal, "this machine")
}

// quotaProject returns the project that calls of APIs are counted for; empty: the principal's own.
func (a *adc) quotaProject() string {
	return cmp.Or(os.Getenv("GOOGLE_CLOUD_QUOTA_PROJECT"), a.quota)
}

// inCloud reports whether there is a metadata server. Only a yes is remembered: it may be slow to
// come up.
func (c *caller) inCloud(ctx context.Context) bool {
	if !c.seen.Load() && c.detect(ctx) {
		c.seen.Store(true)
	}
	return c.seen.Load()
}

// account returns the email of the service account that the machine has, or "" for an identity that is
// none, as GKE gives one to pods without a service account.
func (c *caller) account(ctx context.Context) (string, error) {
	x := &exchange{}
	email, err := metadata.NewClient(c.client(ctx, x)).EmailWithContext(ctx, "")
	if err != nil {
		return "", x.reason(ctx, err)
	}
	if !strings.Contains(email, "@") {
		return "", nil
	}
	return strings.ToLower(email), nil
}

// fileError is a file with credentials that can't be used.
type fileError struct {
	path string
	err  error
}

func (e *fileError) Error() string {
	err := e.err
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err // the path is said here
	}
	return fmt.Sprintf("Application Default Credentials in %s: %v", e.path, err)
}

func (e *fileError) Unwrap() error { return e.err }
