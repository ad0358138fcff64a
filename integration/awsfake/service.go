package awsfake

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Account owns everything in the fakes.
const Account = "123456789012"

// maxBody is the most that a request may say.
const maxBody = 64 << 10 // bytes

// Errors that any AWS service may answer with, for Fail.
var (
	Down      = &Refusal{http.StatusServiceUnavailable, "ServiceUnavailableException", "Service is unavailable."}
	Throttled = &Refusal{http.StatusBadRequest, "ThrottlingException", "Rate exceeded"}
	Denied    = &Refusal{Status: http.StatusBadRequest, Code: accessDenied} // the message names the caller

	// Cut is no answer at all: the connection is closed.
	Cut = &Refusal{}
)

const accessDenied = "AccessDeniedException"

// A Request is one that came with a valid signature.
type Request struct {
	Action string // such as GetSecretValue
	Name   string // of the secret or the parameter
	Stage  string // of the secret, where that is said
	Region string // that it was signed for
	KeyID  string // that it was signed with
}

// service is an AWS service that speaks AWS JSON 1.1 and knows one action. Whoever asks for another
// is denied, which proves that no other permission is needed.
//
//	POST / HTTP/1.1
//	Content-Type: application/x-amz-json-1.1
//	X-Amz-Target: secretsmanager.GetSecretValue
//	Authorization: AWS4-HMAC-SHA256 …
//
// https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
type service struct {
	URL string // for AWS_ENDPOINT_URL_…, or the option endpoint

	keys   *Keys
	name   string // as in signatures and ARNs
	prefix string // of X-Amz-Target
	action string
	answer func(signer Signer, body []byte) (any, error) // the error is a *Refusal

	server *http.Server
	ended  chan struct{}

	mu       sync.Mutex
	requests []Request
	failure  *Refusal
	gate     chan struct{} // requests wait until it is closed; nil: they don't
	arrived  func()
}

// start answers with handler at a free port of this machine.
func (s *service) start(handler http.Handler) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.URL = "http://" + listener.Addr().String()
	s.server = &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	s.ended = make(chan struct{})
	go s.serve(listener)
	return nil
}

func (s *service) serve(listener net.Listener) {
	defer close(s.ended)
	_ = s.server.Serve(listener)
}

// Close ends the service. Whoever asks afterwards finds the port closed.
func (s *service) Close() {
	_ = s.server.Close()
	<-s.ended
}

// Fail makes r the answer to everything from now on, and nil ends that.
func (s *service) Fail(r *Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = r
}

// Hold keeps requests waiting until release is called, and closes arrived when there is one.
func (s *service) Hold() (arrived <-chan struct{}, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gate, first := make(chan struct{}), make(chan struct{})
	s.gate, s.arrived = gate, sync.OnceFunc(func() { close(first) })
	return first, sync.OnceFunc(func() { close(gate) })
}

// Requests returns those that were signed, whatever the answer was, the oldest first.
func (s *service) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Count returns how many requests there were for action; "" is any.
func (s *service) Count(action string) int {
	n := 0
	for _, r := range s.Requests() {
		if action == "" || r.Action == action {
			n++
		}
	}
	return n
}

// ServeHTTP answers one request.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := s.respond(w, r)
	refusal, refused := errors.AsType[*Refusal](err)
	switch {
	case refused && refusal.Status == 0:
		panic(http.ErrAbortHandler) // which closes the connection
	case refused:
		answer = map[string]string{"__type": refusal.Code, "message": refusal.Message}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(refusal.Status)
	case err != nil:
		return // the client is gone
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *service) respond(w http.ResponseWriter, r *http.Request) (any, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	signer, err := s.verify(r, body)
	if err != nil {
		return nil, err
	}
	action, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), s.prefix+".")
	if !ok || r.Method != http.MethodPost || r.URL.Path != "/" || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		return nil, &Refusal{http.StatusBadRequest, "UnknownOperationException", ""}
	}
	var in struct {
		Name         string
		SecretID     string `json:"SecretId"`
		VersionStage string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, &Refusal{http.StatusBadRequest, "SerializationException", ""}
	}
	request := Request{Action: action, Name: cmp.Or(in.SecretID, in.Name), Stage: in.VersionStage, Region: signer.Region, KeyID: signer.ID}
	failure, err := s.admit(r.Context(), request)
	switch {
	case err != nil:
		return nil, err
	case action != s.action, failure != nil && failure.Code == accessDenied && failure.Message == "":
		return nil, s.notAuthorized(signer, request)
	case failure != nil:
		return nil, failure
	}
	return s.answer(signer, body)
}

// verify says who signed the request. Services with JSON have names of their own for what is wrong
// with a signature.
func (s *service) verify(r *http.Request, body []byte) (Signer, error) {
	signer, err := s.keys.Verify(r, body)
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		code := refusal.Code + "Exception"
		switch refusal.Code {
		case "InvalidClientTokenId":
			code = "UnrecognizedClientException"
		case "SignatureDoesNotMatch":
			code = "InvalidSignatureException"
		}
		return Signer{}, &Refusal{http.StatusBadRequest, code, refusal.Message}
	}
	if err == nil && signer.Service != s.name {
		return Signer{}, &Refusal{http.StatusBadRequest, "InvalidSignatureException", "Credential should be scoped to correct service: '" + s.name + "'."}
	}
	return signer, err
}

// admit writes the request down, and waits where requests are held.
func (s *service) admit(ctx context.Context, request Request) (failure *Refusal, err error) {
	s.mu.Lock()
	s.requests = append(s.requests, request)
	gate, arrived := s.gate, s.arrived
	s.mu.Unlock()
	if gate != nil {
		arrived()
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure, nil
}

// notAuthorized is what AWS says where no policy allows it. A secret is named as it was asked for.
func (s *service) notAuthorized(signer Signer, request Request) *Refusal {
	action := s.name + ":" + request.Action
	resource := request.Name
	if s.name == "ssm" {
		resource = parameterARN(signer.Region, request.Name)
	}
	return &Refusal{http.StatusBadRequest, accessDenied, fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s "+
		"because no identity-based policy allows the %s action", signer.ARN, action, resource, action)}
}
