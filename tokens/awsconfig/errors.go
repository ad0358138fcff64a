package awsconfig

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// loadError says that the SDK's configuration could not be loaded.
type loadError struct{ err error }

func (e *loadError) Error() string { return "load the AWS configuration: " + e.err.Error() }
func (e *loadError) Unwrap() error { return e.err }

// credentialsError says that there are no credentials. It may be logged and wrapped by whoever calls a
// service, so it does not quote what a credential_process printed; see describeProcess.
type credentialsError struct {
	from *loaded
	err  error
}

func (e *credentialsError) Error() string {
	text := "get AWS credentials: "
	if _, ok := errors.AsType[*processcreds.ProviderError](e.err); ok {
		return text + "the credential_process gave none"
	}
	return text + e.err.Error()
}

func (e *credentialsError) Unwrap() error { return e.err }

// expiredError says that the credentials are dead and could not be renewed.
type expiredError struct{ at time.Time }

func (e *expiredError) Error() string { return "expired at " + e.at.Format(time.RFC3339) }

// NoCredentials reports whether err, of Load, of Retrieve, or of a call of a service, is about
// credentials that could not be had, and not what the service answered.
func NoCredentials(err error) bool {
	_, load := errors.AsType[*loadError](err)
	_, credentials := errors.AsType[*credentialsError](err)
	return load || credentials
}

// failedService returns the name of the AWS service whose operation failed, or "". It is the
// innermost: AssumeRole fails where the credentials to call it with can't be had.
func failedService(err error) string {
	op, ok := errors.AsType[*smithy.OperationError](err)
	if !ok {
		return ""
	}
	return cmp.Or(failedService(op.Err), op.Service())
}

// isOutage reports whether the service that answered err may answer differently in a moment.
func isOutage(err error) bool {
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok &&
		(r.HTTPStatusCode() >= http.StatusInternalServerError || r.HTTPStatusCode() == http.StatusTooManyRequests) {
		return true
	}
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && (strings.Contains(api.ErrorCode(), "Throttl") ||
		slices.Contains([]string{"TooManyRequestsException", "IDPCommunicationError"}, api.ErrorCode()))
}

// isNetwork reports whether AWS was not reached. It does not look for net.Error, because a missing
// file is one: syscall.Errno has all its methods.
func isNetwork(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	_, url := errors.AsType[*url.Error](err)
	_, op := errors.AsType[*net.OpError](err)
	_, dns := errors.AsType[*net.DNSError](err)
	return url || op || dns
}
