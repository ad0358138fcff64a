package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"dbvalet/config"
)

// watchEvery is how often files are looked at. To look is more dependable than to be told by the
// kernel, which says nothing of files on a network's file system, and for a few files costs nothing.
const watchEvery = 2 * time.Second

// A watch notices that files of the configuration have changed. It is for one goroutine.
type watch struct {
	paths   []string
	dirs    []string
	before  []sight // right before the configuration was read
	noted   []sight // when what was read came into force
	pending []sight // seen once, and different: somebody may be writing still
}

// A sight is what a file was like. A symbolic link on the way that is changed, as Kubernetes does, leads
// to another file.
type sight struct {
	path  string
	size  int64
	time  time.Time
	inode any
}

// begin looks at the files that are known, before the configuration is read again.
func (w *watch) begin() { w.before = w.look() }

// note remembers the files of c as they are. If one has changed since begin, c may say what it said before:
// then they count as changed.
func (w *watch) note(c *config.Config) {
	stale := !slices.Equal(w.before, w.look())
	w.paths, w.dirs = slices.Clone(c.Files), c.Dirs
	for _, r := range c.Routes {
		w.paths = append(w.paths, files(r)...)
	}
	w.noted, w.pending = w.look(), nil
	if stale {
		w.noted = nil
	}
}

// changed reports whether there is something new that has been the same twice.
func (w *watch) changed() bool {
	now := w.look()
	switch {
	case slices.Equal(now, w.noted):
		w.pending = nil
	case w.pending != nil && slices.Equal(now, w.pending):
		w.noted, w.pending = now, nil
		return true
	default:
		w.pending = now
	}
	return false
}

func (w *watch) look() []sight {
	paths := w.paths
	for _, dir := range w.dirs {
		more, _ := filepath.Glob(filepath.Join(dir, "*.yaml")) // it fails for a bad pattern only
		paths = append(paths[:len(paths):len(paths)], more...)
	}
	sights := []sight{}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			sights = append(sights, sight{path: path})
			continue
		}
		sights = append(sights, sight{path, info.Size(), info.ModTime(), inode(info)})
	}
	return sights
}

// inode tells a file from another of the same name.
func inode(info fs.FileInfo) any {
	v := reflect.Indirect(reflect.ValueOf(info.Sys()))
	if v.Kind() == reflect.Struct {
		if field := v.FieldByName("Ino"); field.IsValid() {
			return field.Uint()
		}
	}
	return nil
}
