package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// timing is how long things may take. Tests are in more of a hurry.
type timing struct {
	login    time.Duration // to an SSH server, with whatever the agent asks its user
	open     time.Duration // of a connection, at the other end
	slow     time.Duration // for which open is no reason to suspect the SSH connection
	interval time.Duration // between an answer and the next keepalive
	patience time.Duration // for the answer to a keepalive; TCP sends it again and again
	urgent   time.Duration // for the answer, when the SSH connection is suspected: then it is left
	idle     time.Duration // after which an SSH connection is closed that nothing uses
}

// A dead connection is noticed within 45 seconds, and left within 8 by whoever waits for it.
var usualTiming = timing{
	login: 30 * time.Second, open: 10 * time.Second, slow: 3 * time.Second,
	interval: 15 * time.Second, patience: 30 * time.Second, urgent: 5 * time.Second, idle: 5 * time.Minute,
}

// A link is an SSH connection.
type link struct {
	hop    Hop
	timing timing
	client *ssh.Client
	line   *lifeline
	nudge  chan struct{} // for a keepalive at once
	// doubted is closed when it was suspected, and silent for too long to wait. It may only be slow: an
	// sshd that looks up a name does nothing else meanwhile. So it is left to the sessions that it has.
	doubted chan struct{}
	over    chan struct{} // closed when it has ended

	// The bastion's.
	users int
	idle  *time.Timer
}

// A lifeline is the connection below an SSH connection. It notes why that has ended before the streams
// on it do: from these alone, it can't be told from an end that the database has decided.
type lifeline struct {
	net.Conn
	why   atomic.Pointer[error]
	heard atomic.Pointer[time.Time] // when something came last; nil: nothing has
}

func (l *lifeline) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if n > 0 {
		now := time.Now()
		l.heard.Store(&now)
	}
	if err != nil {
		l.note(errors.New("the SSH connection was lost: " + dialCause(err).Error())) // not wrapped: EOF is no normal end
	}
	return n, err
}

// note keeps the first reason.
func (l *lifeline) note(why error) { l.why.CompareAndSwap(nil, &why) }

// newLink takes over an SSH connection. It watches it until it ends, and calls ended then.
func newLink(h Hop, t timing, client *ssh.Client, line *lifeline, ended func(*link)) *link {
	l := &link{hop: h, timing: t, client: client, line: line, nudge: make(chan struct{}, 1), doubted: make(chan struct{}), over: make(chan struct{})}
	go l.watch(ended)
	go l.keepAlive()
	return l
}

// watch waits for the end.
func (l *link) watch(ended func(*link)) {
	err := l.client.Wait()
	l.line.note(errors.New("the SSH connection ended: " + err.Error()))
	l.line.Close()
	close(l.over)
	ended(l)
}

// why returns the reason for the end; nil: it has not ended.
func (l *link) why() error {
	if why := l.line.why.Load(); why != nil {
		return &Error{Hop: l.hop.String(), Err: *why, Advice: "connect again: a new SSH connection is made for it"}
	}
	return nil
}

// sound reports whether it will do for another session.
func (l *link) sound() bool { return l.why() == nil && !isClosed(l.doubted) }

// end closes the connection, and everything on it.
func (l *link) end(why error) {
	l.line.note(why)
	l.line.Close() // which does not wait for what is being written, as the client's own would
	l.client.Close()
}

var errSilent = errors.New("the SSH connection was silent for too long")

// keepAlive asks whether the other side is there, as OpenSSH does, until the connection ends. The
// answer may be no.
func (l *link) keepAlive() {
	timer := time.NewTimer(l.timing.interval)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.nudge:
			l.suspect() // await is to know it too
		case <-l.over:
			return
		}
		answered := make(chan error, 1)
		go l.ask(answered)
		if !l.await(answered) {
			l.end(errSilent)
			return
		}
		timer.Reset(l.timing.interval)
	}
}

func (l *link) ask(answered chan<- error) {
	_, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil)
	answered <- err
}

// silence is for how long nothing has come, from asked on.
func (l *lifeline) silence(asked time.Time) time.Duration {
	if heard := l.heard.Load(); heard != nil && heard.After(asked) {
		return time.Since(*heard)
	}
	return time.Since(asked)
}

