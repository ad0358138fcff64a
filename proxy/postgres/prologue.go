package postgres

import (
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	// maxPrologueMessage bounds a single message before ReadyForQuery, in bytes. A login trigger may
	// raise long notices.
	maxPrologueMessage = 1 << 20
	// flushAt is how many bytes of the prologue are gathered before they are passed on.
	flushAt = 16 << 10
)

// A prologue is what the database says between AuthenticationOk and its first ReadyForQuery: its
// parameters, the cancel key, notices, or an error such as an unknown database. It is passed on
// verbatim, in as few writes as may be.
type prologue struct {
	client   net.Conn
	upstream io.Reader
	first    []byte // what the login left to be passed on
	gotKey   func(key string)
}

// run passes the prologue on to the client and returns how many bytes that were. Nothing is invented:
// where the server sends no cancel key, as RDS Proxy, the client gets none.
func (p *prologue) run() (passed int64, err error) {
	pending := p.first
	flush := func() error {
		n, err := p.client.Write(pending)
		passed += int64(n)
		pending = nil
		return err
	}
	for {
		m, err := readMessage(p.upstream, maxPrologueMessage)
		if err != nil {
			if flushErr := flush(); flushErr != nil {
				return passed, flushErr
			}
			return passed, err
		}
		if m.kind() == 'K' {
			p.noteKey(m)
		}
		pending = append(pending, m...)
		ready := m.kind() == 'Z'
		if ready || m.kind() == 'E' || len(pending) >= flushAt {
			if err := flush(); err != nil || ready {
				return passed, err
			}
		}
	}
}

// noteKey reports a BackendKeyData, if it is one that a cancel request could name.
func (p *prologue) noteKey(m message) {
	var data pgproto3.BackendKeyData
	if err := data.Decode(m.body()); err == nil && len(data.SecretKey) >= minCancelKey && len(data.SecretKey) <= maxCancelKey {
		p.gotKey(string(m.body()))
	}
}
