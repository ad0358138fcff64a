package integration

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/servers"
	"dbvalet/integration/vaultfake"
)

// nap is how long the laptop sleeps: longer than any token lives.
const nap = 2 * time.Hour

// sleptVariable names the file that says how many seconds the machine has slept: 8 bytes in the
// machine's order.
const sleptVariable = "DBVALET_TEST_SLEPT"

// buildSleeper builds dbvalet as it is, but for the clock of the standard library, which a test can set
// forward as the sleep of a machine does: the wall clock jumps, and the monotonic one, by which timers
// go, has stood still.
func buildSleeper(t *testing.T) (program string) {
	t.Helper()
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(strings.TrimSpace(string(goroot)), "src/time/time.go")
	content, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	source := string(content)
	for _, change := range []struct{ old, new string }{
		{"import (\n", "import (\n\t\"syscall\"\n\t\"unsafe\"\n"},
		{"func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n\tsec += *slept\n"},
	} {
		if strings.Count(source, change.old) != 1 {
			t.Fatalf("%s has %q not just once: write down how its clock is read now", original, change.old)
		}
		source = strings.Replace(source, change.old, change.new, 1)
	}
	// Memory, because the scheduler asks for the time too, where it can't read a file.
	source += fmt.Sprintf(`
var slept = func() *int64 {
	name, _ := syscall.Getenv(%q)
	fd, err := syscall.Open(name, syscall.O_RDONLY, 0)
	if err != nil {
		panic(err)
	}
	memory, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	return (*int64)(unsafe.Pointer(&memory[0]))
}()
`, sleptVariable)
	changed := write(t, "time.go", source, 0o600)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(t.TempDir(), "dbvalet")
	if err := build(program, "CGO_ENABLED=0", "-trimpath", "-overlay="+write(t, "overlay.json", string(overlay), 0o600)); err != nil {
		t.Fatal(err)
	}
	return program
}

// A laptop is where dbvalet sleeps.
type laptop struct {
	program string
	file    string // see sleptVariable
}

func (l laptop) env(more ...string) []string { return append(more, sleptVariable+"="+l.file) }

