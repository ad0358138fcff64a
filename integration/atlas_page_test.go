package integration

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ariga.io/atlas/schemahcl"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"go.yaml.in/yaml/v3"

	"dbvalet/integration/awsfake"
	"dbvalet/integration/servers"
)

// atlasPage returns the files that docs/atlas.md shows, by the names in their first lines.
func atlasPage(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../docs/atlas.md")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, m := range regexp.MustCompile("(?ms)^```\\w+\n((?:#|--) ([^\n]+)\n.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		files[m[2]] = m[1]
	}
	if fences := strings.Count(string(text), "\n```") / 2; len(files) != fences {
		t.Fatalf("%d of the %d files of the page have a name of their own in the first line", len(files), fences)
	}
	return files
}

// An atlasEnv is what the tests use of an env block of atlas.hcl.
type atlasEnv struct {
	Name      string `spec:"name,name"`
	URL       string `spec:"url"`
	Dev       string `spec:"dev"`
	Source    string `spec:"src"`
	Migration struct {
		Dir             string `spec:"dir"`
		RevisionsSchema string `spec:"revisions_schema"`
	} `spec:"migration"`
}

// An atlasProject is the project of docs/atlas.md, with other addresses, on a server whose roles have not been
// made yet.
type atlasProject struct {
	dir         string // of its files
	valet       *valet
	envs        map[string]atlasEnv
	databaseURL string // DATABASE_URL, as dbvalet exec sets it
}

// masterPassword is the one in the master secret.
const masterPassword = "of the master, %/&#"

