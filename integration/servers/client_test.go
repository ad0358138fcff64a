package servers

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// client returns a client program that connects to p as "app" with a token.
func client(t *testing.T, p *Postgres, version, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd, err := Client(t.Context(), version, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env,
		"PGHOST="+p.Host, fmt.Sprint("PGPORT=", p.Port), "PGDATABASE="+p.Database, "PGUSER=app",
		"PGPASSWORD="+tokenRequest{}.token(t, &p.Server), "PGSSLMODE=verify-full", "PGSSLROOTCERT="+p.CAFile)
	return cmd
}

func TestClientProgramsWork(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			p := start(t, Options{Version: version})
			for _, test := range []struct {
				command string
				want    string
			}{
				{"psql -Atc table_version", "PostgreSQL " + version},
				{"pg_isready", "accepting connections"},
				{"pgbench -i -q -s 1", "done in"},
				{"pgbench -n -t 10 -c 2 -P 1", "number of transactions actually processed: 20/20"},
				{"pg_dump -t pgbench_branches", "CREATE TABLE public.pgbench_branches"},
			} {
				args := strings.Fields(test.command)
				for i, arg := range args {
					if arg == "table_version" {
						args[i] = "SELECT version()"
					}
				}
				out, err := client(t, p, version, args[0], args[1:]...).CombinedOutput()
				if err != nil || !strings.Contains(string(out), test.want) {
					t.Errorf("%s: %v, expected %q in:\n%s", test.command, err, test.want, out)
				}
			}
		})
	}
}

func TestClientIgnoresTheCallersSettings(t *testing.T) {
	home := t.TempDir()
	for name, content := range map[string]string{".psqlrc": `\echo psqlrc was read`, ".pgpass": "*:*:*:*:x"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, Options{})
	t.Setenv("HOME", home)
	t.Setenv("PGAPPNAME", "inherited")
	out, err := client(t, p, "18", "psql", "-At", "-c", "SHOW application_name").CombinedOutput()
	if err != nil || string(out) != "psql\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestInterruptCancelsTheQuery(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			p := start(t, Options{Version: version})
			cmd := client(t, p, version, "psql", "-c", "SELECT pg_sleep(600)")
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			waitUntil(t, p, "EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'app' AND wait_event = 'PgSleep')")
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			err := cmd.Wait()
			if err == nil || !strings.Contains(out.String(), "canceling statement due to user request") {
				t.Errorf("got %v:\n%s", err, out.String())
			}
		})
	}
}

func TestReplicationClientsStream(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			p := start(t, Options{Version: version})
			slot := client(t, p, version, "pg_recvlogical", "--create-slot", "-S", "s", "-P", "test_decoding", "-d", p.Database)
			if out, err := slot.CombinedOutput(); err != nil {
				t.Fatalf("create slot: %v\n%s", err, out)
			}
			for _, args := range [][]string{
				{"pg_receivewal", "-D", t.TempDir(), "--synchronous"},
				{"pg_recvlogical", "--start", "-S", "s", "-f", "-", "-d", p.Database},
			} {
				cmd := client(t, p, version, args[0], args[1:]...)
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &out
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				waitUntil(t, p, "EXISTS (SELECT FROM pg_stat_replication WHERE usename = 'app' AND state = 'streaming')")
				if err := cmd.Process.Signal(os.Interrupt); err != nil {
					t.Fatal(err)
				}
				if err := cmd.Wait(); err != nil {
					t.Errorf("%s: %v\n%s", args[0], err, out.String())
				}
			}
		})
	}
}

func TestUnknownClientAndVersionHaveHints(t *testing.T) {
	_, err := Client(t.Context(), "18", "createdb")
	if err == nil || !strings.Contains(err.Error(), "hint: there are psql") {
		t.Errorf("got %v", err)
	}
	_, err = StartPostgres(t.Context(), Options{Version: "9"})
	if err == nil || !strings.Contains(err.Error(), "hint: there are recipes for pg18, pg15") {
		t.Errorf("got %v", err)
	}
}
