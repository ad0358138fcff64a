package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"dbvalet/proxy"
)

// Engine speaks MySQL for one route. Its fields are set before the first use and not changed after
// it.
type Engine struct {
	// User is the database user of every session; empty means the one that the client names.
	User string
	// Database is for clients that name none.
	Database string
	// RequireAuth limits how the database may ask for the credential.
	RequireAuth proxy.Methods
	// Password is what clients have to show; nil: they are asked for none.
	Password *Verifier
	// PasswordHint is the advice for a client that has not shown the Password, such as where it is kept.
	PasswordHint string

	silent silence
}

var _ proxy.Engine = (*Engine)(nil)

// Handshake implements proxy.Engine. The database speaks first in this protocol, and counts a
// connection that is broken off after its greeting against the machine that it came from, until it
// takes none from there any more (max_connect_errors). So it is not dialled for clients that don't
// stay, nor before there is a credential where the route knows for whom, and from then on the login
// is brought to an end whatever becomes of the client.
func (e *Engine) Handshake(ctx context.Context, client *proxy.Client, up *proxy.Upstream) (*proxy.Session, error) {
	if stays, err := awaitSilence(ctx, client); err != nil || !stays {
		if err != nil {
			tell(client, earlyErrorPacket(err))
		}
		return nil, err
	}
	h := &handshake{engine: e, client: client, up: up}
	defer func() { h.close(ctx) }()
	session, err := h.run(ctx)
	if err != nil && !h.deaf {
		tell(client, h.errorPacket(err))
	}
	return session, err
}

// grace is how long a client has to be there, and silent, before the database is dialled for it: on
// this machine a probe's connect and close arrive together. It is part of every connect's time, and a
// probe that outlasts it costs a login, but no step toward max_connect_errors.
const grace = time.Millisecond

// graceTries is how often the grace begins again because it has passed while this process was kept from
// running, as on a busy machine: what the client did meanwhile has not been looked at then.
const graceTries = 4

// awaitSilence reports whether client is still there after the grace. One that speaks before it is
// greeted is an error.
func awaitSilence(ctx context.Context, client net.Conn) (stays bool, err error) {
	var first [1]byte
	for range graceTries {
		began := time.Now()
		_ = client.SetReadDeadline(began.Add(grace))
		_, err = io.ReadFull(client, first[:])
		if !isTimeout(err) || time.Since(began) < 2*grace {
			break
		}
	}
	_ = client.SetReadDeadline(time.Time{})
	// The deadline of the whole set-up may have been lifted with that of the grace.
	if ctx.Err() != nil {
		return false, overtime(ctx)
	}
	switch {
	case err == nil:
		return false, clientError(checkClient, "the client spoke first (byte %#x), which a MySQL client doesn't: is it one of HTTP, TLS or PostgreSQL?", first[0])
	case err == io.EOF, errors.Is(err, syscall.ECONNRESET):
		return false, nil // a probe of the port
	case isTimeout(err):
		return true, nil
	}
	return false, &proxy.SetupError{Stage: proxy.StageClient, Err: fmt.Errorf("wait for the client: %w", err)}
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}
