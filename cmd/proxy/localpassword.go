package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"dbvalet/config"
	"dbvalet/proxy"
	"dbvalet/tokens"
)

// A localPassword is what a route asks its clients for.
type localPassword struct {
	secret tokens.Secret
	// where it is kept, for those who may know it.
	where string
}

// hint is for a client that has not shown the password.
func (p *localPassword) hint() string { return "the password of this route is in " + p.where }

// newLocalPassword reads local_password=; nil is a route that asks for none.
func newLocalPassword(r *config.Route) (*localPassword, error) {
	fail := func(err error, advice string) (*localPassword, error) {
		return nil, &config.Error{Route: r.Name, Err: fmt.Errorf("local_password=: %w", err), Advice: advice}
	}
	kind, name, _ := strings.Cut(r.LocalPassword, ":")
	var source tokens.Source
	where := r.LocalPassword
	switch {
	case r.LocalPassword == "":
		return nil, nil
	case r.LocalPassword == "auto":
		path, err := keptPassword(r.Name)
		if err != nil {
			return fail(err, "make the directory, or write local_password=file:PATH")
		}
		source, where = &tokens.File{Path: path}, path
	case kind == "file" && name != "":
		source, where = &tokens.File{Path: name}, name
	case kind == "env" && name != "":
		source = &tokens.Env{Name: name}
	default: // which may be a password
		return fail(errors.New("it is neither auto, nor file:PATH, nor env:NAME"),
			"a password itself does not go there, where everybody on this machine can read it: put it into a file")
	}
	cred, err := source.Credential(context.Background(), "")
	if err != nil {
		return fail(err, proxy.Hint(err))
	}
	if cred.Password.Empty() {
		return fail(errors.New("the password is empty"), "write one into "+where)
	}
	return &localPassword{cred.Password, where}, nil
}

// localPasswordBytes is how much chance is in a password that is made here.
const localPasswordBytes = 24

// keptPassword returns the file with the password of the route called name, which only the own user
// can read. It is made when there is none, and stays the same for the clients until it is removed.
func keptPassword(name string) (path string, err error) {
	path, err = passwordFile(name)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return path, private(path)
	}
	if err != nil {
		return "", err
	}
	random := make([]byte, localPasswordBytes)
	_, _ = rand.Read(random) // it never fails
	_, err = fmt.Fprintln(file, base64.RawURLEncoding.EncodeToString(random))
	if err = errors.Join(err, file.Close()); err != nil {
		_ = os.Remove(path) // half a password is none
		return "", err
	}
	return path, nil
}

// passwordFile is where the password of the route called name is kept, if dbvalet makes it.
func passwordFile(name string) (string, error) {
	dir, err := runtimeDir()
	return filepath.Join(dir, fileName(name)+".password"), err
}

// private returns an error if others than the own user can read or write path.
func private(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is not a file that only its owner can read; remove it", path)
	}
	return nil
}

// runtimeDir is where files are kept for as long as the service runs (systemd's RuntimeDirectory=), the
// user is logged in, or the machine is up.
func runtimeDir() (string, error) {
	if dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); filepath.IsAbs(dir) {
		return dir, nil
	}
	if os.Geteuid() == 0 {
		return "/run/dbvalet", nil
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "dbvalet"), nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "dbvalet"), err
}

// fileName is name without what is special in a path.
func fileName(name string) string {
	return cmp.Or(strings.Map(func(r rune) rune {
		if r == '/' || r == 0 {
			return '_'
		}
		return r
	}, strings.TrimLeft(name, ".")), "route")
}
