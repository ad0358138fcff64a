package integration

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dbvalet/integration/awsfake"
	"dbvalet/integration/rdstoken"
	"dbvalet/integration/servers"
)

// The roles of the tests: the caller may assume the first, which may assume the second.
const (
	firstRole  = "arn:aws:iam::123456789012:role/hop"
	lastRole   = "arn:aws:iam::210987654321:role/db-login"
	externalID = "7f3e-9c"
	atWork     = "arn:aws:sts::210987654321:assumed-role/db-login/night-shift"
)

// roleOptions are what a route says to become atWork.
const roleOptions = "role=" + firstRole + "," + lastRole + "&external_id=" + externalID + "&session_name=night-shift"

// newRoles starts an STS with these roles. The keys are those that AWS knows, sessions included.
func newRoles(t *testing.T) (keys *awsfake.Keys, env []string) {
	t.Helper()
	keys = &awsfake.Keys{}
	keys.Add(cloudKeyID, awsfake.Key{Secret: cloudSecret, ARN: cloudCaller})
	sts, err := awsfake.NewSTS(keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sts.Close)
	sts.SetRole(firstRole, awsfake.Role{Trusts: []string{cloudCaller}})
	sts.SetRole(lastRole, awsfake.Role{Trusts: []string{firstRole}, ExternalID: externalID})
	return keys, []string{
		"AWS_ACCESS_KEY_ID=" + cloudKeyID, "AWS_SECRET_ACCESS_KEY=" + cloudSecret, "AWS_REGION=" + cloudRegion, "AWS_ENDPOINT_URL_STS=" + sts.URL,
	}
}

// signer returns whose key signed a token, and the key.
func signer(keys *awsfake.Keys, token string) (id string, key awsfake.Key, err error) {
	_, query, _ := strings.Cut(token, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", key, errors.New("not a token")
	}
	id, _, _ = strings.Cut(values.Get("X-Amz-Credential"), "/")
	key, known := keys.Key(id)
	if !known || !key.Expires.IsZero() && time.Now().After(key.Expires) {
		return "", key, fmt.Errorf("access key %.40q is not known, or not any more", id)
	}
	return id, key, nil
}

// rds decides as RDS does for user, whom the policy of allowed lets in and nobody else's.
func rds(s *servers.Server, keys *awsfake.Keys, user string, allowed ...string) func(token string) error {
	return func(token string) error {
		id, key, err := signer(keys, token)
		if err != nil {
			return err
		}
		if err := rdstoken.Verify(token, rdstoken.Expect{
			Host: s.Endpoint, Port: s.Port, Region: s.Region, User: user,
			AccessKeyID: id, SecretAccessKey: key.Secret, SessionToken: key.SessionToken,
		}, time.Now()); err != nil {
			return err
		}
		if !slices.Contains(allowed, key.ARN) {
			return fmt.Errorf("no policy of %s allows it", key.ARN)
		}
		return nil
	}
}

func TestChainOfRolesSignsTokenThatTheDatabaseVerifies(t *testing.T) {
	p, m := pgTokens(t), maria(t)
	keys, env := newRoles(t)
	tokenRole(t, "worker", rds(&p.Server, keys, "worker", atWork))
	mariaTokenUser(t, "worker", rds(&m.Server, keys, "worker", atWork))
	v := start(t, env, route("worker", p, "name=pg", roleOptions), mysqlRoute("worker", m, "name=maria", roleOptions))
	psqlProgram.logsInAs(t, v, 0, "worker")
	mariadbProgram.logsInAs(t, v, 1, "worker")

	// The external id is what the last role asks for, and only that.
	v = start(t, env, route("worker", p, strings.Replace(roleOptions, externalID, "other", 1)))
	psqlProgram.refused(t, v, 0, "FATAL:  dbvalet: ", "AccessDenied", "HINT:  ", "sts:AssumeRole", lastRole, firstRole, "external_id=")
}

