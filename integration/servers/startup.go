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
func (s *Server) start(ctx context.Context) error {
	for _, step := range append(s.engine.prepare, s.openLog) {
		if err := step(ctx); err != nil {
			return err
		}
	}
	// Between the choice of a free port and the server's start, somebody else may take it.
	const attempts = 5
	var err error
	for range attempts {
		if s.Port, err = freePort(s.Host); err != nil {
			return err
		}
		if err = s.run(ctx); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}

func (s *Server) copyTemplate(context.Context) error {
	return newDataDir(s.root, s.folder.path("data"))
}

// issueCertificate makes the server's certificate, and the file of the CA that clients shall trust.
func (s *Server) issueCertificate(c Certificate) error {
	known, err := newAuthority("dbvalet test CA")
	if err != nil {
		return err
	}
	signer := known
	if c.Foreign {
		if signer, err = newAuthority("dbvalet foreign test CA"); err != nil {
			return err
		}
	}
	if c.Names == nil {
		c.Names = []string{"localhost", s.Host, s.Endpoint}
	}
	der, key, err := signer.issue(c, s.Endpoint)
	if err != nil {
		return fmt.Errorf("make the server's certificate: %w", err)
	}
	s.authority, s.certificate = known, der
	s.CAFile = s.folder.path("ca.pem")
	return errors.Join(
		writeForAll(s.CAFile, known.pem()),
		s.folder.write("server.crt", certificatePEM(der)),
		s.folder.write("server.key", key),
	)
}

// setUpVerifier leaves the verifier's configuration to run, which knows the port.
func (s *Server) setUpVerifier(ctx context.Context) error {
	if err := buildVerifier(ctx, s.folder.path(verifierProgram)); err != nil {
		return err
	}
	if err := writeForAll(s.VerifierLog(), nil); err != nil {
		return err
	}
	if err := own(s.VerifierLog()); err != nil {
		return err
	}
	return writePAMService(s.root, s.folder.name, s.folder.inside(verifierProgram), s.folder.inside(verifierConfig))
}

func (s *Server) openLog(context.Context) (err error) {
	s.log, err = os.OpenFile(s.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return err
}

// errPortTaken is the failure for which another port is tried.
var errPortTaken = errors.New("port is taken")

// run starts the server's process on s.Port and waits until it accepts connections.
func (s *Server) run(ctx context.Context) error {
	if err := errors.Join(s.writeVerifierConfig(s.clockOffset), s.engine.configure()); err != nil {
		return err
	}
	before, err := s.log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	// The context is for the start, so it is not the command's.
	program, args := s.engine.command()
	cmd := s.root.command(context.WithoutCancel(ctx), program, args...)
	proc, err := startProcess(cmd, s.log, s.engine.readyLine, s.engine.starterDied)
	if err != nil {
		return err
	}
	select {
	case <-proc.ready:
		s.process = proc
		return nil
	case <-proc.done:
		return s.startError(before)
	case <-ctx.Done():
		return errors.Join(ctx.Err(), proc.kill())
	}
}

// startError returns what the server has written to its log since the size was before.
func (s *Server) startError(before int64) error {
	b, err := os.ReadFile(s.LogFile())
	if err != nil {
		return err
	}
	text := b[before:]
	if strings.Contains(string(text), s.engine.portTaken) {
		return fmt.Errorf("%w: %s", errPortTaken, s.Addr())
	}
	return fmt.Errorf("the server ended at once:\n%s", complaints(text))
}

// complaints returns the lines of a log that MySQL calls errors, since it goes on to tell how it shuts
// down; or else the last lines.
func complaints(log []byte) string {
	var errs strings.Builder
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "[ERROR]") {
			errs.WriteString(line)
		}
	}
	if errs.Len() > 0 {
		return errs.String()
	}
	return lastLines(log, 12)
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
