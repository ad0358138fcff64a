package tunnel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// A dialFunc opens a connection, as net.Dialer.DialContext does.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// A bastion is an SSH hop: an SSH connection that is made when it is needed, and shared.
type bastion struct {
	host   *sshHost
	under  dialFunc // leads to it
	timing timing
	log    *slog.Logger

	mu      sync.Mutex
	link    *link          // the one for what is dialled; nil: none
	links   map[*link]bool // those that have not ended: it, and doubted ones
	attempt *attempt       // to make one; nil: nobody does
	closed  bool
}

// An attempt makes a link for all who wait for it. It goes on where one of them has left.
type attempt struct {
	done   chan struct{}
	cancel context.CancelFunc
	link   *link
	err    error
}

var errClosed = errors.New("the route is no longer served")

// dial opens a connection from the bastion. Where the SSH connection turns out to have ended, or is silent,
// a new one is made, once.
func (b *bastion) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, lost, err := b.try(ctx, network, address, nil)
	if errors.Is(err, errLost) && ctx.Err() == nil {
		conn, _, err = b.try(ctx, network, address, lost)
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return nil, e
	}
	return conn, err
}

// try opens a connection on the link that there is, but for one.
func (b *bastion) try(ctx context.Context, network, address string, but *link) (net.Conn, *link, error) {
	l, err := b.get(ctx, but)
	if err != nil {
		return nil, nil, err
	}
	conn, err := l.dial(ctx, network, address, func() { b.release(l) })
	if err != nil {
		b.release(l)
		return nil, l, err
	}
	return conn, l, nil
}

// get returns the link, which counts one more user. If there is none, or the one that there is has
// ended, one is made.
func (b *bastion) get(ctx context.Context, but *link) (*link, error) {
	b.mu.Lock()
	if l := b.link; l != nil && l != but && l.sound() {
		b.use(l)
		b.mu.Unlock()
		return l, nil
	}
	a, err := b.begin()
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		return nil, &Error{Hop: b.host.hop.String(), Err: fmt.Errorf("log in: %w", context.Cause(ctx)), Advice: "check the way there, and whether the SSH agent is waiting for an answer"}
	}
	if a.err != nil {
		return nil, a.err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.use(a.link)
	return a.link, nil
}

// begin returns the attempt that is under way, or a new one. The bastion is locked.
func (b *bastion) begin() (*attempt, error) {
	if b.closed {
		return nil, &Error{Hop: b.host.hop.String(), Err: errClosed, Permanent: true}
	}
	if b.attempt == nil {
		ctx, cancel := context.WithTimeoutCause(context.Background(), b.timing.login, os.ErrDeadlineExceeded)
		b.attempt = &attempt{done: make(chan struct{}), cancel: cancel}
		go b.run(ctx, b.attempt)
	}
	return b.attempt, nil
}

// run makes an attempt.
func (b *bastion) run(ctx context.Context, a *attempt) {
	defer a.cancel()
	began := time.Now()
	l, err := b.connect(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	defer close(a.done)
	b.attempt = nil
	switch {
	case err != nil:
		a.err = err
		return
	case b.closed:
		go l.end(errClosed)
		a.err = &Error{Hop: b.host.hop.String(), Err: errClosed, Permanent: true}
		return
	}
	a.link, b.link = l, l
	if l.why() == nil { // else nobody would take it off again
		b.links[l] = true
	}
	b.watchIdleness(l)
	b.log.Info("SSH connection open", "via", b.host.hop.String(), "server", printable(string(l.client.ServerVersion())), "took", time.Since(began).Round(time.Millisecond))
}

// use counts a user more. The bastion is locked.
func (b *bastion) use(l *link) {
	l.users++
	l.idle.Stop()
}

// release counts a user less.
func (b *bastion) release(l *link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.users--; l.users == 0 {
		b.watchIdleness(l)
	}
}

// watchIdleness has l closed if nobody uses it for a while, and at once if nobody will. The bastion is
// locked.
func (b *bastion) watchIdleness(l *link) {
	idle := b.timing.idle
	if !l.sound() {
		idle = 0
	}
	l.idle = time.AfterFunc(idle, func() { b.rest(l) })
}

var errIdle = errors.New("nothing has used the SSH connection for a while")

// rest closes l, if it is still not used.
func (b *bastion) rest(l *link) {
	b.mu.Lock()
	idle := l.users == 0
	if idle && b.link == l {
		b.link = nil
	}
	b.mu.Unlock()
	switch {
	case idle && isClosed(l.doubted):
		l.end(errSilent)
	case idle:
		l.end(errIdle)
	}
}

// ended notes that l has ended.
func (b *bastion) ended(l *link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.links, l)
	if b.link == l {
		b.link = nil
	}
	if l.idle != nil {
		l.idle.Stop()
	}
	why := *l.line.why.Load()
	level := slog.LevelInfo
	if l.users > 0 && !b.closed {
		level = slog.LevelWarn
	}
	b.log.Log(context.Background(), level, "SSH connection ended", "via", b.host.hop.String(), "why", why, "sessions", l.users)
}

