package servers

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestDriversLogIn(t *testing.T) {
	for _, version := range mysqlVersions {
		m := ordinaryMySQL(t, version)
		for _, driver := range []struct {
			script string
			run    func(ctx context.Context, script string, args ...string) (*exec.Cmd, error)
			want   string
		}{
			{"whoami.py", Python, "app@%\n"},
			{"whoami.php", PHP, "app@%\napp@%\n"},
			{"WhoAmI.java", Java, "app@%\n"},
			{"whoami.js", Node, "app@%\napp@%\n"},
		} {
			t.Run(version+" "+driver.script, func(t *testing.T) {
				token := tokenRequest{}.token(t, &m.Server)
				cmd, err := driver.run(t.Context(), filepath.Join("testdata", driver.script),
					m.Host, fmt.Sprint(m.Port), "app", token, m.CAFile)
				if err != nil {
					t.Fatal(err)
				}
				out, err := cmd.CombinedOutput()
				if err != nil || string(out) != driver.want {
					t.Errorf("got %v, %q", err, strings.ReplaceAll(string(out), token, "TOKEN"))
				}
			})
		}
	}
}
