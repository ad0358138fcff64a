package peer

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestPolicyIsWhatWasWritten(t *testing.T) {
	self := fmt.Sprintf("self (uid %d and root)", os.Geteuid())
	if os.Geteuid() == 0 {
		self = "self (root)"
	}
	for text, want := range map[string]struct{ shown, option string }{
		"":                         {self, "self"},
		"self":                     {self, "self"},
		"self,self":                {self, "self"},
		"pod":                      {"pod (everybody in this network namespace)", "pod"},
		"any":                      {"any (everybody, unchecked)", "any"},
		"root":                     {"root (uid 0)", "root"},
		"0":                        {"uid 0", "0"},
		"54322, root ,54321":       {"root (uid 0), uid 54321, uid 54322", "root,54321,54322"},
		"group:54321,54321,self":   {self + ", uid 54321, gid 54321", "self,54321,group:54321"},
		"54321,group:54321,054321": {"uid 54321, gid 54321", "54321,group:54321"},
		"4294967294":               {"uid 4294967294", "4294967294"},
	} {
		p, err := ParsePolicy(text)
		if err != nil {
			t.Errorf("allow=%s: %v", text, err)
		}
		if p.String() != want.shown || p.option() != want.option {
			t.Errorf("allow=%s: got %q and %q, want %q and %q", text, p, p.option(), want.shown, want.option)
		}
	}
	if (Policy{}).String() != self {
		t.Errorf("the zero policy: got %q, want %q", Policy{}, self)
	}
}

func TestPolicyThatSaysNothingClearIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"54321,":                   "an empty item",
		",":                        "an empty item",
		"self,,54321":              "an empty item",
		"self,pod":                 "pod is not alone",
		"any,54321":                "any is not alone",
		"nobody-has-this-name-1":   `there is no user "nobody-has-this-name-1"`,
		"group:no-group-has-this1": `there is no group "no-group-has-this1"`,
		"group:":                   `"" is not the name of a group`,
		"root\x00x":                `"root\x00x" is not the name of a user`,
		"user:root":                `"user:root" is not the name of a user`,
		"-1":                       `there is no user "-1"`,
		"4294967295":               `there is no user "4294967295"`, // no uid either
		"Self":                     `there is no user "Self"`,
	} {
		p, err := ParsePolicy(text)
		e, ok := errors.AsType[*Error](err)
		if !ok || !strings.HasPrefix(e.Error(), want) || e.Hint() == "" {
			t.Errorf("allow=%q: got %v, %v (hint: %s); want %s", text, p, err, hint(err), want)
		}
	}
}

// hint returns the hint of err, or "".
func hint(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Hint()
	}
	return ""
}

func TestRefusalSaysWhatToWrite(t *testing.T) {
	list, err := ParsePolicy("54321,group:54322")
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		who        Peer
		text, hint string
	}{
		"a user with a name": {Peer{Known: true}, `connections of user "root" (uid 0) are not allowed here`,
			"this route lets in uid 54321, gid 54322: connect as one of them, or write allow=54321,group:54322,root on the route"},
		"a user without one": {Peer{Known: true, UID: 54323}, `connections of user with uid 54323 are not allowed here`,
			"this route lets in uid 54321, gid 54322: connect as one of them, or write allow=54321,group:54322,54323 on the route"},
		"a user who has no number here": {Peer{Known: true, UID: 65534, Unmapped: true}, "connections of users that dbvalet's user namespace has no number for (uid 65534) are not allowed here",
			"this route lets in uid 54321, gid 54322: run dbvalet where all users have their numbers, or write allow=54321,group:54322,65534 on the route, which lets in all of them"},
	} {
		err := list.admit(row.who)
		if err == nil || err.Error() != row.text || hint(err) != row.hint {
			t.Errorf("%s:\ngot  %v (hint: %s)\nwant %s (hint: %s)", name, err, hint(err), row.text, row.hint)
		}
	}
}

// One who stands for all users without a number is never taken for the own user, whose number may be
// the same.
func TestSelfIsNotWhoeverHasNoNumber(t *testing.T) {
	who := Peer{Known: true, UID: self(), Unmapped: true}
	if err := (Policy{}).admit(who); err == nil {
		t.Error("a user without a number was taken for the own")
	}
	who.Unmapped = false
	if err := (Policy{}).admit(who); err != nil {
		t.Error(err)
	}
}

func TestPeerIsShownAsFarAsKnown(t *testing.T) {
	for want, who := range map[string]Peer{
		"unknown":                               {},
		"root (uid 0)":                          {Known: true},
		"uid 54321":                             {Known: true, UID: 54321},
		"a user without a number here (uid 99)": {Known: true, UID: 99, Unmapped: true},
	} {
		if got := who.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logger.Info("x", "peer", Peer{Known: true, PID: 7})
	logger.Info("x", "peer", Peer{Known: true, Unmapped: true})
	logger.Info("x", "peer", Peer{})
	for _, want := range []string{"peer.uid=0 peer.user=root peer.pid=7", "peer.uid=0 peer.unmapped=true", "peer=unknown"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("got the log %q, want %s in it", &log, want)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	for _, text := range []string{"", "self", "pod", "any", "self,root,54321,group:54321,group:root", " 1 , 2 ,", "root\x00", "group:group:1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePolicy(text)
		if err != nil {
			if hint(err) == "" || !reflect.DeepEqual(p, Policy{}) {
				t.Errorf("got %+v, %v without a hint", p, err)
			}
			return
		}
		again, err := ParsePolicy(p.option())
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("%q is %+v, and written as %q, %+v (%v)", text, p, p.option(), again, err)
		}
		if p.kind == anyone && strings.TrimSpace(text) != "any" || p.kind == pod && strings.TrimSpace(text) != "pod" {
			t.Errorf("%q lets everybody in", text)
		}
	})
}
