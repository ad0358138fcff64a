package peer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// role is the variable that makes this program play somebody else's part, with another user or in
// other namespaces: a role, a network and an address, with spaces between.
const role = "DBVALET_PEER_TEST"

func TestMain(m *testing.M) {
	words := strings.Fields(os.Getenv(role))
	if len(words) == 0 {
		os.Exit(m.Run())
	}
	if err := play(words[0], words[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "as", words[0]+":", err)
		os.Exit(1)
	}
}

// play plays a role until its input ends.
func play(role string, args []string) error {
	in := bufio.NewReader(os.Stdin)
	var err error
	switch role {
	case "client": // NETWORK ADDR
		var conn net.Conn
		if conn, err = net.Dial(args[0], args[1]); err == nil {
			defer conn.Close()
		}
	case "pool": // NETWORK ADDR: another connection for each line
		for err == nil {
			var conn net.Conn
			if conn, err = net.Dial(args[0], args[1]); err == nil {
				defer conn.Close()
				if _, end := in.ReadString('\n'); end != nil {
					return nil
				}
			}
		}
	case "hidden": // listens, and says where
		var ln net.Listener
		if err = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err == nil {
			ln, err = net.Listen("tcp", "127.0.0.1:0")
		}
		if err == nil {
			defer ln.Close()
			fmt.Println(ln.Addr())
		}
	case "asker": // ADDR: who is there
		var addr *net.TCPAddr
		if addr, err = net.ResolveTCPAddr("tcp", args[0]); err == nil {
			h, _ := HolderOf(addr)
			fmt.Println(h)
		}
	case "server": // NETWORK ADDR POLICY...
		err = serve(args[0], args[1], args[2:])
	case "server-with-stranger": // POLICY...
		err = serveStranger(args)
	case "stranger": // in a network namespace of its own, to which a veth has been moved
		err = stranger(in)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	return err
}

// A verdict is what one policy has for a connection.
type verdict struct {
	Peer Peer
	Err  string
	Hint string
	Gone bool
}

func verdictOf(who Peer, err error) verdict {
	v := verdict{Peer: who, Gone: errors.Is(err, ErrGone)}
	if err != nil {
		v.Err = err.Error()
		v.Hint = hint(err)
	}
	return v
}

// serve prints the address that it listens on, and the verdict of each policy on who connects.
func serve(network, addr string, policies []string) error {
	ln, err := net.Listen(network, addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	fmt.Println(ln.Addr())
	conn, err := ln.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, text := range policies {
		policy, err := ParsePolicy(text)
		if err != nil {
			return err
		}
		who, err := policy.Check(conn)
		if err := json.NewEncoder(os.Stdout).Encode(verdictOf(who, err)); err != nil {
			return err
		}
	}
	return nil
}

// serveStranger serves a client of another network namespace.
func serveStranger(policies []string) error {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), role+"=stranger")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() { in.Close(); _ = cmd.Wait() }()
	if err := ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", strconv.Itoa(cmd.Process.Pid)); err != nil {
		return err
	}
	if err := link("near", "192.0.2.1/30"); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(in, "192.0.2.1:5432"); err != nil {
		return err
	}
	return serve("tcp", "192.0.2.1:5432", policies)
}

// stranger connects to the address that it is told, as soon as there is somebody.
func stranger(in *bufio.Reader) error {
	addr, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	if err := link("far", "192.0.2.2/30"); err != nil {
		return err
	}
	for end := time.Now().Add(patience); ; {
		conn, err := net.DialTimeout("tcp", strings.TrimSpace(addr), patience)
		if err == nil {
			defer conn.Close()
			_, err = io.Copy(io.Discard, in)
			return err
		}
		if time.Now().After(end) {
			return err
		}
	}
}

func link(device, addr string) error {
	if err := ip("addr", "add", addr, "dev", device); err != nil {
		return err
	}
	return ip("link", "set", device, "up")
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// A helper is this program in another role.
type helper struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// start starts a helper, which ends with the test. Through /proc, as other users can't reach the
// directory that the test program is in.
func start(t testing.TB, attr *syscall.SysProcAttr, words ...string) *helper {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), role+"="+strings.Join(words, " "), "GORACE=atexit_sleep_ms=0") // which is a second
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = attr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		if attr != nil && attr.Cloneflags != 0 && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC)) {
			t.Skipf("this machine lets nobody make namespaces: %v", err)
		}
		t.Fatal(err)
	}
	patient := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
		patient.Stop()
	})
	return &helper{cmd, in, bufio.NewReader(out)}
}

// line returns the next line that the helper prints.
func (h *helper) line(t testing.TB) string {
	t.Helper()
	line, err := h.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the helper printed nothing: %v", err)
	}
	return strings.TrimSpace(line)
}

func (h *helper) verdict(t testing.TB) (v verdict) {
	t.Helper()
	if err := json.Unmarshal([]byte(h.line(t)), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Numbers of nobody in particular.
const (
	neighbour      = 54321
	neighbourGroup = 54322
	otherGroup     = 54323
)

// as returns what starts a helper as neighbour.
func as(t testing.TB, groups ...uint32) *syscall.SysProcAttr {
	t.Helper()
	needRoot(t)
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: neighbour, Gid: neighbourGroup, Groups: groups}}
}

// fakeRoot returns what starts a helper as root of a user namespace, who is uid outside.
func fakeRoot(uid, gid int, more uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | more,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}},
		Credential:  &syscall.Credential{Uid: 0, Gid: 0, NoSetGroups: true},
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can start processes of other users")
	}
}

// listen listens on network where everybody may connect.
func listen(t testing.TB, network, addr string) net.Listener {
	t.Helper()
	if network == "unix" {
		addr = filepath.Join(publicDir(t), "x.sock")
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	if network == "unix" {
		if err := os.Chmod(addr, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return ln
}

// publicDir returns a directory that everybody may use.
func publicDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func accept(t testing.TB, ln net.Listener) net.Conn {
	t.Helper()
	if d, ok := ln.(interface{ SetDeadline(time.Time) error }); ok {
		_ = d.SetDeadline(time.Now().Add(patience))
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// pair returns the two ends of a connection to ln.
func pair(t testing.TB, ln net.Listener) (client, ours net.Conn) {
	t.Helper()
	client, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, accept(t, ln)
}

func policy(t testing.TB, text string) Policy {
	t.Helper()
	p, err := ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
