package config

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// all shows everything.
func all(_, value string) string { return value }

func TestShownConfigurationSaysWhereValuesComeFrom(t *testing.T) {
	file := filepath.Join(putFiles(t, map[string]string{"main.yaml": "log_level: warn\n" + route + "    auth: env:PW\n"}), "main.yaml")
	c, err := Load(Sources{Environ: []string{"DBVALET_STRICT=true"}, Flags: parsed(t, "--config="+file, "--max-connections=9"), Args: []string{"mysql://b?users=x,y"}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.YAML(func(key, value string) string {
		if key == "auth" {
			return "(hidden)"
		}
		return value
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `log_level: warn # FILE:1
log_format: auto # default
landlock: auto # default
strict: true # environment DBVALET_STRICT
max_connections: 9 # flag --max-connections
drain_timeout: 25s # default
routes:
  - name: orders # FILE:3
    upstream: postgres://app@db.example.com/orders # FILE:3
    listen: 127.0.0.1:5432 # default
    auth: (hidden) # FILE:5
  - name: b # default
    upstream: mysql://b # argument 1
    listen: 127.0.0.1:3306 # default
    users: [x, y] # argument 1
`
	if got := strings.ReplaceAll(string(text), file, "FILE"); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}

	text, err = c.JSON(all)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Settings map[string]Value
		Routes   []map[string]Value
		Files    []string
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if v := got.Settings["max_connections"]; v.Value != 9.0 || v.Origin != "flag --max-connections" {
		t.Errorf("got %+v", v)
	}
	if v := got.Routes[0]["auth"]; v.Value != "env:PW" || v.Origin != file+":5" || len(got.Files) != 1 {
		t.Errorf("got %+v of %s", v, text)
	}
}

// decoded is what one file says.
func decoded(content []byte) (*Config, error) {
	l := newLoader()
	if err := l.decode("x.yaml", content); err != nil {
		return nil, err
	}
	return l.config, l.settings(Sources{})
}

// What is accepted is shown as a file that says the same.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		route, "admin: x\n---\n", "", "&a [*a]", "routes: [{upstream: 'postgres://h', listen: [a, 'b,c'], socket_mode: 0o660, users: \"a\\nb\"}]",
		"log_level: warn\ndrain_delay: 1.5s\nstrict: true\nroutes:\n- upstream: mysql://h?auth=exec:a%20b\n  tls: require\n  max_connections: 3\n",
		"audit: \"\\u0085x\\t# \"\nroutes: []", "traces: |\n  a\n  b\n", "? [a]\n: b", "admin: !!binary x", "%YAML 1.1\n---\nadmin: 0x1",
		"routes:\n- upstream: mysql://%80\n", "routes:\n- upstream: postgres://h\n  name: '- #: '\n  ca: ' '\n  databases: [1, null]\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := decoded(content)
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Hint() == "" || c != nil && e.File != "" {
				t.Fatalf("got %v, want an *Error with a hint", err)
			}
			return
		}
		text, err := c.YAML(all)
		if err != nil {
			t.Fatalf("%q: %v", content, err)
		}
		again, err := decoded(text)
		if err != nil {
			t.Fatalf("%q is shown as\n%s, which is refused: %v", content, text, err)
		}
		if !reflect.DeepEqual(c.Settings, again.Settings) || !reflect.DeepEqual(c.Routes, again.Routes) {
			t.Errorf("%q is shown as\n%s, which is %+v %+v, want %+v %+v", content, text, again.Settings, again.Routes, c.Settings, c.Routes)
		}
	})
}
