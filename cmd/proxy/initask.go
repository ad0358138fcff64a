package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dbvalet/config"
	"dbvalet/tokens/awsdsql"
	"dbvalet/tokens/awsrds"
)

// connectionName is project:region:name, as Cloud SQL has it.
var connectionName = regexp.MustCompile(`^([a-z0-9.-]+:)?[a-z][a-z0-9-]*:[a-z]+-[a-z0-9-]+:[a-z][a-z0-9-]*$`)

// parsePlace reads where a database is: a route's URL, an instance of Cloud SQL, HOST or HOST:PORT.
func parsePlace(text string) (draft, error) {
	if strings.Contains(text, "://") {
		return parseURL(text)
	}
	if connectionName.MatchString(text) {
		d := draft{}
		d.add("instance", text)
		return d, nil
	}
	d := draft{Host: text}
	if host, port, err := net.SplitHostPort(text); err == nil {
		d.Host, d.Port = host, port
	}
	try := d
	try.Scheme = "postgres"
	if r, err := config.ParseRoute(try.upstream()); err != nil || d.Host == "" || r.Host != d.Host || r.User+r.Database != "" {
		return draft{}, &config.Error{Err: errors.New("that is no place of a database"), Advice: "write HOST, HOST:PORT or a URL like postgres://app@db.example.com:5432/orders"}
	}
	switch {
	case d.Port == "5432", strings.Contains(d.Host, "postgres"), awsdsql.IsEndpoint(d.Host):
		d.Scheme = "postgres"
	case d.Port == "3306", strings.Contains(d.Host, "mysql"), strings.Contains(d.Host, "mariadb"):
		d.Scheme = "mysql"
	}
	return d, nil
}

// parseURL takes a route's URL apart. What it says is not asked for.
func parseURL(text string) (draft, error) {
	r, err := config.ParseRoute(text)
	if err != nil {
		return draft{}, err
	}
	d := draft{Scheme: r.Scheme, User: r.User, Host: r.Host, Database: r.Database}
	if !r.PortLeftOut {
		d.Port = r.Port
	}
	base, query, _ := strings.Cut(text, "?")
	if len(r.Hosts) > 1 { // as they are written
		_, hosts, _ := strings.Cut(base, "://")
		hosts, _, _ = strings.Cut(hosts, "/")
		d.Host, d.Port = hosts[strings.LastIndexByte(hosts, '@')+1:], ""
	}
	for pair := range strings.SplitSeq(query, "&") {
		key, encoded, _ := strings.Cut(pair, "=")
		value, err := url.PathUnescape(encoded)
		if err != nil {
			return draft{}, err
		}
		switch key {
		case "name":
			d.Name = value
		case "listen":
			if d.Listen != "" {
				return draft{}, errors.New("there is more than one listen=: leave them out, and add them to the file afterwards")
			}
			d.Listen = value
		default:
			d.add(key, value)
		}
	}
	likely, written := d.likelyAuth()
	d.settled = likely != "" && !written
	return d, nil
}

// option returns the value of an option; empty: it has none.
func (d *draft) option(key string) string {
	i := slices.IndexFunc(d.Options, func(o option) bool { return o.key == key })
	if i < 0 {
		return ""
	}
	return d.Options[i].value
}

func (o *initOptions) askEngine(p *prompter, d *draft, _ []*config.Route) (err error) {
	if d.Scheme != "" && !o.flags.Changed("engine") {
		return nil
	}
	d.Scheme, err = o.answer(p, question{text: "PostgreSQL or MySQL", flag: "engine", initial: "postgres", accept: func(answer string) (string, error) {
		switch strings.ToLower(answer) {
		case "postgres", "postgresql", "pg":
			return "postgres", nil
		case "mysql", "mariadb":
			return "mysql", nil
		}
		return "", errors.New("write postgres or mysql")
	}}, o.engine)
	return err
}

// likelyAuth is the source of the credential that the place of a database suggests. written says that it
// has to be in the file.
func (d *draft) likelyAuth() (auth string, written bool) {
	switch {
	case awsrds.IsEndpoint(d.Host):
		return awsIAM, false
	case awsdsql.IsEndpoint(d.Host):
		return awsDSQL, false
	case d.option("instance") != "":
		return gcpConnector, false
	case strings.HasSuffix(d.Host, ".database.azure.com"), strings.HasSuffix(d.Host, ".database.usgovcloudapi.net"), strings.HasSuffix(d.Host, ".database.chinacloudapi.cn"):
		return azureEntra, true
	}
	return "", true
}

