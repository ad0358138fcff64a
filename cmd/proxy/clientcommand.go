package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dbvalet/config"
)

// A clientProgram is the program that comes with a database, and the command that runs it.
type clientProgram struct {
	name     string // of the command
	scheme   string
	database string   // what people call it
	programs []string // the first that is there is run
	packages string   // what has it
	argument string   // an example
	// more are the arguments that it needs beside its environment.
	more func(a *access, program string, args []string) []string
}

var psqlClient = clientProgram{
	name: "psql", scheme: "postgres", database: "PostgreSQL", programs: []string{"psql"}, argument: "-c 'SELECT 1'",
	packages: `install it: "apt install postgresql-client", "dnf install postgresql" or "brew install libpq"`,
	// The environment says it all, and lets the arguments name another user or database.
	more: func(_ *access, _ string, args []string) []string { return args },
}

var mysqlClient = clientProgram{
	name: "mysql", scheme: "mysql", database: "MySQL", programs: []string{"mysql", "mariadb"}, argument: "-e 'SELECT 1'",
	packages: `install one of them: "apt install default-mysql-client", "dnf install mysql" or "brew install mysql-client"`,
	more:     mysqlArguments,
}

// newClientCommand makes "dbvalet psql" and "dbvalet mysql".
func newClientCommand(p process, client clientProgram) *cobra.Command {
	e := &execution{process: p}
	example := fmt.Sprintf("dbvalet %s orders -- %s", client.name, client.argument)
	cmd := &cobra.Command{
		Use:   client.name + " [flags] [ROUTE] [-- ARGUMENT...]",
		Short: "Run " + client.name + " on a route",
		Long: fmt.Sprintf(`%[1]s runs %[2]s with a route that is served for as long as that runs. The
arguments behind -- are its own. It is short for "dbvalet exec ROUTE -- %[3]s".
Without a ROUTE, it is the one %[4]s route that the configuration has.`, client.name, strings.Join(client.programs, " or "), client.programs[0], client.database),
		Example: fmt.Sprintf("  dbvalet %s orders\n  %s", client.name, example),
		Args:    cobra.ArbitraryArgs,

		Annotations:       map[string]string{startsProgram: "yes"},
		ValidArgsFunction: completeBeforeDash(completeRoute),
		RunE: func(cmd *cobra.Command, args []string) error {
			var rest []string
			if dash := cmd.ArgsLenAtDash(); dash >= 0 {
				args, rest = args[:dash], args[dash:]
			}
			if len(args) > 1 {
				return usageError{&config.Error{Err: errors.New("more than one route"), Advice: fmt.Sprintf("what is for %s stands behind --, as in %q", client.name, example)}}
			}
			c, err := loadRoutes(cmd, args)
			if err != nil {
				return err
			}
			if c.Routes, err = client.choose(c.Routes, len(args) > 0); err != nil {
				return usageError{err}
			}
			program, err := client.find()
			if err != nil {
				return err
			}
			e.command = func(all []*access) []string { return append([]string{program}, client.more(all[0], program, rest)...) }
			return e.run(cmd, c)
		},
	}
	e.flags(cmd)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return usageError{&config.Error{Err: err, Advice: fmt.Sprintf("what is for %s stands behind --, as in %q", client.name, example)}}
	})
	return cmd
}

// choose returns the one route for the client. Routes that nobody has named may be of other databases.
func (p clientProgram) choose(routes []*config.Route, named bool) ([]*config.Route, error) {
	var ours []*config.Route
	var names []string
	for _, r := range routes {
		if r.Scheme == p.scheme {
			ours, names = append(ours, r), append(names, r.Name)
		}
	}
	switch {
	case len(ours) == 1:
		return ours, nil
	case len(ours) > 1:
		return nil, &config.Error{Err: errors.New("it is not said which route is meant"), Advice: "name one of " + strings.Join(names, ", ")}
	}
	for _, other := range []clientProgram{psqlClient, mysqlClient} {
		if named && other.scheme == routes[0].Scheme {
			return nil, &config.Error{
				Route: routes[0].Name, Err: fmt.Errorf("%s does not speak with %s", p.name, other.database),
				Advice: fmt.Sprintf(`write "dbvalet %s" for it`, other.name),
			}
		}
	}
	return nil, &config.Error{Err: fmt.Errorf("there is no %s route", p.database), Advice: fmt.Sprintf("write one that begins with %s://, or name a file that has one by --config", p.scheme)}
}

// find returns the program that is there.
func (p clientProgram) find() (string, error) {
	for _, name := range p.programs {
		if _, err := exec.LookPath(name); err == nil {
			return name, nil
		}
	}
	return "", &commandError{
		err:    fmt.Errorf("there is no %s in PATH", strings.Join(p.programs, " and no ")),
		advice: p.packages, status: exitNotFound,
	}
}

// mysqlArguments puts where the route listens before args. It can't be left to the environment alone,
// which counts less for these programs than the user's own ~/.my.cnf, and has no word for the user.
//
// It is the port, if there is one: MariaDB's program from 11.4 on insists on TLS on a socket, and also where
// it has a password, such as one of that file. Debian calls it mysql, too.
func mysqlArguments(a *access, program string, args []string) []string {
	t := a.target(a.tcp, a.socket)
	command, err := t.Command()
	if err != nil {
		return args
	}
	more := []string{"--protocol=TCP"}
	if a.tcp == nil {
		more = []string{"--protocol=SOCKET", "--host=localhost"} // whatever host the file names
	}
	words := command[1:]
	if isMariaDB(program) {
		more = append(more, "--skip-password")
	} else { // which would warn that it does not know MariaDB's
		words = slices.DeleteFunc(words, func(word string) bool { return word == "--loose-skip-ssl" })
	}
	first := 0
	for first < len(args) && comesFirst(args[first]) {
		first++
	}
	return slices.Concat(args[:first], more, words, args[first:])
}

// isMariaDB reports whether a program is MariaDB's, by its name or that of what it is a link to.
func isMariaDB(program string) bool {
	path, err := exec.LookPath(program)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	return err == nil && strings.HasPrefix(filepath.Base(path), "mariadb")
}

// comesFirst reports whether an argument of MySQL's programs must stand before all others.
func comesFirst(arg string) bool {
	name, _, _ := strings.Cut(arg, "=")
	switch name {
	case "--no-defaults", "--print-defaults", "--defaults-file", "--defaults-extra-file", "--defaults-group-suffix", "--login-path", "--no-login-paths":
		return true
	}
	return false
}
