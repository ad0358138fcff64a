package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dbvalet/config"
	"dbvalet/diagnose"
)

// diagnoseTime is how long each step may take: as long as a dial for a client.
const diagnoseTime = 10 * time.Second

// A diagnosis is what "dbvalet check" is told.
type diagnosis struct {
	asJSON  bool
	timeout time.Duration
	user    string
}

// newDiagnoseCommand makes "dbvalet check".
func newDiagnoseCommand() *cobra.Command {
	d := &diagnosis{}
	cmd := &cobra.Command{
		Use:   "check [flags] [ROUTE...]",
		Short: "Find out why a route does not work, step by step",
		Long: `check goes the way to the database of each route as dbvalet does for a client, and
says how each step went: who we are, the credential, DNS, TCP, TLS, the login, a
query, and the clock. It needs no dbvalet that runs. At the first step that fails
it says what is usually wrong, and the command or the policy to copy.

The exit status is 0 if all is well, or that of the first step that failed, of
the first route where one did: 10 identity, 11 credential, 12 dns, 13 tcp,
14 tls, 15 login, 16 query, 17 clock; and 2 if the route itself is wrong.`,
		Example: "  dbvalet check orders\n" +
			"  dbvalet check postgres://app@orders.abc123.us-east-1.rds.amazonaws.com/orders\n" +
			"  dbvalet check --json | jq '.[] | select(.ok | not)'",
		Args: cobra.ArbitraryArgs,

		ValidArgsFunction: completeRoutes,
		RunE:              func(cmd *cobra.Command, args []string) error { return d.run(cmd, args) },
	}
	config.AddFlags(cmd.Flags(), "config")
	cmd.Flags().BoolVar(&d.asJSON, "json", false, "print JSON, as docs/check.md describes it")
	cmd.Flags().DurationVar(&d.timeout, "timeout", diagnoseTime, "how long each step may take")
	cmd.Flags().StringVar(&d.user, "user", "", "log in as database user `NAME`, for routes that leave the user to their clients")
	return cmd
}

func (d *diagnosis) run(cmd *cobra.Command, args []string) error {
	if d.timeout <= 0 {
		return usageError{fmt.Errorf("--timeout=%v is no time", d.timeout)}
	}
	c, err := loadRoutes(cmd, args)
	if err != nil {
		return err
	}
	for _, r := range c.Routes {
		if err := checkUser(r, d.user); err != nil {
			return err
		}
	}
	services, err := buildAll(c)
	if err != nil {
		return usageError{c.Place(err)}
	}
	out := cmd.OutOrStdout()
	text := textOn(out)
	reports := []*diagnose.Report{}
	for _, s := range services {
		for _, walk := range d.walks(s) {
			if d.asJSON {
				reports = append(reports, walk.Run(cmd.Context(), nil))
				continue
			}
			if len(reports) > 0 {
				fmt.Fprintln(out)
			}
			text.Begin(walk)
			report := walk.Run(cmd.Context(), text.Step)
			text.End(report)
			reports = append(reports, report)
		}
		s.server.Upstream.Close()
	}
	if d.asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(reports); err != nil {
			return err
		}
	}
	return outcome(reports)
}

// buildAll builds every route, so that a mistake in one is said before anything is done.
func buildAll(c *config.Config) (services []*service, err error) {
	all := newOverall(c.MaxConnections, c.MaxHandshakes, c.AcceptRate)
	for _, route := range c.Routes {
		s, err := buildUnserved(*route, all)
		if err != nil {
			for _, built := range services {
				built.server.Upstream.Close()
			}
			return nil, err
		}
		services = append(services, s)
	}
	return services, nil
}

// walks are the ways to the databases of a route: one for each host.
func (d *diagnosis) walks(s *service) []*diagnose.Walk {
	r, up := s.route, s.server.Upstream
	engine, ok := s.server.Engine.(diagnose.Engine)
	if !ok {
		return nil
	}
	hosts := r.Hosts
	if hosts == nil {
		hosts = []config.HostPort{{Host: r.Host, Port: r.Port}}
	}
	var walks []*diagnose.Walk
	for i, place := range up.Places() {
		walks = append(walks, &diagnose.Walk{
			Name: r.Name, Upstream: upstreamAt(r, hosts[i]), Scheme: r.Scheme, Host: hosts[i].Host, Source: sourceName(r.Auth),
			User: cmp.Or(r.User, d.user), Database: r.Database, NameGiven: r.TLSServerName != "",
			Engine: engine, Place: place, Resolver: up.Resolver, Via: viaText(r), Timeout: d.timeout,
		})
	}
	return walks
}

// upstreamAt is the route's URL without its options, with one of its hosts.
func upstreamAt(r *config.Route, at config.HostPort) string {
	if r.Hosts == nil {
		return r.Upstream
	}
	head, rest, _ := strings.Cut(r.Upstream, "://")
	user, _, found := strings.Cut(rest, "@")
	if user += "@"; !found {
		user = ""
	}
	database := ""
	if r.Database != "" {
		database = "/" + r.Database
	}
	one := config.Route{Host: at.Host, Port: at.Port}
	return head + "://" + user + one.Endpoint() + database
}

// textOn is how reports are written to out: with signs in place of words on a terminal that has them.
func textOn(out io.Writer) diagnose.Text {
	terminal := isTerminal(out)
	_, colour := inColour(out, terminal).(coloured)
	return diagnose.Text{Out: out, Symbols: terminal && isUTF8(os.Getenv), Colour: colour}
}

// isUTF8 reports whether the locale's characters are those of Unicode.
func isUTF8(getenv func(string) string) bool {
	locale := strings.ToLower(cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG")))
	return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
}

// outcome is the first failure.
func outcome(reports []*diagnose.Report) error {
	for _, r := range reports {
		if !r.OK {
			return found{r}
		}
	}
	return nil
}

// found is a fault that was looked for, and has been told.
type found struct{ report *diagnose.Report }

var _ ending = found{}

func (f found) Error() string   { return f.report.Route + " fails at " + f.report.Failed }
func (f found) exitStatus() int { return f.report.ExitStatus }
