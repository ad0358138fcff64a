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

const longHelp = `dbvalet serves databases on this machine without a password. For each connection
of a client it logs in to the real database over TLS, with a fresh IAM token or a
password from where it is kept. A ROUTE is the URL of a database, or the name of a
route in the configuration; without any, all of these are served.`

const examples = `  dbvalet postgres://app@orders.abc123.us-east-1.rds.amazonaws.com/orders
  dbvalet 'mysql://app@shop.example.com/shop?auth=file:/run/secrets/pw&listen=127.0.0.1:3307'
  dbvalet psql orders
  dbvalet exec orders -- ./manage.py migrate
  dbvalet check orders`

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
		PersistentPreRun:  func(cmd *cobra.Command, _ []string) { p.harden(cmd) },
		RunE: func(cmd *cobra.Command, args []string) error {
			signals := make(chan os.Signal, 4)
			signal.Notify(signals, append([]os.Signal{os.Interrupt, syscall.SIGTERM}, moreSignals...)...)
			defer signal.Stop(signals)
			o := options{inherited: p.inherited, signals: signals}
			o.load = func() (*config.Config, error) { return loadConfig(cmd, args) }
			c, err := o.load()
			if err != nil {
				return meant(cmd, args, err)
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
	cmd.AddGroup(commandGroups()...)
	cmd.SetCompletionCommandGroupID(groupConfig)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
		}
		cmd.AddCommand(commands...)
	}
	add(groupLaptop,
		newExecCommand(p),
		newClientCommand(p, psqlClient),
		newClientCommand(p, mysqlClient),
		newDiagnoseCommand(),
		newURLCommand(),
		newTokenCommand(),
		newInitCommand(),
		newDiscoverCommand(),
	)
	add(groupConfig,
		newConfigCommand(),
	)
	add(groupRunning,
		newStatusCommand(adminAddr),
		newWaitCommand(adminAddr),
		newHealthCommand(adminAddr),
		newShutdownCommand(adminAddr),
	)
	cmd.AddCommand(append(newTopics(), newManCommand())...)
	cmd.SetUsageFunc(usage)
	cmd.SetFlagErrorFunc(flagError)
	completeFlags(cmd)
	return cmd
}

// adminAddr is where the configuration that the environment names has the admin endpoints, for commands
// that are not told.
func adminAddr() (string, error) {
	c, err := config.Load(config.Sources{Environ: os.Environ(), UserFile: userFilePath(), Trust: ownWords})
	if err != nil {
		return "", usageError{err}
	}
	return c.Admin, nil
}

var errNoRoute = &config.Error{Err: errors.New("no route is given"), Advice: `name a database, as in the examples of "dbvalet --help", or a file with routes by --config`}
