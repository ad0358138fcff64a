package integration

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dbvalet/integration/servers"
)

// Floods, and what may become of dbvalet in them.
const (
	silentClients   = 10_000
	drippingClients = 1_000
	floodMemory     = 192 << 10 // KiB that dbvalet may have resident; 40 MiB are its own
	// A good client waits for less than a second on an idle machine, which the log of these tests
	// says. This is for busy ones.
	floodPatience = 10 * time.Second
)

// floodSettings make room for what dbvalet has open at the same time.
var floodSettings = map[string]string{"max_connections": "200"}

// TestFloodsDoNotKeepGoodClientsWaiting has clients that never speak, and clients that never get to an
// end of speaking, in numbers. They come from this very process, which may come in.
func TestFloodsDoNotKeepGoodClientsWaiting(t *testing.T) {
	p := ownServer(t, servers.Options{Settings: floodSettings})
	// The startup message of a client, and the reply of one to a MySQL server's greeting: both go on
	// and on.
	startup := append([]byte{0, 0, 0x20, 0, 0, 3, 0, 0}, strings.Repeat("user\x00x\x00", 1000)...)
	reply := append([]byte{0, 0x10, 0, 1, 0, 2, 8, 0}, strings.Repeat("x", 4000)...)
	t.Run("PostgreSQL", func(t *testing.T) {
		v := startProgram(t, plainProgram, p.AWSEnvironment(), iamRoute(p))
		flood(t, v, postgresVisit(v), startup)
	})
	for _, version := range []string{"mysql9", "mariadb11"} {
		t.Run(version, func(t *testing.T) {
			m := mysqlServer(t, servers.MySQLOptions{Version: version, Outside: true, Settings: floodSettings})
			forgetHosts(t, m)
			v := startProgram(t, plainProgram, m.AWSEnvironment(), mysqlRoute("app", m))
			flood(t, v, mysqlVisit(t, v), reply)
			if n := brokenConnections(t, m); n != "0" {
				t.Errorf("the server counts %s broken connections", n)
			}
		})
	}
}

// flood drowns v and visits it all the while.
func flood(t *testing.T, v *valet, visit visit, drip []byte) {
	good(t, visit, "before")
	descriptors := v.descriptors()
	f := &floodOf{t: t, addr: v.addrs[0]}

	during := make(chan struct{})
	go func() {
		defer close(during)
		f.connect(silentClients)
	}()
	for waiting := true; waiting; {
		select {
		case <-during:
			waiting = false
		default:
			good(t, visit, "while the silent ones come")
		}
	}
	for range 5 {
		good(t, visit, "when the silent ones are there")
	}
	f.end()

	f.connect(drippingClients)
	stop := f.drip(drip)
	for range 5 {
		good(t, visit, "among the dripping ones")
	}
	stop()
	f.end()

	waitUntil(t, "the end of all that the floods left", func() bool { return v.descriptors() <= descriptors })
	good(t, visit, "after")
	if memory := v.memory("VmHWM"); memory > floodMemory {
		t.Errorf("%d KiB were resident, want %d at most", memory, floodMemory)
	} else {
		t.Logf("at most %d KiB were resident", memory)
	}
	if v.count("panic, and the connection is closed: please report this") != 0 {
		t.Errorf("dbvalet panicked:\n%s", v.output())
	}
}

// good visits, and fails the test if that takes long.
func good(t *testing.T, v visit, when string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), floodPatience)
	defer cancel()
	began := time.Now()
	user, err := v(ctx)
	if err != nil || user != "app" {
		t.Errorf("%s: got user %q, %v after %v", when, user, err, time.Since(began))
		return
	}
	t.Logf("%s: served in %v", when, time.Since(began).Round(time.Millisecond))
}

// A floodOf is the clients of a flood.
type floodOf struct {
	t    *testing.T
	addr string

	mu    sync.Mutex
	conns []net.Conn
}

// connect opens n connections, a few at a time.
func (f *floodOf) connect(n int) {
	var left atomic.Int64
	left.Store(int64(n))
	var connecting sync.WaitGroup
	for range 32 {
		connecting.Go(func() {
			for left.Add(-1) >= 0 {
				conn, err := net.DialTimeout("tcp", f.addr, patience)
				if err != nil {
					f.t.Error(err)
					return
				}
				f.mu.Lock()
				f.conns = append(f.conns, conn)
				f.mu.Unlock()
			}
		})
	}
	connecting.Wait()
}

// drip sends b on all connections, a byte a second, until stop is called.
func (f *floodOf) drip(b []byte) (stop func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	var dripping sync.WaitGroup
	dripping.Go(func() {
		for i := 0; i < len(b) && pause(ctx, time.Second); i++ {
			for _, conn := range f.conns {
				_, _ = conn.Write(b[i : i+1]) // dbvalet may have had enough of it
			}
		}
	})
	return func() { cancel(); dripping.Wait() }
}

// end closes all connections.
func (f *floodOf) end() {
	for _, conn := range f.conns {
		conn.Close()
	}
	f.conns = nil
}

// descriptors returns how many descriptors v has open. Only root can know.
func (v *valet) descriptors() int {
	found, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", v.cmd.Process.Pid))
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return 0
	}
	if err != nil {
		v.t.Fatal(err)
	}
	return len(found)
}

// memory returns a figure of /proc/PID/status, in KiB.
func (v *valet) memory(key string) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.cmd.Process.Pid))
	if err != nil {
		v.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				v.t.Fatal(err)
			}
			return n
		}
	}
	v.t.Fatalf("no %s", key)
	return 0
}
