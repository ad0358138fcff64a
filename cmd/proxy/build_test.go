package main

import (
	"bytes"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"dbvalet/config"
	"dbvalet/proxy/postgres"
	"dbvalet/tokens"
	"dbvalet/tokens/awsdsql"
	"dbvalet/tokens/awsrds"
	"dbvalet/tokens/awssecrets"
	"dbvalet/tokens/azure"
	"dbvalet/tokens/gcp"
	"dbvalet/tokens/gcpconnector"
	"dbvalet/tokens/vault"
)

const rdsHost = "orders.abc123.us-east-1.rds.amazonaws.com"

// builds returns what serves arg, and what was logged meanwhile.
func builds(t *testing.T, arg string) (s *service, log string) {
	t.Helper()
	route, err := config.ParseRoute(arg)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s, err = build(route, newOverall(0, 0, 0), slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatalf("build %s: %v", arg, err)
	}
	return s, out.String()
}

func TestSourceIsChosenByAuthOrHost(t *testing.T) {
	for _, row := range []struct {
		name, arg string
		auth      string
		check     func(tokens.Source) bool
		ttl       time.Duration
	}{
		{"RDS endpoint", "postgres://app@" + rdsHost, "aws-iam", is[*awsrds.Source], 0},
		{"RDS endpoint in China", "postgres://app@db.abc.rds.cn-north-1.amazonaws.com.cn", "aws-iam", is[*awsrds.Source], 0},
		{"RDS endpoint with a password", "postgres://app@" + rdsHost + "?auth=env:PW", "env:PW", is[*tokens.Env], 0},
		{"alias of an RDS endpoint", "postgres://app@db.example.com?auth=aws-iam&tls=require", "aws-iam", is[*awsrds.Source], 0},
		{"env", "postgres://app@db.example.com?tls=require&auth=env:PW", "env:PW", is[*tokens.Env], 0},
		{"file", "postgres://app@db.example.com?tls=require&auth=file:/run/pw", "file:/run/pw", func(s tokens.Source) bool {
			f, ok := s.(*tokens.File)
			return ok && f.Path == "/run/pw"
		}, 0},
		{"file as a URL", "postgres://app@db.example.com?tls=require&auth=file:///run/pw", "file:///run/pw", func(s tokens.Source) bool {
			f, ok := s.(*tokens.File)
			return ok && f.Path == "/run/pw"
		}, 0},
		{"exec", "postgres://app@db.example.com?tls=require&auth=exec:vault%20read%20'a%20b'", "exec:vault read 'a b'", func(s tokens.Source) bool {
			e, ok := s.(*tokens.Exec)
			return ok && strings.Join(e.Argv, "|") == "vault|read|a b"
		}, execTTL},
		{"DSQL endpoint", "postgres://admin@abc123.dsql.us-east-1.on.aws/postgres", "aws-dsql", is[*awsdsql.Source], 0},
		{"Google Cloud", "postgres://db.example.com?tls=require&auth=gcp-iam&service=alloydb&impersonate_service_account=a@b.iam", "gcp-iam", is[*gcp.Source], 0},
		{"Cloud SQL instance", "postgres:///orders?instance=project:region:name", "gcp-connector", is[*gcpconnector.Connector], storeTTL},
		{"Azure", "mysql://app@db.example.com?tls=require&auth=azure-entra&cloud=china", "azure-entra", is[*azure.Source], 0},
		{
			"Secrets Manager", "postgres://db.example.com?tls=require&auth=awssecretsmanager://db-pass?region=us-east-1%26awssdk=v2%26profile=x%26decoder=string",
			"awssecretsmanager://db-pass?region=us-east-1&awssdk=v2&profile=x&decoder=string", is[*awssecrets.SecretsManager], storeTTL,
		},
		{
			"Parameter Store, read more often", "postgres://db.example.com?tls=require&auth=awsparamstore://name?region=us-east-1%26decoder=string%26wait=30s",
			"awsparamstore://name?region=us-east-1&decoder=string&wait=30s", is[*awssecrets.ParameterStore], 30 * time.Second,
		},
		{
			"Secret Manager", "postgres://db.example.com?tls=require&auth=gcpsecretmanager://projects/p/secrets/s",
			"gcpsecretmanager://projects/p/secrets/s", is[*gcp.SecretManager], storeTTL,
		},
		{"Vault", "postgres://?tls=require&auth=hashivault://secret/data/database", "hashivault://secret/data/database", is[*vault.Source], storeTTL},
		{"file with a path into JSON", "postgres://db.example.com?tls=require&auth=file:///run/pw.json?path=db.pw", "file:///run/pw.json?path=db.pw", func(s tokens.Source) bool {
			f, ok := s.(*tokens.File)
			return ok && f.Path == "/run/pw.json" && f.Decoder.Path == "db.pw"
		}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, _ := builds(t, row.arg)
			server, route := s.server, s.route
			cache := server.Upstream.Credentials
			if route.Auth != row.auth || !row.check(cache.Source) || cache.TTL != row.ttl {
				t.Errorf("got auth=%s, %T with TTL %v, want auth=%s with %v", route.Auth, cache.Source, cache.TTL, row.auth, row.ttl)
			}
		})
	}
}

