package proxy

import (
	"crypto/tls"
	"strconv"
	"time"
)

// A Probe is what a login that is made for its own sake has found out. The engine that makes it fills it
// in as it gets on: after an error, what comes behind it is empty.
type Probe struct {
	TLS     *tls.ConnectionState // nil: there is none yet, or it is within a tunnel
	TLSTook time.Duration

	Database  string        // that is opened; empty: none
	LoggedIn  bool          // up to where commands are taken
	LoginTook time.Duration // without TLS
	Method    string        // by which the database asked for the credential; empty: for none
	Server    string        // its version

	Answered  bool          // SELECT 1
	QueryTook time.Duration // its round trip

	// Clock is the time at the server when it was ClockAt here; zero: it did not say.
	Clock, ClockAt time.Time
}

// Took notes in took how long it is from the call to that of the function that it returns.
func Took(took *time.Duration) (done func()) {
	began := time.Now()
	return func() { *took = time.Since(began) }
}

// Ask asks SELECT 1 and, by another statement, for the seconds since 1970. value returns the one value of
// the answer. That a database does not tell its time is no failure.
func (p *Probe) Ask(value func(sql string) (string, error), clock string) error {
	done := Took(&p.QueryTook)
	one, err := value("SELECT 1")
	done()
	if err == nil && one != "1" {
		err = LoginError("", "the server answers SELECT 1 with %q", Printable(one))
	}
	if err != nil {
		return err
	}
	p.Answered = true
	began := time.Now()
	text, err := value(clock)
	if err != nil {
		return nil //nolint:nilerr // as said above
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		p.Clock, p.ClockAt = time.UnixMicro(int64(seconds*1e6)), began.Add(time.Since(began)/2).Round(0)
	}
	return nil
}
