//go:build unix

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const otherUID = 65534

// newUserFiles writes a user's own configuration with a file beside it, and returns their paths.
func newUserFiles(t *testing.T) (main, beside string) {
	t.Helper()
	main = newHome(t)
	beside = filepath.Join(filepath.Dir(main), "config.d", "a.yaml")
	err := errors.Join(os.MkdirAll(filepath.Dir(beside), 0o700),
		os.WriteFile(main, []byte("routes:\n  - {name: orders, upstream: 'postgres://app@db.example.com/orders', auth: 'env:PW'}\n"), 0o600),
		os.WriteFile(beside, []byte("routes:\n  - {name: shop, upstream: 'mysql://app@db.example.com/shop', auth: 'exec:echo x'}\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return main, beside
}

func TestUserFileIsNobodyElsesWords(t *testing.T) {
	giveAway := func(path string) error { return os.Chown(path, otherUID, otherUID) }
	writable := func(path string) error { return os.Chmod(path, 0o777) }
	for name, row := range map[string]struct {
		root   bool // it takes root to try it
		change func(main, beside string) (at string, err error)
		want   string
	}{
		"others write the file":               {false, func(main, _ string) (string, error) { return main, writable(main) }, "others may write to it\nhint: run chmod go-w AT, or name a file with --config"},
		"others write a file beside it":       {false, func(_, beside string) (string, error) { return beside, writable(beside) }, "others may write to it\nhint: run chmod go-w AT,"},
		"others put files into the directory": {false, func(main, _ string) (string, error) { return filepath.Dir(main), writable(filepath.Dir(main)) }, "others may write to it\nhint: run chmod go-w AT,"},
		"others put files beside it":          {false, func(_, beside string) (string, error) { return filepath.Dir(beside), writable(filepath.Dir(beside)) }, "others may write to it\nhint: run chmod go-w AT,"},
		"a file of another user":              {true, func(main, _ string) (string, error) { return main, giveAway(main) }, "it belongs to another user\nhint: name a file with --config"},
		"another user's file beside it":       {true, func(_, beside string) (string, error) { return beside, giveAway(beside) }, "it belongs to another user\nhint: name a file"},
		"a file of ours that another user links": {true, func(main, _ string) (string, error) {
			ours := filepath.Join(t.TempDir(), "ours.yaml")
			return filepath.Dir(main), errors.Join(os.Rename(main, ours), os.Symlink(ours, main), giveAway(filepath.Dir(main)))
		}, "it belongs to another user\nhint: name a file"},
	} {
		t.Run(name, func(t *testing.T) {
			if row.root && os.Geteuid() != 0 {
				t.Skip("only root can give a file away")
			}
			main, beside := newUserFiles(t)
			if status, stdout, stderr := runs(t, "config", "check"); status != exitOK || stdout != "ok: 2 routes\n" {
				t.Fatalf("before: got status %d\n%s%s", status, stdout, stderr)
			}
			at, err := row.change(main, beside)
			if err != nil {
				t.Fatal(err)
			}
			want := "dbvalet: " + at + ": not read as the user's own configuration: " + strings.ReplaceAll(row.want, "AT", at)
			for _, args := range [][]string{{"config", "check"}, {"url", "orders"}, {"status"}} {
				if status, _, stderr := runs(t, args...); status != exitUsage || !strings.Contains(stderr, want) {
					t.Errorf("%s: got status %d\n%swant\n%s", args, status, stderr, want)
				}
			}
		})
	}
}

func TestUserFileThatIsNotReadIsNoMatter(t *testing.T) {
	main, _ := newUserFiles(t)
	if err := os.Chmod(main, 0o666); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.yaml")
	if err := os.WriteFile(other, []byte("routes:\n  - {name: shop, upstream: 'mysql://app@db.example.com/shop', auth: 'env:PW'}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"config", "check", "--config", other},
		{"config", "check", "--config", other, "shop"},
		{"config", "check", "postgres://app@db.example.com/orders?auth=env:PW"},
	} {
		if status, stdout, stderr := runs(t, args...); status != exitOK || stdout != "ok: 1 route\n" {
			t.Errorf("%s: got status %d\n%s%s", args, status, stdout, stderr)
		}
	}
	t.Setenv("DBVALET_CONFIG", other)
	if status, stdout, stderr := runs(t, "config", "check"); status != exitOK || stdout != "ok: 1 route\n" {
		t.Errorf("DBVALET_CONFIG: got status %d\n%s%s", status, stdout, stderr)
	}
}

func TestInitLeavesTheFileToItsOwnerAndGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := filepath.Join(t.TempDir(), "my.yaml")
	if err := errors.Join(os.WriteFile(path, []byte(commented), 0o640), os.Chown(path, otherUID, otherUID-1)); err != nil {
		t.Fatal(err)
	}
	if said, err := inits(t, "", "--config", path, "--yes", "--upstream=db.example.com", "--auth=env:PW", "--port=15433"); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	if stat.Uid != otherUID || stat.Gid != otherUID-1 || info.Mode() != 0o640 || info.Size() <= int64(len(commented)) {
		t.Errorf("got uid %d, gid %d, %v, want what it was", stat.Uid, stat.Gid, info.Mode())
	}
}
