package admin

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// A doorway is a listener that asks who is there, and has an end to how many it lets in at once. Those who
// may not come in have places of their own, to be told why, so that they keep nobody waiting who may.
type doorway struct {
	net.Listener
	admit   func(net.Conn) error // nil: anybody
	places  chan struct{}
	refused chan struct{} // the places of those who may not come in
}

// Accept waits for a place, and for a connection to take it.
func (d *doorway) Accept() (net.Conn, error) {
	d.places <- struct{}{}
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			<-d.places
			return nil, err
		}
		v := &visitor{Conn: conn, leave: sync.OnceFunc(func() { <-d.places })}
		if d.admit != nil {
			v.refusal = d.admit(conn)
		}
		if v.refusal == nil {
			return v, nil
		}
		select {
		case d.refused <- struct{}{}:
			v.leave()
			v.leave = sync.OnceFunc(func() { <-d.refused })
			return v, nil
		default:
			conn.Close()
		}
	}
}

// A visitor is a connection that came through a doorway.
type visitor struct {
	net.Conn
	refusal error // why it is served nothing; nil: it is
	leave   func()
}

func (v *visitor) Close() error {
	defer v.leave()
	return v.Conn.Close()
}

type refusalKey struct{}

// remember keeps a visitor's refusal for its requests, which are heard so that it can be told.
func remember(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, refusalKey{}, conn.(*visitor).refusal)
}

// refusal returns why r's client is served nothing, or nil.
func refusal(r *http.Request) error {
	err, _ := r.Context().Value(refusalKey{}).(error)
	return err
}