// TestRefusedTokenIsExplainedInTheClientsOwnOutput lets somebody sign who has no permission. The
// database says no more than that; what follows is from dbvalet.
func TestRefusedTokenIsExplainedInTheClientsOwnOutput(t *testing.T) {
	p, m := pgTokens(t), maria(t)
	keys, env := newRoles(t)
	tokenRole(t, "nobody", rds(&p.Server, keys, "nobody"))
	mariaTokenUser(t, "nobody", rds(&m.Server, keys, "nobody"))
	v := start(t, env, route("nobody", p, "name=pg", roleOptions), mysqlRoute("nobody", m, "name=maria", roleOptions))
	who := "signed by " + atWork
	psqlProgram.refused(t, v, 0, `PAM authentication failed for user "nobody"`, "\nHINT:  dbvalet: "+who,
		fmt.Sprintf("for nobody@%s:%d", p.Endpoint, p.Port),
		`{"Effect":"Allow","Action":"rds-db:connect","Resource":"arn:aws:rds-db:us-east-1:210987654321:dbuser:*/nobody"}`,
		`and GRANT rds_iam TO "nobody"`)
	for _, program := range []clientProgram{mariadbProgram, {"mysql", func(t *testing.T, addr string) (string, string, error) {
		return mysqlClientAt(t, "mysql9", addr, whoami)
	}}} {
		program.refused(t, v, 1, "ERROR 1045 (", "Access denied for user 'nobody'", who,
			fmt.Sprintf("for nobody@%s:%d", m.Endpoint, m.Port),
			`{"Effect":"Allow","Action":"rds-db:connect","Resource":"arn:aws:rds-db:us-east-1:210987654321:dbuser:*/nobody"}`,
			`CREATE USER 'nobody' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'`)
	}
	for _, log := range []string{p.VerifierLog(), m.VerifierLog()} {
		if said := lastLine(t, log); !strings.Contains(said, "no policy of "+atWork) {
			t.Errorf("the verifier says %q, want that nothing but the policy was missing", said)
		}
	}
}

// dsqlHost is the endpoint of a cluster of Aurora DSQL.
const dsqlHost = "foo0bar1baz2quux3quuux4abc.dsql.us-east-1.on.aws"

func TestDSQLTokenIsVerifiedWithTheActionOfTheUser(t *testing.T) {
	p := ownServer(t, servers.Options{Certificate: servers.Certificate{Names: []string{dsqlHost}}})
	keys, env := newRoles(t)
	if err := p.Judge(func(user, token string) error {
		action := "DbConnect"
		if user == "admin" {
			action = "DbConnectAdmin"
		}
		return verifyDSQL(token, action, keys)
	}); err != nil {
		t.Fatal(err)
	}
	alter(t, p, "CREATE ROLE rds_iam")
	alter(t, p, "CREATE ROLE admin LOGIN IN ROLE rds_iam")
	at := func(user, name string) string {
		return strings.NewReplacer(p.Endpoint, dsqlHost).Replace(route(user, p, "name="+name))
	}
	// The host says what the source is; a role may be between.
	v := start(t, env, at("app", "app"), at("admin", "admin")+"&auth=aws-dsql", at("app", "role")+"&"+roleOptions)
	psqlProgram.logsInAs(t, v, 0, "app")
	psqlProgram.logsInAs(t, v, 1, "admin")
	psqlProgram.logsInAs(t, v, 2, "app")

	wrong := append([]string{"AWS_SECRET_ACCESS_KEY=another"}, slices.DeleteFunc(env, func(s string) bool { return strings.HasPrefix(s, "AWS_SECRET") })...)
	v = start(t, wrong, at("app", "wrong"))
	psqlProgram.refused(t, v, 0, `PAM authentication failed for user "app"`, "HINT:  dbvalet: signed by access key "+cloudKeyID+" for app@"+dsqlHost,
		`"Action":"dsql:DbConnect"`, "cluster/foo0bar1baz2quux3quuux4abc", "AWS IAM GRANT app TO")
	if said := lastLine(t, p.VerifierLog()); !strings.Contains(said, "signature") {
		t.Errorf("the verifier says %q, want that the signature is wrong", said)
	}
}

