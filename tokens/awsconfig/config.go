package awsconfig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
)

// Options says who to be, where the SDK's own configuration does not say it.
type Options struct {
	Region        string   // of the services; empty: as the SDK's configuration says
	DefaultRegion string   // where neither Region nor the SDK's configuration says one
	Profile       string   // of the SDK's configuration files; empty: AWS_PROFILE, or else default
	Roles         []string // their ARNs: each is assumed with the credentials of the one before
	// ExternalID is for the last role, which is the one in somebody else's account. Where another
	// demands one, a profile with role_arn and external_id can stand in front.
	ExternalID  string
	SessionName string       // names the session of each role, for CloudTrail; empty: dbvalet
	Log         *slog.Logger // nil: slog.Default()
}

// Config is the SDK's configuration. Calls may be concurrent.
type Config struct {
	options Options
	worked  atomic.Bool // there have been credentials

	mu     sync.Mutex
	loaded *loaded // nil until it is needed
	caller caller
}

// loaded is the SDK's configuration as it was read.
type loaded struct {
	config  aws.Config
	chain   aws.CredentialsProvider // with the roles, before it is looked at whether credentials are alive
	profile string                  // in use, for hints
	base    string                  // where profile takes its credentials from, itself if it is no role; for hints
	files   string                  // the fingerprint of what was read
}

// New checks o without touching the SDK. Its errors are *tokens.Error.
func New(o Options) (*Config, error) {
	o.Log = cmp.Or(o.Log, slog.Default())
	if err := checkRoles(o); err != nil {
		return nil, err
	}
	o.SessionName = cmp.Or(o.SessionName, "dbvalet")
	return &Config{options: o}, nil
}

// SetDefaultRegion replaces Options.DefaultRegion, for a source that learns it only when it is used.
func (c *Config) SetDefaultRegion(region string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.options.DefaultRegion != region {
		c.options.DefaultRegion, c.loaded = region, nil
	}
}

// Load returns the SDK's configuration for the clients of services. Its credentials are those of the
// last role, renewed in their last minute; dead ones are an error.
//
// It is read anew when a file has changed, so ask for it before each use: some tools write credentials
// without a date of expiry into ~/.aws/credentials, and replace them there. A failure is not
// remembered.
func (c *Config) Load(ctx context.Context) (aws.Config, error) {
	l, err := c.load(ctx)
	if err != nil {
		return aws.Config{}, &loadError{err}
	}
	return l.config, nil
}

// Retrieve returns credentials that are alive, and have a minute to live if that can be had.
func (c *Config) Retrieve(ctx context.Context) (aws.Credentials, error) {
	sdk, err := c.Load(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	return sdk.Credentials.Retrieve(ctx)
}

func (c *Config) load(ctx context.Context) (*loaded, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	files := fingerprint()
	if c.loaded != nil && c.loaded.files == files {
		return c.loaded, nil
	}
	options := []func(*config.LoadOptions) error{
		config.WithRegion(c.options.Region),
		config.WithDefaultRegion(c.options.DefaultRegion),
		config.WithLogger(logger(c.options.Log)),
		config.WithAPIOptions(encrypted),
	}
	if c.options.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(c.options.Profile))
	}
	sdk, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	if sdk.Credentials == nil {
		return nil, errors.New("the AWS configuration has no credentials")
	}
	profile := c.profile()
	l := &loaded{chain: c.assume(sdk), profile: profile, base: baseProfile(sdk, profile), files: files}
	sdk.Credentials = &provider{loaded: l, worked: &c.worked}
	l.config = sdk
	c.loaded = l
	return l, nil
}

// profile returns the name of the profile in use.
func (c *Config) profile() string {
	return cmp.Or(c.options.Profile, os.Getenv("AWS_PROFILE"), os.Getenv("AWS_DEFAULT_PROFILE"), "default")
}

// CLIProfile is what the AWS CLI is to be told by --profile so that it is who we are; empty: nothing. Keys in the
// environment come before AWS_PROFILE, but not before --profile.
func (c *Config) CLIProfile() string {
	if c.options.Profile != "" {
		return c.options.Profile
	}
	c.mu.Lock()
	l := c.loaded
	c.mu.Unlock()
	if l != nil && slices.Contains(l.origin(), aws.CredentialSourceEnvVars) {
		return ""
	}
	return cmp.Or(os.Getenv("AWS_PROFILE"), os.Getenv("AWS_DEFAULT_PROFILE"))
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
