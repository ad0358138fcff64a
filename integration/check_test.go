package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dbvalet/diagnose"
	"dbvalet/integration/awsfake"
	"dbvalet/integration/servers"
)

// A checked is how "dbvalet check --json" has ended.
type checked struct {
	reports []checkReport
	status  int
	output  string
}

// A checkReport is the documented shape of a report. Fields that it does not know are an error.
type checkReport struct {
	Route      string      `json:"route"`
	Upstream   string      `json:"upstream"`
	OK         bool        `json:"ok"`
	Failed     string      `json:"failed"`
	ExitStatus int         `json:"exit_status"`
	Steps      []checkStep `json:"steps"`
}

type checkStep struct {
	Step   string  `json:"step"`
	Status string  `json:"status"`
	MS     float64 `json:"ms"`
	Text   string  `json:"text"`
	Advice []struct {
		Text string `json:"text"`
		Copy string `json:"copy"`
	} `json:"advice"`
	Facts map[string]any `json:"facts"`
}

// advice is all that s says to do.
func (s checkStep) advice() string {
	var b strings.Builder
	for _, a := range s.Advice {
		b.WriteString(a.Text + "\n" + a.Copy + "\n")
	}
	return b.String()
}

func (r checkReport) step(name string) checkStep {
	i := slices.IndexFunc(r.Steps, func(s checkStep) bool { return s.Step == name })
	if i < 0 {
		return checkStep{}
	}
	return r.Steps[i]
}

// runCheck runs "dbvalet check" with args to its end.
func runCheck(t *testing.T, env []string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := command(t, program, env)
	cmd.Args = append([]string{program, "check"}, args...)
	cmd.Env = append([]string{"AWS_ENDPOINT_URL_RDS=http://127.0.0.1:1"}, cmd.Env...) // as STS
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// check runs "dbvalet check --json", whose output has to be what is documented.
func check(t *testing.T, env []string, args ...string) checked {
	t.Helper()
	stdout, stderr, status := runCheck(t, env, append([]string{"--json", "--timeout=5s"}, args...)...)
	if stderr != "" {
		t.Errorf("check says on stderr: %s", stderr)
	}
	c := checked{status: status, output: stdout}
	decoder := json.NewDecoder(strings.NewReader(stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c.reports); err != nil {
		t.Fatalf("check printed %q: %v", stdout, err)
	}
	for _, r := range c.reports {
		var names []string
		for _, s := range r.Steps {
			names = append(names, s.Step)
		}
		if !slices.Equal(names, diagnose.Steps()) {
			t.Errorf("the steps are %q", names)
		}
	}
	return c
}

// A fault is something broken, and what is to be found.
type fault struct {
	name   string
	env    []string
	route  string
	args   []string
	step   string
	text   []string // in what the step says
	advice []string // in what it says to do
}

// find checks that the fault is found at the right step, with the right advice and exit status.
func (f fault) find(t *testing.T) checkReport {
	t.Helper()
	c := check(t, f.env, append(f.args, f.route)...)
	if len(c.reports) != 1 {
		t.Fatalf("got %d reports: %s", len(c.reports), c.output)
	}
	r := c.reports[0]
	if want := 10 + slices.Index(diagnose.Steps(), f.step); r.Failed != f.step || c.status != want || r.ExitStatus != want || r.OK {
		t.Fatalf("fails at %q with status %d, want %s and %d:\n%s", r.Failed, c.status, f.step, want, c.output)
	}
	step := r.step(f.step)
	for _, want := range f.text {
		if !strings.Contains(step.Text, want) {
			t.Errorf("says %q, want %q in it", step.Text, want)
		}
	}
	for _, want := range f.advice {
		if !strings.Contains(step.advice(), want) {
			t.Errorf("advises\n%s\nwant %q in it", step.advice(), want)
		}
	}
	if len(step.Advice) == 0 {
		t.Error("there is no advice")
	}
	for _, s := range r.Steps {
		if (s.Status == "failed") && s.Step != f.step && s.Step != diagnose.DNS && s.Step != diagnose.Clock {
			t.Errorf("%s has failed too", s.Step)
		}
	}
	return r
}

func findAll(t *testing.T, faults []fault) {
	t.Helper()
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) { f.find(t) })
	}
}

