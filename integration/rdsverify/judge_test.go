package main

import (
	"io"
	"net"
	"testing"
)

// TestOnlyOKLetsTheUserIn includes judges that end half way, which is no consent.
func TestOnlyOKLetsTheUserIn(t *testing.T) {
	for _, row := range []struct{ name, answer, want string }{
		{"consent", "ok", "accepted user=app by the judge"},
		{"refusal", "another key", "refused user=app: another key"},
		{"no answer", "", "refused user=app: the judge said nothing"},
	} {
		t.Run(row.name, func(t *testing.T) {
			judge, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer judge.Close()
			asked := make(chan string, 1)
			go func() {
				conn, err := judge.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				question, _ := io.ReadAll(conn)
				asked <- string(question)
				_, _ = io.WriteString(conn, row.answer)
			}()
			c := &config{Judge: judge.Addr().String()}
			line, refusal := c.decide("app", "the token")
			if line != row.want || (refusal == nil) != (row.answer == "ok") {
				t.Errorf("got %q, %v, want %q", line, refusal, row.want)
			}
			if got := <-asked; got != "app\x00the token" {
				t.Errorf("the judge was asked %q", got)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		c := &config{Judge: "127.0.0.1:1"}
		if line, refusal := c.decide("app", "the token"); refusal == nil {
			t.Errorf("got %q, want a refusal", line)
		}
	})
}
