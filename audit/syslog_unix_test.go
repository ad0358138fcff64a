//go:build !windows && !plan9

package audit

import (
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSyslogGetsRecords(t *testing.T) {
	dir, err := os.MkdirTemp("", "dbvalet")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "log"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	sink, err := openSyslog("unixgram", filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	a := open(sink, sink, slog.New(slog.DiscardHandler))
	write(a, "one")
	_ = server.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 4096)
	n, err := server.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	got := string(buf[:n])
	// Facility auth and severity info are <38>.
	if _, text, _ := strings.Cut(got, ": "); !strings.HasPrefix(got, "<38>") || !strings.Contains(got, "dbvalet[") || !json.Valid([]byte(text)) {
		t.Errorf("syslog got %q", got)
	}
	a.Close()
}