// dialledAt is a route whose server is dialled elsewhere.
func dialledAt(route, server, addr string) string {
	return strings.Replace(route, "dial="+server, "dial="+addr, 1)
}

// says is a server that says banner to whoever connects, until the test ends.
func says(t *testing.T, banner string) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				_, _ = conn.Write([]byte(banner))
				_, _ = conn.Read(make([]byte, 1)) // until it hears, or is left alone
			}()
		}
	}()
	return ln.Addr().String()
}

func TestCheckOfARouteThatWorks(t *testing.T) {
	p, m := pg18(t), maria(t)
	keys := &awsfake.Keys{}
	keys.Add(p.AccessKeyID, awsfake.Key{Secret: p.SecretAccessKey, ARN: cloudCaller})
	sts, err := awsfake.NewSTS(keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sts.Close)
	mariaUser(t, "checked", "pw-of-checked")
	env := append(p.AWSEnvironment(), "AWS_ENDPOINT_URL_STS="+sts.URL)
	routes := []string{iamRoute(p, "name=pg"), mysqlRoute("checked", m, "name=maria", secretFile(t, "pw-of-checked"))}

	c := check(t, env, routes...)
	if c.status != 0 || len(c.reports) != 2 || !c.reports[0].OK || !c.reports[1].OK {
		t.Fatalf("status %d: %s", c.status, c.output)
	}
	pg, my := c.reports[0], c.reports[1]
	for _, row := range []struct {
		report           checkReport
		step, key, value string
	}{
		{pg, "identity", "principal", cloudCaller},
		{pg, "identity", "account", "123456789012"},
		{pg, "identity", "region", "us-east-1"},
		{pg, "credential", "user", "app"},
		{pg, "credential", "id", p.AccessKeyID},
		{pg, "tls", "version", "TLS 1.3"},
		{pg, "tls", "verified", "TLS verify-full"},
		{pg, "login", "method", "password"},
		{my, "login", "method", "mysql_native_password"},
		{my, "login", "user", "checked"},
	} {
		if got := row.report.step(row.step).Facts[row.key]; got != row.value {
			t.Errorf("%s of %s: %s is %v, want %s", row.step, row.report.Route, row.key, got, row.value)
		}
	}
	for _, r := range c.reports {
		for _, name := range []string{"tcp", "tls", "login", "query", "clock"} {
			if s := r.step(name); s.Status != "ok" || s.MS < 0 {
				t.Errorf("%s: %+v", r.Route, s)
			}
		}
	}
	if strings.Contains(c.output, "X-Amz-Signature") || strings.Contains(c.output, p.SecretAccessKey) || strings.Contains(c.output, "pw-of-checked") {
		t.Error("the output has a secret")
	}

	stdout, stderr, status := runCheck(t, env, routes...)
	if status != 0 || stderr != "" {
		t.Errorf("status %d, %s", status, stderr)
	}
	for _, want := range []string{"pg: postgres://app@" + p.Endpoint, "\n  ok      identity ", "\n  ok      query ", "\n  skipped dns ", "\npg works\n\nmaria: mysql://checked@", "\nmaria works\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("got\n%s\nwant %q in it", stdout, want)
		}
	}
	if strings.ContainsAny(stdout, "✓✗\x1b") {
		t.Errorf("it is no terminal: %q", stdout)
	}
}

func TestCheckEndsWithTheStatusOfTheFirstRouteThatFails(t *testing.T) {
	p := pg18(t)
	good := route("scram", p, "name=good", secretFile(t, p.SCRAMPassword))
	dial := "postgres://app@db.example.com/orders?auth=env:PASSWORD&name=dial&dial=" + freeAddr(t)
	missing := "postgres://app@127.0.0.1/orders?auth=env:MISSING&name=missing"
	c := check(t, []string{"PASSWORD=x"}, good, dial, missing)
	if c.status != 13 || len(c.reports) != 3 || !c.reports[0].OK || c.reports[2].ExitStatus != 11 {
		t.Errorf("status %d, want 13 of the second: %s", c.status, c.output)
	}
	if _, stderr, status := runCheck(t, nil, "postgres://db.example.com/orders"); status != 2 || !strings.Contains(stderr, "auth=") {
		t.Errorf("status %d, %q, want 2 for a route that is wrong", status, stderr)
	}
}

