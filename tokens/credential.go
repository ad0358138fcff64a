package tokens

import (
	"context"
	"log/slog"
	"time"
)

// A Source makes credentials for a database user. It may be slow, and it does not cache: Cache
// does. Calls may be concurrent. A source gives up when ctx ends; Cache counts on that.
//
// A source that has no credential says so with an *Error, so that the client learns what to do.
type Source interface {
	Credential(ctx context.Context, user string) (Credential, error)
}

// Credential is a user and a password that the database accepts until Expires. Printing or logging
// it shows no secret.
type Credential struct {
	User     string // the database user; empty: the user that was asked for
	Password Secret
	Issued   time.Time // when the source itself made it, such as a token that it signed; zero where it was looked up
	Expires  time.Time // wall clock; zero if it does not expire by itself
	ID       string    // names it in logs: access key id, secret version, file; never secret
}

// LogValue shows what an operator may see of a credential.
func (c Credential) LogValue() slog.Value {
	attrs := make([]slog.Attr, 0, 4)
	if c.User != "" {
		attrs = append(attrs, slog.String("user", c.User))
	}
	if c.ID != "" {
		attrs = append(attrs, slog.String("id", c.ID))
	}
	if !c.Issued.IsZero() {
		attrs = append(attrs, slog.Time("issued", c.Issued))
	}
	if !c.Expires.IsZero() {
		attrs = append(attrs, slog.Time("expires", c.Expires))
	}
	return slog.GroupValue(attrs...)
}

// same reports whether the database could not tell c from other.
func (c Credential) same(other Credential) bool {
	return c.User == other.User && c.Password.Equal(other.Password)
}
