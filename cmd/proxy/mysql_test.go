package main

import (
	"log/slog"
	"net"
	"strings"
	"testing"

	"dbvalet/config"
)

func TestMySQLRoutes(t *testing.T) {
	tcp, unix := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 3307}, &net.UnixAddr{Name: "/run/db/mysql.sock", Net: "unix"}
	rows := []struct {
		route, want string // of the command, or of the error
		addr        net.Addr
	}{
		{"mysql://app@db.example.com/orders?auth=env:X", "mysql -h 127.0.0.1 -P 3307 -u app -D orders", tcp},
		{"mariadb://db.example.com?auth=env:X", "mysql -S /run/db/mysql.sock --loose-skip-ssl", unix},
		{"mysql://db.example.com?auth=env:X&require_auth=!password,!mysql_native_password", "mysql -h 127.0.0.1 -P 3307", tcp},
		{"mysql://db.example.com?auth=env:X&sslnegotiation=direct", "an option of PostgreSQL", nil},
		{"mysql://db.example.com?auth=env:X&require_auth=md5", `unknown method "md5"`, nil},
		{"mysql://db.example.com?auth=env:X&tls=zero-config", "mysql -h 127.0.0.1 -P 3307", tcp},
		{"mysql://db.example.com?auth=env:X&tls=zero-config&require_auth=password,dialog,sha256_password", "not for PostgreSQL, for tokens", nil},
		{"mysql://db.example.com?auth=aws-iam&region=us-east-1&tls=zero-config", "not for PostgreSQL, for tokens", nil},
		{"postgres://db.example.com?auth=env:X&tls=zero-config", "not for PostgreSQL, for tokens", nil},
		{"mysql://a.b.us-east-1.rds.amazonaws.com?tls=zero-config", "not for Amazon RDS", nil},
		{"mysql://db.example.com?auth=env:X&tls=zero-config&ca=system", "looks at no CA", nil},
	}
	for _, row := range rows {
		t.Run(row.route, func(t *testing.T) {
			r, err := config.ParseRoute(row.route)
			if err != nil {
				t.Fatal(err)
			}
			s, err := build(r, newOverall(0, 0, 0), slog.New(slog.DiscardHandler))
			if row.addr == nil {
				if err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("got %v, want %q", err, row.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.target(row.addr).For("mysql"); err != nil || got != row.want {
				t.Errorf("got %q, %v, want %q", got, err, row.want)
			}
			if r.Port != "3306" || s.protocol.socketName != "mysql.sock" {
				t.Errorf("port %s, socket %s", r.Port, s.protocol.socketName)
			}
		})
	}
}
