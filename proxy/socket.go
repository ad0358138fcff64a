package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"dbvalet/peer"
)

// listenUnix listens on a socket that only the own user can connect to, or whom o says.
func listenUnix(path string, o ListenOptions) (net.Listener, error) {
	fail := func(err error, advice string) (net.Listener, error) {
		return nil, &ListenError{path, err, advice}
	}
	if len(path) > maxSocketPath {
		return fail(fmt.Errorf("the path has %d bytes, and a socket's has at most %d", len(path), maxSocketPath), "choose a shorter directory in listen=")
	}
	dir := filepath.Dir(path)
	mode := cmp.Or(o.SocketMode, 0o600)
	dirMode := fs.FileMode(0o700)
	if mode&0o077 != 0 {
		dirMode = 0o755 // others get to the socket
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return fail(err, "make the directory, or choose another in listen=")
	}
	switch info, err := os.Stat(dir); {
	case err != nil:
		return fail(err, "make the directory, or choose another in listen=")
	case !info.IsDir():
		return fail(errors.New(dir+" is not a directory"), "choose a directory in listen=")
	case info.Mode().Perm()&0o022 != 0:
		return fail(fmt.Errorf("others may write to %s (%v), and so replace the socket", dir, info.Mode()),
			"choose a directory of your own in listen=, with mode 0700 or 0755")
	case ofSomebodyElse(info):
		return fail(fmt.Errorf("%s belongs to another user, who may replace the socket", dir), "choose a directory of your own in listen=")
	}
	uid, gid, err := ownership(o)
	if err != nil {
		return fail(err, "check socket_owner= and socket_group=")
	}
	if err := removeStale(path); err != nil {
		advice := "stop it, or choose another directory in listen="
		if e, ok := errors.AsType[*heldError](err); ok && e.holder.IsLike(program) {
			advice = `"dbvalet status" shows what that one serves; ` + advice
		}
		return fail(err, advice)
	}
	ln, err := listenPrivately(path)
	if err != nil {
		return fail(dialCause(err), "check that the directory can be written to and that its file system has room")
	}
	if uid >= 0 || gid >= 0 {
		if err := os.Chown(path, uid, gid); err != nil {
			ln.Close()
			return fail(err, "only root may give a socket to another user, and others only to groups that they are in")
		}
	}
	if err := os.Chmod(path, mode); err != nil { // last, so that it is never open to more than is meant
		ln.Close()
		return fail(err, "check socket_mode=")
	}
	return ln, nil
}

// ownership returns the ids that o names, and -1 for what it leaves out.
func ownership(o ListenOptions) (uid, gid int, err error) {
	uid, gid = -1, -1
	if o.SocketOwner != "" {
		if uid, err = id(o.SocketOwner, func(name string) (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		}); err != nil {
			return -1, -1, err
		}
	}
	if o.SocketGroup != "" {
		gid, err = id(o.SocketGroup, func(name string) (string, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		})
	}
	return uid, gid, err
}

// id returns the number that name is, or that find knows for it.
func id(name string, find func(string) (string, error)) (int, error) {
	number := name
	if _, err := strconv.ParseUint(name, 10, 31); err != nil {
		if number, err = find(name); err != nil {
			return -1, err
		}
	}
	return strconv.Atoi(number)
}

// maxSocketPath is the longest path of a socket, in bytes: sun_path of Linux less its final zero.
const maxSocketPath = 107

var errTaken = errors.New("the socket is in use")

// removeStale removes a socket that nobody listens on any more, such as one left by a program that
// was killed.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is something else of this name")
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		defer conn.Close()
		if h, ok := peer.HolderAt(conn); ok {
			return &heldError{errTaken, h}
		}
		return errTaken
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