func TestCheckFindsFaultsOfIdentityAndCredential(t *testing.T) {
	const to = "postgres://app@orders.abc123.us-east-1.rds.amazonaws.com/orders?dial=127.0.0.1:1"
	c := newCloud(t)
	c.sts.SetRole(firstRole, awsfake.Role{Trusts: []string{"arn:aws:iam::999999999999:user/somebody"}})
	expired := newCloud(t)
	expired.sts.Fail(&awsfake.Refusal{Status: http.StatusForbidden, Code: "ExpiredToken", Message: "The security token included in the request is expired"})
	store := newCloud(t)
	store.secrets.Close()
	silent := newCloud(t)
	silent.secrets.Fail(awsfake.Denied)
	config := write(t, "config", "[profile dev]\nsso_session = corp\nsso_account_id = 111111111111\nsso_role_name = dev\nregion = us-east-1\n"+
		"[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n", 0o600)
	fails := write(t, "fails.sh", "#!/bin/sh\necho 'the vault is locked' >&2\nexit 3\n", 0o700)
	wrongKey := append(slices.DeleteFunc(slices.Clone(c.env), func(s string) bool { return strings.HasPrefix(s, "AWS_SECRET") }), "AWS_SECRET_ACCESS_KEY=another")

	findAll(t, []fault{
		{name: "SSO session that ended", env: []string{"AWS_CONFIG_FILE=" + config}, route: to + "&profile=dev", step: "identity",
			text: []string{"SSO session"}, advice: []string{`run "aws sso login --profile dev"`}},
		{name: "expired keys", env: expired.env, route: to, step: "identity",
			text: []string{"ExpiredToken"}, advice: []string{"renew AWS_SESSION_TOKEN"}},
		{name: "secret key of another", env: wrongKey, route: to, step: "identity",
			text: []string{"SignatureDoesNotMatch"}, advice: []string{"the secret key is not that of the access key", "clock"}},
		{name: "role that may not be assumed", env: c.env, route: to + "&role=" + firstRole, step: "identity",
			text: []string{"AccessDenied", cloudCaller}, advice: []string{`"Action":"sts:AssumeRole","Resource":"` + firstRole, "trust policy"}},
		{name: "no AWS credentials at all", route: to, step: "identity", advice: []string{"AWS_PROFILE"}},
		{name: "variable that is not set", route: "postgres://app@127.0.0.1/?auth=env:MISSING", step: "credential",
			text: []string{"env:MISSING", "not set"}, advice: []string{"put the password into MISSING"}},
		{name: "file that is missing", route: "mysql://app@127.0.0.1/?auth=file:/nonexistent/pw", step: "credential",
			text: []string{"/nonexistent/pw", "no such file"}, advice: []string{"check the path"}},
		{name: "command that fails", route: "postgres://app@127.0.0.1/?auth=exec:" + fails, step: "credential",
			text: []string{"exit status 3: the vault is locked"}, advice: []string{"by hand"}},
		{name: "store that can't be reached", env: store.env, route: "mysql://app@127.0.0.1/?" + auth("awssecretsmanager://prod/app"), step: "credential",
			text: []string{"awssecretsmanager://prod/app", "connection refused"}, advice: []string{"check the network"}},
		{name: "store that says no", env: silent.env, route: "mysql://app@127.0.0.1/?" + auth("awssecretsmanager://prod/app"), step: "credential",
			text: []string{cloudCaller, "may not secretsmanager:GetSecretValue"}, advice: []string{`"Action":"secretsmanager:GetSecretValue"`}},
		{name: "nobody to log in as", route: "postgres://127.0.0.1/?auth=file:" + write(t, "pw", "pw\n", 0o600), step: "credential",
			advice: []string{"--user"}},
	})
}

