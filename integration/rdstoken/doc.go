// Package rdstoken checks the tokens with which applications log in to an AWS RDS database, the way
// RDS itself does it, so that a test server can refuse what RDS would refuse.
//
// A token is a presigned GET request for the service rds-db without its scheme:
//
//	orders.abc123.us-east-1.rds.amazonaws.com:5432/?Action=connect&DBUser=app
//	    &X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=...&X-Amz-Date=...
//	    &X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token=...&X-Amz-Signature=...
//
// The slash before the question mark may be missing, because the AWS SDK for Go leaves it out. It is
// not part of what is signed: an empty path and "/" are the same canonical request.
//
// The signature is computed here from the documentation of Signature Version 4 and not with the
// SDK that makes the tokens, so that an error in the one does not hide an error in the other:
//
//	https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
//	https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.Connecting.html
//
// This package makes no tokens and asks no network service.
package rdstoken
