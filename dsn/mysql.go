package dsn

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// mysql is for the clients of MySQL and MariaDB alike, which take "localhost" for a socket. MariaDB's from
// 11.4 on insist on TLS, but for an address on the command line without a password. There is no option that
// both know about it; to one that is loose, MySQL's says a word and goes on.
func (t Target) mysql(at place) []string {
	command := []string{"mysql", "-h", at.host, "-P", at.port}
	if at.path != "" {
		command = []string{"mysql", "-S", at.path}
	}
	if t.User != "" {
		command = append(command, "-u", t.User)
	}
	if t.Database != "" {
		command = append(command, "-D", t.Database) // which may begin with a dash
	}
	if !t.encrypts(at) && (at.path != "" || !t.Password.Empty()) {
		command = append(command, "--loose-skip-ssl")
	}
	return command
}

// mysqlURL is what most that read a URL take. There is no agreement about unix sockets: socket= is what
// Ruby, Rust and Prisma know.
func (t Target) mysqlURL(at place) (string, error) {
	var q query
	q.add("socket", at.path)
	if t.encrypts(at) {
		q.add("ssl-mode", "REQUIRED")
	}
	return t.mysqlLike("mysql://", q, at), nil
}

func (t Target) mysqlLike(scheme string, q query, at place) string {
	return scheme + t.userinfo() + at.authority() + "/" + escape(t.Database) + q.String()
}

// mysqlGo is for go-sql-driver. It decodes nothing but the name of the database, and looks for the last @
// before the last slash, and then for the first colon.
func (t Target) mysqlGo(at place) (string, error) {
	if strings.Contains(t.User, ":") {
		return "", &unsaid{errors.New("go-sql-driver reads no DSN of a user with a colon in its name"), "fill in its Config instead"}
	}
	if strings.Contains(at.path, "@") {
		return "", &unsaid{errors.New("go-sql-driver reads no DSN of a socket with @ in its path"), "fill in its Config instead, or choose another listen="}
	}
	login := t.User
	if !t.Password.Empty() {
		login += ":" + t.Password.Reveal()
	}
	if login != "" {
		login += "@"
	}
	address := "tcp(" + at.authority() + ")"
	if at.path != "" {
		address = "unix(" + at.path + ")"
	} else if strings.Contains(at.host, "%") {
		address = "tcp([" + at.host + "]:" + at.port + ")"
	}
	var q query
	if t.encrypts(at) {
		q.add("tls", "skip-verify")
	}
	return login + address + "/" + escape(t.Database) + q.String(), nil
}

// mysqlNode is for mysql2, which reads values of the query as JSON, as far as they are that.
func (t Target) mysqlNode(at place) (string, error) {
	var q query
	q.add("socketPath", at.path)
	if t.encrypts(at) {
		q.add("ssl", `{"rejectUnauthorized":false}`)
	}
	return t.mysqlLike("mysql://", q, at), nil
}

// mysqlJDBC is for MySQL's Connector/J.
func (t Target) mysqlJDBC(at place) (string, error) {
	if err := noSockets("JDBC", at); err != nil {
		return "", err
	}
	var q query
	q.add("user", t.User)
	q.add("password", t.Password.Reveal())
	q.add("sslMode", t.sslModeOfJDBC(at))
	return "jdbc:mysql://" + at.authority() + "/" + escape(t.Database) + q.String(), nil
}

// mariadbJDBC is for MariaDB's connector, which decodes nothing of a URL.
func (t Target) mariadbJDBC(at place) (string, error) {
	if err := noSockets("JDBC", at); err != nil {
		return "", err
	}
	if strings.Contains(t.Database, "?") || strings.Contains(t.User+t.Password.Reveal(), "&") ||
		strings.ContainsFunc(t.Database+t.User+t.Password.Reveal(), unicode.IsControl) {
		return "", &unsaid{errors.New("MariaDB Connector/J reads no URL with ? in the name of the database, with & in the user or the password, or with a control character"), "fill in a Properties instead"}
	}
	q := query{"sslMode=" + t.sslModeOfJDBC(at)}
	if !t.Password.Empty() {
		q = append(query{"password=" + t.Password.Reveal()}, q...)
	}
	if t.User != "" {
		q = append(query{"user=" + t.User}, q...)
	}
	return "jdbc:mariadb://" + at.authority() + "/" + t.Database + q.String(), nil
}

// sslModeOfJDBC is what both connectors call it.
func (t Target) sslModeOfJDBC(at place) string {
	if t.encrypts(at) {
		return "REQUIRED"
	}
	return "DISABLED"
}

// pymysql is a line of Python, as PyMySQL reads no URL.
func (t Target) pymysql(at place) (string, error) {
	var args []string
	set := func(name, value string) {
		if value != "" {
			text, _ := json.Marshal(value) // a string is one in Python too
			args = append(args, name+"="+string(text))
		}
	}
	if at.path != "" {
		set("unix_socket", at.path)
	} else {
		set("host", at.host)
		args = append(args, "port="+at.port)
	}
	set("user", t.User)
	set("password", t.Password.Reveal())
	if !isASCII(t.Password.Reveal()) { // which it would encode as Latin-1
		args[len(args)-1] += ".encode()"
	}
	set("database", t.Database)
	if t.encrypts(at) {
		args = append(args, `ssl={"check_hostname": False}`)
	}
	return "pymysql.connect(" + strings.Join(args, ", ") + ")", nil
}

// mysqlSQLAlchemy is for SQLAlchemy with PyMySQL. About the database see postgresSQLAlchemy.
func (t Target) mysqlSQLAlchemy(at place) (string, error) {
	if !isASCII(t.Password.Reveal()) {
		return "", &unsaid{errors.New("PyMySQL takes the password of a URL for Latin-1, and this one has other characters than those of ASCII"), "choose another password"}
	}
	var q query
	path := t.Database
	if escape(path) != path {
		path = ""
		q.add("database", t.Database)
	}
	q.add("unix_socket", at.path)
	if t.encrypts(at) {
		q.add("ssl_check_hostname", "false")
	}
	return "mysql+pymysql://" + t.userinfo() + at.authority() + "/" + path + q.String(), nil
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) < 0
}

// mysqlAtlas is for Atlas, which decodes the URL and makes a DSN for go-sql-driver of it.
func (t Target) mysqlAtlas(at place) (string, error) {
	if strings.ContainsAny(t.Database, "/?%") {
		return "", &unsaid{errors.New("no URL for Atlas can have a database with /, ? or % in its name"), "leave the database out, and name the schema with --schema"}
	}
	if _, err := t.mysqlGo(at); err != nil {
		return "", err
	}
	var q query
	if at.path != "" {
		q.add("database", t.Database)
		return fmt.Sprintf("mysql+unix://%s%s%s", t.userinfo(), escapeBut(at.path, "/"), q), nil
	}
	if t.encrypts(at) {
		q.add("tls", "skip-verify")
	}
	return t.mysqlLike("mysql://", q, at), nil
}
