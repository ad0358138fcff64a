package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"

	"dbvalet/integration/servers"
)

// A mariaDB is measured with sysbench. Its connects are counted with Go's driver, for this sysbench
// keeps its connections.
type mariaDB struct {
	database
	server *servers.MySQL
	dir    string // where sysbench finds what it wants for TLS
	roots  *x509.CertPool
}

// startMariaDB starts the server and fills sysbench's table.
func startMariaDB(ctx context.Context) (_ *database, err error) {
	m, err := servers.StartMySQL(ctx, servers.MySQLOptions{
		Version:  "mariadb11",
		Settings: map[string]string{"max_connections": "600", "innodb_buffer_pool_size": "256M", "skip_log_bin": "ON"},
	})
	if err != nil {
		return nil, err
	}
	d := &mariaDB{server: m, roots: x509.NewCertPool()}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.stop())
		}
	}()
	d.database = database{Server: &m.Server, name: "MariaDB 11.8", scheme: "mysql", user: "native", password: m.NativePassword, stop: d.stop}
	ca, err := os.ReadFile(m.CAFile)
	if err != nil {
		return nil, err
	}
	d.roots.AppendCertsFromPEM(ca)
	host, port, err := net.SplitHostPort(m.Addr())
	if err != nil {
		return nil, err
	}
	d.direct = target{host, port, true}
	if d.dir, err = os.MkdirTemp("", "dbvalet-bench-"); err != nil {
		return nil, err
	}
	if err := m.WriteSysbenchFiles(d.dir); err != nil {
		return nil, err
	}
	if _, err := d.sysbench(ctx, d.direct, "prepare"); err != nil {
		return nil, err
	}
	d.measurements = []measurement{
		{"selects/s, 1 thread", "query", d.selects("--threads=1", "--db-ps-mode=disable")},
		{"selects/s, 8 threads", "query", d.selects("--threads=8", "--db-ps-mode=disable")},
		{"prepared/s, 1 thread", "query", d.selects("--threads=1")},
		{"prepared/s, 8 threads", "query", d.selects("--threads=8")},
		{"connects/s, 1 client", "connect", d.connects(1)},
		{"connects/s, 8 clients", "connect", d.connects(8)},
	}
	d.idle = func(to target) (io.Closer, error) { return d.connect(ctx, to) }
	return &d.database, nil
}

func (d *mariaDB) stop() error {
	err := d.server.Stop()
	if d.dir != "" {
		err = errors.Join(err, os.RemoveAll(d.dir))
	}
	return err
}

// sysbench runs sysbench's point selects to their end and returns what it printed.
func (d *mariaDB) sysbench(ctx context.Context, to target, args ...string) (string, error) {
	args = append([]string{"--mysql-host=" + to.host, "--mysql-port=" + to.port, "--mysql-user=" + d.user,
		"--mysql-db=" + d.Database, "--table-size=10000"}, args...)
	if to.direct {
		args = append([]string{"--mysql-ssl=on", "--mysql-password=" + d.password}, args...)
	}
	cmd, err := servers.Sysbench(ctx, "oltp_point_select", args...)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = d.dir, &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("sysbench: %w\n%s", err, out.String())
	}
	return out.String(), nil
}

// selects returns what measures point selects a second, with more options for sysbench.
func (d *mariaDB) selects(options ...string) func(context.Context, target, int) (float64, error) {
	return func(ctx context.Context, to target, seconds int) (float64, error) {
		out, err := d.sysbench(ctx, to, append(options, fmt.Sprint("--time=", seconds), "run")...)
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(out) {
			var n, perSecond float64
			if found, _ := fmt.Sscanf(strings.TrimSpace(line), "queries: %f (%f per sec.)", &n, &perSecond); found == 2 {
				return perSecond, nil
			}
		}
		return 0, fmt.Errorf("sysbench printed no queries:\n%s", out)
	}
}

// connect logs in, without a password unless directly.
func (d *mariaDB) connect(ctx context.Context, to target) (driver.Conn, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.DBName = "tcp", net.JoinHostPort(to.host, to.port), d.user, d.Database
	if to.direct {
		c.Passwd, c.TLS = d.password, &tls.Config{ServerName: to.host, RootCAs: d.roots}
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return connector.Connect(ctx)
}

// connects returns what measures how often a second so many clients connect, ask for one row, and
// leave.
func (d *mariaDB) connects(clients int) func(context.Context, target, int) (float64, error) {
	return func(ctx context.Context, to target, seconds int) (float64, error) {
		counts, errs := make([]int, clients), make([]error, clients)
		began := time.Now()
		end := began.Add(time.Duration(seconds) * time.Second)
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				for time.Now().Before(end) && errs[i] == nil {
					errs[i] = d.visit(ctx, to)
					counts[i]++
				}
			})
		}
		all.Wait()
		total := 0
		for _, n := range counts {
			total += n
		}
		return float64(total) / time.Since(began).Seconds(), errors.Join(errs...)
	}
}

// visit is one connection with one query.
func (d *mariaDB) visit(ctx context.Context, to target) error {
	conn, err := d.connect(ctx, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	rows, err := conn.(driver.QueryerContext).QueryContext(ctx, "SELECT c FROM sbtest1 WHERE id = 1", nil)
	if err != nil {
		return err
	}
	return rows.Close()
}
