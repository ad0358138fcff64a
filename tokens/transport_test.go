package tokens

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestSecretsDoNotTravelInClear(t *testing.T) {
	for url, private := range map[string]bool{
		"https://vault.example.com":  true,
		"http://127.0.0.1:8200":      true,
		"http://[::1]:8200":          true,
		"http://localhost:8200":      true,
		"http://127.9.9.9":           true,
		"http://vault.example.com":   false,
		"http://10.0.0.1:8200":       false,
		"http://169.254.169.254":     false,
		"http://localhost.evil.test": false,
		"http://[::ffff:127.0.0.1]":  true,
	} {
		var sent bool
		client := http.Client{Transport: Encrypted(roundTripper(func(r *http.Request) (*http.Response, error) {
			sent = true
			return httptest.NewRecorder().Result(), nil
		}))}
		response, err := client.Get(url)
		if err == nil {
			response.Body.Close()
		}
		if sent != private || errors.Is(err, ErrInClear) == private {
			t.Errorf("%s: sent %v with %v, want %v", url, sent, err, private)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
