package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestOneSessionIsClosed(t *testing.T) {
	var asked []string
	s := serves(t, listenTCP(t), func(s *Server) {
		s.CloseSession = func(ctx context.Context, id string) error {
			asked = append(asked, id)
			if _, ok := ctx.Deadline(); !ok {
				t.Error("the close has no limit")
			}
			switch id {
			case "open":
				return nil
			case "stuck":
				return errors.New("it takes too long")
			}
			return fmt.Errorf("%w", ErrNoSession)
		}
	})
	for _, row := range []struct {
		query, text string
		status      int
	}{
		{"?id=open", "closed", 200},
		{"?id=gone", "no session", 404},
		{"?id=stuck", "as soon as it is idle", 500},
		{"", "?id=ID", 400},
		{"?id=", "?id=ID", 400},
	} {
		response, body := s.asks(t, http.MethodPost, "/sessions/close"+row.query)
		if response.StatusCode != row.status || !strings.Contains(body, row.text) {
			t.Errorf("%q: got %s and %q, want %d and %q", row.query, response.Status, body, row.status, row.text)
		}
	}
	if got := strings.Join(asked, " "); got != "open gone stuck" {
		t.Errorf("asked for %q", got)
	}
}
