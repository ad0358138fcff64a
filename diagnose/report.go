package diagnose

import (
	"time"
)

// The names of the steps, in their order.
const (
	Identity   = "identity"
	Credential = "credential"
	DNS        = "dns"
	TCP        = "tcp"
	TLS        = "tls"
	Login      = "login"
	Query      = "query"
	Clock      = "clock"
)

// Steps are all of them.
func Steps() []string { return []string{Identity, Credential, DNS, TCP, TLS, Login, Query, Clock} }

// firstStatus is the exit status for the first step.
const firstStatus = 10

// A Status is how a step went.
type Status string

// The ways in which a step goes. What is skipped could not be done any more, or is not needed.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// A Report is what a walk has found out. Its JSON is for programs, and described in docs/check.md: fields are
// added, and those that are there stay.
type Report struct {
	Route      string `json:"route"`
	Upstream   string `json:"upstream"` // the database: a URL without options
	OK         bool   `json:"ok"`
	Failed     string `json:"failed,omitempty"` // the first step that did
	ExitStatus int    `json:"exit_status"`
	Steps      []Step `json:"steps"` // all, in their order
}

// A Step is how one of them went.
type Step struct {
	Name         string        `json:"step"`
	Status       Status        `json:"status"`
	Took         time.Duration `json:"-"`
	Milliseconds float64       `json:"ms"`
	Text         string        `json:"text,omitempty"` // in a line
	Advice       []Advice      `json:"advice,omitempty"`
	// Facts are what was found out, of a kind for each step.
	Facts any `json:"facts,omitempty"`
}

// Advice is one thing to do.
type Advice struct {
	Text string `json:"text"`
	Copy string `json:"copy,omitempty"` // a command, a statement, a policy or an option to copy
}

// add notes how a step went.
func (r *Report) add(s Step) {
	s.Milliseconds = float64(s.Took.Round(10*time.Microsecond)) / float64(time.Millisecond)
	r.Steps = append(r.Steps, s)
	if s.Status == Failed && r.Failed == "" {
		r.Failed, r.ExitStatus = s.Name, firstStatus+len(r.Steps)-1
	}
	r.OK = r.Failed == ""
}

// failed is a step that did, with one piece of advice; empty: none.
func failed(text, advice string) Step {
	s := Step{Status: Failed, Text: text}
	if advice != "" {
		s.Advice = []Advice{{Text: advice}}
	}
	return s
}
