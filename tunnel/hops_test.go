package tunnel

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestHopsAreRead(t *testing.T) {
	for text, want := range map[string]Hop{
		"ssh://bastion":                      {Kind: SSH, Host: "bastion"},
		"ssh://app@bastion.example.com:2222": {Kind: SSH, User: "app", Host: "bastion.example.com", Port: "2222"},
		"ssh://a@example.com@bastion":        {Kind: SSH, User: "a@example.com", Host: "bastion"},
		"ssh://[2001:db8::1]":                {Kind: SSH, Host: "2001:db8::1"},
		"ssh://u@[fe80::1%25eth0]:22":        {Kind: SSH, User: "u", Host: "fe80::1%eth0", Port: "22"},
		"socks5://127.0.0.1:1080":            {Kind: SOCKS5, Host: "127.0.0.1", Port: "1080"},
		"socks5h://me@proxy":                 {Kind: SOCKS5, User: "me", Host: "proxy"},
		"http://proxy:3128/":                 {Kind: HTTP, Host: "proxy", Port: "3128"},
		"https://proxy":                      {Kind: HTTPS, Host: "proxy"},
		"unix:/run//db":                      {Kind: Unix, Path: "/run/db"},
	} {
		hops, err := ParseHops([]string{text})
		if err != nil || !reflect.DeepEqual(hops, []Hop{want}) {
			t.Errorf("%s: got %+v, %v", text, hops, err)
		}
	}
	if hops, err := ParseHops([]string{"ssh://a", "ssh://b", "unix:/x"}); err != nil || len(hops) != 3 {
		t.Errorf("several: got %v, %v", hops, err)
	}
}

func TestHopsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, row := range []struct{ list, want string }{
		{"bastion", "hop 1: not a URL"},
		{"", "hop 1: not a URL"},
		{"ssh://", "can't be"},
		{"ssh://u:hunter2@bastion", "password"},
		{"ssh://u:hunter2/x@y@bastion", "password"},
		{"socks5://u:hunter2@proxy", "password"},
		{"http://u@proxy", "a user for http://"},
		{"ftp://host", "ftp is no kind of hop"},
		{"hunter2 x://host", "not a URL"},
		{"ssh://host:0", "port"},
		{"ssh://host:65536", "port"},
		{"ssh://host:x", "not a URL"},
		{"ssh://host/path", "behind the host"},
		{"ssh://host?x", "behind the host"},
		{"ssh://host#x", "behind the host"},
		{"ssh://-oProxyCommand=x", "can't be"},
		{"ssh://-l@host", "can't be"},
		{"ssh://$(x)@host", "can't be"},
		{"unix:path", "not absolute"},
		{"unix:/a,ssh://b", "hop 1: unix: stands for"},
		{"http://p,unix:/a", "hop 2: only ssh://"},
		{"ssh://a,ssh://a,ssh://a,ssh://a,ssh://a,ssh://a,ssh://a,ssh://a,ssh://a", "hop 9: there may be 8"},
	} {
		_, err := ParseHops(strings.Split(row.list, ","))
		e, ok := errors.AsType[*HopError](err)
		if !ok || !strings.Contains(err.Error(), row.want) || e.Hint() == "" {
			t.Errorf("%s: got %v, want %q", row.list, err, row.want)
		}
		if err != nil && strings.Contains(err.Error()+e.Hint(), "hunter2") {
			t.Errorf("%s: %v shows the password", row.list, err)
		}
	}
}

func FuzzHops(f *testing.F) {
	for _, seed := range []string{"ssh://app@bastion:2222,unix:/run/db", "socks5://127.0.0.1", "https://proxy:3128", "ssh://[fe80::1%25eth0]:22", "ssh://u:p@h", "ssh://a@b@c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		hops, err := ParseHops(strings.Split(text, ","))
		if err != nil {
			if _, ok := errors.AsType[*HopError](err); !ok {
				t.Fatalf("got %T", err)
			}
			return
		}
		for _, h := range hops {
			if strings.ContainsAny(h.Host+h.User, " \t\n'\"`$;&|<>()\\") || strings.HasPrefix(h.Host, "-") || strings.HasPrefix(h.User, "-") {
				t.Errorf("%+v is no good in a shell", h)
			}
			if h.Kind != Unix && strings.Contains(h.User, ":") {
				t.Errorf("%+v has a password", h)
			}
		}
	})
}

func FuzzSSHConfig(f *testing.F) {
	f.Add("Host a*\n HostName=\"x y\" # z\nMatch host b,!c\n Port 22\nInclude nowhere\n", "abc")
	f.Fuzz(func(t *testing.T, content, host string) {
		c := &sshConfig{host: host, home: "/nonexistent", values: map[string][]string{}}
		if strings.Contains(strings.ToLower(content), "include") {
			return // which reads files of the machine
		}
		if err := c.parse(content, true, 0); err != nil {
			t.Fatal(err)
		}
		for key, words := range c.values {
			if len(words) == 0 {
				t.Errorf("%s is set to nothing", key)
			}
		}
		_, _ = c.jumps()
	})
}
