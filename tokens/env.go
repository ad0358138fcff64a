package tokens

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Env takes the password from an environment variable of this process: auth=env:NAME. It is looked
// up at each call, although nobody can change it from outside: that way there is no second copy.
type Env struct {
	Name    string
	Decoder Decoder
}

var _ Source = (*Env)(nil)

// Credential returns what the variable holds, whoever asks.
func (s *Env) Credential(_ context.Context, _ string) (Credential, error) {
	value, set := os.LookupEnv(s.Name)
	failure := &Error{
		Source: "env:" + s.Name,
		Err:    errors.New("the environment variable is not set"),
		Advice: fmt.Sprintf("put the password into %s where dbvalet is started", s.Name),
		Denied: true, // the environment stays as it is until a restart
	}
	if !set {
		return Credential{}, failure
	}
	cred, err := s.Decoder.Credential([]byte(value + "\n")) // which doesn't count; one in value does
	if e, ok := errors.AsType[*Error](err); ok {
		failure.Err = e.Err
		if !errors.Is(err, errEmpty) {
			failure.Advice = e.Advice
		}
		return Credential{}, failure
	}
	cred.ID = s.Name
	return cred, nil
}
