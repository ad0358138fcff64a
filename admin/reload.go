package admin

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// An Outcome is what a reload of the configuration has come to, with nothing secret in it.
type Outcome struct {
	// Changed has a line for each thing that is different now; none: there was nothing to change.
	Changed []string
	// Err is why nothing was changed; nil: all is as the configuration says.
	Err error
	// Hint is what to do about Err.
	Hint string
	// Invalid says that the configuration is wrong, and trying again is useless until somebody corrects
	// it.
	Invalid bool
}

// reloadTime is for a configuration that refers to much.
const reloadTime = time.Minute

// serveReload goes on where the client does not wait: half a reload would be worse than one that nobody
// hears of.
func (s *Server) serveReload(w http.ResponseWriter, r *http.Request) {
	_, release := takeTime(w, r, reloadTime)
	defer release()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), reloadTime)
	defer cancel()
	switch o := s.Reload(ctx); {
	case o.Err == nil && len(o.Changed) == 0:
		answer(w, http.StatusOK, "reloaded: nothing has changed")
	case o.Err == nil:
		answer(w, http.StatusOK, "reloaded\n  "+strings.Join(o.Changed, "\n  "))
	default:
		text := "not reloaded, all goes on as before: " + o.Err.Error()
		if o.Hint != "" {
			text += "\nhint: " + o.Hint
		}
		status := http.StatusInternalServerError
		if o.Invalid {
			status = http.StatusUnprocessableEntity
		}
		answer(w, status, text)
	}
}
