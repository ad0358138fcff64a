package servers

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// nodePackages name, in exact versions, with all that they depend on, the drivers pg, mysql2 and mariadb,
// and what a browser is driven and looked at with, playwright-core and axe-core.
//
//go:embed node browser
var nodePackages embed.FS

// Node returns a command that runs a script, which may require pg, mysql2 and mariadb. The drivers come
// from npm. Node.js and npm must be on the machine: Debian's looks for parts of itself in
// /usr/share/nodejs only, so it does not run from a root.
func Node(ctx context.Context, script string, args ...string) (*exec.Cmd, error) {
	return nodeCommand(ctx, "node", script, args...)
}

// Browser returns a command that runs a script for Node.js, which may require playwright-core and axe-core
// and finds the path of Chromium in the variable CHROMIUM. The packages come from npm, and Chromium is the
// machine's.
func Browser(ctx context.Context, script string, args ...string) (*exec.Cmd, error) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		return nil, fmt.Errorf("%w\nhint: Chromium is needed to look at the status page: install it, on Debian: apt-get install chromium", err)
	}
	cmd, err := nodeCommand(ctx, "browser", script, args...)
	if err != nil {
		return nil, err
	}
	cmd.Env = append(cmd.Env, "CHROMIUM="+chromium)
	return cmd, nil
}

// nodeCommand returns a command that runs a script, which may require the packages that a folder names.
func nodeCommand(ctx context.Context, folder, script string, args ...string) (*exec.Cmd, error) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("%w\nhint: Node.js 18 or later, with npm, is needed for its packages", err)
		}
	}
	modules, err := nodeModules(ctx, folder)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "node", append([]string{script}, args...)...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=/var/empty",
		"TMPDIR=" + os.TempDir(),
		"TZ=UTC",
		"LC_ALL=C.UTF-8",
		"NODE_PATH=" + modules,
	}
	return cmd, nil
}

// nodeModules returns where the packages are that a folder names, and gets them first if they are not there.
func nodeModules(ctx context.Context, folder string) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	lockFile, err := nodePackages.ReadFile(folder + "/package-lock.json")
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lockFile)
	dir := filepath.Join(cache, "npm-"+hex.EncodeToString(sum[:8]))
	modules := filepath.Join(dir, folder, "node_modules")

	lock, err := lockExclusively(ctx, filepath.Join(cache, "npm.lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return modules, err
	}
	next := dir + ".new"
	if err := os.RemoveAll(next); err != nil {
		return "", err
	}
	defer os.RemoveAll(next)
	if err := os.CopyFS(next, nodePackages); err != nil {
		return "", err
	}
	// It runs with the user's settings, which may say where packages come from.
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
	npm.Dir = filepath.Join(next, folder)
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("get packages for Node.js from npm: %w\n%s", err, lastLines(out, 12))
	}
	return modules, os.Rename(next, dir)
}
