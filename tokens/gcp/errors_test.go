package gcp

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/gcpfake"
	"dbvalet/tokens"
)

func TestErrorsSayWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		name         string
		set          func(c *cloud) Options
		denied       bool
		text, advice string
	}{
		{"session of gcloud ended", func(c *cloud) Options {
			c.use(c.User(kai)).EndSessions()
			return Options{}
		}, true, "invalid_grant: Token has been expired or revoked", `"gcloud auth application-default login"`},
		{"scope that the user did not agree to", func(c *cloud) Options {
			c.use(c.User(kai))
			return Options{Service: "alloydb"}
		}, true, "invalid_scope", "cloud-platform,https://www.googleapis.com/auth/alloydb.login"},
		{"key that was deleted", func(c *cloud) Options {
			a := c.ServiceAccount(app)
			a["client_email"] = "gone@proj.iam.gserviceaccount.com"
			c.use(a)
			return Options{}
		}, true, "invalid_grant: Invalid grant: account not found", "keys list --iam-account=gone@proj"},
		{"key that is damaged", func(c *cloud) Options {
			a := c.ServiceAccount(app)
			a["private_key"] = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
			c.use(a)
			return Options{}
		}, true, "private key", "keys list"},
		{"page of somebody else's", func(c *cloud) Options {
			c.use(c.ServiceAccount(app)).Respond(gcpfake.OpToken, func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, "<html>Welcome to our wireless network</html>")
			})
			return Options{}
		}, false, "cannot fetch token", "keys list"},
		{"impersonation that is not allowed", func(c *cloud) Options {
			c.use(c.ServiceAccount(app)).AddServiceAccount(target)
			return Options{Impersonate: []string{target}}
		}, true, "PERMISSION_DENIED", "add-iam-policy-binding " + target + " --member=serviceAccount:" + app + " --role=roles/iam.serviceAccountTokenCreator"},
		{"impersonation by the machine that is not allowed", func(c *cloud) Options {
			c.SetMachine(app, time.Hour)
			c.AddServiceAccount(target)
			return Options{Impersonate: []string{target}}
		}, true, "PERMISSION_DENIED", "--member=serviceAccount:" + app},
		{"impersonation of nobody", func(c *cloud) Options {
			c.use(c.ServiceAccount(app))
			return Options{Impersonate: []string{target}}
		}, true, "NOT_FOUND", "describe " + target},
		{"IAM's API is not enabled", func(c *cloud) Options {
			c.use(c.ServiceAccount(app))
			c.Respond(gcpfake.OpImpersonate, refusing(403, "PERMISSION_DENIED", "SERVICE_DISABLED",
				"IAM Service Account Credentials API has not been used in project 123456789012 before or it is disabled. "+strings.Repeat("Enable it. ", 40)))
			return Options{Impersonate: []string{target}}
		}, true, "has not been used", "gcloud services enable iamcredentials.googleapis.com"},
		{"federation that may not impersonate", func(c *cloud) Options {
			c.use(c.federated("principal://pod", target)).AddServiceAccount(target)
			return Options{}
		}, true, "getAccessToken", "roles/iam.workloadIdentityUser"},
		{"federation that is refused", func(c *cloud) Options {
			a := c.federated("pod", "")
			a["audience"] = "//iam.googleapis.com/other"
			c.use(a)
			return Options{User: "app"}
		}, true, "invalid_target", "credential_source"},
		{"federation without its token", func(c *cloud) Options {
			a := c.federated("pod", "")
			a["credential_source"] = map[string]any{"file": "/nowhere/token"}
			c.use(a)
			return Options{User: "app"}
		}, false, `"/nowhere/token"`, "credential_source"},
		{"machine without a service account", func(c *cloud) Options {
			return Options{User: "app"}
		}, true, "answered 404", "gcloud compute instances set-service-account"},
		{"machine without a service account, user to be derived", func(c *cloud) Options {
			return Options{}
		}, true, "answered 404", "gcloud compute instances set-service-account"},
		{"file that is missing", func(c *cloud) Options {
			c.t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/adc.json")
			return Options{}
		}, false, "/nowhere/adc.json: no such file", "GOOGLE_APPLICATION_CREDENTIALS"},
		{"file that is something else", func(c *cloud) Options {
			path := filepath.Join(c.dir, "adc.json")
			if err := os.WriteFile(path, []byte(`{"refresh_token": "s3cr3t", `), 0o600); err != nil {
				c.t.Fatal(err)
			}
			c.t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
			return Options{}
		}, true, "not a JSON file with credentials", "GOOGLE_APPLICATION_CREDENTIALS"},
		{"file of a type that there is not", func(c *cloud) Options {
			c.use(gcpfake.ADC{"type": "tea_leaves"})
			return Options{User: "app"}
		}, true, `unknown credential type: "tea_leaves"`, "GOOGLE_APPLICATION_CREDENTIALS"},
		{"file that impersonates nobody", func(c *cloud) Options {
			a := c.Impersonated(c.User(kai), target)
			a["service_account_impersonation_url"] = "https://example.com/"
			c.use(a)
			return Options{}
		}, true, "service_account_impersonation_url", "GOOGLE_APPLICATION_CREDENTIALS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			_, err := c.source(tt.set(c)).Credential(t.Context(), "x")
			wantError(t, err, tt.denied, tt.text, tt.advice)
			if !strings.HasPrefix(err.Error(), "gcp-iam: ") {
				t.Errorf("error is %q, and does not name its source", err)
			}
		})
	}
}

