package tokens

import (
	"context"
	"errors"
)

// Constant is a password that stands in the route: auth=constant://?val=…, as in the Go CDK. It is for
// tests: everybody on the machine can read the arguments of a process.
type Constant struct {
	Value   Secret
	Decoder Decoder
}

var _ Source = (*Constant)(nil)

// Credential returns the constant.
func (s *Constant) Credential(_ context.Context, _ string) (Credential, error) {
	cred, err := s.Decoder.Credential([]byte(s.Value.Reveal()))
	if e, ok := errors.AsType[*Error](err); ok {
		e.Source = "constant://"
		return Credential{}, e
	}
	cred.ID = "constant"
	return cred, nil
}
