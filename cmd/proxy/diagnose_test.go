package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dbvalet/config"
	"dbvalet/diagnose"
)

func TestCheckGoesToEachHostOfARoute(t *testing.T) {
	t.Setenv("PASSWORD", secret)
	a, b := closed(t), closed(t)
	status, stdout, stderr := runs(t, "check", "--json", "postgres://app@"+a+","+b+"/orders?auth=env:PASSWORD&name=orders")
	var reports []diagnose.Report
	if err := json.Unmarshal([]byte(stdout), &reports); err != nil || stderr != "" {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	if status != 13 || len(reports) != 2 || reports[0].Upstream != "postgres://app@"+a+"/orders" || reports[1].Upstream != "postgres://app@"+b+"/orders" {
		t.Errorf("status %d, got %+v", status, reports)
	}
	if strings.Contains(stdout, secret) {
		t.Error("the password is printed")
	}
}

// closed is an address where nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestCheckOfAMistakeInARouteIsAUsageErrorBeforeAnythingIsDone(t *testing.T) {
	for _, args := range [][]string{
		{"check"},
		{"check", "postgres://app@db.example.com/orders"},
		{"check", "--user=bob", "postgres://" + closed(t) + "/orders?auth=env:X&name=a", "postgres://app@" + closed(t) + "/orders?auth=env:X&name=b"},
		{"check", "--timeout=0s", "postgres://app@db.example.com/orders?auth=env:X"},
		{"check", "postgres://app@" + closed(t) + "/?auth=env:X", "postgres://app@db.example.com/?auth=nonsense:"},
	} {
		t.Setenv("XDG_CONFIG_HOME", t.TempDir())
		if status, stdout, stderr := runs(t, args...); status != exitUsage || stdout != "" || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%q: status %d, %s%s", args, status, stdout, stderr)
		}
	}
}

func TestCheckMakesNoPasswordOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("XDG_STATE_HOME", dir)
	t.Setenv("HOME", dir)
	if status, stdout, stderr := runs(t, "check", "postgres://app@"+closed(t)+"/?auth=env:X&local_password=auto"); status != 11 {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("%s was made", path)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func TestSignsAreForLocalesThatHaveThem(t *testing.T) {
	for _, row := range []struct {
		all, ctype, lang string
		want             bool
	}{
		{"", "", "en_US.UTF-8", true},
		{"", "", "C.utf8", true},
		{"C", "", "en_US.UTF-8", false},
		{"", "de_DE.ISO-8859-1", "en_US.UTF-8", false},
		{"", "", "", false},
	} {
		env := map[string]string{"LC_ALL": row.all, "LC_CTYPE": row.ctype, "LANG": row.lang}
		if got := isUTF8(func(name string) string { return env[name] }); got != row.want {
			t.Errorf("%v: got %v", env, got)
		}
	}
}

func TestUpstreamOfOneHostKeepsTheRest(t *testing.T) {
	r := &config.Route{Upstream: "mysql://a%40b@x:1,y:2/orders", Database: "orders", Hosts: []config.HostPort{{Host: "x", Port: "1"}, {Host: "y", Port: "2"}}}
	if got := upstreamAt(r, r.Hosts[1]); got != "mysql://a%40b@y:2/orders" {
		t.Errorf("got %s", got)
	}
}
