package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var versions = []string{"18", "15"}

// start starts a server for one test.
func start(t *testing.T, o Options) *Postgres {
	t.Helper()
	p, err := StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return p
}

// A tokenRequest is what a token is asked for. What is empty is what the server expects.
type tokenRequest struct {
	endpoint, region, user, secret string
}

// token makes a token with the SDK that applications use.
func (r tokenRequest) token(t *testing.T, s *Server) string {
	t.Helper()
	or := func(value, fallback string) string {
		if value != "" {
			return value
		}
		return fallback
	}
	token, err := auth.BuildAuthToken(t.Context(),
		or(r.endpoint, fmt.Sprintf("%s:%d", s.Endpoint, s.Port)), or(r.region, s.Region), or(r.user, "app"),
		credentials.NewStaticCredentialsProvider(s.AccessKeyID, or(r.secret, s.SecretAccessKey), s.SessionToken))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// login connects, asks the server who it thinks has come, and compares.
func login(ctx context.Context, url, user string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var got string
	if err := conn.QueryRow(ctx, "SELECT current_user").Scan(&got); err != nil {
		return err
	}
	if got != user {
		return fmt.Errorf("logged in as %q, expected %q", got, user)
	}
	return nil
}

func lastLine(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return lastLines(b, 1)
}

func TestTokenLogsIn(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			p := start(t, Options{Version: version})
			if err := login(t.Context(), p.URL("app", tokenRequest{}.token(t, &p.Server)), "app"); err != nil {
				t.Error(err)
			}
			if got := lastLine(t, p.VerifierLog()); !strings.HasPrefix(got, "accepted user=app token dated ") {
				t.Errorf("verifier's log ends with %q", got)
			}
		})
	}
}

func TestLongTokenLogsIn(t *testing.T) {
	const long = 1900 // bytes, several times what pam_exec takes
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			p := start(t, Options{Version: version, SessionToken: strings.Repeat("Fwo/GXIvYXdzE=", 110)})
			token := tokenRequest{}.token(t, &p.Server)
			if len(token) < long {
				t.Fatalf("token has %d bytes, expected at least %d", len(token), long)
			}
			if err := login(t.Context(), p.URL("app", token), "app"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBadTokenIsRefusedWithReasonInLog(t *testing.T) {
	p := start(t, Options{})
	for _, test := range []struct {
		name    string
		request tokenRequest
		clock   time.Duration
		reason  string
	}{
		{name: "other user", request: tokenRequest{user: "scram"}, reason: `token is for user "scram", login is for "app"`},
		{name: "other host", request: tokenRequest{endpoint: fmt.Sprintf("localhost:%d", p.Port)}, reason: `host is "localhost"`},
		{name: "other port", request: tokenRequest{endpoint: p.Endpoint + ":5"}, reason: `port is "5"`},
		{name: "other secret key", request: tokenRequest{secret: "another"}, reason: "signature is wrong"},
		{name: "other region", request: tokenRequest{region: "eu-central-1"}, reason: `region is "eu-central-1", expected "us-east-1"`},
		{name: "16 minutes old", clock: 16 * time.Minute, reason: "token is 16m"},
		{name: "from the future", clock: -6 * time.Minute, reason: "in the future"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := p.SetClockOffset(test.clock); err != nil {
				t.Fatal(err)
			}
			err := login(t.Context(), p.URL("app", test.request.token(t, &p.Server)), "app")
			const want = `PAM authentication failed for user "app"`
			if refusal, ok := errors.AsType[*pgconn.PgError](err); !ok || refusal.Message != want {
				t.Errorf("got %v, expected %s", err, want)
			}
			got := lastLine(t, p.VerifierLog())
			if !strings.HasPrefix(got, "refused user=app: ") || !strings.Contains(got, test.reason) {
				t.Errorf("verifier's log ends with %q, expected %q", got, test.reason)
			}
		})
	}
	t.Run("good again", func(t *testing.T) {
		if err := p.SetClockOffset(0); err != nil {
			t.Fatal(err)
		}
		if err := login(t.Context(), p.URL("app", tokenRequest{}.token(t, &p.Server)), "app"); err != nil {
			t.Error(err)
		}
	})
}

func TestPasswordRolesLogIn(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			p := start(t, Options{Version: version})
			for user, password := range map[string]string{
				"scram":    p.SCRAMPassword,
				"md5":      p.MD5Password,
				"clear":    p.ClearPassword,
				"postgres": p.SuperuserPassword,
			} {
				if err := login(t.Context(), p.URL(user, password), user); err != nil {
					t.Errorf("%s: %v", user, err)
				}
				if err := login(t.Context(), p.URL(user, "wrong"), user); err == nil {
					t.Errorf("%s: a wrong password was accepted", user)
				}
			}
		})
	}
}

func TestPlainConnectionIsRefused(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			p := start(t, Options{Version: version})
			url := fmt.Sprintf("postgres://scram:%s@%s/orders?sslmode=disable", p.SCRAMPassword, p.Addr())
			err := login(t.Context(), url, "scram")
			if err == nil || !strings.Contains(err.Error(), "no pg_hba.conf entry") {
				t.Errorf("got %v, expected a refusal by pg_hba.conf", err)
			}
		})
	}
}

func TestBadCertificatesAreShown(t *testing.T) {
	for _, test := range []struct {
		name        string
		certificate Certificate
		complaint   string
	}{
		{"other name", Certificate{Names: []string{"other.example"}}, "doesn't contain any IP SANs"},
		{"expired", Certificate{NotAfter: time.Now().Add(-time.Minute)}, "certificate has expired"},
		{"other CA", Certificate{Foreign: true}, "unknown authority"},
		{"common name only", Certificate{CommonName: "project:instance", Names: []string{}}, "doesn't contain any IP SANs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := start(t, Options{Certificate: test.certificate})
			err := login(t.Context(), p.URL("scram", p.SCRAMPassword), "scram")
			if err == nil || !strings.Contains(err.Error(), test.complaint) {
				t.Errorf("got %v, expected %s", err, test.complaint)
			}
			if err := p.Exec(t.Context(), "SELECT 1"); err != nil {
				t.Errorf("superuser: %v", err)
			}
		})
	}
}

func TestServerWithoutTLS(t *testing.T) {
	p := start(t, Options{NoTLS: true})
	if err := login(t.Context(), p.URL("scram", p.SCRAMPassword), "scram"); err != nil {
		t.Error(err)
	}
	conn, err := pgx.Connect(t.Context(), strings.Replace(p.URL("scram", p.SCRAMPassword), "disable", "require", 1))
	if err == nil {
		conn.Close(t.Context())
		t.Error("the server does TLS")
	}
}

func TestSettingsAndHBALinesAreUsed(t *testing.T) {
	p := start(t, Options{
		Settings: map[string]string{"application_name": "it's set"},
		HBA:      []string{"hostssl all clear 127.0.0.1/32 reject"},
	})
	conn, err := p.Superuser(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var got string
	if err := conn.QueryRow(t.Context(), "SHOW application_name").Scan(&got); err != nil || got != "it's set" {
		t.Errorf("application_name is %q (%v)", got, err)
	}
	if err := login(t.Context(), p.URL("clear", p.ClearPassword), "clear"); err == nil {
		t.Error("the line of pg_hba.conf was not used")
	}
}

func TestStartFailureShowsTheLog(t *testing.T) {
	_, err := StartPostgres(t.Context(), Options{Settings: map[string]string{"work_mem": "plenty"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "work_mem"`) {
		t.Errorf("got %v, expected PostgreSQL's complaint", err)
	}
}
