package servers

import (
	"io"
	"net"
	"strings"
	"sync"
)

// A judge answers the verifier's questions. See ask in package rdsverify for what they are.
type judge struct {
	listener net.Listener
	decide   func(user, token string) error
	tasks    sync.WaitGroup
}

// Judge lets decide say who may log in with a token, in place of the rules of RDS: where tokens are
// of another kind, or signed with keys that nobody knows beforehand. It is called for "app", for the
// members of PostgreSQL's role rds_iam and for MySQL's users that ByToken made, and it may be called
// several times at once. The clock's offset is nothing to it. Judge is called once.
func (s *Server) Judge(decide func(user, token string) error) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.judge = &judge{listener: listener, decide: decide}
	s.judge.tasks.Go(s.judge.accept)
	return s.writeVerifierConfig(s.clockOffset)
}

func (j *judge) accept() {
	for {
		conn, err := j.listener.Accept()
		if err != nil {
			return
		}
		j.tasks.Go(func() { j.answer(conn) })
	}
}

func (j *judge) answer(conn net.Conn) {
	defer conn.Close()
	question, err := io.ReadAll(conn)
	if err != nil {
		return
	}
	user, token, _ := strings.Cut(string(question), "\x00")
	verdict := "ok"
	if err := j.decide(user, token); err != nil {
		verdict = err.Error()
	}
	_, _ = io.WriteString(conn, verdict) // who has gone needs no answer
}

// close waits for the questions that are being answered: whoever asks them ends with the server.
func (j *judge) close() {
	j.listener.Close()
	j.tasks.Wait()
}
