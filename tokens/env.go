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
	Name string
}

var _ Source = (*Env)(nil)

// Credential returns the value of the variable as the password of whatever user was asked for.
func (s *Env) Credential(_ context.Context, _ string) (Credential, error) {
	password, set := os.LookupEnv(s.Name)
	err := checkPassword(password)
	if !set {
		err = errors.New("the environment variable is not set")
	}
	if err != nil {
		return Credential{}, &Error{
			Source: "env:" + s.Name,
			Err:    err,
			Advice: fmt.Sprintf("put the password into %s where dbvalet is started", s.Name),
			Denied: true, // the environment stays as it is until a restart
		}
	}
	return Credential{Password: NewSecret(password), ID: s.Name}, nil
}
