package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// A finding is a database that a cloud has.
type finding struct {
	Name     string `json:"name"`
	Role     string `json:"role,omitempty"` // of the endpoint, where there are two: writer or reader
	Engine   string `json:"engine"`         // with its version, for people
	Where    string `json:"where"`          // the region
	Endpoint string `json:"endpoint"`       // empty: there is none yet
	IAM      string `json:"iam_login"`      // on, off or unknown
	Public   bool   `json:"public"`         // it has an address of the internet, open or not
	Status   string `json:"status"`
	Enable   string `json:"enable,omitempty"` // the command that turns the IAM login on
	Note     string `json:"note,omitempty"`
	Route    string `json:"route,omitempty"` // empty: none would work

	draft *draft // of Route
}

// The values of finding.IAM.
const (
	iamOn      = "on"
	iamOff     = "off"
	iamUnknown = "unknown"
)

// isOn says on or off.
func isOn(on bool) string {
	if on {
		return iamOn
	}
	return iamOff
}

// propose makes d the route of f.
func (f *finding) propose(d draft) {
	f.draft, f.Route = &d, d.url()
}

// title is the name, with the role where there are two of that name.
func (f *finding) title() string {
	if f.Role == "" {
		return f.Name
	}
	return f.Name + " (" + f.Role + ")"
}

// A finder finds the databases of a cloud. What it has found counts even where there is an error, too.
type finder func(ctx context.Context) ([]finding, error)

// discoverOutput is how findings are printed.
type discoverOutput struct{ json, routes, yaml bool }

// newDiscoverCommand makes "dbvalet discover".
func newDiscoverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "discover",
		Short: "List the databases of a cloud that you can see, with routes for them",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDiscoverAWSCommand(), newDiscoverGCPCommand(), newDiscoverAzureCommand())
	return cmd
}

// newFindCommand completes cmd, which lists what find finds.
func newFindCommand(cmd *cobra.Command, find finder) *cobra.Command {
	var o discoverOutput
	cmd.Args = noArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
		defer stop()
		found, err := find(ctx)
		if ctx.Err() != nil {
			return signalled{os.Interrupt}
		}
		if err == nil || found != nil {
			if printErr := o.print(found, cmd.OutOrStdout(), cmd.ErrOrStderr()); printErr != nil {
				return printErr
			}
		}
		return err
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&o.routes, "routes", false, "print the routes only, one in each line")
	cmd.Flags().BoolVar(&o.yaml, "yaml", false, "print the routes only, as a configuration file")
	cmd.MarkFlagsMutuallyExclusive("json", "routes", "yaml")
	return cmd
}

// print prints what was found: to out what was asked for, to people what they should know beside it.
func (o discoverOutput) print(found []finding, out, people io.Writer) error {
	if o.json {
		if found == nil {
			found = []finding{}
		}
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(found)
	}
	if len(found) == 0 {
		fmt.Fprintln(people, "no database that speaks PostgreSQL or MySQL was found: look elsewhere (--help), or as somebody else")
	}
	if slices.ContainsFunc(found, func(f finding) bool { return f.draft != nil && f.draft.User == placeholder }) {
		fmt.Fprintln(people, placeholder+" stands for the database user: name yours with --user")
	}
	switch {
	case o.yaml:
		tellRest(found, people)
		return printFile(found, out)
	case o.routes:
		tellRest(found, people)
		for _, f := range found {
			if f.Route != "" {
				fmt.Fprintln(out, f.Route)
			}
		}
		return nil
	case len(found) == 0:
		return nil
	}
	return printFindings(found, out)
}

// tellRest says how many databases have no route.
func tellRest(found []finding, people io.Writer) {
	n := 0
	for _, f := range found {
		if f.Route == "" {
			n++
		}
	}
	if n > 0 {
		fmt.Fprintf(people, "%d without a route: leave --routes or --yaml out to see why\n", n)
	}
}

// printFile prints a configuration file, in which no two routes have the same name or port.
func printFile(found []finding, out io.Writer) error {
	var drafts []draft
	names, ports := map[string]bool{}, map[int]bool{}
	for _, f := range found {
		if f.draft == nil {
			continue
		}
		d := *f.draft
		d.Name = unusedName(d.Name, names)
		port := unusedPort(d.Scheme, ports)
		names[d.Name], ports[port] = true, true
		d.Listen = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		drafts = append(drafts, d)
	}
	if drafts == nil {
		return nil // a file without routes is an error
	}
	fmt.Fprintln(out, "routes:")
	for _, d := range drafts {
		text, err := d.yaml(2)
		if err != nil {
			return err
		}
		fmt.Fprint(out, text)
	}
	return nil
}

func unusedName(name string, used map[string]bool) string {
	for i, first := 2, name; used[name]; i++ {
		name = first + "-" + strconv.Itoa(i)
	}
	return name
}

// unusedPort is the protocol's own port, or the next that is not used.
func unusedPort(scheme string, used map[int]bool) int {
	port := 5432
	if scheme == "mysql" {
		port = 3306
	}
	for used[port] {
		port++
	}
	return port
}

// printFindings prints a table, what is to be known about its rows, and the routes.
func printFindings(found []finding, out io.Writer) error {
	several := slices.ContainsFunc(found, func(f finding) bool { return f.Where != found[0].Where })
	header := []string{"NAME", "ENGINE", "ENDPOINT", "IAM LOGIN", "PUBLIC", "STATUS"}
	if several {
		header = append(header, "WHERE")
	}
	rows, notes := [][]string{header}, []string{}
	for _, f := range found {
		iam := f.IAM
		if note := f.footnote(); note != "" {
			if !slices.Contains(notes, note) {
				notes = append(notes, note)
			}
			iam += fmt.Sprintf(" [%d]", slices.Index(notes, note)+1)
		}
		public := "no"
		if f.Public {
			public = "yes"
		}
		row := []string{f.title(), f.Engine, orDash(f.Endpoint), iam, public, f.Status}
		if several {
			row = append(row, f.Where)
		}
		rows = append(rows, row)
	}
	if err := writeTable(out, rows); err != nil {
		return err
	}
	for i, note := range notes {
		gap := ""
		if i == 0 {
			gap = "\n"
		}
		fmt.Fprintf(out, "%s[%d] %s\n", gap, i+1, proxy.Printable(note))
	}
	return printRoutes(found, out)
}

// footnote says what is to be known about f.
func (f *finding) footnote() string {
	parts := []string{}
	if f.Note != "" {
		parts = append(parts, f.Note)
	}
	if f.Enable != "" {
		parts = append(parts, "turn it on: "+f.Enable)
	}
	return strings.Join(parts, "; ")
}

// printRoutes prints commands to copy.
func printRoutes(found []finding, out io.Writer) error {
	first := true
	for _, f := range found {
		if f.Route == "" {
			continue
		}
		if first {
			fmt.Fprintln(out, "\nServe one, or write it into your file with \"dbvalet init\":")
			first = false
		}
		fmt.Fprintf(out, "  dbvalet %s\n", tokens.Quote(f.Route))
	}
	return nil
}
