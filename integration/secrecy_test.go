package integration

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dbvalet/integration/awsfake"
	"dbvalet/integration/azurefake"
	"dbvalet/integration/gcpfake"
	"dbvalet/integration/vaultfake"
)

// Passwords look different in each of the forms that they might be written in.
const (
	firstPassword  = `p1 "first"/+=&%3c<secret>\`
	secondPassword = `p2 "second"/+=&%3c<secret>\`
	envPassword    = `p3 "inherited"/+=&%3c<secret>\`
)

// shapes are how a secret begins that a test can't know whole: tokens of Google and of Vault, JSON Web
// Tokens, passwords of Vault's users, private keys, and what makes a request of AWS a password.
var shapes = []string{"ya29.", "hvs.", "eyJ", "A1a-", "PRIVATE KEY", "X-Amz-Signature", "X-Amz-Security-Token", "SCRAM-SHA-256$"}

// forms are a secret as it may have been written down.
func forms(secret string) []string {
	quoted, err := json.Marshal(secret)
	if err != nil {
		panic(err) // never, for a string
	}
	inJSON := string(quoted[1 : len(quoted)-1])
	again, _ := json.Marshal(inJSON)
	goQuoted := strings.Trim(fmt.Sprintf("%q", secret), `"`)
	list := []string{secret, inJSON, string(again[1 : len(again)-1]), goQuoted, url.QueryEscape(secret), url.PathEscape(secret), hex.EncodeToString([]byte(secret))}
	for offset := range 3 { // what stands before it shifts it
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			encoded := encoding.EncodeToString([]byte(strings.Repeat("x", offset) + secret))
			list = append(list, encoded[(offset*8+5)/6:(offset+len(secret))*8/6])
		}
	}
	return list
}

// findSecret returns a secret in text, and the form in which it is there.
func findSecret(text string, secrets []string) (secret, form string) {
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if strings.Contains(text, form) {
				return secret, form
			}
		}
	}
	for _, shape := range shapes {
		if strings.Contains(text, shape) {
			return shape, shape
		}
	}
	return "", ""
}

func TestSecretIsFoundInAnyForm(t *testing.T) {
	for _, form := range forms(firstPassword) {
		if secret, _ := findSecret("before"+form+"after", []string{secondPassword, firstPassword}); secret != firstPassword {
			t.Errorf("%q is not found", form)
		}
	}
	for _, offset := range []string{"", "a", "ab", "abc"} {
		text := base64.StdEncoding.EncodeToString([]byte(offset + firstPassword + "rest"))
		if secret, _ := findSecret(text, []string{firstPassword}); secret == "" {
			t.Errorf("it is not found %d bytes into %q", len(offset), text)
		}
	}
	if secret, form := findSecret("nothing here", []string{firstPassword}); secret != "" {
		t.Errorf("%q is found", form)
	}
}

// A hoard is all that must be seen by nobody, and all that somebody could see.
type hoard struct {
	mu      sync.Mutex
	secrets []string
	told    []string // what clients were told
	deny    atomic.Bool
}

// secret notes something that nobody may see.
func (h *hoard) secret(secrets ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range secrets {
		if s != "" && !slices.Contains(h.secrets, s) {
			h.secrets = append(h.secrets, s)
		}
	}
}

// watch notes the tokens that decide is asked about, and refuses them while the hoard denies.
func (h *hoard) watch(decide func(token string) error) func(token string) error {
	return func(token string) error {
		h.secret(token)
		if h.deny.Load() {
			return errors.New("no permission")
		}
		return decide(token)
	}
}

// visit logs in through all routes of v, of which the first are PostgreSQL's, and notes what the clients
// are told. It returns how many logins worked, for each engine.
func (h *hoard) visit(t *testing.T, v *valet, postgres int) (worked [2]int) {
	t.Helper()
	for i, addr := range v.addrs {
		engine, program := 0, psqlProgram
		if i >= postgres {
			engine, program = 1, mariadbProgram
		}
		stdout, stderr, err := program.run(t, addr)
		if err == nil {
			worked[engine]++
		}
		h.told = append(h.told, stdout, stderr)
	}
	return worked
}

