package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
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

// ListenOptions say where to listen.
type ListenOptions struct {
	// Addr is one of
	//
	//	127.0.0.1:5432, [::1]:5432   one; port 0 takes a free one
	//	localhost:5432               both of these, or the one that the machine has
	//	NAME:5432                    the addresses of another name, all of which are loopback ones
	//	/run/db                      a unix socket in this directory, called SocketName
	//	/run/db/x.sock               a unix socket of this name
	//	systemd:NAME                 the sockets that were passed to the program under this name
	Addr string
	// Inherited are the sockets that were passed to the program.
	Inherited *Inherited
	// SocketName is what clients of the protocol look for in a directory.
	SocketName string
	// Remote allows addresses that other machines can reach.
	Remote bool
	// SocketMode is a unix socket's; 0 is 0600. Who may connect to it must be able to write to it.
	SocketMode fs.FileMode
	// SocketOwner and SocketGroup are a unix socket's, names or numbers; empty is who runs this program.
	SocketOwner, SocketGroup string
}

// Address returns where clients find the first listener that Listen opens, and opens none. The error is a
// *ListenError.
func (o ListenOptions) Address() (net.Addr, error) {
	if strings.HasPrefix(o.Addr, inheritedPrefix) {
		return nil, &ListenError{o.Addr, errors.New("only the service itself knows the socket that it is passed"), "look for its ready line in the log, or at ListenStream= of the .socket unit"}
	}
	if filepath.IsAbs(o.Addr) {
		return &net.UnixAddr{Name: o.socketPath(), Net: "unix"}, nil
	}
	host, port, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return nil, &ListenError{o.Addr, err, adviceAddress}
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		return nil, &ListenError{o.Addr, err, adviceAddress}
	}
	if number == 0 {
		return nil, &ListenError{o.Addr, errors.New("port 0 is any free port, another one at each start"), "write listen=auto, which keeps its port, or look for the ready line in the log"}
	}
	addrs, err := resolve(host)
	if err != nil {
		return nil, &ListenError{o.Addr, err, adviceAddress}
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(addrs[0], uint16(number))), nil
}

const adviceAddress = "write an address like 127.0.0.1:5432, or the absolute path of a directory for a unix socket"

// socketPath is the path of the unix socket that Addr means.
func (o ListenOptions) socketPath() string {
	if isSocketPath(o.Addr) {
		return o.Addr
	}
	return filepath.Join(o.Addr, o.SocketName)
}

// Listen opens the listeners that o stands for. What decides is the address that is bound, and not how
// it is written. The error is a *ListenError.
func Listen(o ListenOptions) ([]net.Listener, error) {
	if name, ok := strings.CutPrefix(o.Addr, inheritedPrefix); ok {
		return o.Inherited.listen(name, o)
	}
	if filepath.IsAbs(o.Addr) {
		ln, err := listenUnix(o.socketPath(), o)
		if err != nil {
			return nil, err
		}
		return []net.Listener{ln}, nil
	}
	if strings.HasPrefix(o.Addr, "@") {
		return nil, &ListenError{o.Addr, errors.New("an abstract socket has no permissions"), "write the absolute path of a directory"}
	}
	host, port, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return nil, &ListenError{o.Addr, err, adviceAddress}
	}
	addrs, err := resolve(host)
	if err != nil {
		return nil, &ListenError{o.Addr, err, "write an address like 127.0.0.1:5432"}
	}
	if !o.Remote && slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !a.IsLoopback() }) {
		return nil, &ListenError{o.Addr, errors.New("not an address of this machine alone"),
			"there is no password on this side: listen on 127.0.0.1, [::1], localhost or a unix socket" + orRemote}
	}
	return listenAll(addrs, port)
}

// resolve returns the addresses that host stands for. No name server is asked about localhost (RFC
// 6761, section 6.3).
func resolve(host string) ([]netip.Addr, error) {
	if host == "localhost" {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	if host == "" {
		return []netip.Addr{netip.IPv6Unspecified()}, nil // and those of IPv4
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveTime)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, err
}

// resolveTime is how long the name of an address to listen on may take.
const resolveTime = 5 * time.Second

// listenAll listens on the same port of addrs. A machine may lack one family of several, as many
// containers do.
func listenAll(addrs []netip.Addr, port string) (listeners []net.Listener, err error) {
	for _, addr := range addrs {
		var ln net.Listener
		ln, err = listenTCP(net.JoinHostPort(addr.String(), port))
		switch {
		case err == nil:
			listeners = append(listeners, ln)
			_, port, _ = net.SplitHostPort(ln.Addr().String())
		case len(addrs) == 1 || !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.EAFNOSUPPORT):
			for _, ln := range listeners {
				ln.Close()
			}
			return nil, err
		}
	}
	if len(listeners) == 0 {
		return nil, err
	}
	return listeners, nil
}

// isSocketPath tells the path of a socket from the path of a directory for one.
func isSocketPath(path string) bool {
	return strings.HasPrefix(filepath.Base(path), ".s.") || strings.HasSuffix(path, ".sock")
}

func listenTCP(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err == nil {
		return ln, nil
	}
	advice := "check address and port in listen="
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, inUse(addr, dialCause(err))
	case errors.Is(err, syscall.EACCES):
		advice = "ports below 1024 need a privilege; choose a higher one in listen="
	}
	return nil, &ListenError{addr, dialCause(err), advice}
}
