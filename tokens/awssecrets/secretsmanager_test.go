package awssecrets

import (
	"net/url"
	"strings"
	"testing"

	"dbvalet/integration/awsfake"
)

func TestSecretIsReadWithOnePermission(t *testing.T) {
	c := newCloud(t)
	c.secrets.Create("us-east-1", "db-pass", "s3cr3t-1")
	s := c.secret("awssecretsmanager://db-pass")
	if n := c.secrets.Count("") + c.sts.Count(""); n != 0 {
		t.Errorf("%d requests before the first use, want none", n)
	}
	cred := read(t, s)
	c.secrets.CreatePending("db-pass", "s3cr3t-2")
	others(t, s)
	if text := s.Explain(t.Context(), "app", cred); !strings.Contains(text, "db-pass") {
		t.Errorf("explanation %q does not name the secret", text)
	}
	if all, allowed := c.secrets.Count(""), c.secrets.Count("GetSecretValue"); all != allowed || all != 3 {
		t.Errorf("%d requests, of them %d GetSecretValue, want 3 and all of them", all, allowed)
	}
	if n := c.sts.Count(""); n != 0 {
		t.Errorf("STS was asked %d times, want none", n)
	}
}

// A policy may allow AWSCURRENT only, and AWS then denies what does not name it.
func TestEveryRequestNamesTheStage(t *testing.T) {
	c := newCloud(t)
	c.secrets.Create("us-east-1", "db-pass", "s3cr3t-1")
	s := c.secret("awssecretsmanager://db-pass")
	read(t, s)
	others(t, s)
	var stages []string
	for _, r := range c.secrets.Requests() {
		stages = append(stages, r.Stage)
	}
	if got, want := strings.Join(stages, " "), "AWSCURRENT AWSPENDING AWSPREVIOUS"; got != want {
		t.Errorf("asked for stages %q, want %q", got, want)
	}
}

func TestSecretIsFoundByEveryOfItsNames(t *testing.T) {
	c := newCloud(t)
	const managed = "rds!db-0a1b2c3d-1111-2222-3333-444455556666"
	arn := c.secrets.Create("us-east-1", "db-pass", "s3cr3t-plain")
	c.secrets.Create("us-east-1", "prod/orders/db", "s3cr3t-slashes")
	managedARN := c.secrets.Create("us-east-1", managed, `{"username":"master","password":"s3cr3t-managed"}`)
	for _, tt := range []struct{ name, secret, user, password string }{
		{"name", "db-pass", "", "s3cr3t-plain"},
		{"name with slashes", "prod/orders/db", "", "s3cr3t-slashes"},
		{"percent-encoded", "prod%2Forders%2fdb", "", "s3cr3t-slashes"},
		{"complete ARN", arn, "", "s3cr3t-plain"},
		{"ARN without its suffix", arn[:len(arn)-len("-Ab0000")], "", "s3cr3t-plain"},
		{"percent-encoded ARN", url.QueryEscape(arn), "", "s3cr3t-plain"},
		{"managed by RDS", managed, "master", "s3cr3t-managed"},
		{"managed by RDS, ARN", managedARN, "master", "s3cr3t-managed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cred := read(t, c.source("awssecretsmanager://"+tt.secret))
			if cred.User != tt.user || cred.Password.Reveal() != tt.password {
				t.Errorf("got user %q and password %q, want %q and %q", cred.User, cred.Password.Reveal(), tt.user, tt.password)
			}
		})
	}
}

func TestTextsBinariesAndJSONAreRead(t *testing.T) {
	const object = `{"engine":"postgres","username":"app","password":"s3cr3t-j","host":"db.example.com","port":5432,"dbname":"orders",
		"nested":{"a.b":["x","s3cr3t-n"]}}`
	for _, tt := range []struct {
		name, payload string
		binary        bool
		query, want   string // user, password, host, port, database
	}{
		{"text", "s3cr3t-t\n", false, "", "|s3cr3t-t|||"},
		{"binary", "s3cr3t-\xff\xfe", true, "", "|s3cr3t-\xff\xfe|||"},
		{"binary JSON", object, true, "", "app|s3cr3t-j|db.example.com|5432|orders"},
		{"JSON", object, false, "", "app|s3cr3t-j|db.example.com|5432|orders"},
		{"path", object, false, "?path=password", "|s3cr3t-j|||"},
		{"path into arrays, with a dot in a key", object, false, `?path=nested.a\.b.1`, "|s3cr3t-n|||"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			c.secrets.Create("us-east-1", "db-pass", tt.payload)
			if tt.binary {
				c.secrets.PutBinary("db-pass", []byte(tt.payload))
			}
			cred := read(t, c.source("awssecretsmanager://db-pass"+tt.query))
			got := strings.Join([]string{cred.User, cred.Password.Reveal(), cred.Host, cred.Port, cred.Database}, "|")
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if _, id := c.secrets.Value("db-pass", awsfake.Current); cred.ID != "AWSCURRENT "+id {
				t.Errorf("got id %q, want the stage and %s", cred.ID, id)
			}
			if !cred.Issued.IsZero() || !cred.Expires.IsZero() {
				t.Errorf("issued %v and expires %v, want neither: it was looked up", cred.Issued, cred.Expires)
			}
		})
	}
}

func TestSecretOfAnotherUserIsRefused(t *testing.T) {
	c := newCloud(t)
	c.secrets.Create("us-east-1", "db-pass", `{"username":"other","password":"s3cr3t-o"}`)
	o := c.options()
	o.User = "app"
	s, err := c.openWith("awssecretsmanager://db-pass", o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Credential(t.Context(), "app")
	wantError(t, err, true, "awssecretsmanager://db-pass: ", "another user")
}

func TestPinnedVersionStaysTheSame(t *testing.T) {
	c := newCloud(t)
	c.secrets.Create("us-east-1", "db-pass", "s3cr3t-1")
	_, first := c.secrets.Value("db-pass", awsfake.Current)
	c.secrets.Put("db-pass", "s3cr3t-2")
	for _, tt := range []struct{ name, query, password, id string }{
		{"version", "?version_id=" + first, "s3cr3t-1", first},
		{"stage", "?version_stage=AWSPREVIOUS", "s3cr3t-1", "AWSPREVIOUS " + first},
		{"both", "?version_stage=AWSPREVIOUS&version_id=" + first, "s3cr3t-1", "AWSPREVIOUS " + first},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := c.secret("awssecretsmanager://db-pass" + tt.query)
			cred := read(t, s)
			if cred.Password.Reveal() != tt.password || cred.ID != tt.id {
				t.Errorf("got %s (%s), want %s (%s)", cred.Password.Reveal(), cred.ID, tt.password, tt.id)
			}
			before := c.secrets.Count("")
			if got := others(t, s); got != nil || c.secrets.Count("") != before {
				t.Errorf("others of a pinned version: %v, want none and no request", got)
			}
			if text := s.Explain(t.Context(), "app", cred); !strings.Contains(text, "version_id") {
				t.Errorf("explanation %q does not say that the version is pinned", text)
			}
		})
	}
}

func TestVersionThatDoesNotExistIsNamed(t *testing.T) {
	c := newCloud(t)
	c.secrets.Create("us-east-1", "db-pass", "s3cr3t-1")
	_, err := c.source("awssecretsmanager://db-pass?version_id=none").Credential(t.Context(), "app")
	wantError(t, err, true, "VersionId: none", "us-east-1")
	_, err = c.source("awssecretsmanager://db-pass?version_stage=MINE").Credential(t.Context(), "app")
	wantError(t, err, true, "staging label: MINE", "us-east-1")
}
