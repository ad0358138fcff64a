package awsfake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The staging labels that AWS moves.
const (
	Current  = "AWSCURRENT"
	Pending  = "AWSPENDING"
	Previous = "AWSPREVIOUS"
)

// SecretsManager is AWS Secrets Manager, as far as GetSecretValue goes. A rotation has four steps:
//
//	createSecret  CreatePending
//	setSecret     the caller changes the password in the database to that of Value(id, Pending)
//	testSecret    the caller logs in with it
//	finishSecret  Finish
//
// In the methods, id is the name or the ARN of a secret; one that does not exist makes them panic.
//
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
type SecretsManager struct {
	service

	mu       sync.Mutex
	secrets  []*secret
	versions int // that were made so far
}

type secret struct {
	region, name, arn string
	versions          []*version
	deleted           bool
}

type version struct {
	id      string
	text    string
	binary  []byte
	stages  []string
	created time.Time
}

// NewSecretsManager starts one that knows keys.
func NewSecretsManager(keys *Keys) (*SecretsManager, error) {
	s := &SecretsManager{}
	s.service = service{keys: keys, name: "secretsmanager", prefix: "secretsmanager", action: "GetSecretValue", answer: s.getSecretValue}
	return s, s.start(s)
}

// Create makes a secret, and returns its ARN.
func (s *SecretsManager) Create(region, name, payload string) (arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &secret{region: region, name: name,
		arn: fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:%s-Ab%04d", region, Account, name, len(s.secrets))}
	s.secrets = append(s.secrets, c)
	s.add(c, &version{text: payload}, Current)
	return c.arn
}

// Put makes payload the current version: PutSecretValue.
func (s *SecretsManager) Put(id, payload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.must(id)
	s.add(c, &version{text: payload}, Current)
}

// PutBinary is Put for a SecretBinary.
func (s *SecretsManager) PutBinary(id string, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.must(id)
	s.add(c, &version{binary: payload}, Current)
}

// CreatePending makes a version that is not current yet. With an empty payload it has no value, as
// after a createSecret that failed half way.
func (s *SecretsManager) CreatePending(id, payload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.must(id)
	s.add(c, &version{text: payload}, Pending)
}

// Finish makes the pending version the current one, and the current one the previous. AWSPENDING
// stays where it is, as the rotation functions of AWS leave it.
func (s *SecretsManager) Finish(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.must(id)
	c.move(Current, c.labelled(Pending))
}

// Unlabel takes a staging label away.
func (s *SecretsManager) Unlabel(id, stage string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.must(id).move(stage, nil)
}

// Delete marks a secret for deletion.
func (s *SecretsManager) Delete(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.must(id).deleted = true
}

// Value returns the text of the version with the staging label, and its id. Both are empty where
// there is none.
func (s *SecretsManager) Value(id, stage string) (payload, versionID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.must(id).labelled(stage); v != nil {
		return v.text, v.id
	}
	return "", ""
}

// add gives c another version.
func (s *SecretsManager) add(c *secret, v *version, stage string) {
	s.versions++
	v.id = fmt.Sprintf("%08x-1111-4222-8333-444455556666", s.versions)
	v.created = time.Now()
	c.versions = append(c.versions, v)
	c.move(stage, v)
}

// move takes a label to v, and to nothing if v is nil. AWSPREVIOUS goes where AWSCURRENT was.
func (c *secret) move(stage string, v *version) {
	old := c.labelled(stage)
	if old != nil {
		old.stages = slices.DeleteFunc(old.stages, func(s string) bool { return s == stage })
	}
	if v != nil {
		v.stages = append(v.stages, stage)
	}
	if stage == Current && old != nil && old != v {
		c.move(Previous, old)
	}
}

func (c *secret) labelled(stage string) *version {
	for _, v := range c.versions {
		if slices.Contains(v.stages, stage) {
			return v
		}
	}
	return nil
}

func (s *SecretsManager) must(id string) *secret {
	for _, c := range s.secrets {
		if c.is(id) {
			return c
		}
	}
	panic("awsfake: no secret " + id)
}

// is reports whether id names c. An ARN may be without the six characters at its end.
func (c *secret) is(id string) bool {
	return id == c.name || id == c.arn || id == c.arn[:strings.LastIndexByte(c.arn, '-')]
}

func (s *SecretsManager) getSecretValue(signer Signer, body []byte) (any, error) {
	var in struct {
		SecretID     string `json:"SecretId"`
		VersionID    string `json:"VersionId"`
		VersionStage string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, &Refusal{http.StatusBadRequest, "SerializationException", ""}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.secrets, func(c *secret) bool { return c.region == signer.Region && c.is(in.SecretID) })
	if i < 0 {
		return nil, notFound("Secrets Manager can't find the specified secret.")
	}
	c := s.secrets[i]
	if c.deleted {
		return nil, &Refusal{http.StatusBadRequest, "InvalidRequestException",
			"You can't perform this operation on the secret because it was marked for deletion."}
	}
	v, err := c.find(in.VersionID, in.VersionStage)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"ARN": c.arn, "Name": c.name, "VersionId": v.id, "VersionStages": slices.Clone(v.stages),
		"CreatedDate": float64(v.created.UnixMilli()) / 1000}
	if v.binary != nil {
		out["SecretBinary"] = v.binary
	} else {
		out["SecretString"] = v.text
	}
	return out, nil
}

// find returns the version that is asked for, which is the current one if nothing is said.
func (c *secret) find(id, stage string) (*version, error) {
	if id == "" && stage == "" {
		stage = Current
	}
	for _, v := range c.versions {
		hasID, hasStage := id == "" || v.id == id, stage == "" || slices.Contains(v.stages, stage)
		switch hasValue := v.text != "" || v.binary != nil; {
		case hasID && hasStage && hasValue:
			return v, nil
		case hasID && id != "" && !hasStage:
			return nil, &Refusal{http.StatusBadRequest, "InvalidRequestException",
				"You provided a VersionStage that is not associated to the provided VersionId."}
		}
	}
	if id != "" {
		return nil, notFound("Secrets Manager can't find the specified secret value for VersionId: " + id)
	}
	return nil, notFound("Secrets Manager can't find the specified secret value for staging label: " + stage)
}

func notFound(message string) *Refusal {
	return &Refusal{http.StatusBadRequest, "ResourceNotFoundException", message}
}
