package gcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// An exchange are the requests that get one answer from Google. It remembers why the last of them
// failed, because the libraries make a flat text of it, which may quote what must not be quoted.
type exchange struct {
	failure error // *refusal or *unreachable; nil if the last one did not fail
	sent    bool  // there was a request
}

// client returns a client for the libraries. What they send ends with ctx, whether they care or not.
func (c *caller) client(ctx context.Context, x *exchange) *http.Client {
	return &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		x.sent = true
		res, err := c.RoundTrip(r.WithContext(ctx))
		switch {
		case err != nil:
			x.failure = &unreachable{r.URL.Host, err}
		case res.StatusCode > 299:
			x.failure, err = read(r, res)
		default:
			x.failure = nil
		}
		return res, err
	})}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// reason returns what is known better than err, which a library returned.
func (x *exchange) reason(ctx context.Context, err error) error {
	switch {
	case x.failure != nil:
		return x.failure
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return errors.New(short(err.Error()))
}

// unreachable is a host that did not answer.
type unreachable struct {
	host string
	err  error
}

func (e *unreachable) Error() string { return e.host + ": " + e.err.Error() }
func (e *unreachable) Unwrap() error { return e.err }

// refusal is an answer that is an error.
type refusal struct {
	host   string
	path   string
	status int    // of HTTP
	code   string // invalid_grant, PERMISSION_DENIED; empty: the answer has another form
	reason string // SERVICE_DISABLED; mostly empty
	text   string // for people

	uncounted bool // the call says no project that it is counted for, and must
}

const (
	maxRefusal = 64 << 10 // bytes of an answer that are read
	maxText    = 110      // bytes of a text for people that are passed on
)

// read reads an answer that is an error, and puts it back for the library. There are two forms:
//
//	{"error": "invalid_grant", "error_description": "…"}              RFC 6749, section 5.2
//	{"error": {"code": 403, "status": "…", "message": "…", "details": [{"reason": "…"}]}}
//
// https://cloud.google.com/apis/design/errors
func read(r *http.Request, res *http.Response) (*refusal, error) {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	res.Body.Close()
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	e := &refusal{host: r.URL.Host, path: r.URL.Path, status: res.StatusCode}
	var outer struct {
		Error       json.RawMessage `json:"error"`
		Description string          `json:"error_description"`
	}
	var inner struct {
		Status  string `json:"status"`
		Message string `json:"message"`
		Details []struct {
			Reason string `json:"reason"`
		} `json:"details"`
	}
	if json.Unmarshal(body, &outer) != nil {
		return e, nil
	}
	if json.Unmarshal(outer.Error, &e.code) == nil {
		e.text = short(outer.Description)
	} else if json.Unmarshal(outer.Error, &inner) == nil {
		e.code, e.text = inner.Status, short(inner.Message)
		e.uncounted = strings.Contains(inner.Message, "requires a quota project")
		for _, d := range inner.Details {
			if d.Reason != "" {
				e.reason = d.Reason
			}
		}
	}
	return e, nil
}

func (e *refusal) Error() string {
	s := fmt.Sprintf("%s answered %d", e.host, e.status)
	if e.code != "" {
		s += " " + short(e.code)
	}
	if e.text != "" {
		s += ": " + e.text
	}
	return s
}

// passing reports whether the answer may be another one in a moment.
func (e *refusal) passing() bool {
	return e.status >= 500 || e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout ||
		e.code == "RESOURCE_EXHAUSTED" || e.reason == "RATE_LIMIT_EXCEEDED"
}

// short returns text on one line, and not all of a long one. The full stop is not ours.
func short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return strings.TrimSuffix(text, ".")
}
