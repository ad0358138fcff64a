package diagnose

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/dnsfake"
	"dbvalet/proxy"
	"dbvalet/tokens"
)

// refusal is what a database says.
type refusal struct {
	code, text string
	rejected   bool
}

func (e refusal) Error() string        { return "the database says: " + e.text }
func (e refusal) Code() string         { return e.code }
func (e refusal) Is(target error) bool { return e.rejected && target == proxy.ErrRejected }

// refuses is an engine whose database says err after TLS.
func refuses(err error) probing {
	return func(_ net.Conn, _ tokens.Credential, p *proxy.Probe) error {
		p.TLS = &tls.ConnectionState{Version: tls.VersionTLS13}
		p.Database = "orders"
		return err
	}
}

func TestLoginAdviceIsThatOfWhatTheDatabaseSays(t *testing.T) {
	for _, row := range []struct {
		scheme, code, text string
		want               string
	}{
		{"postgres", "3D000", "", `CREATE DATABASE "orders";`},
		{"postgres", "42501", "", `GRANT CONNECT ON DATABASE "orders" TO "app";`},
		{"postgres", "53300", "", "FROM pg_stat_activity"},
		{"postgres", "57P03", "", "try again in a moment"},
		{"postgres", "28000", "no pg_hba.conf entry", `hostssl "orders" "app" 127.0.0.1/32 scram-sha-256`},
		{"postgres", "28000", "not permitted", `ALTER ROLE "app" LOGIN;`},
		{"mysql", "1049", "", "CREATE DATABASE `orders`;"},
		{"mysql", "1044", "", "GRANT ALL ON `orders`.* TO 'app'@'%';"},
		{"mysql", "1040", "", "information_schema.processlist"},
		{"mysql", "1226", "", "SHOW CREATE USER 'app'@'%';"},
		{"mysql", "1129", "", "performance_schema.host_cache"},
		{"mysql", "1130", "", "this machine's address, 127.0.0.1"},
		{"mysql", "3118", "", "ACCOUNT UNLOCK"},
		{"mysql", "1862", "", "PASSWORD EXPIRE NEVER"},
		{"mysql", "1053", "", "is stopping"},
	} {
		w := walk(t, open(t, "127.0.0.1:0"), refuses(refusal{row.code, row.text, false}))
		w.Scheme = row.scheme
		step, r := run(t, w, Login)
		if r.Failed != Login || r.ExitStatus != 15 || !strings.Contains(allOf(step), row.want) {
			t.Errorf("%s %s: got %+v, want %q", row.scheme, row.code, step, row.want)
		}
		if facts, _ := step.Facts.(LoginFacts); facts.Code != row.code {
			t.Errorf("got %+v", facts)
		}
	}
}

func TestLoginAdviceIsAboutTheDatabaseThatWasOpened(t *testing.T) {
	const unnamed = "the route names no database, so that postgres was opened"
	for _, row := range []struct {
		scheme, secrets, opened, code, text string
		want, not                           string
	}{
		{"postgres", "", "postgres", "42501", "", unnamed, `""`},
		{"postgres", "", "postgres", "42501", "", `GRANT CONNECT ON DATABASE "postgres" TO "app";`, `""`},
		{"postgres", "", "postgres", "3D000", "", unnamed, `""`},
		{"postgres", "", "postgres", "28000", "no pg_hba.conf entry", unnamed, `""`},
		{"postgres", "", "postgres", "28000", "no pg_hba.conf entry", `hostssl "postgres" "app"`, `""`},
		{"postgres", "", "postgres", "53300", "", "pg_stat_activity", unnamed},
		{"postgres", "sales", "sales", "42501", "", `GRANT CONNECT ON DATABASE "sales" TO "app";`, "the route names no database"},
		{"mysql", "sales", "sales", "1044", "", "GRANT ALL ON `sales`.* TO 'app'@'%';", "the route names no database"},
		{"mysql", "", "", "1044", "", "", "``"},
		{"mysql", "", "", "1049", "", "", "``"},
	} {
		w := walk(t, open(t, "127.0.0.1:0"), func(_ net.Conn, _ tokens.Credential, p *proxy.Probe) error {
			p.TLS, p.Database = &tls.ConnectionState{Version: tls.VersionTLS13}, row.opened
			return refusal{row.code, row.text, false}
		})
		w.Scheme, w.Database, w.Place.Endpoint.Database = row.scheme, "", row.secrets
		step, _ := run(t, w, Login)
		if all := allOf(step); !strings.Contains(all, row.want) || strings.Contains(all, row.not) {
			t.Errorf("%s %s: got %s, want %q and not %q", row.scheme, row.code, all, row.want, row.not)
		}
	}
}

