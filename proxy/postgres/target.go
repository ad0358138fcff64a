package postgres

import (
	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/proxy"
)

// maxHeard bounds what is kept of the words of a server that is asked what it is, in bytes.
const maxHeard = 4 << 20

// checkTarget reads on up to the first ReadyForQuery to see whether the server is what target asks for,
// as libpq does. What was read is kept in l.heard, for the client is to get it as it came. A server that
// will not do is left politely.
//
// A server says by its parameters what it is since PostgreSQL 14. An older one is asked, and so is one
// whose parameters a pooler keeps to itself.
func (l *login) checkTarget(target proxy.Target) error {
	if target == proxy.AnyServer {
		return nil
	}
	standby, readOnly, err := l.state(target)
	if err != nil {
		return err
	}
	if err = target.Check(standby, readOnly); err != nil {
		_ = l.send(&pgproto3.Terminate{})
	}
	return err
}

// state returns what the server is, as far as target wants to know.
func (l *login) state(target proxy.Target) (standby, readOnly bool, err error) {
	params := map[string]string{}
	err = l.hear(func(m message) {
		var status pgproto3.ParameterStatus
		if m.kind() == 'S' && status.Decode(m.body()) == nil {
			params[status.Name] = status.Value
		}
		l.heard = append(l.heard, m...)
	})
	if err != nil {
		return false, false, err
	}
	byDefault, inRecovery := params["default_transaction_read_only"], params["in_hot_standby"]
	switch target {
	case proxy.ReadWrite, proxy.ReadOnly:
		if byDefault != "" && inRecovery != "" {
			return inRecovery == "on", byDefault == "on" || inRecovery == "on", nil
		}
		readOnly, err = l.ask("SHOW transaction_read_only", "on")
		return false, readOnly, err
	}
	if inRecovery != "" {
		return inRecovery == "on", false, nil
	}
	standby, err = l.ask("SELECT pg_catalog.pg_is_in_recovery()", "t")
	return standby, false, err
}

// ask reports whether the one value that the server answers to sql is want. The parameters that it
// reports meanwhile are the client's to hear.
func (l *login) ask(sql, want string) (bool, error) {
	if err := l.send(&pgproto3.Query{String: sql}); err != nil {
		return false, err
	}
	ready := len(l.heard) - readyForQueryBytes // the client is not ready before it has heard the rest
	last := append(message(nil), l.heard[ready:]...)
	l.heard = l.heard[:ready]
	var answer string
	err := l.hear(func(m message) {
		var row pgproto3.DataRow
		switch m.kind() {
		case 'D':
			if row.Decode(m.body()) == nil && len(row.Values) == 1 {
				answer = string(row.Values[0])
			}
		case 'S', 'N', 'A':
			l.heard = append(l.heard, m...)
		}
	})
	l.heard = append(l.heard, last...)
	if err == nil && answer == "" {
		return false, proxy.LoginError("leave target_session_attrs= out of the route", "the server answers %s with nothing", sql)
	}
	return answer == want, err
}

// readyForQueryBytes is the length of that message.
const readyForQueryBytes = messageHeader + 1

// hear calls each for every message of the server up to ReadyForQuery, which is the last. An
// ErrorResponse is the end of it: nobody has been told anything yet.
func (l *login) hear(each func(message)) error {
	for total := 0; ; {
		m, err := readMessage(l.conn, maxPrologueMessage)
		if err != nil {
			return lost(err)
		}
		if total += len(m); total > maxHeard {
			return proxy.LoginError("", "the server says more than %d bytes before it is ready", maxHeard)
		}
		if m.kind() == 'E' {
			l.answered = false // it is not about the credential any more
			return l.refused(m)
		}
		if m.kind() == 'Z' && len(m) != readyForQueryBytes {
			return proxy.LoginError("", "ReadyForQuery of %d bytes", len(m.body()))
		}
		each(m)
		if m.kind() == 'Z' {
			return nil
		}
	}
}