func TestCheckFindsFaultsOfTheNetwork(t *testing.T) {
	p := pg18(t)
	to := route("scram", p, secretFile(t, p.SCRAMPassword))
	rds := func(addr string) string { return dialledAt(to, p.Addr(), addr) }
	findAll(t, []fault{
		{name: "name that does not exist", route: "postgres://app@nowhere.invalid/orders?" + secretFile(t, "pw"), step: "dns",
			text: []string{"look up nowhere.invalid: "}, advice: []string{"VPN"}},
		{name: "port where nobody listens", route: rds(freeAddr(t)), step: "tcp",
			text: []string{"connection refused"}, advice: []string{"nobody listens on port", "aws rds describe-db-instances --db-instance-identifier orders --region us-east-1 --query 'DBInstances[0].[DBInstanceStatus,Endpoint.Port]'"}},
		{name: "packets that are dropped", route: rds(deaf(t)), args: []string{"--timeout=1s"}, step: "tcp",
			text: []string{"no answer in time"}, advice: []string{"security group", "aws ec2 authorize-security-group-ingress --group-id GROUP --protocol tcp --port "}},
		{name: "socket that is not there", route: "postgres://app@db.example.com/?dial=/nonexistent/socket&" + secretFile(t, "pw"), step: "tcp",
			text: []string{"/nonexistent/socket", "no such file"}},
	})
}

// deaf is an address where a connection is neither taken nor refused: the queue of the one who listens there is
// full, and nobody empties it.
func deaf(t *testing.T) (addr string) {
	t.Helper()
	addr, fill := fullQueue(t)
	for {
		conn, err := net.DialTimeout("tcp", addr, 300*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { conn.Close() })
		if fill--; fill < 0 {
			t.Skip("this kernel takes more connections than the queue is long")
		}
	}
}

func TestCheckSaysWhatAnswersInPlaceOfTheDatabase(t *testing.T) {
	t.Parallel()
	p, m := pg18(t), maria(t)
	pg, my := route("scram", p, secretFile(t, p.SCRAMPassword)), mysqlRoute("app", m, secretFile(t, "pw"))
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	ssh := says(t, "SSH-2.0-OpenSSH_9.9\r\n")
	http := strings.TrimPrefix(web.URL, "http://")
	findAll(t, []fault{
		{name: "ssh in place of PostgreSQL", route: dialledAt(pg, p.Addr(), ssh), step: "tls", text: []string{"an SSH server (SSH-2.0-OpenSSH_9.9) answers there"}, advice: []string{"another service's"}},
		{name: "ssh in place of MySQL", route: dialledAt(my, m.Addr(), ssh), step: "tls", text: []string{"an SSH server"}, advice: []string{"another service's"}},
		{name: "web in place of PostgreSQL", route: dialledAt(pg, p.Addr(), http), args: []string{"--timeout=2s"}, step: "tls", text: []string{"a web server answers there"}, advice: []string{"another service's"}},
		{name: "web in place of MySQL", route: dialledAt(my, m.Addr(), http), args: []string{"--timeout=2s"}, step: "tls", text: []string{"a web server answers there"}},
		{name: "MySQL in place of PostgreSQL", route: dialledAt(pg, p.Addr(), m.Addr()), step: "tls", text: []string{"a MySQL server answers there"}, advice: []string{"write mysql:// in the route"}},
		{name: "PostgreSQL in place of MySQL", route: dialledAt(my, m.Addr(), p.Addr()), args: []string{"--timeout=2s"}, step: "tls", text: []string{"a PostgreSQL server answers there"}, advice: []string{"write postgres:// in the route"}},
	})
}