// await reports whether there is an answer in time. Where somebody waits, it is doubted before. Whatever
// comes is a sign of life: the answer may stand behind a lot of it.
func (l *link) await(answered <-chan error) bool {
	asked := time.Now()
	patience, nudge := l.timing.patience, l.nudge
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case err := <-answered:
			return err == nil
		case <-limit.C:
			silence := l.line.silence(asked)
			if silence >= l.timing.patience {
				return false
			}
			if silence >= patience {
				l.doubt()
				patience = l.timing.patience
			}
			limit.Reset(patience - silence)
		case <-nudge:
			patience = min(patience, l.timing.urgent)
			limit.Reset(patience)
			nudge = nil // once
		}
	}
}

// doubt has nobody use the connection any more who does not yet. Only keepAlive calls it.
func (l *link) doubt() {
	if !isClosed(l.doubted) {
		close(l.doubted)
	}
}

// suspect has the connection looked at without delay.
func (l *link) suspect() {
	select {
	case l.nudge <- struct{}{}:
	default: // somebody has said so
	}
}

// errLost is what the error of a dial matches whose SSH connection has ended, or is doubted.
var errLost = errors.New("the SSH connection has ended")

// dial opens a connection at the other end. release is called when it is closed; not if there is an
// error.
func (l *link) dial(ctx context.Context, network, address string, release func()) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timing.open)
	defer cancel()
	defer time.AfterFunc(l.timing.slow, l.suspect).Stop()
	go l.leave(ctx, cancel)
	channel, err := l.client.DialContext(ctx, network, address)
	if err != nil {
		return nil, l.explain(ctx, address, err)
	}
	s, ok := channel.(stream)
	if !ok {
		channel.Close()
		return nil, fmt.Errorf("%T has no CloseWrite", channel)
	}
	return newConn(s, addr{network, address}, l.why, release), nil
}

// leave ends a dial when the connection is doubted.
func (l *link) leave(ctx context.Context, cancel context.CancelFunc) {
	select {
	case <-l.doubted:
		cancel()
	case <-ctx.Done():
	}
}

// explain says why a connection was not opened.
func (l *link) explain(ctx context.Context, address string, err error) error {
	refused, ok := errors.AsType[*ssh.OpenChannelError](err)
	switch {
	case ok:
		return l.explainRefusal(address, refused)
	case l.why() != nil:
		return errors.Join(errLost, l.why())
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return beyond(l.hop, address, &reason{"no answer in time", os.ErrDeadlineExceeded})
	case isClosed(l.doubted):
		e := beyond(l.hop, address, &reason{"no answer in time, and none to a keepalive either", os.ErrDeadlineExceeded})
		e.Advice = fmt.Sprintf("check the way to %s, and whether the name can be looked up there: sshd is silent while it tries", l.hop)
		return errors.Join(errLost, e)
	case ctx.Err() != nil:
		return &Error{Hop: l.hop.String(), Err: context.Cause(ctx)}
	}
	return errors.Join(errLost, &Error{Hop: l.hop.String(), Err: err})
}

// explainRefusal is for what the SSH server says.
func (l *link) explainRefusal(address string, refused *ssh.OpenChannelError) error {
	fail := func(permanent bool, advice, format string) error {
		return &Error{
			Hop: l.hop.String(), Err: fmt.Errorf(format+": %s", address, printable(refused.Message)),
			Advice: advice, Permanent: permanent, beyond: true,
		}
	}
	switch refused.Reason {
	case ssh.Prohibited:
		return fail(true, "the sshd_config over there needs AllowTcpForwarding yes (AllowStreamLocalForwarding for sockets) and, where it has PermitOpen, this address in it",
			"it does not forward to %s, which is administratively prohibited")
	case ssh.UnknownChannelType:
		return fail(true, "use another bastion: this SSH server can't do it", "it can't forward to %s")
	case ssh.ResourceShortage:
		return fail(false, "try again later, or see what keeps it busy", "it has no resources left to forward to %s")
	}
	return beyond(l.hop, address, reasonOf(refused.Message, address))
}
