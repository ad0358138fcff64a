package vaultfake

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// An AWSCaller is who may log in with the method aws, by the type iam.
type AWSCaller struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // empty: none
	Region          string // of the STS that Vault asks
	ServerID        string // what X-Vault-AWS-IAM-Server-ID must be; empty: anything
	ARN             string // what STS says who that is
}

// AddAWSRole lets a caller log in at auth/MOUNT/login in a role. The request that Vault would send to
// STS is checked here as STS does it, with a signature computed from the description of SigV4.
func (s *Server) AddAWSRole(mount, role string, c AWSCaller, a Access) {
	s.addLogin(mount, login{a, map[string]string{"client_arn": c.ARN, "auth_type": "iam"}, func(body map[string]any) string {
		if body["role"] != role {
			return "entry for role not found"
		}
		return c.check(body)
	}})
}

func (c AWSCaller) check(body map[string]any) (refusal string) {
	part := func(key string) string {
		text, _ := body[key].(string)
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return ""
		}
		return string(decoded)
	}
	address, err := url.Parse(part("iam_request_url"))
	if err != nil || address.Host == "" {
		return "error parsing iam_request_url"
	}
	headers := make(http.Header)
	if err := json.Unmarshal([]byte(part("iam_request_headers")), &headers); err != nil {
		return "error parsing iam_request_headers"
	}
	form := part("iam_request_body")
	switch {
	case body["iam_http_request_method"] != "POST":
		return "invalid iam_http_request_method; currently only 'POST' is supported"
	case !strings.Contains(form, "Action=GetCallerIdentity"):
		return "body does not ask who the caller is"
	case address.Scheme != "https" || !strings.HasPrefix(address.Host, "sts.") || address.Path != "/":
		return "iam_request_url is not that of STS"
	case c.ServerID != "" && headers.Get("X-Vault-AWS-IAM-Server-ID") != c.ServerID:
		return "error validating X-Vault-AWS-IAM-Server-ID header"
	case headers.Get("X-Amz-Security-Token") != c.SessionToken:
		return "error making upstream request: received error code 403 from STS: the session token is another"
	}
	return c.checkSignature(address.Host, form, headers)
}

// checkSignature computes the signature again:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (c AWSCaller) checkSignature(host, form string, headers http.Header) (refusal string) {
	const algorithm = "AWS4-HMAC-SHA256"
	fields := make(map[string]string)
	rest, _ := strings.CutPrefix(headers.Get("Authorization"), algorithm+" ")
	for field := range strings.SplitSeq(rest, ", ") {
		name, value, _ := strings.Cut(field, "=")
		fields[name] = value
	}
	signed := strings.Split(fields["SignedHeaders"], ";")
	if c.ServerID != "" && !slices.Contains(signed, "x-vault-aws-iam-server-id") {
		return "header wasn't signed"
	}
	canonical := []string{"POST", "/", ""}
	for _, name := range signed {
		value := headers.Get(name)
		switch name {
		case "host":
			value = host
		case "content-length":
			value = strconv.Itoa(len(form))
		}
		canonical = append(canonical, name+":"+value)
	}
	canonical = append(canonical, "", fields["SignedHeaders"], hash(form))

	date := headers.Get("X-Amz-Date")
	if len(date) < 8 {
		return "no X-Amz-Date"
	}
	scope := strings.Join([]string{date[:8], c.Region, "sts", "aws4_request"}, "/")
	toSign := strings.Join([]string{algorithm, date, scope, hash(strings.Join(canonical, "\n"))}, "\n")
	key := []byte("AWS4" + c.SecretAccessKey)
	for _, part := range append(strings.Split(scope, "/"), toSign) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if fields["Credential"] != c.AccessKeyID+"/"+scope || fields["Signature"] != hex.EncodeToString(key) {
		return "error making upstream request: received error code 403 from STS: SignatureDoesNotMatch"
	}
	return ""
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
