package dsn

import (
	"errors"
	"strings"
)

// psql needs no word about TLS: it tries with and without. The command is that of psql, and of all the
// programs that come with it.
func (t Target) psql(at place) []string {
	command := []string{"psql", "-h", at.hostOrDir(), "-p", at.port}
	if t.User != "" {
		command = append(command, "-U", t.User)
	}
	if t.Database != "" {
		command = append(command, "-d", psqlDatabase(t.Database))
	}
	return command
}

// psqlDatabase is the database for psql, which takes some names for the connection string that -d may have
// in place of one.
// See https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
func psqlDatabase(name string) string {
	if !strings.Contains(name, "=") && !strings.HasPrefix(name, "postgres://") && !strings.HasPrefix(name, "postgresql://") {
		return name
	}
	return "dbname='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(name) + "'"
}

// sslmode is libpq's word.
func (t Target) sslmode(at place) string {
	if t.encrypts(at) {
		return "require"
	}
	return "disable"
}

// postgresURL is for pgx, lib/pq, libpq and so psycopg alike, and whatever else reads a DATABASE_URL. lib/pq insists
// on TLS unless it is told not to, and takes a host for what it is, even where the query has a socket.
func (t Target) postgresURL(at place) (string, error) {
	var q query
	path := escape(t.Database)
	if strings.HasPrefix(t.Database, "/") { // of which pgx takes all away
		path = ""
		q.add("dbname", t.Database)
	}
	authority := q.host(at)
	q.add("sslmode", t.sslmode(at))
	return "postgres://" + t.userinfo() + authority + "/" + path + q.String(), nil
}

// host returns what stands for at in a URL of libpq, which has a unix socket in the query.
func (q *query) host(at place) (authority string) {
	if at.path == "" {
		return at.authority()
	}
	q.add("host", at.dir)
	q.add("port", at.port)
	return ""
}

// postgresNode is for node-postgres, which leaves what encodeURI does not encode as it is in the name of
// a database, and for long did not take the brackets off an address of IPv6. Its sslmode=require verifies
// the server, other than libpq's. To be a URL for JavaScript, it must have a host.
func (t Target) postgresNode(at place) (string, error) {
	if strings.ContainsAny(t.Database, "?#") {
		return "", &unsaid{errors.New("node-postgres reads no URL of a database with ? or # in its name"), `give it an object: {"database": ...}`}
	}
	var q query
	switch {
	case at.path != "":
		q.add("host", at.dir)
		q.add("port", at.port)
	case strings.Contains(at.host, ":"):
		q.add("host", at.host)
	}
	if t.encrypts(at) {
		q.add("sslmode", "no-verify")
	} else {
		q.add("sslmode", "disable")
	}
	return "postgres://" + t.userinfo() + at.authority() + "/" + escapeBut(t.Database, ";/:@&=+$,") + q.String(), nil
}

// postgresJDBC is for pgjdbc.
func (t Target) postgresJDBC(at place) (string, error) {
	if err := noSockets("JDBC", at); err != nil {
		return "", err
	}
	var q query
	q.add("user", t.User)
	q.add("password", t.Password.Reveal())
	q.add("sslmode", t.sslmode(at))
	return "jdbc:postgresql://" + at.authority() + "/" + escape(t.Database) + q.String(), nil
}

// postgresSQLAlchemy is for SQLAlchemy with psycopg. Before its version 2.1 it did not decode the name of
// a database, but for one in the query.
func (t Target) postgresSQLAlchemy(at place) (string, error) {
	var q query
	path := t.Database
	if escape(path) != path {
		path = ""
		q.add("dbname", t.Database)
	}
	authority := q.host(at)
	q.add("sslmode", t.sslmode(at))
	return "postgresql+psycopg://" + t.userinfo() + authority + "/" + path + q.String(), nil
}
