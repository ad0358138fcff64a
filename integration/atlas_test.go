package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ariga.io/atlas/sql/migrate"
	_ "ariga.io/atlas/sql/mysql"
	_ "ariga.io/atlas/sql/postgres"
	"ariga.io/atlas/sql/schema"
	"ariga.io/atlas/sql/sqlclient"
	"github.com/go-sql-driver/mysql"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"

	"dbvalet/integration/servers"
)

// open is a client of Atlas for one of its URLs.
func (p *atlasProject) open(t *testing.T, url string) *sqlclient.Client {
	t.Helper()
	c, err := sqlclient.Open(t.Context(), url)
	if err != nil {
		t.Fatalf("%v\ndbvalet said:\n%s", err, p.valet.output())
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// desired is the schema that an env wants, as a database would write it: Atlas asks the one for dev.
func (p *atlasProject) desired(t *testing.T, e atlasEnv, name string) *schema.Schema {
	t.Helper()
	dev := p.open(t, e.Dev)
	parser := hclparse.NewParser()
	if _, diagnostics := parser.ParseHCLFile(filepath.Join(p.dir, strings.TrimPrefix(e.Source, "file://"))); diagnostics.HasErrors() {
		t.Fatal(diagnostics)
	}
	var wanted schema.Schema
	if err := dev.Eval(parser, &wanted, nil); err != nil {
		t.Fatal(err)
	}
	normal, err := dev.Driver.(schema.Normalizer).NormalizeSchema(t.Context(), &wanted)
	if err != nil {
		t.Fatal(err)
	}
	normal.Name = name // MySQL's is that of the database for dev
	return normal
}

// changes are what leads from the database to the schema that is wanted.
func changes(t *testing.T, c *sqlclient.Client, wanted *schema.Schema) []schema.Change {
	t.Helper()
	now, err := c.InspectSchema(t.Context(), "", &schema.InspectOptions{Exclude: []string{revisionsTable}})
	if err != nil {
		t.Fatal(err)
	}
	diff, err := c.SchemaDiff(now, wanted)
	if err != nil {
		t.Fatal(err)
	}
	return diff
}

// TestAtlasManagesRolesWithTheMasterSecretAndTheSchemaWithATokenOnly goes through docs/atlas.md with Atlas's own
// packages. Its subtests go on from each other.
func TestAtlasManagesRolesWithTheMasterSecretAndTheSchemaWithATokenOnly(t *testing.T) {
	for _, engine := range atlasEngines {
		t.Run(engine.name, func(t *testing.T) {
			p, server := engine.start(t)
			roles, wanted := p.envs[engine.roles], p.envs[engine.schema]
			t.Run("roles", func(t *testing.T) { atlasRoles(t, p, roles, wanted) })
			t.Run("declarative", func(t *testing.T) { atlasDeclarative(t, p, wanted) })
			t.Run("versioned", func(t *testing.T) { atlasVersioned(t, p, wanted) })
			t.Run("locked", func(t *testing.T) { atlasLocked(t, p, wanted) })
			t.Run("failing", func(t *testing.T) { atlasFailing(t, p, wanted, engine.table, server) })
			if engine.name == "PostgreSQL" {
				t.Run("monitored", func(t *testing.T) { atlasMonitored(t, p, wanted) })
				t.Run("DATABASE_URL", func(t *testing.T) { atlasSame(t, p, wanted, p.envs["rds"]) })
			}
			for _, secret := range forms(masterPassword) {
				if strings.Contains(p.valet.output(), secret) {
					t.Error("the master's password is in the log")
				}
			}
		})
	}
}

func atlasRoles(t *testing.T, p *atlasProject, roles, wanted atlasEnv) {
	if c, err := sqlclient.Open(t.Context(), wanted.URL); err == nil {
		c.Close()
		t.Fatal("app logs in before anybody has made it")
	}
	c := p.open(t, roles.URL)
	if got := ask(t, c.DB, "SELECT current_user"+mysqlCall(c)); !strings.HasPrefix(got, "master") {
		t.Errorf("roles are managed by %s", got)
	}
	executor, _, books := p.migrations(t, c, roles)
	if err := executor.ExecuteN(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if all, err := books.ReadRevisions(t.Context()); err != nil || len(all) != 1 || all[0].Applied != all[0].Total || all[0].Total < 2 {
		t.Errorf("revisions are %+v, %v; want one that was applied whole", all, err)
	}
	if got := ask(t, p.open(t, wanted.URL).DB, "SELECT current_user"+mysqlCall(c)); strings.TrimSuffix(got, "@%") != "app" {
		t.Errorf("the schema is managed by %s", got)
	}
}

// mysqlCall is what makes a function of a name in MySQL.
func mysqlCall(c *sqlclient.Client) string {
	if c.Name == "postgres" {
		return ""
	}
	return "()"
}

func atlasDeclarative(t *testing.T, p *atlasProject, e atlasEnv) {
	c := p.open(t, e.URL)
	wanted := p.desired(t, e, c.URL.Schema)
	diff := changes(t, c, wanted)
	if len(diff) != 1 {
		t.Fatalf("%d changes of an empty schema, want one table", len(diff))
	}
	if err := c.ApplyChanges(t.Context(), diff); err != nil {
		t.Fatal(err)
	}
	if diff := changes(t, c, wanted); len(diff) != 0 {
		t.Errorf("after all was applied, these are left: %+v", diff)
	}
	mustExec(t, c, "ALTER TABLE customers ADD COLUMN surplus int")
	if diff := changes(t, c, wanted); len(diff) != 1 {
		t.Errorf("%d changes where a column is too many, want one", len(diff))
	} else if err := c.ApplyChanges(t.Context(), diff); err != nil {
		t.Error(err)
	}
	if diff := changes(t, c, wanted); len(diff) != 0 {
		t.Errorf("with the column gone, these are left: %+v", diff)
	}
	mustExec(t, c, "DROP TABLE customers") // the next one begins anew
}

func atlasVersioned(t *testing.T, p *atlasProject, e atlasEnv) {
	c := p.open(t, e.URL)
	executor, _, books := p.migrations(t, c, e)
	if err := executor.ExecuteN(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if all, err := books.ReadRevisions(t.Context()); err != nil || len(all) == 0 || all[len(all)-1].Version != "20260102090000" {
		t.Errorf("revisions are %+v, %v; want that of the last file", all, err)
	}
	if err := executor.ExecuteN(t.Context(), 0); !errors.Is(err, migrate.ErrNoPendingFiles) {
		t.Errorf("the second time: %v, want that nothing is pending", err)
	}
	// The files of both ways on the page lead to the same schema.
	if diff := changes(t, c, p.desired(t, e, c.URL.Schema)); len(diff) != 0 {
		t.Errorf("the migrations leave these changes to the schema that is wanted: %+v", diff)
	}
}

func atlasLocked(t *testing.T, p *atlasProject, e atlasEnv) {
	first, second := p.open(t, e.URL), p.open(t, e.URL)
	const name = "atlas_migrate_execute" // the one of "atlas migrate apply"
	lock := func(c *sqlclient.Client) (schema.UnlockFunc, error) {
		return c.Driver.(schema.Locker).Lock(t.Context(), name, 0)
	}
	unlock, err := lock(first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(second); !errors.Is(err, schema.ErrLocked) {
		t.Errorf("somebody else asks for the lock: %v, want that it is held", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if unlock, err = lock(second); err != nil {
		t.Fatalf("after it was released: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

// atlasFailing runs a file whose second statement fails, and then what was made of it.
func atlasFailing(t *testing.T, p *atlasProject, e atlasEnv, table string, server any) {
	c := p.open(t, e.URL)
	executor, dir, books := p.migrations(t, c, e)
	const name = "20260103090000_seed.sql"
	good, bad := "INSERT INTO "+table+" (email) VALUES ('a@example.com')", "INSERT INTO "+table+" (email) VALUES ('b@example.com'), ('a@example.com')"
	write := func(second string) {
		if err := dir.WriteFile(name, []byte(good+";\n"+second+";\n")); err != nil {
			t.Fatal(err)
		}
		hash(t, dir)
	}
	write(bad)
	err := executor.ExecuteN(t.Context(), 0)
	if failed := asError[*migrate.StmtExecError](err); failed == nil || strings.TrimSuffix(failed.Stmt.Text, ";") != bad {
		t.Fatalf("the migration ended with %v", err)
	}
	if got, want := databaseError(err), databaseError(runDirectly(t, server, bad)); got != want || !strings.Contains(want, "a@example.com") {
		t.Errorf("through dbvalet the error is\n%s\nand directly\n%s", got, want)
	}
	one, err := books.ReadRevision(t.Context(), "20260103090000")
	if err != nil || one.Applied != 1 || one.Total != 2 || !strings.Contains(one.Error, "customers_email") {
		t.Errorf("the revision is %+v, %v; want one statement of two, and the database's words", one, err)
	}
	write(strings.ReplaceAll(bad, "'a@", "'c@"))
	if err := executor.ExecuteN(t.Context(), 0); err != nil {
		t.Errorf("after it was mended: %v", err)
	}
	if got := ask(t, c.DB, "SELECT count(*) FROM customers"); got != "3" {
		t.Errorf("%s rows, want 3: a statement ran twice, or not at all", got)
	}
}

// runDirectly runs a statement that fails as the superuser, not through dbvalet.
func runDirectly(t *testing.T, server any, statement string) error {
	t.Helper()
	switch s := server.(type) {
	case *servers.Postgres:
		return s.Exec(t.Context(), statement)
	case *servers.MySQL:
		return s.Exec(t.Context(), statement)
	}
	t.Fatalf("what is a %T?", server)
	return nil
}

// databaseError is all that a database says of an error, whatever the driver.
func databaseError(err error) string {
	if e := asError[*pq.Error](err); e != nil {
		return fmt.Sprintln(e.Severity, e.Code, e.Message, e.Detail, e.Hint, e.Schema, e.Table, e.Constraint, e.Routine)
	}
	if e := asError[*pgconn.PgError](err); e != nil {
		return fmt.Sprintln(e.Severity, e.Code, e.Message, e.Detail, e.Hint, e.SchemaName, e.TableName, e.ConstraintName, e.Routine)
	}
	if e := asError[*mysql.MySQLError](err); e != nil {
		return fmt.Sprintln(e.Number, string(e.SQLState[:]), e.Message)
	}
	return fmt.Sprintf("not of a database: %v", err)
}

// atlasMonitored inspects as the agent does, with a user who may do no more than that.
func atlasMonitored(t *testing.T, p *atlasProject, e atlasEnv) {
	monitor := e
	monitor.URL = strings.Replace(e.URL, p.valet.addrs[1], p.valet.addrs[2], 1)
	atlasSame(t, p, e, monitor)
	c := p.open(t, monitor.URL)
	if got := ask(t, c.DB, "SELECT current_user"); got != "monitor" {
		t.Errorf("%s looks", got)
	}
	for _, statement := range []string{"CREATE TABLE mine (n int)", "SELECT email FROM customers"} {
		_, err := c.ExecContext(t.Context(), statement)
		if e := asError[*pq.Error](err); e == nil || e.Code != "42501" {
			t.Errorf("who only looks says %q: %v, want that it is denied", statement, err)
		}
	}
}

// atlasSame wants two envs to see the same database.
func atlasSame(t *testing.T, p *atlasProject, e, other atlasEnv) {
	now, err := p.open(t, e.URL).InspectSchema(t.Context(), "", &schema.InspectOptions{Exclude: []string{revisionsTable}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := changes(t, p.open(t, other.URL), now); len(diff) != 0 || len(now.Tables) == 0 {
		t.Errorf("%s sees %+v differently", other.URL, diff)
	}
}

// TestAtlasProgramRunsTheCommandsOfItsPage needs the program itself, which is in no registry.
func TestAtlasProgramRunsTheCommandsOfItsPage(t *testing.T) {
	program, err := exec.LookPath("atlas")
	if err != nil {
		t.Skip("the program atlas is not on the PATH")
	}
	for _, engine := range atlasEngines {
		t.Run(engine.name, func(t *testing.T) {
			p, _ := engine.start(t)
			scripts := []string{"shop.sh"}
			if engine.name == "PostgreSQL" {
				scripts = []string{"roles.sh", "migrate.sh", "declare.sh", "rds.sh"}
			}
			for _, name := range scripts {
				p.run(t, program, name)
			}
			c := p.open(t, p.envs[engine.schema].URL)
			if diff := changes(t, c, p.desired(t, p.envs[engine.schema], c.URL.Schema)); len(diff) != 0 {
				t.Errorf("the program leaves these changes: %+v", diff)
			}
			if got := ask(t, c.DB, "SELECT count(*) FROM "+revisionsTable+" WHERE error IS NULL OR error = ''"); got == "0" {
				t.Error("there is no revision of the program")
			}
		})
	}
}

// run runs the commands of a script of the page.
func (p *atlasProject) run(t *testing.T, program, script string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(p.dir, script))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		args := strings.Fields(line)
		if args[0] != "atlas" {
			continue
		}
		cmd := exec.CommandContext(t.Context(), program, args[1:]...)
		cmd.Dir = p.dir
		cmd.Env = []string{"HOME=" + p.dir, "ATLAS_NO_UPDATE_NOTIFIER=true", "DATABASE_URL=" + p.databaseURL}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s%v\n%s\ndbvalet said:\n%s", line, err, out, p.valet.output())
		}
		t.Logf("%s%s", line, out)
	}
}
