package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"dbvalet/integration/servers"
)

// TestClientsThatInsistOnTLSAreServed has real clients with the settings that fail where there is no
// TLS, of all kinds that there are.
func TestClientsThatInsistOnTLSAreServed(t *testing.T) {
	p := pg18(t)
	ca := newLocalCA(t)
	files := fmt.Sprintf("&local_tls=%s&local_tls_key=%s&local_client_ca=%s", ca.server, ca.serverKey, ca.file)
	v := start(t, append(p.AWSEnvironment(), "LOCAL_PW="+localPW), iamRoute(p, "local_tls=auto", "name=tls"),
		iamRoute(p, "local_tls=auto", "local_password=env:LOCAL_PW", "name=password"), iamRoute(p, "name=certificates")+files)
	conninfo := func(i int, more string) string {
		host, port, _ := net.SplitHostPort(v.addrs[i])
		return "host=" + host + " port=" + port + " user=whoever dbname=orders " + more
	}
	certificate := "sslcert=" + ca.client + " sslkey=" + ca.clientKey + " "
	for _, row := range []struct {
		name, conninfo, want string // want is in what psql prints
	}{
		{"require", conninfo(0, "sslmode=require"), "served TLS"},
		{"prefer", conninfo(0, ""), "served TLS"},
		{"disable", conninfo(0, "sslmode=disable"), "served in clear"},
		{"direct", conninfo(0, "sslmode=require sslnegotiation=direct"), "served TLS"},
		{"verify-full, of a certificate of its own", conninfo(0, "sslmode=verify-full sslrootcert="+ca.file), "certificate verify failed"},
		{"password", conninfo(1, "sslmode=require password='"+localPW+"'"), "served TLS"},
		{"password in clear", conninfo(1, "sslmode=disable password='"+localPW+"'"), "served in clear"},
		{"wrong password", conninfo(1, "sslmode=require password=wrong"), "password authentication failed"},
		{"channel binding", conninfo(1, "sslmode=require channel_binding=require password='"+localPW+"'"), "served TLS"},
		{"require_auth", conninfo(1, "sslmode=require require_auth=scram-sha-256 password='"+localPW+"'"), "served TLS"},
		{"newest protocol", conninfo(1, "sslmode=require min_protocol_version=3.2 max_protocol_version=3.2 password='"+localPW+"'"), "served TLS"},
		{"client certificate", conninfo(2, certificate+"sslmode=verify-full sslrootcert="+ca.file), "served TLS"},
		{"no client certificate", conninfo(2, "sslmode=require"), "alert certificate required"},
		{"no TLS where a certificate is asked for", conninfo(2, "sslmode=disable"), "encrypted connections only"},
	} {
		t.Run(row.name, func(t *testing.T) {
			stdout, stderr, _ := client(t, "18", "psql", "-X", "-w", "-A", "-t", "-c", `\conninfo`, "-c", "SELECT 'served'", row.conninfo)
			got := stderr
			if strings.Contains(stdout, "served") {
				got = "served in clear"
				if strings.Contains(stdout, "TLS") || strings.Contains(stdout, "SSL Connection|true") {
					got = "served TLS"
				}
			}
			if !strings.Contains(got, row.want) {
				t.Errorf("got %q (%s), want %q", got, stdout, row.want)
			}
		})
	}
	t.Run("lib/pq as it is", func(t *testing.T) {
		db, err := sql.Open("postgres", conninfo(0, ""))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if got := ask(t, db, "SELECT current_user"); got != "app" {
			t.Errorf("got %q", got)
		}
	})
}

// TestMySQLClientsThatInsistOnTLSAreServed does the same for MySQL and MariaDB.
func TestMySQLClientsThatInsistOnTLSAreServed(t *testing.T) {
	m := mysqlServer(t, servers.MySQLOptions{Version: "mysql9"})
	v := start(t, append(m.AWSEnvironment(), "LOCAL_PW="+localPW), mysqlRoute("app", m, "local_tls=auto", "name=tls"),
		mysqlRoute("app", m, "local_tls=auto", "local_password=env:LOCAL_PW", "name=password"))
	const sql = "SELECT CONCAT('served ', CURRENT_USER())"
	for _, row := range []struct {
		name, version, program string
		route                  int
		args                   []string
		want                   string
	}{
		{"mysql", "mysql9", "mysql", 0, []string{"--ssl-mode=REQUIRED"}, "served app@%"},
		{"mysql without", "mysql9", "mysql", 0, []string{"--ssl-mode=DISABLED"}, "served app@%"},
		{"mysql with the password", "mysql9", "mysql", 1, []string{"--ssl-mode=REQUIRED", "--password=" + localPW}, "served app@%"},
		{"mysql with the password in clear", "mysql9", "mysql", 1, []string{"--ssl-mode=DISABLED", "--password=" + localPW}, "served app@%"},
		{"mysql with a wrong password", "mysql9", "mysql", 1, []string{"--ssl-mode=REQUIRED", "--password=wrong"}, "ERROR 1045 (28000)"},
		{"mysql without the password", "mysql9", "mysql", 1, []string{"--ssl-mode=REQUIRED"}, "ERROR 1045 (28000)"},
		{"mariadb 11", "mariadb11", "mariadb", 0, []string{"--ssl", "--disable-ssl-verify-server-cert"}, "served app@%"},
		{"mariadb 11 with the password", "mariadb11", "mariadb", 1, []string{"--ssl", "--disable-ssl-verify-server-cert", "--password=" + localPW}, "served app@%"},
		{"mariadb 10 with the password", "mariadb10", "mariadb", 1, []string{"--ssl", "--password=" + localPW}, "served app@%"},
	} {
		t.Run(row.name, func(t *testing.T) {
			host, port, _ := net.SplitHostPort(v.addrs[row.route])
			cmd, err := servers.MySQLClient(t.Context(), row.version, row.program, append(row.args, "-h", host, "-P", port, "-u", "whoever", "-N", "-B", "-e", sql)...)
			if err != nil {
				t.Fatal(err)
			}
			if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), row.want) {
				t.Errorf("got %q, want %q", out, row.want)
			}
		})
	}
	t.Run("go-sql-driver", func(t *testing.T) {
		for _, encrypted := range []string{"skip-verify", "false"} {
			db := mysqlDB(t, v.addrs[1], "whoever", localPW, func(c *mysql.Config) { c.TLSConfig = encrypted })
			if got := ask(t, db, "SELECT CURRENT_USER()"); got != "app@%" {
				t.Errorf("got %q", got)
			}
		}
	})
}

