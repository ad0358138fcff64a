package tokens

// Error is what a source says when it has no credential. It names the source and never contains
// any part of a secret.
type Error struct {
	Source string // what was asked, as the user wrote it: env:NAME, file:/run/secrets/pw
	Err    error  // what went wrong
	Advice string // the next command or the next thing to do; what Hint returns

	// Denied: the source said no, so that trying again is useless until somebody changes something:
	// access denied, no such secret, an SSO session that ended. Otherwise the source can't be
	// reached just now.
	Denied bool
}

// Error says what went wrong where. The hint is apart, because PostgreSQL has a field for it.
func (e *Error) Error() string { return e.Source + ": " + e.Err.Error() }

// Unwrap returns what went wrong.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns the next command or the next thing to do, or "".
func (e *Error) Hint() string { return e.Advice }

// Final reports whether trying again is useless until somebody changes something.
func (e *Error) Final() bool { return e.Denied }
