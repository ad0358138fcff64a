package proxy

import (
	"errors"
	"testing"
)

func TestTargetsMeanWhatTheyMeanToLibpq(t *testing.T) {
	for _, row := range []struct {
		target                           string
		writer, readOnlyPrimary, standby bool
	}{
		{"", true, true, true},
		{"any", true, true, true},
		{"read-write", true, false, false},
		{"read-only", false, true, true},
		{"primary", true, true, false},
		{"standby", false, false, true},
	} {
		target, err := ParseTarget(row.target)
		if err != nil {
			t.Fatal(err)
		}
		for _, server := range []struct {
			name              string
			standby, readOnly bool
			want              bool
		}{
			{"writer", false, false, row.writer},
			{"read-only primary", false, true, row.readOnlyPrimary},
			{"standby", true, true, row.standby},
		} {
			err := target.Check(server.standby, server.readOnly)
			if (err == nil) != server.want || err != nil && !errors.Is(err, ErrUnfit) {
				t.Errorf("%s for %q: got %v, want it to do: %v", server.name, row.target, err, server.want)
			}
		}
	}
	if _, err := ParseTarget("writer"); err == nil {
		t.Error("an unknown word is taken")
	}
}
