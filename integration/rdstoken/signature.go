package rdstoken

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// signature computes what X-Amz-Signature must be, from the token's own parameters and the
// expected region and secret key. checkCredential has compared the scope with want before.
//
//	canonical request        string to sign              signing key
//	GET                      AWS4-HMAC-SHA256            HMAC("AWS4" + secret, yyyymmdd)
//	/                        20261121T004500Z            HMAC(that, region)
//	Action=connect&...       yyyymmdd/region/            HMAC(that, "rds-db")
//	host:<host>:<port>         rds-db/aws4_request       HMAC(that, "aws4_request")
//	                         SHA-256 of the
//	host                       canonical request
//	SHA-256 of no bytes
func (t *Token) signature(want Expect) string {
	day := t.params[paramDate][:len("20060102")]
	canonical := strings.Join([]string{
		"GET",
		"/",
		t.canonicalQuery(),
		"host:" + t.Endpoint,
		"",
		"host",
		hexSHA256(""),
	}, "\n")
	toSign := strings.Join([]string{
		algorithm,
		t.params[paramDate],
		strings.Join([]string{day, want.Region, service, scopeEnd}, "/"),
		hexSHA256(canonical),
	}, "\n")

	key := []byte("AWS4" + want.SecretAccessKey)
	for _, part := range []string{day, want.Region, service, scopeEnd} {
		key = hmacSHA256(key, part)
	}
	return hex.EncodeToString(hmacSHA256(key, toSign))
}

// canonicalQuery is every parameter but the signature, sorted by name. Decoding and encoding again
// makes the escaping canonical whatever the token's own escaping was.
func (t *Token) canonicalQuery() string {
	var pairs []string
	for name, value := range t.params {
		if name != paramSignature {
			pairs = append(pairs, escape(name)+"="+escape(value))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// escape is the UriEncode of Signature Version 4: all but the unreserved characters of RFC 3986
// become %XX with upper-case digits. url.QueryEscape would make a plus sign of a space.
func escape(s string) string {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	var b strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte(unreserved, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func hexSHA256(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func hmacSHA256(key []byte, message string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}
