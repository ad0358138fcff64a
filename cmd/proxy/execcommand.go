package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"dbvalet/config"
)

const execExamples = `  dbvalet exec orders -- ./manage.py migrate
  dbvalet exec orders -- atlas schema inspect --env rds
  dbvalet exec orders billing -- sh -c 'pg_dump "$DBVALET_ORDERS_URL" | psql "$DBVALET_BILLING_URL"'
  dbvalet exec 'postgres://app@orders.abc123.us-east-1.rds.amazonaws.com/orders' -- psql -c 'SELECT 1'`

// newExecCommand makes "dbvalet exec".
func newExecCommand(p process) *cobra.Command {
	e := &execution{process: p}
	cmd := &cobra.Command{
		Use:   "exec [flags] [ROUTE...] -- COMMAND [ARGUMENT...]",
		Short: "Run a command that finds the databases in its environment",
		Long: `exec serves routes for as long as COMMAND runs, to nobody but the own user, and tells
it by its environment where. It has the terminal and gets the signals, and the exit
status is its own; 127 if there is no such command, and 126 if it can't be run.
Nothing is left behind. Without a ROUTE, all that the configuration has are served.

Each route listens on a unix socket in a private directory, and on a free port of
127.0.0.1. What is configured for others does not count: listen=, allow=, the local_
options, --admin and --metrics.

  PGHOST PGPORT PGUSER PGDATABASE             the socket of the first PostgreSQL route
  MYSQL_HOST MYSQL_TCP_PORT MYSQL_UNIX_PORT   port and socket of the first MySQL route
  DATABASE_URL                                the port of the first route, as a URL
  DBVALET_NAME_URL                            the same for each, if there are several;
                                              NAME is the route's, in capitals, with _
                                              for all but letters and digits

Variables that would get in the way, such as PGPASSWORD, PGSERVICE and MYSQL_PWD,
are taken out. Your PGSSLMODE stays, for other servers: on a socket most clients
don't look at it. node-postgres does: give it DATABASE_URL. With --tcp there are
ports only, for commands that don't know sockets; PGSSLMODE is disable there, or,
where you have one that insists on TLS, none. With --unix there are sockets only.
MariaDB's programs from 11.4 on insist on TLS on a socket: give them --protocol=TCP,
or --skip-ssl.`,
		Example: execExamples,
		Args:    cobra.ArbitraryArgs,

		Annotations:       map[string]string{startsProgram: "yes"},
		ValidArgsFunction: completeBeforeDash(completeRoutes),
		RunE: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			if dash < 0 || dash == len(args) {
				return usageError{errNoCommand}
			}
			c, err := loadRoutes(cmd, args[:dash])
			if err != nil {
				return err
			}
			e.command = func([]*access) []string { return args[dash:] }
			return e.run(cmd, c)
		},
	}
	e.flags(cmd)
	return cmd
}

var errNoCommand = &config.Error{
	Err:    errors.New("there is no -- with a command behind it"),
	Advice: `write what is to be run behind the routes and --, as in "dbvalet exec orders -- psql"`,
}

// flags adds those that commands have which run another one.
func (e *execution) flags(cmd *cobra.Command) {
	config.AddFlags(cmd.Flags(), "config", "log_level", "log_format", "audit", "traces", "landlock")
	cmd.Flags().Lookup("log-level").DefValue = quietLevel
	cmd.Flags().BoolVar(&e.tcpOnly, "tcp", false, "listen on ports only")
	cmd.Flags().BoolVar(&e.unixOnly, "unix", false, "listen on unix sockets only")
}

// quietLevel is that of the log, where nobody asked for another: the screen is the command's.
const quietLevel = "warn"

// quiet changes the settings that make sense only for a dbvalet that stands alone. What the file says
// about the level of the log is for that one.
func quiet(cmd *cobra.Command, c *config.Config) error {
	if !cmd.Flags().Changed("log-level") && os.Getenv("DBVALET_LOG_LEVEL") == "" {
		c.LogLevel = quietLevel
	}
	if c.Audit == "stdout" {
		return usageError{&config.Error{
			Err:    errors.New("audit=stdout would write into what the command prints"),
			Advice: "name a file, as in --audit=/var/log/dbvalet/audit.json, or --audit= to have none",
		}}
	}
	c.Files, c.Dirs = nil, nil // which nobody reads again
	return nil
}

// completeBeforeDash is complete for what stands before the --. Behind it are files.
func completeBeforeDash(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if cmd.ArgsLenAtDash() >= 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return complete(cmd, args, word)
	}
}