// verifyDSQL computes the signature of a DSQL token again, from the description of Signature Version 4:
//
//	<host>/?Action=DbConnect&X-Amz-Algorithm=…&X-Amz-Credential=…&X-Amz-Date=…&X-Amz-Expires=900
//	    &X-Amz-Security-Token=…&X-Amz-SignedHeaders=host&X-Amz-Signature=…
//
// https://docs.aws.amazon.com/aurora-dsql/latest/userguide/SECTION_authentication-token.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func verifyDSQL(token, action string, keys *awsfake.Keys) error {
	id, key, err := signer(keys, token)
	if err != nil {
		return err
	}
	query, ok := strings.CutPrefix(token, dsqlHost+"/?")
	if !ok {
		return errors.New("the token is for another host")
	}
	var pairs []string
	for pair := range strings.SplitSeq(query, "&") {
		if !strings.HasPrefix(pair, "X-Amz-Signature=") {
			pairs = append(pairs, pair)
		}
	}
	slices.Sort(pairs)
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("not a query")
	}
	date := values.Get("X-Amz-Date")
	at, err := time.Parse("20060102T150405Z", date)
	scope := strings.Join([]string{at.Format("20060102"), "us-east-1", "dsql", "aws4_request"}, "/")
	switch {
	case err != nil, time.Since(at).Abs() > 15*time.Minute:
		return fmt.Errorf("the token is of %q", date)
	case values.Get("Action") != action:
		return fmt.Errorf("the action is %q", values.Get("Action"))
	case values.Get("X-Amz-Credential") != id+"/"+scope, values.Get("X-Amz-Security-Token") != key.SessionToken, values.Get("X-Amz-Expires") != "900":
		return errors.New("the scope is another, the session, or the time")
	}
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	canonical := strings.Join([]string{"GET", "/", strings.Join(pairs, "&"), "host:" + dsqlHost, "", "host", hash("")}, "\n")
	signature := []byte("AWS4" + key.Secret)
	for _, part := range append(strings.Split(scope, "/"), strings.Join([]string{"AWS4-HMAC-SHA256", date, scope, hash(canonical)}, "\n")) {
		mac := hmac.New(sha256.New, signature)
		mac.Write([]byte(part))
		signature = mac.Sum(nil)
	}
	if hex.EncodeToString(signature) != values.Get("X-Amz-Signature") {
		return errors.New("the signature is wrong")
	}
	return nil
}

// A secretCase is a secret, how a route names it, and whom it logs in.
type secretCase struct {
	name string
	url  string
	user string // the route's; empty: none
}

// secretRoutes makes a route for each case, to where the secret is tried.
func secretRoutes(cases []secretCase, to func(user string, more ...string) string) (routes []string) {
	for i, c := range cases {
		routes = append(routes, to(c.user, auth(c.url), fmt.Sprint("name=", i)))
	}
	return routes
}

// keep writes all the forms in which AWS keeps a password into the stores of c.
func keepPassword(c *cloud, user, password string) []secretCase {
	json := login(user, password)
	full := c.secrets.Create(cloudRegion, "prod/full", json)
	c.secrets.Create(cloudRegion, "db-pass", password+"\n")
	c.secrets.Create(cloudRegion, "prod/nested", fmt.Sprintf(`{"nested": {"password": %q}, "list": [{"username": "x", "password": "y"}, %s], "a.b": %[1]q}`, password, json))
	c.secrets.Create(cloudRegion, "rds!db-0a1b2c3d", json)
	c.secrets.Create(cloudRegion, "binary", "")
	c.secrets.PutBinary("binary", []byte(json))
	c.secrets.Create(cloudRegion, "staged", json)
	_, id := c.secrets.Value("staged", awsfake.Current)
	c.secrets.Put("staged", login(user, "a newer one, which the database does not know"))
	c.parameters.Put(cloudRegion, "db-pass", password)
	c.parameters.Put(cloudRegion, "/prod/db", json)
	c.parameters.Put(cloudRegion, "/prod/db", login(user, "a newer one"))
	c.parameters.Label(cloudRegion, "/prod/db", 1, "live")
	return []secretCase{
		{"Go CDK", "awssecretsmanager://db-pass?region=eu-west-1&decoder=string", user},
		{"Atlas, with a profile", "awssecretsmanager://db-pass?region=eu-west-1&awssdk=v2&profile=ci&decoder=string", user},
		{"JSON", "awssecretsmanager://prod/full?region=eu-west-1", ""},
		{"ARN", "awssecretsmanager://" + full, ""},
		{"ARN without its end", "awssecretsmanager://" + full[:strings.LastIndexByte(full, '-')], ""},
		{"path", "awssecretsmanager://prod/nested?path=nested.password", user},
		{"path into an array", "awssecretsmanager://prod/nested?path=list.1", ""},
		{"path with a dot in a key", `awssecretsmanager://prod/nested?path=a\.b`, user},
		{"managed by RDS", "awssecretsmanager://rds!db-0a1b2c3d", ""},
		{"binary", "awssecretsmanager://binary", ""},
		{"version by stage", "awssecretsmanager://staged?version_stage=AWSPREVIOUS", ""},
		{"version by id", "awssecretsmanager://staged?version_id=" + id, ""},
		{"parameter, Go CDK", "awsparamstore://db-pass?region=eu-west-1&decoder=string", user},
		{"parameter with a path in the store", "awsparamstore:///prod/db:1", ""},
		{"parameter by label", "awsparamstore:///prod/db:live?decoder=string", ""},
		{"parameter by ARN", "awsparamstore://arn:aws:ssm:eu-west-1:" + awsfake.Account + ":parameter/prod/db:1", ""},
	}
}

