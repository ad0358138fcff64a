package proxy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Target is which of several servers will do, as target_session_attrs= says it for libpq.
// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-TARGET-SESSION-ATTRS
type Target int

// The Targets. MySQL does not say whether a server is a replica that its user may not write to, or one
// that is read-only for another reason: there, a standby is a server that is read-only.
const (
	AnyServer     Target = iota
	ReadWrite            // takes transactions that write
	ReadOnly             // does not
	Primary              // not a standby
	Standby              // follows another server
	PreferStandby        // a standby, or any server where there is none
)

var targetNames = []string{"any", "read-write", "read-only", "primary", "standby", "prefer-standby"}

// ParseTarget reads a value of target_session_attrs=; empty is any.
func ParseTarget(s string) (Target, error) {
	if s == "" {
		return AnyServer, nil
	}
	if i := slices.Index(targetNames, s); i >= 0 {
		return Target(i), nil
	}
	return 0, fmt.Errorf("target_session_attrs=%s: there are %s", s, strings.Join(targetNames, ", "))
}

func (t Target) String() string { return targetNames[t] }

// ErrUnfit is what a Login's error matches when the server is not what the Endpoint's Target asks for.
var ErrUnfit = errors.New("not what target_session_attrs= asks for")

const unfitAdvice = "check which server is the primary; after a failover, try again when another has taken over"

// Check returns an error that matches ErrUnfit if a server that is so is not what t asks for.
func (t Target) Check(standby, readOnly bool) error {
	is := ""
	switch {
	case t == ReadWrite && readOnly, t == Primary && standby:
		is = "read-only"
		if standby {
			is = "a standby"
		}
	case t == ReadOnly && !readOnly:
		is = "read-write"
	case t == Standby && !standby:
		is = "no standby"
	default:
		return nil
	}
	return &SetupError{Stage: StageAuth, Err: &unfit{is, t}, Advice: unfitAdvice}
}

// An unfit is a server that is something else than was asked for.
type unfit struct {
	is   string
	want Target
}

func (e *unfit) Error() string {
	return fmt.Sprintf("the server is %s, and target_session_attrs= asks for %s", e.is, e.want)
}

func (e *unfit) Is(target error) bool { return target == ErrUnfit }