func (o *initOptions) askAuth(p *prompter, d *draft, _ []*config.Route) error {
	if d.option("auth") != "" || d.settled {
		return nil
	}
	likely, written := d.likelyAuth()
	if p.in != nil && !o.flags.Changed("auth") {
		fmt.Fprint(p.out, `Where does the credential come from? aws-iam, gcp-iam or azure-entra for tokens; env:NAME, file:PATH or
exec:COMMAND for a password; or the URL of a secret, such as awssecretsmanager://NAME. Never the password itself.
`)
	}
	answer, err := o.answer(p, question{text: "Credential", flag: "auth", initial: likely, accept: func(answer string) (string, error) {
		try := *d
		try.Options = append(slices.Clone(d.Options), option{"auth", answer})
		r, err := config.ParseRoute(try.url())
		if err == nil {
			err = checkRoute(*r, newOverall(0, 0, 0))
		}
		return answer, err
	}}, o.auth)
	if err == nil && (written || answer != likely) {
		d.add("auth", answer)
	}
	return err
}

func (o *initOptions) askUser(p *prompter, d *draft, _ []*config.Route) (err error) {
	auth := cmp.Or(d.option("auth"), awsIAM)
	if d.option("instance") != "" {
		auth = gcpConnector
	}
	if d.User != "" && !o.flags.Changed("user") {
		return nil
	}
	q := question{text: "Database user", flag: "user", initial: cmp.Or(d.User, placeholder)}
	switch {
	case slices.Contains([]string{gcpIAM, gcpConnector, azureEntra}, auth):
		q.initial, q.shown = d.User, "whoever the token is for"
	case strings.Contains(auth, "://"):
		q.initial, q.shown = d.User, "whom the secret names"
	}
	d.User, err = o.answer(p, q, o.user)
	return err
}

func (o *initOptions) askDatabase(p *prompter, d *draft, _ []*config.Route) (err error) {
	if d.Database != "" && !o.flags.Changed("database") {
		return nil
	}
	d.Database, err = o.answer(p, question{text: "Database name", flag: "database", shown: "as the client says"}, o.database)
	return err
}

func (o *initOptions) askListen(p *prompter, d *draft, routes []*config.Route) (err error) {
	if d.Listen != "" && !o.flags.Changed("port") {
		return nil
	}
	used, taken := map[int]bool{}, map[string]string{}
	for _, r := range routes {
		for _, addr := range r.Listen {
			taken[addr] = r.Name
			if _, port, err := net.SplitHostPort(addr); err == nil {
				n, _ := strconv.Atoi(port)
				used[n] = true
			}
		}
	}
	port := unusedPort(d.Scheme, used)
	for !isFree(port) {
		used[port] = true
		port = unusedPort(d.Scheme, used)
	}
	d.Listen, err = o.answer(p, question{text: "Port for clients", flag: "port", initial: strconv.Itoa(port), accept: func(answer string) (string, error) {
		addr := answer
		if _, err := strconv.Atoi(answer); err == nil {
			if n, err := strconv.ParseUint(answer, 10, 16); err != nil || n == 0 {
				return "", errors.New("ports are 1 to 65535")
			}
			addr = net.JoinHostPort("127.0.0.1", answer)
		}
		if name := taken[addr]; name != "" {
			return "", fmt.Errorf("the route %s listens there", name)
		}
		return addr, nil
	}}, o.port)
	return err
}

// isFree reports whether nobody listens on a port now.
func isFree(port int) bool {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return port > 65535 // which is somebody else's to say
	}
	ln.Close()
	return true
}

func (o *initOptions) askName(p *prompter, d *draft, routes []*config.Route) (err error) {
	used := map[string]bool{}
	for _, r := range routes {
		used[r.Name] = true
	}
	commands := map[string]bool{}
	for _, c := range o.commands {
		commands[c.Name()], used[c.Name()] = true, true
	}
	if d.Name == "" {
		if r, err := config.ParseRoute(d.url()); err == nil {
			d.Name = r.Name
		}
	}
	d.Name, err = o.answer(p, question{text: "Name of the route", flag: "name", initial: unusedName(d.Name, used), accept: func(answer string) (string, error) {
		switch {
		case commands[answer]:
			return "", fmt.Errorf("dbvalet %s is a command", answer)
		case used[answer]:
			return "", errors.New("there is a route of this name")
		case !routeName.MatchString(answer):
			return "", errors.New("letters, digits and characters of _.- make names that need no quotes, if no dash comes first")
		}
		return answer, nil
	}}, o.name)
	return err
}

// routeName is what is taken for the name of a route in the arguments of a command.
var routeName = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.-]*$`)
