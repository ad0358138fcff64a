package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
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

Options of a route (quote the URL: the shell knows & and ?):
  listen=127.0.0.1:5432   where clients connect; also [::1]:PORT, localhost:PORT
                          (both), or the absolute path of a directory for a unix
                          socket; may be repeated. Default: 127.0.0.1 and the
                          database's port
  auth=SOURCE             where the credential comes from:
    aws-iam aws-dsql      tokens of RDS and Aurora, and of Aurora DSQL; inferred
                          from their endpoints
    gcp-iam               tokens of Cloud SQL and AlloyDB
    gcp-connector         Cloud SQL by way of its connector, with instance=
    azure-entra           tokens of Azure Database
    awssecretsmanager://NAME  awsparamstore://NAME
    gcpsecretmanager://projects/P/secrets/S  hashivault://PATH
                          a secret store; options behind a ?, and %26 for &:
                          path=KEY.KEY into JSON, wait=5m, and the store's own
    env:NAME file:PATH exec:COMMAND
                          a variable, a file, what a command prints
  token_reuse=never       a token for each connection
  rotation_timeout=10     seconds for which clients wait for a rotation
  region= profile= role= external_id= session_name=      of AWS
  instance= ip_type= service= impersonate_service_account= sqladmin_endpoint=
                                                         of Google Cloud
  cloud= tenant= client_id=                              of Azure
  dial=HOST:PORT          the address to connect to, where it isn't the endpoint
                          that is signed and verified (tunnel, bastion)
  tls=verify-full         or verify-ca, or require (verifies nothing without ca=),
                          or zero-config (MariaDB 11.4 and later); sslmode= is
                          the same
  ca=FILE                 certificates to trust; sslrootcert= is the same
  tls_server_name=NAME    the name in the database's certificate
  sslnegotiation=direct   TLS from the first byte (PostgreSQL 17 and later)
  require_auth=METHODS    how the database may ask for the credential, as in libpq;
                          for MySQL, password or names of plugins
  allow=self              which processes of this machine may connect: self (the own
                          user, and root), pod (the same network namespace), any,
                          or users, uids, group:NAME and self between commas
  allow_remote=NETWORKS   other machines that may, such as 172.17.0.0/16; only with
                          a local_password= or local_client_ca=
  socket_mode=0600 socket_owner= socket_group=           of unix sockets
  local_password=auto     clients need the password that is kept in a file of its
                          own; or file:PATH, or env:NAME
  local_tls=auto          TLS for clients that insist on it, with a certificate made
                          at the start; or FILE, with local_tls_key=FILE
  local_client_ca=FILE    clients need TLS and a certificate of this CA
  users=LIST databases=LIST
                          what clients may name, where the route leaves it to them
  max_connections=N       at most so many at once
  max_handshakes=64       that are being set up at once
  accept_rate=N           at most so many in a second
  queue_timeout=10        seconds for which clients wait for a place
  connect_timeout=30      seconds, for the whole set-up of a connection
  name=NAME               in the log; default: the first label of the host

With --admin=ADDR there is HTTP for whoever looks after dbvalet, without a
password and only on this machine: GET /status, and POST /quitquitquit, which
ends it. A directory gets the socket dbvalet-admin.sock.`

const examples = `  dbvalet postgres://app@orders.abc123.us-east-1.rds.amazonaws.com/orders
  dbvalet 'postgres://app@db.example.com/orders?listen=/run/db&auth=file:/run/secrets/pw'
  dbvalet 'postgres://?auth=awssecretsmanager://prod/orders?region=us-east-1%26wait=1m'
  dbvalet 'postgres://app@orders.abc123.us-east-1.rds.amazonaws.com/orders?dial=127.0.0.1:15432&listen=localhost:5432'
  dbvalet 'mysql://app@orders.abc123.us-east-1.rds.amazonaws.com:3306/orders?listen=127.0.0.1:3306'`

// newCommand returns the command line.
func newCommand(p process) *cobra.Command {
	var logLevel, logFormat, landlock string
	var o options
	cmd := &cobra.Command{
		Use:           "dbvalet [flags] ROUTE...",
		Short:         "Connect to databases without a password",
		Long:          longHelp,
		Example:       examples,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := newDisplay(cmd.ErrOrStderr(), logLevel, logFormat)
			if err != nil {
				return usageError{err}
			}
			if o.process, err = p.withLandlock(landlock); err != nil {
				return usageError{err}
			}
			if len(args) == 0 {
				return usageError{errNoRoute}
			}
			return serve(cmd.Context(), args, o, d)
		},
	}
	cmd.Flags().StringVar(&o.admin, "admin", "", "`ADDR` of the admin endpoints /status and /quitquitquit, as in listen= (default: none)")
	cmd.Flags().StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	cmd.Flags().StringVar(&logFormat, "log-format", "auto", "text, json, or auto: text on a terminal")
	cmd.Flags().IntVar(&o.maxConnections, "max-connections", 0, "of all routes together; 0: no limit")
	cmd.Flags().IntVar(&o.maxHandshakes, "max-handshakes", 0, "that are being set up, of all routes together; 0: no limit")
	cmd.Flags().IntVar(&o.acceptRate, "accept-rate", 0, "connections in a second, of all routes together; 0: no limit")
	cmd.Flags().StringVar(&landlock, "landlock", "auto", "off, or auto: once it listens, the process may read, write and connect to only what\nits routes and the environment name, as far as the kernel has Landlock (Linux 5.13)")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.CompletionOptions.HiddenDefaultCmd = true
	return cmd
}

var errNoRoute = errors.New(`no route is given; "dbvalet --help" has examples`)

// newDisplay returns the display that writes to out.
func newDisplay(out io.Writer, level, format string) (display, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return display{}, fmt.Errorf("--log-level=%s: there are debug, info, warn and error", level)
	}
	options := &slog.HandlerOptions{Level: l}
	switch {
	case format == "json", format == "auto" && !isTerminal(out):
		return display{log: slog.New(slog.NewJSONHandler(out, options))}, nil
	case format == "text", format == "auto":
		return display{log: slog.New(slog.NewTextHandler(out, options)), people: out}, nil
	}
	return display{}, fmt.Errorf("--log-format=%s: there are auto, text and json", format)
}

// isTerminal reports whether out is a terminal, or a device that is as patient as one.
func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
