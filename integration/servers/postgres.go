package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// The place in which every server believes it is. Nothing resolves this name; a client has to be
// told to dial the server's Addr, and to verify and sign this name.
const (
	rdsEndpoint = "orders.abc123.us-east-1.rds.amazonaws.com"
	rdsRegion   = "us-east-1"
)

// Options say what is special about a server. The zero value is an ordinary one.
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

// A Postgres is a running PostgreSQL server. Its fields do not change. Its methods may be called
// from several goroutines.
type Postgres struct {
	Host     string // 127.0.0.1
	Port     int
	Database string // a database that all roles may use
	CAFile   string // the certificate of the CA that signed the server's, empty if NoTLS

	// The role "app" logs in with a token for this endpoint (and Port) and region, signed with these
	// credentials.
	Endpoint        string
	Region          string
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // empty unless Options had one

	// Passwords of the roles "scram", "md5", "clear" and "postgres", which is the superuser.
	SCRAMPassword     string
	MD5Password       string
	ClearPassword     string
	SuperuserPassword string

	options     Options
	root        *root
	folder      *folder
	certificate []byte // what the server shows, DER

	mu          sync.Mutex // guards what follows
	log         *os.File
	process     *process // nil if it was killed or stopped
	clockOffset time.Duration
	stopped     bool
}

// StartPostgres starts a server and returns when it accepts connections. The first call on a machine
// fetches PostgreSQL, which takes about 20 seconds. The server runs until Stop is called or the
// process ends; ctx is only for the start.
func StartPostgres(ctx context.Context, o Options) (*Postgres, error) {
	if o.Version == "" {
		o.Version = "18"
	}
	r, err := openRoot(ctx, "pg"+o.Version)
	if err != nil {
		return nil, err
	}
	f, err := newFolder(ctx, r)
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("make a folder for a test server: %w", err)
	}
	p := &Postgres{
		Host:            "127.0.0.1",
		Database:        database,
		Endpoint:        rdsEndpoint,
		Region:          rdsRegion,
		AccessKeyID:     newAccessKeyID(o.SessionToken != ""),
		SecretAccessKey: newSecret(),
		SessionToken:    o.SessionToken,

		SCRAMPassword:     newSecret(),
		MD5Password:       newSecret(),
		ClearPassword:     newSecret(),
		SuperuserPassword: newSecret(),

		options: o,
		root:    r,
		folder:  f,
	}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL %s: %w", o.Version, err), p.Stop())
	}
	return p, nil
}

// LogFile is the server's log. Stop removes it.
func (p *Postgres) LogFile() string {
	return p.folder.path("postgres.log")
}

// VerifierLog is the file with a line for each decision on a token, which for a refusal says the
// reason. Stop removes it.
func (p *Postgres) VerifierLog() string {
	return p.folder.path(verifierLog)
}

// SetClockOffset puts the clock by which tokens are checked forward by d from the real time, or back
// if d is negative.
func (p *Postgres) SetClockOffset(d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clockOffset = d
	return p.writeVerifierConfig(d)
}

// Stop ends the server, as a fast shutdown, and removes its folder. After the first time it does
// nothing.
func (p *Postgres) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil
	}
	p.stopped = true
	started := p.log != nil
	err := p.end()
	if started {
		err = errors.Join(err, p.log.Close())
	}
	if started && err == nil {
		err = errors.Join(
			removeSharedMemory(p.folder.path("data")),
			keepDataDir(p.root, p.folder.path("data"), p.folder.name),
		)
	}
	return errors.Join(err, p.folder.remove(), p.root.Close())
}

// Kill ends all of the server's processes at once, as a crash would. Restart starts it again.
func (p *Postgres) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return nil
	}
	err := p.process.kill()
	p.process = nil
	return err
}

// Restart ends the server, if it is running, and starts it again on the same port with the same
// data.
func (p *Postgres) Restart(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return errors.New("the server was stopped, and its data is gone")
	}
	if err := p.end(); err != nil {
		return err
	}
	return p.run(ctx)
}

// end stops the process if there is one.
func (p *Postgres) end() error {
	if p.process == nil {
		return nil
	}
	// A fast shutdown waits for replication clients that do not answer.
	const patience = 5 * time.Second
	err := p.process.stop(syscall.SIGINT, patience)
	p.process = nil
	return err
}
