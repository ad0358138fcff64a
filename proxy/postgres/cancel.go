package postgres

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"dbvalet/proxy"
)

// cancelKeys remembers which server gave out which cancel key, so that a cancel request goes to the
// very address that the session is on, whatever DNS says by now. The zero value is empty.
type cancelKeys struct {
	mu      sync.Mutex
	servers map[string]*cancelTarget // by key
}

// A cancelTarget is where a session's cancel request goes.
type cancelTarget struct{ to proxy.Endpoint }

// add remembers key until forget is called. A server may give the same key to a later session while
// the end of an earlier one is still on its way; the later one counts.
func (k *cancelKeys) add(key string, to proxy.Endpoint) (forget func()) {
	target := &cancelTarget{to}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.servers == nil {
		k.servers = make(map[string]*cancelTarget)
	}
	k.servers[key] = target
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.servers[key] == target {
			delete(k.servers, key)
		}
	}
}

// find returns where the server is that gave out key.
func (k *cancelKeys) find(key string) (to proxy.Endpoint, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	target, ok := k.servers[key]
	if !ok {
		return proxy.Endpoint{}, false
	}
	return target.to, true
}

// cancel forwards request, encrypted, and returns when the server has closed the connection, which
// is all the answer that there is. A key that nobody gave out is ignored, as a server does.
func (e *Engine) cancel(ctx context.Context, up *proxy.Upstream, request cancelRequest) error {
	to, ok := e.cancelKeys.find(request.key())
	if !ok {
		up.Log.Debug("cancel request with an unknown key ignored") // anybody can send many
		return nil
	}
	err := up.Errand(ctx, to, func(bare net.Conn) error {
		conn, err := e.startTLS(ctx, bare, to)
		if err != nil {
			return err
		}
		if _, err := conn.Write(request); err != nil {
			return err
		}
		// The server says nothing, and closes when the signal is on its way.
		_, _ = io.ReadFull(conn, make([]byte, 1))
		return nil
	})
	if err != nil {
		return fmt.Errorf("forward a cancel request: %w", err)
	}
	return nil
}
