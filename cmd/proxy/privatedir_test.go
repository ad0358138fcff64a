//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrivateDirOfARunThatWasKilledIsRemoved(t *testing.T) {
	base := runtimeIn(t)
	live, err := newPrivateDir()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(live.path); err != nil || info.Mode().Perm() != 0o700 || filepath.Dir(live.path) != base {
		t.Errorf("got %s, %v, %v, want one in %s with mode 0700", live.path, info.Mode(), err, base)
	}
	killed, err := newPrivateDir()
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(killed.path, ".s.PGSQL.5432")
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	killed.lock.Close() // as the kernel does
	half := filepath.Join(base, "1")
	if err := os.Mkdir(half, 0o700); err != nil {
		t.Fatal(err)
	}

	next, err := newPrivateDir()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{live.path: true, next.path: true, killed.path: false, half: false} {
		if got := exists(path); got != want {
			t.Errorf("%s is there: %v, want %v", path, got, want)
		}
	}
	next.remove()
	live.remove()
	leavesNothing(t, base)
}

func TestPrivateDirIsMadeElsewhereWhereItWouldNotBePrivate(t *testing.T) {
	t.Setenv("TMPDIR", runtimeIn(t)+"-tmp")
	if err := os.Mkdir(os.TempDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		dir  string
		make func(dir string) error
	}{
		"a path that is too long":     {strings.Repeat("x", maxBase), func(string) error { return nil }},
		"others may exchange it":      {"a", func(dir string) error { return os.Chmod(dir, 0o777) }},
		"others may get into it":      {"b", func(dir string) error { return os.Mkdir(filepath.Join(dir, "exec"), 0o755) }},
		"it is a link":                {"c", func(dir string) error { return os.Symlink(os.TempDir(), filepath.Join(dir, "exec")) }},
		"nothing can be made in it":   {"e", func(dir string) error { return os.MkdirAll(filepath.Join(dir, "exec", lockName), 0o700) }},
		"there is a file of its name": {"d", func(dir string) error { return os.WriteFile(filepath.Join(dir, "exec"), nil, 0o600) }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(os.TempDir(), row.dir)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := row.make(dir); err != nil {
				t.Fatal(err)
			}
			t.Setenv("RUNTIME_DIRECTORY", dir)
			d, err := newPrivateDir()
			if err != nil {
				t.Fatal(err)
			}
			defer d.remove()
			if strings.HasPrefix(d.path, dir+"/") || !strings.HasPrefix(d.path, filepath.Join(os.TempDir(), "dbvalet-")) {
				t.Errorf("got %s, want it elsewhere", d.path)
			}
		})
	}
}
