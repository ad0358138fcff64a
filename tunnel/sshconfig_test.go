package tunnel

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestSSHConfigIsReadAsOpenSSHDoes(t *testing.T) {
	h := newHome(t)
	h.write(".ssh/config.d/00-directory/ignored", "User nobody\n")
	h.write(".ssh/config.d/10-first", "Host bastion\n\tUser included\n\tPort 2222\n")
	h.write(".ssh/config", `
IdentityFile "~/.ssh/first key"
Include config.d/*
Match exec "test -e /"
	User never
Match all
	IdentityFile ~/.ssh/second
Host *.example.com !secret.example.com
	HostName %h.internal
	user inner # said at the end
Host bastion
	User late
Match originalhost bastion,other host b*
	ForwardAgent no
Match host a.example.com
	Port 1
Match host a.example.com.internal originalhost a.example.com
	Port 2200
Match user nobody
	Port 1
Host never
	Include nowhere
`)
	for host, want := range map[string]map[string][]string{
		"bastion":            {"user": {"included"}, "port": {"2222"}, "identityfile": {"~/.ssh/first key", "~/.ssh/second"}, "forwardagent": {"no"}},
		"a.example.com":      {"user": {"inner"}, "hostname": {"%h.internal"}, "port": {"2200"}, "identityfile": {"~/.ssh/first key", "~/.ssh/second"}},
		"secret.example.com": {"identityfile": {"~/.ssh/first key", "~/.ssh/second"}},
	} {
		c, err := readSSHConfig(h.dir, host)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.EqualFunc(c.values, want, slices.Equal) {
			t.Errorf("%s: got %v, want %v", host, c.values, want)
		}
	}
}

// What is said first about the way counts, be it ProxyJump or ProxyCommand, as "ssh -G" says.
func TestTheFirstThatLeadsToAHostCounts(t *testing.T) {
	h := newHome(t)
	h.write(".ssh/config", `
Host direct
	ProxyCommand none
Host by-jump
	ProxyJump first
Host by-command
	ProxyCommand nc %h %p
Host * !direct-then-command
	ProxyJump second
Host direct-then-command
	ProxyJump none
Host *
	ProxyCommand nc %h %p
`)
	for host, want := range map[string]struct {
		jumps   string
		command bool
	}{
		"direct":              {"[]", false},
		"by-jump":             {"[ssh://first]", false},
		"by-command":          {"[]", true},
		"another":             {"[ssh://second]", false},
		"direct-then-command": {"[]", true},
	} {
		c, err := readSSHConfig(h.dir, host)
		if err != nil {
			t.Fatal(err)
		}
		jumps, err := c.jumps()
		if fmt.Sprint(jumps) != want.jumps || (err != nil) != want.command {
			t.Errorf("%s: got %v, %v", host, jumps, err)
		}
	}
}

// What via= names before a host leads there, whatever ~/.ssh/config says does.
func TestTheWayToALaterHopIsThatOfTheHopsBeforeIt(t *testing.T) {
	h := newHome(t)
	h.write(".ssh/config", "Host inner\n\tProxyCommand ssh -W %h:%p jump\nHost deeper\n\tProxyJump jump,elsewhere\n")
	d := h.dialer(hurried, "ssh://u@jump", "ssh://u@inner", "ssh://u@deeper")
	var names []string
	for _, b := range d.bastions {
		names = append(names, b.host.name)
	}
	if want := []string{"jump", "inner", "deeper"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestFilesThatIncludeOneAnotherAreAnError(t *testing.T) {
	h := newHome(t)
	h.write(".ssh/config", "Include config\n")
	if _, err := readSSHConfig(h.dir, "x"); err == nil || !strings.Contains(err.Error(), "include one another") {
		t.Errorf("got %v", err)
	}
}

func TestWhereABastionIs(t *testing.T) {
	h := newHome(t)
	h.write(".ssh/config", `
Host a
	HostName a.example.com
	HostKeyAlias alias
	UserKnownHostsFile /x/%h ~/y
	IdentityFile ~/%n-%p-%r
	IdentityAgent none
	User someone
Host b
	IdentityAgent $OTHER_AGENT
`)
	h.env["OTHER_AGENT"], h.env["SSH_AUTH_SOCK"] = "/other", "/shell"
	in := func(path string) string { return filepath.Join(h.dir, path) }
	for _, row := range []struct {
		hop         string
		name, port  string
		user        string
		keyName     string
		agent       string
		keys, known []string
		command     string
	}{
		{"ssh://a", "a.example.com", "22", "someone", "alias:22", "", []string{in("a-22-someone")}, []string{"/x/a.example.com", in("y"), globalKnownHosts[0], globalKnownHosts[1]}, "ssh a"},
		{"ssh://root@a:2222", "a.example.com", "2222", "root", "alias:22", "", []string{in("a-2222-root")}, []string{"/x/a.example.com", in("y"), globalKnownHosts[0], globalKnownHosts[1]}, "ssh -p 2222 root@a"},
		{"ssh://root@b", "b", "22", "root", "b:22", "/other", nil, []string{in(".ssh/known_hosts"), in(".ssh/known_hosts2"), globalKnownHosts[0], globalKnownHosts[1]}, "ssh root@b"},
		{"ssh://root@C.Example.com", "C.Example.com", "22", "root", "c.example.com:22", "/shell", nil, []string{in(".ssh/known_hosts"), in(".ssh/known_hosts2"), globalKnownHosts[0], globalKnownHosts[1]}, "ssh root@C.Example.com"},
		{"ssh://root@[::1]:2222", "::1", "2222", "root", "[::1]:2222", "/shell", nil, []string{in(".ssh/known_hosts"), in(".ssh/known_hosts2"), globalKnownHosts[0], globalKnownHosts[1]}, "ssh -p 2222 root@::1"},
	} {
		o := h.options(row.hop)
		s, err := o.resolve(o.Hops[0], true)
		if err != nil {
			t.Fatal(err)
		}
		if s.name != row.name || s.port != row.port || s.user != row.user || s.keyName != row.keyName || s.agent != row.agent || s.command != row.command {
			t.Errorf("%s: got %+v", row.hop, s)
		}
		if !reflect.DeepEqual(s.keys, row.keys) || !reflect.DeepEqual(s.knownHosts, row.known) {
			t.Errorf("%s: keys %v, known hosts %v", row.hop, s.keys, s.knownHosts)
		}
	}
}

func TestWildcards(t *testing.T) {
	for _, row := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true}, {"*", "x", true}, {"?", "", false}, {"a?c", "abc", true}, {"*.b", "a.b", true}, {"*.b", "a.b.c", false},
		{"a*b*c", "aXbYbZc", true}, {"a*b*c", "aXbYbZ", false}, {"", "", true}, {"", "a", false}, {"**", "ab", true}, {"a", "ab", false},
	} {
		if got := wildcard(row.pattern, row.text); got != row.want {
			t.Errorf("%q, %q: got %v", row.pattern, row.text, got)
		}
	}
}
