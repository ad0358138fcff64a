package proxy

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
)

// inheritedPrefix begins the address of a socket that was passed to the program.
const inheritedPrefix = "systemd:"

// Inherited are the listening sockets that systemd, or whoever else speaks its protocol, has passed to
// the program. They stay open here until the program ends, so that a name may be asked for again.
// Nil has none.
//
// https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html
type Inherited struct {
	files map[string][]*os.File
}

// TakeInherited takes the sockets that LISTEN_FDS counts, and forgets these variables: programs that
// are started get neither. It is called once, before anything else is opened.
func TakeInherited() *Inherited {
	i := &Inherited{files: make(map[string][]*os.File)}
	for _, file := range activation.Files(true) {
		i.files[file.Name()] = append(i.files[file.Name()], file)
	}
	return i
}

// Names are those of the sockets that there are.
func (i *Inherited) Names() []string {
	if i == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(i.files))
}

// listen returns a listener for each socket of this name. To close it closes neither the socket, which
// others may have too, nor does it remove its path.
func (i *Inherited) listen(name string, o ListenOptions) (listeners []net.Listener, err error) {
	fail := func(err error, advice string) ([]net.Listener, error) {
		for _, ln := range listeners {
			ln.Close()
		}
		return nil, &ListenError{o.Addr, err, advice}
	}
	var files []*os.File
	if i != nil {
		files = i.files[name]
	}
	if len(files) == 0 {
		there := "none was"
		if names := i.Names(); len(names) > 0 {
			there = "there are " + strings.Join(names, ", ")
		}
		return fail(fmt.Errorf("no socket of this name was passed to the program: %s", there),
			"write FileDescriptorName="+name+" into the [Socket] section of the .socket unit, and start the service by that")
	}
	for _, file := range files {
		ln, err := net.FileListener(file) // of a duplicate
		if err != nil {
			return fail(fmt.Errorf("what was passed is no socket to listen on: %w", err), "write ListenStream= into the .socket unit")
		}
		d, ok := ln.(deadlineListener)
		if !ok {
			ln.Close()
			return fail(errors.New("what was passed is neither of TCP nor a unix socket"), "write ListenStream= into the .socket unit")
		}
		listeners = append(listeners, &inherited{d})
		if advice, err := checkInherited(ln, o); err != nil {
			return fail(err, advice)
		}
	}
	return listeners, nil
}

// checkInherited applies the rules of our own sockets to ln. The directory of a unix socket, its mode
// and its owner are a matter of who has made it.
func checkInherited(ln net.Listener, o ListenOptions) (advice string, err error) {
	if !isListening(ln) {
		return "write Accept=no into the .socket unit", errors.New("the socket is a connection, or nobody listens on it")
	}
	switch addr := ln.Addr().(type) {
	case *net.TCPAddr:
		if !o.Remote && !addr.IP.IsLoopback() {
			return "write ListenStream=127.0.0.1:PORT into the .socket unit" + orRemote, fmt.Errorf("%s is not an address of this machine alone", addr)
		}
	case *net.UnixAddr:
		ln.(*net.UnixListener).SetUnlinkOnClose(false)
		switch {
		case addr.Net != "unix":
			return "write ListenStream= into the .socket unit", errors.New("the socket is none of streams")
		case addr.Name == "", strings.HasPrefix(addr.Name, "@"):
			return "write ListenStream= with an absolute path into the .socket unit", errors.New("an abstract socket has no permissions")
		}
	}
	return "", nil
}

// orRemote is the second half of the advice for an address that others can reach.
const orRemote = "; or let other machines in, with allow_remote=NETWORK, and local_password= or local_client_ca="

// inherited is a listener that was passed to the program.
type inherited struct{ deadlineListener }

// IsInherited reports whether ln was passed to the program, so that nothing of it is removed at the end.
func IsInherited(ln net.Listener) bool {
	_, ok := ln.(*inherited)
	return ok
}
