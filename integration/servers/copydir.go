package servers

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// copyDir makes the folder to like the folder from, with the same modes, and gives it to the
// server's user. What is there already is written over, and what is not in from is removed.
func copyDir(from, to string) error {
	if err := removeExtra(from, to); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		target, err := rebase(path, from, to)
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			err = copyFile(path, target, info.Mode().Perm())
		} else if err = os.Mkdir(target, info.Mode().Perm()); errors.Is(err, fs.ErrExist) {
			err = nil
		}
		if err != nil {
			return err
		}
		return own(target)
	})
}

// removeExtra removes from the folder to what the folder from has not, or has as something else.
func removeExtra(from, to string) error {
	return filepath.WalkDir(to, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		original, err := rebase(path, to, from)
		if err != nil {
			return err
		}
		info, err := os.Lstat(original)
		if err == nil && info.Mode().Type() == entry.Type() {
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.RemoveAll(path); err != nil || !entry.IsDir() {
			return err
		}
		return fs.SkipDir
	})
}

// rebase returns the path that is below to what path is below from.
func rebase(path, from, to string) (string, error) {
	rel, err := filepath.Rel(from, path)
	return filepath.Join(to, rel), err
}

// copyFile copies the content of the file from to the file to, whose mode becomes mode. It does not empty the file first, so
// that the file system can keep the blocks it has.
func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, in)
	return errors.Join(err, out.Truncate(n), out.Chmod(mode), out.Close())
}
