package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
)

// start makes the server's files and starts it on a free port.
func (p *Postgres) start(ctx context.Context) error {
	steps := []func(context.Context) error{
		p.copyTemplate, p.setPasswords, p.writeCertificates, p.setUpVerifier, p.openLog,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	// Between the choice of a free port and the server's start, somebody else may take it.
	const attempts = 5
	var err error
	for range attempts {
		if p.Port, err = freePort(p.Host); err != nil {
			return err
		}
		if err = p.run(ctx); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}

func (p *Postgres) copyTemplate(context.Context) error {
	return newDataDir(p.root, p.folder.path("data"))
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
	known, err := newAuthority("dbvalet test CA")
	if err != nil {
		return err
	}
	signer := known
	if p.options.Certificate.Foreign {
		if signer, err = newAuthority("dbvalet foreign test CA"); err != nil {
			return err
		}
	}
	der, key, err := signer.issue(p.options.Certificate, p.Endpoint)
	if err != nil {
		return fmt.Errorf("make the server's certificate: %w", err)
	}
	p.certificate = der
	p.CAFile = p.folder.path("ca.pem")
	return errors.Join(
		writeForAll(p.CAFile, known.pem()),
		p.folder.write("server.crt", certificatePEM(der)),
		p.folder.write("server.key", key),
	)
}

// setUpVerifier leaves the verifier's configuration to run, which knows the port.
func (p *Postgres) setUpVerifier(ctx context.Context) error {
	if err := buildVerifier(ctx, p.folder.path(verifierProgram)); err != nil {
		return err
	}
	if err := writeForAll(p.VerifierLog(), nil); err != nil {
		return err
	}
	if err := own(p.VerifierLog()); err != nil {
		return err
	}
	return writePAMService(p.root, p.folder.name, p.folder.inside(verifierProgram), p.folder.inside(verifierConfig))
}

func (p *Postgres) openLog(context.Context) (err error) {
	p.log, err = os.OpenFile(p.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return err
}

// errPortTaken is the failure for which another port is tried.
var errPortTaken = errors.New("port is taken")

// run starts the server's process on p.Port and waits until it accepts connections.
func (p *Postgres) run(ctx context.Context) error {
	err := errors.Join(
		p.writeVerifierConfig(p.clockOffset),
		p.folder.write("data/postgresql.conf", p.settings()),
		p.folder.write("pg_hba.conf", p.hba()),
	)
	if err != nil {
		return err
	}
	before, err := p.log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	// The context is for the start, so it is not the command's.
	cmd := p.root.command(context.WithoutCancel(ctx), postgresProgram(p.options.Version, "postgres"),
		"-D", p.folder.inside("data"))
	proc, err := startProcess(cmd, p.log, "database system is ready to accept connections")
	if err != nil {
		return err
	}
	select {
	case <-proc.ready:
		p.process = proc
		return nil
	case <-proc.done:
		return p.startError(before)
	case <-ctx.Done():
		return errors.Join(ctx.Err(), proc.kill())
	}
}

// startError returns what the server has written to its log since the size was before.
func (p *Postgres) startError(before int64) error {
	b, err := os.ReadFile(p.LogFile())
	if err != nil {
		return err
	}
	text := b[before:]
	if strings.Contains(string(text), "Address already in use") {
		return fmt.Errorf("%w: %s", errPortTaken, p.Addr())
	}
	return fmt.Errorf("the server ended at once:\n%s", lastLines(text, 12))
}

// freePort returns a port that nobody listens on.
func freePort(host string) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
