package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"dbvalet/admin"
	"dbvalet/proxy"
)

// asked runs a command with args, and returns what it prints.
func asked(t *testing.T, newCommand func(func() (string, error)) *cobra.Command, args ...string) (stdout string, err error) {
	t.Helper()
	cmd := newCommand(nil)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	var out strings.Builder
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append([]string{}, args...)) // nil would be the test's own
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = cmd.ExecuteContext(ctx)
	return out.String(), err
}

// answersAsked serves admin endpoints at addr until stop is called.
func answersAsked(t *testing.T, addr string, s *admin.Server) (at string, stop func()) {
	t.Helper()
	listeners, err := listenAdmin(addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(ctx, listeners[0])
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return listeners[0].Addr().String(), stop
}

func reports(ok bool, state string) func(context.Context) admin.Report {
	return func(context.Context) admin.Report { return admin.Report{OK: ok, State: state} }
}

func TestHealthPrintsTheAnswer(t *testing.T) {
	dir := shortDir(t)
	server := &admin.Server{Log: slog.New(slog.DiscardHandler), Probes: admin.Probes{
		Startup: reports(true, "started"), Live: reports(false, "dead"),
		Ready: func(_ context.Context, upstream bool) admin.Report {
			return admin.Report{OK: true, State: map[bool]string{false: "ready", true: "logged in"}[upstream]}
		},
	}}
	tcp, _ := answersAsked(t, "127.0.0.1:0", server)
	answersAsked(t, dir, server)
	for name, addr := range map[string]string{"tcp": tcp, "directory": dir, "socket": filepath.Join(dir, adminSocket)} {
		for _, row := range []struct {
			flag, stdout string
			good         bool
		}{{"", "ready\n", true}, {"--startup", "started\n", true}, {"--live", "dead\n", false}, {"--upstream", "logged in\n", true}} {
			args := []string{"--admin=" + addr}
			if row.flag != "" {
				args = append(args, row.flag)
			}
			if stdout, err := asked(t, newHealthCommand, args...); stdout != row.stdout || (err == nil) != row.good {
				t.Errorf("%s %s: got %q, %v, want %q", name, row.flag, stdout, err, row.stdout)
			}
		}
	}
	t.Setenv("DBVALET_ADMIN", dir)
	if stdout, err := asked(t, newHealthCommand); stdout != "ready\n" || err != nil {
		t.Errorf("by the environment: got %q, %v", stdout, err)
	}
}

func TestAskingSaysWhatIsWrong(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	log := slog.New(slog.DiscardHandler)
	refusing, _ := answersAsked(t, "127.0.0.1:0", &admin.Server{Log: log, Probes: admin.Probes{Live: reports(true, "x")}, Admit: func(net.Conn) error { return errors.New("not for you") }})
	other, _ := answersAsked(t, "127.0.0.1:0", &admin.Server{Log: log})
	for _, row := range []struct {
		name, addr, message, hint string
		usage                     bool
	}{
		{"nothing is said", "", "nothing says where", "DBVALET_ADMIN", true},
		{"no address", "--admin=nonsense", "--admin=nonsense", "127.0.0.1:9901", true},
		{"any port", "--admin=127.0.0.1:0", "any free port", "admin ready", true},
		{"of systemd", "--admin=systemd:admin", "only the service", "ListenStream=", true},
		{"nobody", "--admin=" + closed.Addr().String(), "refused", "nothing listens there", false},
		{"no socket", "--admin=" + filepath.Join(shortDir(t), "x.sock"), "no such file", "nothing listens there", false},
		{"not allowed", "--admin=" + refusing, "not for you", "as the user that runs dbvalet", false},
		{"other program", "--admin=" + other, "has no /livez", "--admin=", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			args := []string{"--live"}
			if row.addr != "" {
				args = append(args, row.addr)
			}
			stdout, err := asked(t, newHealthCommand, args...)
			_, usage := errors.AsType[usageError](err)
			if err == nil || stdout != "" || usage != row.usage || !strings.Contains(err.Error(), row.message) || !strings.Contains(proxy.Hint(err), row.hint) {
				t.Errorf("got %q, %v (hint %q), want %q (hint %q)", stdout, err, proxy.Hint(err), row.message, row.hint)
			}
		})
	}
}

// answersRaw answers whoever connects with the same bytes, and returns the flag that says where.
func answersRaw(t *testing.T, response string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, response)
			}
			conn.Close()
		}
	}()
	return "--admin=" + ln.Addr().String()
}

