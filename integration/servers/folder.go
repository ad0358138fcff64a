package servers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// A folder holds all files of one running server, below srv in its root.
type folder struct {
	root *root
	name string // random; also the name of the server's PAM service
	dir  string // where it is on this machine

	// lock is held as long as the folder is in use. If nobody holds it, the process that started
	// the server was killed.
	lock *fileLock
}

// newFolder makes a folder for a server, and removes those of killed processes.
func newFolder(ctx context.Context, r *root) (*folder, error) {
	srv := filepath.Join(r.dir, "srv")
	// While this lock is held, no folder can be seen that has not got its own lock yet.
	making, err := lockExclusively(ctx, srv+".lock")
	if err != nil {
		return nil, err
	}
	defer making.Close()
	if err := sweep(r, srv); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(srv, "")
	if err != nil {
		return nil, err
	}
	// Clients may run as another user than the test, and read the CA's certificate.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := tryLock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	return &folder{root: r, name: filepath.Base(dir), dir: dir, lock: lock}, nil
}

// remove deletes the folder. The server must have ended.
func (f *folder) remove() error {
	return errors.Join(
		removeSharedMemory(f.path("data")),
		os.RemoveAll(pamServiceFile(f.root, f.name)), // Remove minds if it is not there.
		os.RemoveAll(f.dir),
		f.lock.Close(),
	)
}

// path returns where a file of the folder is on this machine.
func (f *folder) path(name string) string {
	return filepath.Join(f.dir, name)
}

// inside returns where a file of the folder is for programs in the root.
func (f *folder) inside(name string) string {
	return "/srv/" + f.name + "/" + name
}

// write makes or replaces a file that only the server's user may read. A program that reads it at
// the same time sees the old content or the new.
func (f *folder) write(name string, content []byte) error {
	next := f.path(name + ".new")
	if err := os.WriteFile(next, content, 0o600); err != nil {
		return err
	}
	if err := own(next); err != nil {
		return err
	}
	return os.Rename(next, f.path(name))
}

// writeForAll makes or replaces a file that everybody may read, whatever the umask is.
func writeForAll(path string, content []byte) error {
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return err
	}
	return os.Chmod(path, 0o644)
}

// replaceForAll is writeForAll for a file that others may read or replace at the same time.
func replaceForAll(path string, content []byte) error {
	next, err := os.CreateTemp(filepath.Dir(path), "")
	if err != nil {
		return err
	}
	defer os.Remove(next.Name())
	_, err = next.Write(content)
	if err := errors.Join(err, next.Chmod(0o644), next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), path)
}

// sweep removes the folders of processes that have been killed. Their servers have got a signal
// when that happened, but may not have come to their end yet.
func sweep(r *root, srv string) error {
	entries, err := os.ReadDir(srv)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		f := &folder{root: r, name: entry.Name(), dir: filepath.Join(srv, entry.Name())}
		f.lock, err = tryLock(f.path("lock"))
		if errors.Is(err, errLocked) {
			continue
		}
		if err != nil {
			return err
		}
		if err := killBelow(f.dir); err != nil {
			return err
		}
		if err := f.remove(); err != nil {
			return err
		}
	}
	return nil
}

// killBelow kills the processes whose working directory is dir or below it, as that of every
// process of a PostgreSQL server is.
func killBelow(dir string) error {
	pids, err := processes()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		cwd, err := os.Readlink(procFile(pid, "cwd"))
		if err == nil && strings.HasPrefix(cwd+"/", dir+"/") {
			kill(pid)
		}
	}
	return nil
}
