package integration

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dbvalet/integration/gcpfake"
	"dbvalet/integration/servers"
)

// google starts a Google Cloud, and returns the environment in which dbvalet finds it, as account.
func google(t *testing.T, account string) (g *gcpfake.Server, env []string) {
	t.Helper()
	g, err := gcpfake.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g, googleAs(t, g, g.ServiceAccount(account))
}

// googleAs is the environment of dbvalet where a are the Application Default Credentials.
func googleAs(t *testing.T, g *gcpfake.Server, a gcpfake.ADC) []string {
	t.Helper()
	path, err := a.Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return []string{
		"GOOGLE_APPLICATION_CREDENTIALS=" + path, "GCE_METADATA_HOST=" + g.Host(), "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS=" + g.URL,
	}
}

// cloudSQL decides as Cloud SQL does: the token must be alive, good for logins only, and of principal.
func cloudSQL(g *gcpfake.Server, principal string) func(token string) error {
	return func(token string) error {
		switch is, _ := g.Token(token); {
		case !g.TokenValid(token):
			return errors.New("not a token for logins that is alive")
		case is.Principal != principal:
			return fmt.Errorf("the token is of %s, want %s", is.Principal, principal)
		}
		return nil
	}
}

func TestGoogleTokenLogsInAsThePrincipalsUser(t *testing.T) {
	const account, target = "orders@proj.iam.gserviceaccount.com", "target@proj.iam.gserviceaccount.com"
	p, m := pgTokens(t), maria(t)
	g, env := google(t, account)
	g.AllowImpersonation(account, target)
	tokenRole(t, "orders@proj.iam", cloudSQL(g, account))
	tokenRole(t, "target@proj.iam", cloudSQL(g, target))
	mariaTokenUser(t, "orders", cloudSQL(g, account))
	mariaTokenUser(t, "target", cloudSQL(g, target))
	rows := []struct{ name, user, option, pg, maria string }{
		{"principal", account, "", "orders@proj.iam", "orders"},
		{"user of PostgreSQL", "orders@proj.iam", "", "orders@proj.iam", "orders"},
		{"user left out", "", "", "orders@proj.iam", "orders"},
		{"impersonation", "", "&impersonate_service_account=" + target, "target@proj.iam", "target"},
	}
	var routes []string
	for i, row := range rows {
		user, auth := url.QueryEscape(row.user), "auth=gcp-iam"+row.option
		routes = append(routes, route(user, p, auth, fmt.Sprint("name=pg", i)), mysqlRoute(user, m, auth, fmt.Sprint("name=maria", i)))
	}
	v := start(t, env, routes...)
	for i, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			psqlProgram.logsInAs(t, v, 2*i, row.pg)
			mariadbProgram.logsInAs(t, v, 2*i+1, row.maria)
		})
	}

	person := start(t, googleAs(t, g, g.User("you@example.com")), route("you%40example.com", p, "auth=gcp-iam"))
	tokenRole(t, "you@example.com", cloudSQL(g, "you@example.com"))
	psqlProgram.logsInAs(t, person, 0, "you@example.com")
}

func TestRefusedGoogleTokenIsExplainedInTheClientsOwnOutput(t *testing.T) {
	const account = "barred@proj.iam.gserviceaccount.com"
	p, m := pgTokens(t), maria(t)
	_, env := google(t, account)
	refuse := func(string) error { return errors.New("no role") }
	tokenRole(t, "barred@proj.iam", refuse)
	mariaTokenUser(t, "barred", refuse)
	v := start(t, env, route("", p, "auth=gcp-iam", "name=pg"), mysqlRoute("", m, "auth=gcp-iam", "name=maria"))
	psqlProgram.refused(t, v, 0, `PAM authentication failed for user "barred@proj.iam"`, "HINT:  dbvalet: the login was as barred@proj.iam",
		"gcloud projects add-iam-policy-binding PROJECT --member=serviceAccount:"+account+" --role=roles/cloudsql.instanceUser",
		"gcloud sql users create barred@proj.iam --instance=INSTANCE --type=cloud_iam_service_account")
	mariadbProgram.refused(t, v, 1, "ERROR 1045 (28000)", "Access denied for user 'barred'", "the login was as barred",
		"--member=serviceAccount:"+account, "roles/cloudsql.instanceUser", "gcloud sql users create "+account)

	broken := start(t, append(slices.Clone(env), "GOOGLE_APPLICATION_CREDENTIALS=/nonexistent/adc.json"), route("x", p, "auth=gcp-iam"))
	psqlProgram.refused(t, broken, 0, "FATAL:  dbvalet: gcp-iam", "/nonexistent/adc.json", "HINT:  ")
}

