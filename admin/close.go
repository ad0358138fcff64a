package admin

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// ErrNoSession is why a session can't be closed that is not open.
var ErrNoSession = errors.New("no session with this id is open")

// closeTime is longer than a session may take to finish the answer that it is in the middle of.
const closeTime = 15 * time.Second

func (s *Server) serveClose(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	if id == "" {
		answer(w, http.StatusBadRequest, "say which session, as /status has it: /sessions/close?id=ID")
		return
	}
	ctx, cancel := takeTime(w, r, closeTime)
	defer cancel()
	switch err := s.CloseSession(ctx, id); {
	case err == nil:
		answer(w, http.StatusOK, "closed")
	case errors.Is(err, ErrNoSession):
		answer(w, http.StatusNotFound, err.Error())
	default:
		answer(w, http.StatusInternalServerError, fmt.Sprintf("not closed yet, and it ends as soon as it is idle: %v", err))
	}
}