func TestCheckFindsFaultsOfTheCertificate(t *testing.T) {
	elsewhere := servers.Certificate{Names: []string{"elsewhere.example.com"}}
	expired := servers.Certificate{NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(-1, 0, 0)}
	pg := func(o servers.Options) (string, *servers.Server) {
		p := ownServer(t, o)
		return strings.Replace(route("clear", p, secretFile(t, p.ClearPassword)), "&ca=&", "&", 1), &p.Server
	}
	plain, _ := pg(servers.Options{NoTLS: true})
	foreign, _ := pg(servers.Options{Certificate: servers.Certificate{Foreign: true}})
	other, at := pg(servers.Options{Certificate: elsewhere})
	old, _ := pg(servers.Options{Certificate: expired})
	named := strings.Replace(other, at.Endpoint, "db.example.com", 1)
	roots := []string{"SSL_CERT_FILE=" + at.CAFile, "SSL_CERT_DIR=/nonexistent"}
	findAll(t, []fault{
		{name: "no TLS", route: plain, step: "tls", text: []string{"the server has no TLS"}, advice: []string{"ssl=on"}},
		{name: "unknown CA", route: foreign, step: "tls", text: []string{"not signed by a CA among the certificates in", "dbvalet foreign test CA"}, advice: []string{"global-bundle.pem"}},
		{name: "unknown CA, not of RDS", env: roots, route: withoutCA(strings.Replace(foreign, at.Endpoint, "db.example.com", 1)),
			step: "tls", text: []string{"not signed by a CA among the system's roots"}, advice: []string{"openssl s_client -starttls postgres -showcerts -connect 127.0.0.1:", "set ca=FILE"}},
		{name: "wrong name", route: named, step: "tls", text: []string{"another name", "elsewhere.example.com"}, advice: []string{"tls_server_name=elsewhere.example.com"}},
		{name: "expired", route: old, step: "tls", text: []string{"has expired"}, advice: []string{"renew it on the server", "this machine's clock"}},
	})

	m := mysqlServer(t, servers.MySQLOptions{Version: "mariadb11", SelfSigned: true})
	none := mysqlServer(t, servers.MySQLOptions{NoTLS: true})
	findAll(t, []fault{
		{name: "self-signed", env: roots, route: withoutCA(strings.Replace(mysqlRoute("native", m, secretFile(t, m.NativePassword)), m.Endpoint, "db.example.com", 1)),
			step: "tls", text: []string{"not signed by a CA"}, advice: []string{"openssl s_client -starttls mysql", "self-signed"}},
		{name: "no TLS on MySQL", route: withoutCA(mysqlRoute("sha2", none, secretFile(t, none.SHA2Password))), step: "tls", text: []string{"the server has no TLS"}, advice: []string{"ssl_cert"}},
	})
}

// withoutCA is route without its ca=.
func withoutCA(route string) string {
	before, after, ok := strings.Cut(route, "ca=")
	if !ok {
		return route
	}
	_, rest, _ := strings.Cut(after, "&")
	return before + rest
}

// The name of a certificate that RDS has issued says which name belongs in the route.
func TestCheckCorrectsARouteThatNamesAnAlias(t *testing.T) {
	p := pg18(t)
	alias := strings.NewReplacer("@"+p.Endpoint, "@db.example.com").Replace(route("scram", p, secretFile(t, p.SCRAMPassword)))
	p18 := ownServer(t, servers.Options{Certificate: servers.Certificate{Names: []string{p.Endpoint}}})
	alias = strings.NewReplacer(p.Addr(), p18.Addr(), p.CAFile, p18.CAFile, strings.ReplaceAll(p.CAFile, "/", "%2F"), strings.ReplaceAll(p18.CAFile, "/", "%2F"),
		fmt.Sprintf("com:%d", p.Port), fmt.Sprintf("com:%d", p18.Port)).Replace(alias)
	fault{route: alias, step: "tls", text: []string{"another name"}, advice: []string{
		"db.example.com is another name of the RDS endpoint " + p.Endpoint,
		fmt.Sprintf("postgres://scram@%s:%d/orders?dial=%s", p.Endpoint, p18.Port, p18.Addr()),
	}}.find(t)
}

