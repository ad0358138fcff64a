package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"dbvalet/config"
)

// serves serves args until stop is called, which returns what serve has returned.
func serves(t *testing.T, args ...string) (log *screen, stop func() error) {
	t.Helper()
	return servesWithAdmin(t, "", args...)
}

// servesWithAdmin is serves with the admin endpoints at addr.
func servesWithAdmin(t *testing.T, addr string, args ...string) (log *screen, stop func() error) {
	t.Helper()
	log = newScreen()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- servesConfig(ctx, config.Settings{Admin: addr}, args, display{log: slog.New(slog.NewJSONHandler(log, nil))})
	}()
	stop = func() error {
		cancel()
		select {
		case err := <-ended:
			ended <- err
			return err
		case <-time.After(patience):
			t.Fatalf("serve goes on; it wrote\n%s", log)
			return nil
		}
	}
	t.Cleanup(func() { _ = stop() })
	return log, stop
}

// servesConfig serves args with settings.
func servesConfig(ctx context.Context, settings config.Settings, args []string, d display) error {
	o := options{load: func() (*config.Config, error) {
		c, err := config.Load(config.Sources{Args: args})
		if err != nil {
			return nil, usageError{err}
		}
		c.Admin, c.Strict = settings.Admin, settings.Strict
		return c, nil
	}}
	c, err := o.load()
	if err != nil {
		return err
	}
	return serve(ctx, c, o, d)
}

// listenerOf returns where the route of this name listens.
func listenerOf(t *testing.T, log *screen, route string) string {
	t.Helper()
	var record struct{ Listener string }
	if err := json.Unmarshal([]byte(log.await(t, `"msg":"ready","route":"`+route+`"`)), &record); err != nil {
		t.Fatal(err)
	}
	return record.Listener
}

func TestRoutesAreServedUntilTheEnd(t *testing.T) {
	t.Setenv("DBVALET_TEST_PASSWORD", secret)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	route := "postgres://app@" + rdsHost + "/orders?auth=env:DBVALET_TEST_PASSWORD&listen=127.0.0.1:0&dial=" + closed.Addr().String()
	log, stop := serves(t, route+"&name=one", route+"&name=two")
	for _, name := range []string{"one", "two"} {
		host, port, _ := net.SplitHostPort(listenerOf(t, log, name))
		_, err := pgconn.Connect(t.Context(), "sslmode=disable user=whoever host="+host+" port="+port)
		e, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || e.Code != "57P03" || !strings.Contains(e.Message, closed.Addr().String()) || e.Hint == "" {
			t.Errorf("route %s: got %v, want 57P03 with a hint", name, err)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("serve: %v", err)
	}
	log.await(t, `"stopped"`)
	if _, err := net.Dial("tcp", listenerOf(t, log, "one")); err == nil {
		t.Error("the listener is still there")
	}
	if strings.Contains(log.String(), secret) {
		t.Errorf("the log has the password in it:\n%s", log)
	}
}

func TestSocketIsRemovedAtTheEnd(t *testing.T) {
	dir, err := os.MkdirTemp("", "dbvalet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, ".s.PGSQL.6543")
	log, stop := serves(t, "postgres://app@"+rdsHost+":6543?auth=env:PW&listen="+dir+"&listen=127.0.0.1:0")
	log.await(t, `"listener":"127.0.0.1:`)
	log.await(t, `"listener":"`+socket+`"`)
	if _, err := os.Stat(socket); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Errorf("serve: %v", err)
	}
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want the socket gone", err)
	}
}

func TestNothingIsLeftWhenOneListenerFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	route := "postgres://app@" + rdsHost + "?auth=env:PW&listen="
	err = servesConfig(t.Context(), config.Settings{Strict: true}, []string{route + free.Addr().String(), route + taken.Addr().String() + "&name=two"}, display{log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.HasPrefix(err.Error(), "route two: listen on ") {
		t.Errorf("got %v, want the second route's error", err)
	}
	again, err := net.Listen("tcp", free.Addr().String())
	if err != nil {
		t.Fatalf("the first route's listener is still there: %v", err)
	}
	again.Close()
}

func TestMistakeInLastArgumentStartsNothing(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close() // it is taken, so that listening would be an error of its own
	route := "postgres://app@" + rdsHost + "?auth=env:PW&listen=" + free.Addr().String()
	err = servesConfig(t.Context(), config.Settings{}, []string{route, "postgres://db.example.com?nonsense=1"}, display{log: slog.New(slog.DiscardHandler)})
	if _, ok := errors.AsType[usageError](err); !ok {
		t.Errorf("got %v, want a usage error", err)
	}
}
