package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dbvalet/config"
	"dbvalet/proxy"
	"dbvalet/tokens"
)

// tokenTime is how long a source may take, which may wait for a program that asks somebody.
const tokenTime = time.Minute

// tokenOptions are what "dbvalet token" is told.
type tokenOptions struct {
	user   string
	json   bool
	reveal bool
}

// newTokenCommand makes "dbvalet token".
func newTokenCommand() *cobra.Command {
	var o tokenOptions
	cmd := &cobra.Command{
		Use:   "token [flags] ROUTE",
		Short: "Print the token or password of a route",
		Long: `token gets the credential of a route from its source, and prints it: for tools
that want to log in by themselves. It goes to the database itself, over TLS, and
not to dbvalet. On stderr it says until when it is good. A route with several
hosts has a token for the first.

On a terminal nothing is printed without --reveal: it would stay there for all to
see.`,
		Example: `  PGPASSWORD=$(dbvalet token orders) psql 'host=db.example.com user=app dbname=orders sslmode=verify-full'
  dbvalet token --json orders | jq -r .expires`,
		Args: cobra.ArbitraryArgs,

		ValidArgsFunction: completeRoute,
		RunE: func(cmd *cobra.Command, args []string) error {
			if onTerminal(cmd.OutOrStdout()) && !o.reveal {
				return usageError{errWouldBeSeen}
			}
			r, err := oneRoute(cmd, args)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			return o.print(ctx, r, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	config.AddFlags(cmd.Flags(), "config")
	cmd.Flags().StringVar(&o.user, "user", "", "database user `NAME`, for a route that leaves the user to its clients")
	cmd.Flags().BoolVar(&o.json, "json", false, "print an object with user, password, expires, host and port")
	cmd.Flags().BoolVar(&o.reveal, "reveal", false, "print it on a terminal, too")
	return cmd
}

// errWouldBeSeen is for a terminal.
var errWouldBeSeen = &config.Error{
	Err:    errors.New("stdout is a terminal, where the credential would stay to be seen"),
	Advice: "let a program read it, as in PGPASSWORD=$(dbvalet token ROUTE), or add --reveal",
}

// oneRoute is loadRoutes for commands that are about one route. It need not be named where there is no
// other.
func oneRoute(cmd *cobra.Command, args []string) (*config.Route, error) {
	c, err := loadRoutes(cmd, args)
	if err != nil {
		return nil, err
	}
	if len(c.Routes) == 1 {
		return c.Routes[0], nil
	}
	names := make([]string, len(c.Routes))
	for i, r := range c.Routes {
		names[i] = r.Name
	}
	return nil, usageError{&config.Error{
		Err: fmt.Errorf("this is about one route, and there are %d", len(names)), Advice: "name one of " + strings.Join(names, ", "),
	}}
}

// print gets the credential of r and writes it to out.
func (o tokenOptions) print(ctx context.Context, r *config.Route, out, people io.Writer) error {
	if err := checkUser(r, o.user); err != nil {
		return err
	}
	r.User = cmp.Or(r.User, o.user)
	cred, err := fetchCredential(ctx, r)
	if err != nil {
		return err
	}
	fmt.Fprintln(people, goodUntil(cred, time.Now()))
	if o.json {
		return json.NewEncoder(out).Encode(describeToken(r, cred))
	}
	_, err = fmt.Fprintln(out, cred.Password.Reveal())
	return err
}

// checkUser returns an error where --user says user, and r another.
func checkUser(r *config.Route, user string) error {
	if r.User != "" && user != "" && r.User != user {
		return usageError{&config.Error{Route: r.Name, Err: fmt.Errorf("the route's user is %s, and --user says another", r.User), Advice: "leave --user out, or name a route that leaves the user to its clients"}}
	}
	return nil
}

// fetchCredential asks the source of r. Nothing is kept, and what is lent is not given back: whoever
// gets it goes on to use it.
func fetchCredential(ctx context.Context, r *config.Route) (tokens.Credential, error) {
	if err := inferAuth(r); err != nil {
		return tokens.Credential{}, usageError{err}
	}
	if r.User == "" && (r.Auth == awsIAM || r.Auth == awsDSQL) {
		return tokens.Credential{}, usageError{&config.Error{
			Route: r.Name, Err: errors.New("a token of AWS is for one database user, and the route names none"), Advice: "add --user NAME",
		}}
	}
	s, err := newSource(r, slog.New(slog.DiscardHandler))
	if err != nil {
		return tokens.Credential{}, usageError{err}
	}
	if s.tunnel != nil {
		_ = s.tunnel.Close()
		return tokens.Credential{}, usageError{&config.Error{
			Route: r.Name, Err: errors.New("with auth=gcp-connector the login is in the connection, and there is no token to print"),
			Advice: "let the tool connect to dbvalet, or write a route to the instance's address with auth=gcp-iam",
		}}
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTime)
	defer cancel()
	cred, err := s.Credential(ctx, r.User)
	if errors.Is(err, context.Canceled) {
		return tokens.Credential{}, signalled{os.Interrupt}
	}
	if err == nil && cred.Password.Empty() {
		err = &config.Error{Route: r.Name, Err: fmt.Errorf("%s gave no password", sourceName(r.Auth)), Advice: "look at what auth= names"}
	}
	cred.User = cmp.Or(cred.User, r.User)
	return cred, err
}

// goodUntil says how long a credential can be used.
func goodUntil(cred tokens.Credential, now time.Time) string {
	who := "for whoever it is"
	if cred.User != "" {
		who = "for " + proxy.Printable(cred.User)
	}
	if cred.Expires.IsZero() {
		return "a password " + who + ", which does not expire as far as its source says"
	}
	return fmt.Sprintf("%s, good for logins until %s, which is in %v", who, cred.Expires.Format(time.RFC3339), cred.Expires.Sub(now).Round(time.Second))
}

// A printedToken is what --json prints.
type printedToken struct {
	User     string     `json:"user,omitempty"`
	Password string     `json:"password"`
	Expires  *time.Time `json:"expires,omitempty"` // left out: it does not by itself
	Host     string     `json:"host,omitempty"`
	Port     string     `json:"port,omitempty"`
}

func describeToken(r *config.Route, cred tokens.Credential) printedToken {
	p := printedToken{User: cred.User, Password: cred.Password.Reveal(), Host: cmp.Or(r.Host, cred.Host), Port: r.Port}
	if r.PortLeftOut {
		p.Port = cmp.Or(cred.Port, r.Port)
	}
	if !cred.Expires.IsZero() {
		expires := cred.Expires.UTC()
		p.Expires = &expires
	}
	return p
}
