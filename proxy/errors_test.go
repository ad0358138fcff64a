package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"dbvalet/tokens"
)

func TestHintAndFinalAreFoundInTheChain(t *testing.T) {
	denied := &tokens.Error{Source: "s", Err: errTest, Advice: "inner", Denied: true}
	for _, row := range []struct {
		name  string
		err   error
		hint  string
		final bool
	}{
		{"nothing", nil, "", false},
		{"plain", errTest, "", false},
		{"source", denied, "inner", true},
		{"wrapped source", fmt.Errorf("x: %w", denied), "inner", true},
		{"stage around source", &SetupError{Stage: StageCredential, Err: denied}, "inner", true},
		{"stage with advice around source", &SetupError{Stage: StageCredential, Err: denied, Advice: "outer"}, "outer", true},
		{"stage", &SetupError{Stage: StageDial, Err: errTest, Advice: "outer"}, "outer", false},
		{"permanent stage", &SetupError{Stage: StageAuth, Err: errTest, Permanent: true}, "", true},
		{"listener", &ListenError{Err: errTest, Advice: "another port"}, "another port", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := Hint(row.err); got != row.hint {
				t.Errorf("Hint: got %q, want %q", got, row.hint)
			}
			if got := Final(row.err); got != row.final {
				t.Errorf("Final: got %v, want %v", got, row.final)
			}
		})
	}
}

func TestTimeLimitsHaveAHint(t *testing.T) {
	for _, err := range []error{errHandshakeTimeout, context.DeadlineExceeded, os.ErrDeadlineExceeded} {
		if Hint(&SetupError{Stage: StageAuth, Err: fmt.Errorf("x: %w", err)}) == "" {
			t.Errorf("%v has no hint", err)
		}
		// A client that takes its time needs no more of it.
		if hint := Hint(&SetupError{Stage: StageClient, Err: err}); hint != "" {
			t.Errorf("%v at stage client has hint %q, want none", err, hint)
		}
	}
}

func TestEverydayEndsAreNoErrors(t *testing.T) {
	for _, err := range []error{nil, io.EOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE,
		&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}} {
		if !normalEnd(err) {
			t.Errorf("%v counts as an error", err)
		}
	}
	for _, err := range []error{errTest, io.ErrUnexpectedEOF, errors.New("EOF"), syscall.ETIMEDOUT} {
		if normalEnd(err) {
			t.Errorf("%v counts as no error", err)
		}
	}
}
