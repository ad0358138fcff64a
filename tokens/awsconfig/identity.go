package awsconfig

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const (
	// identityLimit is how long STS may take to say who we are. It is for a hint, and somebody waits.
	identityLimit = 2 * time.Second

	// identityPause is how long STS is left alone when it did not say. In many private networks it can
	// never be reached.
	identityPause = time.Minute
)

// caller is who an access key belongs to.
type caller struct {
	keyID, arn string
	asked      time.Time
}

// Identity returns the ARN of who the credentials belong to, or "" if that can't be found out within
// two seconds; then it is not tried again for a minute. It needs no permission: sts:GetCallerIdentity
// is open to everybody, even where a policy denies it.
//
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (c *Config) Identity(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, identityLimit)
	defer cancel()
	arn, err := c.identity(ctx)
	if err != nil {
		c.options.Log.Debug("AWS did not say who we are", "err", err)
	}
	return arn
}

func (c *Config) identity(ctx context.Context) (string, error) {
	sdk, err := c.Load(ctx)
	if err != nil {
		return "", err
	}
	creds, err := sdk.Credentials.Retrieve(ctx)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	known := c.caller
	c.mu.Unlock()
	if known.keyID == creds.AccessKeyID && (known.arn != "" || time.Since(known.asked) < identityPause) {
		return known.arn, nil
	}
	client := sts.NewFromConfig(sdk, func(o *sts.Options) { o.RetryMaxAttempts = 1 })
	out, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if errors.Is(ctx.Err(), context.Canceled) { // it was not STS
		return "", err
	}
	who := caller{keyID: creds.AccessKeyID, asked: time.Now()}
	if err == nil {
		who.arn = aws.ToString(out.Arn)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.caller = who
	return who.arn, err
}