// Any user of the machine can listen there while dbvalet does not.
func TestAnswersOfAStrangerPlayNoTricksOnATerminal(t *testing.T) {
	const trick = "\x1b[2J\u009b2J"
	for _, row := range []struct {
		name, response string
		newCommand     func(func() (string, error)) *cobra.Command
		args           []string
		want           string
	}{
		{"health", "HTTP/1.1 503 No\r\n\r\nfirst" + trick + "\n  second\n", newHealthCommand, nil, "first [2J 2J\n  second\n"},
		{"wait", "HTTP/1.1 503 No\r\n\r\nfirst" + trick + "\n  second\n", newWaitCommand, []string{"--timeout=2s"}, "first [2J 2J\n  second"},
		{"refusal", "HTTP/1.1 403 No\r\n\r\nno" + trick, newStatusCommand, nil, "refuses to answer: no [2J 2J"},
		{"status line and body", "HTTP/1.1 500 a" + trick + "\r\n\r\nb" + trick, newShutdownCommand, nil, "answers 500 a [2J 2J: b [2J 2J"},
	} {
		t.Run(row.name, func(t *testing.T) {
			stdout, err := asked(t, row.newCommand, append(row.args, answersRaw(t, row.response))...)
			if err == nil {
				t.Fatal("got no error")
			}
			if all := stdout + err.Error(); strings.ContainsAny(all, "\x1b\u009b") || !strings.Contains(all, row.want) {
				t.Errorf("got %q, want %q in it", all, row.want)
			}
		})
	}
}

func TestWaitEndsWhenItIsReady(t *testing.T) {
	dir := shortDir(t)
	var times atomic.Int32
	waited := make(chan error, 1)
	go func() { // before anybody listens
		_, err := asked(t, newWaitCommand, "--admin="+dir)
		waited <- err
	}()
	answersAsked(t, dir, &admin.Server{Log: slog.New(slog.DiscardHandler), Probes: admin.Probes{
		Startup: reports(true, "started"),
		Ready: func(context.Context, bool) admin.Report {
			return admin.Report{OK: times.Add(1) == 3, State: "x"}
		},
	}})
	if err := <-waited; err != nil || times.Load() != 3 {
		t.Errorf("got %v after %d answers, want none after the third", err, times.Load())
	}
}

func TestWaitThatIsTooLongSaysWhy(t *testing.T) {
	at, _ := answersAsked(t, "127.0.0.1:0", &admin.Server{Log: slog.New(slog.DiscardHandler), Probes: admin.Probes{
		Startup: reports(true, "started"),
		Ready: func(context.Context, bool) admin.Report {
			return admin.Report{State: "not ready", Routes: []admin.RouteReport{{Name: "orders", State: "no credential"}}}
		},
	}})
	if _, err := asked(t, newWaitCommand, "--timeout=2s", "--admin="+at); err == nil || !strings.Contains(err.Error(), "not ready within 2s: not ready\n  orders: no credential") {
		t.Errorf("got %v, want the reason", err)
	}
	_, err := asked(t, newWaitCommand, "--timeout=2s", "--admin="+filepath.Join(shortDir(t), "x.sock"))
	if err == nil || !strings.Contains(proxy.Hint(err), "nothing listens there") {
		t.Errorf("got %v, want the reason", err)
	}
	other, _ := answersAsked(t, "127.0.0.1:0", &admin.Server{Log: slog.New(slog.DiscardHandler)})
	if _, err := asked(t, newWaitCommand, "--timeout=1h", "--admin="+other); err == nil || !strings.Contains(err.Error(), "has no /startup") {
		t.Errorf("got %v, want to know at once", err)
	}
}

func TestShutdownWaitsForTheEnd(t *testing.T) {
	quit := make(chan struct{})
	at, stop := answersAsked(t, "127.0.0.1:0", &admin.Server{Log: slog.New(slog.DiscardHandler), Quit: func() { close(quit) }})
	if _, err := asked(t, newShutdownCommand, "--admin="+at); err != nil {
		t.Errorf("got %v", err)
	}
	<-quit
	if _, err := asked(t, newShutdownCommand, "--admin="+at, "--wait", "--timeout=300ms"); err == nil || !strings.Contains(err.Error(), "goes on") {
		t.Errorf("got %v, want that it goes on", err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := asked(t, newShutdownCommand, "--admin="+at, "--wait")
		waited <- err
	}()
	select {
	case err := <-waited:
		t.Errorf("got %v while it goes on", err)
	case <-time.After(2 * pollInterval):
	}
	stop()
	if err := <-waited; err != nil {
		t.Errorf("got %v", err)
	}
}
