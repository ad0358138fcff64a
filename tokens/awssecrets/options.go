package awssecrets

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"dbvalet/tokens"
	"dbvalet/tokens/awsconfig"
)

// lookupLimit is how long one look-up may take, AWS credentials included. It is what Atlas gives its
// data sources.
const lookupLimit = 10 * time.Second

// Options is what a route says, and is not in the secret's URL. The URL's own options win.
type Options struct {
	AWS  awsconfig.Options
	User string       // the route's user, for tokens.Decoder
	Log  *slog.Logger // nil: slog.Default()
}

// newStore reads the options that both stores have. It is the last to read from u.
func newStore[Client any](u *tokens.SecretURL, o Options, action string, newClient func(aws.Config, string) Client) (*store[Client], error) {
	explicit := cmp.Or(u.Option("region"), o.AWS.Region)
	o.AWS.Profile = cmp.Or(u.Option("profile"), o.AWS.Profile)
	o.AWS.ExternalID = cmp.Or(u.Option("external_id"), o.AWS.ExternalID)
	o.AWS.SessionName = cmp.Or(u.Option("session_name"), o.AWS.SessionName)
	if role := u.Option("role"); role != "" {
		o.AWS.Roles = strings.Split(role, ",")
	}
	o.AWS.Log = cmp.Or(o.AWS.Log, o.Log)
	u.Option("awssdk", "hostname_immutable") // of no use here, but in the URLs that people have
	s := &store[Client]{
		source: u.String(), name: u.Name, action: action, profile: o.AWS.Profile,
		decoder: u.Decoder(o.User), log: cmp.Or(o.Log, slog.Default()),
		limit: cmp.Or(u.Duration("timeout"), lookupLimit), endpoint: u.Option("endpoint"), newClient: newClient,
	}
	fips, dualStack := u.Option("fips"), u.Option("dualstack")
	if err := u.Close(); err != nil {
		return nil, err
	}
	var err error
	if s.fips, err = s.flag("fips", fips); err != nil {
		return nil, err
	}
	if s.dualStack, err = s.flag("dualstack", dualStack); err != nil {
		return nil, err
	}
	if err := s.checkEndpoint(); err != nil {
		return nil, err
	}
	if o.AWS.Region, err = s.checkName(explicit); err != nil {
		return nil, err
	}
	s.aws, err = awsconfig.New(o.AWS)
	return s, err
}

// flag reads an option that is true or false.
func (s *store[Client]) flag(key, value string) (bool, error) {
	if value == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return false, s.denied(fmt.Errorf("option %s is neither true nor false", key), "correct it, or leave it out")
	}
	return on, nil
}

func (s *store[Client]) checkEndpoint() error {
	if s.endpoint == "" {
		return nil
	}
	u, err := url.Parse(s.endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return s.denied(errors.New("option endpoint is not an https:// address"), "write it like endpoint=https://HOST")
	}
	if !tokens.Private(u) {
		return s.denied(fmt.Errorf("endpoint: %w", tokens.ErrInClear), "write endpoint=https://…")
	}
	return nil
}

// checkName returns the region to ask: an ARN's own, or else the one that was asked for.
func (s *store[Client]) checkName(explicit string) (region string, err error) {
	if s.name == "" {
		return "", s.denied(errors.New("it has no name"), "write "+s.source+"NAME")
	}
	if !strings.HasPrefix(s.name, "arn:") {
		return explicit, nil
	}
	a, err := arn.Parse(s.name)
	if err != nil || a.Service != s.service() || a.Region == "" {
		return "", s.denied(fmt.Errorf("not an ARN of the service %s", s.service()), "name it by its name, or by its own ARN")
	}
	if explicit != "" && explicit != a.Region {
		return "", s.denied(fmt.Errorf("it is in %s, and region=%s", a.Region, explicit), "leave region= out: the ARN says it")
	}
	return a.Region, nil
}
