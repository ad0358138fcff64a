package harden

import (
	"errors"
	"fmt"
)

// Hide keeps the first promise of Process alone, which programs that are started do not inherit. It is for
// a process that is going to start somebody else's program, and calls Process when it has.
func Hide() error {
	return undone("hide memory and environment from other processes (PR_SET_DUMPABLE)", hide())
}

// Process makes three promises for the rest of the process's life:
//
//   - No other process of the same user reads its memory, its environment or its open files, and none
//     attaches a debugger: what is in /proc about it belongs to root.
//   - It leaves no core file. The limit holds for files, and what was said first for the programs that
//     the kernel pipes a core into, which look at no limit.
//   - Nothing that it starts gains rights by being set-user-ID.
//
// The programs that it starts inherit the last two, but not the first. So sudo does not work in them,
// and none of them leaves a core file.
//
// What the kernel would not do is in the error, and the rest is done. Systems other than Linux have
// only the limit of core files, and those that are no Unix have nothing: there, what does not exist is
// no error. It may be called again, and from any goroutine.
func Process() error {
	return errors.Join(
		Hide(),
		undone("forbid core files (RLIMIT_CORE)", forbidCores()),
		undone("forbid programs to gain rights (PR_SET_NO_NEW_PRIVS)", keepPrivileges()),
	)
}

func undone(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
