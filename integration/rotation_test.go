package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dbvalet/integration/awsfake"
	"dbvalet/integration/servers"
)

// crowdSize is how many clients come and go during a rotation.
const crowdSize = 50

// pgSecrets is a server whose members of the role stored log in with a password.
var pgSecrets = shared(servers.Options{
	HBA:      []string{"hostssl all +stored 127.0.0.1/32 scram-sha-256"},
	Settings: map[string]string{"max_connections": "1200"},
})

var createStored sync.Once

// storedRole makes a role with a password on p, for one test.
func storedRole(t *testing.T, p *servers.Postgres, role, password string) {
	t.Helper()
	createStored.Do(func() { alter(t, p, "CREATE ROLE stored") })
	alter(t, p, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s' IN ROLE stored", role, password))
}

func alter(t *testing.T, p interface {
	Exec(ctx context.Context, sql string, args ...any) error
}, sql string,
) {
	t.Helper()
	if err := p.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// A cloud is what a test needs of AWS: its services, and who may use them.
type cloud struct {
	secrets    *awsfake.SecretsManager
	parameters *awsfake.ParameterStore
	sts        *awsfake.STS
	env        []string // for dbvalet
}

const (
	cloudRegion = "eu-west-1"
	cloudKeyID  = "AKIDOFTHETEST"
	cloudSecret = "the-signing-secret-of-the-test"
	cloudCaller = "arn:aws:iam::123456789012:user/ci"
)

// newCloud starts the services for one test.
func newCloud(t *testing.T) *cloud {
	t.Helper()
	keys := &awsfake.Keys{}
	keys.Add(cloudKeyID, awsfake.Key{Secret: cloudSecret, ARN: cloudCaller})
	c := &cloud{}
	var err error
	if c.secrets, err = awsfake.NewSecretsManager(keys); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.secrets.Close)
	if c.parameters, err = awsfake.NewParameterStore(keys); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.parameters.Close)
	if c.sts, err = awsfake.NewSTS(keys); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.sts.Close)
	c.env = []string{
		"AWS_ACCESS_KEY_ID=" + cloudKeyID, "AWS_SECRET_ACCESS_KEY=" + cloudSecret, "AWS_REGION=" + cloudRegion,
		"AWS_ENDPOINT_URL_SECRETS_MANAGER=" + c.secrets.URL, "AWS_ENDPOINT_URL_SSM=" + c.parameters.URL, "AWS_ENDPOINT_URL_STS=" + c.sts.URL,
	}
	return c
}

// login is a secret as AWS writes it.
func login(user, password string) string {
	return fmt.Sprintf(`{"username": "%s", "password": "%s"}`, user, password)
}

// rotate plays a rotation of the secret over ten seconds: createSecret, setSecret, testSecret and
// finishSecret. set is what setSecret does in the database.
func rotate(t *testing.T, c *cloud, id, payload string, set func()) {
	t.Helper()
	c.secrets.CreatePending(id, payload)
	pause(t.Context(), 3*time.Second)
	set()
	pause(t.Context(), 3*time.Second)
	pause(t.Context(), 4*time.Second)
	c.secrets.Finish(id)
}

// wait=2s makes dbvalet read the secret again several times in the course of a rotation.
const rereads = "%26wait=2s"

func TestRotationOfOneUserIsUnnoticed(t *testing.T) {
	t.Parallel()
	p, c := pgSecrets(t), newCloud(t)
	storedRole(t, p, "single", "first")
	c.secrets.Create(cloudRegion, "prod/single", login("single", "first"))
	v := startProgram(t, plainProgram, c.env, route("", p, "auth=awssecretsmanager://prod/single?decoder=string"+rereads))
	clients := gather(t, crowdSize, postgresVisit(v))
	for _, password := range []string{"second", "third"} {
		pause(t.Context(), 2*time.Second)
		rotate(t, c, "prod/single", login("single", password), func() {
			alter(t, p, fmt.Sprintf("ALTER ROLE single PASSWORD '%s'", password))
		})
	}
	pause(t.Context(), 3*time.Second)
	if users := clients.dismiss(); len(users) != 1 || users["single"] < crowdSize {
		t.Errorf("visits by user: %v, want all of them by single, and many", users)
	}
	if v.count("credential rejected, trying another") == 0 {
		t.Error("no login was refused: the rotation came to nothing")
	}
}

func TestRotationOfOneMariaDBUserIsUnnoticed(t *testing.T) {
	t.Parallel()
	m, c := mysqlServer(t, servers.MySQLOptions{Version: "mariadb11"}), newCloud(t)
	set := func(verb, password string) {
		alter(t, m, fmt.Sprintf("%s USER rotating IDENTIFIED VIA mysql_native_password USING PASSWORD('%s')", verb, password))
	}
	set("CREATE", "first")
	alter(t, m, "GRANT ALL ON "+m.Database+".* TO rotating")
	c.secrets.Create(cloudRegion, "prod/maria", login("rotating", "first"))
	v := startProgram(t, plainProgram, c.env, mysqlRoute("rotating", m, "auth=awssecretsmanager://prod/maria?decoder=string"+rereads))
	clients := gather(t, crowdSize, mysqlVisit(t, v))
	pause(t.Context(), 2*time.Second)
	rotate(t, c, "prod/maria", login("rotating", "second"), func() { set("ALTER", "second") })
	pause(t.Context(), 3*time.Second)
	if users := clients.dismiss(); len(users) != 1 || users["rotating"] < crowdSize {
		t.Errorf("visits by user: %v, want all of them by rotating, and many", users)
	}
	if v.count("credential rejected, trying another") == 0 {
		t.Error("no login was refused: the rotation came to nothing")
	}
}