func TestOutagesAreNotFinal(t *testing.T) {
	for _, tt := range []struct {
		op  string
		set func(c *cloud)
	}{
		{gcpfake.OpToken, func(c *cloud) { c.use(c.ServiceAccount(app)) }},
		{gcpfake.OpToken, func(c *cloud) { c.use(c.User(kai)) }},
		{gcpfake.OpSTS, func(c *cloud) { c.use(c.federated("pod", "")) }},
		{gcpfake.OpImpersonate, func(c *cloud) { c.use(c.Impersonated(c.User(kai), target)) }},
		{gcpfake.OpImpersonate, func(c *cloud) { c.use(c.federated("pod", target)) }},
		{gcpfake.OpAccess, func(c *cloud) { c.use(c.ServiceAccount(app)) }},
	} {
		for name, failure := range map[string]gcpfake.Failure{"down": gcpfake.Down, "throttled": gcpfake.Throttled, "broken": gcpfake.Broken} {
			t.Run(tt.op+" "+name, func(t *testing.T) {
				c := newCloud(t)
				tt.set(c)
				c.Fail(tt.op, failure)
				_, err := c.secret("projects/proj/secrets/pw", "").Credential(t.Context(), "x")
				wantError(t, err, false, "127.0.0.1", "try again")
				if tt.op == gcpfake.OpAccess {
					return
				}
				_, err = c.source(Options{}).Credential(t.Context(), "x")
				wantError(t, err, false, "127.0.0.1", "try again")
			})
		}
	}
}

func TestNothingTravelsInClear(t *testing.T) {
	const elsewhere = "192.0.2.1:80" // for documentation: nobody has it
	for name, set := range map[string]func(c *cloud){
		"token endpoint": func(c *cloud) {
			a := c.ServiceAccount(app)
			a["token_uri"] = "http://" + elsewhere + "/token"
			c.use(a)
		},
		"user's token endpoint": func(c *cloud) {
			a := c.User(kai)
			a["token_uri"] = "http://" + elsewhere + "/token"
			c.use(a)
		},
		"metadata server of another machine": func(c *cloud) { c.t.Setenv("GCE_METADATA_HOST", elsewhere) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			set(c)
			_, err := c.source(Options{User: "app"}).Credential(t.Context(), "")
			wantError(t, err, true, "http://", "https://")
			if !errors.Is(err, tokens.ErrInClear) {
				t.Errorf("got %v, want that it was not sent", err)
			}
		})
	}
	c := newCloud(t)
	t.Setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS", "http://"+elsewhere)
	_, err := c.use(c.ServiceAccount(app)).source(Options{Impersonate: []string{target}}).Credential(t.Context(), "")
	wantError(t, err, true, "http://", "https://")
}

func TestSecretsAreInNoErrorAndNoLog(t *testing.T) {
	c := newCloud(t)
	user, key := c.User(kai), c.ServiceAccount(app)
	secrets := []string{user["refresh_token"].(string), user["client_secret"].(string), "PRIVATE KEY", "s3cr3t", "ya29."}
	check := func(text string) {
		t.Helper()
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %q", secret, text)
			}
		}
	}
	for name, a := range map[string]gcpfake.ADC{"user": user, "key": key, "impersonated": c.Impersonated(user, target)} {
		t.Run(name, func(t *testing.T) {
			c.use(a)
			s := c.source(Options{})
			for _, credentials := range []string{"good", "bad"} {
				if credentials == "bad" {
					c.Respond(gcpfake.OpToken, func(w http.ResponseWriter, r *http.Request) {
						w.WriteHeader(http.StatusBadRequest)
						fmt.Fprint(w, "you sent "+r.PostFormValue("refresh_token")+r.PostFormValue("assertion")+" s3cr3t")
					})
					defer c.Recover(gcpfake.OpToken)
				}
				cred, err := s.Credential(t.Context(), "x")
				found, findErr := s.caller.find(t.Context())
				if findErr != nil {
					t.Fatal(findErr)
				}
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
					check(fmt.Sprintf(verb, err))
					check(fmt.Sprintf(verb, cred))
					check(fmt.Sprintf(verb, s))
					check(fmt.Sprintf(verb, *found))
					check(fmt.Sprintf(verb, found.source))
				}
				check(hint(err))
			}
		})
	}
	check(c.log.String())
}

func TestOutputOfAnExecutableIsNotQuoted(t *testing.T) {
	c := newCloud(t)
	t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")
	script := filepath.Join(c.dir, "identity")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho '{\"id_token\": \"s3cr3t\"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	a := c.federated("pod", "")
	a["credential_source"] = map[string]any{"executable": map[string]any{"command": script, "timeout_millis": 10000}}
	_, err := c.use(a).source(Options{}).Credential(t.Context(), "x")
	wantError(t, err, false, "executable", "credential_source")
	if strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("the program's output is in %q", err)
	}
}

// refusing answers as Google's APIs do.
func refusing(code int, status, reason, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"error": {"code": %d, "message": %q, "status": %q, "details": [`+
			`{"@type": "type.googleapis.com/google.rpc.Help"},`+
			`{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": %q, "domain": "googleapis.com"}]}}`, code, message, status, reason)
	}
}
