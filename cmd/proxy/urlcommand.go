package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dbvalet/config"
	"dbvalet/dsn"
	"dbvalet/proxy"
	"dbvalet/tokens"
)

// newURLCommand makes "dbvalet url".
func newURLCommand() *cobra.Command {
	tool, reveal := "", false
	cmd := &cobra.Command{
		Use:   "url [flags] [ROUTE]",
		Short: "Print the URL or command that connects to a route",
		Long: `url prints to stdout what a tool is told to connect to a route that dbvalet serves,
or will serve: nothing is started. With listen=auto it is the port that the route
has kept since it was started first.

  psql, mysql   the command of the database's own client
  url           a URL, as for DATABASE_URL
  go            for pgx and lib/pq, or go-sql-driver
  jdbc          for Java; jdbc-mariadb for MariaDB's own connector
  node          for pg, or mysql2
  python        a URL for psycopg, or a call of PyMySQL
  sqlalchemy    a URL with its driver, psycopg or PyMySQL
  atlas         for atlas --url
  env           variables as lines for a shell: eval "$(dbvalet url ROUTE --for env)"`,
		Example: `  dbvalet url orders
  dbvalet url orders --for jdbc
  atlas schema inspect --url "$(dbvalet url orders --for atlas)"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.MaximumNArgs(1)(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		},

		ValidArgsFunction: completeRoute,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := theRoute(cmd, args)
			if err != nil {
				return err
			}
			text, err := lineFor(r, tool, reveal, cmd.ErrOrStderr())
			if err != nil {
				return usageError{err}
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
			return err
		},
	}
	config.AddFlags(cmd.Flags(), "config")
	cmd.Flags().StringVar(&tool, "for", "url", "the `TOOL` that is told")
	cmd.Flags().BoolVar(&reveal, "reveal", false, "put the password of a route with local_password= into it")
	_ = cmd.RegisterFlagCompletionFunc("for", completeTools) // the flag is there
	return cmd
}

// theRoute is loadRoutes for commands that are about one route.
func theRoute(cmd *cobra.Command, args []string) (*config.Route, error) {
	c, err := loadRoutes(cmd, args)
	if err != nil {
		return nil, err
	}
	if len(c.Routes) == 1 {
		return c.Routes[0], nil
	}
	var names []string
	for _, r := range c.Routes {
		names = append(names, r.Name)
	}
	return nil, usageError{&config.Error{Err: errors.New("there are several routes, and none is named"), Advice: "name one of " + strings.Join(names, ", ")}}
}

// lineFor is what to copy for a tool, at the first of r's addresses at which it can connect. notes is for
// the people who copy.
func lineFor(r *config.Route, tool string, reveal bool, notes io.Writer) (string, error) {
	password, err := clientPassword(r, reveal, notes)
	if err != nil {
		return "", err
	}
	var first error
	for _, addr := range r.Listen {
		text, err := lineAt(r, addr, tool, password)
		if err == nil {
			return text, nil
		}
		first = cmp.Or(first, err)
	}
	return "", &config.Error{Route: r.Name, Err: first, Advice: proxy.Hint(first)}
}

// lineAt is lineFor at one value of listen=.
func lineAt(r *config.Route, listen, tool string, password tokens.Secret) (string, error) {
	addr, err := addressOf(r, listen)
	if err != nil {
		return "", err
	}
	t := dsn.Target{Scheme: r.Scheme, Addr: addr, User: r.User, Database: r.Database, Password: password, TLS: r.LocalClientCA != ""}
	return t.For(tool)
}

// addressOf is where clients find r, as far as that is known before it listens.
func addressOf(r *config.Route, listen string) (net.Addr, error) {
	if listen != autoListen {
		return proxy.ListenOptions{Addr: listen, SocketName: socketName(r)}.Address()
	}
	fail := func(err error, advice string) (net.Addr, error) {
		return nil, &proxy.ListenError{Addr: autoListen, Err: err, Advice: advice}
	}
	path, err := portsFile()
	if err != nil {
		return fail(err, "write an address into listen=")
	}
	ports, err := readPorts(path)
	if err != nil {
		return fail(err, "start the route, which begins the file anew")
	}
	i := slices.IndexFunc(ports, func(p keptPort) bool { return p.portOwner == autoKey(r) })
	if i < 0 {
		return fail(errors.New("the route has no port yet"), "start it once; it keeps the port that it gets")
	}
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: ports[i].Port}, nil
}

// clientPassword is the one that r asks its clients for, if it is to be revealed. Otherwise notes has where
// it is.
func clientPassword(r *config.Route, reveal bool, notes io.Writer) (none tokens.Secret, err error) {
	if r.LocalPassword == "" {
		return none, nil
	}
	copied, where := *r, shown("local_password", r.LocalPassword)
	if r.LocalPassword == "auto" { // which is made by whoever serves the route, not by who asks
		if where, err = passwordFile(r.Name); err != nil {
			return none, err
		}
		copied.LocalPassword = "file:" + where
	}
	if !reveal {
		fmt.Fprintf(notes, "route %s asks for a password, which is in %s; --reveal puts it in\n", r.Name, where)
		return none, nil
	}
	password, err := newLocalPassword(&copied)
	if err != nil {
		return none, err
	}
	return password.secret, nil
}

// completeTools is for shells: the tools that the named route has, or any.
func completeTools(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	schemes := []string{"postgres", "mysql"}
	if c, err := loadConfig(cmd, args); err == nil && len(c.Routes) == 1 {
		schemes = []string{c.Routes[0].Scheme}
	}
	var tools []string
	for _, scheme := range schemes {
		for _, tool := range dsn.Tools(scheme) {
			if !slices.Contains(tools, tool) {
				tools = append(tools, tool)
			}
		}
	}
	return tools, cobra.ShellCompDirectiveNoFileComp
}
