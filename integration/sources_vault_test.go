package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dbvalet/integration/servers"
	"dbvalet/integration/vaultfake"
)

const vaultToken = "hvs.the-token-of-the-test"

// newVault starts a Vault, and returns the environment in which dbvalet finds it.
func newVault(t *testing.T) (*vaultfake.Server, []string) {
	t.Helper()
	s := vaultfake.New()
	t.Cleanup(s.Close)
	s.AddToken(vaultToken, vaultfake.Access{Paths: []string{"*"}})
	return s, []string{"VAULT_ADDR=" + s.URL, "VAULT_TOKEN=" + vaultToken}
}

// kv is what KV keeps of a login.
func kv(user, password string) map[string]any {
	return map[string]any{"username": user, "password": password}
}

// onPostgres makes and drops the users of r's leases on p, as the statements of a role do it.
func onPostgres(p *servers.Postgres, r vaultfake.Role) vaultfake.Role {
	r.CreateUser = func(user, password string, ttl time.Duration) error {
		return p.Exec(context.Background(), fmt.Sprintf(`CREATE ROLE "%s" LOGIN PASSWORD '%s' VALID UNTIL '%s' IN ROLE stored`,
			user, password, time.Now().Add(ttl).UTC().Format(time.RFC3339)))
	}
	r.DropUser = func(user string) error { return p.Exec(context.Background(), fmt.Sprintf(`DROP ROLE "%s"`, user)) }
	return r
}

// onMaria is onPostgres for MariaDB.
func onMaria(m *servers.MySQL, r vaultfake.Role) vaultfake.Role {
	r.CreateUser = func(user, password string, _ time.Duration) error {
		return m.Exec(context.Background(), fmt.Sprintf("GRANT ALL ON %s.* TO '%s' IDENTIFIED BY '%s'", m.Database, user, password))
	}
	r.DropUser = func(user string) error { return m.Exec(context.Background(), fmt.Sprintf("DROP USER '%s'", user)) }
	return r
}

// made counts the users on p that leases of a role have made.
func made(t *testing.T, p *servers.Postgres, role string) string {
	t.Helper()
	return superuser(t, p, "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-"+role+"-%'")
}

