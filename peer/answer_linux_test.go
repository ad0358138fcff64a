package peer

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// message returns a netlink message.
func message(kind uint16, seq uint32, body ...byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(headerSize+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, 0)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	return append(b, body...)
}

// found returns the body of an answer about a socket.
func found(family, state byte, from, to netip.AddrPort, uid, inode uint32) []byte {
	b := make([]byte, answerSize)
	b[0], b[1] = family, state
	binary.BigEndian.PutUint16(b[4:], from.Port())
	binary.BigEndian.PutUint16(b[6:], to.Port())
	copy(b[8:], from.Addr().AsSlice())
	copy(b[24:], to.Addr().AsSlice())
	binary.NativeEndian.PutUint32(b[64:], uid)
	binary.NativeEndian.PutUint32(b[68:], inode)
	return b
}

func failed(errno int32) []byte {
	return binary.NativeEndian.AppendUint32(nil, uint32(-errno))
}

var (
	from4, to4     = netip.MustParseAddrPort("127.0.0.1:4711"), netip.MustParseAddrPort("127.0.0.1:5432")
	fromMap, toMap = netip.MustParseAddrPort("[::ffff:127.0.0.1]:4711"), netip.MustParseAddrPort("[::ffff:127.0.0.1]:5432")
	from6, to6     = netip.MustParseAddrPort("[::1]:4711"), netip.MustParseAddrPort("[::1]:5432")
)

func TestAnswerIsReadOrRefused(t *testing.T) {
	whole := found(unix.AF_INET, 1, from4, to4, 1000, 77)
	want4 := answer{state: 1, uid: 1000, inode: 77, from: from4, to: to4}
	for name, row := range map[string]struct {
		b    []byte
		want answer
		err  error
	}{
		"IPv4":                     {message(unix.SOCK_DIAG_BY_FAMILY, 5, whole...), want4, nil},
		"IPv6":                     {message(unix.SOCK_DIAG_BY_FAMILY, 5, found(unix.AF_INET6, 8, from6, to6, 1, 2)...), answer{state: 8, uid: 1, inode: 2, from: from6, to: to6}, nil},
		"IPv4 of an IPv6 socket":   {message(unix.SOCK_DIAG_BY_FAMILY, 5, found(unix.AF_INET6, 1, fromMap, toMap, 1000, 77)...), want4, nil},
		"with attributes":          {message(unix.SOCK_DIAG_BY_FAMILY, 5, append(whole[:answerSize:answerSize], 5, 0, 8, 0, 0)...), want4, nil},
		"after a stale one":        {append(message(unix.NLMSG_ERROR, 4, failed(2)...), message(unix.SOCK_DIAG_BY_FAMILY, 5, whole...)...), want4, nil},
		"no such socket":           {message(unix.NLMSG_ERROR, 5, failed(2)...), answer{errno: syscall.ENOENT}, nil},
		"stale alone":              {message(unix.SOCK_DIAG_BY_FAMILY, 4, whole...), answer{}, errStale},
		"nothing":                  {nil, answer{}, errStale},
		"an acknowledgement":       {message(unix.NLMSG_ERROR, 5, failed(0)...), answer{}, errMalformed},
		"an error that is none":    {message(unix.NLMSG_ERROR, 5, failed(-2)...), answer{}, errMalformed},
		"the least error":          {message(unix.NLMSG_ERROR, 5, failed(-1<<31)...), answer{}, errMalformed},
		"half an error":            {message(unix.NLMSG_ERROR, 5, 1, 2), answer{}, errMalformed},
		"half a socket":            {message(unix.SOCK_DIAG_BY_FAMILY, 5, whole[:answerSize-1]...), answer{}, errMalformed},
		"another family":           {message(unix.SOCK_DIAG_BY_FAMILY, 5, found(unix.AF_UNIX, 1, from4, to4, 1000, 77)...), answer{}, errMalformed},
		"another kind":             {message(unix.NLMSG_DONE, 5, whole...), answer{}, errMalformed},
		"a length that is cut":     {message(unix.SOCK_DIAG_BY_FAMILY, 5, whole...)[:80], answer{}, errMalformed},
		"a length less than its 4": {slices.Concat([]byte{1, 0, 0, 0}, message(unix.NLMSG_DONE, 5)[4:]), answer{}, errMalformed},
	} {
		if got, err := parseAnswer(row.b, 5); got != row.want || err != row.err {
			t.Errorf("%s: got %+v, %v; want %+v, %v", name, got, err, row.want, row.err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(message(unix.SOCK_DIAG_BY_FAMILY, 5, found(unix.AF_INET, 1, from4, to4, 1000, 77)...))
	f.Add(message(unix.SOCK_DIAG_BY_FAMILY, 5, found(unix.AF_INET6, 1, fromMap, toMap, 1000, 77)...))
	f.Add(append(message(unix.SOCK_DIAG_BY_FAMILY, 4, 0, 0, 0), message(unix.NLMSG_ERROR, 5, failed(2)...)...))
	f.Add(message(unix.NLMSG_ERROR, 5, failed(-1<<31)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAnswer(b, 5)
		switch {
		case err != nil && a != answer{}:
			t.Errorf("an error, %v, with an answer: %+v", err, a)
		case err == nil && a.errno == 0 && (!a.from.IsValid() || !a.to.IsValid()):
			t.Errorf("not a socket: %+v", a)
		case err == nil && len(b) < headerSize+4:
			t.Errorf("an answer out of %d bytes: %+v", len(b), a)
		}
	})
}
