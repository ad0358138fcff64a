package servers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"syscall"
)

// postgresEndpoint is the name by which RDS would know a PostgreSQL server.
const postgresEndpoint = "orders.abc123." + rdsRegion + ".rds.amazonaws.com"

// Options say what is special about a PostgreSQL server. The zero value is an ordinary one.
type Options struct {
	// Version is "18" or "15". If empty, it is "18".
	Version string

	// Settings are put over those of postgresql.conf. The log must go on being written to standard
	// error, where StartPostgres reads that the server is ready.
	Settings map[string]string

	// HBA are lines of pg_hba.conf that come before all others.
	HBA []string

	// Certificate describes the certificate that the server shows.
	Certificate Certificate

	// NoTLS is a server that can't do TLS, and lets the same roles in without it.
	NoTLS bool

	// SessionToken makes the AWS credentials temporary ones with this session token.
	SessionToken string
}

// A Postgres is a running PostgreSQL server. Its superuser is "postgres".
type Postgres struct {
	Server

	// Passwords of the roles "scram", "md5" and "clear".
	SCRAMPassword string
	MD5Password   string
	ClearPassword string

	options Options
}

// StartPostgres starts a server and returns when it accepts connections. The first call on a machine
// fetches PostgreSQL, which takes about 20 seconds. The server runs until Stop is called or the
// process ends; ctx is only for the start.
func StartPostgres(ctx context.Context, o Options) (*Postgres, error) {
	if o.Version == "" {
		o.Version = "18"
	}
	p := &Postgres{
		SCRAMPassword: newSecret(),
		MD5Password:   newSecret(),
		ClearPassword: newSecret(),
		options:       o,
	}
	if err := p.open(ctx, "pg"+o.Version, postgresEndpoint, o.SessionToken); err != nil {
		return nil, err
	}
	p.engine = engine{
		name:        "PostgreSQL " + o.Version,
		logFile:     "postgres.log",
		prepare:     []func(context.Context) error{p.copyTemplate, p.setPasswords, p.writeCertificates, p.setUpVerifier},
		configure:   p.configure,
		command:     p.command,
		readyLine:   "database system is ready to accept connections",
		portTaken:   "Address already in use",
		stop:        syscall.SIGINT,  // a fast shutdown
		starterDied: syscall.SIGQUIT, // an immediate shutdown, which ends all processes
	}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", p.engine.name, err), p.Stop())
	}
	return p, nil
}

// setPasswords makes the verifier of md5 itself, because PostgreSQL's setting for how to do that
// would need a statement of its own for each kind.
func (p *Postgres) setPasswords(ctx context.Context) error {
	return singleUser(ctx, p.root, p.options.Version, p.folder.inside("data"), "postgres", []string{
		"ALTER ROLE scram PASSWORD '" + p.SCRAMPassword + "'",
		"ALTER ROLE md5 PASSWORD '" + md5Verifier(roleMD5, p.MD5Password) + "'",
		"ALTER ROLE clear PASSWORD '" + p.ClearPassword + "'",
		"ALTER ROLE postgres PASSWORD '" + p.SuperuserPassword + "'",
	})
}

func (p *Postgres) writeCertificates(context.Context) error {
	if p.options.NoTLS {
		return nil
	}
	return p.issueCertificate(p.options.Certificate)
}

func (p *Postgres) configure() error {
	return errors.Join(
		p.folder.write("data/postgresql.conf", p.settings()),
		p.folder.write("pg_hba.conf", p.hba()),
	)
}

func (p *Postgres) command() (program string, args []string) {
	return postgresProgram(p.options.Version, "postgres"), []string{"-D", p.folder.inside("data")}
}

// URL is for a client that connects directly, not through a proxy, and verifies the server's
// certificate as strictly as it can.
func (p *Postgres) URL(user, password string) string {
	query := url.Values{"sslmode": {"disable"}}
	if !p.options.NoTLS {
		query = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {p.CAFile}}
	}
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(user, password),
		Host:     p.Addr(),
		Path:     "/" + p.Database,
		RawQuery: query.Encode(),
	}
	return u.String()
}
