package dsn

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"dbvalet/tokens"
)

// A Target is a listener of dbvalet as a client sees it.
type Target struct {
	Scheme string   // "postgres" or "mysql"
	Addr   net.Addr // a *net.TCPAddr, or a *net.UnixAddr with the socket's path

	User, Database string // empty: the client chooses

	// Password is the one that dbvalet itself asks for. Empty: it asks for none, or the client is not to
	// be told here. Whatever is made of a Target with a password has it in the clear.
	Password tokens.Secret

	// TLS says that dbvalet wants its clients to encrypt. On a unix socket no client does.
	TLS bool
}

// A form is how one tool is told where to connect.
type form struct {
	tool string
	text func(t Target, at place) (string, error)
}

// forms are those of a scheme, the one of the database's own client first.
func forms(scheme string) []form {
	switch scheme {
	case "postgres":
		return []form{
			{"psql", Target.shellCommand}, {"url", Target.postgresURL}, {"go", Target.postgresURL}, {"jdbc", Target.postgresJDBC},
			{"node", Target.postgresNode}, {"python", Target.postgresURL}, {"sqlalchemy", Target.postgresSQLAlchemy},
			{"atlas", Target.postgresURL}, {"env", Target.exports},
		}
	case "mysql":
		return []form{
			{"mysql", Target.shellCommand}, {"url", Target.mysqlURL}, {"go", Target.mysqlGo}, {"jdbc", Target.mysqlJDBC},
			{"jdbc-mariadb", Target.mariadbJDBC}, {"node", Target.mysqlNode}, {"python", Target.pymysql},
			{"sqlalchemy", Target.mysqlSQLAlchemy}, {"atlas", Target.mysqlAtlas}, {"env", Target.exports},
		}
	}
	return nil
}

// Tools are the names that For knows for a scheme. The first is the database's own client, a command.
func Tools(scheme string) []string {
	var names []string
	for _, f := range forms(scheme) {
		names = append(names, f.tool)
	}
	return names
}

// For returns what to copy for a tool: one line, or for "env" several. An error has a hint.
func (t Target) For(tool string) (string, error) {
	all := forms(t.Scheme)
	i := slices.IndexFunc(all, func(f form) bool { return f.tool == tool })
	if i < 0 {
		return "", &unsaid{fmt.Errorf("nothing to copy is known for %q with a %s route", tool, t.Scheme), "there are " + strings.Join(Tools(t.Scheme), ", ")}
	}
	at, err := t.place()
	if err != nil {
		return "", err
	}
	text, err := all[i].text(t, at)
	if err != nil {
		return "", err
	}
	return text, nil
}

// Command returns the command of the database's own client, word by word. It has no password in it, as
// everybody on the machine can read a command.
func (t Target) Command() ([]string, error) {
	at, err := t.place()
	if err != nil {
		return nil, err
	}
	if t.Scheme == "postgres" {
		return t.psql(at), nil
	}
	return t.mysql(at), nil
}

// Environ returns variables, each as NAME=value, that a child process is given in addition to others:
// those of the database's own client, and DATABASE_URL. It is nil where there is nothing to say. There is
// none that keeps MariaDB's clients from 11.4 on from insisting on TLS, nor does one turn TLS off, as it
// would for all the servers that the process connects to.
func (t Target) Environ() []string {
	at, err := t.place()
	if err != nil {
		return nil
	}
	return t.environ(at)
}

func (t Target) environ(at place) []string {
	var variables []string
	set := func(name, value string) {
		if value != "" {
			variables = append(variables, name+"="+value)
		}
	}
	url := Target.postgresURL
	if t.Scheme == "postgres" {
		set("PGHOST", at.hostOrDir())
		set("PGPORT", at.port)
		set("PGUSER", t.User)
		set("PGDATABASE", t.Database)
		if t.encrypts(at) {
			set("PGSSLMODE", "require")
		}
		set("PGPASSWORD", t.Password.Reveal())
	} else {
		url = Target.mysqlURL
		set("MYSQL_HOST", at.host)
		set("MYSQL_TCP_PORT", at.port)
		set("MYSQL_UNIX_PORT", at.path)
		set("MYSQL_PWD", t.Password.Reveal())
	}
	if text, err := url(t, at); err == nil {
		set("DATABASE_URL", text)
	}
	return variables
}