func TestRotationOfAlternatingUsersIsUnnoticed(t *testing.T) {
	t.Parallel()
	p, c := pgSecrets(t), newCloud(t)
	storedRole(t, p, "turn", "first")
	storedRole(t, p, "turn_clone", "unknown")
	c.secrets.Create(cloudRegion, "prod/turns", login("turn", "first"))
	v := startProgram(t, plainProgram, c.env, route("turn", p, "auth=awssecretsmanager://prod/turns?decoder=string"+rereads))
	clients := gather(t, crowdSize, postgresVisit(v))
	pause(t.Context(), time.Second)
	for i, user := range []string{"turn_clone", "turn"} {
		password := fmt.Sprint("turn", i)
		rotate(t, c, "prod/turns", login(user, password), func() {
			alter(t, p, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", user, password))
		})
		pause(t.Context(), 4*time.Second)
	}
	users := clients.dismiss()
	if len(users) != 2 || users["turn"] < crowdSize || users["turn_clone"] < crowdSize {
		t.Errorf("visits by user: %v, want both, and many", users)
	}
}

// TestSwappedFileIsUnnoticed replaces a password in the database and in a file as Kubernetes does it:
// the directory of the files is exchanged by way of a symbolic link. Either comes first.
func TestSwappedFileIsUnnoticed(t *testing.T) {
	t.Parallel()
	p := pgSecrets(t)
	storedRole(t, p, "swapped", "pw0")
	volume := t.TempDir()
	var generation atomic.Int32
	swap := func(password string) {
		t.Helper()
		data := fmt.Sprintf("..%d", generation.Add(1))
		if err := os.Mkdir(filepath.Join(volume, data), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(volume, data, "password"), []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		next := filepath.Join(volume, "..next")
		if err := os.Symlink(data, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(volume, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("pw0")
	if err := os.Symlink("..data/password", filepath.Join(volume, "password")); err != nil {
		t.Fatal(err)
	}
	v := startProgram(t, plainProgram, nil, route("swapped", p, "auth=file:"+filepath.Join(volume, "password")))
	clients := gather(t, crowdSize, postgresVisit(v))
	change := func(password string) { alter(t, p, fmt.Sprintf("ALTER ROLE swapped PASSWORD '%s'", password)) }
	for _, step := range []func(){
		func() { swap("pw1") }, func() { change("pw1") }, // the file first
		func() { change("pw2") }, func() { swap("pw2") }, // the database first
	} {
		pause(t.Context(), 3*time.Second)
		step()
	}
	pause(t.Context(), 3*time.Second)
	if users := clients.dismiss(); users["swapped"] < crowdSize {
		t.Errorf("visits by user: %v, want many", users)
	}
	if v.count("credential rejected, trying another") < 2 {
		t.Error("no login was refused: nothing was rotated")
	}
}

// TestStoreThatIsDownForAMinuteIsUnnoticed ends Secrets Manager while a password is in use.
func TestStoreThatIsDownForAMinuteIsUnnoticed(t *testing.T) {
	t.Parallel()
	p, c := pgSecrets(t), newCloud(t)
	storedRole(t, p, "patient", "pw")
	c.secrets.Create(cloudRegion, "prod/patient", login("patient", "pw"))
	v := startProgram(t, plainProgram, c.env, route("", p, "auth=awssecretsmanager://prod/patient?decoder=string%26wait=5s"))
	clients := gather(t, crowdSize, postgresVisit(v))
	pause(t.Context(), 2*time.Second)
	asked := c.secrets.Count("GetSecretValue")
	c.secrets.Fail(awsfake.Cut)
	pause(t.Context(), time.Minute)
	c.secrets.Fail(nil)
	pause(t.Context(), 31*time.Second) // the longest time for which a failing store is left alone
	clients.dismiss()
	if got := c.secrets.Count("GetSecretValue") - asked; got < 3 || got > 60 {
		t.Errorf("the store was asked %d times in a minute and a half in which it was down for one, want a few", got)
	}
	warning := v.next("credential source fails; the credential at hand is still good", 0)
	if !strings.Contains(warning.str("err"), "awssecretsmanager://prod/patient") {
		t.Errorf("the warning is %v, want it to name the store", warning)
	}
}

// TestThousandFirstConnectsMakeOneRequest opens a thousand connections to a dbvalet that has just started.
func TestThousandFirstConnectsMakeOneRequest(t *testing.T) {
	p, c := pgSecrets(t), newCloud(t)
	storedRole(t, p, "many", "pw")
	c.secrets.Create(cloudRegion, "prod/many", login("many", "pw"))
	v := startProgram(t, plainProgram, c.env, route("", p, "auth=awssecretsmanager://prod/many?decoder=string", "connect_timeout=120"))
	arrived, release := c.secrets.Hold() // so that none is late
	var all sync.WaitGroup
	var failures atomic.Int32
	for range 1000 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			if _, err := postgresVisit(v)(ctx); err != nil && failures.Add(1) < 5 {
				t.Error(err)
			}
		})
	}
	<-arrived
	pause(t.Context(), time.Second)
	release()
	all.Wait()
	if n := failures.Load(); n > 0 {
		t.Errorf("%d connections failed", n)
	}
	if got := c.secrets.Count(""); got != 1 {
		t.Errorf("%d requests to Secrets Manager, want 1", got)
	}
}
