package harden

import (
	"fmt"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// Needs is what the process does from now on. What is already open is not concerned: neither files nor
// listeners.
type Needs struct {
	// Read are files, and directories with everything below them. A file that is replaced by another
	// of its name is another file: for one that will be, state its directory.
	Read []string
	// Write are directories in which files are also made, changed, renamed and removed.
	Write []string
	// Sockets are directories in which unix sockets are made, and any file is removed.
	Sockets []string
	// Dirs are directories in which directories are removed.
	Dirs []string
	// Connect are the TCP ports to connect to.
	Connect []uint16
	// AnyPort says that TCP connections may go to any port. Then Connect means nothing.
	AnyPort bool
	// Listen says that it goes on opening listeners for TCP.
	Listen bool
	// Signals says that it goes on sending signals to other processes.
	Signals bool
}

// What Landlock says where nothing is in force.
const (
	Off          = "off"
	NotSupported = "not supported by this kernel"
	Failed       = "failed"
)

// What may be done in a directory, and below it.
const (
	read   = llsys.AccessFSReadFile | llsys.AccessFSReadDir
	change = llsys.AccessFSWriteFile | llsys.AccessFSTruncate | llsys.AccessFSMakeReg | llsys.AccessFSRemoveFile
	socket = llsys.AccessFSMakeSock | llsys.AccessFSRemoveFile
)

// The versions of the kernel's interface in which something came.
const (
	abiPorts   = 4
	abiSignals = 7 // that came with 6, and does right by programs with threads since 7
	abiNewest  = 7 // that this was written for and tried with; what came later is not asked for
)

// Landlock makes the kernel refuse this process, for good, what n does not state: to read and to write
// files, to run programs, to listen on a TCP port, to connect to one, to send signals to other
// processes and to connect to their abstract unix sockets. It does as much of that as the kernel can,
// and returns what is in force now, in words. Paths that don't exist, or that can't be reached, are
// left out.
//
// Other processes stay visible in /proc, but not what PTRACE_MODE_READ guards there: their exe, fd and
// environ. Programs that are started, if one could be, would inherit it all.
func Landlock(n Needs) (string, error) {
	abi, err := llsys.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		return NotSupported, nil
	}
	abi = min(abi, abiNewest)
	config := landlock.V7.BestEffort()
	if abi < abiSignals || n.Signals {
		// Before that, each thread has a domain of its own, so that up to then not even the Go runtime could signal
		// its threads: https://docs.kernel.org/userspace-api/landlock.html#errata
		config.Scoped = llsys.ScopeAbstractUnixSocket
	}
	config.HandledAccessNet = n.ports()
	if err := config.Restrict(n.rules()...); err != nil {
		return Failed, fmt.Errorf("landlock: %w", err)
	}
	return n.inForce(abi), nil
}

// inForce says what the kernel can do of what was asked for.
func (n Needs) inForce(abi int) string {
	what := "files and TCP ports"
	switch {
	case abi < abiPorts:
		what = "files only"
	case n.ports() == 0:
		what = "files only, as other ports may be needed"
	case n.AnyPort:
		what = "files and listening, not connecting"
	case n.Listen:
		what = "files and connecting, not listening"
	}
	return fmt.Sprintf("%s (ABI %d)", what, abi)
}

// ports are what is refused of TCP, but for what rules allow.
func (n Needs) ports() (handled landlock.AccessNetSet) {
	if !n.AnyPort {
		handled |= llsys.AccessNetConnectTCP
	}
	if !n.Listen {
		handled |= llsys.AccessNetBindTCP
	}
	return handled
}

func (n Needs) rules() []landlock.Rule {
	var rules []landlock.Rule
	grant := func(paths []string, file, dir landlock.AccessFSSet) {
		for _, path := range paths {
			info, err := os.Stat(path)
			if err != nil {
				continue
			}
			access := file
			if info.IsDir() {
				access = dir
			}
			if access != 0 {
				rules = append(rules, landlock.PathAccess(access, path).IgnoreIfMissing())
			}
		}
	}
	grant(n.Read, llsys.AccessFSReadFile, read)
	grant(n.Write, 0, read|change)
	grant(n.Sockets, 0, socket)
	grant(n.Dirs, 0, llsys.AccessFSRemoveDir)
	if !n.AnyPort {
		for _, port := range n.Connect {
			rules = append(rules, landlock.ConnectTCP(port))
		}
	}
	return rules
}
