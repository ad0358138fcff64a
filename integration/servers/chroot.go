package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// serverID is the user and group id of servers. Database servers refuse to run as root. The id is
// above those that people and packages get, so that no user of the machine owns a server's files.
const serverID = 59432

// command returns a command that runs inside the root as the server's user, in the server's own
// clean environment.
//
// A test that runs as root goes into the root first and becomes the server's user after that, so
// folders above the root may be closed to that user. Another user can do the same only in a user
// namespace, in which the one user that exists is himself under the server's id.
func (r *root) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/usr/sbin", "LC_ALL=C.UTF-8", "TZ=UTC", "HOME=/var/empty"}
	attr := &syscall.SysProcAttr{Chroot: r.dir}
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: serverID, Gid: serverID}
	} else {
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: serverID, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: serverID, HostID: os.Getegid(), Size: 1}}
	}
	cmd.SysProcAttr = attr
	return cmd
}

// run runs a command in the root to its end, and returns its output, which is also part of the
// error if it fails.
func (r *root) run(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) > 0 {
		return out, fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, lastLines(out, 12))
	}
	return out, chrootHint(err)
}

// chrootHint adds to an error from starting a command what to do if the machine does not allow to go
// into a root.
func chrootHint(err error) error {
	switch {
	case !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.ENOSPC):
		return err
	case os.Geteuid() == 0:
		return fmt.Errorf("%w\nhint: test servers need the capability to chroot; start the container with it", err)
	}
	return fmt.Errorf("%w\nhint: test servers need root or user namespaces; see the settings user.max_user_namespaces "+
		"and, on Ubuntu, kernel.apparmor_restrict_unprivileged_userns", err)
}

// own gives files to the server's user. Where the test does not run as root, that is the user who
// runs the test, and they belong to him already.
func own(paths ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, path := range paths {
		if err := os.Lchown(path, serverID, serverID); err != nil {
			return err
		}
	}
	return nil
}
