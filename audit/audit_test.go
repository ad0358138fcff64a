package audit

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dbvalet/proxy"
	"dbvalet/proxy/proxytest"
)

// read decodes every line of a file, strictly.
func read(t *testing.T, path string) (records []record) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(proxytest.Secret)) {
		t.Errorf("the password is in the audit:\n%s", text)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		t.Errorf("the last line is not whole:\n%s", text)
	}
	for line := range bytes.Lines(text) {
		var r record
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		records = append(records, r)
	}
	return records
}

// openTemp opens an audit in a file.
func openTemp(t *testing.T) (*Audit, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.json")
	a, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a, path
}

func TestASessionIsRecordedAtStartAndEnd(t *testing.T) {
	a, path := openTemp(t)
	s := proxytest.New(t, a.For("orders"))
	addr, stop := proxytest.Serve(t, s)
	c := proxytest.Dial(t, addr)
	proxytest.Say(t, c, "SELECT hidden")
	c.Close()
	proxytest.Soon(t, "the session's end", func() bool { return s.Counts.Open.Load() == 0 })
	stop()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	records := read(t, path)
	if len(records) != 2 {
		t.Fatalf("got %+v, want two records", records)
	}
	start, end := records[0], records[1]
	if start.Event != "session_start" || end.Event != "session_end" || start.ID == "" || start.ID != end.ID {
		t.Errorf("got %s of %s and %s of %s", start.Event, start.ID, end.Event, end.ID)
	}
	for _, r := range records {
		when, err := time.Parse(time.RFC3339, r.Time)
		if err != nil || !strings.HasSuffix(r.Time, "Z") || time.Since(when) > time.Minute {
			t.Errorf("the time is %q, %v", r.Time, err)
		}
		if r.Route != "orders" || r.Listener != addr || r.Upstream != s.Upstream.Endpoint.Addr || r.Peer.Address != c.LocalAddr().String() ||
			r.Peer.UID == nil || int(*r.Peer.UID) != os.Getuid() || r.Peer.PID != os.Getpid() || r.Peer.Program == "" {
			t.Errorf("got %+v", r)
		}
		if r.User != "app" || r.Database != "orders" || r.Application != "test [31m" || r.Credential == nil || r.Credential.ID != "key 7" || r.Credential.Expires == "" {
			t.Errorf("got %+v, credential %+v", r, r.Credential)
		}
		if r.SetUp.Total <= 0 || r.SetUp.Credential == nil || r.SetUp.Dial == nil || r.SetUp.TLS == nil || r.SetUp.Auth == nil {
			t.Errorf("got the set-up %+v", r.SetUp)
		}
	}
	if start.FromClient != nil || start.Duration != nil || end.FromClient == nil || *end.FromClient != 13 || *end.FromUpstream != 13 || *end.Duration <= 0 || end.Error != "" || end.Stage != "" {
		t.Errorf("got %+v and %+v", start, end)
	}
	if text, _ := os.ReadFile(path); bytes.Contains(text, []byte("hidden")) {
		t.Error("what the client said is in the audit")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v; want mode 0600", info.Mode(), err)
	}
}

func TestARefusalIsRecordedWithStageAndError(t *testing.T) {
	for _, stage := range []proxy.Stage{proxy.StagePeer, proxy.StageLimit, proxy.StageCredential, proxy.StageDial, proxy.StageTLS, proxy.StageAuth} {
		t.Run(string(stage), func(t *testing.T) {
			a, path := openTemp(t)
			s := proxytest.New(t, a.For("orders"))
			proxytest.At(t, s, stage)
			addr, stop := proxytest.Serve(t, s)
			proxytest.HearEnd(t, proxytest.Dial(t, addr))
			stop()
			a.Close()
			records := read(t, path)
			if len(records) != 1 || records[0].Event != "refused" || records[0].Stage != string(stage) || records[0].Error == "" {
				t.Fatalf("got %+v, want one that is refused at %s", records, stage)
			}
			if dialled := stage == proxy.StageDial || stage == proxy.StageTLS || stage == proxy.StageAuth; dialled != (records[0].Upstream != "") {
				t.Errorf("the upstream is %q", records[0].Upstream)
			}
		})
	}
}

func TestReopenFollowsARenamedFile(t *testing.T) {
	a, path := openTemp(t)
	write(a, "one")
	proxytest.Soon(t, "the first record", func() bool { text, _ := os.ReadFile(path); return len(text) > 0 })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	a.Reopen()
	write(a, "two")
	a.Close()
	if old, now := read(t, path+".1"), read(t, path); len(old) != 1 || old[0].ID != "one" || len(now) != 1 || now[0].ID != "two" {
		t.Errorf("got %+v in the old file and %+v in the new one", old, now)
	}
}

func write(a *Audit, id string) {
	a.For("r").Observe(proxy.Refused, &proxy.Record{ID: id, Accepted: time.Now(), Err: io.EOF})
}

// TestAFileThatIsGoneIsNoticed covers a rotation that nobody tells of.
func TestAFileThatIsGoneIsNoticed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.json")
	var log bytes.Buffer
	f, err := openFile(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f.looks = time.Time{} // long ago
	if _, err := f.Write([]byte("{}\n")); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "{}\n" || !strings.Contains(log.String(), "has gone") {
		t.Errorf("got %q, %v, and the log %s", text, err, log.String())
	}
}

func TestAFullDiskIsLoggedOnceAndCounted(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full here")
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	f := &file{path: "/dev/full", log: slog.New(slog.NewTextHandler(&log, nil)), now: full, ok: true, looks: time.Now()}
	a := open(f, f, slog.New(slog.DiscardHandler))
	write(a, "one")
	write(a, "two")
	a.Close()
	if a.Dropped() != 2 || strings.Count(log.String(), "can't be written") != 1 {
		t.Errorf("%d are dropped, and the log is\n%s", a.Dropped(), log.String())
	}
}

// TestALineIsWholeOnceThereIsSpaceAgain has a pipe with room for half of one.
func TestALineIsWholeOnceThereIsSpaceAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.json")
	f, err := openFile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.now.WriteString(`{"one`); err != nil {
		t.Fatal(err)
	}
	f.rest = []byte(`":1}` + "\n") // what found no space
	if _, err := f.Write([]byte(`{"two":2}` + "\n")); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "{\"one\":1}\n{\"two\":2}\n" {
		t.Errorf("got %q, %v", text, err)
	}
}

// TestASinkThatBlocksHoldsNobodyUp has a pipe without a reader, which is full after 64 KiB.
func TestASinkThatBlocksHoldsNobodyUp(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	a := open(w, nil, slog.New(slog.DiscardHandler))
	for range 6000 {
		write(a, "x")
	}
	if a.Dropped() == 0 {
		t.Error("nothing was dropped")
	}
	s := proxytest.New(t, a.For("r"))
	addr, _ := proxytest.Serve(t, s)
	proxytest.Say(t, proxytest.Dial(t, addr), "hello")
	go func() { _, _ = io.Copy(io.Discard, r) }()
	a.Close()
}

func TestNamesOfClientsAreBounded(t *testing.T) {
	if got := name(strings.Repeat("x", 10_000)); len(got) > 300 {
		t.Errorf("a name of 10,000 bytes takes %d", len(got))
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	for _, target := range []string{"", filepath.Join(t.TempDir(), "none", "audit.json")} {
		if a, err := Open(target, nil); err == nil {
			a.Close()
			t.Errorf("%q was opened", target)
		}
	}
}
