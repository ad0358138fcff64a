package peer

import (
	"errors"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// A Policy says who may come in. The zero Policy is self. ParsePolicy makes the others.
type Policy struct {
	kind   kind
	self   bool // of a list: the own user and root are on it
	users  []id // of a list, by number
	groups []id // of a list, by number
}

type kind int

const (
	listed kind = iota // those on the list; an empty one is self
	pod                // everybody who can be identified
	anyone             // everybody
)

// root is the uid of root, in every user namespace.
const root = 0

// Check returns who is at the other end of conn, and nil if they may come in. The error is an *Error
// that says who was refused, or why it can't be known who it is, and whose Hint says what to set. It
// matches ErrGone if the client has left already. Calls may be concurrent.
//
// A list with groups needs the user's groups on TCP, which are looked up then and there.
func (p Policy) Check(conn net.Conn) (Peer, error) {
	who, err := Of(conn)
	if p.kind == anyone {
		return who, nil
	}
	if err != nil {
		return who, err
	}
	return who, p.admit(who)
}

// admit returns nil if who, who is known, may come in.
func (p Policy) admit(who Peer) error {
	if p.kind == pod || has(p.users, who.UID) {
		return nil
	}
	if who.Unmapped {
		return p.refuse(who, nil)
	}
	if p.admitsSelf() && (who.UID == root || who.UID == self()) {
		return nil
	}
	if len(p.groups) == 0 {
		return p.refuse(who, nil)
	}
	groups, err := groupsOf(who)
	if err != nil || !slices.ContainsFunc(groups, func(gid uint32) bool { return has(p.groups, gid) }) {
		return p.refuse(who, err)
	}
	return nil
}

// refuse returns the error for who, who is not let in, with err if a look-up failed.
func (p Policy) refuse(who Peer, err error) error {
	if who.Unmapped {
		return newError("connections of users that dbvalet's user namespace has no number for (uid %d) are not allowed here", who.UID).
			withHint("this route lets in %v: run dbvalet where all users have their numbers, or write allow=%s,%d on the route, which lets in all of them", p, p.option(), who.UID)
	}
	name := who.name()
	client, item := id{who.UID, name}.quoted(), name
	if !plainName(name) {
		item = strconv.FormatUint(uint64(who.UID), 10)
	}
	e := newError("connections of user %s are not allowed here", client)
	if err != nil {
		e = newError("connections of user %s are not allowed here, whose groups can't be looked up: %w", client, err)
	}
	return e.withHint("this route lets in %v: connect as one of them, or write allow=%s,%s on the route", p, p.option(), item)
}

func (p Policy) admitsSelf() bool {
	return p.self || p.kind == listed && len(p.users)+len(p.groups) == 0
}

// String says who may come in, for people to read: self (uid 1000 and root), alice (uid 1001).
func (p Policy) String() string {
	switch p.kind {
	case pod:
		return "pod (everybody in this network namespace)"
	case anyone:
		return "any (everybody, unchecked)"
	}
	var who []string
	if p.admitsSelf() {
		if uid := self(); uid == root {
			who = append(who, "self (root)")
		} else {
			who = append(who, "self (uid "+strconv.FormatUint(uint64(uid), 10)+" and root)")
		}
	}
	for _, u := range p.users {
		who = append(who, u.user())
	}
	for _, g := range p.groups {
		who = append(who, g.group())
	}
	return strings.Join(who, ", ")
}

// self is the user whose rights this process has; it is asked each time, as a process may give up
// root after the policies were read.
func self() uint32 { return uint32(os.Geteuid()) }

// groupsOf returns the groups of a user. On a unix socket the kernel said which the process had; on
// TCP it is those that the user has.
func groupsOf(who Peer) ([]uint32, error) {
	if who.Inode == 0 {
		return append([]uint32{who.GID}, who.Groups...), nil
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(who.UID), 10))
	if _, none := errors.AsType[user.UnknownUserIdError](err); none {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	texts, err := u.GroupIds()
	var groups []uint32
	for _, text := range texts {
		if gid, isID := parseID(text); isID {
			groups = append(groups, gid)
		}
	}
	return groups, err
}