// A knowing source has remedies, and says what time it is at its cloud.
type knowing struct {
	source
	behind time.Duration
	asked  *tokens.Refusal
}

func (s knowing) Identify(context.Context) (tokens.Identity, error) {
	now := time.Now().Round(0)
	return tokens.Identity{Principal: "arn:app", From: "a file", Clock: now.Add(s.behind), ClockAt: now}, nil
}

func (s knowing) Remedies(_ context.Context, r tokens.Refusal) []tokens.Remedy {
	*s.asked = r
	return []tokens.Remedy{{Text: "the policy", Copy: "{}"}}
}

func TestLoginThatIsRefusedIsWhatTheSourceKnows(t *testing.T) {
	for _, row := range []struct {
		name   string
		behind time.Duration
		err    error
		method string
		want   string
	}{
		{"refused", 0, refusal{"28000", "PAM", true}, "", "the policy\n{}\n"},
		{"another method", 0, &proxy.MethodError{Method: "md5"}, "md5", "the policy\n{}\n"},
		{"refused, and the clock is wrong", 20 * time.Minute, refusal{"28000", "PAM", true}, "", "this machine's clock is 20m0s behind AWS"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var asked tokens.Refusal
			w := walk(t, open(t, "127.0.0.1:0"), refuses(row.err))
			w.Place.Credentials = &tokens.Cache{Source: knowing{behind: row.behind, asked: &asked}}
			step, r := run(t, w, Login)
			if !strings.HasPrefix(allOf(step), row.want) || asked.Method != row.method || asked.User != "app" {
				t.Errorf("got %s, asked %+v", allOf(step), asked)
			}
			if clock := r.Steps[len(r.Steps)-1]; (clock.Status == Failed) != (row.behind != 0) {
				t.Errorf("the clock: %+v", clock)
			}
		})
	}
}

// A rotation may be under way: what is tried for clients is tried here.
func TestLoginTriesAnotherCredentialAsForClients(t *testing.T) {
	given := 0
	w := walk(t, open(t, "127.0.0.1:0"), func(conn net.Conn, cred tokens.Credential, p *proxy.Probe) error {
		if cred.Password.Reveal() != "second" {
			return refusal{"28P01", "no", true}
		}
		return good(conn, cred, p)
	})
	w.Place.Credentials = &tokens.Cache{Source: changing(func() string { given++; return map[bool]string{true: "first", false: "second"}[given == 1] })}
	if _, r := run(t, w, Login); !r.OK || given != 2 {
		t.Errorf("got %+v after %d passwords", r.Steps, given)
	}
}

type changing func() string

func (f changing) Credential(context.Context, string) (tokens.Credential, error) {
	return tokens.Credential{Password: tokens.NewSecret(f())}, nil
}

func TestCertificateThatExpiresSoonIsWorthAWord(t *testing.T) {
	for _, row := range []struct {
		name       string
		life, left time.Duration
		want       Status
	}{
		{"long to go", 365 * 24 * time.Hour, 200 * 24 * time.Hour, OK},
		{"soon", 365 * 24 * time.Hour, 20 * 24 * time.Hour, Warning},
		{"a short one, that a program replaces", 7 * 24 * time.Hour, 5 * 24 * time.Hour, OK},
	} {
		t.Run(row.name, func(t *testing.T) {
			after := time.Now().Add(row.left)
			cert := &x509.Certificate{NotAfter: after, NotBefore: after.Add(-row.life), Subject: pkix.Name{CommonName: "db\x1b[31m"}, Issuer: pkix.Name{CommonName: "CA"}}
			w := walk(t, open(t, "127.0.0.1:0"), func(conn net.Conn, cred tokens.Credential, p *proxy.Probe) error {
				p.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, PeerCertificates: []*x509.Certificate{cert}}
				return good(conn, cred, p)
			})
			step, r := run(t, w, TLS)
			if step.Status != row.want || !r.OK || !strings.HasPrefix(step.Text, "TLS 1.3, require, server not verified, certificate of CN=CA until ") {
				t.Errorf("got %+v", step)
			}
			if facts, _ := step.Facts.(TLSFacts); strings.Contains(facts.Subject, "\x1b") || facts.Cipher != "TLS_AES_128_GCM_SHA256" {
				t.Errorf("got %+v", facts)
			}
		})
	}
}

