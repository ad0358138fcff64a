package gcp

import (
	"errors"
	"strings"
	"testing"

	"dbvalet/tokens"
)

func TestIdentifySaysWhoWeAreAsFarAsTheCredentialsDo(t *testing.T) {
	for _, tt := range identities {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			tt.set(c)
			who, err := c.source(Options{User: "app"}).Identify(t.Context())
			want := tt.principal
			if !tt.known {
				want = ""
			}
			if err != nil || who.Principal != want || who.Unsaid != nil {
				t.Errorf("got %+v, %v, want %q", who, err, want)
			}
			if file := strings.HasPrefix(who.From, c.dir); file == (tt.name == "metadata server") {
				t.Errorf("it is from %q", who.From)
			}
		})
	}
	t.Run("nobody", func(t *testing.T) {
		c := newCloud(t)
		c.SetMachine("", 0)
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent/adc.json")
		_, err := c.source(Options{User: "app"}).Identify(t.Context())
		if e, ok := errors.AsType[*tokens.Error](err); !ok || !strings.Contains(e.Hint(), "/nonexistent/adc.json") {
			t.Errorf("got %v", err)
		}
	})
}
