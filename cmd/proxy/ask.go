package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dbvalet/proxy"
)

// maxAnswer is how long an answer may be, in bytes; a status has some 500 for each session.
const maxAnswer = 64 << 20

// An asker asks the admin endpoints of a dbvalet that runs.
type asker struct {
	flag string // --admin
	// configured returns what the configuration says about --admin, where neither the flag nor the
	// environment does; nil: there is none.
	configured func() (string, error)
	timeout    time.Duration
}

// An askError says why there was no good answer, and what to do.
type askError struct {
	err    error
	advice string
	final  bool // to ask again is useless
}

// Error returns text without terminal controls: some of it may come from whoever listens in place of dbvalet.
func (e *askError) Error() string { return proxy.Printable(e.err.Error()) }
func (e *askError) Unwrap() error { return e.err }

// Hint returns the next step.
func (e *askError) Hint() string { return e.advice }

// address returns where the endpoints are.
func (a *asker) address() (network, addr string, err error) {
	addr = cmp.Or(a.flag, os.Getenv("DBVALET_ADMIN"))
	if addr == "" && a.configured != nil {
		if addr, err = a.configured(); err != nil {
			return "", "", err
		}
	}
	if addr == "" {
		addr = ownAdmin()
		a.flag = addr // so that it is known where to look when it has gone
	}
	wrong := func(text, advice string) (string, string, error) {
		return "", "", usageError{&askError{errors.New(text), advice, true}}
	}
	switch {
	case addr == "":
		return wrong("nothing says where the admin endpoints of dbvalet are",
			"give this command and dbvalet itself the same --admin=ADDR, or DBVALET_ADMIN=ADDR, such as /run/dbvalet or 127.0.0.1:9901; one that you start in a terminal is found without")
	case strings.HasPrefix(addr, "systemd:"):
		return wrong("--admin="+addr+": only the service itself can tell where this is", "give this command ListenStream= of the .socket unit in --admin=")
	case filepath.IsAbs(addr):
		if info, err := os.Stat(addr); err == nil && info.IsDir() {
			addr = filepath.Join(addr, adminSocket)
		}
		return "unix", addr, nil
	}
	_, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil:
		return wrong(fmt.Sprintf("--admin=%s: %v", addr, err), "write an address like 127.0.0.1:9901, or the path of a unix socket or its directory")
	case port == "0":
		return wrong("--admin="+addr+": port 0 is any free port", "give both a port, or look for \"admin ready\" in the log")
	}
	return "tcp", addr, nil
}

// ask sends one request, and returns the answer's status and body. The error is an *askError, or one of
// usage.
func (a *asker) ask(ctx context.Context, method, path string) (status int, body string, err error) {
	network, addr, err := a.address()
	if err != nil {
		return 0, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, nil)
	if err != nil {
		return 0, "", err
	}
	// No proxy, no redirect, no second connection: it is this one address, or nobody.
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, "", noAnswer(addr, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, "", noAnswer(addr, err)
	case len(text) > maxAnswer:
		return 0, "", &askError{fmt.Errorf("the answer of %s is longer than %s", addr, byteCount(maxAnswer)), "check that --admin= is the one of dbvalet", true}
	}
	body = string(text)
	switch response.StatusCode {
	case http.StatusOK, http.StatusServiceUnavailable:
		return response.StatusCode, body, nil
	case http.StatusForbidden:
		return 0, "", &askError{fmt.Errorf("dbvalet at %s refuses to answer: %s", addr, strings.TrimSpace(body)), "run this as the user that runs dbvalet, or as root", true}
	case http.StatusNotFound:
		return 0, "", &askError{fmt.Errorf("what listens on %s has no %s", addr, path), "check that --admin= is the one of dbvalet, of this version", true}
	}
	return 0, "", &askError{fmt.Errorf("dbvalet at %s answers %s: %s", addr, response.Status, strings.TrimSpace(body)), "check that --admin= is the one of dbvalet", true}
}

// printableLines is proxy.Printable for an answer of several lines.
func printableLines(text string) string {
	var all strings.Builder
	for line := range strings.Lines(text) {
		line, ended := strings.CutSuffix(line, "\n")
		all.WriteString(proxy.Printable(line))
		if ended {
			all.WriteByte('\n')
		}
	}
	return all.String()
}

// noAnswer explains why nobody has answered.
func noAnswer(addr string, err error) error {
	cause := err
	if op, ok := errors.AsType[*net.OpError](err); ok {
		cause = op.Err
	}
	e := &askError{err: fmt.Errorf("ask dbvalet at %s: %w", addr, cause)}
	switch {
	case isGone(err):
		e.advice = "nothing listens there: start dbvalet with this --admin=, or correct it"
	case errors.Is(err, fs.ErrPermission):
		e.advice, e.final = "run this as the user that runs dbvalet, or as root", true
	case errors.Is(err, context.DeadlineExceeded):
		e.advice = "give it more time with --timeout"
	default:
		e.advice = "check that --admin= is the one of dbvalet"
	}
	return e
}

// isGone reports whether err says that nobody listens.
func isGone(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

// flags gives cmd those that all have.
func (a *asker) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.flag, "admin", "", "`ADDR` of the admin endpoints, as dbvalet was given it (default: DBVALET_ADMIN, the configuration, or the dbvalet in your terminal)")
}