func TestGoogleSecretInAnyForm(t *testing.T) {
	const account = "reader@proj.iam.gserviceaccount.com"
	p, m := pgSecrets(t), maria(t)
	g, env := google(t, account)
	storedRole(t, p, "goog", "pa55 w&rd")
	mariaUser(t, "goog", "pa55 w&rd")
	put := func(name string, payloads ...string) {
		for _, payload := range payloads {
			g.AddVersion("proj", name, []byte(payload))
		}
		g.AllowAccess("proj", name, account)
	}
	put("bare", "pa55 w&rd\n")
	put("json", login("goog", "pa55 w&rd"))
	put("nested", `{"db": {"password": "pa55 w&rd"}}`)
	put("three", "old", "pa55 w&rd", "new")
	put("early", "pa55 w&rd", "the database does not have it yet")
	put("pg", located(&p.Server, "goog", "pa55 w&rd"))
	put("maria", located(&m.Server, "goog", "pa55 w&rd"))
	at := "endpoint=" + g.URL
	cases := []secretCase{
		{"Go CDK", "gcpsecretmanager://projects/proj/secrets/bare?decoder=string&" + at, "goog"},
		{"JSON", "gcpsecretmanager://projects/proj/secrets/json?" + at, ""},
		{"path", "gcpsecretmanager://projects/proj/secrets/nested?path=db.password&" + at, "goog"},
		{"version", "gcpsecretmanager://projects/proj/secrets/three/versions/2?" + at, "goog"},
		{"version before the latest", "gcpsecretmanager://projects/proj/secrets/early?" + at, "goog"},
	}
	for _, engine := range []struct {
		program clientProgram
		to      func(user string, more ...string) string
		where   string
	}{
		{psqlProgram, func(user string, more ...string) string { return route(user, p, more...) },
			hostless("postgres", &p.Server, auth("gcpsecretmanager://projects/proj/secrets/pg?"+at))},
		{mariadbProgram, func(user string, more ...string) string { return mysqlRoute(user, m, more...) },
			hostless("mysql", &m.Server, auth("gcpsecretmanager://projects/proj/secrets/maria?"+at))},
	} {
		t.Run(engine.program.name, func(t *testing.T) {
			v := start(t, env, append(secretRoutes(cases, engine.to), engine.where)...)
			for i, one := range append(cases, secretCase{name: "host, port and database from the secret"}) {
				t.Run(one.name, func(t *testing.T) { engine.program.logsInAs(t, v, i, "goog") })
			}
		})
	}
	t.Run("denied", func(t *testing.T) {
		g.AddVersion("proj", "denied", []byte("x"))
		to := auth("gcpsecretmanager://projects/proj/secrets/denied?" + at)
		v := start(t, env, route("goog", p, to), mysqlRoute("goog", m, to, "name=maria"))
		want := []string{"gcpsecretmanager://projects/proj/secrets/denied", account, "may not read version latest",
			"gcloud secrets add-iam-policy-binding denied", "--member=serviceAccount:" + account, "--role=roles/secretmanager.secretAccessor"}
		psqlProgram.refused(t, v, 0, append([]string{"FATAL:  dbvalet: "}, want...)...)
		mariadbProgram.refused(t, v, 1, append([]string{"ERROR ", "dbvalet: "}, want...)...)
	})
}

