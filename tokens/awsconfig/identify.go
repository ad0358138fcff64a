package awsconfig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"dbvalet/tokens"
)

// identifyLimit is how long STS may take to say who we are to somebody who has asked.
const identifyLimit = 5 * time.Second

// Identify says who we are, for somebody who wants to know and not for a hint: that there are no credentials,
// or that AWS does not take them, is an error. That STS can't be reached is none, as tokens are signed
// without it. source is for errors.
func (c *Config) Identify(ctx context.Context, source string) (tokens.Identity, error) {
	sdk, err := c.Load(ctx)
	who := tokens.Identity{Region: sdk.Region, Profile: c.CLIProfile()}
	if err != nil {
		return who, c.Describe(ctx, source, err)
	}
	c.mu.Lock()
	l := c.loaded
	c.mu.Unlock()
	who.From, _ = renewal(l)
	creds, err := sdk.Credentials.Retrieve(ctx)
	if err != nil {
		return who, c.Describe(ctx, source, err)
	}
	limited, cancel := context.WithTimeout(ctx, identifyLimit)
	defer cancel()
	began := time.Now()
	out, err := sts.NewFromConfig(sdk, func(o *sts.Options) { o.RetryMaxAttempts = 1 }).GetCallerIdentity(limited, &sts.GetCallerIdentityInput{})
	if clock := serverTime(out, err); !clock.IsZero() {
		who.Clock, who.ClockAt = clock, began.Add(time.Since(began)/2).Round(0)
	}
	if err != nil {
		return c.unidentified(ctx, source, who, l, err)
	}
	who.Principal, who.Account = aws.ToString(out.Arn), aws.ToString(out.Account)
	c.mu.Lock()
	c.caller = caller{keyID: creds.AccessKeyID, arn: who.Principal, asked: time.Now()}
	c.mu.Unlock()
	return who, nil
}

// unidentified tells credentials that AWS does not take from a service that does not answer.
func (c *Config) unidentified(ctx context.Context, source string, who tokens.Identity, l *loaded, err error) (tokens.Identity, error) {
	e := c.Describe(ctx, source, err)
	api, answered := errors.AsType[smithy.APIError](err)
	if !answered || ctx.Err() != nil || isOutage(err) {
		if op, ok := errors.AsType[*net.OpError](err); ok && !answered { // without what the SDK says around it
			e.Err = fmt.Errorf("STS does not answer: %w", op)
		}
		who.Unsaid = e
		return who, nil
	}
	_, renew := renewal(l)
	switch api.ErrorCode() {
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		e.Advice = renew
	case "InvalidClientTokenId", "UnrecognizedClientException":
		e.Advice = "AWS does not know this access key: it was deleted, is inactive, is of another partition, or lacks its session token; " + renew
	case "SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature":
		e.Advice = "the secret key is not that of the access key, or this machine's clock is wrong: it says " + time.Now().UTC().Format(time.RFC3339)
	default: // whoever may not ask this may still log in
		who.Unsaid = e
		return who, nil
	}
	return who, e
}

// serverTime is what AWS's clock said, with an answer or with a refusal; zero: there was neither. An HTTP
// date has whole seconds, so that it is half a second old on average.
func serverTime(out *sts.GetCallerIdentityOutput, err error) time.Time {
	const half = 500 * time.Millisecond
	if err == nil {
		if t, ok := middleware.GetServerTime(out.ResultMetadata); ok {
			return t.Add(half)
		}
		return time.Time{}
	}
	r, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok || r.HTTPResponse() == nil || r.HTTPResponse().Response == nil {
		return time.Time{}
	}
	t, err := http.ParseTime(r.HTTPResponse().Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t.Add(half)
}