// withProfile adds a profile to the environment of dbvalet.
func withProfile(t *testing.T, env []string, name string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials")
	content := fmt.Sprintf("[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", name, cloudKeyID, cloudSecret)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return append(slices.Clone(env), "AWS_SHARED_CREDENTIALS_FILE="+path)
}

func TestAWSStoresInAnyForm(t *testing.T) {
	c := newCloud(t)
	p, m := pgSecrets(t), maria(t)
	storedRole(t, p, "kept", "pa55 w&rd/#%")
	mariaUser(t, "kept", "pa55 w&rd/#%")
	cases := keepPassword(c, "kept", "pa55 w&rd/#%")
	c.secrets.Create(cloudRegion, "prod/where/pg", located(&p.Server, "kept", "pa55 w&rd/#%"))
	c.secrets.Create(cloudRegion, "prod/where/maria", located(&m.Server, "kept", "pa55 w&rd/#%"))
	env := withProfile(t, c.env, "ci")
	for _, engine := range []struct {
		program clientProgram
		to      func(user string, more ...string) string
		where   string
	}{
		{psqlProgram, func(user string, more ...string) string { return route(user, p, more...) },
			hostless("postgres", &p.Server, auth("awssecretsmanager://prod/where/pg?region=eu-west-1"))},
		{mariadbProgram, func(user string, more ...string) string { return mysqlRoute(user, m, more...) },
			hostless("mysql", &m.Server, auth("awssecretsmanager://prod/where/maria?region=eu-west-1"))},
	} {
		t.Run(engine.program.name, func(t *testing.T) {
			v := start(t, env, append(secretRoutes(cases, engine.to), engine.where)...)
			for i, one := range append(cases, secretCase{name: "host, port and database from the secret"}) {
				t.Run(one.name, func(t *testing.T) { engine.program.logsInAs(t, v, i, "kept") })
			}
		})
	}
	if got := c.secrets.Count("") - c.secrets.Count("GetSecretValue"); got != 0 {
		t.Errorf("%d requests need another permission than GetSecretValue", got)
	}
}