func TestCheckFindsFaultsOfThePostgresLogin(t *testing.T) {
	p := ownServer(t, servers.Options{
		Settings: map[string]string{"max_connections": "6", "superuser_reserved_connections": "3", "max_wal_senders": "0"},
		HBA:      []string{"hostssl all ghost,plain 127.0.0.1/32 scram-sha-256"},
	})
	alter(t, p, "CREATE ROLE plain LOGIN PASSWORD 'x'")
	alter(t, p, "CREATE DATABASE closed")
	alter(t, p, "REVOKE CONNECT ON DATABASE closed, postgres FROM PUBLIC")
	scram := secretFile(t, p.SCRAMPassword)
	in := func(route, database string) string {
		return strings.Replace(route, "/"+p.Database+"?", "/"+database+"?", 1)
	}
	wrongKey := append(p.AWSEnvironment(), "AWS_SECRET_ACCESS_KEY=another")
	policy := `"Action":"rds-db:connect","Resource":"arn:aws:rds-db:us-east-1:*:dbuser:*/app"`
	findAll(t, []fault{
		{name: "wrong password", route: route("scram", p, secretFile(t, "wrong")), step: "login",
			text: []string{"password authentication failed", "28P01"}, advice: []string{"the password of scram is not the one that file:", `\password "scram"`}},
		{name: "token that IAM refuses", env: wrongKey, route: iamRoute(p), step: "login",
			text: []string{"PAM authentication failed"}, advice: []string{policy, "aws rds modify-db-instance --db-instance-identifier orders --region us-east-1 --enable-iam-database-authentication"}},
		{name: "token of another region", env: p.AWSEnvironment(), route: iamRoute(p, "region=eu-west-1"), step: "login",
			text: []string{"PAM authentication failed"}, advice: []string{"signed for eu-west-1, and the endpoint is in us-east-1: leave region=eu-west-1 out"}},
		{name: "role without rds_iam", env: p.AWSEnvironment(), route: route("plain", p), step: "login",
			text: []string{`asks for authentication method "scram-sha-256"`}, advice: []string{`GRANT rds_iam TO "plain";`}},
		{name: "role that does not exist", env: p.AWSEnvironment(), route: route("ghost", p), step: "login",
			text: []string{`asks for authentication method`}, advice: []string{`CREATE ROLE "ghost" LOGIN; GRANT rds_iam TO "ghost";`}},
		{name: "no line in pg_hba.conf", route: route("stranger", p, scram), step: "login",
			text: []string{"no pg_hba.conf entry"}, advice: []string{`hostssl "orders" "stranger" 127.0.0.1/32 scram-sha-256`}},
		{name: "database that does not exist", route: in(route("scram", p, scram), "nowhere"), step: "login",
			text: []string{"3D000"}, advice: []string{`CREATE DATABASE "nowhere";`, "correct the name in the route"}},
		{name: "database for others", route: in(route("scram", p, scram), "closed"), step: "login",
			text: []string{"42501"}, advice: []string{`GRANT CONNECT ON DATABASE "closed" TO "scram";`}},
		{name: "no database, and postgres for others", route: in(route("scram", p, scram), ""), step: "login",
			text: []string{"42501"}, advice: []string{"the route names no database, so that postgres was opened", `GRANT CONNECT ON DATABASE "postgres" TO "scram";`}},
	})
	t.Run("too many connections", func(t *testing.T) {
		v := start(t, nil, route("scram", p, scram))
		for range 3 {
			connect(t, v)
		}
		fault{route: route("scram", p, scram), step: "login", text: []string{"53300"}, advice: []string{"pg_stat_activity", "max_connections="}}.find(t)
	})
}

// A standby that takes no clients says so as a server that starts does.
func TestCheckFindsADatabaseThatIsInRecovery(t *testing.T) {
	p := ownServer(t, servers.Options{Settings: map[string]string{"hot_standby": "off"}})
	alter(t, p, "COPY (SELECT) TO PROGRAM 'cat >/dev/null; : >standby.signal'")
	restarted, stop := restart(t, &p.Server)
	defer func() { stop(); <-restarted }()
	to := route("scram", p, secretFile(t, p.SCRAMPassword))
	waitUntil(t, "the server answers", func() bool { return check(t, nil, to).status == 15 })
	fault{route: to, step: "login", text: []string{"57P03"}, advice: []string{"try again in a moment", "aws rds describe-db-instances --db-instance-identifier orders --region us-east-1 --query 'DBInstances[0].[DBInstanceStatus,Endpoint.Port]'"}}.find(t)
}

