package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"dbvalet/config"
)

// autoRoute is a route with a port of its own.
func autoRoute(t *testing.T, name string) *config.Route {
	t.Helper()
	r, err := config.ParseRoute("mysql://app@db.example.com/orders?auth=env:PW&listen=auto&name=" + name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// opensAuto opens the port of r as a dbvalet that has just started.
func opensAuto(t *testing.T, r *config.Route) (ln net.Listener, port int, log string) {
	t.Helper()
	var out bytes.Buffer
	ln, err := (&autoPorts{}).open(r, slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln, ln.Addr().(*net.TCPAddr).Port, out.String()
}

// stateHome gives dbvalet an empty place for what it remembers, and returns the file.
func stateHome(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("STATE_DIRECTORY", "")
	t.Setenv("XDG_STATE_HOME", dir)
	return filepath.Join(dir, "dbvalet", "ports.json")
}

func TestPortOfARouteStaysTheSame(t *testing.T) {
	file := stateHome(t)
	one, two := autoRoute(t, "one"), autoRoute(t, "two")
	ln, first, _ := opensAuto(t, one)
	ln.Close()
	// While one does not run, its port is free, and still not for two.
	ln, second, _ := opensAuto(t, two)
	ln.Close()
	if first < 3306 || second <= first {
		t.Errorf("got ports %d and %d, want the second behind the first", first, second)
	}
	for range 2 {
		ln, again, log := opensAuto(t, one)
		ln.Close()
		if again != first || log != "" {
			t.Errorf("got port %d, want %d as before; it said %s", again, first, log)
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file: %v, %v; want mode 0600", info, err)
	}
	elsewhere := autoRoute(t, "one")
	elsewhere.Host = "staging.example.com"
	if _, other, _ := opensAuto(t, elsewhere); other == first || other == second {
		t.Errorf("a route of the same name to another database got port %d too", other)
	}
}

func TestPortThatIsTakenIsLeftToWhoHasIt(t *testing.T) {
	stateHome(t)
	r := autoRoute(t, "one")
	held, first, _ := opensAuto(t, r)
	moved, other, log := opensAuto(t, r)
	if other == first || !strings.Contains(log, fmt.Sprintf("level=WARN msg=\"the port of listen=auto is taken, so that the route has another one this time\" route=one port=%d", first)) ||
		!strings.Contains(log, `by="this process itself"`) {
		t.Errorf("got port %d beside %d, and %s", other, first, log)
	}
	held.Close()
	moved.Close()
	if _, again, _ := opensAuto(t, r); again != first {
		t.Errorf("got port %d afterwards, want %d as before", again, first)
	}
}

// Each of them is a dbvalet that starts now.
func TestStartingAtOnceGivesNobodyAnothersPort(t *testing.T) {
	file := stateHome(t)
	const many = 12
	open := func() (ports []int) {
		listeners := make([]net.Listener, many)
		var all sync.WaitGroup
		for i := range many {
			r := autoRoute(t, "route"+strconv.Itoa(i))
			all.Go(func() {
				var err error
				if listeners[i], err = (&autoPorts{}).open(r, slog.New(slog.DiscardHandler)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if t.Failed() {
			t.FailNow()
		}
		for _, ln := range listeners {
			ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
			ln.Close()
		}
		return ports
	}
	before, after := open(), open()
	if !slices.Equal(before, after) {
		t.Errorf("got %v, and the second time %v", before, after)
	}
	if kept, err := readPorts(file); err != nil || len(kept) != many {
		t.Errorf("%d are remembered (%v), want all %d", len(kept), err, many)
	}
}

func TestDamagedMemoryIsBegunAnew(t *testing.T) {
	file := stateHome(t)
	for _, text := range []string{"", "{", "null and void", `{"ports":[{"route":"one","endpoint":"x","port":0}]}`, `{"ports":[{"port":70000}]}`,
		`{"ports":[{"route":"one","port":1},{"route":"one","port":2}]}`, `{"other":1}`} {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		ln, port, log := opensAuto(t, autoRoute(t, "one"))
		ln.Close()
		if strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "is damaged") {
			t.Errorf("%q: it said %s", text, log)
		}
		ln, again, log := opensAuto(t, autoRoute(t, "one"))
		ln.Close()
		if again != port || log != "" {
			t.Errorf("%q: got port %d and then %d, %s", text, port, again, log)
		}
	}
}

func TestNothingIsRememberedWhereNothingCanBeWritten(t *testing.T) {
	stateHome(t)
	t.Setenv("XDG_STATE_HOME", "/proc/nobody-writes-here")
	if _, _, log := opensAuto(t, autoRoute(t, "one")); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "may be another one next time") {
		t.Errorf("it said %s", log)
	}
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "/")
	if _, _, log := opensAuto(t, autoRoute(t, "one")); strings.Contains(log, "level=WARN") || !strings.Contains(log, "no home") {
		t.Errorf("of a user without a home it said %s", log)
	}
}

// With Landlock in force the file can be neither read nor written.
func TestPortStaysTheSameWithoutTheFile(t *testing.T) {
	file := stateHome(t)
	var ports autoPorts
	log := slog.New(slog.DiscardHandler)
	open := func(name string) int {
		ln, err := ports.open(autoRoute(t, name), log)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		return ln.Addr().(*net.TCPAddr).Port
	}
	one := open("one")
	if err := os.RemoveAll(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil { // which nobody reads as a file
		t.Fatal(err)
	}
	two := open("two")
	if again := open("one"); again != one || open("two") != two || one == two {
		t.Errorf("got %d and %d, and then %d", one, two, again)
	}
}

func TestOnlyPortsUsedLastAreRemembered(t *testing.T) {
	file := stateHome(t)
	m := openPortMemory(nil, slog.New(slog.DiscardHandler))
	defer m.close()
	for i := range maxKeptPorts {
		m.keep(portOwner{"route" + strconv.Itoa(i), "x"}, 4000+i)
	}
	m.keep(portOwner{"route0", "x"}, 4000)
	m.keep(portOwner{"new", "x"}, 5000)
	kept, err := readPorts(file)
	if err != nil || len(kept) != maxKeptPorts || kept[0].Route != "route2" || kept[maxKeptPorts-2].Route != "route0" {
		t.Errorf("%d are remembered (%v), the first is %+v; want the one that was not used for longest to be forgotten", len(kept), err, kept[0])
	}
}

// A reload leaves a route with listen=auto where it is, even when something else about it changes.
func TestReloadKeepsThePortOfListenAuto(t *testing.T) {
	stateHome(t)
	t.Setenv("PW", secret)
	const route = "mysql://app@db.example.com/orders?auth=env:PW&tls=require&listen=auto"
	f, _ := newFleet(t, route)
	before := f.served()[0].listeners[0].Addr().String()
	c, err := config.Load(config.Sources{Args: []string{route + "&idle_timeout=1m", route + "&name=second"}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.prepare(c, func(*config.Route) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	f.launch(t.Context(), p)
	served := f.served()
	if after := served[0].listeners[0].Addr().String(); after != before {
		t.Errorf("the route moved from %s to %s", before, after)
	}
	if second := served[1].listeners[0].Addr().String(); second == before {
		t.Error("two routes have one port")
	}
}

func TestListenAutoStandsInAListWithOthers(t *testing.T) {
	stateHome(t)
	t.Setenv("PW", secret)
	const route = "mysql://app@db.example.com/orders?auth=env:PW&tls=require"
	f, _ := newFleet(t, route+"&listen=127.0.0.1:0&listen=auto", route+"&name=twice&listen=auto&listen=auto")
	served := f.served()
	if n := len(served[0].listeners); served[0].failure != nil || n != 2 {
		t.Errorf("got %d listeners, %v; want both", n, served[0].failure)
	}
	if err := served[1].failure; err == nil || !strings.Contains(err.Error(), "given twice") {
		t.Errorf("of listen=auto twice: got %v", err)
	}
}

func FuzzParsePorts(f *testing.F) {
	f.Add([]byte(`{"ports":[{"route":"orders","endpoint":"db.example.com:5432","port":5433}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		ports, err := parsePorts(text)
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "ports.json")
		if err := writePorts(path, ports); err != nil {
			t.Fatal(err)
		}
		if again, err := readPorts(path); err != nil || !slices.Equal(again, ports) {
			t.Errorf("%q is read as %v, and what is written as %v, %v", text, ports, again, err)
		}
	})
}
