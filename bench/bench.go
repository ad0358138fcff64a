package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"

	"dbvalet/integration/servers"
)

// A target is a way to the database.
type target struct {
	host, port string
	env        []string // of the client
}

// A bench is a server and a dbvalet before it.
type bench struct {
	db              *servers.Postgres
	valet           *exec.Cmd
	secrets         string // a folder
	direct, through target
}

// user logs in by SCRAM on both ways.
const user = "scram"

// start starts the server and dbvalet, and fills the tables.
func start(ctx context.Context, program string) (_ *bench, err error) {
	b := &bench{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.stop())
		}
	}()
	b.db, err = servers.StartPostgres(ctx, servers.Options{Settings: map[string]string{"max_connections": "600", "shared_buffers": "256MB"}})
	if err != nil {
		return nil, err
	}
	host, port, _ := strings.Cut(b.db.Addr(), ":")
	b.direct = target{host, port, []string{"PGSSLMODE=require", "PGPASSWORD=" + b.db.SCRAMPassword}}
	for _, sql := range []string{"GRANT ALL ON SCHEMA public TO " + user, "GRANT ALL ON DATABASE " + b.db.Database + " TO " + user} {
		if err := b.db.Exec(ctx, sql); err != nil {
			return nil, err
		}
	}
	if _, err := b.client(ctx, b.direct, "-q", "-i", "-s", "10"); err != nil {
		return nil, err
	}
	return b, b.startValet(program)
}

func (b *bench) startValet(program string) (err error) {
	if b.secrets, err = os.MkdirTemp("", "dbvalet-bench-"); err != nil {
		return err
	}
	secret := filepath.Join(b.secrets, "password")
	if err := os.WriteFile(secret, []byte(b.db.SCRAMPassword), 0o600); err != nil {
		return err
	}
	b.valet = exec.Command(program, "--log-format=text", "--log-level=info", fmt.Sprintf(
		"postgres://%s@%s:%d/%s?listen=127.0.0.1:0&dial=%s&ca=%s&auth=file:%s",
		user, b.db.Endpoint, b.db.Port, b.db.Database, b.db.Addr(), b.db.CAFile, secret))
	stderr, err := b.valet.StderrPipe()
	if err != nil {
		return err
	}
	if err := b.valet.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 4 && words[0] == "psql" { // psql -h HOST -p PORT
			b.through = target{words[2], words[4], []string{"PGSSLMODE=disable"}}
			go discard(stderr) // the log, as somebody would read it
			return nil
		}
	}
	return errors.New("dbvalet ended at once")
}

// stop ends what start started.
func (b *bench) stop() (err error) {
	if b.valet != nil && b.valet.Process != nil {
		_ = b.valet.Process.Signal(syscall.SIGTERM)
		err = b.valet.Wait()
	}
	if b.secrets != "" {
		err = errors.Join(err, os.RemoveAll(b.secrets))
	}
	if b.db != nil {
		err = errors.Join(err, b.db.Stop())
	}
	return err
}

// client runs pgbench to its end and returns what it printed.
func (b *bench) client(ctx context.Context, to target, args ...string) (string, error) {
	cmd, err := servers.Client(ctx, "18", "pgbench", append(args, b.db.Database)...)
	if err != nil {
		return "", err
	}
	cmd.Env = append(cmd.Env, append(to.env, "PGHOST="+to.host, "PGPORT="+to.port, "PGUSER="+user)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("pgbench %v: %w\n%s", args, err, out.String())
	}
	return out.String(), nil
}

// pgbench returns transactions a second.
func (b *bench) pgbench(ctx context.Context, to target, seconds int, args []string) (float64, error) {
	out, err := b.client(ctx, to, append([]string{"-n", "-T", strconv.Itoa(seconds)}, args...)...)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(out) {
		var tps float64
		if n, _ := fmt.Sscanf(line, "tps = %f", &tps); n == 1 {
			return tps, nil
		}
	}
	return 0, fmt.Errorf("pgbench printed no tps:\n%s", out)
}

// memory prints what an idle session costs.
func (b *bench) memory(ctx context.Context) error {
	const sessions = 500
	before := b.resident()
	for range sessions {
		conn, err := pgx.Connect(ctx, fmt.Sprintf("host=%s port=%s user=%s dbname=%s sslmode=disable", b.through.host, b.through.port, user, b.db.Database))
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
	}
	fmt.Printf("%-28s %.1f MiB, and %.1f KiB for each of %d idle sessions\n", "resident memory", before/(1<<20), (b.resident()-before)/sessions/(1<<10), sessions)
	return nil
}

// resident returns dbvalet's resident set in bytes; 0 where /proc doesn't say it.
func (b *bench) resident() float64 {
	fields := b.proc("statm")
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(fields[1], 64)
	return pages * float64(os.Getpagesize())
}

// cpuSeconds returns the CPU time that dbvalet used so far, in user and kernel.
func (b *bench) cpuSeconds() float64 {
	const ticks = 100 // a second, USER_HZ on every Linux that Go runs on
	fields := b.proc("stat")
	if len(fields) < 15 {
		return 0
	}
	u, _ := strconv.ParseFloat(fields[13], 64)
	s, _ := strconv.ParseFloat(fields[14], 64)
	return (u + s) / ticks
}

func (b *bench) proc(file string) []string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", b.valet.Process.Pid, file))
	if err != nil {
		return nil
	}
	return strings.Fields(string(content))
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// discard reads the log to its end.
func discard(log io.Reader) { _, _ = io.Copy(io.Discard, log) }
