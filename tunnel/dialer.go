package tunnel

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
)

// Options say how a Dialer passes its hops.
type Options struct {
	Hops []Hop
	// Key is the file of the key that SSH logs in with; empty: those of the agent, and the usual files.
	Key string
	// KnownHosts is the file with the host keys; empty: the user's and the system's.
	KnownHosts string
	// Home is the user's directory, where .ssh is; empty: there is none.
	Home string
	// Getenv looks up variables; nil: os.Getenv.
	Getenv func(string) string
	// Log is told of SSH connections; nil: nobody is.
	Log *slog.Logger
}

// A Dialer dials by way of hops. It is safe for concurrent use.
type Dialer struct {
	last     dialFunc
	socket   string // in place of the database; empty: none
	bastions []*bastion
	first    string // what is dialled from here
	files    []string
}

// New returns a Dialer. It reads ~/.ssh/config, and nothing is dialled yet. Errors are *Errors.
func New(o Options) (*Dialer, error) { return newDialer(o, usualTiming) }

func newDialer(o Options, t timing) (*Dialer, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Dialer{}
	d.last = (&net.Dialer{Timeout: t.open}).DialContext
	for i, h := range o.Hops {
		if err := d.add(o, t, h, i == 0, 0); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// add puts h behind what there is. What ~/.ssh/config says leads to it comes before it, if it is the
// first: where others are named before it, these lead there.
func (d *Dialer) add(o Options, t timing, h Hop, first bool, depth int) error {
	if h.Kind != SSH {
		d.addProxy(h)
		return nil
	}
	s, err := o.resolve(h, first)
	if err != nil {
		return err
	}
	for i, jump := range s.jumps {
		if depth == maxHops {
			return s.final("correct ProxyJump in ~/.ssh/config", errors.New("its ProxyJump leads in a circle"))
		}
		if err := d.add(o, t, jump, i == 0, depth+1); err != nil {
			return err
		}
	}
	b := &bastion{host: s, under: d.last, timing: t, log: o.Log, links: map[*link]bool{}}
	d.bastions = append(d.bastions, b)
	d.reach(net.JoinHostPort(s.name, s.port))
	d.last = b.dial
	d.files = append(append(d.files, s.files()...), s.configs...)
	return nil
}

func (d *Dialer) addProxy(h Hop) {
	switch h.Kind {
	case SOCKS5:
		s := &socks{h, net.JoinHostPort(h.Host, cmp.Or(h.Port, socksPort)), d.last}
		d.reach(s.addr)
		d.last = s.dial
	case HTTP, HTTPS:
		port := map[string]string{HTTP: "80", HTTPS: "443"}[h.Kind]
		c := &connect{h, net.JoinHostPort(h.Host, cmp.Or(h.Port, port)), d.last}
		d.reach(c.addr)
		d.last = c.dial
	case Unix:
		d.socket = h.Path
		d.reach(h.Path)
	}
}

// reach notes where the next hop is.
func (d *Dialer) reach(addr string) { d.first = cmp.Or(d.first, addr) }

// First is what is dialled from here: host:port, or the path of a unix socket.
func (d *Dialer) First() string { return d.first }

// Files are those that may be read when it is dialled: keys, host keys and the SSH configuration. Not
// all are there.
func (d *Dialer) Files() []string {
	files := slices.Clone(d.files)
	slices.Sort(files)
	return slices.Compact(files)
}

// Configs are those of the SSH configuration, which New has read: what is changed there later does not
// count.
func (d *Dialer) Configs() []string {
	var files []string
	for _, b := range d.bastions {
		files = append(files, b.host.configs...)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// DialContext opens a connection to address, which is host:port, or with network "unix" the path of a
// socket where the last hop is. ctx is for the dial only. The connection knows deadlines and half-close
// (CloseWrite) as net.TCPConn does. Errors are *Errors, but for those of a socket of this machine.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if d.socket != "" {
		network, address = "unix", d.socket
	}
	return d.last(ctx, network, address)
}

// Close ends the SSH connections, and everything that was dialled on them. Whoever dials after it gets
// an error.
func (d *Dialer) Close() error {
	for _, b := range slices.Backward(d.bastions) {
		b.close()
	}
	return nil
}
