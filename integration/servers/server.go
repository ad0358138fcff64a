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

// The region in which every server believes it is. Nothing resolves the names of servers in it; a
// client has to be told to dial the server's Addr, and to verify and sign its Endpoint.
const rdsRegion = "us-east-1"

// A Server is what servers of all kinds have in common. Its fields do not change. Its methods may be
// called from several goroutines.
type Server struct {
	Host     string // 127.0.0.1, but see MySQLOptions.Outside
	Port     int
	Database string // a database that all users may use
	CAFile   string // the certificate of the CA that signed the server's, empty if there is none

	// The user "app" logs in with a token for this endpoint (and Port) and region, signed with these
	// credentials.
	Endpoint        string
	Region          string
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // empty unless the options had one

	// SuperuserPassword is that of the user who may do everything.
	SuperuserPassword string

	engine      engine
	root        *root
	folder      *folder
	authority   *authority        // of CAFile, nil if there is none
	certificate []byte            // what the server shows, DER; nil if it makes its own
	passwords   map[string]string // what the verifier accepts instead of a token, by user

	mu          sync.Mutex // guards what follows
	log         *os.File
	process     *process // nil if it was killed or stopped
	clockOffset time.Duration
	judge       *judge // nil if nobody replaces the rules of RDS
	stopped     bool
}

// An engine is what the kinds of servers do differently.
type engine struct {
	name    string // for errors, such as "PostgreSQL 18"
	logFile string

	// prepare are the steps before the first start.
	prepare []func(context.Context) error

	// configure writes what depends on the port.
	configure func() error

	// command returns the program of the server's main process, and its arguments.
	command func() (program string, args []string)

	// What the server writes to its log when it accepts connections, and when its port is taken.
	readyLine, portTaken string

	// stop asks the main process for an end that does not wait for clients; starterDied is sent to it
	// if the process that started it ends, and must end it at once.
	stop, starterDied syscall.Signal
}

// open makes the server's folder and secrets.
func (s *Server) open(ctx context.Context, rootName, endpoint, sessionToken string) error {
	r, err := openRoot(ctx, rootName)
	if err != nil {
		return err
	}
	f, err := newFolder(ctx, r)
	if err != nil {
		r.Close()
		return fmt.Errorf("make a folder for a test server: %w", err)
	}
	s.Host = "127.0.0.1"
	s.Database = database
	s.Endpoint = endpoint
	s.Region = rdsRegion
	s.AccessKeyID = newAccessKeyID(sessionToken != "")
	s.SecretAccessKey = newSecret()
	s.SessionToken = sessionToken
	s.SuperuserPassword = newSecret()
	s.root, s.folder = r, f
	return nil
}

// LogFile is the server's log. Stop removes it.
func (s *Server) LogFile() string {
	return s.folder.path(s.engine.logFile)
}

// VerifierLog is the file with a line for each decision on a token, which for a refusal says the
// reason. Stop removes it.
func (s *Server) VerifierLog() string {
	return s.folder.path(verifierLog)
}

// SetClockOffset puts the clock by which tokens are checked forward by d from the real time, or back
// if d is negative.
func (s *Server) SetClockOffset(d time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clockOffset = d
	return s.writeVerifierConfig(d)
}

// Stop ends the server, without waiting for its clients, and removes its folder. After the first time
// it does nothing.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	started := s.log != nil
	err := s.end()
	if s.judge != nil {
		s.judge.close()
	}
	if started {
		err = errors.Join(err, s.log.Close())
	}
	if started && err == nil {
		err = errors.Join(
			removeSharedMemory(s.folder.path("data")),
			keepDataDir(s.root, s.folder.path("data"), s.folder.name),
		)
	}
	return errors.Join(err, s.folder.remove(), s.root.Close())
}

// Kill ends all of the server's processes at once, as a crash would. Restart starts it again.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	err := s.process.kill()
	s.process = nil
	return err
}

// Restart ends the server, if it is running, and starts it again on the same port with the same
// data.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errors.New("the server was stopped, and its data is gone")
	}
	if err := s.end(); err != nil {
		return err
	}
	return s.runAgain(ctx)
}

// runAgain is run for a server whose port has been free for a while: a connection of somebody else's may
// have begun there, and is waited for.
func (s *Server) runAgain(ctx context.Context) error {
	const attempts, pause = 60, 500 * time.Millisecond
	var err error
	for range attempts {
		if err = s.run(ctx); !errors.Is(err, errPortTaken) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
	return err
}

// end stops the process if there is one.
func (s *Server) end() error {
	if s.process == nil {
		return nil
	}
	// PostgreSQL waits for replication clients that do not answer.
	const patience = 5 * time.Second
	err := s.process.stop(s.engine.stop, patience)
	s.process = nil
	return err
}
