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

// Rotating is a Source whose credentials are replaced in steps, so that for a while the database takes
// another one than the current: not the one that the store says is current any more, or not yet.
type Rotating interface {
	Source
	// Others returns what else there is beside the current one, likeliest first. What does not exist
	// is left out, and is no error.
	Others(ctx context.Context, user string) ([]Credential, error)
}

// Renewer is a Source that can make a credential with a Lease live longer.
type Renewer interface {
	Source
	// Renew returns cred with a later Expires, and the same Lease. It fails, or returns less than was
	// there before, where the time is up: then another credential is due.
	Renew(ctx context.Context, cred Credential) (Credential, error)
}

// Explainer is a Source that can say why a database may have refused a credential of its making.
type Explainer interface {
	// Explain says in at most 350 bytes who we are, what was signed or looked up, and what may be
	// missing: a hint for somebody who sees the database's error. It takes no longer than ctx, and
	// what can't be found out is left out. refused is a credential that the source gave for user.
	Explain(ctx context.Context, user string, refused Credential) string
}

// Credential is a user and a password that the database accepts until Expires. Printing or logging
// it shows no secret.
type Credential struct {
	User     string // the database user; empty: the user that was asked for
	Password Secret
	Issued   time.Time // when the source itself made it, such as a token that it signed; zero where it was looked up
	Expires  time.Time // wall clock; zero if it does not expire by itself
	ID       string    // names it in logs: access key id, secret version, file; never secret

	// Where the database is and which one is meant, as far as the secret says it, for a route that
	// leaves it out.
	Host, Port, Database string

	// Lease is what the credential is borrowed on; nil where it need not be given back.
	Lease *Lease
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

// lookedUp reports whether the credential is one that somebody keeps, rather than one that was made for
// a time.
func (c Credential) lookedUp() bool { return c.Expires.IsZero() && c.Lease == nil }

// justIssued reports whether the source made c so lately that it was not refused for its age. One from
// the future was made by a clock that has been set right since.
func (c Credential) justIssued(now time.Time) bool {
	age := now.Sub(c.Issued.Round(0))
	return !c.Issued.IsZero() && age >= 0 && age < justIssued
}

// same reports whether the database could not tell c from other.
func (c Credential) same(other Credential) bool {
	return c.User == other.User && c.Password.Equal(other.Password)
}
