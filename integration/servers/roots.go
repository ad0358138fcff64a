package servers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// A recipe says what is in a root. A root is built again when its recipe changes.
type recipe struct {
	name     string   // the folder's name in the cache
	suite    string   // the Debian release
	packages []string // fetched with all that they depend on
	alone    []string // fetched without what they depend on
	assumed  []string // not fetched although packages depend on them
	user     string   // the name of the user as whom the server runs

	// prepare does what the packages' scripts would have done, and makes a template of a data
	// directory. It may be nil. Its text is not in the stamp, so a change of it needs a new
	// recipeVersion.
	prepare func(ctx context.Context, r *root) error
}

// recipeVersion is part of every root's stamp. It must change with the code that builds roots.
const recipeVersion = "4"

// recipes is the table of all roots.
func recipes() []recipe {
	return []recipe{
		postgresRecipe("pg18", "sid", "18"),
		postgresRecipe("pg15", "bookworm", "15"),
		mysqlRecipe(),
		mariadbRecipe(mariaDB11, "sid"),
		mariadbRecipe(mariaDB10, "bookworm", "sysbench"),
		pythonRecipe(),
		phpRecipe(),
		javaRecipe(),
		sshRecipe(),
	}
}

// A root is a folder with the programs of a server and everything that they need.
type root struct {
	recipe
	dir string // where it is on this machine

	// lock is a share of the root's lock. While it is held, nobody replaces the root.
	lock *fileLock
}

// openRoot returns the root called name, and builds it first if it is not there or if it was built
// by another recipe. Several processes may call it at the same time.
func openRoot(ctx context.Context, name string) (*root, error) {
	rec, err := findRecipe(name)
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	r := &root{recipe: rec, dir: filepath.Join(cache, name)}
	for {
		r.lock, err = lockShared(ctx, r.dir+".lock")
		if err != nil {
			return nil, err
		}
		if r.current() {
			return r, nil
		}
		// A share can't be turned into the whole lock in one step: somebody else may build the root
		// in between. So build looks again, and so does this loop after it.
		r.lock.Close()
		if err := r.build(ctx); err != nil {
			return nil, fmt.Errorf("get the programs for test servers (%s): %w", name, err)
		}
	}
}

// Close gives up the share of the root. Nothing of it may be in use afterwards.
func (r *root) Close() error {
	return r.lock.Close()
}

func findRecipe(name string) (recipe, error) {
	var names []string
	for _, rec := range recipes() {
		if rec.name == name {
			return rec, nil
		}
		names = append(names, rec.name)
	}
	return recipe{}, fmt.Errorf("no recipe for %q\nhint: there are recipes for %s", name, strings.Join(names, ", "))
}

// build makes the root in a folder beside its place, and moves it there when it is complete. A build
// that was cut short leaves only a folder that the next one removes.
func (r *root) build(ctx context.Context) error {
	lock, err := lockExclusively(ctx, r.dir+".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	if r.current() {
		return nil
	}
	unfinished, err := filepath.Glob(r.dir + ".new-*")
	if err != nil {
		return err
	}
	for _, dir := range append(unfinished, r.dir) {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}

	dir, err := os.MkdirTemp(filepath.Dir(r.dir), r.name+".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	next := &root{recipe: r.recipe, dir: filepath.Join(dir, "root")}
	if err := next.fill(ctx, filepath.Join(dir, "apt")); err != nil {
		return err
	}
	return os.Rename(next.dir, r.dir)
}

// fill makes the content of the root, and the stamp as the last of it.
func (r *root) fill(ctx context.Context, aptDir string) error {
	if err := os.Chmod(filepath.Dir(r.dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(aptDir, 0o755); err != nil {
		return err
	}
	if err := layOut(r.dir, r.user); err != nil {
		return err
	}
	a, err := newApt(ctx, aptDir, r.suite, r.assumed)
	if err != nil {
		return err
	}
	packages, err := a.download(ctx, r.packages, r.alone)
	if err != nil {
		return err
	}
	if err := extract(ctx, r.dir, packages); err != nil {
		return err
	}
	if err := relativeLinks(r.dir); err != nil {
		return err
	}
	if err := openUp(r.dir); err != nil {
		return err
	}
	if r.prepare != nil {
		if err := r.prepare(ctx, r); err != nil {
			return err
		}
	}
	return os.WriteFile(r.stampFile(), []byte(r.stamp()), 0o644)
}

// current reports whether the root is there and built by today's recipe.
func (r *root) current() bool {
	b, err := os.ReadFile(r.stampFile())
	return err == nil && string(b) == r.stamp()
}

func (r *root) stampFile() string {
	return filepath.Join(r.dir, "stamp")
}

func (r *root) stamp() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %q %q %q %q", recipeVersion, r.suite, r.packages, r.alone, r.assumed, r.user)
	fmt.Fprintf(h, "%d %q", serverID, tokenSourceTexts())
	return hex.EncodeToString(h.Sum(nil)) + "\n"
}

// triple is how Debian calls this machine's kind in the names of library folders.
func triple() (string, error) {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64-linux-gnu", nil
	case "arm64":
		return "aarch64-linux-gnu", nil
	}
	return "", errors.New("test servers run on amd64 and arm64 only, not on " + runtime.GOARCH)
}
