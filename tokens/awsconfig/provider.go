package awsconfig

import (
	"context"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// minLeft is how long credentials must live on to be worth using, if there are others.
const minLeft = time.Minute

// Until returns t, or the end of creds where that comes first: the time at which what was signed with
// creds is of no use any more, if t is its own. It has no monotonic reading.
func Until(t time.Time, creds aws.Credentials) time.Time {
	if creds.CanExpire && creds.Expires.Before(t) {
		t = creds.Expires
	}
	return t.Round(0)
}

// provider hands out credentials that are alive. Its errors are *credentialsError.
type provider struct {
	loaded *loaded
	worked *atomic.Bool
}

var (
	_ aws.CredentialsProvider      = (*provider)(nil)
	_ aws.CredentialProviderSource = (*provider)(nil)
)

// Retrieve returns credentials that have a minute to live if that can be had. A database answers a
// token that was signed with dead ones like any other wrong password.
func (p *provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := p.retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, &credentialsError{from: p.loaded, err: err}
	}
	p.worked.Store(true)
	return creds, nil
}

// ProviderSources says where the credentials come from: all the steps, if one leads to another.
func (p *provider) ProviderSources() []aws.CredentialSource { return p.loaded.origin() }

func (p *provider) retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := p.loaded.chain.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	p.loaded.expiry(&creds)
	if left(creds) >= minLeft {
		return creds, nil
	}
	if cache, ok := p.loaded.chain.(interface{ Invalidate() }); ok {
		cache.Invalidate()
		renewed, err := p.loaded.chain.Retrieve(ctx)
		switch {
		case err == nil:
			p.loaded.expiry(&renewed)
			creds = renewed
		case left(creds) <= 0:
			return aws.Credentials{}, err
		}
	}
	if left(creds) <= 0 {
		return aws.Credentials{}, &expiredError{at: creds.Expires}
	}
	return creds, nil
}

// left returns how long creds will live, by the wall clock.
func left(creds aws.Credentials) time.Duration {
	if !creds.CanExpire {
		return minLeft
	}
	return creds.Expires.Round(0).Sub(time.Now().Round(0))
}

// expiry fills in what the SDK does not read: the AWS CLI and others export the end of the
// credentials together with them.
func (l *loaded) expiry(creds *aws.Credentials) {
	if creds.CanExpire || !slices.Contains(l.origin(), aws.CredentialSourceEnvVars) {
		return
	}
	if t, err := time.Parse(time.RFC3339, os.Getenv("AWS_CREDENTIAL_EXPIRATION")); err == nil {
		creds.CanExpire, creds.Expires = true, t
	}
}

func (l *loaded) origin() []aws.CredentialSource {
	if p, ok := l.chain.(aws.CredentialProviderSource); ok {
		return p.ProviderSources()
	}
	return nil
}