func TestVaultInAnyForm(t *testing.T) {
	p, m := pgSecrets(t), maria(t)
	s, env := newVault(t)
	storedRole(t, p, "vaulted", "pa55 w&rd")
	mariaUser(t, "vaulted", "pa55 w&rd")
	s.PutKV2("secret", "database", kv("vaulted", "pa55 w&rd"))
	s.PutKV2("secret", "bare", map[string]any{"deep": map[string]any{"password": "pa55 w&rd"}})
	s.PutKV2("secret", "old", kv("vaulted", "pa55 w&rd"))
	s.PutKV2("secret", "old", kv("vaulted", "a newer one"))
	s.PutKV1("kv/database", kv("vaulted", "pa55 w&rd"))
	s.AddStaticRole("database", "orders", "vaulted", "pa55 w&rd", time.Hour)
	for name, db := range map[string]*servers.Server{"pg": &p.Server, "maria": &m.Server} {
		s.PutKV2("secret", name, map[string]any{"username": "vaulted", "password": "pa55 w&rd",
			"host": db.Endpoint, "port": db.Port, "dbname": db.Database})
	}
	secretID := filepath.Join(t.TempDir(), "secret-id")
	if err := os.WriteFile(secretID, []byte("the-secret-id\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.AddAppRole("approle", "app", "role-id", "the-secret-id", vaultfake.Access{Paths: []string{"secret/data/database"}, TTL: time.Hour})
	jwt := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(jwt, []byte("a.jwt.of-kubernetes"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.AddJWTRole("kubernetes", "app", "a.jwt.of-kubernetes", map[string]string{"service_account_name": "app"}, vaultfake.Access{Paths: []string{"kv/database"}, TTL: time.Hour})
	cases := []secretCase{
		{"KV version 2", "hashivault://secret/data/database", ""},
		{"KV version 2, as the vault command writes it", "hashivault://secret/database", ""},
		{"path", "hashivault://secret/data/bare?path=deep.password", "vaulted"},
		{"version", "hashivault://secret/data/old?version=1", ""},
		{"KV version 1", "hashivault://kv/database", ""},
		{"static role", "hashivault://database/static-creds/orders", ""},
		{"AppRole", "hashivault://secret/data/database?login=approle&role_id=role-id&secret_id_file=" + secretID, ""},
		{"Kubernetes", "hashivault://kv/database?login=kubernetes&role=app&jwt_file=" + jwt, ""},
	}
	for _, engine := range []struct {
		program clientProgram
		to      func(user string, more ...string) string
		where   string
	}{
		{psqlProgram, func(user string, more ...string) string { return route(user, p, more...) },
			hostless("postgres", &p.Server, auth("hashivault://secret/data/pg"))},
		{mariadbProgram, func(user string, more ...string) string { return mysqlRoute(user, m, more...) },
			hostless("mysql", &m.Server, auth("hashivault://secret/data/maria"))},
	} {
		t.Run(engine.program.name, func(t *testing.T) {
			v := start(t, env, append(secretRoutes(cases, engine.to), engine.where)...)
			for i, one := range append(cases, secretCase{name: "host, port and database from the secret"}) {
				t.Run(one.name, func(t *testing.T) { engine.program.logsInAs(t, v, i, "vaulted") })
			}
		})
	}
}

func TestVaultThatSaysNoIsExplainedInTheClientsOwnOutput(t *testing.T) {
	p, m := pgSecrets(t), maria(t)
	s, env := newVault(t)
	s.AddToken("hvs.poor", vaultfake.Access{})
	poor := []string{env[0], "VAULT_TOKEN=hvs.poor"}
	for _, row := range []struct {
		name, url string
		env       []string
		state     vaultfake.State
		want      []string // in the error, and then in the hint
		hint      []string
	}{
		{"denied", "hashivault://secret/data/database", poor, vaultfake.Up,
			[]string{"hashivault://secret/data/database", "permission denied for the token of VAULT_TOKEN"}, []string{`path "secret/data/database" { capabilities = ["read"] }`}},
		{"missing", "hashivault://secret/data/missing", env, vaultfake.Up,
			[]string{"hashivault://secret/data/missing", "at secret/data/missing"}, []string{"vault read secret/data/missing"}},
		{"sealed", "hashivault://database/creds/app", env, vaultfake.Sealed,
			[]string{"hashivault://database/creds/app", "sealed"}, []string{"vault status -address=" + s.URL}},
		{"down", "hashivault://secret/data/database", env, vaultfake.Down,
			[]string{"hashivault://secret/data/database", "EOF"}, []string{"vault status -address=" + s.URL}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.Set(row.state)
			v := start(t, row.env, route("app", p, auth(row.url)), mysqlRoute("app", m, auth(row.url), "name=maria"))
			psqlProgram.refused(t, v, 0, append(append(append([]string{"FATAL:  dbvalet: "}, row.want...), "\nHINT:  "), row.hint...)...)
			mariadbProgram.refused(t, v, 1, append(append(append([]string{"ERROR ", "dbvalet: "}, row.want...), "hint: "), row.hint...)...)
		})
	}
}

// TestLeaseIsGivenBackOnExit has a lease on each database, and a session that the end of dbvalet ends.
func TestLeaseIsGivenBackOnExit(t *testing.T) {
	p, m := pgSecrets(t), maria(t)
	storedRole(t, p, "unused_by_leases", "x") // makes the role stored
	s, env := newVault(t)
	s.AddRole("database", "exit", onPostgres(p, vaultfake.Role{}))
	s.AddRole("mysql", "exit", onMaria(m, vaultfake.Role{}))
	v := start(t, env, route("", p, auth("hashivault://database/creds/exit"), "name=pg"), mysqlRoute("", m, auth("hashivault://mysql/creds/exit"), "name=maria"))
	connect(t, v)
	for range 3 {
		if user := mustPSQL(t, v, "SELECT current_user"); !strings.HasPrefix(user, "v-exit-") {
			t.Errorf("logged in as %q, want a user that Vault made", user)
		}
		if user, stderr, err := mysqlAt(t, v.addrs[1], whoami); err != nil || !strings.HasPrefix(user, "v-exit-") {
			t.Errorf("logged in as %q, %v, want a user that Vault made\n%s", user, err, stderr)
		}
	}
	if got := len(s.Leases()); got != 2 {
		t.Errorf("%d leases, want one for each route", got)
	}
	v.stop()
	if leases := s.Leases(); len(leases) != 0 {
		t.Errorf("there are still %v", leases)
	}
	if n := made(t, p, "exit"); n != "0" {
		t.Errorf("%s users are still on PostgreSQL", n)
	}
	if n := mariaAsk(t, m, "SELECT COUNT(*) FROM mysql.global_priv WHERE User LIKE 'v-exit-%'"); n != "0" {
		t.Errorf("%s users are still on MariaDB", n)
	}
}

// TestOldLeaseEndsWithItsLastSession replaces a lease that can't be renewed while a session uses it.
func TestOldLeaseEndsWithItsLastSession(t *testing.T) {
	t.Parallel()
	p := pgSecrets(t)
	storedRole(t, p, "lease_tests", "x")
	s, env := newVault(t)
	s.AddRole("database", "last", onPostgres(p, vaultfake.Role{TTL: 30 * time.Second, NotRenewable: true}))
	v := start(t, env, route("", p, auth("hashivault://database/creds/last")))
	session := connect(t, v)
	old := userOf(t, session)
	begun := time.Now()
	waitUntil(t, "somebody else logs in", func() bool { return mustPSQL(t, v, "SELECT current_user") != old })
	if n := len(s.Leases()); n != 2 {
		t.Errorf("%d leases, want the session's and the new one", n)
	}
	if user := userOf(t, session); user != old {
		t.Errorf("the session is %s's, was %s's", user, old)
	}
	session.Close(t.Context())
	waitUntil(t, "the old lease is given back", func() bool { return len(s.Leases()) == 1 })
	if left := s.Leases()[0]; left.User == old || time.Since(begun) >= 30*time.Second {
		t.Errorf("left is %s after %v, want the new one before the old one ends by itself", left.User, time.Since(begun))
	}
	// The store forgets the lease before it drops the role.
	waitUntil(t, old+" is gone", func() bool {
		return superuser(t, p, "SELECT count(*) FROM pg_roles WHERE rolname = '"+old+"'") == "0"
	})
}

func userOf(t *testing.T, conn *pgx.Conn) (user string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT current_user").Scan(&user); err != nil {
		t.Fatal(err)
	}
	return user
}

// TestLeaseThatReachesItsMaximumIsUnnoticed lets Vault make users for 15 seconds at most, while there is
// load for 40.
func TestLeaseThatReachesItsMaximumIsUnnoticed(t *testing.T) {
	t.Parallel()
	p := pgSecrets(t)
	storedRole(t, p, "max_tests", "x")
	s, env := newVault(t)
	s.AddRole("database", "max", onPostgres(p, vaultfake.Role{TTL: 6 * time.Second, MaxTTL: 15 * time.Second}))
	v := startProgram(t, plainProgram, env, route("", p, auth("hashivault://database/creds/max")))
	clients := gather(t, crowdSize, postgresVisit(v))
	pause(t.Context(), 40*time.Second)
	users := clients.dismiss()
	if len(users) < 3 || len(users) > 8 {
		t.Errorf("visits by user: %v, want one user for each 15 seconds or a bit less", users)
	}
	if s.Requests("sys/leases/renew") == 0 {
		t.Error("no lease was renewed")
	}
	v.stop()
	if leases := s.Leases(); len(leases) != 0 {
		t.Errorf("there are still %v", leases)
	}
	if n := made(t, p, "max"); n != "0" {
		t.Errorf("%s users are still there", n)
	}
}

// TestPasswordChangedInKVIsUnnoticed changes it in the store first, and then in the database first.
func TestPasswordChangedInKVIsUnnoticed(t *testing.T) {
	t.Parallel()
	p := pgSecrets(t)
	storedRole(t, p, "kept_in_kv", "pw0")
	s, env := newVault(t)
	write := func(password string) { s.PutKV2("secret", "database", kv("kept_in_kv", password)) }
	change := func(password string) { alter(t, p, fmt.Sprintf("ALTER ROLE kept_in_kv PASSWORD '%s'", password)) }
	write("pw0")
	v := startProgram(t, plainProgram, env, route("", p, auth("hashivault://secret/data/database?wait=2s")))
	clients := gather(t, crowdSize, postgresVisit(v))
	for _, step := range []func(){
		func() { write("pw1") }, func() { change("pw1") }, // the store first
		func() { change("pw2") }, func() { write("pw2") }, // the database first
	} {
		pause(t.Context(), 4*time.Second)
		step()
	}
	pause(t.Context(), 4*time.Second)
	if users := clients.dismiss(); len(users) != 1 || users["kept_in_kv"] < crowdSize {
		t.Errorf("visits by user: %v, want all of them by kept_in_kv, and many", users)
	}
	if v.count("credential rejected, trying another") < 2 {
		t.Error("no login was refused: nothing was changed")
	}
}

// TestVaultThatIsDownWhileALeaseIsInUseIsUnnoticed ends Vault at the time when the lease is to be renewed.
func TestVaultThatIsDownWhileALeaseIsInUseIsUnnoticed(t *testing.T) {
	t.Parallel()
	p := pgSecrets(t)
	storedRole(t, p, "down_tests", "x")
	s, env := newVault(t)
	s.AddRole("database", "down", onPostgres(p, vaultfake.Role{TTL: 20 * time.Second}))
	v := startProgram(t, plainProgram, env, route("", p, auth("hashivault://database/creds/down")))
	clients := gather(t, crowdSize, postgresVisit(v))
	pause(t.Context(), 10*time.Second)
	s.Set(vaultfake.Down)
	pause(t.Context(), 7*time.Second)
	s.Set(vaultfake.Up)
	pause(t.Context(), 13*time.Second)
	if users := clients.dismiss(); len(users) == 0 {
		t.Error("nobody came")
	}
	warning := v.next("credential source fails; the credential at hand is still good", 0)
	if !strings.Contains(warning.str("err"), "hashivault://database/creds/down") {
		t.Errorf("the warning is %v, want it to name the store", warning)
	}
	v.stop()
	if n := made(t, p, "down"); n != "0" {
		t.Errorf("%s users are still there", n)
	}
}
