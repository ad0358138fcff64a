package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"dbvalet/config"
)

// version is set by the linker; see Makefile.
var version = "development"

const longHelp = `dbvalet serves databases on this machine without a password. Each ROUTE is one
database, where it listens for clients, and how it logs in there:

  postgres://USER@HOST:PORT/DATABASE?OPTION=VALUE&OPTION=VALUE
  mysql://USER@HOST:PORT/DATABASE?OPTION=VALUE&OPTION=VALUE    (or mariadb://)

USER, HOST, PORT and DATABASE may be left to the secret that auth= names. For an
Amazon RDS or Aurora endpoint dbvalet mints IAM tokens with the AWS credentials
at hand. Every connection to a database is encrypted, and the database's
identity verified.

The options that most routes need (quote the URL: the shell knows & and ?):
  listen=127.0.0.1:5432   where clients connect; also localhost:PORT, [::1]:PORT, or
                          the absolute path of a directory for a unix socket.
                          Default: 127.0.0.1 and the database's port
  auth=SOURCE             where the credential comes from:
    aws-iam aws-dsql gcp-iam gcp-connector azure-entra
                          tokens; those of AWS are inferred from the endpoint
    awssecretsmanager://NAME  awsparamstore://NAME
    gcpsecretmanager://projects/P/secrets/S  hashivault://PATH
                          a secret store
    env:NAME file:PATH exec:COMMAND
                          a variable, a file, what a command prints
  dial=HOST:PORT          the address to connect to, where it isn't the endpoint
                          that is signed and verified (tunnel, bastion)
  tls=verify-full         or verify-ca, require, zero-config; with ca=FILE for
                          certificates to trust
  allow=self              which processes of this machine may connect: self (the own
                          user, and root), pod, any, users, uids, group:NAME
  name=NAME               in the log; default: the first label of the host

There are many more: docs/configuration.md describes them all, and "dbvalet
config schema" prints them. In the YAML file that --config names, each is a key of
a route. Flags are keys there too, and variables such as DBVALET_LOG_LEVEL;
DBVALET_ROUTES has routes. "dbvalet config check" says what is wrong.

With --admin=ADDR there is HTTP for whoever looks after dbvalet, without a
password and only on this machine: /status, /readyz, /metrics, /reload,
/quitquitquit and more. "dbvalet wait", "health" and "shutdown" ask there.`

const examples = `  dbvalet postgres://app@orders.abc123.us-east-1.rds.amazonaws.com/orders
  dbvalet 'postgres://app@db.example.com/orders?listen=/run/db&auth=file:/run/secrets/pw'
  dbvalet 'postgres://?auth=awssecretsmanager://prod/orders?region=us-east-1%26wait=1m'
  dbvalet 'postgres://app@orders.abc123.us-east-1.rds.amazonaws.com/orders?dial=127.0.0.1:15432&listen=localhost:5432'
  dbvalet 'mysql://app@orders.abc123.us-east-1.rds.amazonaws.com:3306/orders?listen=127.0.0.1:3306'`

// The groups of commands in --help.
const (
	groupLaptop  = "laptop"
	groupConfig  = "config"
	groupRunning = "running"
)

// newCommand returns the command line.
func newCommand(p process) *cobra.Command {
	cmd := &cobra.Command{
		Use:           "dbvalet [flags] ROUTE...",
		Short:         "Connect to databases without a password",
		Long:          longHelp,
		Example:       examples,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,

		ValidArgsFunction: completeRoutes,
		RunE: func(cmd *cobra.Command, args []string) error {
			signals := make(chan os.Signal, 4)
			signal.Notify(signals, append([]os.Signal{os.Interrupt, syscall.SIGTERM}, moreSignals...)...)
			defer signal.Stop(signals)
			o := options{inherited: p.inherited, signals: signals}
			o.load = func() (*config.Config, error) { return loadConfig(cmd, args) }
			c, err := o.load()
			if err != nil {
				return err
			}
			d, err := newDisplay(cmd.ErrOrStderr(), c.LogLevel, c.LogFormat)
			if err != nil {
				return usageError{err}
			}
			defer d.close()
			if o.process, err = p.withLandlock(c.Landlock); err != nil {
				return usageError{err}
			}
			if len(c.Routes) == 0 {
				return usageError{errNoRoute}
			}
			return serve(cmd.Context(), c, o, d)
		},
	}
	config.AddFlags(cmd.Flags())
	cmd.AddGroup(
		&cobra.Group{ID: groupLaptop, Title: "Commands for people:"},
		&cobra.Group{ID: groupConfig, Title: "Commands about the configuration:"},
		&cobra.Group{ID: groupRunning, Title: "Commands that ask a running dbvalet:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
		}
		cmd.AddCommand(commands...)
	}
	add(groupConfig,
		newConfigCommand(),
	)
	add(groupRunning,
		newWaitCommand(adminAddr),
		newHealthCommand(adminAddr),
		newShutdownCommand(adminAddr),
	)
	cmd.AddCommand(newManCommand())
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	return cmd
}

// adminAddr is where the configuration that the environment names has the admin endpoints, for commands
// that are not told.
func adminAddr() (string, error) {
	file, err := userFile()
	if err != nil {
		return "", usageError{err}
	}
	c, err := config.Load(config.Sources{Environ: os.Environ(), UserFile: file})
	if err != nil {
		return "", usageError{err}
	}
	return c.Admin, nil
}

var errNoRoute = &config.Error{Err: errors.New("no route is given"), Advice: `name a database, as in the examples of "dbvalet --help", or a file with routes by --config`}