// TestDatabaseOfTheSecretIsTheOneThatIsMeant looks at what a route without a host and a client without
// a database get.
func TestDatabaseOfTheSecretIsTheOneThatIsMeant(t *testing.T) {
	c := newCloud(t)
	p, m := pgSecrets(t), maria(t)
	storedRole(t, p, "elsewhere", "pw")
	mariaUser(t, "elsewhere", "pw")
	c.secrets.Create(cloudRegion, "pg", located(&p.Server, "elsewhere", "pw"))
	c.secrets.Create(cloudRegion, "maria", located(&m.Server, "elsewhere", "pw"))
	v := start(t, c.env, hostless("postgres", &p.Server, auth("awssecretsmanager://pg")), hostless("mysql", &m.Server, auth("awssecretsmanager://maria")))
	// libpq would name a database that is called as the user.
	conn, err := pgx.Connect(t.Context(), strings.Replace(v.conninfo(), "dbname=orders", "sslmode=disable", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var got string
	if err := conn.QueryRow(t.Context(), "SELECT current_database()").Scan(&got); err != nil || got != p.Database {
		t.Errorf("pgx: %v, database %q, want %s", err, got, p.Database)
	}
	if got, stderr, err := mysqlAt(t, v.addrs[1], "SELECT DATABASE()"); err != nil || got != m.Database {
		t.Errorf("mariadb: %v, database %q, want %s\n%s", err, got, m.Database, stderr)
	}
}

func TestAWSStoreThatSaysNoIsExplainedInTheClientsOwnOutput(t *testing.T) {
	p, m := pgSecrets(t), maria(t)
	for _, row := range []struct {
		name, url string
		prepare   func(c *cloud)
		want      []string // in the error, and then in the hint
		hint      []string
	}{
		{"secret denied", "awssecretsmanager://prod/denied", func(c *cloud) { c.secrets.Fail(awsfake.Denied) },
			[]string{"awssecretsmanager://prod/denied", cloudCaller, "may not secretsmanager:GetSecretValue in eu-west-1"},
			[]string{`{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/denied-??????"}`}},
		{"secret missing", "awssecretsmanager://prod/missing", func(*cloud) {},
			[]string{"awssecretsmanager://prod/missing", "ResourceNotFoundException", "asked as " + cloudCaller},
			[]string{"aws secretsmanager list-secrets --region eu-west-1"}},
		{"parameter denied", "awsparamstore:///prod/denied", func(c *cloud) { c.parameters.Fail(awsfake.Denied) },
			[]string{"awsparamstore:///prod/denied", cloudCaller, "may not ssm:GetParameter in eu-west-1"},
			[]string{`"Action":"ssm:GetParameter","Resource":"arn:aws:ssm:eu-west-1:123456789012:parameter/prod/denied"`}},
		{"parameter missing", "awsparamstore:///prod/missing", func(*cloud) {},
			[]string{"awsparamstore:///prod/missing", "ParameterNotFound", "asked as " + cloudCaller},
			[]string{"aws ssm describe-parameters --region eu-west-1"}},
		{"store down", "awssecretsmanager://prod/down", func(c *cloud) { c.secrets.Close() },
			[]string{"awssecretsmanager://prod/down", "connection refused"}, []string{"check the network"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCloud(t)
			row.prepare(c)
			v := start(t, c.env, route("app", p, auth(row.url)), mysqlRoute("app", m, auth(row.url), "name=maria"))
			psqlProgram.refused(t, v, 0, slices.Concat([]string{"FATAL:  dbvalet: "}, row.want, []string{"\nHINT:  "}, row.hint)...)
			mariadbProgram.refused(t, v, 1, slices.Concat([]string{"ERROR ", "dbvalet: "}, row.want, []string{"hint: "}, row.hint)...)
		})
	}
}

// TestRefusedSecretIsNamedInTheClientsOwnOutput has a password in the store that the database never knew.
func TestRefusedSecretIsNamedInTheClientsOwnOutput(t *testing.T) {
	c := newCloud(t)
	p, m := pgSecrets(t), maria(t)
	storedRole(t, p, "stale", "of the database")
	mariaUser(t, "stale", "of the database")
	c.secrets.Create(cloudRegion, "prod/stale", login("stale", "of the store"))
	_, version := c.secrets.Value("prod/stale", awsfake.Current)
	to := auth("awssecretsmanager://prod/stale")
	v := start(t, c.env, route("", p, to), mysqlRoute("", m, to, "name=maria"))
	from := []string{`user "stale"`, "awssecretsmanager://prod/stale", "AWSCURRENT " + version}
	for i, out := range []string{
		psqlProgram.refused(t, v, 0, append([]string{`password authentication failed for user "stale"`, "HINT:  dbvalet: "}, from...)...),
		mariadbProgram.refused(t, v, 1, append([]string{"ERROR 1045 (28000)", "Access denied for user 'stale'"}, from...)...),
	} {
		if strings.Contains(out, "of the store") || strings.Contains(out, base64.StdEncoding.EncodeToString([]byte("of the store"))) {
			t.Errorf("client %d got the password:\n%s", i, out)
		}
	}
}
