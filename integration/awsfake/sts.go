package awsfake

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// STS is the AWS Security Token Service, as far as GetCallerIdentity, AssumeRole and
// AssumeRoleWithWebIdentity go. The keys of the sessions that it begins become known to Keys, so that
// other fakes take them.
//
//	POST / HTTP/1.1
//	Content-Type: application/x-www-form-urlencoded
//	Authorization: AWS4-HMAC-SHA256 …
//
//	Action=AssumeRole&Version=2011-06-15&RoleArn=…&RoleSessionName=…&DurationSeconds=…&ExternalId=…
//
// https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html
type STS struct {
	service

	mu       sync.Mutex
	roles    map[string]Role
	sessions int // that there were so far
}

// A Role is what its trust policy says, and its sessions.
type Role struct {
	Trusts     []string      // the ARNs of users and roles that may assume it
	ExternalID string        // that they must know; empty: none
	WebToken   string        // which may assume it as a web identity; empty: none
	Life       time.Duration // of its sessions, where that is shorter than what was asked for; 0: is not
}

// NewSTS starts one that knows keys and no roles.
func NewSTS(keys *Keys) (*STS, error) {
	s := &STS{roles: make(map[string]Role)}
	s.service = service{keys: keys, name: "sts"}
	return s, s.start(s)
}

// SetRole makes a role, or replaces it.
func (s *STS) SetRole(arn string, r Role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[arn] = r
}

// ServeHTTP answers one request.
func (s *STS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serveQuery(w, r, "https://sts.amazonaws.com/doc/2011-06-15/", s.respond)
}

func (s *STS) respond(r *http.Request, body []byte, form url.Values) (any, error) {
	action := form.Get("Action")
	var signer Signer
	if action != "AssumeRoleWithWebIdentity" { // which the token stands for
		var err error
		if signer, err = s.keys.Verify(r, body); err != nil {
			return nil, err
		}
		if signer.Service != s.name {
			return nil, &Refusal{http.StatusForbidden, "SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'."}
		}
	}
	if r.Method != http.MethodPost || r.URL.Path != "/" || form.Get("Version") != "2011-06-15" {
		return nil, &Refusal{http.StatusBadRequest, "InvalidAction", "Could not find operation"}
	}
	failure, err := s.admit(r.Context(), Request{Action: action, Name: form.Get("RoleArn"), Region: signer.Region, KeyID: signer.ID})
	switch {
	case err != nil:
		return nil, err
	case failure == Denied:
		return nil, s.refuse(action, signer, form.Get("RoleArn"))
	case failure != nil:
		return nil, failure
	}
	switch action {
	case "GetCallerIdentity":
		return callerIdentity(signer), nil
	case "AssumeRole", "AssumeRoleWithWebIdentity":
		return s.assume(action, signer, form)
	}
	return nil, &Refusal{http.StatusBadRequest, "InvalidAction", "Could not find operation " + action}
}

// assume begins a session of a role.
func (s *STS) assume(action string, signer Signer, form url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := form.Get("RoleArn")
	role, known := s.roles[name]
	a, err := arn.Parse(name)
	if err != nil || !sessionName.MatchString(form.Get("RoleSessionName")) {
		return nil, &Refusal{http.StatusBadRequest, "ValidationError", "RoleArn or RoleSessionName is invalid"}
	}
	life, err := sessionLife(form.Get("DurationSeconds"), signer)
	if err != nil {
		return nil, err
	}
	trusted := slices.Contains(role.Trusts, issuer(signer.ARN)) && equal(form.Get("ExternalId"), role.ExternalID)
	if action == "AssumeRoleWithWebIdentity" {
		trusted = role.WebToken != "" && equal(form.Get("WebIdentityToken"), role.WebToken)
	}
	if !known || !trusted {
		return nil, s.refuse(action, signer, name)
	}
	if role.Life != 0 {
		life = min(life, role.Life)
	}
	s.sessions++
	id := fmt.Sprintf("ASIASESSION%09d", s.sessions)
	key := Key{
		Secret:       "secret-of-" + id,
		SessionToken: "token/of+" + id + "==",
		ARN: fmt.Sprintf("arn:%s:sts::%s:assumed-role/%s/%s", a.Partition, a.AccountID,
			a.Resource[strings.LastIndex(a.Resource, "/")+1:], form.Get("RoleSessionName")),
		Expires: time.Now().Add(life).UTC().Truncate(time.Second),
	}
	s.keys.Add(id, key)
	return assumed(action, id, key), nil
}

// sessionName is what a session may be called.
var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// sessionLife is what DurationSeconds asks for. A session that begins another one may not ask for
// more than an hour.
func sessionLife(seconds string, signer Signer) (time.Duration, error) {
	if seconds == "" {
		return time.Hour, nil
	}
	n, err := strconv.Atoi(seconds)
	switch {
	case err != nil, n < 900, n > 43200:
		return 0, &Refusal{http.StatusBadRequest, "ValidationError", "DurationSeconds is out of range"}
	case n > 3600 && signer.SessionToken != "":
		return 0, &Refusal{http.StatusBadRequest, "ValidationError",
			"The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"}
	}
	return time.Duration(n) * time.Second, nil
}

// refuse is what STS says where a policy is missing, or the external id is wrong.
func (s *STS) refuse(action string, signer Signer, resource string) error {
	text := fmt.Sprintf("User: %s is not authorized to perform: sts:%s", signer.ARN, action)
	switch action {
	case "AssumeRole":
		text += " on resource: " + resource
	case "AssumeRoleWithWebIdentity":
		text = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
	}
	return &Refusal{http.StatusForbidden, "AccessDenied", text}
}

// issuer is the role of a session's ARN, as trust policies name it; other ARNs are as they are.
func issuer(caller string) string {
	a, err := arn.Parse(caller)
	if err != nil || a.Service != "sts" {
		return caller
	}
	return "arn:" + a.Partition + ":iam::" + a.AccountID + ":role/" + strings.Split(a.Resource, "/")[1]
}
