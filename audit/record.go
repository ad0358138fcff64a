package audit

import (
	"time"

	"dbvalet/proxy"
)

// A record is one line. What is not known is left out.
type record struct {
	Time     string `json:"time"`  // RFC 3339, UTC
	Event    string `json:"event"` // session_start, session_end or refused
	ID       string `json:"id"`    // of the connection; the log has it as session
	Route    string `json:"route"`
	Listener string `json:"listener"`
	Peer     peer   `json:"peer"`

	Upstream    string      `json:"upstream,omitempty"` // address
	User        string      `json:"user,omitempty"`     // of the database
	Database    string      `json:"database,omitempty"`
	Application string      `json:"application,omitempty"` // what the client calls itself
	Credential  *credential `json:"credential,omitempty"`

	Stage string `json:"stage,omitempty"` // where Error ended it
	Error string `json:"error,omitempty"`

	FromClient   *int64   `json:"from_client,omitempty"`   // bytes, of a session that has ended
	FromUpstream *int64   `json:"from_upstream,omitempty"` // bytes
	Duration     *float64 `json:"duration,omitempty"`      // seconds from accept to the end
	SetUp        setUp    `json:"setup"`
}

type peer struct {
	Address string  `json:"address"`
	UID     *uint32 `json:"uid,omitempty"`
	PID     int     `json:"pid,omitempty"`
	Program string  `json:"program,omitempty"`
}

type credential struct {
	ID      string `json:"id,omitempty"`
	Expires string `json:"expires,omitempty"`
}

// setUp is how long the set-up took, in seconds: all of it, and its steps.
type setUp struct {
	Total      float64  `json:"total"`
	Credential *float64 `json:"credential,omitempty"`
	Dial       *float64 `json:"dial,omitempty"`
	TLS        *float64 `json:"tls,omitempty"`
	Auth       *float64 `json:"auth,omitempty"`
}

// timeFormat has milliseconds, always three digits of them.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

func newRecord(event proxy.Event, route string, r *proxy.Record) *record {
	out := &record{
		Event: string(event), ID: r.ID, Route: route, Listener: r.Listener,
		Peer:     peer{Address: r.Client, PID: r.PID, Program: proxy.Printable(r.Program)},
		Upstream: r.Upstream, SetUp: newSetUp(r),
	}
	if r.Peer.Known {
		out.Peer.UID = &r.Peer.UID
		if out.Peer.PID == 0 {
			out.Peer.PID = r.Peer.PID
		}
	}
	when := r.Accepted.Add(r.SetUp)
	if s := r.Session; s != nil {
		cred := s.Upstream.Credential
		out.User, out.Database, out.Application = name(s.User), name(s.Database), name(s.Application)
		out.Credential = &credential{ID: name(cred.ID)}
		if !cred.Expires.IsZero() {
			out.Credential.Expires = cred.Expires.UTC().Format(timeFormat)
		}
	}
	if event == proxy.SessionEnd {
		when = time.Now()
		up, down, took := r.Session.Traffic.FromClient.Load(), r.Session.Traffic.FromUpstream.Load(), when.Sub(r.Accepted).Seconds()
		out.FromClient, out.FromUpstream, out.Duration = &up, &down, &took
	}
	if r.Err != nil && event != proxy.SessionStart {
		out.Stage, out.Error = string(r.Stage()), proxy.Printable(r.Err.Error())
	}
	out.Time = when.UTC().Format(timeFormat)
	return out
}

func newSetUp(r *proxy.Record) setUp {
	took := func(stage proxy.Stage) *float64 {
		if d, ok := r.Took(stage); ok {
			seconds := d.Seconds()
			return &seconds
		}
		return nil
	}
	return setUp{
		r.SetUp.Seconds(), took(proxy.StageCredential), took(proxy.StageDial), took(proxy.StageTLS), took(proxy.StageAuth),
	}
}

// maxName is how much of a name is kept, in bytes. Those of databases have 64 at most.
const maxName = 256

// name is what a client, or a store, calls something.
func name(s string) string {
	if len(s) > maxName {
		s = s[:maxName] + "…"
	}
	return proxy.Printable(s)
}