// sleep lets the laptop sleep.
func (l laptop) sleep(t *testing.T) {
	t.Helper()
	file, err := os.OpenFile(l.file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := binary.Write(file, binary.NativeEndian, int64(nap/time.Second)); err != nil {
		t.Fatal(err)
	}
}

// decisions are those of the verifier of s, from now on.
func decisions(t *testing.T, s *servers.Server) (since func() string) {
	t.Helper()
	read := func() string {
		log, err := os.ReadFile(s.VerifierLog())
		if err != nil {
			t.Fatal(err)
		}
		return string(log)
	}
	before := len(read())
	return func() string { return read()[before:] }
}

// woke checks that dbvalet knew by itself that the time has come for another credential.
func woke(t *testing.T, v *valet) {
	t.Helper()
	if n := v.count("credential rejected, trying another"); n != 0 {
		t.Errorf("%d logins were refused: dbvalet took an old credential for a new one", n)
	}
	last := v.next("stopped", 0)
	at, err := time.Parse(time.RFC3339, last.str("time"))
	if err != nil || time.Until(at) < nap-time.Minute {
		t.Errorf("dbvalet stopped at %s by its own clock, want about two hours from now; %v", last.str("time"), err)
	}
}

func TestConnectAfterSleepOfTwoHoursSucceeds(t *testing.T) {
	t.Parallel()
	program := buildSleeper(t)
	open := func(t *testing.T) laptop {
		return laptop{program, write(t, "slept", strings.Repeat("\x00", 8), 0o600)}
	}

	t.Run("RDS token on PostgreSQL", func(t *testing.T) {
		p, l := ownServer(t, servers.Options{}), open(t)
		v := startProgram(t, l.program, l.env(p.AWSEnvironment()...), iamRoute(p))
		awake := start(t, p.AWSEnvironment(), iamRoute(p)) // somewhere else
		mustPSQL(t, v, "SELECT 1")
		mustPSQL(t, awake, "SELECT 1")
		session := connect(t, v)
		l.sleep(t)
		if err := p.SetClockOffset(nap); err != nil {
			t.Fatal(err)
		}
		since := decisions(t, &p.Server)
		mustPSQL(t, v, "SELECT 1")
		onlyAccepted(t, since())
		if user := userOf(t, session); user != "app" {
			t.Errorf("the session is %s's", user)
		}
		// A token of before the sleep would not do.
		if e := refusal(t, awake.conninfo()+" sslmode=disable"); e.Code != "28000" {
			t.Errorf("got %v, want 28000", e)
		}
		if said := since(); !strings.Contains(said, "refused user=app: token is 2h") {
			t.Errorf("the verifier says %q, want that the token of before is two hours old", said)
		}
		v.stop()
		woke(t, v)
	})

	t.Run("RDS token on MariaDB", func(t *testing.T) {
		m, l := mysqlServer(t, servers.MySQLOptions{Version: "mariadb11"}), open(t)
		v := startProgram(t, l.program, l.env(m.AWSEnvironment()...), mysqlRoute("app", m))
		awake := start(t, m.AWSEnvironment(), mysqlRoute("app", m))
		mariadbProgram.logsInAs(t, v, 0, "app")
		mariadbProgram.logsInAs(t, awake, 0, "app")
		session := openMySQLSession(t, v, 0)
		l.sleep(t)
		if err := m.SetClockOffset(nap); err != nil {
			t.Fatal(err)
		}
		since := decisions(t, &m.Server)
		mariadbProgram.logsInAs(t, v, 0, "app")
		onlyAccepted(t, since())
		if got := ask(t, session, "SELECT CURRENT_USER()"); got != "app@%" {
			t.Errorf("the session is %s's", got)
		}
		mariadbProgram.refused(t, awake, 0, "ERROR 1045 (28000)")
		if said := since(); !strings.Contains(said, "refused user=app: token is 2h") {
			t.Errorf("the verifier says %q, want that the token of before is two hours old", said)
		}
		v.stop()
		woke(t, v)
	})

	t.Run("Google token", func(t *testing.T) {
		p, m, l := pgTokens(t), maria(t), open(t)
		g, _ := google(t, "unused@proj.iam.gserviceaccount.com")
		const person = "sleeper@example.com"
		env := googleAs(t, g, g.User(person))
		tokenRole(t, person, cloudSQL(g, person))
		mariaTokenUser(t, "sleeper", cloudSQL(g, person))
		v := startProgram(t, l.program, l.env(env...), route("sleeper%40example.com", p, "auth=gcp-iam", "name=pg"),
			mysqlRoute("sleeper%40example.com", m, "auth=gcp-iam", "name=maria"))
		awake := start(t, env, route("sleeper%40example.com", p, "auth=gcp-iam"))
		psqlProgram.logsInAs(t, awake, 0, person)
		psqlProgram.logsInAs(t, v, 0, person)
		mariadbProgram.logsInAs(t, v, 1, "sleeper")
		session, other := connect(t, v), openMySQLSession(t, v, 1)
		l.sleep(t)
		g.Revoke() // as they would have expired
		pg, my := decisions(t, &p.Server), decisions(t, &m.Server)
		psqlProgram.logsInAs(t, v, 0, person)
		mariadbProgram.logsInAs(t, v, 1, "sleeper")
		onlyAccepted(t, pg())
		onlyAccepted(t, my())
		if user := userOf(t, session); user != person {
			t.Errorf("the session is %s's", user)
		}
		ask(t, other, "SELECT 1")
		psqlProgram.refused(t, awake, 0, "PAM authentication failed") // a token of before
		if said := pg(); !strings.Contains(said, "refused user="+person) {
			t.Errorf("the verifier says %q, want that the token of before is dead", said)
		}
		v.stop()
		woke(t, v)
	})

	t.Run("lease of Vault", func(t *testing.T) {
		p, l := pgSecrets(t), open(t)
		storedRole(t, p, "sleep_tests", "x")
		s, env := newVault(t)
		s.AddRole("database", "sleep", onPostgres(p, vaultfake.Role{TTL: time.Hour, MaxTTL: 24 * time.Hour}))
		v := startProgram(t, l.program, l.env(env...), route("", p, auth("hashivault://database/creds/sleep")))
		before := mustPSQL(t, v, "SELECT current_user")
		session := connect(t, v)
		l.sleep(t)
		s.Advance(nap) // which drops the user
		if n := made(t, p, "sleep"); n != "0" {
			t.Errorf("%s users are still there", n)
		}
		if after := mustPSQL(t, v, "SELECT current_user"); after == before {
			t.Errorf("still %s logs in", after)
		}
		if _, err := session.Exec(t.Context(), "SELECT 1"); err != nil {
			t.Errorf("the session of the user that is gone: %v", err)
		}
		v.stop()
		woke(t, v)
		if leases := s.Leases(); len(leases) != 0 {
			t.Errorf("there are still %v", leases)
		}
	})

	t.Run("password in Secrets Manager", func(t *testing.T) {
		p, m, l, c := pgSecrets(t), maria(t), open(t), newCloud(t)
		storedRole(t, p, "slept", "before")
		mariaUser(t, "slept", "before")
		c.secrets.Create(cloudRegion, "prod/slept", login("slept", "before"))
		to := auth("awssecretsmanager://prod/slept")
		v := startProgram(t, l.program, l.env(c.env...), route("", p, to, "name=pg"), mysqlRoute("", m, to, "name=maria"))
		psqlProgram.logsInAs(t, v, 0, "slept")
		mariadbProgram.logsInAs(t, v, 1, "slept")
		session, other := connect(t, v), openMySQLSession(t, v, 1)
		l.sleep(t)
		// It is rotated meanwhile. The clock of AWS does not jump here; the SDK notices that and signs
		// by it.
		alter(t, p, "ALTER ROLE slept PASSWORD 'after'")
		alter(t, m, "ALTER USER slept IDENTIFIED VIA mysql_native_password USING PASSWORD('after')")
		c.secrets.Put("prod/slept", login("slept", "after"))
		psqlProgram.logsInAs(t, v, 0, "slept")
		mariadbProgram.logsInAs(t, v, 1, "slept")
		userOf(t, session)
		ask(t, other, "SELECT 1")
		v.stop()
		woke(t, v)
	})
}

// onlyAccepted checks that there was a login, and no other than one that worked.
func onlyAccepted(t *testing.T, decisions string) {
	t.Helper()
	if !strings.Contains(decisions, "accepted ") || strings.Contains(decisions, "refused ") {
		t.Errorf("the verifier says %q, want that the first login was accepted", decisions)
	}
}
