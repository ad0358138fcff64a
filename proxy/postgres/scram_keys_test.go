package postgres

import (
	"strconv"
	"testing"

	"dbvalet/tokens"
)

func TestDerivedKeysAreUsedForTheSamePasswordOnly(t *testing.T) {
	cred := func(user, password string) tokens.Credential {
		return tokens.Credential{User: user, Password: tokens.NewSecret(password)}
	}
	var keys scramKeys
	first, err := keys.client(cred("app", "one"))
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := keys.client(cred("app", "one")); again == first {
		t.Error("keys were kept before a login had succeeded")
	}
	keys.keep(cred("app", "one"), first)
	if again, _ := keys.client(cred("app", "one")); again != first {
		t.Error("the kept keys are not used")
	}
	for _, other := range []tokens.Credential{cred("app", "two"), cred("other", "one")} {
		if client, _ := keys.client(other); client == first {
			t.Errorf("the keys of another user or password are used for %v", other)
		}
	}
}

func TestDerivedKeysAreBounded(t *testing.T) {
	var keys scramKeys
	for i := range 10 * maxScramUsers {
		keys.keep(tokens.Credential{User: strconv.Itoa(i)}, nil)
		if len(keys.users) > maxScramUsers {
			t.Fatalf("%d users are kept, want at most %d", len(keys.users), maxScramUsers)
		}
	}
}
