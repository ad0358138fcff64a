package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// put writes files, whose names are relative to a new directory, and returns that.
func putFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// loadFile loads the file main.yaml of files.
func loadFile(t *testing.T, files map[string]string, environ ...string) (c *Config, dir string, err error) {
	t.Helper()
	dir = putFiles(t, files)
	c, err = Load(Sources{Environ: append(environ, "DBVALET_CONFIG="+filepath.Join(dir, "main.yaml"))})
	return c, dir, err
}

const route = "routes:\n  - name: orders\n    upstream: postgres://app@db.example.com/orders\n"

func TestFileSaysWhatAURLSays(t *testing.T) {
	for name, row := range map[string]struct{ yaml, url string }{
		"nothing else": {"", ""},
		"every kind": {
			"    listen: [127.0.0.1:5433, '/run/a,b']\n    auth: env:PW\n    allow: [self, 1000]\n    allow_remote: 10.0.0.0/8,fd00::/8\n" +
				"    local_password: auto\n    databases:\n      - orders\n      - \"1\"\n    max_connections: 7\n    connect_timeout: 30\n    queue_timeout: 1m30s\n    socket_mode: 0660\n",
			"&listen=127.0.0.1:5433&listen=/run/a,b&auth=env:PW&allow=self,1000&allow_remote=10.0.0.0/8,fd00::/8&local_password=auto&databases=orders,1" +
				"&max_connections=7&connect_timeout=30&queue_timeout=90s&socket_mode=0660",
		},
		"libpq's names":    {"    sslmode: require\n    sslrootcert: /a+b.pem\n", "&sslmode=require&sslrootcert=/a+b.pem"},
		"a mode in quotes": {"    socket_mode: '0600'\n", "&socket_mode=0600"},
		"a mode of YAML":   {"    socket_mode: 0o640\n", "&socket_mode=0640"},
		"one listener":     {"    listen: localhost:1\n", "&listen=localhost:1"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, err := loadFile(t, map[string]string{"main.yaml": route + row.yaml})
			if err != nil {
				t.Fatal(err)
			}
			want := mustParse(t, "postgres://app@db.example.com/orders?name=orders"+row.url)
			if len(c.Routes) != 1 || !reflect.DeepEqual(c.Routes[0], want) {
				t.Errorf("got %+v, want %+v", c.Routes[0], want)
			}
		})
	}
}

func TestUpstreamMayHaveOptions(t *testing.T) {
	c, _, err := loadFile(t, map[string]string{"main.yaml": "routes:\n- upstream: postgres://db.example.com?auth=env:PW&name=x\n  tls: require\n"})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Routes[0]; r.Name != "x" || r.Auth != "env:PW" || r.TLS != "require" || r.Upstream != "postgres://db.example.com" {
		t.Errorf("got %+v", r)
	}
}

