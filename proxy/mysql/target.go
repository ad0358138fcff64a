package mysql

import (
	"net"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
)

// readOnlyQuery asks for all reasons for which a server takes no writes: an administrator who said so,
// as on replicas, and Aurora, whose readers say so in InnoDB. super_read_only is never without read_only.
const readOnlyQuery = "SELECT @@global.read_only, @@global.innodb_read_only"

// maxAnswerPackets is how many packets a result of one row may have.
const maxAnswerPackets = 16

// checkTarget asks the server on conn, which is ready for commands, whether it is what target asks for.
// caps are what the client and the server both have: mysql sets flags that it was not offered. A server
// that will not do is left politely.
func checkTarget(conn net.Conn, target proxy.Target, caps uint32) error {
	if target == proxy.AnyServer {
		return nil
	}
	l := &login{conn: conn, reader: conn}
	if err := l.send(queryPacket(readOnlyQuery, caps)); err != nil {
		return err
	}
	row, err := l.onlyRow(caps)
	if err != nil {
		return err
	}
	readOnly, err := anyOn(row)
	if err != nil {
		return err
	}
	if err = target.Check(readOnly, readOnly); err != nil {
		_ = (&login{conn: conn}).send([]byte{mysql.COM_QUIT})
	}
	return err
}

// queryPacket is the payload of COM_QUERY:
//
//	1  3
//	1  number of parameters, 0; with QUERY_ATTRIBUTES
//	1  number of sets of them, 1; with QUERY_ATTRIBUTES
//	n  SQL
//
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query.html
func queryPacket(sql string, caps uint32) []byte {
	b := []byte{mysql.COM_QUERY}
	if caps&mysql.CLIENT_QUERY_ATTRIBUTES != 0 {
		b = append(b, 0, 1)
	}
	return append(b, sql...)
}

// onlyRow reads a result and returns its last row. What it consists of need not be understood: the
// number of columns, the columns, EOF if it is not deprecated, rows, and EOF or an OK that looks like it.
//
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset.html
func (l *login) onlyRow(caps uint32) ([]byte, error) {
	ends := 2
	if caps&mysql.CLIENT_DEPRECATE_EOF != 0 {
		ends = 1
	}
	var last []byte
	for range maxAnswerPackets {
		p, err := l.receive()
		switch {
		case err != nil:
			return nil, err
		case p.kind() == errHeader:
			return nil, &proxy.SetupError{Stage: proxy.StageAuth, Err: decodeDatabaseError(p.payload(), false)}
		case p.kind() != authSwitchHeader: // of which EOF and that OK have the first byte
			last = p.payload()
			continue
		}
		if ends--; ends == 0 {
			return last, nil
		}
	}
	return nil, errNoAnswer
}

var errNoAnswer = proxy.LoginError("leave target_session_attrs= out of the route", "the server does not say whether it is read-only")

// anyOn reports whether one of the values in row is on. MariaDB has words for some, MySQL numbers.
func anyOn(row []byte) (bool, error) {
	f := fields{rest: row}
	on := false
	for range 2 {
		value := string(f.lenenc())
		on = on || value != "0" && !strings.EqualFold(value, "OFF")
	}
	if f.short || len(f.rest) > 0 {
		return false, errNoAnswer
	}
	return on, nil
}