// A localCA vouches for both ends of a client's connection.
type localCA struct{ file, server, serverKey, client, clientKey string }

func newLocalCA(t *testing.T) localCA {
	t.Helper()
	dir := t.TempDir()
	caKey, caCert := newKey(t), &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "local"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	write := func(name, kind string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	issue := func(name string, cert *x509.Certificate) (certFile, keyFile string) {
		key := caKey
		if cert != caCert {
			key = newKey(t)
		}
		der, err := x509.CreateCertificate(rand.Reader, cert, caCert, key.Public(), caKey)
		if err != nil {
			t.Fatal(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return write(name+".pem", "CERTIFICATE", der), write(name+".key", "PRIVATE KEY", private)
	}
	leaf := func(usage x509.ExtKeyUsage) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		}
	}
	var ca localCA
	ca.file, _ = issue("ca", caCert)
	ca.server, ca.serverKey = issue("server", leaf(x509.ExtKeyUsageServerAuth))
	ca.client, ca.clientKey = issue("client", leaf(x509.ExtKeyUsageClientAuth))
	return ca
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestRunsWithoutRightsOnAReadOnlySystem runs dbvalet as containers do: as a user without a name or
// rights, in a file system that nothing can be written to but the directory of its socket.
func TestRunsWithoutRightsOnAReadOnlySystem(t *testing.T) {
	needsUsers(t)
	dir := ownersDir(t)
	p := pg18(t)
	_, port, _ := net.SplitHostPort(p.Addr())
	plain := filepath.Join(dir, "dbvalet")
	if data, err := os.ReadFile(plainProgram); err != nil || os.WriteFile(plain, data, 0o755) != nil {
		t.Fatal(err)
	}
	ca, sockets := readable(t, dir, p.CAFile), filepath.Join(dir, "sockets")
	if err := os.Mkdir(sockets, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, plain, []string{"PG_PW=" + p.SCRAMPassword, "HOME=/nonexistent"}, "--admin="+sockets,
		"postgres://scram@"+p.Endpoint+":"+port+"/orders?auth=env:PG_PW&dial="+p.Addr()+"&ca="+ca+"&socket_mode=0666&allow=any&listen="+sockets)
	const script = `mount -t tmpfs -o mode=0755,uid=59433,gid=59433 none "$1" && mount -o remount,bind,ro / && shift &&
		exec setpriv --reuid=59433 --regid=59433 --clear-groups --bounding-set=-all --no-new-privs -- "$@"`
	inside := exec.Command("unshare", append([]string{"--mount", "sh", "-c", script, "sh", sockets}, cmd.Args...)...)
	inside.Env = cmd.Env
	v := startCommand(t, inside, 1)
	if r := v.next("landlock", 0); !strings.HasPrefix(r.str("status"), "files") && r.str("status") != "not supported by this kernel" {
		t.Errorf("the log says %v", r)
	}
	// What is in its directory is seen by way of its own root.
	root := fmt.Sprintf("/proc/%d/root", v.cmd.Process.Pid)
	host := root + sockets
	stdout, stderr, err := client(t, "18", "psql", "-X", "-w", "-A", "-t", "-c", "SELECT current_user", "host="+host+" port="+port+" user=whoever dbname=orders")
	if strings.TrimSpace(stdout) != "scram" {
		t.Errorf("got %q, %q, %v; dbvalet said:\n%s", stdout, stderr, err, v.output())
	}
	for name, call := range map[string]error{
		"its environment": readError(fmt.Sprintf("/proc/%d/environ", v.cmd.Process.Pid)),
		"its memory":      readError(fmt.Sprintf("/proc/%d/maps", v.cmd.Process.Pid)),
	} {
		if call == nil {
			t.Errorf("another process of the same user can read %s", name)
		}
	}
	admin := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", host+"/dbvalet-admin.sock")
	}}}
	answer, err := admin.Get("http://localhost/status")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var status struct {
		Routes []struct {
			Sessions int `json:"sessions"`
		} `json:"routes"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&status); err != nil || len(status.Routes) != 1 || status.Routes[0].Sessions != 1 {
		t.Errorf("got status %+v, %v, want one session of one route", status, err)
	}
}

// readError returns the error that a program of the user 59433 gets who reads path.
func readError(path string) error {
	cmd := exec.Command("cat", path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner, Gid: owner}}
	return cmd.Run()
}
