package integration

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dbvalet/dsn"
	"dbvalet/integration/servers"
	"dbvalet/tokens"
)

// TestToolsReadWhatIsMeant has parsers of other languages read what is printed for names that mean something
// where they should not. Those of Go are asked by the tests of package dsn.
func TestToolsReadWhatIsMeant(t *testing.T) {
	t.Parallel()
	names := []string{
		"app", "o'brien", "a b", `"q"`, "a;b&c|d", "-x", "first.last@example.com", "ä", "#x", "{a,b}", "a/b", "a?b=c", "100%", "%41",
		"a+b", "a=b", "[::1]", "/a", "a,b", "(a)", "a:b", `a\b`, "日本",
	}
	tcp := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5433}
	type run func(ctx context.Context, script string, args ...string) (*exec.Cmd, error)
	for _, tool := range []struct {
		scheme, name string
		socket       net.Addr // nil: it knows none
		run          run
		script       []string
		unsaid       []string // the names and passwords for which there is nothing to copy
	}{
		{"postgres", "jdbc", nil, servers.Java, []string{"LinesReader.java"}, nil},
		{"postgres", "python", &net.UnixAddr{Name: "/run/my db/.s.PGSQL.6543"}, servers.Python, []string{"lines_reader.py"}, nil},
		{"postgres", "sqlalchemy", &net.UnixAddr{Name: "/run/my db/.s.PGSQL.6543"}, servers.Python, []string{"lines_reader.py"}, nil},
		{"postgres", "node", &net.UnixAddr{Name: "/run/my db/.s.PGSQL.6543"}, servers.Node, []string{"lines_reader.js", "pg"}, []string{"database #x", "database a?b=c"}},
		{"mysql", "jdbc-mariadb", nil, servers.Java, []string{"LinesReader.java"}, []string{"user a;b&c|d", "password a;b&c|d", "database a?b=c"}},
		{"mysql", "python", &net.UnixAddr{Name: "/run/my db/mysql.sock"}, servers.Python, []string{"lines_reader.py"}, nil},
		{"mysql", "sqlalchemy", &net.UnixAddr{Name: "/run/my db/mysql.sock"}, servers.Python, []string{"lines_reader.py"}, []string{"password ä", "password 日本"}},
		{"mysql", "node", &net.UnixAddr{Name: "/run/my db/mysql.sock"}, servers.Node, []string{"lines_reader.js", "mysql2"}, nil},
	} {
		t.Run(tool.scheme+" "+tool.name, func(t *testing.T) {
			var args, want, unsaid []string
			for _, name := range names {
				for _, addr := range []net.Addr{tcp, tool.socket} {
					for part, parts := range map[string][3]string{"user": {name, "", "d"}, "password": {"u", name, "d"}, "database": {"u", "", name}} {
						if addr == nil {
							continue
						}
						target := dsn.Target{Scheme: tool.scheme, Addr: addr, User: parts[0], Password: tokens.NewSecret(parts[1]), Database: parts[2]}
						if line, err := target.For(tool.name); err == nil {
							args, want = append(args, line), append(want, parts[:]...)
						} else if addr == tcp {
							unsaid = append(unsaid, part+" "+name)
						}
					}
				}
			}
			slices.Sort(unsaid)
			if slices.Sort(tool.unsaid); !slices.Equal(unsaid, tool.unsaid) {
				t.Errorf("there is nothing to copy for %q, want that for %q", unsaid, tool.unsaid)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd, err := tool.run(ctx, filepath.Join("testdata", tool.script[0]), append(tool.script[1:], args...)...)
			if err != nil {
				t.Fatal(err)
			}
			stdout, stderr, err := finish(t, cmd)
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr)
			}
			got := strings.Split(strings.TrimSuffix(stdout, "\x00"), "\x00")
			if len(got) != len(want) {
				t.Fatalf("%d answers for %d lines", len(got)/3, len(args))
			}
			for i, line := range args {
				if g, w := got[3*i:3*i+3], want[3*i:3*i+3]; strings.Join(g, "\x00") != strings.Join(w, "\x00") {
					t.Errorf("%s is read as %q, want %q", line, g, w)
				}
			}
		})
	}
}