// close ends the links, and with them what is on them.
func (b *bastion) close() {
	b.mu.Lock()
	b.closed = true
	links, a := slices.Collect(maps.Keys(b.links)), b.attempt
	b.mu.Unlock()
	if a != nil {
		a.cancel()
		<-a.done
	}
	for _, l := range links {
		l.end(errClosed)
		<-l.over
	}
}

// connect opens an SSH connection and logs in. Its errors are *Errors.
func (b *bastion) connect(ctx context.Context) (*link, error) {
	s := b.host
	keys, failure := s.newHostKeys()
	if failure != nil {
		return nil, failure
	}
	conn, err := b.under(ctx, "tcp", net.JoinHostPort(s.name, s.port))
	if err != nil {
		return nil, unreached(s.hop, err)
	}
	ring, failure := s.newKeyring(ctx)
	if failure != nil {
		conn.Close()
		if ctx.Err() != nil { // the agent's answer did not come in time
			return nil, s.late(ctx)
		}
		return nil, failure
	}
	defer ring.close()
	line := &lifeline{Conn: conn}
	stop := context.AfterFunc(ctx, func() {
		conn.Close()
		ring.close()
	})
	defer stop()
	config := &ssh.ClientConfig{
		User: s.user, HostKeyAlgorithms: keys.algorithms(), HostKeyCallback: keys.check,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(ring.signers...)}, AuthCallback: ring.goOn,
	}
	transport, channels, requests, err := ssh.NewClientConn(line, s.keyName, config)
	if err != nil {
		return nil, s.explainLogin(ctx, err, ring, config.HostKeyAlgorithms)
	}
	return newLink(s.hop, b.timing, ssh.NewClient(transport, channels, requests), line, b.ended), nil
}

// late is the error of a login for which ctx has ended.
func (s *sshHost) late(ctx context.Context) *Error {
	return &Error{Hop: s.hop.String(), Err: fmt.Errorf("log in: %w", context.Cause(ctx)), Advice: "check that an SSH server answers there, and whether the SSH agent is waiting for an answer"}
}

// explainLogin says why it was not logged in.
func (s *sshHost) explainLogin(ctx context.Context, err error, ring *keyring, algorithms []string) error {
	if e, ok := errors.AsType[*Error](err); ok { // of its host key
		return e
	}
	text := printable(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "ssh: handshake failed: "), "ssh: "))
	negotiation, unlike := errors.AsType[*ssh.AlgorithmNegotiationError](err)
	switch {
	case ctx.Err() != nil:
		return s.late(ctx)
	case unlike && strings.Contains(err.Error(), "host key"):
		return s.final(s.learn(), fmt.Errorf("it has no host key of a kind that is known for it: there is %s, and it has %s",
			strings.Join(algorithms, " "), printable(strings.Join(negotiation.RequestedAlgorithms, " "))))
	case strings.Contains(text, "unable to authenticate"):
		why := fmt.Sprintf("user %s may not log in with the keys that there are: %s", s.user, strings.Join(ring.names, ", "))
		if refusal := ring.refusal(); refusal != "" {
			why += "; " + refusal
		}
		return s.final(ring.advice(), errors.New(why))
	case strings.Contains(text, "Too many authentication failures"):
		return s.final("name the right key with ssh_key=FILE on the route, or IdentityFile and IdentitiesOnly in ~/.ssh/config",
			fmt.Errorf("it was shown too many keys that it does not take: %s", strings.Join(ring.names, ", ")))
	case len(ring.refused) > 0:
		return &Error{Hop: s.hop.String(), Err: fmt.Errorf("log in: %s: %w", ring.refusal(), &reason{text, err}),
			Advice: `confirm when the agent asks, and check that the token with the key is there; "ssh-add -T FILE.pub" tries it`}
	}
	return &Error{Hop: s.hop.String(), Err: fmt.Errorf("log in: %w", &reason{text, err}), Advice: fmt.Sprintf(`check that an SSH server listens there: "%s"`, s.command)}
}