// exports is environ for a shell to read. What has libpq insist on TLS can't stay there, but on a socket.
func (t Target) exports(at place) (string, error) {
	var lines []string
	if t.Scheme == "postgres" && at.path == "" && !t.encrypts(at) {
		lines = append(lines, "unset PGSSLMODE")
	}
	for _, variable := range t.environ(at) {
		name, value, _ := strings.Cut(variable, "=")
		lines = append(lines, "export "+name+"="+tokens.Quote(value))
	}
	return strings.Join(lines, "\n"), nil
}

// shellCommand is Command for a shell to read. A password goes into a variable, as Command says.
func (t Target) shellCommand(at place) (string, error) {
	command, variable := t.mysql(at), "MYSQL_PWD"
	if t.Scheme == "postgres" {
		command, variable = t.psql(at), "PGPASSWORD"
	}
	for i, word := range command {
		command[i] = tokens.Quote(word)
	}
	if t.Scheme == "postgres" && t.encrypts(at) {
		command = slices.Insert(command, 0, "PGSSLMODE=require")
	}
	if !t.Password.Empty() {
		command = slices.Insert(command, 0, variable+"="+tokens.Quote(t.Password.Reveal()))
	}
	return strings.Join(command, " "), nil
}

// encrypts reports whether the client is to use TLS.
func (t Target) encrypts(at place) bool { return t.TLS && at.path == "" }

// A place is where a client connects.
type place struct {
	host, port string // of TCP; of a unix socket "localhost", and for PostgreSQL the number in its name
	path       string // of a unix socket
	dir        string // of a unix socket of PostgreSQL
}

const socketPrefix = ".s.PGSQL." // in the name of a socket, before its number

// place takes t's address apart.
func (t Target) place() (place, error) {
	switch addr := t.Addr.(type) {
	case *net.TCPAddr:
		host := (&net.IPAddr{IP: addr.IP, Zone: addr.Zone}).String()
		if addr.IP == nil || addr.IP.IsUnspecified() {
			host = "127.0.0.1" // "everywhere" is no place to connect to
		}
		return place{host: host, port: strconv.Itoa(addr.Port)}, nil
	case *net.UnixAddr:
		at := place{host: "localhost", path: addr.Name}
		if t.Scheme != "postgres" {
			return at, nil
		}
		i := strings.LastIndexByte(addr.Name, '/')
		number, ok := strings.CutPrefix(addr.Name[i+1:], socketPrefix)
		if _, err := strconv.ParseUint(number, 10, 16); i < 0 || !ok || err != nil {
			return place{}, &unsaid{
				fmt.Errorf("clients of PostgreSQL do not find the socket %s", addr.Name),
				"they look for " + socketPrefix + "PORT in a directory: write the directory alone into listen=",
			}
		}
		at.dir, at.port = addr.Name[:max(i, 1)], number
		return at, nil
	}
	return place{}, &unsaid{fmt.Errorf("an address of type %T is none that clients connect to", t.Addr), ""}
}

// hostOrDir is what libpq takes for a host.
func (p place) hostOrDir() string {
	if p.dir != "" {
		return p.dir
	}
	return p.host
}

// authority is HOST:PORT in a URL, or HOST alone for a unix socket.
func (p place) authority() string {
	host := escape(p.host)
	if strings.Contains(p.host, ":") {
		host = "[" + strings.Replace(p.host, "%", "%25", 1) + "]"
	}
	if p.path != "" {
		return host
	}
	return host + ":" + p.port
}

// unsaid is why there is nothing to copy.
type unsaid struct {
	err    error
	advice string
}

func (e *unsaid) Error() string { return e.err.Error() }
func (e *unsaid) Unwrap() error { return e.err }

// Hint returns the next step.
func (e *unsaid) Hint() string { return e.advice }

// noSockets is the error of tools that know TCP only.
func noSockets(what string, at place) error {
	if at.path == "" {
		return nil
	}
	return &unsaid{fmt.Errorf("%s can't connect to the unix socket %s", what, at.path), "have the route listen on TCP as well, as in listen=127.0.0.1:PORT"}
}
