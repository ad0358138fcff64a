package peer

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// A Holder is who listens on an address of this machine, so that nobody else can. It is for people to
// read: see Finder about what a process id is worth.
type Holder struct {
	Peer // the user, and on a unix socket the process

	PID     int    // 0: not known; of other users only root sees it
	Program string // empty: not known

	// Guessed says that PID and Program are those of another process like this one, which has the right
	// user and lets nobody look at its files. Several of the kind leave PID 0.
	Guessed bool
}

// HolderOf returns who listens on addr, a *net.TCPAddr or a *net.UnixAddr. It is for when something has
// gone wrong: it may take as long as a scan of all processes.
func HolderOf(addr net.Addr) (h Holder, ok bool) {
	switch addr := addr.(type) {
	case *net.TCPAddr:
		return holderOfTCP(unmapped(addr))
	case *net.UnixAddr:
		conn, err := net.DialTimeout("unix", addr.Name, dialTime)
		if err != nil {
			return Holder{}, false
		}
		defer conn.Close()
		return HolderAt(conn)
	}
	return Holder{}, false
}

// dialTime is how long a socket whose queue is full is waited for.
const dialTime = time.Second

// HolderAt returns who listens at the other end of conn, a client's connection to a unix socket.
func HolderAt(conn net.Conn) (h Holder, ok bool) {
	if h.Peer, _ = Of(conn); !h.Known {
		return Holder{}, false
	}
	h.PID = h.Peer.PID
	if h.PID != 0 {
		h.Program = programOf(procDir(h.PID))
	}
	return h, true
}

// IsSelf reports whether it is this process.
func (h Holder) IsSelf() bool { return h.PID == os.Getpid() }

// IsLike reports whether another process runs a program of this name.
func (h Holder) IsLike(program string) bool { return !h.IsSelf() && h.Program == program }

// String describes the holder as far as it is known: postgres (pid 123), of alice (uid 1001).
func (h Holder) String() string {
	if h.IsSelf() {
		return "this process itself"
	}
	text := h.Program
	if text == "" {
		text = "a program"
	}
	if h.Guessed {
		text += ", by the looks of it"
	}
	if h.PID != 0 {
		text += fmt.Sprintf(" (pid %d)", h.PID)
	}
	if h.Known && int64(h.UID) != int64(os.Geteuid()) {
		text += ", of " + h.Peer.String()
	}
	return text
}

// holderScan is time for a scan on a busy machine. Nothing waits for it but the error that it explains.
const holderScan = 5 * time.Second

// holderOfTCP looks in the lists of sockets that everybody may read. For decisions they would be too
// slow and too late, but the question is asked about one port, once.
func holderOfTCP(addr netip.AddrPort) (Holder, bool) {
	var found listener
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		file, err := os.Open(path)
		if err != nil { // as everywhere but on Linux
			continue
		}
		l, exactly := findListener(file, addr)
		file.Close()
		if l.inode != 0 && (found.inode == 0 || exactly) {
			found = l
		}
	}
	if found.inode == 0 {
		return Holder{}, false
	}
	h := Holder{Peer: Peer{Known: true, UID: found.uid, Unmapped: unmappedUID(found.uid)}}
	if dir := scan("socket:["+strconv.FormatUint(found.inode, 10)+"]", holderScan); dir != "" {
		h.PID, _ = strconv.Atoi(dir[len("/proc/"):])
		h.Program = programOf(dir)
		return h, true
	}
	h.guess()
	return h, true
}

// guess looks for processes that run this program as the holder's user and hide what they do, as this one
// may as well.
func (h *Holder) guess() {
	const self = "/proc/self"
	own := commOf(self)
	for _, pid := range processes() {
		dir := procDir(pid)
		if pid == os.Getpid() || commOf(dir) != own || !hasUID(dir, h.UID) {
			continue
		}
		if _, err := os.Readlink(dir + "/exe"); !errors.Is(err, fs.ErrPermission) {
			continue // its files were looked at
		}
		if h.Guessed {
			h.PID = 0 // there are several
			continue
		}
		h.PID, h.Program, h.Guessed = pid, programOf(self), true
	}
}

// hasUID reports whether the process of dir runs as uid. The owner of dir is another, where the process
// hides.
func hasUID(dir string, uid uint32) bool {
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(status), "\nUid:")
	fields := strings.Fields(rest)
	return len(fields) > 0 && fields[0] == strconv.FormatUint(uint64(uid), 10)
}

// A listener is a TCP socket that listens.
type listener struct {
	addr  netip.AddrPort
	uid   uint32
	inode uint64 // 0: no listener
}

// findListener reads one of /proc/net/tcp and tcp6 and returns the listener that keeps others from addr:
// the one on it exactly, or else one on all addresses.
func findListener(r io.Reader, addr netip.AddrPort) (found listener, exactly bool) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		l, ok := parseListener(lines.Text())
		if !ok || l.addr.Port() != addr.Port() {
			continue
		}
		if l.addr.Addr() == addr.Addr() {
			return l, true
		}
		if l.addr.Addr().IsUnspecified() || addr.Addr().IsUnspecified() {
			found = l
		}
	}
	return found, false
}

// The fields of a line, https://docs.kernel.org/networking/proc_net_tcp.html:
//
//	sl            number and colon
//	local         address, 8 or 32 hexadecimal digits, colon, port, 4 of them. Each 4 bytes of the
//	              address are a number in the machine's byte order
//	remote        the same
//	st            state, 2 digits; 0A listens
//	tx:rx tr:when retrnsmt uid timeout inode, and more
const (
	fieldLocal = 1
	fieldState = 3
	fieldUID   = 7
	fieldInode = 9
)

// parseListener reads a line, and reports whether it is about a listener.
func parseListener(text string) (l listener, ok bool) {
	fields := strings.Fields(text)
	if len(fields) <= fieldInode || fields[fieldState] != "0A" {
		return listener{}, false
	}
	address, port, _ := strings.Cut(fields[fieldLocal], ":")
	b, err := hex.DecodeString(address)
	if err != nil || len(b) != net.IPv4len && len(b) != net.IPv6len {
		return listener{}, false
	}
	for word := b; len(word) > 0; word = word[4:] {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	ip, _ := netip.AddrFromSlice(b)
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return listener{}, false
	}
	uid, err := strconv.ParseUint(fields[fieldUID], 10, 32)
	if err != nil {
		return listener{}, false
	}
	inode, err := strconv.ParseUint(fields[fieldInode], 10, 64)
	if err != nil || inode == 0 {
		return listener{}, false
	}
	return listener{netip.AddrPortFrom(ip.Unmap(), uint16(number)), uint32(uid), inode}, true
}
