package main

import (
	"fmt"
	"slices"
	"strings"
)

// inTheWay are the variables that would lead a client elsewhere, or have it insist on what a private
// listener does not offer: a password to ask for, another user behind the socket. For TLS see settleTLS.
var inTheWay = map[string][]string{
	"postgres": {
		"PGHOST", "PGHOSTADDR", "PGPORT", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGREQUIREAUTH",
		"PGCHANNELBINDING", "PGREQUIREPEER", "PGSSLNEGOTIATION", "PGSSLCERTMODE", "PGGSSENCMODE", "PGKRBSRVNAME", "PGGSSLIB",
	},
	"mysql": {"MYSQL_HOST", "MYSQL_TCP_PORT", "MYSQL_UNIX_PORT", "MYSQL_PWD"},
}

const databaseURL = "DATABASE_URL"

// environ is the environment of a command: that of dbvalet, with what leads to the routes. For each
// protocol, the first route counts.
func environ(parent []string, all []*access) []string {
	env := environment(slices.Clone(parent))
	env.remove(databaseURL)
	first := map[string]bool{}
	for _, a := range all {
		if scheme := a.route.Scheme; !first[scheme] {
			first[scheme] = true
			for _, name := range inTheWay[scheme] {
				env.remove(name)
			}
			env.add(a.variables())
			if scheme == "postgres" {
				env.settleTLS(a.socket != nil)
			}
		}
	}
	// What reads a URL may know no sockets, as with Java.
	taken := map[string]bool{}
	for i, a := range all {
		url := ""
		for _, pair := range a.target(a.tcp, a.socket).Environ() {
			if value, ok := strings.CutPrefix(pair, databaseURL+"="); ok {
				url = value
			}
		}
		if i == 0 {
			env.set(databaseURL, url)
		}
		if len(all) > 1 {
			env.set(urlVariable(a.route.Name, taken), url)
		}
	}
	return env
}

// variables are those that a database's own clients read, without DATABASE_URL. libpq is told of the
// socket. For MySQL there is a variable for each, and the host is what decides between them: that of the
// port, as many programs other than MySQL's own look at MYSQL_HOST, and would connect elsewhere.
func (a *access) variables() []string {
	pairs := a.target(a.socket, a.tcp).Environ()
	if a.route.Scheme == "mysql" {
		pairs = append(pairs, a.target(a.tcp, a.socket).Environ()...)
	}
	return slices.DeleteFunc(pairs, func(pair string) bool { return strings.HasPrefix(pair, databaseURL+"=") })
}

// settleTLS leaves what the user says about TLS, which is for the other servers that a command connects to:
// taken out, it would have libpq send a password in clear to one of them. On a socket no mode is needed. On a
// port lib/pq insists on TLS unless it is told otherwise.
func (e *environment) settleTLS(onSocket bool) {
	if e.get("PGSSLROOTCERT") == "system" { // with which libpq and others refuse a URL that says sslmode=disable
		e.remove("PGSSLROOTCERT")
		e.set("PGSSLMODE", "verify-full") // what it stands for
	}
	if onSocket { // where libpq, pgx and lib/pq don't look at it
		return
	}
	mode := e.get("PGSSLMODE")
	switch {
	case mode == "disable", mode == "allow", mode == "prefer":
	case mode == "" && e.get("PGREQUIRESSL") == "":
		e.set("PGSSLMODE", "disable")
	default: // it insists, also toward other servers
		e.remove("PGSSLMODE")
	}
	e.remove("PGREQUIRESSL")
}

// urlVariable names the variable with the URL of a route, DBVALET_NAME_URL, and notes it in taken. Two routes
// may come to the same name; then there is a number in that of the later one.
func urlVariable(route string, taken map[string]bool) string {
	name := "DBVALET_" + variableName(route)
	variable := name + "_URL"
	for n := 2; taken[variable]; n++ {
		variable = fmt.Sprintf("%s_%d_URL", name, n)
	}
	taken[variable] = true
	return variable
}

func variableName(route string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, route)
}

// An environment is a list of NAME=value.
type environment []string

// set sets a variable, and removes what else there is of its name.
func (e *environment) set(name, value string) {
	e.remove(name)
	*e = append(*e, name+"="+value)
}

func (e *environment) add(pairs []string) {
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		e.set(name, value)
	}
}

// get returns the value of a variable; empty: there is none.
func (e *environment) get(name string) string {
	for _, pair := range *e {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

func (e *environment) remove(name string) {
	*e = slices.DeleteFunc(*e, func(pair string) bool { return strings.HasPrefix(pair, name+"=") })
}
