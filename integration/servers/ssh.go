package servers

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// sshRecipe is the recipe for OpenSSH. What is assumed makes a service of the server.
func sshRecipe() recipe {
	return recipe{
		name:     "openssh",
		suite:    "bookworm",
		user:     SSHUser,
		packages: []string{"openssh-server", "openssh-client", "dash", "libc-bin"},
		assumed: []string{
			"adduser", "debconf", "init-system-helpers", "libpam-runtime", "libpam-modules", "lsb-base", "openssh-sftp-server", "passwd",
			"procps", "runit-helper", "sysvinit-utils", "ucf",
		},
	}
}

// SSHUser is who logs in to an SSH server.
const SSHUser = "bastion"

// SSHOptions say what is special about an SSH server. The zero value is one on which nobody can log in.
type SSHOptions struct {
	Host           string   // where it listens; empty: 127.0.0.1
	Port           int      // 0: a free one
	HostKey        []byte   // a private key in OpenSSH's format; nil: a new one
	AuthorizedKeys []string // lines of authorized_keys
	Settings       []string // lines of sshd_config that come before all others
}

// An SSH is a running OpenSSH server.
type SSH struct {
	Host string
	Port int
	// HostKey is its private host key, and KnownHost the line of known_hosts for it.
	HostKey   []byte
	KnownHost string

	root    *root
	folder  *folder
	process *process
	log     *logFile
}

// Addr returns where the server listens.
func (s *SSH) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// Log returns what the server has written so far.
func (s *SSH) Log() string { return s.log.String() }

// logFile keeps a log in memory.
type logFile struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logFile) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// StartSSH starts an OpenSSH server that forwards connections, and returns when it accepts some. It runs
// until Stop is called or the process ends; ctx is only for the start.
func StartSSH(ctx context.Context, o SSHOptions) (*SSH, error) {
	s := &SSH{Host: o.Host, Port: o.Port, HostKey: o.HostKey, log: new(logFile)}
	if s.Host == "" {
		s.Host = "127.0.0.1"
	}
	var err error
	if s.root, err = openRoot(ctx, "openssh"); err != nil {
		return nil, err
	}
	if s.folder, err = newFolder(ctx, s.root); err != nil {
		return nil, errors.Join(err, s.root.Close())
	}
	if err := s.start(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("start OpenSSH: %w\n%s", err, s.Log()), s.Stop())
	}
	return s, nil
}

// start writes the server's files and starts it.
func (s *SSH) start(ctx context.Context, o SSHOptions) (err error) {
	if s.Port == 0 {
		if s.Port, err = freePort(s.Host); err != nil {
			return err
		}
	}
	if s.HostKey == nil {
		if s.HostKey, err = newHostKey(); err != nil {
			return err
		}
	}
	if s.KnownHost, err = knownHost(s.Host, s.Port, s.HostKey); err != nil {
		return err
	}
	settings := append(o.Settings, []string{
		"ListenAddress " + s.Addr(),
		"HostKey " + s.folder.inside("host_key"),
		"AuthorizedKeysFile " + s.folder.inside("authorized_keys"),
		"PidFile none",
		"StrictModes no", // the root's folders are the test's
		"UsePAM no",
		"PasswordAuthentication no",
		"LogLevel VERBOSE",
	}...)
	if err := errors.Join(
		s.folder.write("host_key", s.HostKey),
		s.folder.write("authorized_keys", []byte(strings.Join(o.AuthorizedKeys, "\n")+"\n")),
		s.folder.write("sshd_config", []byte(strings.Join(settings, "\n")+"\n")),
	); err != nil {
		return err
	}
	// The context is for the start, so it is not the command's.
	cmd := s.root.command(context.WithoutCancel(ctx), "/usr/sbin/sshd", "-D", "-e", "-f", s.folder.inside("sshd_config"))
	s.process, err = startProcess(cmd, s.log, "Server listening on", syscall.SIGKILL)
	if err != nil {
		return err
	}
	select {
	case <-s.process.ready:
		return nil
	case <-s.process.done:
		return errors.New("the server ended at once")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Kill ends the server and all its connections at once.
func (s *SSH) Kill() error {
	if s.process == nil {
		return nil
	}
	p := s.process
	s.process = nil
	return p.kill()
}

// Stop ends the server and removes its files.
func (s *SSH) Stop() error {
	return errors.Join(s.Kill(), s.folder.remove(), s.root.Close())
}

// SSHClient returns a command that runs one of OpenSSH's programs outside of its root, such as ssh-agent,
// ssh-add or ssh-keygen.
func SSHClient(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	r, err := openRoot(ctx, "openssh")
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.clientCommand(ctx, filepath.Join(r.dir, "usr/bin", name), args)
}

// newHostKey makes a private key.
func newHostKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(block), nil
}

// knownHost is the line of known_hosts for a server with this private key.
func knownHost(host string, port int, key []byte) (string, error) {
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		return "", err
	}
	return knownhosts.Line([]string{net.JoinHostPort(host, strconv.Itoa(port))}, signer.PublicKey()), nil
}
