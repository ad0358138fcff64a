package tokens

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"
)

const secretText = "hunter2-Zq"

// leaks reports whether text shows secretText as it is, in hexadecimal, or byte by byte.
func leaks(text string) bool {
	decimal := strings.Trim(fmt.Sprintf("%d", []byte(secretText)), "[]")
	for _, form := range []string{secretText, fmt.Sprintf("%x", secretText), fmt.Sprintf("% x", secretText), decimal} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
			return true
		}
	}
	return false
}

func secretHolders() map[string]any {
	secret := NewSecret(secretText)
	cred := Credential{User: "app", Password: secret, ID: "v1", Expires: time.Now()}
	type hidden struct{ password Secret }
	type hiddenCredential struct{ cred Credential }
	type hiddenPointer struct{ password *Secret }
	return map[string]any{
		"secret":                secret,
		"pointer":               &secret,
		"credential":            cred,
		"credential pointer":    &cred,
		"unexported field":      hidden{secret},
		"unexported credential": hiddenCredential{cred},
		"unexported pointer":    hiddenPointer{&secret},
		"pointer to struct":     &hidden{secret},
		"slice":                 []Secret{secret},
		"map":                   map[string]Secret{"password": secret},
		"interface":             []any{secret, cred},
		"error":                 fmt.Errorf("login with %v: %w", cred, &Error{Source: "s", Err: fmt.Errorf("%+v", secret)}),
	}
}

func TestSecretDoesNotPrintWithAnyVerb(t *testing.T) {
	const verbs = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ%!"
	for name, holder := range secretHolders() {
		for _, flags := range []string{"", "+", "#", "-20", "020", " ", "+#", "# ", ".3"} {
			for _, verb := range verbs {
				format := "%" + flags + string(verb)
				if got := fmt.Sprintf(format, holder); leaks(got) {
					t.Errorf("%s with %s prints %s", name, format, got)
				}
			}
		}
		if got := fmt.Sprint(holder); leaks(got) {
			t.Errorf("%s with Sprint prints %s", name, got)
		}
	}
}

func TestSecretPrintsRedacted(t *testing.T) {
	for _, secret := range []Secret{NewSecret(secretText), {}} {
		for _, verb := range "vsdqxXtbcoOUeEfFgG" {
			for _, flags := range []string{"", "+", "#"} {
				format := "%" + flags + string(verb)
				if got := fmt.Sprintf(format, secret); got != "[redacted]" {
					t.Errorf("%s prints %q, want [redacted]", format, got)
				}
			}
		}
		text, _ := secret.MarshalText()
		for how, got := range map[string]string{
			"String":      secret.String(),
			"GoString":    secret.GoString(),
			"MarshalText": string(text),
			"LogValue":    secret.LogValue().String(),
		} {
			if got != "[redacted]" {
				t.Errorf("%s gives %q, want [redacted]", how, got)
			}
		}
	}
}

func TestSecretIsNotMarshaledOrLogged(t *testing.T) {
	for name, holder := range secretHolders() {
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Error("m", "holder", holder)
		slog.New(slog.NewJSONHandler(&out, nil)).Error("m", "holder", holder)
		text, _ := json.Marshal(holder)
		out.Write(text)
		_ = xml.NewEncoder(&out).Encode(holder)
		_ = gob.NewEncoder(&out).Encode(holder)
		if leaks(out.String()) {
			t.Errorf("%s is shown: %s", name, out.String())
		}
	}
	got, err := json.Marshal(map[string]any{"p": NewSecret(secretText)})
	if want := `{"p":"[redacted]"}`; err != nil || string(got) != want {
		t.Errorf("json gives %s, %v, want %s", got, err, want)
	}
}

func TestCredentialLogsWhatAnOperatorNeeds(t *testing.T) {
	var out bytes.Buffer
	cred := Credential{User: "app", Password: NewSecret(secretText), ID: "AKIA1", Expires: time.Unix(0, 0).UTC()}
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "credential", cred)
	for _, want := range []string{"credential.user=app", "credential.id=AKIA1", "credential.expires=1970-01-01T00:00:00.000Z"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("log is %s, want %s in it", out.String(), want)
		}
	}
	if strings.Contains(out.String(), "issued") {
		t.Errorf("log is %s, want no zero time", out.String())
	}
}

func TestRevealGivesTheString(t *testing.T) {
	for _, text := range []string{"", "x", secretText} {
		secret := NewSecret(text)
		if got := secret.Reveal(); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
		if got := secret.Empty(); got != (text == "") {
			t.Errorf("%q: Empty is %v", text, got)
		}
	}
	if !(Secret{}).Empty() || (Secret{}).Reveal() != "" {
		t.Error("the zero value is not the empty secret")
	}
}

func TestEqualComparesContent(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"", "", true}, {"a", "a", true}, {"a", "b", false}, {"a", "aa", false}, {"", "a", false},
	} {
		if got := NewSecret(tt.a).Equal(NewSecret(tt.b)); got != tt.want {
			t.Errorf("%q and %q: got %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
	if reflect.TypeFor[Secret]().Comparable() {
		t.Error("== on secrets compiles, and would compare addresses")
	}
}

func TestErrorTellsReactionAndHint(t *testing.T) {
	cause := errors.New("access denied")
	err := fmt.Errorf("stage credential: %w", &Error{Source: "env:X", Err: cause, Advice: "set X", Denied: true})
	if got, want := err.Error(), "stage credential: env:X: access denied"; got != want {
		t.Errorf("text is %q, want %q", got, want)
	}
	var f interface {
		Final() bool
		Hint() string
	}
	if !errors.As(err, &f) || !f.Final() || f.Hint() != "set X" || !errors.Is(err, cause) {
		t.Errorf("%v: the reaction, hint or cause is lost", err)
	}
	if (&Error{}).Final() {
		t.Error("an error is final that nobody called so")
	}
}
