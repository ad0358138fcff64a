package awsconfig

import (
	"context"
	"net/netip"
	"net/url"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"dbvalet/tokens"
)

// encrypted lets the SDK send nothing in clear, also where it calls STS or SSO by itself: a variable
// such as AWS_ENDPOINT_URL_STS may say http://, and the answer has the secret key of a role. It is
// the SDK's way for tokens.Encrypted, because a client of our own would take AWS_CA_BUNDLE from it.
var encrypted = []func(*middleware.Stack) error{func(s *middleware.Stack) error {
	return s.Deserialize.Add(middleware.DeserializeMiddlewareFunc("Encrypted", checkEncrypted), middleware.After)
}}

func checkEncrypted(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	out middleware.DeserializeOutput, metadata middleware.Metadata, err error,
) {
	r, ok := in.Request.(*smithyhttp.Request)
	if ok && !tokens.Private(r.URL) && !isMetadata(ctx, r.URL) {
		return out, metadata, tokens.ErrInClear
	}
	return next.HandleDeserialize(ctx, in)
}

// isMetadata reports whether u is a service that gives an instance or a container its credentials.
// These speak HTTP only, at addresses that no router passes on.
//
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
func isMetadata(ctx context.Context, u *url.URL) bool {
	if awsmiddleware.GetServiceID(ctx) == imds.ServiceID {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && (addr.IsLinkLocalUnicast() || netip.MustParsePrefix("fd00:ec2::/32").Contains(addr))
}
