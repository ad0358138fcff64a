package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// hosts is the file /etc/hosts of a root.
const hosts = "127.0.0.1 localhost\n::1 localhost\n"

// layOut makes in dir what a Debian system has before its first package: the links from /bin to
// /usr/bin and so on, the usual folders, and the few files that every program expects.
func layOut(dir, user string) error {
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.MkdirAll(filepath.Join(dir, "usr", name), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("usr/"+name, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"dev", "etc/pam.d", "proc", "srv", "run", "var/empty", "usr/local/lib"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o755); err != nil {
		return err
	}
	// Mkdir's mode is subject to the umask.
	if err := os.Chmod(filepath.Join(dir, "tmp"), 0o777|fs.ModeSticky); err != nil {
		return err
	}
	files := map[string]string{
		"etc/passwd": "root:x:0:0::/:/bin/sh\n" +
			fmt.Sprintf("%s:x:%d:%d::/:/bin/sh\n", user, serverID, serverID),
		"etc/group":         fmt.Sprintf("root:x:0:\n%s:x:%d:\n", user, serverID),
		"etc/hosts":         hosts,
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return makeNull(filepath.Join(dir, "dev", "null"))
}

// makeNull makes /dev/null. Only root may make a device, and in some containers not even root. A
// plain file does for what database servers use it for, which is to throw output away.
func makeNull(path string) error {
	const major, minor = 1, 3
	err := syscall.Mknod(path, syscall.S_IFCHR|0o666, major<<8|minor)
	if errors.Is(err, syscall.EPERM) {
		err = os.WriteFile(path, nil, 0o666)
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return os.Chmod(path, 0o666)
}

// extract unpacks package files into dir without running their scripts.
func extract(ctx context.Context, dir string, packages []string) error {
	for _, file := range packages {
		if err := extractOne(ctx, dir, file); err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(file), err)
		}
	}
	return nil
}

// openUp lets everybody read and run what is in a root, whatever the umask was when it was made.
// Programs that would run as root for everybody lose that: they have no business in a cache.
func openUp(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() && !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444 | info.Mode()&fs.ModeSticky
		if mode&0o100 != 0 {
			mode |= 0o111
		}
		if mode == info.Mode()&^fs.ModeType {
			return nil
		}
		return os.Chmod(path, mode)
	})
}

// relativeLinks makes links to absolute paths relative, so that they lead to the same file of the root
// for a program that runs in it and for one that does not.
func relativeLinks(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type() != fs.ModeSymlink {
			return err
		}
		target, err := os.Readlink(path)
		if err != nil || !filepath.IsAbs(target) {
			return err
		}
		relative, err := filepath.Rel(filepath.Dir(path), filepath.Join(dir, target))
		if err != nil {
			return err
		}
		return errors.Join(os.Remove(path), os.Symlink(relative, path))
	})
}

// extractOne pipes a package through tar. dpkg-deb could unpack it alone, but would put a folder in
// the place of the link /lib if a package has files below it.
func extractOne(ctx context.Context, dir, file string) error {
	var unpackErrors, tarErrors bytes.Buffer
	unpack := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", file)
	tar := exec.CommandContext(ctx, "tar", "-x", "-p", "--no-same-owner", "--keep-directory-symlink",
		"--exclude=./usr/share/doc/*", "--exclude=./usr/share/man/*", "--exclude=./usr/share/locale/*",
		"-C", dir)
	unpack.Stderr, tar.Stderr = &unpackErrors, &tarErrors

	pipe, err := unpack.StdoutPipe()
	if err != nil {
		return err
	}
	tar.Stdin = pipe
	if err := unpack.Start(); err != nil {
		return err
	}
	err = errors.Join(tar.Run(), unpack.Wait())
	if err != nil {
		return fmt.Errorf("%w\n%s\n%s", err, lastLines(unpackErrors.Bytes(), 5), lastLines(tarErrors.Bytes(), 5))
	}
	return nil
}