func TestCheckFindsFaultsOfTheMySQLLogin(t *testing.T) {
	m := mysqlServer(t, servers.MySQLOptions{Settings: map[string]string{"max_connections": "10"}})
	for _, statement := range []string{
		"CREATE USER powerful IDENTIFIED BY 'the-password'", "GRANT ALL ON *.* TO powerful",
		"CREATE USER limited IDENTIFIED BY 'the-password'", "CREATE USER locked IDENTIFIED BY 'the-password' ACCOUNT LOCK",
	} {
		alter(t, m, statement)
	}
	in := func(route, database string) string {
		return strings.Replace(route, "/"+m.Database+"?", "/"+database+"?", 1)
	}
	password := secretFile(t, "the-password")
	wrongKey := append(m.AWSEnvironment(), "AWS_SECRET_ACCESS_KEY=another")
	findAll(t, []fault{
		{name: "wrong password", route: mysqlRoute("powerful", m, secretFile(t, "wrong")), step: "login",
			text: []string{"ERROR 1045"}, advice: []string{"the password of powerful is not the one that file:", "ALTER USER 'powerful'@'%' IDENTIFIED BY"}},
		{name: "token that IAM refuses", env: wrongKey, route: mysqlRoute("app", m), step: "login",
			text: []string{"ERROR 1045"}, advice: []string{`"Resource":"arn:aws:rds-db:us-east-1:*:dbuser:*/app"`, "--db-instance-identifier shop --region us-east-1 --enable-iam"}},
		{name: "user with another plugin", env: m.AWSEnvironment(), route: mysqlRoute("sha2", m), step: "login",
			text: []string{`asks for authentication method "caching_sha2_password"`}, advice: []string{"ALTER USER 'sha2'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS';", "CREATE USER 'sha2'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS';"}},
		{name: "database that does not exist", route: in(mysqlRoute("powerful", m, password), "nowhere"), step: "login",
			text: []string{"ERROR 1049"}, advice: []string{"CREATE DATABASE `nowhere`;"}},
		{name: "database for others", route: mysqlRoute("limited", m, password), step: "login",
			text: []string{"ERROR 1044"}, advice: []string{"GRANT ALL ON `" + m.Database + "`.* TO 'limited'@'%';"}},
		{name: "account that is locked", route: in(mysqlRoute("locked", m, password), ""), step: "login",
			text: []string{"ERROR 3118"}, advice: []string{"ACCOUNT UNLOCK"}},
	})
	t.Run("too many connections", func(t *testing.T) {
		direct := straight(t, m, "limited", "the-password", "")
		for {
			conn, err := direct.Conn(t.Context())
			if err != nil {
				break
			}
			t.Cleanup(func() { conn.Close() })
		}
		fault{route: mysqlRoute("sha2", m, secretFile(t, m.SHA2Password)), step: "login", text: []string{"ERROR 1040"}, advice: []string{"information_schema.processlist"}}.find(t)
	})
}

// Where RDS may be asked, it says what the database does not.
func TestCheckFindsAnInstanceThatDoesNotAskIAM(t *testing.T) {
	p := pg18(t)
	keys := &awsfake.Keys{}
	keys.Add(p.AccessKeyID, awsfake.Key{Secret: "another", ARN: cloudCaller})
	sts, err := awsfake.NewSTS(keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sts.Close)
	rds, err := awsfake.NewRDS(keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rds.Close)
	env := append(p.AWSEnvironment(), "AWS_SECRET_ACCESS_KEY=another", "AWS_ENDPOINT_URL_STS="+sts.URL, "AWS_ENDPOINT_URL_RDS="+rds.URL)
	t.Run("of another account", func(t *testing.T) {
		fault{env: env, route: iamRoute(p), step: "login", advice: []string{"account 123456789012, which we are in, has no database at this endpoint"}}.find(t)
	})
	t.Run("without IAM", func(t *testing.T) {
		rds.AddInstance("us-east-1", awsfake.DBInstance{DBInstanceIdentifier: "orders", Engine: "postgres", Endpoint: &awsfake.DBEndpoint{Address: p.Endpoint, Port: p.Port}})
		fault{env: env, route: iamRoute(p), step: "login", advice: []string{"IAM authentication is off", "aws rds modify-db-instance --db-instance-identifier orders --region us-east-1 --enable-iam-database-authentication"}}.find(t)
	})
}