func TestQueryThatFailsIsAStepOfItsOwn(t *testing.T) {
	w := walk(t, open(t, "127.0.0.1:0"), func(_ net.Conn, _ tokens.Credential, p *proxy.Probe) error {
		p.TLS, p.LoggedIn = &tls.ConnectionState{}, true
		return &proxy.SetupError{Stage: proxy.StageAuth, Err: errors.New("gone"), Advice: "see the log"}
	})
	step, r := run(t, w, Query)
	if r.Failed != Query || r.ExitStatus != 16 || step.Text != "gone" || allOf(step) != "see the log\n\n" {
		t.Errorf("got %+v", step)
	}
}

func TestClockIsJudgedByTheCloudsWhereItIsKnown(t *testing.T) {
	for _, row := range []struct {
		cloud, database time.Duration // how far they are ahead of ours
		known           bool
		want            Status
		text            string
	}{
		{0, 10 * time.Second, false, OK, "is 10s behind the database"},
		{0, 2 * time.Minute, false, Warning, "2m0s behind the database"},
		{0, -6 * time.Minute, false, Failed, "6m0s ahead of the database"},
		{0, 6 * time.Minute, true, Warning, "agrees with AWS"},
		{-2 * time.Minute, 0, true, Warning, "2m0s ahead of AWS"},
		{6 * time.Minute, 0, true, Failed, "6m0s behind AWS"},
	} {
		t.Run(fmt.Sprintf("%v %v", row.cloud, row.database), func(t *testing.T) {
			now := time.Now().Round(0)
			v := &visit{Walk: &Walk{}, probe: proxy.Probe{Clock: now.Add(row.database), ClockAt: now}}
			if row.known {
				v.who = tokens.Identity{Clock: now.Add(row.cloud), ClockAt: now}
			}
			step := v.clock(t.Context())
			if step.Status != row.want || !strings.Contains(step.Text, row.text) || step.Status != OK && len(step.Advice) == 0 {
				t.Errorf("got %+v, want %s, %q", step, row.want, row.text)
			}
		})
	}
}

// A nobody is a source that knows the time, and not who we are.
type nobody struct{ source }

func (nobody) Identify(context.Context) (tokens.Identity, error) {
	now := time.Now().Round(0)
	return tokens.Identity{Clock: now.Add(time.Hour), ClockAt: now},
		&tokens.Error{Source: "aws", Err: errors.New("SignatureDoesNotMatch"), Advice: "the key, or the clock"}
}

// Behind a failure, only what may explain it is looked at: nobody is connected to.
func TestStepsBehindAFailureAreThoseThatMayExplainIt(t *testing.T) {
	w := names(t, walk(t, "db.example.com:5432", func(net.Conn, tokens.Credential, *proxy.Probe) error {
		t.Error("somebody logs in")
		return nil
	}), dnsfake.Zone{Addresses: map[string][]string{"db.example.com.": {"127.0.0.1"}}})
	w.Place.Credentials = &tokens.Cache{Source: nobody{}}
	step, r := run(t, w, Identity)
	if r.ExitStatus != 10 || allOf(step) != "the key, or the clock\n\n" {
		t.Errorf("got %+v", step)
	}
	want := []Status{Failed, Skipped, OK, Skipped, Skipped, Skipped, Skipped, Failed}
	for i, s := range r.Steps {
		if s.Status != want[i] {
			t.Errorf("%s is %s, want %s", s.Name, s.Status, want[i])
		}
	}
}