func TestMistakeInFileIsShownWithItsLine(t *testing.T) {
	for _, row := range []struct {
		name, yaml    string
		message, hint string // DIR stands for the directory
	}{
		{"nothing", "", "DIR/main.yaml: the file is empty", "routes:"},
		{"a comment", "# later\n", "DIR/main.yaml: the file is empty", "routes:"},
		{"null", "~\n", "DIR/main.yaml: the file is empty", "routes:"},
		{"a list", "- a\n", "DIR/main.yaml:1: the file is no mapping of keys to values", "routes:"},
		{"unknown key", "log_level: info\nadmn: x\n", `DIR/main.yaml:2: unknown key "admn"`, "did you mean admin?"},
		{"dash for underscore", "log-level: info\n", `DIR/main.yaml:1: unknown key "log-level"`, "did you mean log_level?"},
		{"key of a route", "listen: x\n", `DIR/main.yaml:1: unknown key "listen"`, "belongs to a route"},
		{"setting in a route", route + "    admin: x\n", `DIR/main.yaml:4: route orders: unknown key "admin"`, "concerns the whole program"},
		{"unknown key of a route", route + "    lisen: x\n", `DIR/main.yaml:4: route orders: unknown key "lisen"`, "did you mean listen?"},
		{"far from everything", route + "    zzzzzzzz: x\n", `DIR/main.yaml:4: route orders: unknown key "zzzzzzzz"`, "keys of a route are upstream, name"},
		{"password as a key", route + "    password: " + secret + "\n", `DIR/main.yaml:4: route orders: unknown key "password"`, "auth=file:PATH"},
		{"password in the URL", "routes:\n- name: a\n  upstream: postgres://app:" + secret + "@h/d\n", "DIR/main.yaml:3: route a: a password in the route's URL", "auth=file:PATH"},
		{"twice", "admin: x\nlog_level: info\nadmin: x\n", `DIR/main.yaml:3: "admin" is given twice, first in line 1`, "leave one"},
		{"twice in a route", route + "    auth: a\n    auth: b\n", `DIR/main.yaml:5: route orders: "auth" is given twice, first in line 4`, "leave one"},
		{"both names", route + "    tls: require\n    sslmode: require\n", "DIR/main.yaml:5: route orders: sslmode is given twice", "leave one"},
		{"in upstream too", "routes:\n- upstream: postgres://h?tls=require\n  tls: require\n", "DIR/main.yaml:3: route number 1: tls is given twice", "leave one"},
		{"words for a number", route + "    max_connections: many\n", "DIR/main.yaml:4: route orders: max_connections is not a number", "without quotes"},
		{"a number in quotes", route + "    max_connections: '3'\n", "DIR/main.yaml:4: route orders: max_connections is not a number", "without quotes"},
		{"none", route + "    max_connections: 0\n", `DIR/main.yaml:4: route orders: max_connections="0" is not a number from 1`, "leave it out"},
		{"less than no limit", "max_connections: -1\n", `DIR/main.yaml:1: max_connections="-1" is not a number from 0`, "leave it out"},
		{"words for a time", route + "    connect_timeout: soon\n", `DIR/main.yaml:4: route orders: connect_timeout="soon" is not a time`, "leave it out"},
		{"words for a mode", route + "    socket_mode: rw\n", `DIR/main.yaml:4: route orders: socket_mode="rw" is not a mode`, "leave it out"},
		{"words for a switch", "strict: maybe\n", "DIR/main.yaml:1: strict is not true or false", "without quotes"},
		{"a switch for text", route + "    name2: x\n", `unknown key "name2"`, "did you mean name?"},
		{"true for a text", route + "    region: true\n", "DIR/main.yaml:4: route orders: region is not a text", "between quotes"},
		{"a list for a text", route + "    region: [a]\n", "DIR/main.yaml:4: route orders: region is not a text", "between quotes"},
		{"a mapping for a list", route + "    users: {a: b}\n", "DIR/main.yaml:4: route orders: users is not a text, or a list", "between quotes"},
		{"a list in a list", route + "    databases:\n    - a\n    - [b]\n", "DIR/main.yaml:6: route orders: an item of databases is not a text", "between quotes"},
		{"a comma in an item", route + "    databases: ['a,b']\n", "DIR/main.yaml:4: route orders: a comma in an item of databases", "an item for each"},
		{"an empty list", route + "    databases: []\n", "DIR/main.yaml:4: route orders: databases is an empty list", "leave it out"},
		{"no value", route + "    auth:\n", "DIR/main.yaml:4: route orders: auth has no value", "leave it out"},
		{"an empty value", route + "    auth: ''\n", "DIR/main.yaml:4: route orders: auth is empty", "leave it out"},
		{"a zero byte", route + `    auth: "a\0b"` + "\n", "DIR/main.yaml:4: route orders: a zero byte in auth", "take the zero byte out"},
		{"another level", "\nlog_level: loud\n", "DIR/main.yaml:2: log_level=loud: there are debug, info, warn and error", "correct it"},
		{"no upstream", "routes:\n- listen: /run\n", "DIR/main.yaml:2: route number 1: upstream is missing", "postgres://"},
		{"no URL", "routes:\n- name: a\n  upstream: db.example.com\n", "DIR/main.yaml:3: route a: not a URL", "postgres://"},
		{"bad option in upstream", "routes:\n- name: a\n  upstream: postgres://h?lisen=x\n", `DIR/main.yaml:3: route a: unknown option "lisen"`, "did you mean listen?"},
		{"user and users", route + "    users: a\n", "DIR/main.yaml:3: route orders: the route has a user", "leave one"},
		{"routes is a mapping", "routes:\n  a: b\n", "DIR/main.yaml:2: routes is no list", "routes:"},
		{"routes is nothing", "routes:\n", "DIR/main.yaml:1: routes is no list", "routes:"},
		{"a route is a URL", "routes:\n- postgres://h\n", "DIR/main.yaml:2: route number 1: it is no mapping", "upstream:"},
		{"same name", route + "  - name: orders\n    upstream: postgres://x\n", "DIR/main.yaml:4: route orders: two routes have this name; the other is DIR/main.yaml:2", "set name="},
		{"several documents", "admin: x\n---\nadmin: y\n", "DIR/main.yaml:2: a second document in the file", "config.d"},
		{"an alias", "admin: &a x\nlog_level: *a\n", "DIR/main.yaml:1: an anchor", "between quotes"},
		{"an alias of nothing", "admin: *" + secret + "\n", "DIR/main.yaml: not YAML that can be read", "quotes"},
		{"no YAML", "admin: x\nroutes: [\n", "DIR/main.yaml:2: not YAML that can be read", "quotes"},
		{"a tab", "routes:\n\t- a\n", "DIR/main.yaml:2: not YAML that can be read", "quotes"},
		{"a key that is a list", "[a]: b\n", "DIR/main.yaml:1: a key that is no name", "write a name"},
		{"binary", "admin: !!binary aGVsbG8=\n", "DIR/main.yaml:1: admin is not a text", "quotes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, dir, err := loadFile(t, map[string]string{"main.yaml": row.yaml})
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("got %+v, %v, want an *Error", c, err)
			}
			if want := strings.ReplaceAll(row.message, "DIR", dir); !strings.Contains(e.Error(), want) || !strings.Contains(e.Hint(), row.hint) || e.Hint() == "" {
				t.Errorf("got %q with hint %q, want %q with hint %q", e, e.Hint(), want, row.hint)
			}
			if strings.Contains(e.Error()+e.Hint(), secret) {
				t.Errorf("got %q with hint %q, which repeats the password", e, e.Hint())
			}
		})
	}
}

