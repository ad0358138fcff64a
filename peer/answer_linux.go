package peer

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// The layout of question and answer, in the machine's byte order but for addresses and ports, which
// are as on the wire. https://man7.org/linux/man-pages/man7/sock_diag.7.html
//
//	nlmsghdr          len 4, type 2, flags 2, seq 4, pid 4
//	inet_diag_req_v2  family 1, protocol 1, ext 1, pad 1, states 4, id 48
//	inet_diag_msg     family 1, state 1, timer 1, retrans 1, id 48, expires 4, rqueue 4, wqueue 4,
//	                  uid 4, inode 4; attributes follow
//	nlmsgerr          error 4, a negative errno; the question follows
//	inet_diag_sockid  sport 2, dport 2, src 16, dst 16, if 4, cookie 8
const (
	headerSize   = unix.SizeofNlMsghdr
	questionSize = headerSize + 8 + sockIDSize
	answerSize   = 4 + sockIDSize + 20
	sockIDSize   = 48
)

// question returns the request for the one TCP socket that is bound to from and connected to to. Both
// are of the same family.
func question(seq uint32, from, to netip.AddrPort) [questionSize]byte {
	var b [questionSize]byte
	binary.NativeEndian.PutUint32(b[0:], questionSize)
	binary.NativeEndian.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST) // without NLM_F_DUMP: one socket, not all
	binary.NativeEndian.PutUint32(b[8:], seq)
	req := b[headerSize:]
	req[0], req[1] = unix.AF_INET, unix.IPPROTO_TCP
	if from.Addr().Is6() {
		req[0] = unix.AF_INET6
	}
	sockID := req[8:]
	binary.BigEndian.PutUint16(sockID[0:], from.Port())
	binary.BigEndian.PutUint16(sockID[2:], to.Port())
	copy(sockID[4:20], from.Addr().AsSlice())
	copy(sockID[20:36], to.Addr().AsSlice())
	// if stays 0. A socket that is bound to a device is not found then, and that is right: its pair of
	// addresses can be the same as that of another one.
	for i := range 8 {
		sockID[40+i] = 0xff // INET_DIAG_NOCOOKIE
	}
	return b
}

// An answer is what the kernel says about a socket.
type answer struct {
	errno    syscall.Errno // why there is nothing else: ENOENT, there is no such socket
	state    uint8
	uid      uint32
	inode    uint32
	from, to netip.AddrPort
}

// errStale is about messages that are no answer to this question but to one before.
var errStale = errors.New("an answer to another question")

// parseAnswer finds the answer to question seq among the messages in b.
func parseAnswer(b []byte, seq uint32) (answer, error) {
	for len(b) >= headerSize {
		size := int64(binary.NativeEndian.Uint32(b))
		if size < headerSize || size > int64(len(b)) {
			return answer{}, errMalformed
		}
		if binary.NativeEndian.Uint32(b[8:]) == seq {
			return parseMessage(binary.NativeEndian.Uint16(b[4:]), b[headerSize:size])
		}
		b = b[min((size+3)&^3, int64(len(b))):]
	}
	return answer{}, errStale
}

var errMalformed = errors.New("the kernel's answer about a socket has another form than expected")

// parseMessage reads what follows the header of a message.
func parseMessage(kind uint16, body []byte) (answer, error) {
	if kind == unix.NLMSG_ERROR && len(body) >= 4 {
		if code := int32(binary.NativeEndian.Uint32(body)); code < 0 && code != -code {
			return answer{errno: syscall.Errno(-code)}, nil
		}
		return answer{}, errMalformed
	}
	if kind != unix.SOCK_DIAG_BY_FAMILY || len(body) < answerSize {
		return answer{}, errMalformed
	}
	a := answer{
		state: body[1],
		uid:   binary.NativeEndian.Uint32(body[64:]),
		inode: binary.NativeEndian.Uint32(body[68:]),
	}
	sockID := body[4 : 4+sockIDSize]
	switch body[0] {
	case unix.AF_INET:
		a.from = netip.AddrPortFrom(netip.AddrFrom4([4]byte(sockID[4:])), binary.BigEndian.Uint16(sockID[0:]))
		a.to = netip.AddrPortFrom(netip.AddrFrom4([4]byte(sockID[20:])), binary.BigEndian.Uint16(sockID[2:]))
	case unix.AF_INET6: // or an IPv4 connection of an IPv6 socket
		a.from = netip.AddrPortFrom(netip.AddrFrom16([16]byte(sockID[4:])).Unmap(), binary.BigEndian.Uint16(sockID[0:]))
		a.to = netip.AddrPortFrom(netip.AddrFrom16([16]byte(sockID[20:])).Unmap(), binary.BigEndian.Uint16(sockID[2:]))
	default:
		return answer{}, errMalformed
	}
	return a, nil
}
