package diagnose

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// report is one with every status.
func report() *Report {
	r := &Report{Route: "orders", Upstream: "postgres://app@db.example.com/orders"}
	r.add(Step{Name: Identity, Status: OK, Took: 38 * time.Millisecond, Text: "arn:app, from a file", Facts: IdentityFacts{Principal: "arn:app"}})
	r.add(Step{Name: Credential, Status: Warning, Took: time.Millisecond, Text: "for app"})
	r.add(Step{Name: DNS, Status: Skipped, Text: "an address"})
	r.add(Step{Name: TCP, Status: Failed, Took: 5 * time.Second, Text: "dial", Advice: []Advice{{Text: "do this", Copy: "command"}, {Text: "or that"}}})
	for _, name := range []string{TLS, Login, Query} {
		r.add(Step{Name: name, Status: Skipped})
	}
	r.add(Step{Name: Clock, Status: Failed, Text: "wrong", Advice: []Advice{{Text: "set it"}}})
	return r
}

const inWords = `orders: postgres://app@db.example.com/orders
  ok      identity      38 ms  arn:app, from a file
  warning credential     1 ms  for app
  skipped dns                  an address
  FAILED  tcp         5000 ms  dial
  skipped tls
  skipped login
  skipped query
  FAILED  clock                wrong
orders fails at tcp. We are: arn:app, from a file. What to do:
  * do this:
      command
  * or that
And the clock:
  * set it
`

func TestTextIsAlignedInWordsAndInSymbols(t *testing.T) {
	write := func(text Text) string {
		var b bytes.Buffer
		text.Out = &b
		r := report()
		text.Begin(&Walk{Name: r.Route, Upstream: r.Upstream})
		for _, s := range r.Steps {
			text.Step(s)
		}
		text.End(r)
		return b.String()
	}
	if got := write(Text{}); got != inWords {
		t.Errorf("got\n%s\nwant\n%s", got, inWords)
	}
	symbols := strings.NewReplacer("ok     ", "✓", "warning", "!", "FAILED ", "✗", "skipped", "-").Replace(inWords)
	if got := write(Text{Symbols: true}); got != symbols {
		t.Errorf("got\n%s\nwant\n%s", got, symbols)
	}
	if got := write(Text{Symbols: true, Colour: true}); !strings.Contains(got, "  \x1b[32m✓\x1b[0m identity ") || !strings.Contains(got, "  \x1b[1;31m✗\x1b[0m tcp ") {
		t.Errorf("got\n%q", got)
	}
}

func TestReportIsTheDocumentedJSON(t *testing.T) {
	text, err := json.Marshal(report())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"route":"orders","upstream":"postgres://app@db.example.com/orders","ok":false,"failed":"tcp","exit_status":13,"steps":[`,
		`{"step":"identity","status":"ok","ms":38,"text":"arn:app, from a file","facts":{"principal":"arn:app","from":""}}`,
		`{"step":"tcp","status":"failed","ms":5000,"text":"dial","advice":[{"text":"do this","copy":"command"},{"text":"or that"}]}`,
		`{"step":"tls","status":"skipped","ms":0}`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("got %s, want %s in it", text, want)
		}
	}
}

func TestEveryFieldIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/check.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, kind := range []any{
		Report{}, Step{}, Advice{}, IdentityFacts{}, CredentialFacts{}, DNSFacts{}, TCPFacts{}, DialFacts{}, TLSFacts{}, LoginFacts{}, ClockFacts{}, SkewFacts{},
	} {
		fields := reflect.TypeOf(kind)
		for i := range fields.NumField() {
			name, _, _ := strings.Cut(fields.Field(i).Tag.Get("json"), ",")
			if name == "-" {
				continue
			}
			if seen++; !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("%s: %s is not in docs/check.md", fields.Name(), name)
			}
		}
	}
	if seen < 40 {
		t.Errorf("looked at %d fields only", seen)
	}
}