func TestFileThatCannotBeReadIsNamed(t *testing.T) {
	dir := putFiles(t, map[string]string{"there/x": ""})
	for path, want := range map[string]string{
		filepath.Join(dir, "missing.yaml"): "open the file: no such file or directory",
		filepath.Join(dir, "there"):        "it is a directory",
		filepath.Join(dir, "there/x/y"):    "open the file: not a directory",
	} {
		_, err := Load(Sources{Environ: []string{"DBVALET_CONFIG=" + path}})
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Error() != path+": "+want || !strings.Contains(e.Hint(), "DBVALET_CONFIG names it") {
			t.Errorf("%s: got %v, want %q and who names it", path, err, want)
		}
	}
}

func TestFilesOfTheDirectoryAreAdded(t *testing.T) {
	files := map[string]string{
		"main.yaml":         "log_level: warn\n" + route,
		"config.d/b.yaml":   "routes:\n- {name: b, upstream: 'postgres://b'}\n",
		"config.d/a.yaml":   "log_level: warn\nadmin: /run\nroutes:\n- {name: a, upstream: 'mysql://a'}\n",
		"config.d/.x.yaml":  "nonsense",
		"config.d/x.yaml~":  "nonsense",
		"config.d/README":   "nonsense",
		"config.e/no.yaml":  "nonsense",
		"config.d/c/x.yaml": "nonsense",
	}
	c, dir, err := loadFile(t, files)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range c.Routes {
		names = append(names, r.Name)
	}
	if got := strings.Join(names, " "); got != "orders a b" || c.Admin != "/run" || c.LogLevel != "warn" {
		t.Errorf("got routes %s and %+v", got, c.Settings)
	}
	wantFiles := []string{filepath.Join(dir, "main.yaml"), filepath.Join(dir, "config.d/a.yaml"), filepath.Join(dir, "config.d/b.yaml")}
	if !reflect.DeepEqual(c.Files, wantFiles) || !reflect.DeepEqual(c.Dirs, []string{filepath.Join(dir, "config.d")}) {
		t.Errorf("got %q and %q to watch", c.Files, c.Dirs)
	}

	for name, row := range map[string]struct{ content, message string }{
		"other setting": {"\nlog_level: info\n", "DIR/config.d/c.yaml:2: log_level contradicts DIR/main.yaml:1"},
		"same name":     {"routes:\n- {name: a, upstream: 'mysql://x'}\n", "DIR/config.d/c.yaml:2: route a: two routes have this name; the other is DIR/config.d/a.yaml:4"},
		"empty":         {"", "DIR/config.d/c.yaml: the file is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			files["config.d/c.yaml"] = row.content
			_, dir, err := loadFile(t, files)
			if want := strings.ReplaceAll(row.message, "DIR", dir); err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}
