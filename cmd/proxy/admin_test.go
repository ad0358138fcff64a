package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"dbvalet/peer"
	"time"
)

// adminListener returns where the admin endpoints are.
func adminListener(t *testing.T, log *screen) string {
	t.Helper()
	var record struct{ Listener string }
	if err := json.Unmarshal([]byte(log.await(t, `"msg":"admin ready"`)), &record); err != nil {
		t.Fatal(err)
	}
	return record.Listener
}

// asks sends an ordinary request to the admin endpoints at addr.
func asks(t *testing.T, addr, method, path string) (status int, body string) {
	t.Helper()
	network := "tcp"
	if filepath.IsAbs(addr) {
		network = "unix"
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}}}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(all)
}

func TestStatusShowsRoutesWithoutSecrets(t *testing.T) {
	log, _ := servesWithAdmin(t, "127.0.0.1:0",
		"postgres://app@db.example.com/orders?listen=127.0.0.1:0&tls=require&dial=192.0.2.1:6432&auth=exec:print-it%20--token="+secret,
		"mysql://app@db.example.com/orders?listen=127.0.0.1:0&listen=127.0.0.1:0&name=two&allow=pod&tls=require&auth=hashivault://kv/orders?namespace="+secret)
	addr := adminListener(t, log)
	code, body := asks(t, addr, http.MethodGet, "/status")
	if code != http.StatusOK || strings.Contains(body, secret) {
		t.Errorf("got %d and\n%swant 200 without %q", code, body, secret)
	}
	var got status
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if len(got.Routes) != 2 || len(got.Routes[0].Listen) != 1 || len(got.Routes[1].Listen) != 2 {
		t.Fatalf("got\n%swant two routes, with one listener and two", body)
	}
	if at := listenerOf(t, log, "db"); got.Routes[0].Listen[0] != at {
		t.Errorf("got %s, want %s", got.Routes[0].Listen[0], at)
	}
	for i := range got.Routes {
		r := &got.Routes[i]
		for j, c := range r.Connect {
			if want := (connectStatus{r.Listen[j], commandTo(t, r.Scheme, r.Listen[j]), r.Scheme + "://app@" + r.Listen[j] + "/orders"}); c.Listen != want.Listen || c.Command != want.Command || !strings.HasPrefix(c.URL, want.URL) {
				t.Errorf("%s: got %+v to copy, want %+v", r.Name, c, want)
			}
		}
		if len(r.Connect) != len(r.Listen) {
			t.Errorf("%s: got %+v to copy, want a line for each listener", r.Name, r.Connect)
		}
		r.Listen, r.Connect = nil, nil
	}
	want := status{Version: version, State: "ready", Routes: []routeStatus{
		{Name: "db", State: "served", Scheme: "postgres", User: "app", Database: "orders", Endpoint: "db.example.com:5432", Upstream: "192.0.2.1:6432", Auth: "exec:print-it", Security: "TLS require, server not verified", Allow: peer.Policy{}.String()},
		{Name: "two", State: "served", Scheme: "mysql", User: "app", Database: "orders", Endpoint: "db.example.com:3306", Upstream: "db.example.com:3306", Auth: "hashivault://kv/orders", Security: "TLS require, server not verified", Allow: "pod (everybody in this network namespace)"},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// commandTo is the command of the database's own client.
func commandTo(t *testing.T, scheme, addr string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	if scheme == "mysql" {
		return "mysql -h " + host + " -P " + port + " -u app -D orders"
	}
	return "psql -h " + host + " -p " + port + " -U app -d orders"
}

func TestProgramEndsByAdminEndpoint(t *testing.T) {
	dir, err := os.MkdirTemp("", "dbvalet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, addr := range map[string]string{
		"address":   "127.0.0.1:0",
		"localhost": "localhost:0",
		"directory": dir,
		"socket":    filepath.Join(dir, "x.sock"),
	} {
		t.Run(name, func(t *testing.T) {
			stderr := newScreen()
			ended := make(chan int, 1)
			go func() {
				ended <- run([]string{"--admin", addr, "postgres://app@db.example.com/orders?auth=env:PW&tls=require&listen=127.0.0.1:0"}, newScreen(), stderr, process{})
			}()
			at := adminListener(t, stderr)
			if name == "directory" && at != filepath.Join(dir, "dbvalet-admin.sock") {
				t.Errorf("got %s, want dbvalet-admin.sock in the directory", at)
			}
			if code, _ := asks(t, at, http.MethodGet, "/quitquitquit"); code != http.StatusMethodNotAllowed {
				t.Errorf("GET: got %d, want it refused", code)
			}
			if code, body := asks(t, at, http.MethodPost, "/quitquitquit"); code != http.StatusOK || body != "stopping\n" {
				t.Errorf("POST: got %d and %q, want 200 and stopping", code, body)
			}
			select {
			case code := <-ended:
				if code != exitOK {
					t.Errorf("got status %d, want %d; stderr:\n%s", code, exitOK, stderr)
				}
			case <-time.After(patience):
				t.Fatalf("the program goes on; it wrote\n%s", stderr)
			}
			stderr.await(t, `"why":"the admin endpoint was asked to"`)
			stderr.await(t, `"stopped"`)
			if _, err := os.Stat(at); filepath.IsAbs(at) && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("got %v, want the socket gone", err)
			}
		})
	}
}

func TestThereAreNoAdminEndpointsUnlessAsked(t *testing.T) {
	log, stop := serves(t, "postgres://app@db.example.com/orders?auth=env:PW&tls=require&listen=127.0.0.1:0")
	log.await(t, `"msg":"ready"`)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "admin") {
		t.Errorf("got\n%swant nothing about admin", log)
	}
}

func TestAdminListensOnThisMachineOnly(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, row := range map[string]struct{ addr, hint string }{
		"all addresses": {"0.0.0.0:0", "listen on 127.0.0.1, [::1], localhost or a unix socket"},
		"no host":       {":0", "listen on 127.0.0.1"},
		"no port":       {"127.0.0.1", "write an address like"},
		"taken":         {taken.Addr().String(), "choose another port in --admin="},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := runs(t, "--admin="+row.addr, "postgres://app@db.example.com/orders?auth=env:PW&tls=require&listen=127.0.0.1:0")
			if code != exitError || !strings.Contains(stderr, "dbvalet: --admin: listen on "+row.addr) || !strings.Contains(stderr, row.hint) || strings.Contains(stderr, `"ready"`) {
				t.Errorf("got status %d and\n%swant %d, and the hint %q", code, stderr, exitError, row.hint)
			}
		})
	}
}

func TestPeopleAreToldHowToReachAdmin(t *testing.T) {
	for _, row := range []struct {
		addr net.Addr
		want string
	}{
		{v4, "admin ready: 127.0.0.1:5433\n  curl http://127.0.0.1:5433/  # or open it in a browser\n"},
		{v6, "admin ready: [::1]:5433\n  curl http://[::1]:5433/  # or open it in a browser\n"},
		{&net.UnixAddr{Name: "/run/my db/a.sock", Net: "unix"}, "admin ready: /run/my db/a.sock\n  curl --unix-socket '/run/my db/a.sock' http://localhost/\n"},
	} {
		var people bytes.Buffer
		display{log: slog.New(slog.DiscardHandler), people: &people}.adminReady(fixed{row.addr})
		if people.String() != row.want {
			t.Errorf("got %q, want %q", people.String(), row.want)
		}
	}
}
