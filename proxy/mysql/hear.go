package mysql

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
)

// replyTime is how long a client may take to reply to the greeting. A server waits for ten seconds by
// default (connect_timeout), and counts who takes longer among those who broke off.
const replyTime = 8 * time.Second

// While others wait for its place, a client has less time: on this machine one replies at once, and on
// one that is very busy nearly so. Who has begun to reply goes on.
const (
	moment = 100 * time.Millisecond // after which it counts as one that says nothing
	while  = 5 * moment             // for the first packet of its reply
	all    = 3 * while
)

var (
	errNoReply    = errors.New("the client did not reply to the greeting in time")
	errOthersWait = &proxy.SetupError{
		Stage:  proxy.StageLimit,
		Err:    errors.New("the client did not reply to the greeting at once, and others wait for its place"),
		Advice: "too many connections say nothing, or are slow; find out who opens them, or raise the limit of those that are set up at a time",
	}
)

// greet passes the greeting on and hears the client. It returns false for a client that left. yield
// reports whether it is to make room for somebody else; nil: it takes none.
func (h *handshake) greet(ctx context.Context, yield func() bool) (stays bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, replyTime, errNoReply)
	defer cancel()
	defer time.AfterFunc(moment, func() { h.engine.silent.count(h) }).Stop()
	if yield != nil {
		var watching sync.WaitGroup
		defer watching.Wait()
		var end context.CancelCauseFunc
		ctx, end = context.WithCancelCause(ctx)
		defer end(nil)
		watching.Go(func() { h.watchPlace(ctx, yield, end) })
	}
	bare := h.client.Conn // TLS will be put around it meanwhile
	disarm := context.AfterFunc(ctx, func() { _ = bare.SetReadDeadline(time.Unix(1, 0)) })
	err = h.hear()
	if !disarm() && err == nil {
		err = os.ErrDeadlineExceeded
	}
	if err != nil {
		return h.left(ctx, err)
	}
	return true, nil
}

// watchPlace ends the wait for a client that is slow, when others wait for its place.
func (h *handshake) watchPlace(ctx context.Context, yield func() bool, end context.CancelCauseFunc) {
	look := time.NewTicker(moment)
	defer look.Stop()
	for waited := moment; ; waited += moment {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if (waited >= all || waited >= while && !h.began.Load()) && yield() {
			end(errOthersWait)
			return
		}
	}
}

// hear is the client's half of the login: until it has shown what the route asks for, the database is
// told nothing.
func (h *handshake) hear() error {
	scramble := newScramble()
	if _, err := h.client.Write(h.greeting(scramble)); err != nil {
		return err
	}
	h.seq = 1
	if err := h.takeReply(); err != nil {
		return err
	}
	if h.client.MustEncrypt() {
		return proxy.ErrTLSRequired
	}
	if err := h.authenticate(scramble); err != nil {
		return err
	}
	h.reply = h.reply.withDatabase(h.database())
	return h.engine.checkNames(h.client.Door, h.reply.user, h.reply.database)
}

// greeting is what the client is greeted with. Where no password is asked for, it is with
// mysql_native_password: of that plugin every client library accepts an OK, whatever password it was
// given.
func (h *handshake) greeting(scramble []byte) packet {
	caps, plugin := offer(h.greeted.capabilities), mysql.AUTH_NATIVE_PASSWORD
	if h.client.Door.TLS != nil {
		caps |= mysql.CLIENT_SSL
	}
	if h.engine.Password != nil {
		plugin = mysql.AUTH_CACHING_SHA2_PASSWORD
	}
	return h.greeted.forClient(caps, plugin, scramble)
}

// takeReply reads the client's reply, within TLS if that is what it asks for first.
func (h *handshake) takeReply() error {
	p, err := h.receive()
	if err != nil {
		return err
	}
	offered := h.client.Door.TLS != nil
	encrypted := offered && isSSLRequest(p.payload())
	if encrypted {
		if p, err = h.encrypt(); err != nil {
			return err
		}
	}
	if h.reply, err = decodeResponse(p.payload()); err != nil {
		return err
	}
	if offered && h.reply.has(mysql.CLIENT_SSL) != encrypted {
		return clientError(checkClient, "the reply to the greeting says one thing about TLS, and the client does another")
	}
	return nil
}

