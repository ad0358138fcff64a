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
	noted   []sight // when the configuration was read
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

// note remembers the files of c. before is what they were like before c was read: what has changed since,
// c may or may not say. Nil: nobody has looked.
func (w *watch) note(c *config.Config, before []sight) {
	known := w.dirs
	w.paths, w.dirs = slices.Clone(c.Files), c.Dirs
	for _, r := range c.Routes {
		w.paths = append(w.paths, files(r)...)
	}
	w.noted, w.pending = []sight{}, nil
	inKnown := func(path string) bool {
		dir := filepath.Dir(path)
		return slices.Contains(w.dirs, dir) && slices.Contains(known, dir)
	}
	for _, s := range w.look() {
		switch i := slices.IndexFunc(before, func(was sight) bool { return was.path == s.path }); {
		case i >= 0:
			w.noted = append(w.noted, before[i])
		case !inKnown(s.path):
			w.noted = append(w.noted, s)
		}
	}
	for _, was := range before { // and those that have gone from a directory
		there := !was.time.IsZero()
		if there && inKnown(was.path) && !slices.ContainsFunc(w.noted, func(s sight) bool { return s.path == was.path }) {
			w.noted = append(w.noted, was)
		}
	}
}

// changed reports whether there is something new that has been the same twice.
func (w *watch) changed() bool {
	now := w.look()
	switch {
	case sameSights(now, w.noted):
		w.pending = nil
	case w.pending != nil && sameSights(now, w.pending):
		w.noted, w.pending = now, nil
		return true
	default:
		w.pending = now
	}
	return false
}

func sameSights(a, b []sight) bool { return reflect.DeepEqual(a, b) }

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
