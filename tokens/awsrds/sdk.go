package awsrds

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
)

// loaded is the SDK's configuration, and what its files looked like when it was read.
type loaded struct {
	config  aws.Config
	profile string // in use, for hints
	base    string // where profile takes its credentials from, itself if it is no role; for hints
	files   string // their fingerprint
}

// load returns the SDK's configuration. It is read anew when a file has changed: some tools write
// credentials without a date of expiry into ~/.aws/credentials, and replace them there. A failure is
// not remembered.
func (s *Source) load(ctx context.Context, host string) (*loaded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := fingerprint()
	if s.loaded != nil && s.loaded.files == files {
		return s.loaded, nil
	}
	region, _ := Region(host)
	options := []func(*config.LoadOptions) error{
		// For the SDK's own calls, such as AssumeRole, where nothing else says a region.
		config.WithDefaultRegion(cmp.Or(s.options.Region, region)),
		config.WithLogger(logger(s.options.Log)),
	}
	if s.options.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(s.options.Profile))
	}
	c, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	if c.Credentials == nil {
		return nil, errors.New("the AWS configuration has no credentials")
	}
	profile := s.profile()
	s.loaded = &loaded{config: c, profile: profile, base: baseProfile(c, profile), files: files}
	return s.loaded, nil
}

// profile returns the name of the profile in use.
func (s *Source) profile() string {
	return cmp.Or(s.options.Profile, os.Getenv("AWS_PROFILE"), os.Getenv("AWS_DEFAULT_PROFILE"), "default")
}

// baseProfile follows source_profile to the end: that is the profile to log in with, and the AWS CLI
// refuses to with the others.
func baseProfile(c aws.Config, profile string) string {
	for _, source := range c.ConfigSources {
		shared, ok := source.(config.SharedConfig)
		if !ok {
			continue
		}
		for shared.Source != nil {
			shared = *shared.Source
			profile = shared.Profile
		}
	}
	return profile
}

// fingerprint changes when one of the SDK's configuration files does.
func fingerprint() string {
	var b strings.Builder
	for _, path := range []string{
		cmp.Or(os.Getenv("AWS_CONFIG_FILE"), config.DefaultSharedConfigFilename()),
		cmp.Or(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), config.DefaultSharedCredentialsFilename()),
	} {
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintf(&b, "%d %d", info.ModTime().UnixNano(), info.Size())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// retrieve returns credentials that are alive, and have a minute to live if that can be had. A
// database answers a token that was signed with dead ones like any other wrong password.
func (l *loaded) retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := l.config.Credentials.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	l.expiry(&creds)
	if left(creds) >= minLeft {
		return creds, nil
	}
	if cache, ok := l.config.Credentials.(interface{ Invalidate() }); ok {
		cache.Invalidate()
		renewed, err := l.config.Credentials.Retrieve(ctx)
		switch {
		case err == nil:
			l.expiry(&renewed)
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
		return tokenLife
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

// origin says where the credentials come from: all the steps, if one leads to another.
func (l *loaded) origin() []aws.CredentialSource {
	if p, ok := l.config.Credentials.(aws.CredentialProviderSource); ok {
		return p.ProviderSources()
	}
	return nil
}

// logger lets the SDK write into our log.
func logger(log *slog.Logger) logging.Logger {
	return logging.LoggerFunc(func(level logging.Classification, format string, v ...any) {
		text := fmt.Sprintf(format, v...)
		if level == logging.Warn {
			log.Warn("AWS SDK", "text", text)
		} else {
			log.Debug("AWS SDK", "text", text)
		}
	})
}
