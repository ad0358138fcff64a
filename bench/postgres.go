package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"dbvalet/integration/servers"
)

// startPostgres starts the server and fills the tables of pgbench.
func startPostgres(ctx context.Context) (_ *database, err error) {
	p, err := servers.StartPostgres(ctx, servers.Options{Settings: map[string]string{"max_connections": "600", "shared_buffers": "256MB"}})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Stop())
		}
	}()
	d := &database{Server: &p.Server, name: "PostgreSQL 18", scheme: "postgres", user: "scram", password: p.SCRAMPassword, stop: p.Stop}
	host, port, err := net.SplitHostPort(p.Addr())
	if err != nil {
		return nil, err
	}
	d.direct = target{host, port, true}
	for _, sql := range []string{"GRANT ALL ON SCHEMA public TO " + d.user, "GRANT ALL ON DATABASE " + p.Database + " TO " + d.user} {
		if err := p.Exec(ctx, sql); err != nil {
			return nil, err
		}
	}
	if _, err := d.pgbench(ctx, d.direct, "-q", "-i", "-s", "10"); err != nil {
		return nil, err
	}
	tps := func(args ...string) func(context.Context, target, int) (float64, error) {
		return func(ctx context.Context, to target, seconds int) (float64, error) {
			return d.transactions(ctx, to, append([]string{"-n", "-S", "-j", "1", "-T", strconv.Itoa(seconds)}, args...)...)
		}
	}
	d.measurements = []measurement{
		{"selects/s, 1 client", "query", tps("-c", "1")},
		{"selects/s, 8 clients", "query", tps("-c", "8")},
		{"prepared/s, 1 client", "query", tps("-M", "prepared", "-c", "1")},
		{"prepared/s, 8 clients", "query", tps("-M", "prepared", "-c", "8")},
		{"connects/s, 1 client", "connect", tps("-C", "-c", "1")},
		{"connects/s, 8 clients", "connect", tps("-C", "-c", "8")},
	}
	d.idle = func(to target) (io.Closer, error) {
		conn, err := pgx.Connect(ctx, fmt.Sprintf("host=%s port=%s user=%s dbname=%s sslmode=disable", to.host, to.port, d.user, d.Database))
		return idlePostgres{conn}, err
	}
	return d, nil
}

// idlePostgres closes a connection without a context.
type idlePostgres struct{ *pgx.Conn }

func (c idlePostgres) Close() error { return c.Conn.Close(context.Background()) }

// pgbench runs pgbench to its end and returns what it printed.
func (d *database) pgbench(ctx context.Context, to target, args ...string) (string, error) {
	cmd, err := servers.Client(ctx, "18", "pgbench", append(args, d.Database)...)
	if err != nil {
		return "", err
	}
	cmd.Env = append(cmd.Env, "PGHOST="+to.host, "PGPORT="+to.port, "PGUSER="+d.user)
	if to.direct {
		cmd.Env = append(cmd.Env, "PGSSLMODE=require", "PGPASSWORD="+d.password)
	} else {
		cmd.Env = append(cmd.Env, "PGSSLMODE=disable")
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("pgbench %v: %w\n%s", args, err, out.String())
	}
	return out.String(), nil
}

// transactions returns how many transactions a second pgbench reports.
func (d *database) transactions(ctx context.Context, to target, args ...string) (float64, error) {
	out, err := d.pgbench(ctx, to, args...)
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
