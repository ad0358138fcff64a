package tokens

import (
	"context"
	"time"
)

// An Identifier is a Source that can say who we are where it gets its credentials. An error is why it would
// get none.
type Identifier interface {
	Identify(ctx context.Context) (Identity, error)
}

// An Identity is who a Source is to its cloud, as far as that can be found out.
type Identity struct {
	Principal string // an ARN, an email, the name or id of an application; empty: not known
	Account   string // of AWS; or the tenant, of Azure
	Region    string // of AWS
	Profile   string // that the AWS CLI is to be told to be the same; empty: none
	From      string // where the proof of it comes from, such as a profile or a file
	// Unsaid is why Principal is not known, where there may be credentials all the same.
	Unsaid error
	// Clock is the time at the cloud when it was ClockAt here; zero: nobody said it.
	Clock, ClockAt time.Time
}

// A Remedier is a Source that knows what must have been done before a database takes its credentials. It
// knows more words than an Explainer, for somebody who has asked.
type Remedier interface {
	// Remedies are what to look at after r, likeliest first. It takes no longer than ctx.
	Remedies(ctx context.Context, r Refusal) []Remedy
}

// A Refusal is a database that did not let a user in.
type Refusal struct {
	User string // of the database
	// Method is what the database asked for, where that was another way to log in than the credential is
	// for; empty: it was shown the credential, and refused it.
	Method string
}

// A Remedy is one thing to do.
type Remedy struct {
	Text string // why, and what
	Copy string // the command, statement or policy to copy; empty: none
}
