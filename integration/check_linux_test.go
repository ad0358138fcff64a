package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dbvalet/integration/dnsfake"
	"dbvalet/integration/servers"
)

// fullQueue is an address where somebody listens with the shortest queue that there is, and accepts nobody.
// length is how many connections it may take at most.
func fullQueue(t *testing.T) (addr string, length int) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: bound.(*syscall.SockaddrInet4).Port}).String(), 8
}

// restart starts s again, which may never come up. stop ends the attempt, and done is closed behind it.
func restart(t *testing.T, s *servers.Server) (done <-chan struct{}, stop func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Restart(ctx)
	}()
	return ended, stop
}

// openTerminal is a new one: what a program has as its output, and what somebody sees of it.
func openTerminal(t *testing.T) (inside, outside *os.File) {
	t.Helper()
	outside, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { outside.Close() })
	if err := unix.IoctlSetPointerInt(int(outside.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(outside.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	inside, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inside.Close() })
	return inside, outside
}

func TestCheckUsesSignsAndColourOnATerminalThatHasThem(t *testing.T) {
	addr := freeAddr(t)
	for _, row := range []struct {
		name      string
		env       []string
		want, not string
	}{
		{"UTF-8", []string{"LANG=C.UTF-8", "TERM=xterm"}, "  \x1b[1;31m✗\x1b[0m tcp ", "FAILED"},
		{"NO_COLOR", []string{"LANG=C.UTF-8", "TERM=xterm", "NO_COLOR=1"}, "  ✗ tcp ", "\x1b"},
		{"another locale", []string{"LC_ALL=C", "LANG=C.UTF-8", "TERM=xterm", "NO_COLOR=1"}, "  FAILED  tcp ", "✗"},
	} {
		t.Run(row.name, func(t *testing.T) {
			inside, outside := openTerminal(t)
			cmd := command(t, program, append(row.env, "PASSWORD=x"))
			cmd.Args = []string{program, "check", "postgres://app@" + addr + "/orders?auth=env:PASSWORD"}
			cmd.Stdout = inside
			err := cmd.Run()
			if cmd.ProcessState.ExitCode() != 13 {
				t.Fatalf("check: %v", err)
			}
			got := ""
			for buf := make([]byte, 4<<10); !strings.Contains(got, "nobody listens"); { // which is on the last line
				n, err := outside.Read(buf)
				if err != nil {
					t.Fatalf("after %q: %v", got, err)
				}
				got += string(buf[:n])
			}
			if !strings.Contains(got, row.want) || strings.Contains(got, row.not) {
				t.Errorf("got %q, want %q in it, and not %q", got, row.want, row.not)
			}
		})
	}
}

// TestRouteThatCheckHasCorrectedWorks gives dbvalet a name server that knows an alias of the endpoint.
func TestRouteThatCheckHasCorrectedWorks(t *testing.T) {
	needsUsers(t)
	p := ownServer(t, servers.Options{Certificate: servers.Certificate{Names: []string{postgresEndpoint}}})
	// Only port 53 can be named in resolv.conf.
	dns, err := dnsfake.Start("127.0.0.53:53", dnsfake.Zone{
		Aliases:   map[string]string{"db.example.com.": p.Endpoint + "."},
		Addresses: map[string][]string{p.Endpoint + ".": {"127.0.0.1"}},
	})
	if err != nil {
		t.Skipf("somebody else is the name server: %v", err)
	}
	t.Cleanup(dns.Close)
	resolv := write(t, "resolv.conf", "nameserver 127.0.0.53\noptions timeout:2\n", 0o644)
	check := func(route string) (r checkReport, status int) {
		t.Helper()
		cmd := command(t, plainProgram, p.AWSEnvironment())
		inside := exec.Command("unshare", "--mount", "sh", "-c", `mount --bind "$1" /etc/resolv.conf && shift && exec "$@"`, "sh", resolv,
			plainProgram, "check", "--json", route+"&auth=aws-iam&ca="+p.CAFile)
		inside.Env = append(cmd.Env, "AWS_ENDPOINT_URL_RDS=http://127.0.0.1:1")
		out, err := inside.Output()
		var reports []checkReport
		if e := json.Unmarshal(out, &reports); e != nil || len(reports) != 1 {
			t.Fatalf("%v: %s, %v", err, out, e)
		}
		return reports[0], inside.ProcessState.ExitCode()
	}

	r, status := check(fmt.Sprintf("postgres://app@db.example.com:%d/orders?name=orders", p.Port))
	if dns := r.step("dns"); status != 14 || dns.Status != "warning" || dns.Facts["cname"] != p.Endpoint {
		t.Fatalf("status %d: %+v", status, r)
	}
	corrected := r.step("tls").Advice[0].Copy
	if want := fmt.Sprintf("postgres://app@%s:%d/orders?dial=db.example.com:%[2]d", p.Endpoint, p.Port); corrected != want {
		t.Fatalf("corrected to %s, want %s", corrected, want)
	}
	if r, status = check(corrected); status != 0 || !strings.Contains(r.step("dns").Text, "by dial= in place of "+p.Endpoint) {
		t.Errorf("status %d: %+v", status, r)
	}
}

// postgresEndpoint is that of every PostgreSQL server here.
const postgresEndpoint = "orders.abc123.us-east-1.rds.amazonaws.com"