// newAtlasProject writes the files of the page, and starts dbvalet as they say. The server s is what the page
// has at its endpoint with this port; changes are pairs of what else is replaced by what.
func newAtlasProject(t *testing.T, s *servers.Server, port int, changes ...string) *atlasProject {
	t.Helper()
	p := &atlasProject{dir: t.TempDir()}
	files := atlasPage(t)
	at := regexp.MustCompile(fmt.Sprintf(`(%s):%d(/\w+)`, regexp.QuoteMeta(s.Endpoint), port))
	p.start(t, s, at.ReplaceAllString(files["dbvalet.yaml"],
		fmt.Sprintf("${1}:%d${2}?dial=%s&ca=%s", s.Port, s.Addr(), url.QueryEscape(s.CAFile))))
	var routes struct {
		Routes []struct{ Name, Listen string }
	}
	if err := yaml.Unmarshal([]byte(files["dbvalet.yaml"]), &routes); err != nil {
		t.Fatal(err)
	}
	for i, r := range routes.Routes {
		changes = append(changes, r.Listen, p.valet.addrs[i])
		if r.Name == "orders" {
			p.databaseURL = "postgres://app@" + p.valet.addrs[i] + "/orders?sslmode=disable"
		}
	}
	changes = append(changes, "127.0.0.1:5433", s.Addr(), "127.0.0.1:3307", s.Addr()) // the databases for dev
	replace := strings.NewReplacer(changes...)
	for name, content := range files {
		path := filepath.Join(p.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(replace.Replace(content)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.evaluate(t)
	return p
}

// start starts the fake of AWS's store and dbvalet, with this configuration on free ports.
func (p *atlasProject) start(t *testing.T, s *servers.Server, config string) {
	t.Helper()
	keys := &awsfake.Keys{}
	keys.Add(s.AccessKeyID, awsfake.Key{Secret: s.SecretAccessKey, ARN: cloudCaller})
	store, err := awsfake.NewSecretsManager(keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	for _, m := range regexp.MustCompile(`awssecretsmanager://(\S+)\?region=(\S+)`).FindAllStringSubmatch(config, -1) {
		store.Create(m[2], m[1], login("master", masterPassword))
	}
	config = regexp.MustCompile(`listen: \S+`).ReplaceAllString(config, "listen: 127.0.0.1:0")
	env := append(s.AWSEnvironment(), "AWS_ENDPOINT_URL_SECRETS_MANAGER="+store.URL)
	p.valet = startFile(t, env, newFile(t, config), strings.Count(config, "listen: "))
}

// evaluate reads atlas.hcl as the program does, which adds getenv to what the package knows.
func (p *atlasProject) evaluate(t *testing.T) {
	t.Helper()
	getenv := function.New(&function.Spec{
		Params: []function.Parameter{{Name: "name", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.StringVal(map[string]string{"DATABASE_URL": p.databaseURL}[args[0].AsString()]), nil
		},
	})
	var project struct {
		Envs []*atlasEnv `spec:"env"`
	}
	state := schemahcl.New(schemahcl.WithFunctions(map[string]function.Function{"getenv": getenv}))
	if err := state.EvalFiles([]string{filepath.Join(p.dir, "atlas.hcl")}, &project, nil); err != nil {
		t.Fatal(err)
	}
	p.envs = map[string]atlasEnv{}
	for _, e := range project.Envs {
		p.envs[e.Name] = *e
	}
}

// atlasPostgres is a server as RDS hands it over: a master user, and nobody else.
func atlasPostgres(t *testing.T) *servers.Postgres {
	t.Helper()
	p := ownServer(t, servers.Options{HBA: []string{
		// First, for since PostgreSQL 16 who makes a role is a member of it, and here so of rds_iam.
		"hostssl orders master 127.0.0.1/32 scram-sha-256",
		"hostnossl dev dev 127.0.0.1/32 scram-sha-256",
	}})
	for _, sql := range []string{
		"CREATE ROLE rds_iam", "CREATE ROLE master LOGIN CREATEROLE PASSWORD '" + masterPassword + "'",
		"GRANT rds_iam TO master WITH ADMIN OPTION", "ALTER DATABASE orders OWNER TO master", "DROP ROLE app",
		"REVOKE CREATE ON SCHEMA public FROM PUBLIC", // as in any new server
		"CREATE ROLE dev LOGIN PASSWORD 'dev'", "CREATE DATABASE dev OWNER dev",
	} {
		alter(t, p, sql)
	}
	return p
}

// atlasMySQL is the same of MySQL or MariaDB.
func atlasMySQL(t *testing.T, version string) *servers.MySQL {
	t.Helper()
	m := mysqlServer(t, servers.MySQLOptions{Version: version})
	for _, sql := range []string{
		"DROP USER app", "CREATE DATABASE shop", "CREATE USER master IDENTIFIED BY '" + masterPassword + "'",
		"GRANT ALL ON *.* TO master WITH GRANT OPTION",
		"CREATE DATABASE dev", "CREATE USER dev IDENTIFIED BY 'dev'", "GRANT ALL ON dev.* TO dev",
	} {
		alter(t, m, sql)
	}
	return m
}

// atlasEngines are the servers of these tests, each with its project. For MariaDB, users who log in with a token
// are identified by what stands for the plugin of RDS there.
var atlasEngines = []struct {
	name, roles, schema, table string
	start                      func(t *testing.T) (*atlasProject, any)
}{
	{"PostgreSQL", "roles", "schema", "public.customers", func(t *testing.T) (*atlasProject, any) {
		p := atlasPostgres(t)
		return newAtlasProject(t, &p.Server, 5432), p
	}},
	{"MySQL", "shop-roles", "shop", "shop.customers", func(t *testing.T) (*atlasProject, any) {
		m := atlasMySQL(t, "mysql9")
		return newAtlasProject(t, &m.Server, 3306), m
	}},
	{"MariaDB", "shop-roles", "shop", "shop.customers", func(t *testing.T) (*atlasProject, any) {
		m := atlasMySQL(t, "mariadb11")
		return newAtlasProject(t, &m.Server, 3306,
			"IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'", m.ByToken()), m
	}},
}

// TestAtlasPageIsWellFormed reads what can't be run here.
func TestAtlasPageIsWellFormed(t *testing.T) {
	files := atlasPage(t)
	for _, name := range []string{"terraform/roles/main.tf", "terraform/schema/main.tf"} {
		file, diagnostics := hclparse.NewParser().ParseHCL([]byte(files[name]), name)
		if diagnostics.HasErrors() {
			t.Error(diagnostics)
			continue
		}
		if content := string(file.Bytes); !strings.Contains(content, `source  = "ariga/atlas"`) || strings.Contains(content, "password") {
			t.Errorf("%s is not about the provider, or has a password", name)
		}
	}
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct{ Uses, Run string }
		}
	}
	if err := yaml.Unmarshal([]byte(files[".github/workflows/migrate.yaml"]), &workflow); err != nil {
		t.Fatal(err)
	}
	steps := workflow.Jobs["orders"].Steps
	if len(steps) == 0 || !strings.HasPrefix(steps[len(steps)-1].Run, "dbvalet exec --config dbvalet.yaml orders -- atlas ") {
		t.Errorf("the last step of the workflow is not dbvalet exec: %+v", steps)
	}
}
