package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ListenError says why there is no listener, and what to do about it.
type ListenError struct {
	Addr   string
	Err    error
	Advice string
}

func (e *ListenError) Error() string { return fmt.Sprintf("listen on %s: %v", e.Addr, e.Err) }
func (e *ListenError) Unwrap() error { return e.Err }

// Hint returns the next step.
func (e *ListenError) Hint() string { return e.Advice }

// Listen opens the listeners that addr stands for:
//
//	127.0.0.1:5432, [::1]:5432   one; port 0 takes a free one
//	localhost:5432               both of these, or the one that the machine has
//	/run/db                      a unix socket in this directory, with the name that clients of the
//	                             protocol look for, socketName
//	/run/db/x.sock               a unix socket of this name
//
// There is no password on this side, so nothing but the machine itself is listened to. The error is
// a *ListenError.
func Listen(addr, socketName string) ([]net.Listener, error) {
	if filepath.IsAbs(addr) {
		path := addr
		if !isSocketPath(addr) {
			path = filepath.Join(addr, socketName)
		}
		ln, err := listenUnix(path)
		if err != nil {
			return nil, err
		}
		return []net.Listener{ln}, nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, &ListenError{addr, err, "write an address like 127.0.0.1:5432, or the absolute path of a directory for a unix socket"}
	}
	if host == "localhost" {
		return listenLocalhost(port)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, &ListenError{addr, errors.New("not an address of this machine alone"),
			"there is no password on this side: listen on 127.0.0.1, [::1], localhost or a unix socket"}
	}
	ln, err := listenTCP(addr)
	if err != nil {
		return nil, err
	}
	return []net.Listener{ln}, nil
}

// isSocketPath tells the path of a socket from the path of a directory for one.
func isSocketPath(path string) bool {
	return strings.HasPrefix(filepath.Base(path), ".s.") || strings.HasSuffix(path, ".sock")
}

// listenLocalhost listens on the same port of both families.
func listenLocalhost(port string) ([]net.Listener, error) {
	v4, err := listenTCP(net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, err
	}
	_, port, _ = net.SplitHostPort(v4.Addr().String())
	v6, err := listenTCP(net.JoinHostPort("::1", port))
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
		return []net.Listener{v4}, nil // a machine without IPv6, as many containers are
	}
	if err != nil {
		v4.Close()
		return nil, err
	}
	return []net.Listener{v4, v6}, nil
}

func listenTCP(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err == nil {
		return ln, nil
	}
	advice := "check address and port in listen="
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = "something listens there already, perhaps a database; choose another port in listen="
	case errors.Is(err, syscall.EACCES):
		advice = "ports below 1024 need a privilege; choose a higher one in listen="
	}
	return nil, &ListenError{addr, dialCause(err), advice}
}

// listenUnix listens on a socket that only the own user can connect to.
func listenUnix(path string) (net.Listener, error) {
	fail := func(err error, advice string) (net.Listener, error) {
		return nil, &ListenError{path, err, advice}
	}
	if len(path) > maxSocketPath {
		return fail(fmt.Errorf("the path has %d bytes, and a socket's has at most %d", len(path), maxSocketPath), "choose a shorter directory in listen=")
	}
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fail(err, "make the directory, or choose another in listen=")
	}
	switch info, err := os.Stat(dir); {
	case err != nil:
		return fail(err, "make the directory, or choose another in listen=")
	case !info.IsDir():
		return fail(errors.New(dir+" is not a directory"), "choose a directory in listen=")
	case info.Mode().Perm()&0o022 != 0:
		return fail(fmt.Errorf("others may write to %s (%v), and so replace the socket", dir, info.Mode()),
			"choose a directory of your own in listen=, with mode 0700 or 0755")
	}
	if err := removeStale(path); err != nil {
		return fail(err, "another dbvalet, or a database, serves there; stop it, or choose another directory in listen=")
	}
	ln, err := listenPrivately(path)
	if err != nil {
		return fail(dialCause(err), "check that the directory can be written to and that its file system has room")
	}
	return ln, nil
}

// maxSocketPath is the longest path of a socket, in bytes: sun_path of Linux less its final zero.
const maxSocketPath = 107

// removeStale removes a socket that nobody listens on any more, such as one left by a program that
// was killed.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is something else of this name")
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return errors.New("somebody listens there already")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
