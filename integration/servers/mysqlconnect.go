package servers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/go-sql-driver/mysql"
)

// Config is for a client that connects directly, not through a proxy, and verifies the server's
// certificate as strictly as it can. With TLS it sends cleartext passwords if the server asks.
func (m *MySQL) Config(user, password string) (*mysql.Config, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr = "tcp", m.Addr()
	c.User, c.Passwd, c.DBName = user, password, m.Database
	if m.options.NoTLS {
		return c, nil
	}
	c.AllowCleartextPasswords = true
	c.TLS = &tls.Config{ServerName: m.Host}
	if m.CAFile != "" {
		ca, err := os.ReadFile(m.CAFile)
		if err != nil {
			return nil, err
		}
		c.TLS.RootCAs = x509.NewCertPool()
		c.TLS.RootCAs.AppendCertsFromPEM(ca)
	}
	return c, nil
}

// Exec runs a statement as the superuser in the server's Database.
func (m *MySQL) Exec(ctx context.Context, query string, args ...any) error {
	db, err := m.Superuser()
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, query, args...)
	return err
}

// Superuser returns connections of the superuser, which is called root. They are made over the
// server's Unix socket, so that they change nothing in what the server counts for client hosts. The
// caller closes it.
func (m *MySQL) Superuser() (*sql.DB, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.DialFunc = "unix", m.Socket(), dialUnix
	c.User, c.Passwd, c.DBName = "root", m.SuperuserPassword, m.Database
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// dialUnix connects to a socket whose path may be longer than the 107 bytes that the system takes:
// it opens the folder and goes on from there.
func dialUnix(ctx context.Context, _, path string) (net.Conn, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	return d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}
