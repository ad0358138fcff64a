package dbtls

import (
	"strings"
	"testing"
)

func TestModesHaveNames(t *testing.T) {
	for name, want := range map[string]Mode{"verify-full": VerifyFull, "verify-ca": VerifyCA, "require": Require, "zero-config": ZeroConfig} {
		got, err := ParseMode(name)
		if err != nil || got != want {
			t.Errorf("ParseMode(%q): got %v, %v, want %v", name, got, err, want)
		}
		if got.String() != name {
			t.Errorf("got %q, want %q", got, name)
		}
	}
	if got := Mode(7).String(); got != "Mode(7)" {
		t.Errorf("got %q, want Mode(7)", got)
	}
}

func TestZeroModeIsStrictest(t *testing.T) {
	var mode Mode
	if mode != VerifyFull {
		t.Errorf("got %v, want verify-full", mode)
	}
}

func TestRefusedModesSayWhy(t *testing.T) {
	rows := []struct{ mode, text, hint string }{
		{"disable", "in clear", "verify-full"},
		{"allow", "talk the connection down", "verify-full"},
		{"prefer", "talk the connection down", "verify-full"},
		{"VERIFY_IDENTITY", "unknown TLS mode", "MySQL calls them"},
		{"Require", "unknown TLS mode", "verify-full, verify-ca or require"},
		{"", "unknown TLS mode", "verify-full, verify-ca or require"},
	}
	for _, row := range rows {
		_, err := ParseMode(row.mode)
		e := asError(t, err)
		if !strings.Contains(e.Error(), row.text) || !strings.Contains(e.Hint(), row.hint) || !e.Final() {
			t.Errorf("%q: got %q, hint %q, final %v", row.mode, e, e.Hint(), e.Final())
		}
	}
}
