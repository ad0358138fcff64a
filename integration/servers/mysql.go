package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// mysqlEndpoint is the name by which RDS would know a MySQL server.
const mysqlEndpoint = "shop.abc123." + rdsRegion + ".rds.amazonaws.com"

// MySQLOptions say what is special about a MySQL or MariaDB server. The zero value is an ordinary one.
type MySQLOptions struct {
	// Version is "mysql9", "mariadb11" (which is 11.8) or "mariadb10" (10.11). If empty, it is
	// "mysql9".
	Version string

	// Settings are put over those of the server, by the names that SHOW VARIABLES has, such as
	// require_secure_transport. The log must go on being written to standard error.
	Settings map[string]string

	// Certificate describes the certificate that the server shows.
	Certificate Certificate

	// NoTLS is a server that can't do TLS, and lets the same users in without it.
	NoTLS bool

	// SelfSigned is a server that was given no certificate and makes one: MySQL as it does by default,
	// and MariaDB from 11.4 on with its zero-configuration TLS.
	SelfSigned bool

	// Dialog makes MariaDB ask for the passwords of "app" and "clear" with its own plugin dialog, as
	// it does if nobody has set pam_use_cleartext_plugin.
	Dialog bool

	// Outside is a server that listens on an address of this machine other than 127.0.0.1. Servers do
	// not count the errors of clients that come from 127.0.0.1, and never block it.
	Outside bool

	// SessionToken makes the AWS credentials temporary ones with this session token.
	SessionToken string
}

// A MySQL is a running MySQL or MariaDB server. Its superuser is "root".
type MySQL struct {
	Server

	// Passwords of users. Each is called as its field, in lower case. A password is empty if the
	// server does not have the authentication plugin.
	NativePassword  string // mysql_native_password; MariaDB
	SHA2Password    string // caching_sha2_password; MySQL and MariaDB 11.8
	SHA256Password  string // sha256_password; MySQL
	Ed25519Password string // client_ed25519; MariaDB
	ParsecPassword  string // parsec; MariaDB 11.8
	ClearPassword   string // mysql_clear_password, or dialog

	// MFAPassword is the first factor of the user "mfa": caching_sha2_password. The second is
	// mysql_clear_password with ClearPassword. MySQL
	MFAPassword string

	options MySQLOptions
}

// StartMySQL starts a server and returns when it accepts connections. The first call on a machine
// fetches the server, which takes about 20 seconds. The server runs until Stop is called or the
// process ends; ctx is only for the start.
func StartMySQL(ctx context.Context, o MySQLOptions) (*MySQL, error) {
	if o.Version == "" {
		o.Version = mySQL9
	}
	if versions := []string{mySQL9, mariaDB11, mariaDB10}; !slices.Contains(versions, o.Version) {
		return nil, fmt.Errorf("no MySQL server %q\nhint: there are %s", o.Version, strings.Join(versions, ", "))
	}
	m := &MySQL{options: o}
	if o.SelfSigned && m.is(mariaDB10) {
		return nil, errors.New("MariaDB 10.11 makes no certificate for itself\nhint: 11.8 does")
	}
	if err := m.open(ctx, o.Version, mysqlEndpoint, o.SessionToken); err != nil {
		return nil, err
	}
	m.engine = engine{
		name:        o.Version,
		logFile:     "mysql.log",
		prepare:     []func(context.Context) error{m.copyTemplate, m.makeRunDir, m.chooseHost, m.writeUsers, m.writeCertificates, m.setUpVerifier},
		configure:   func() error { return nil },
		command:     m.command,
		readyLine:   "ready for connections",
		portTaken:   "Address already in use",
		stop:        syscall.SIGTERM,
		starterDied: syscall.SIGKILL,
	}
	err := m.start(ctx)
	if err == nil {
		err = m.checkUsers()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", m.engine.name, err), m.Stop())
	}
	return m, nil
}

// checkUsers sees to it that the statements of the new server have all succeeded, of which the server
// only writes to its log. A later start shall leave the users as they are then.
func (m *MySQL) checkUsers() error {
	log, err := os.ReadFile(m.LogFile())
	if err != nil {
		return err
	}
	if strings.Contains(string(log), "[ERROR]") {
		return fmt.Errorf("the server complains:\n%s", complaints(log))
	}
	return os.Remove(m.folder.path(initFile))
}

// Socket is the path of the server's Unix socket. Where a checkout lies deep, it may be too long for
// a client.
func (m *MySQL) Socket() string {
	return m.folder.path(socketFile)
}

// is reports whether the server is of one of the versions.
func (m *MySQL) is(versions ...string) bool {
	return slices.Contains(versions, m.options.Version)
}

func (m *MySQL) makeRunDir(context.Context) error {
	dir := m.folder.path(runDir)
	return errors.Join(os.Mkdir(dir, 0o755), own(dir))
}

// writeCertificates leaves it to MySQL to make a certificate if it finds none, and makes clients trust
// it.
func (m *MySQL) writeCertificates(context.Context) error {
	if m.options.NoTLS || m.options.SelfSigned {
		return nil
	}
	return m.issueCertificate(m.options.Certificate)
}

// command returns the server's program. Its working directory becomes the data directory.
func (m *MySQL) command() (program string, args []string) {
	program = "/usr/sbin/mariadbd"
	if m.is(mySQL9) {
		program = "/usr/sbin/mysqld"
	}
	return program, m.arguments()
}
