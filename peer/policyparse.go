package peer

import (
	"cmp"
	"errors"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// syntax is the hint about what can be written.
const syntax = "write self, users and group:NAME between commas, such as allow=self,alice,group:dba; or pod or any alone"

// ParsePolicy reads what a route's allow= says:
//
//	self          the user whose rights dbvalet has, and root; also "", the default
//	pod           every process of the same network namespace, whoever it belongs to; on a unix socket
//	              whoever the mode of its file lets connect
//	any           everybody, even who can't be identified
//	alice         a user, or a uid: 1001
//	group:dba     the members of a group, or of a gid: group:1001
//
// All but pod and any can be combined, with commas. Names are looked up once, here, and a user whose
// name is one of the words above is written as a uid. The error is an *Error.
func ParsePolicy(list string) (Policy, error) {
	unmappedUID(root) // reads what it needs now, as the process may soon have no access to it
	switch strings.TrimSpace(list) {
	case "", "self":
		return Policy{self: true}, nil
	case "pod":
		return Policy{kind: pod}, nil
	case "any":
		return Policy{kind: anyone}, nil
	}
	var p Policy
	for item := range strings.SplitSeq(list, ",") {
		if err := p.add(strings.TrimSpace(item)); err != nil {
			return Policy{}, err
		}
	}
	p.users, p.groups = canonical(p.users), canonical(p.groups)
	return p, nil
}

// add puts an item on the list.
func (p *Policy) add(item string) error {
	group, isGroup := strings.CutPrefix(item, "group:")
	switch {
	case item == "":
		return newError("an empty item in allow=").withHint("remove the comma that is too many")
	case item == "self":
		p.self = true
		return nil
	case item == "pod" || item == "any":
		return newError("%s is not alone in allow=", item).withHint("write allow=%s, which lets in all the others too, or leave it out", item)
	case isGroup:
		g, err := lookUp("group", group, groupID)
		p.groups = append(p.groups, g)
		return err
	}
	u, err := lookUp("user", item, userID)
	p.users = append(p.users, u)
	return err
}

// canonical sorts ids, and keeps one of each.
func canonical(ids []id) []id {
	slices.SortStableFunc(ids, func(a, b id) int { return cmp.Compare(a.number, b.number) })
	return slices.CompactFunc(ids, func(a, b id) bool { return a.number == b.number })
}

// option returns the policy as it is written on a route.
func (p Policy) option() string {
	switch p.kind {
	case pod:
		return "pod"
	case anyone:
		return "any"
	}
	var items []string
	if p.admitsSelf() {
		items = append(items, "self")
	}
	for _, u := range p.users {
		items = append(items, u.text())
	}
	for _, g := range p.groups {
		items = append(items, "group:"+g.text())
	}
	return strings.Join(items, ",")
}

// lookUp returns the id that name has, or is; kind is user or group.
func lookUp(kind, name string, number func(name string) (string, error)) (id, error) {
	if n, isID := parseID(name); isID {
		return id{number: n}, nil
	}
	// What no name can be is not asked for: a C library takes a name to end at its first zero.
	if !plainName(name) {
		return id{}, newError("%q is not the name of a %s, in allow=", name, kind).withHint("%s", syntax)
	}
	text, err := number(name)
	_, noUser := errors.AsType[user.UnknownUserError](err)
	_, noGroup := errors.AsType[user.UnknownGroupError](err)
	if noUser || noGroup {
		return id{}, newError("there is no %s %q, in allow=", kind, name).
			withHint("check the name (getent passwd, getent group), or write the number; %s", syntax)
	}
	if err != nil {
		return id{}, newError("look up %s %q, in allow=: %w", kind, name, err).withHint("write the number in place of the name")
	}
	n, isID := parseID(text)
	if !isID {
		return id{}, newError("%s %q has no number on this platform, in allow=", kind, name).withHint("%s", letAllIn)
	}
	return id{n, name}, nil
}

func userID(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func groupID(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

// parseID reads the number of a user or a group. The greatest is none: it stands for "no user".
func parseID(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && uint32(n) != noID
}

// noID is what system calls have for "no user" and "no group", (uid_t)-1.
const noID = ^uint32(0)

// plainName reports whether name can be written in a list.
func plainName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r == ',' || r == ':' || unicode.IsSpace(r) || !unicode.IsPrint(r)
	})
}