// Tokens are compared with the clock of AWS, which is that of the database here.
func TestCheckFindsAClockThatIsWrong(t *testing.T) {
	p := ownServer(t, servers.Options{})
	keys := &awsfake.Keys{}
	keys.Add(p.AccessKeyID, awsfake.Key{Secret: p.SecretAccessKey, ARN: cloudCaller})
	sts, err := awsfake.NewSTS(keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sts.Close)
	// at is the environment of a machine whose clock is behind AWS's.
	at := func(behind time.Duration) []string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(behind).UTC().Format(http.TimeFormat))
			sts.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		return append(p.AWSEnvironment(), "AWS_ENDPOINT_URL_STS="+server.URL)
	}
	t.Run("a little", func(t *testing.T) {
		c := check(t, at(2*time.Minute), iamRoute(p))
		s := c.reports[0].step("clock")
		if c.status != 0 || s.Status != "warning" {
			t.Errorf("status %d: %+v", c.status, s)
		}
		isBehind(t, s.Text, 2*time.Minute)
	})
	t.Run("much, and the token is good still", func(t *testing.T) {
		r := fault{env: at(7 * time.Minute), route: iamRoute(p), step: "clock", text: []string{"agrees with the database"}, advice: []string{"timedatectl set-ntp true"}}.find(t)
		isBehind(t, r.step("clock").Text, 7*time.Minute)
	})
	t.Run("too much for the token", func(t *testing.T) {
		if err := p.SetClockOffset(20 * time.Minute); err != nil {
			t.Fatal(err)
		}
		r := fault{env: at(20 * time.Minute), route: iamRoute(p), step: "login", text: []string{"PAM authentication failed"},
			advice: []string{" behind AWS, and so the token has the wrong time", "timedatectl set-ntp true"}}.find(t)
		isBehind(t, r.step("login").advice(), 20*time.Minute)
		if s := r.step("clock"); s.Status != "failed" {
			t.Errorf("the clock: %+v", s)
		}
	})
}

// isBehind checks how far a clock is said to be behind that of AWS, which tells whole seconds, and takes a
// moment to.
func isBehind(t *testing.T, text string, want time.Duration) {
	t.Helper()
	said := regexp.MustCompile(`(\S+) behind AWS`).FindStringSubmatch(text)
	if said == nil {
		t.Errorf("got %q, want that the clock is behind AWS", text)
		return
	}
	if got, err := time.ParseDuration(said[1]); err != nil || (got-want).Abs() > 5*time.Second {
		t.Errorf("got %q, want %v", text, want)
	}
}

func TestCheckSpeaksToPeople(t *testing.T) {
	p := pg18(t)
	stdout, _, status := runCheck(t, nil, route("scram", p, "name=orders", secretFile(t, "wrong")))
	if status != 15 {
		t.Errorf("status %d", status)
	}
	for _, want := range []string{"\n  ok      tls ", "\n  FAILED  login ", "\n  skipped query\n", "\norders fails at login. What to do:\n  * ", `:` + "\n      " + `\password "scram"` + "\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("got\n%s\nwant %q in it", stdout, want)
		}
	}
	config := write(t, "dbvalet.yaml", "routes:\n  - name: orders\n    upstream: postgres://app@127.0.0.1/orders\n    auth: env:MISSING\n", 0o600)
	if stdout, stderr, status := runCheck(t, nil, "--config", config, "orders"); status != 11 || !strings.HasPrefix(stdout, "orders: ") {
		t.Errorf("status %d, %s%s, want the route by its name", status, stdout, stderr)
	}
}