func is[T tokens.Source](s tokens.Source) bool { _, ok := s.(T); return ok }

func TestRouteBecomesServer(t *testing.T) {
	s, log := builds(t, "postgres://app@"+rdsHost+":6543/orders?dial=127.0.0.1:15432&max_connections=7&connect_timeout=9&sslnegotiation=direct&name=main&auth=env:PW&require_auth=scram-sha-256")
	server := s.server
	engine := server.Engine.(*postgres.Engine)
	if server.Upstream.Endpoint.Addr != "127.0.0.1:15432" || server.Upstream.Conns[0].Max != 7 || server.HandshakeTimeout != 9*time.Second {
		t.Errorf("got upstream %+v and time limit %v", server.Upstream, server.HandshakeTimeout)
	}
	if engine.User != "app" || engine.Database != "orders" || !engine.Direct {
		t.Errorf("got engine %+v", engine)
	}
	if got := server.Upstream.Endpoint.TLS.Describe(); got != "TLS verify-full" {
		t.Errorf("got %q, want TLS verify-full by default", got)
	}
	if log != "" {
		t.Errorf("got log %q, want nothing", log)
	}
	s, _ = builds(t, "postgres://"+rdsHost)
	server = s.server
	if server.Upstream.Endpoint.Addr != rdsHost+":5432" || server.HandshakeTimeout != 0 || server.Engine.(*postgres.Engine).Direct {
		t.Errorf("got upstream %+v and time limit %v", server.Upstream, server.HandshakeTimeout)
	}
}

// A token must not be hashed for a server that is not what it is thought to be.
func TestTokensAreOnlyForCleartext(t *testing.T) {
	password, err := postgres.ParseMethods("password")
	if err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]bool{
		"postgres://app@" + rdsHost:                           true,
		"postgres://app@" + rdsHost + "?auth=aws-iam":         true,
		"postgres://app@" + rdsHost + "?auth=env:PW":          false,
		"postgres://app@" + rdsHost + "?require_auth=md5":     false,
		"postgres://app@db.test?auth=env:PW&tls=require":      false,
		"postgres://app@db.test?auth=aws-iam&tls=require":     true,
		"postgres://app@db.test?auth=gcp-iam&tls=require":     true,
		"postgres://app@db.test?auth=azure-entra&tls=require": true,
		"postgres://app@abc.dsql.us-east-1.on.aws":            true,
		"postgres://?instance=p:r:i":                          false,
	} {
		s, _ := builds(t, arg)
		got := s.server.Engine.(*postgres.Engine).RequireAuth
		if same := reflect.DeepEqual(got, password); same != want {
			t.Errorf("%s: got methods %v; password alone: %v, want %v", arg, got, same, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, row := range []struct{ name, arg, want string }{
		{"nothing to warn of", "postgres://app@" + rdsHost, ""},
		{"tls=require", "postgres://app@" + rdsHost + "?tls=require", "does not verify the database"},
		{"sslmode=require", "postgres://app@" + rdsHost + "?sslmode=require", "does not verify the database"},
		{"verify-ca", "postgres://app@" + rdsHost + "?tls=verify-ca", ""},
		{"the endpoint's region", "postgres://app@" + rdsHost + "?region=us-east-1", ""},
		{"another region", "postgres://app@" + rdsHost + "?region=eu-west-1", "contradicts the endpoint's name"},
		{"a region for an alias", "postgres://app@db.example.com?auth=aws-iam&region=eu-west-1&tls=require", "does not verify the database"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, log := builds(t, row.arg)
			if n := strings.Count(log, "level=WARN"); row.want == "" && log != "" || row.want != "" && (n != 1 || !strings.Contains(log, row.want) || !strings.Contains(log, "hint=")) {
				t.Errorf("got log\n%swant a warning %q", log, row.want)
			}
		})
	}
}

func TestBuildErrorsNameTheRouteOnce(t *testing.T) {
	for _, query := range []string{"auth=x:y", "auth=env:", "auth=exec:'", "tls=disable", "require_auth=x", "sslnegotiation=x", "ca=/nonexistent"} {
		route, err := config.ParseRoute("postgres://app@" + rdsHost + "?name=main&" + query)
		if err != nil {
			t.Fatal(err)
		}
		_, err = build(route, newOverall(0, 0, 0), slog.New(slog.DiscardHandler))
		e, ok := errors.AsType[*config.Error](err)
		if !ok || strings.Count(err.Error(), "route ") != 1 || !strings.HasPrefix(err.Error(), "route main: ") {
			t.Errorf("%s: got %v, want a *config.Error that names the route once", query, e)
		}
	}
}

func newTestLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