// A keeper is a store of a password for the user of its name.
type keeper struct {
	name   string
	option string
	put    func(password string)
	fail   func(down bool)
}

func TestSecretsAreWrittenNowhere(t *testing.T) {
	p, tokens, m := pgSecrets(t), pgTokens(t), maria(t)
	h := &hoard{}
	h.secret(firstPassword, secondPassword)
	dir := t.TempDir()
	onDisk := filepath.Join(dir, "password")
	child := filepath.Join(dir, "child") // what exec: was started with

	// The clouds.
	keys, env := newRoles(t)
	aws := newCloud(t)
	env = append(env, aws.env...) // the services of the one, and the roles of the other
	env = append(env, "AWS_ENDPOINT_URL_STS="+stsOf(env))
	h.secret(cloudSecret)
	const account = "quiet@proj.iam.gserviceaccount.com"
	g, googleEnv := google(t, account)
	key := strings.Split(g.ServiceAccount(account)["private_key"].(string), "\n")
	h.secret(key[1], key[2])
	env = append(env, googleEnv...)
	sqladmin := gcpfake.NewSQLAdmin(g)
	t.Cleanup(sqladmin.Close)
	sqladmin.AllowConnect(account)
	pgName, _ := instance(t, sqladmin, &tokens.Server, "POSTGRES_18")
	mariaName, _ := instance(t, sqladmin, &m.Server, "MYSQL_8_4")
	az := azurefake.New()
	t.Cleanup(az.Close)
	az.Identity("", azurefake.Claims{"oid": "quiet", "appid": "quiet", "idtyp": "app", "xms_mirid": resource("quiet-azure")})
	env = append(env, az.Env()...)
	h.secret(strings.TrimPrefix(az.Env()[1], "IDENTITY_HEADER="))
	vault, vaultEnv := newVault(t)
	env = append(env, vaultEnv...)
	const secretID = "the-secret-id-of-an-approle"
	h.secret(vaultToken, secretID)
	vault.AddAppRole("approle", "app", "role-id", secretID, vaultfake.Access{Paths: []string{"*"}, TTL: time.Hour})

	// What keeps passwords.
	payload := func(user, password string) string {
		b, err := json.Marshal(map[string]string{"username": user, "password": password})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	aws.secrets.Create(cloudRegion, "quiet", payload("quiet_sm", firstPassword))
	g.AllowAccess("proj", "quiet", account)
	sealed := func(down bool) {
		if down {
			vault.Set(vaultfake.Sealed)
		} else {
			vault.Set(vaultfake.Up)
		}
	}
	refusal := func(fail func(*awsfake.Refusal)) func(bool) {
		return func(down bool) {
			if fail(nil); down {
				fail(awsfake.Denied)
			}
		}
	}
	keepers := []keeper{
		{"quiet_sm", auth("awssecretsmanager://quiet?wait=1s"), func(password string) { aws.secrets.Put("quiet", payload("quiet_sm", password)) }, refusal(aws.secrets.Fail)},
		{"quiet_ssm", auth("awsparamstore:///quiet?wait=1s"), func(password string) { aws.parameters.Put(cloudRegion, "/quiet", password) }, refusal(aws.parameters.Fail)},
		{"quiet_gsm", auth("gcpsecretmanager://projects/proj/secrets/quiet?wait=1s&endpoint=" + g.URL),
			func(password string) { g.AddVersion("proj", "quiet", []byte(payload("quiet_gsm", password))) },
			func(down bool) {
				if g.Recover(gcpfake.OpAccess); down {
					g.Fail(gcpfake.OpAccess, gcpfake.Denied)
				}
			}},
		{"quiet_kv", auth("hashivault://secret/data/quiet?wait=1s"), func(password string) { vault.PutKV2("secret", "quiet", kv("quiet_kv", password)) }, sealed},
		{"quiet_approle", auth("hashivault://kv/quiet?wait=1s&login=approle&role_id=role-id&secret_id_file=" + write(t, "secret-id", secretID, 0o600)),
			func(password string) { vault.PutKV1("kv/quiet", kv("quiet_approle", password)) }, sealed},
		{"quiet_file", "auth=file:" + onDisk, func(password string) {
			if err := os.WriteFile(onDisk, []byte(password), 0o600); err != nil {
				t.Fatal(err)
			}
		}, func(down bool) {
			if down {
				_ = os.Rename(onDisk, onDisk+".gone")
			} else {
				_ = os.Rename(onDisk+".gone", onDisk)
			}
		}},
		{"quiet_exec", "auth=exec:" + write(t, "print.sh", fmt.Sprintf("#!/bin/sh\ncat /proc/$$/environ /proc/$$/cmdline >>%s\necho 'looking' >&2\nexec cat %s\n", child, onDisk), 0o700),
			func(string) {}, func(bool) {}},
	}
	var pg, my []string
	for _, k := range keepers {
		k.put(firstPassword)
		storedRole(t, p, k.name, firstPassword)
		mariaUser(t, k.name, mariaQuoted(firstPassword))
		more := []string{k.option, "name=" + k.name, "rotation_timeout=1"}
		pg = append(pg, route(k.name, p, more...))
		more[1] += "_maria"
		my = append(my, mysqlRoute(k.name, m, more...))
	}
	storedRole(t, p, "quiet_env", envPassword)
	mariaUser(t, "quiet_env", mariaQuoted(envPassword))
	pg = append(pg, route("quiet_env", p, "auth=env:QUIET", "name=env"))
	my = append(my, mysqlRoute("quiet_env", m, "auth=env:QUIET", "name=env_maria"))

	// What makes tokens, anew for each login.
	minted := func(name, user, option string) {
		pg = append(pg, route(user, tokens, option, "name="+name, "token_reuse=never"))
	}
	tokenRole(t, "quiet_rds", h.watch(rds(&tokens.Server, keys, "quiet_rds", atWork)))
	minted("rds", "quiet_rds", "auth=aws-iam&"+roleOptions)
	tokenRole(t, "quiet_dsql", h.watch(func(token string) error { return verifyDSQL(token, "DbConnect", keys) }))
	pg = append(pg, strings.Replace(route("quiet_dsql", tokens, "auth=aws-dsql&"+roleOptions, "name=dsql", "token_reuse=never", "tls_server_name="+tokens.Endpoint),
		"@"+tokens.Endpoint, "@"+dsqlHost, 1))
	tokenRole(t, "quiet@proj.iam", h.watch(cloudSQL(g, account)))
	minted("google", "", "auth=gcp-iam")
	tokenRole(t, "quiet-azure", h.watch(entra(az, "quiet")))
	minted("azure", "", "auth=azure-entra")
	mariaTokenUser(t, "quiet_rds", h.watch(rds(&m.Server, keys, "quiet_rds", atWork)))
	my = append(my, mysqlRoute("quiet_rds", m, "auth=aws-iam&"+roleOptions, "name=rds_maria", "token_reuse=never"))
	mariaTokenUser(t, "quiet", h.watch(cloudSQL(g, account)))
	my = append(my, mysqlRoute("", m, "auth=gcp-iam", "name=google_maria", "token_reuse=never"))
	mariaTokenUser(t, "quiet-azure", h.watch(entra(az, "quiet")))
	my = append(my, mysqlRoute("", m, "auth=azure-entra", "name=azure_maria", "token_reuse=never"))

	// And what is neither.
	role := onPostgres(p, vaultfake.Role{})
	create := role.CreateUser
	role.CreateUser = func(user, password string, ttl time.Duration) error {
		h.secret(password)
		return create(user, password, ttl)
	}
	vault.AddRole("database", "quiet", role)
	pg = append(pg, route("", p, auth("hashivault://database/creds/quiet"), "name=lease"))
	alter(t, tokens, `CREATE ROLE "quiet-tunnel" LOGIN IN ROLE connected`)
	tunnel := "quiet-tunnel@?listen=127.0.0.1:0&sqladmin_endpoint=" + url.QueryEscape(g.URL)
	pg = append(pg, "postgres://"+tunnel+"&name=tunnel&instance="+pgName)
	alter(t, m, "CREATE USER `quiet-tunnel`")
	my = append(my, "mysql://"+tunnel+"&name=tunnel_maria&instance="+mariaName)

	env = append(env, "QUIET="+envPassword)
	v, stdout := startWithOutput(t, env, append(slices.Clone(pg), my...)...)
	all := [2]int{len(pg), len(my)}
	if worked := h.visit(t, v, len(pg)); worked != all {
		t.Errorf("%d of %d logins worked at first\n%s", worked, all, strings.Join(h.told, ""))
	}

	// A refusal everywhere: the passwords in the databases are others, and nobody has a permission.
	change := func(password string) {
		for _, k := range keepers {
			alter(t, p, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", k.name, password))
			alter(t, m, fmt.Sprintf("ALTER USER %s IDENTIFIED VIA mysql_native_password USING PASSWORD('%s')", k.name, mariaQuoted(password)))
		}
	}
	change(secondPassword)
	h.deny.Store(true)
	if worked := h.visit(t, v, len(pg)); worked != [2]int{3, 2} { // the environment, the lease and the tunnel
		t.Errorf("%d of %d logins worked where all but those of the environment, the lease and the tunnel are refused", worked, all)
	}
	// The rotation comes to its end.
	for _, k := range keepers {
		k.put(secondPassword)
	}
	h.deny.Store(false)
	waitUntil(t, "all logins work again", func() bool { return h.visit(t, v, len(pg)) == all })
	// The stores fail.
	for _, k := range keepers {
		k.fail(true)
	}
	g.Fail(gcpfake.OpToken, gcpfake.Denied)
	az.Down()
	pause(t.Context(), 1100*time.Millisecond)
	if worked := h.visit(t, v, len(pg)); worked == all {
		t.Error("no store failed")
	}
	for _, k := range keepers {
		k.fail(false)
	}
	g.Recover(gcpfake.OpToken)
	az.Up()
	h.keys(keys)

	processes := map[string]string{
		"its arguments":    procFile(t, v, "cmdline"),
		"what clients got": strings.Join(h.told, "\n"),
	}
	given := slices.Sorted(slices.Values(v.cmd.Environ()))
	// Root sees the environment, and nobody else does, the own user included.
	if os.Geteuid() != 0 {
		if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", v.cmd.Process.Pid)); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("got %v, want the environment to be nobody's to read", err)
		}
	} else {
		environ := strings.Split(strings.TrimSuffix(procFile(t, v, "environ"), "\x00"), "\x00")
		slices.Sort(environ)
		if !slices.Equal(environ, given) {
			t.Errorf("the environment is %q, want what it was started with: %q", environ, given)
		}
	}
	v.stop()
	processes["its log"] = v.output() + records(v)
	processes["its stdout"] = stdout.String()
	for where, text := range processes {
		if secret, form := findSecret(text, append(h.secrets, envPassword)); secret != "" {
			at := strings.Index(text, form)
			t.Errorf("%q is in %s, as %q: …%s…", secret, where, form, text[max(0, at-200):min(len(text), at+len(form)+50)])
		}
	}
	if len(h.secrets) < 30 || len(processes["its log"]) < 10_000 || len(processes["what clients got"]) < 1000 {
		t.Errorf("%d secrets, and %d and %d bytes to find them in: that is too little", len(h.secrets), len(processes["its log"]), len(processes["what clients got"]))
	}

	// The child gets what dbvalet was started with, and the name of the user.
	got, err := os.ReadFile(child)
	if err != nil {
		t.Fatal(err)
	}
	for _, inherited := range given {
		got = bytes.ReplaceAll(got, []byte(inherited+"\x00"), nil)
	}
	if !bytes.Contains(got, []byte("DBVALET_USER=quiet_exec\x00")) {
		t.Errorf("the command got %q, want DBVALET_USER in it", got)
	}
	if secret, form := findSecret(string(got), h.secrets); secret != "" {
		t.Errorf("the command got %q, with %q as %q", got, secret, form)
	}
}

// TestSecretInAWrongRouteIsNotRepeated has arguments that dbvalet refuses, with a password in each.
func TestSecretInAWrongRouteIsNotRepeated(t *testing.T) {
	const secret = "s3cr3t-in-the-route"
	for _, arg := range []string{
		"postgres://app:" + secret + "@db.example.com/orders?auth=env:PW",
		"postgres://app@db.example.com/orders?password=" + secret,
		"postgres://app@db.example.com/orders?auth=" + secret,
		"postgres://app@db.example.com/orders?auth=password:" + secret,
		"postgres://app@db.example.com/orders?auth=" + url.QueryEscape("hashivault://secret/data/db?token="+secret),
		"postgres://app@db.example.com/orders?tls=require&auth=" + url.QueryEscape("constant://?val="+secret),
		"postgres://app@db.example.com/orders?auth=" + url.QueryEscape("constant://?val="+secret+"&value="+secret),
		"postgres://app@db.example.com/orders?auth=" + url.QueryEscape("awssecretsmanager://db?secret_key="+secret),
		"postgres://app@db.example.com/orders?auth=" + url.QueryEscape("unknownstore://"+secret),
	} {
		stdout, stderr, code := runToEnd(t, nil, "--log-level=debug", arg)
		if code == 0 || strings.Contains(stdout+stderr, secret) {
			t.Errorf("%s: exit status %d, and it says\n%s%s", arg, code, stdout, stderr)
		}
	}
}

// startWithOutput is startProgram for the tested program, of which it keeps the standard output too.
func startWithOutput(t *testing.T, env []string, routes ...string) (*valet, *bytes.Buffer) {
	t.Helper()
	v := &valet{t: t, done: make(chan error, 1), changed: make(chan struct{})}
	v.cmd = exec.Command(program, append([]string{"--log-format=json", "--log-level=debug", "--exit-zero-on-sigterm", "--drain-timeout=0s"}, routes...)...)
	v.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_EC2_METADATA_DISABLED=true", "GORACE=atexit_sleep_ms=0"}, env...)
	stdout := &bytes.Buffer{}
	v.cmd.Stdout = stdout
	stderr, err := v.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go v.read(stderr)
	t.Cleanup(v.stop)
	for range routes {
		v.addrs = append(v.addrs, v.next("ready", len(v.addrs)).str("listener"))
	}
	return v, stdout
}

// records are the lines of v's log, decoded.
func records(v *valet) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var b strings.Builder
	for _, r := range v.records {
		fmt.Fprintln(&b, map[string]any(r))
	}
	return b.String()
}

// procFile reads what the kernel says about v.
func procFile(t *testing.T, v *valet, name string) string {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", v.cmd.Process.Pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// keys notes those of all sessions that STS has begun.
func (h *hoard) keys(keys *awsfake.Keys) {
	for i := 1; ; i++ {
		key, ok := keys.Key(fmt.Sprintf("ASIASESSION%09d", i))
		if !ok {
			return
		}
		h.secret(key.Secret, key.SessionToken)
	}
}

// stsOf is the address of STS in an environment.
func stsOf(env []string) (address string) {
	for _, variable := range env {
		if after, ok := strings.CutPrefix(variable, "AWS_ENDPOINT_URL_STS="); ok && address == "" {
			address = after
		}
	}
	return address
}

// mariaQuoted is a password between the quotes of a statement, where a backslash means something.
func mariaQuoted(password string) string { return strings.ReplaceAll(password, `\`, `\\`) }
