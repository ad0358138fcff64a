package main

const routesHelp = `A route is one database, where it is served, and how dbvalet logs in there:

  postgres://USER@HOST:PORT/DATABASE?OPTION=VALUE&OPTION=VALUE
  mysql://USER@HOST:PORT/DATABASE?OPTION=VALUE&OPTION=VALUE    (or mariadb://)

USER, HOST, PORT and DATABASE may be left to the secret that auth= names. For an
Amazon RDS or Aurora endpoint dbvalet mints IAM tokens with the AWS credentials
at hand. Every connection to a database is encrypted, and the database's
identity verified.

The options that most routes need (quote the URL: the shell knows & and ?):
  listen=127.0.0.1:5432   where clients connect; also localhost:PORT, [::1]:PORT, or
                          the absolute path of a directory for a unix socket.
                          Default: 127.0.0.1 and the database's port. auto takes a
                          free port, and keeps it from run to run
  auth=SOURCE             where the credential comes from:
    aws-iam aws-dsql gcp-iam gcp-connector azure-entra
                          tokens; those of AWS are inferred from the endpoint
    awssecretsmanager://NAME  awsparamstore://NAME
    gcpsecretmanager://projects/P/secrets/S  hashivault://PATH
                          a secret store
    env:NAME file:PATH exec:COMMAND
                          a variable, a file, what a command prints
  dial=HOST:PORT          the address to connect to, where it isn't the endpoint
                          that is signed and verified
  via=ssh://USER@BASTION  the way there; also socks5://HOST:PORT, http://HOST:PORT,
                          unix:/PATH, and several between commas
  tls=verify-full         or verify-ca, require, zero-config; with ca=FILE for
                          certificates to trust
  allow=self              which processes of this machine may connect: self (the own
                          user, and root), pod, any, users, uids, group:NAME
  name=NAME               in the log, and to choose the route by; default: the first
                          label of the host

There are many more: docs/configuration.md describes them all, and "dbvalet
config schema" prints them. In the YAML file that --config names, or else the
user's own, dbvalet/dbvalet.yaml where the system keeps configuration (on Linux
~/.config), each is a key of a route. Flags are keys there too, and variables such
as DBVALET_LOG_LEVEL; DBVALET_ROUTES has routes. "dbvalet config check" says what
is wrong.`

const exitStatusHelp = `  0    it has ended by itself, or was asked to by "dbvalet shutdown"
  1    something failed; the last line on standard error says what
  2    an argument or the configuration is wrong
  10   and up to 17: the step at which "dbvalet check" has found a fault; see its --help
  130  SIGINT has ended it (Ctrl-C)
  143  SIGTERM has ended it; 0 with --exit-zero-on-sigterm

"dbvalet exec", "psql" and "mysql" end as their command does: 127 if there is no
such command, 126 if it can't be run, and 128 and its number if a signal ends it.`
