package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dbvalet/config"
)

// newConfigCommand returns the commands that look at the configuration and start nothing.
func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check, show or explain the configuration",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCheckCommand(), newSchemaCommand(), newShowCommand())
	return cmd
}

// noArgs is cobra.NoArgs with the right exit status.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return meant(cmd, args, usageError{err})
	}
	return nil
}

// loadConfig reads what cmd is told. args are URLs of routes, or names of those that the configuration
// has.
func loadConfig(cmd *cobra.Command, args []string) (*config.Config, error) {
	c, err := config.Load(config.Sources{Args: args, Flags: cmd.Flags(), Environ: os.Environ(), UserFile: userFilePath(), Trust: ownWords})
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// loadRoutes is loadConfig for commands that need a route.
func loadRoutes(cmd *cobra.Command, args []string) (*config.Config, error) {
	c, err := loadConfig(cmd, args)
	if err == nil && len(c.Routes) == 0 {
		err = usageError{errNoRoute}
	}
	return c, err
}

func newCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [flags] [ROUTE...]",
		Short: "Say what is wrong with the configuration, without starting anything",
		Long: `check reads the file, the environment, the flags and the routes, and sets each
route up without listening or connecting. It exits with status 2 and says what
is wrong and where, or prints how many routes there are.`,
		Example: "  dbvalet config check --config /etc/dbvalet/dbvalet.yaml",
		Args:    cobra.ArbitraryArgs,

		ValidArgsFunction: completeRoutes,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := loadConfig(cmd, args)
			if err != nil {
				return err
			}
			if err := checkRoutes(c); err != nil {
				return usageError{c.Place(err)}
			}
			routes := "routes"
			if len(c.Routes) == 1 {
				routes = "route"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "ok: %d %s\n", len(c.Routes), routes)
			return err
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}

// checkRoutes builds each route, and closes it again.
func checkRoutes(c *config.Config) error {
	if len(c.Routes) == 0 {
		return errNoRoute
	}
	all := newOverall(c.MaxConnections, c.MaxHandshakes, c.AcceptRate)
	for _, route := range c.Routes {
		if err := checkRoute(*route, all); err != nil {
			return err
		}
	}
	return nil
}

// checkRoute builds a route, and closes it again.
func checkRoute(r config.Route, all *overall) error {
	for _, addr := range r.Listen {
		if _, _, err := net.SplitHostPort(addr); err != nil && !filepath.IsAbs(addr) && addr != autoListen {
			return &config.Error{
				Route: r.Name, Err: fmt.Errorf("listen=%s is neither an address nor a path", addr),
				Advice: "write an address like 127.0.0.1:5432, auto, the absolute path of a directory for a unix socket, or systemd:NAME",
			}
		}
	}
	s, err := buildUnserved(r, all)
	if err != nil {
		return err
	}
	s.server.Upstream.Close()
	return nil
}

// buildUnserved builds a copy of a route for whoever asks about it. A password that dbvalet makes itself is
// not made now: the file would belong to whoever asks. The caller closes the credentials.
func buildUnserved(r config.Route, all *overall) (*service, error) {
	if r.LocalPassword == "auto" {
		if _, err := remoteNetworks(&r); err != nil {
			return nil, err
		}
		r.LocalPassword, r.AllowRemote = "", nil
	}
	return build(&r, all, slog.New(slog.DiscardHandler))
}

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of the configuration file, for editors",
		Example: "  dbvalet config schema > dbvalet.schema.json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := config.JSONSchema()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}

func newShowCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "show [flags] [ROUTE...]",
		Short: "Print the configuration that is in force, and where each value comes from",
		Long: `show prints what the file, the environment, the flags and the routes come to, as
a file that says the same, with the origin of each value behind it. Arguments of
commands and options of secrets' URLs, which may be secret, are left out.`,
		Args: cobra.ArbitraryArgs,

		ValidArgsFunction: completeRoutes,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := loadConfig(cmd, args)
			if err != nil {
				return err
			}
			for _, r := range c.Routes {
				_ = inferAuth(r) // check is for mistakes
			}
			print := c.YAML
			if asJSON {
				print = c.JSON
			}
			text, err := print(shown)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	config.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// shown is the value of a key without what may be secret. Where one is of no form that is known, it may
// be a password that somebody wrote there.
func shown(key, value string) string {
	const hidden = "(hidden)"
	kind, _, _ := strings.Cut(value, ":")
	switch key {
	case "auth":
		tokens := []string{awsIAM, awsDSQL, gcpIAM, gcpConnector, azureEntra}
		sources := []string{"env", "file", "exec", "awssecretsmanager", "awsparamstore", "gcpsecretmanager", "hashivault", "constant"}
		if slices.Contains(tokens, value) || slices.Contains(sources, kind) && strings.Contains(value, ":") {
			return sourceName(value)
		}
		return hidden
	case "local_password":
		if value == "auto" || strings.Contains(value, ":") && (kind == "file" || kind == "env") {
			return value
		}
		return hidden
	case "traces", "sqladmin_endpoint":
		u, err := url.Parse(value)
		if err != nil {
			return hidden
		}
		if u.User != nil {
			u.User = url.User("hidden")
		}
		if u.RawQuery != "" {
			u.RawQuery = "hidden"
		}
		return u.String()
	}
	return value
}
