package integration

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// containerUser is who runs dbvalet in the image; see deploy/container/Dockerfile.
const containerUser = 65532

// TestContainerHoldsNothingButTheProgram runs dbvalet as its image does: as a user without a name, in a
// file system that has the program and what is mounted into it, and that nobody can write to. There is no
// shell, no /proc, no /etc and no /tmp. What the image's HEALTHCHECK runs is run in the same place.
func TestContainerHoldsNothingButTheProgram(t *testing.T) {
	needsUsers(t)
	p := pg18(t)
	_, port, _ := net.SplitHostPort(p.Addr())
	root := containerRoot(t, map[string]string{
		"run/secrets/password": p.SCRAMPassword + "\n",
		"etc/dbvalet/ca.pem":   fileText(t, p.CAFile),
		"etc/dbvalet/dbvalet.yaml": fmt.Sprintf(`routes:
  - name: orders
    upstream: postgres://scram@%s:%s/orders
    dial: %q
    listen: 127.0.0.1:0
    auth: file:/run/secrets/password
    ca: /etc/dbvalet/ca.pem
`, p.Endpoint, port, p.Addr()),
	})
	v := startCommand(t, contained(root, command(t, "/dbvalet", []string{"DBVALET_ADMIN=127.0.0.1:0"}, "--config=/etc/dbvalet/dbvalet.yaml")), 1)
	asks := func(what ...string) (status int, text string) {
		t.Helper()
		cmd := exec.Command("/dbvalet", what...)
		cmd.Env = []string{"DBVALET_ADMIN=" + v.next("admin ready", 0).str("listener")}
		out, err := contained(root, cmd).CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return exit.ExitCode(), string(out)
		} else if err != nil {
			t.Fatal(err)
		}
		return 0, string(out)
	}

	if status, text := asks("wait"); status != 0 {
		t.Fatalf("wait: got %d, %s; dbvalet said:\n%s", status, text, v.output())
	}
	if got := mustPSQL(t, v, "SELECT current_user"); got != "scram" {
		t.Errorf("the client is %q", got)
	}
	for _, what := range []string{"--startup", "--live", "--upstream", "--timeout=9s"} {
		if status, text := asks("health", what); status != 0 {
			t.Errorf("health %s: got %d, %s", what, status, text)
		}
	}
	v.stop()
	if status, text := asks("health"); status != 1 || !strings.Contains(text, "nothing listens there") {
		t.Errorf("health when it has ended: got %d, %s", status, text)
	}
}

// containerRoot is a directory with the program as it is shipped, and files.
func containerRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := ownersDir(t) // others may enter it
	data, err := os.ReadFile(plainProgram)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "dbvalet"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// contained makes cmd one that sees root alone, can't write there, and has no rights.
func contained(root string, cmd *exec.Cmd) *exec.Cmd {
	const script = `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" &&
		exec setpriv --no-new-privs chroot --userspec="$0:$0" --groups= "$@"`
	inside := exec.Command("unshare", append([]string{"--mount", "sh", "-c", script, fmt.Sprint(containerUser), root}, cmd.Args...)...)
	inside.Env = append(cmd.Env, "PATH="+os.Getenv("PATH")) // of unshare, sh and the others
	return inside
}

func fileText(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(data)) + "\n"
}
