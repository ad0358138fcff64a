package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"time"

	"dbvalet/integration/servers"
)

// A database is a real server, and what its part of the story needs.
type database struct {
	*servers.Server
	name   string // of the product
	scheme string // of the route
	valet  string // the address where dbvalet serves it

	program string // the product's own client
	version string // of the client
	client  func(ctx context.Context, version, program string, args ...string) (*exec.Cmd, error)
	quiet   []string // options that leave out decoration
	execute string   // the option before a statement
	// connection returns the arguments with which the client connects to address. There is no password
	// among them.
	connection func(address string) []string

	remark  string     // about what the client prints
	direct  [][]string // arguments of clients that connect directly, and have no luck
	queries []string
	again   string // a query for the end
}

func startPostgres(ctx context.Context) (*database, error) {
	p, err := servers.StartPostgres(ctx, servers.Options{})
	if err != nil {
		return nil, err
	}
	conninfo := func(address string) string {
		host, port, _ := net.SplitHostPort(address)
		return fmt.Sprintf("host=%s port=%s user=app dbname=%s", host, port, p.Database)
	}
	return &database{
		Server: &p.Server, name: "PostgreSQL 18", scheme: "postgres",
		program: "psql", version: "18", client: servers.Client,
		quiet: []string{"-X", "-w", "-P", "footer=off"}, execute: "-c",
		connection: func(address string) []string { return []string{conninfo(address)} },
		direct: [][]string{
			{conninfo(p.Addr()) + " sslmode=require"},
			{conninfo(p.Addr()) + " sslmode=disable password=x"},
		},
		queries: []string{
			"SELECT current_user, current_database(), version()",
			"SELECT ssl, version AS tls, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
			"CREATE TABLE parcels AS SELECT n AS id, 'parcel ' || n AS what FROM generate_series(1, 3) n; SELECT * FROM parcels",
		},
		again: "SELECT count(*) AS parcels FROM parcels",
	}, nil
}

func startMariaDB(ctx context.Context) (*database, error) {
	const version = "mariadb11"
	m, err := servers.StartMySQL(ctx, servers.MySQLOptions{
		Version:  version,
		Settings: map[string]string{"require_secure_transport": "ON"},
	})
	if err != nil {
		return nil, err
	}
	connection := func(address string) []string {
		host, port, _ := net.SplitHostPort(address)
		return []string{"-h", host, "-P", port, "-u", "app", "-D", m.Database}
	}
	return &database{
		Server: &m.Server, name: "MariaDB 11.8", scheme: "mysql",
		program: "mariadb", version: version, client: servers.MySQLClient,
		quiet: []string{"--table"}, execute: "-e",
		connection: connection,
		remark:     "\n(That it can't verify a server for which it has no password, the client says each time. dbvalet can.)",
		direct: [][]string{
			append(connection(m.Addr()), "--ssl-ca="+m.CAFile, "--password=x"),
			append(connection(m.Addr()), "--skip-ssl", "--password=x"),
		},
		queries: []string{
			"SELECT current_user(), database(), version()",
			"SHOW STATUS WHERE variable_name IN ('Ssl_version', 'Ssl_cipher')",
			"CREATE TABLE parcels AS SELECT seq AS id, CONCAT('parcel ', seq) AS what FROM seq_1_to_3; SELECT * FROM parcels",
		},
		again: "SELECT COUNT(*) AS parcels FROM parcels",
	}, nil
}

// An outcome is what a client is expected to end with.
type outcome int

const (
	accepted outcome = iota
	refused
)

// run runs a statement and shows the command and what came of it. It is an error if that is not what
// was expected.
func (d *database) run(ctx context.Context, expected outcome, connection []string, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	args := append(slices.Clone(connection), d.execute, sql)
	cmd, err := d.client(ctx, d.version, d.program, append(slices.Clone(d.quiet), args...)...)
	if err != nil {
		return err
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err = cmd.Run()
	fmt.Printf("\n$ %s\n", commandLine(append([]string{d.program}, args...)))
	for line := range strings.Lines(output.String()) {
		fmt.Print("  " + line)
	}
	switch {
	case expected == accepted && err != nil:
		return fmt.Errorf("%s was to succeed: %w", d.program, err)
	case expected == refused && err == nil:
		return errors.New(d.program + " was to be refused")
	}
	return nil
}

// commandLine quotes args for a shell, where they need it.
func commandLine(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		switch {
		case !strings.ContainsAny(arg, " '\"()*;&?|$`\\!"):
			quoted[i] = arg
		case strings.Contains(arg, "'") && !strings.ContainsAny(arg, "\"$`\\!"):
			quoted[i] = `"` + arg + `"`
		default:
			quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