// encrypt makes the rest of the conversation with the client an encrypted one, and returns its first
// packet. What the client said before counts for nothing: it says all of it again.
func (h *handshake) encrypt() (packet, error) {
	if err := h.client.StartTLS(nil); err != nil {
		h.deaf = true
		return nil, err
	}
	p, err := h.receive()
	if err == nil && isSSLRequest(p.payload()) {
		err = clientError(checkClient, "the client asks for TLS within TLS")
	}
	return p, err
}

// authenticate ends what the client's plugin has to say.
func (h *handshake) authenticate(scramble []byte) error {
	if h.engine.Password != nil {
		return h.askPassword(scramble)
	}
	return h.persuade()
}

// left is what becomes of a client that could not be heard. One that is gone is no error: health
// checks do that, and clients that insist on TLS.
func (h *handshake) left(ctx context.Context, err error) (bool, error) {
	if isTimeout(err) && ctx.Err() != nil {
		return false, overtime(ctx)
	}
	if _, ok := errors.AsType[*proxy.SetupError](err); ok {
		return false, err
	}
	if err == io.EOF || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		h.up.Log.Info("client left after the greeting", "hint", h.whyLeft())
		return false, nil
	}
	return false, clientError(checkClient, "read the client's reply: %w", err)
}

// overtime is the error for a client that was waited for until ctx ended.
func overtime(ctx context.Context) error {
	cause := context.Cause(ctx)
	if _, ok := errors.AsType[*proxy.SetupError](cause); ok {
		return cause
	}
	return clientError(checkClient, "%w", cause)
}

// whyLeft is advice for whoever wonders about a client that left without a word.
func (h *handshake) whyLeft() string {
	const probe = "nothing is wrong if it was a health check"
	switch {
	case h.client.TLS() != nil:
		return distrust
	case h.client.Door.TLS != nil:
		return probe
	}
	return probe + "; if it says that TLS is required: " + noTLSHere
}

// receive reads one packet of the client's login.
func (h *handshake) receive() (packet, error) {
	p, err := readPacket(h.client, h.seq, maxResponse)
	if err != nil {
		return nil, err
	}
	h.seq++
	h.began.Store(true)
	return p, nil
}

// persuade talks a client out of a plugin that would not be content with an OK. What it answers
// doesn't matter.
func (h *handshake) persuade() error {
	plugin, auth := mysql.AUTH_NATIVE_PASSWORD, h.reply.auth
	switch h.reply.plugin {
	case "", mysql.AUTH_NATIVE_PASSWORD, mysql.AUTH_CLEAR_PASSWORD:
		return nil
	case mysql.AUTH_CACHING_SHA2_PASSWORD, mysql.AUTH_SHA256_PASSWORD:
		// With nothing at all, MariaDB's client waits for a scramble of the plugin's own, and with
		// something, sha256_password waits for a public key. Who knows this plugin knows
		// caching_sha2_password too, and clients of MySQL 9 no longer know mysql_native_password.
		if len(auth) > 0 && (emptyAnswer(auth) || h.reply.plugin == mysql.AUTH_CACHING_SHA2_PASSWORD) {
			return nil
		}
		plugin = mysql.AUTH_CACHING_SHA2_PASSWORD
	}
	return h.switchTo(plugin, newScramble())
}

// switchTo makes the client answer scramble with plugin.
func (h *handshake) switchTo(plugin string, scramble []byte) error {
	request := appendText([]byte{authSwitchHeader}, plugin)
	request = append(append(request, scramble...), 0)
	if err := h.send(request); err != nil {
		return err
	}
	p, err := h.receive()
	if err != nil {
		return err
	}
	h.reply.plugin, h.reply.auth = plugin, p.payload()
	return nil
}

// emptyAnswer reports whether a plugin's answer is that of a client without a password.
func emptyAnswer(auth []byte) bool { return len(auth) == 0 || len(auth) == 1 && auth[0] == 0 }

func (h *handshake) send(payload []byte) error {
	_, err := h.client.Write(newPacket(h.seq, payload))
	h.seq++
	return err
}
