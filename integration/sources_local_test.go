package integration

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// write puts content into a file of the test, and returns its path.
func write(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLocalSourcesInAnyForm(t *testing.T) {
	p, m := pgSecrets(t), maria(t)
	const password = "pa55 w&rd"
	storedRole(t, p, "local", password)
	mariaUser(t, "local", password)
	bare, json := write(t, "password", password+"\n", 0o600), write(t, "login.json", login("local", password), 0o600)
	nested := write(t, "nested.json", fmt.Sprintf(`{"data": {"db.password": %q}}`, password), 0o600)
	program := write(t, "login.sh", fmt.Sprintf("#!/bin/sh\necho '{\"username\": \"local\", \"password\": \"%s\", \"expires\": \"%s\"}'\n",
		password, time.Now().Add(time.Hour).UTC().Format(time.RFC3339)), 0o700)
	asked := write(t, "asked.sh", fmt.Sprintf("#!/bin/sh\n[ \"$DBVALET_USER\" = local ] && [ \"$1\" = 'two words' ] && echo '%s'\n", password), 0o700)
	env := []string{"LOGIN=" + login("local", password), "BARE=" + password}
	routes := []struct {
		name, option string
		user         string
	}{
		{"environment variable", "auth=env:BARE", "local"},
		{"JSON in the environment", "auth=env:LOGIN", ""},
		{"file", "auth=file:" + bare, "local"},
		{"file as a URL", auth("file://" + bare), "local"},
		{"JSON file", "auth=file:" + json, ""},
		{"path into a JSON file", auth("file://" + nested + `?path=data.db\.password&decoder=string`), "local"},
		{"command", "auth=exec:" + asked + url.PathEscape(" 'two words'"), "local"},
		{"JSON of a command, with a user", "auth=exec:" + program, ""},
		{"constant in the environment", auth("constant://?envvar=BARE&decoder=string"), "local"},
	}
	var pg, my []string
	for i, r := range routes {
		pg = append(pg, route(r.user, p, r.option, fmt.Sprint("name=", i)))
		my = append(my, mysqlRoute(r.user, m, r.option, fmt.Sprint("name=", i)))
	}
	for _, engine := range []struct {
		program clientProgram
		routes  []string
	}{{psqlProgram, pg}, {mariadbProgram, my}} {
		t.Run(engine.program.name, func(t *testing.T) {
			v := start(t, env, engine.routes...)
			for i, r := range routes {
				t.Run(r.name, func(t *testing.T) { engine.program.logsInAs(t, v, i, "local") })
			}
		})
	}
}

func TestLocalSourceThatFailsIsExplainedInTheClientsOwnOutput(t *testing.T) {
	p, m := pgSecrets(t), maria(t)
	fails := write(t, "fails.sh", "#!/bin/sh\necho 'the vault is locked' >&2\nexit 3\n", 0o700)
	other := write(t, "other.json", login("somebody", "x"), 0o600)
	rows := []struct {
		name, option string
		want         []string
	}{
		{"no variable", "auth=env:MISSING", []string{"env:MISSING", "not set"}},
		{"no file", "auth=file:/nonexistent/pw", []string{"file:/nonexistent/pw", "no such file"}},
		{"command that fails", "auth=exec:" + fails, []string{"exec:" + fails, "exit status 3: the vault is locked", "by hand"}},
		{"secret of somebody else", "auth=file:" + other, []string{"file:" + other, "for another user than the route", "leave USER out"}},
		{"wrong path", auth("file://" + other + "?path=deep.password"), []string{`has no "deep"`, "check path="}},
	}
	var routes []string
	for i, r := range rows {
		routes = append(routes, route("app", p, r.option, fmt.Sprint("name=pg", i)), mysqlRoute("app", m, r.option, fmt.Sprint("name=maria", i)))
	}
	v := start(t, nil, routes...)
	for i, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			psqlProgram.refused(t, v, 2*i, append([]string{"FATAL:  dbvalet: "}, r.want...)...)
			mariadbProgram.refused(t, v, 2*i+1, append([]string{"ERROR ", "dbvalet: "}, r.want...)...)
		})
	}
}
