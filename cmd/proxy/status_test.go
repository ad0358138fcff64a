package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dbvalet/admin"
	"dbvalet/config"
)

// answersStatus serves what status returns, and returns the flag that says where.
func answersStatus(t *testing.T, status func() any) string {
	t.Helper()
	at, _ := answersAsked(t, "127.0.0.1:0", &admin.Server{Log: slog.New(slog.DiscardHandler), Status: status})
	return "--admin=" + at
}

// sample is a dbvalet with one route that is served, one that is not, and a session.
func sample() status {
	return status{Version: "1.2.3", State: "ready", Routes: []routeStatus{
		{
			Name: "orders", State: "served", Listen: []string{"127.0.0.1:5432", "[::1]:5432"}, Upstream: "db.example.com:5432",
			Auth: "aws-iam", OpenSessions: 1, Sessions: 7, Failed: 2, Clients: []clientStatus{{
				Session: "k3", Since: time.Now().Add(-time.Hour), Client: "127.0.0.1:40000", PID: 4711, Program: "psql",
				User: "app", Database: "or\x1b[2Jders", FromClient: 12, FromUpstream: 3_456_789, Idle: true,
			}},
		},
		{Name: "shop", State: "failed", Error: "no route to it", Hint: "write one"},
	}}
}

func TestStatusShowsRoutesAndSessions(t *testing.T) {
	flag := answersStatus(t, func() any { return sample() })
	stdout, err := asked(t, newStatusCommand, flag)
	if err == nil || err.Error() != "not served: shop" {
		t.Errorf("got error %v, want that shop is not served", err)
	}
	for _, want := range []string{
		"dbvalet 1.2.3 is ready\n\n",
		"ROUTE   STATE   LISTEN                     UPSTREAM             AUTH     OPEN  SESSIONS  FAILED\n",
		"orders  served  127.0.0.1:5432 [::1]:5432  db.example.com:5432  aws-iam  1     7         2\n",
		"\nshop: no route to it\nhint: write one\n",
		"k3       orders  1h0m0s  psql (4711)  app   or [2Jders  12 B  3.5 MB    idle\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("got\n%s\nwant in it\n%s", stdout, want)
		}
	}
}

func TestStatusIsGoodWhereAllRoutesAreServed(t *testing.T) {
	flag := answersStatus(t, func() any { return status{State: "ready", Routes: sample().Routes[:1]} })
	if _, err := asked(t, newStatusCommand, flag); err != nil {
		t.Errorf("got %v, want no error", err)
	}
}

// A reload took it away on purpose.
func TestStatusIsGoodWhereTheSessionsOfAFormerRouteLiveOn(t *testing.T) {
	flag := answersStatus(t, func() any {
		s := status{State: "ready", Routes: append(sample().Routes[:1], sample().Routes[0])}
		s.Routes[1].Name, s.Routes[1].State = "former", "leaving"
		return s
	})
	if stdout, err := asked(t, newStatusCommand, flag); err != nil || !strings.Contains(stdout, "former  leaving") {
		t.Errorf("got %v and\n%s\nwant it shown, and no error", err, stdout)
	}
}

// TestStatusAsJSONIsVerbatim has a newer dbvalet answer, which says more.
func TestStatusAsJSONIsVerbatim(t *testing.T) {
	answer := map[string]any{"state": "ready", "routes": []any{map[string]any{"name": "a", "state": "served", "credential": map[string]any{"age": 3}}}, "new": true}
	flag := answersStatus(t, func() any { return answer })
	stdout, err := asked(t, newStatusCommand, flag, "--json")
	var got map[string]any
	if err := errors.Join(err, json.Unmarshal([]byte(stdout), &got)); err != nil {
		t.Fatal(err)
	}
	route, _ := got["routes"].([]any)[0].(map[string]any)
	if got["new"] != true || route["credential"] == nil {
		t.Errorf("got %s, want all that was said", stdout)
	}
}

func TestStatusHasRoomForManySessions(t *testing.T) {
	many := sample()
	many.Routes = many.Routes[:1]
	for range 10_000 {
		many.Routes[0].Clients = append(many.Routes[0].Clients, many.Routes[0].Clients[0])
	}
	flag := answersStatus(t, func() any { return many })
	stdout, err := asked(t, newStatusCommand, flag)
	if rows := strings.Count(stdout, "psql (4711)"); err != nil || rows != 10_001 {
		t.Errorf("got %d sessions, %v", rows, err)
	}
}

func TestAnswerWithoutEndIsAnErrorOfItsOwn(t *testing.T) {
	endless := "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat(" ", maxAnswer+1)
	if _, err := asked(t, newStatusCommand, answersRaw(t, endless)); err == nil || !strings.Contains(err.Error(), "is longer than") {
		t.Errorf("got %v, want that it is too long", err)
	}
}

func TestWatchedStatusIsWrittenAgainUntilInterrupted(t *testing.T) {
	asks := make(chan bool, 100)
	flag := answersStatus(t, func() any { asks <- true; return sample() })
	cmd, out := newStatusCommand(nil), newScreen()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(out)
	cmd.SetArgs([]string{"--watch", flag})
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(t.Context()) }()
	for range 2 {
		select {
		case <-asks:
		case <-time.After(patience):
			t.Fatal("it was not asked again")
		}
	}
	out.await(t, "Ctrl-C ends")
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err := <-ended
	if e, ok := errors.AsType[signalled](err); !ok || e.exitStatus() != 130 {
		t.Errorf("got %v, want the end by SIGINT", err)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("it plays with the cursor of what is no terminal")
	}
}

// TestDbvaletInTerminalIsFoundWithoutAdmin starts two, of which the first is the one that is asked.
func TestDbvaletInTerminalIsFoundWithoutAdmin(t *testing.T) {
	dir := filepath.Join(shortDir(t), "runtime")
	t.Setenv("RUNTIME_DIRECTORY", dir)
	t.Setenv("DBVALET_ADMIN", "")
	serves := func(terminal bool, name string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		log, ended := newScreen(), make(chan error, 1)
		go func() {
			ended <- servesConfig(ctx, config.Settings{}, []string{"postgres://app@db.example.com/x?listen=127.0.0.1:0&auth=env:PATH&name=" + name},
				display{log: slog.New(slog.NewTextHandler(log, nil)), terminal: terminal})
		}()
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		log.await(t, "msg=ready")
	}
	serves(false, "background")
	if _, err := asked(t, newStatusCommand); err == nil || !strings.Contains(err.Error(), "nothing says where") {
		t.Fatalf("got %v, want that nothing says where it is", err)
	}
	serves(true, "first")
	serves(true, "second")
	waits := time.After(patience)
	for {
		stdout, err := asked(t, newStatusCommand)
		if err == nil {
			if !strings.Contains(stdout, "\nfirst ") {
				t.Errorf("got\n%s\nwant the first", stdout)
			}
			break
		}
		select {
		case <-waits:
			t.Fatal(err)
		default:
		}
	}
	info, err := os.Stat(dir)
	socket, socketErr := os.Stat(filepath.Join(dir, adminSocket))
	if err := errors.Join(err, socketErr); err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 || socket.Mode() != os.ModeSocket|0o600 {
		t.Errorf("got modes %v and %v, want 0700 and 0600", info.Mode(), socket.Mode())
	}
}

func TestByteCountsAreShort(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 123_456: "123.5 kB", 7_000_000_000: "7.0 GB", 5e16: "50000.0 TB"} {
		if got := byteCount(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}
