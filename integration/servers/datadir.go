package servers

import (
	"errors"
	"os"
	"path/filepath"
)

// Data directories of servers that have ended are kept for the next ones, which write the template
// over them. A data directory is more than a thousand files, and some file systems are slow at making
// files where others were removed shortly before: ext4 without a journal takes up to a second.
const (
	spareDir  = "/var/spare"
	maxSpares = 4
)

// newDataDir makes a data directory like the template at path.
func newDataDir(r *root, path string) error {
	spares, err := os.ReadDir(r.dir + spareDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, spare := range spares {
		// Only one of several processes that want this spare can move it.
		if os.Rename(filepath.Join(r.dir, spareDir, spare.Name()), path) == nil {
			break
		}
	}
	return copyDir(r.dir+templateDir, path)
}

// keepDataDir moves a data directory, which no process uses any more, to the spares. If there are
// enough of them it does nothing: the caller removes what is at path.
func keepDataDir(r *root, path, name string) error {
	if err := os.MkdirAll(r.dir+spareDir, 0o700); err != nil {
		return err
	}
	spares, err := os.ReadDir(r.dir + spareDir)
	if err != nil || len(spares) >= maxSpares {
		return err
	}
	return os.Rename(path, filepath.Join(r.dir, spareDir, name))
}
