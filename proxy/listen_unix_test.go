//go:build unix

package proxy

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// startUmask is the process's mask before any test.
var startUmask = currentUmask()

func currentUmask() int {
	mask := syscall.Umask(0o077)
	syscall.Umask(mask)
	return mask
}

func TestUnixSocketIsPrivate(t *testing.T) {
	for _, row := range []struct{ name, path, socket string }{
		{"in a directory", "", socketName},
		{"in a directory that is not there yet", "new", "new/" + socketName},
		{"named", "x.sock", "x.sock"},
		{"named as clients look for it", ".s.PGSQL.6543", ".s.PGSQL.6543"},
		{"named, in a directory that is not there yet", "new/x.sock", "new/x.sock"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := privateDir(t)
			ln := mustListen(t, filepath.Join(dir, row.path))[0]
			socket := filepath.Join(dir, row.socket)
			if got := ln.Addr().String(); got != socket {
				t.Errorf("got %s, want %s", got, socket)
			}
			info, err := os.Stat(socket)
			if err != nil || info.Mode() != os.ModeSocket|0o600 {
				t.Errorf("got mode %v, %v, want that of a socket with 0600", info.Mode(), err)
			}
			if info, err := os.Stat(filepath.Dir(socket)); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("got mode %v, %v of the directory, want 0700", info.Mode(), err)
			}
			conn, err := net.Dial("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			ln.Close()
			if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("got %v after Close, want the socket gone", err)
			}
		})
	}
	if mask := currentUmask(); mask != startUmask {
		t.Errorf("the umask is %#o now, and was %#o", mask, startUmask)
	}
}

func TestUnixSocketRefusesDirectoryOfOthers(t *testing.T) {
	for name, mode := range map[string]os.FileMode{
		"group may write":            0o770,
		"others may write":           0o707,
		"others may write, sticky":   0o777 | os.ModeSticky,
		"only others may write, odd": 0o702,
	} {
		t.Run(name, func(t *testing.T) {
			dir := privateDir(t)
			if err := os.Chmod(dir, mode); err != nil {
				t.Fatal(err)
			}
			if e := refusesToListen(t, dir); !strings.Contains(e.Error(), "others may write") {
				t.Errorf("got %v, want the reason", e)
			}
			if found, _ := os.ReadDir(dir); len(found) != 0 {
				t.Errorf("got %v in the directory, want nothing", found)
			}
		})
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	dir := privateDir(t)
	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, socketName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	killed.SetUnlinkOnClose(false)
	killed.Close()
	ln := mustListen(t, dir)[0]
	conn, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestSocketPathInUseIsLeftAlone(t *testing.T) {
	for _, row := range []struct {
		name, reason string
		occupy       func(t *testing.T, path string)
	}{
		{"live socket", "in use by this process itself", func(t *testing.T, path string) {
			live, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { live.Close() })
		}},
		{"regular file", "something else", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"directory", "something else", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"symbolic link to nowhere", "something else", func(t *testing.T, path string) {
			if err := os.Symlink("/nonexistent", path); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := privateDir(t)
			path := filepath.Join(dir, socketName)
			row.occupy(t, path)
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if e := refusesToListen(t, dir); !strings.Contains(e.Error(), row.reason) {
				t.Errorf("got %v, want %q in it", e, row.reason)
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("got %v, %v, want what was there before", after, err)
			}
		})
	}
}

func TestSocketPathMustFit(t *testing.T) {
	dir := privateDir(t)
	fits := filepath.Join(dir, strings.Repeat("x", maxSocketPath-len(dir)-len("/.sock"))+".sock")
	ln := mustListen(t, fits)[0]
	dial, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dial.Close()
	long := filepath.Join(dir, strings.Repeat("x", maxSocketPath-len(dir)-len("/.sock")+1)+".sock")
	if e := refusesToListen(t, long); !strings.Contains(e.Error(), "107") {
		t.Errorf("got %v, want the limit in it", e)
	}
}

func TestSocketDirectoryMustBeOne(t *testing.T) {
	dir := privateDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "x.sock"), filepath.Join(dir, "a", "b")} {
		_ = refusesToListen(t, path)
	}
}

func TestUnixSocketIsOpenToWhomItIsMeantFor(t *testing.T) {
	socket := filepath.Join(privateDir(t), "new", "x.sock")
	own := strconv.Itoa(os.Getgid())
	listeners, err := Listen(ListenOptions{Addr: socket, SocketMode: 0o660, SocketOwner: strconv.Itoa(os.Getuid()), SocketGroup: own})
	if err != nil {
		t.Fatal(err)
	}
	defer listeners[0].Close()
	info, err := os.Stat(socket)
	if err != nil || info.Mode() != os.ModeSocket|0o660 || int(info.Sys().(*syscall.Stat_t).Gid) != os.Getgid() {
		t.Errorf("got mode %v, %v, want that of a socket with 0660 and group %s", info.Mode(), err, own)
	}
	if info, err := os.Stat(filepath.Dir(socket)); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("got mode %v, %v of the directory, want one that others may enter", info.Mode(), err)
	}
}

func TestUnixSocketNeedsOwnersThatThereAre(t *testing.T) {
	dir := privateDir(t)
	for _, o := range []ListenOptions{{SocketOwner: "no-such-user"}, {SocketGroup: "no-such-group"}, {SocketOwner: "-1"}} {
		o.Addr, o.SocketName = dir, socketName
		listeners, err := Listen(o)
		if err == nil {
			listeners[0].Close()
		}
		if e, ok := errors.AsType[*ListenError](err); !ok || !strings.Contains(e.Hint(), "socket_owner=") {
			t.Errorf("%+v: got %v, want what to correct", o, err)
		}
	}
	if found, _ := os.ReadDir(dir); len(found) != 0 {
		t.Errorf("got %v in the directory, want nothing", found)
	}
}

// Who owns a directory may replace what is in it, whatever its mode.
func TestUnixSocketRefusesForeignDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a directory of somebody else's")
	}
	dir := privateDir(t)
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if e := refusesToListen(t, dir); !strings.Contains(e.Error(), "belongs to another user") {
		t.Errorf("got %v, want the reason", e)
	}
}
