package servers

import (
	"strings"
	"testing"
)

func TestMissingChromiumIsSaid(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Browser(t.Context(), "x.js"); err == nil || !strings.Contains(err.Error(), "apt-get install chromium") {
		t.Errorf("got %v, want what to install", err)
	}
}
