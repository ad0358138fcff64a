//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// haveSockets says that clients on this system use unix sockets.
const haveSockets = true

// A privateDir is a directory for the sockets of one run, which only the own user can get into. A lock
// says that the run lives: what a dbvalet has left that was killed, the next one removes.
type privateDir struct {
	path string
	lock *os.File
}

// lockName is the file whose lock says it; there is one in each directory, and one above them for who
// makes or removes one.
const lockName = "lock"

func newPrivateDir() (*privateDir, error) {
	var firstErr error
	for _, base := range bases() {
		d, err := privateDirIn(base)
		if err == nil {
			return d, nil
		}
		if firstErr == nil {
			firstErr = err
		}
	}
	return nil, &commandError{
		err: fmt.Errorf("make a private directory for sockets: %w", firstErr), status: exitError,
		advice: "set XDG_RUNTIME_DIR to a directory of your own, or do without sockets by --tcp",
	}
}

// privateDirIn makes one in base, of which nobody else may be able to change what is in it, or to put
// another into its place.
func privateDirIn(base string) (*privateDir, error) {
	if len(base) > maxBase {
		return nil, fmt.Errorf("the path %s is too long for sockets in it", base)
	}
	if err := makePrivate(base); err != nil {
		return nil, err
	}
	all, err := lock(filepath.Join(base, lockName), unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	sweep(base)
	d := &privateDir{}
	if d.path, err = os.MkdirTemp(base, ""); err != nil {
		return nil, err
	}
	if d.lock, err = lock(filepath.Join(d.path, lockName), unix.LOCK_EX); err != nil {
		_ = os.RemoveAll(d.path)
		return nil, err
	}
	return d, nil
}

// remove removes the directory. If something is in it still, the next run does.
func (d *privateDir) remove() {
	_ = os.Remove(d.lock.Name())
	_ = os.Remove(d.path)
	d.lock.Close()
}

// sweep removes the directories in base whose run is over. Nobody makes one meanwhile.
func sweep(base string) {
	entries, _ := os.ReadDir(base)
	for _, entry := range entries {
		dir := filepath.Join(base, entry.Name())
		if !entry.IsDir() {
			continue
		}
		file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
		if err == nil {
			err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			defer file.Close()
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			_ = os.RemoveAll(dir)
		}
	}
}

// lock opens a file, and locks it until it is closed, or the process ends.
func lock(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(file.Fd()), how)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return file, nil
}

// maxBase is the longest path of a directory in which each run has its own: there are 103 bytes for the
// path of a socket on macOS, and the rest is for "/1234567890/mysql.65535.sock".
const maxBase = 103 - 28

// bases are the directories above those of each run, the best first.
func bases() []string {
	own := "dbvalet-" + strconv.Itoa(os.Geteuid())
	var all []string
	if dir, err := runtimeDir(); err == nil {
		all = append(all, filepath.Join(dir, "exec"))
	}
	return append(all, filepath.Join(os.TempDir(), own), filepath.Join("/tmp", own))
}

// makePrivate makes a directory that is the own user's alone, and that nobody else can exchange.
func makePrivate(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	above, err := os.Stat(filepath.Dir(path)) // which may be a link, such as /tmp on macOS
	if err != nil {
		return err
	}
	if uid := owner(above); uid != 0 && uid != os.Geteuid() || above.Mode().Perm()&0o022 != 0 && above.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("others may exchange what is in %s", filepath.Dir(path))
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() || owner(info) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is not a directory that only its owner gets into, or is not yours; remove it", path)
	}
	return nil
}

// owner is whom a file belongs to, and -1 where that is not known.
func owner(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}