// instance is a Cloud SQL instance in front of s.
func instance(t *testing.T, a *gcpfake.SQLAdmin, s *servers.Server, version string) (name string, i *gcpfake.Instance) {
	t.Helper()
	name = "proj:europe-west1:" + strings.ToLower(version[:2])
	i, err := a.ServeInstance(name, s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	i.SetVersion(version)
	return name, i
}

func TestConnectorReachesRealDatabases(t *testing.T) {
	const account = "tunnel@proj.iam.gserviceaccount.com"
	p, m := pgTokens(t), maria(t)
	g, env := google(t, account)
	a := gcpfake.NewSQLAdmin(g)
	t.Cleanup(a.Close)
	a.AllowConnect(account)
	pgName, pgInstance := instance(t, a, &p.Server, "POSTGRES_18")
	mariaName, mariaInstance := instance(t, a, &m.Server, "MYSQL_8_4")
	// The instance has verified the login; what is behind it takes the connection's word.
	alter(t, p, `CREATE ROLE "tunnel@proj.iam" LOGIN IN ROLE connected`)
	alter(t, m, "CREATE USER tunnel")
	alter(t, m, "GRANT ALL ON "+m.Database+".* TO tunnel")
	to := func(scheme, name string, more ...string) string {
		return scheme + "://?" + strings.Join(append([]string{"listen=127.0.0.1:0", "instance=" + name, "sqladmin_endpoint=" + url.QueryEscape(g.URL)}, more...), "&")
	}
	v := start(t, env, to("postgres", pgName, "name=pg"), to("mysql", mariaName, "name=maria", "auth=gcp-connector"))

	t.Run("psql", func(t *testing.T) { psqlProgram.logsInAs(t, v, 0, "tunnel@proj.iam") })
	t.Run("mariadb", func(t *testing.T) { mariadbProgram.logsInAs(t, v, 1, "tunnel") })
	t.Run("mysql", func(t *testing.T) {
		if got, stderr, err := mysqlClientAt(t, "mysql9", v.addrs[1], whoami); err != nil || got != "tunnel" {
			t.Errorf("logged in as %q, %v\n%s", got, err, stderr)
		}
	})
	for _, i := range []*gcpfake.Instance{pgInstance, mariaInstance} {
		if logins := i.Logins(); len(logins) == 0 || slices.ContainsFunc(logins, func(s string) bool { return s != account }) {
			t.Errorf("%s saw logins of %v, want %s only", i.Address, logins, account)
		}
	}
	t.Run("Ctrl-C", func(t *testing.T) {
		host, port, _ := strings.Cut(v.addrs[0], ":")
		cmd, err := servers.Client(within(t, patience), "18", "psql", "-X", "-w", "-c", "SELECT pg_sleep(601)", "host="+host+" port="+port+" user=x dbname=orders")
		if err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		sleepsOnPostgres(t, p, "SELECT pg_sleep(601)")
		before := len(pgInstance.Logins())
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(stderr.String(), "canceling statement due to user request") {
			t.Errorf("psql: %v\n%s", err, stderr.String())
		}
		if got := len(pgInstance.Logins()); got != before+1 {
			t.Errorf("%d connections for the cancellation, want one through the connector", got-before)
		}
	})
	t.Run("CancelRequest", func(t *testing.T) {
		conn, err := pgx.Connect(t.Context(), v.conninfo()+" sslmode=disable")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		cancelled := make(chan error, 1)
		go func() {
			_, err := conn.Exec(within(t, patience), "SELECT pg_sleep(602)")
			cancelled <- err
		}()
		sleepsOnPostgres(t, p, "SELECT pg_sleep(602)")
		if err := conn.PgConn().CancelRequest(within(t, patience)); err != nil {
			t.Error(err)
		}
		if e, ok := errors.AsType[*pgconn.PgError](<-cancelled); !ok || e.Code != "57014" {
			t.Errorf("the query ended with %v, want 57014", e)
		}
	})
	t.Run("KILL QUERY", func(t *testing.T) {
		conn := openMySQLSession(t, v, 1)
		id := ask(t, conn, "SELECT CONNECTION_ID()")
		killed := make(chan error, 1)
		go func() {
			_, err := conn.ExecContext(within(t, patience), "SELECT /* tunnelled */ SLEEP(600)")
			killed <- err
		}()
		waitUntil(t, "the query sleeps", func() bool {
			return mariaAsk(t, m, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT /* tunnelled */%'") == "1"
		})
		if _, stderr, err := mysqlAt(t, v.addrs[1], "KILL QUERY "+id); err != nil {
			t.Errorf("mariadb: %v\n%s", err, stderr)
		}
		if err := <-killed; err == nil || !strings.Contains(err.Error(), "interrupted") {
			t.Errorf("the query ended with %v", err)
		}
	})
	t.Run("Admin API down", func(t *testing.T) {
		g.Fail(gcpfake.OpConnectSettings, gcpfake.Down)
		g.Fail(gcpfake.OpEphemeralCert, gcpfake.Down)
		defer g.Recover(gcpfake.OpConnectSettings)
		defer g.Recover(gcpfake.OpEphemeralCert)
		psqlProgram.logsInAs(t, v, 0, "tunnel@proj.iam")
	})
}

func TestConnectorThatMayNotConnectSaysSoInTheClientsOwnOutput(t *testing.T) {
	const account = "outsider@proj.iam.gserviceaccount.com"
	p := pgTokens(t)
	g, env := google(t, account)
	a := gcpfake.NewSQLAdmin(g)
	t.Cleanup(a.Close)
	name, _ := instance(t, a, &p.Server, "POSTGRES_18")
	to := "listen=127.0.0.1:0&instance=" + name + "&sqladmin_endpoint=" + url.QueryEscape(g.URL)
	v := start(t, env, "postgres://?name=pg&"+to, "mysql://?name=maria&"+to)
	want := []string{"gcp-connector " + name, account + " may not connect", "gcloud projects add-iam-policy-binding proj --member=serviceAccount:" + account + " --role=roles/cloudsql.client"}
	psqlProgram.refused(t, v, 0, append([]string{"FATAL:  dbvalet: "}, want...)...)
	mariadbProgram.refused(t, v, 1, append([]string{"ERROR ", "dbvalet: "}, want...)...)
}

// sleepsOnPostgres waits until a session sleeps in this statement.
func sleepsOnPostgres(t *testing.T, p *servers.Postgres, statement string) {
	t.Helper()
	waitUntil(t, "the query sleeps", func() bool {
		return superuser(t, p, "SELECT count(*) FROM pg_stat_activity WHERE query = '"+statement+"' AND wait_event = 'PgSleep'") == "1"
	})
}
