package awsfake

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Key is what AWS knows about an access key id.
type Key struct {
	Secret       string
	SessionToken string    // empty where the key is permanent
	ARN          string    // whose key it is
	Expires      time.Time // zero: never
}

// Keys are the access keys that the fakes of one test know. The zero value knows none, and is ready
// for use. Calls may be concurrent.
type Keys struct {
	mu   sync.Mutex
	byID map[string]Key
}

// Add makes the key id known, or replaces it.
func (k *Keys) Add(id string, key Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID == nil {
		k.byID = make(map[string]Key)
	}
	k.byID[id] = key
}

// Key returns what is known about the key id.
func (k *Keys) Key(id string) (Key, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok := k.byID[id]
	return key, ok
}

// A Signer is who signed a request, and for what.
type Signer struct {
	Key
	ID      string // of the key
	Region  string
	Service string // as in ARNs: sts, secretsmanager, ssm
}

// A Refusal is why AWS refuses a request. Code is the one of the query protocol, such as that of STS;
// services with JSON call some of them otherwise.
type Refusal struct {
	Status  int // of HTTP
	Code    string
	Message string
}

func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

// maxSkew is how far the time of a request may be from AWS's own.
const maxSkew = 15 * time.Minute

// Verify says who signed r, whose body has been read, in the header Authorization. The error is a
// *Refusal. The signature is computed from the description of Signature Version 4, not with the SDK:
//
//	Authorization: AWS4-HMAC-SHA256 Credential=<key id>/<yyyymmdd>/<region>/<service>/aws4_request,
//	    SignedHeaders=<names;in;order>, Signature=<64 hex digits>
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (k *Keys) Verify(r *http.Request, body []byte) (Signer, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return Signer{}, &Refusal{http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token"}
	}
	fields := authorization(header)
	scope := strings.Split(fields["Credential"], "/")
	names := strings.Split(fields["SignedHeaders"], ";")
	if len(scope) != 5 || scope[4] != "aws4_request" {
		return Signer{}, incomplete("Credential")
	}
	signer := Signer{ID: scope[0], Region: scope[2], Service: scope[3]}
	if name := unsigned(r, names); name != "" {
		return Signer{}, incomplete("SignedHeaders without " + name)
	}
	date := r.Header.Get("X-Amz-Date")
	at, err := time.Parse("20060102T150405Z", date)
	if err != nil || !strings.HasPrefix(date, scope[1]) {
		return Signer{}, incomplete("X-Amz-Date")
	}
	var known bool
	if signer.Key, known = k.Key(signer.ID); !known {
		return Signer{}, &Refusal{http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid."}
	}
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", date, strings.Join(scope[1:], "/"), hash(canonical(r, names, body))}, "\n")
	key := []byte("AWS4" + signer.Secret)
	for _, part := range append(scope[1:], toSign) {
		key = mac(key, part)
	}
	sum := r.Header.Get("X-Amz-Content-Sha256")
	switch {
	case !equal(fields["Signature"], hex.EncodeToString(key)), sum != "" && sum != hash(string(body)):
		return Signer{}, &Refusal{http.StatusForbidden, "SignatureDoesNotMatch",
			"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method."}
	case time.Since(at).Abs() > maxSkew:
		return Signer{}, &Refusal{http.StatusForbidden, "SignatureDoesNotMatch", "Signature not yet current or expired: " + date}
	case !equal(r.Header.Get("X-Amz-Security-Token"), signer.SessionToken):
		return Signer{}, &Refusal{http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid."}
	case !signer.Expires.IsZero() && time.Now().After(signer.Expires):
		return Signer{}, &Refusal{http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired"}
	}
	return signer, nil
}

// authorization takes the header apart. It is empty for another algorithm.
func authorization(header string) map[string]string {
	rest, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return nil
	}
	fields := make(map[string]string)
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	return fields
}

// unsigned returns a header that must be signed and is not.
func unsigned(r *http.Request, names []string) string {
	must := []string{"host"}
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") {
			must = append(must, lower)
		}
	}
	for _, name := range must {
		if !slices.Contains(names, name) {
			return name
		}
	}
	return ""
}

func incomplete(what string) *Refusal {
	return &Refusal{http.StatusBadRequest, "IncompleteSignature", "Authorization header requires existence of a proper " + what}
}

// canonical is the form of a request of which the hash is signed. Names are as the client says,
// which is in order.
func canonical(r *http.Request, names []string, body []byte) string {
	var headers strings.Builder
	for _, name := range names {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.Itoa(len(body))
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	return strings.Join([]string{r.Method, strings.ReplaceAll(escape(path), "%2F", "/"), canonicalQuery(r.URL.Query()),
		headers.String(), strings.Join(names, ";"), hash(string(body))}, "\n")
}

func canonicalQuery(query url.Values) string {
	var pairs []string
	for name, values := range query {
		for _, value := range values {
			pairs = append(pairs, escape(name)+"="+escape(value))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// escape leaves only the unreserved characters of RFC 3986 as they are.
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

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, message string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(message))
	return m.Sum(nil)
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
