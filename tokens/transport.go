package tokens

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
)

// Encrypted returns a RoundTripper for the client of a secret store: it refuses to send a request in
// clear to another machine, for the answer would be the secret. rt is what does the work; nil is
// http.DefaultTransport.
func Encrypted(rt http.RoundTripper) http.RoundTripper {
	if rt == nil {
		rt = http.DefaultTransport
	}
	return encrypted{rt}
}

// ErrInClear says that a secret would have travelled unencrypted.
var ErrInClear = errors.New("the store's address begins with http://, and a secret is never sent in clear to another machine; use https://")

type encrypted struct{ next http.RoundTripper }

func (t encrypted) RoundTrip(r *http.Request) (*http.Response, error) {
	if !Private(r.URL) {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, ErrInClear
	}
	return t.next.RoundTrip(r)
}

// Private reports whether what is sent to u stays unseen: by TLS, or because it stays on this machine.
func Private(u *url.URL) bool {
	if u.Scheme == "https" || u.Hostname() == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.Unmap().IsLoopback()
}
