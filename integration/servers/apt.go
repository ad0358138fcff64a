package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// An apt is a package database of its own, in its own folder. It reads the machine's settings for
// how to reach archives (proxies, time limits), and it changes nothing on the machine.
type apt struct {
	dir string
}

// newApt makes a package database of one Debian suite. It pretends that the packages in assumed are
// installed, and that no others are: so everything that a program needs is fetched, down to the C
// library, but for what is assumed.
func newApt(ctx context.Context, dir, suite string, assumed []string) (*apt, error) {
	a := &apt{dir: dir}
	for _, sub := range []string{"lists/partial", "cache/archives/partial", "etc/preferences.d"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	mirror, err := debianMirror()
	if err != nil {
		return nil, err
	}
	keyring, err := debianKeyring()
	if err != nil {
		return nil, err
	}
	settings, err := a.settings(ctx)
	if err != nil {
		return nil, err
	}
	var status strings.Builder
	for _, name := range assumed {
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nVersion: 9999\n"+
			"Architecture: %s\nMulti-Arch: allowed\nMaintainer: none\nDescription: assumed\n\n", name, runtime.GOARCH)
	}
	files := map[string]string{
		"apt.conf":     settings,
		"sources.list": fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, mirror, suite),
		"status":       status.String(),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	if err := a.run(ctx, "apt-get", "-q", "update"); err != nil {
		return nil, fmt.Errorf("%w\nhint: is %s reachable from here? DBVALET_DEBIAN_MIRROR sets another Debian archive", err, mirror)
	}
	return a, nil
}

// download fetches packages and all that they depend on, but for what is assumed, and returns the
// package files. The packages in alone come without what they depend on.
func (a *apt) download(ctx context.Context, packages, alone []string) ([]string, error) {
	args := append([]string{"-q", "-y", "--download-only", "--no-install-recommends", "install"}, packages...)
	if err := a.run(ctx, "apt-get", args...); err != nil {
		return nil, err
	}
	if len(alone) > 0 {
		if err := a.run(ctx, "apt-get", append([]string{"-q", "download"}, alone...)...); err != nil {
			return nil, err
		}
	}
	files, err := filepath.Glob(filepath.Join(a.dir, "cache", "archives", "*.deb"))
	if err != nil {
		return nil, err
	}
	more, err := filepath.Glob(filepath.Join(a.dir, "*.deb"))
	return append(files, more...), err
}

// settings returns the content of the private apt.conf. Files of settings other than this one are
// not read, because Debian's container images have hooks in them that empty the machine's package
// cache.
func (a *apt) settings(ctx context.Context) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "apt-config", "dump", "Acquire")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "", errors.New("test servers come from Debian packages, and this machine has no apt\n" +
				"hint: run the integration tests on Debian or Ubuntu, or in a container of them")
		}
		return "", fmt.Errorf("apt-config dump: %w\n%s", err, stderr.String())
	}
	own := [][2]string{
		{"Dir", a.dir + "/"},
		{"Dir::State", a.dir + "/"},
		{"Dir::State::lists", a.dir + "/lists/"},
		{"Dir::State::status", a.dir + "/status"},
		{"Dir::Cache", a.dir + "/cache/"},
		{"Dir::Etc", a.dir + "/etc/"},
		{"Dir::Etc::sourcelist", a.dir + "/sources.list"},
		{"Dir::Etc::sourceparts", "/dev/null"},
		{"Dir::Etc::parts", "/dev/null"},
		{"Dir::Etc::main", "/dev/null"},
		{"Dir::Log", a.dir + "/"},
		// apt's own user has no access to a cache below somebody's home.
		{"APT::Sandbox::User", "root"},
		{"APT::Architecture", runtime.GOARCH},
		{"Acquire::Languages", "none"},
		// Snapshots and slow mirrors serve unstable with an index older than its week.
		{"Acquire::Check-Valid-Until", "false"},
		{"Acquire::Retries", "3"},
		// Without this, an archive that can't be reached is only a warning.
		{"APT::Update::Error-Mode", "any"},
	}
	for _, s := range own {
		fmt.Fprintf(&stdout, "%s %q;\n", s[0], s[1])
	}
	return stdout.String(), nil
}

// run runs a program of apt with the private settings. APT_CONFIG is read before all other files,
// which includes the setting that there are no other files.
func (a *apt) run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.dir, "apt.conf"), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, lastLines(out, 12))
	}
	return nil
}

// debianKeyring returns the keys with which Debian signs its archive, as this machine has them.
func debianKeyring() (string, error) {
	for _, ext := range []string{".gpg", ".pgp"} {
		path := "/usr/share/keyrings/debian-archive-keyring" + ext
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", errors.New("the keys of the Debian archive are not on this machine\n" +
		"hint: apt-get install debian-archive-keyring")
}

// lastLines returns the last n lines of a program's output, where the reason of its failure is.
func lastLines(out []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
