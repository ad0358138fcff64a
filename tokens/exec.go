package tokens

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"time"
)

const (
	// execLimit is how long a program may take, where Exec.Timeout does not say.
	execLimit = 10 * time.Second

	// drainLimit is how long a program's output may stay open after the program has ended, because
	// a process that it left behind has it too.
	drainLimit = time.Second

	// maxComplaint is how much of the end of stderr is repeated in an error.
	maxComplaint = 500 // bytes
)

// Exec runs a program that prints the password: auth=exec:/usr/bin/my-helper --flag. There is no
// shell between. The program gets dbvalet's environment and DBVALET_USER, the database user that a
// password is asked for; its stdin is empty. On stdout it prints either the password, where one
// newline at the end does not count, or a JSON object:
//
//	{"username": "app", "password": "…", "expires": "2006-01-02T15:04:05Z"}
//
// username and expires may be missing. Output that begins with { is always taken for JSON. The end
// of stderr becomes part of the error if the program fails, so it must not print the password there.
//
// The program and all that it started in its process group are killed when it takes too long or
// prints too much, and what it left behind is killed when it ends.
type Exec struct {
	Argv    []string      // the program and its arguments; see SplitCommand
	Timeout time.Duration // 0: 10 seconds
}

var _ Source = (*Exec)(nil)

// Credential runs the program once.
func (s *Exec) Credential(ctx context.Context, user string) (Credential, error) {
	if len(s.Argv) == 0 {
		return Credential{}, &Error{Source: "exec:", Err: errors.New("no program is named"),
			Advice: "write auth=exec:/path/to/program", Denied: true}
	}
	out, err := s.run(ctx, user)
	if err != nil {
		return Credential{}, s.describe(err)
	}
	cred, err := parseOutput(out)
	if err != nil {
		return Credential{}, s.describe(err)
	}
	if !cred.Expires.IsZero() && !time.Now().Round(0).Before(cred.Expires) {
		return Credential{}, s.describe(fmt.Errorf("%w %s", errExpired, cred.Expires.Format(time.RFC3339)))
	}
	cred.ID = s.Argv[0]
	return cred, nil
}

var (
	errExpired   = errors.New("the password that it printed expired at")
	errMuch      = fmt.Errorf("it printed more than %d KiB, which is no password", maxOutput>>10)
	errTimedOut  = errors.New("no answer within")
	errNoProgram = errors.New("can't be run")
)

// run returns what the program prints.
func (s *Exec) run(ctx context.Context, user string) ([]byte, error) {
	limit := s.Timeout
	if limit <= 0 {
		limit = execLimit
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := time.AfterFunc(limit, func() { cancel(fmt.Errorf("%w %v", errTimedOut, limit)) })
	defer stop.Stop()

	stdout := &head{limit: maxOutput, full: func() { cancel(errMuch) }}
	stderr := &tail{limit: maxComplaint}
	cmd := exec.CommandContext(ctx, s.Argv[0], s.Argv[1:]...)
	cmd.Env = append(os.Environ(), "DBVALET_USER="+user)
	cmd.Stdout, cmd.Stderr = stdout, stderr // no Stdin is /dev/null
	cmd.WaitDelay = drainLimit
	ownGroup(cmd)

	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoProgram, startError(err))
	}
	err := cmd.Wait()
	killGroup(cmd)
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil // the program itself succeeded, and all that it printed has arrived
	}
	if complaint := stderr.String(); err != nil && complaint != "" {
		err = fmt.Errorf("%w: %s", err, complaint)
	}
	return stdout.buf, err
}

// startError removes the program's name, which the Error says already.
func startError(err error) error {
	if e, ok := errors.AsType[*exec.Error](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// describe makes the error that the client gets. A program that fails may succeed the next time,
// for instance when its network is back: only what is wrong with the program itself is final.
func (s *Exec) describe(err error) *Error {
	e := &Error{Source: "exec:" + s.Argv[0], Err: err}
	switch {
	case errors.Is(err, errNoProgram):
		e.Denied = true
		e.Advice = fmt.Sprintf(`check that the program is there and may be run: "ls -l %s"`, s.Argv[0])
	case errors.Is(err, errOutput), errors.Is(err, errMuch), errors.Is(err, errEmpty), errors.Is(err, errNUL):
		e.Denied = true
		e.Advice = `make the program print the password, or {"password": "…"}, and nothing else`
	case errors.Is(err, errTimedOut):
		e.Advice = "run the program by hand to see what it waits for; it gets no input and no terminal"
	default:
		e.Advice = "run the program by hand, as the user that dbvalet runs as"
	}
	return e
}
