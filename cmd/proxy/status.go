package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dbvalet/proxy"
)

// newStatusCommand makes "dbvalet status".
func newStatusCommand(configured func() (string, error)) *cobra.Command {
	a := &asker{configured: configured, timeout: askTime}
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the routes and the open sessions",
		Long: `status asks the running dbvalet what it serves and who is connected. The exit
status is 1 if a route is not served, or if nobody answers.

Where nothing says --admin, that is the dbvalet which this user runs in a
terminal.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if watch {
				return a.watch(cmd.Context(), cmd.OutOrStdout())
			}
			return a.showStatus(cmd.Context(), cmd.OutOrStdout(), asJSON)
		},
	}
	a.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer as it is")
	cmd.Flags().BoolVar(&watch, "watch", false, "ask again every two seconds, until Ctrl-C")
	cmd.MarkFlagsMutuallyExclusive("json", "watch")
	return cmd
}

// showStatus asks once.
func (a *asker) showStatus(ctx context.Context, out io.Writer, asJSON bool) error {
	s, body, err := a.status(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		_, err = io.WriteString(out, body)
	} else {
		err = s.write(out, time.Now())
	}
	if err != nil {
		return err
	}
	return s.failed()
}

// status asks for the status. Fields that a newer version has are none of its business.
func (a *asker) status(ctx context.Context) (s status, body string, err error) {
	_, body, err = a.ask(ctx, http.MethodGet, "/status")
	if err == nil && json.Unmarshal([]byte(body), &s) != nil {
		err = &askError{errors.New("the answer is no status"), "check that --admin= is the one of dbvalet, of this version", true}
	}
	return s, body, err
}

// failed says which routes are not served; nil: all are. One that a reload has taken away is not to be.
func (s status) failed() error {
	var names []string
	for _, r := range s.Routes {
		if r.State != "served" && r.State != "leaving" {
			names = append(names, proxy.Printable(r.Name))
		}
	}
	if names == nil {
		return nil
	}
	return &askError{err: errors.New("not served: " + strings.Join(names, ", ")), advice: "see above; dbvalet tries it again every few seconds"}
}

// write writes s for people.
func (s status) write(out io.Writer, now time.Time) error {
	fmt.Fprintf(out, "dbvalet %s is %s\n\n", proxy.Printable(s.Version), proxy.Printable(s.State))
	routes := [][]string{{"ROUTE", "STATE", "LISTEN", "UPSTREAM", "AUTH", "OPEN", "SESSIONS", "FAILED"}}
	sessions := [][]string{{"SESSION", "ROUTE", "SINCE", "CLIENT", "USER", "DATABASE", "SENT", "RECEIVED", "STATE"}}
	for _, r := range s.Routes {
		routes = append(routes, []string{
			r.Name, r.State, strings.Join(r.Listen, " "), orDash(r.Upstream), orDash(r.Auth),
			strconv.FormatInt(r.OpenSessions, 10), strconv.FormatInt(r.Sessions, 10), strconv.FormatInt(r.Failed, 10),
		})
		for _, c := range r.Clients {
			sessions = append(sessions, c.row(r.Name, now))
		}
	}
	if err := writeTable(out, routes); err != nil {
		return err
	}
	for _, r := range s.Routes {
		if r.Error != "" {
			fmt.Fprintf(out, "\n%s: %s\n", proxy.Printable(r.Name), proxy.Printable(r.Error))
		}
		if r.Hint != "" {
			fmt.Fprintf(out, "hint: %s\n", proxy.Printable(r.Hint))
		}
	}
	if len(sessions) == 1 {
		_, err := fmt.Fprintln(out, "\nno session is open")
		return err
	}
	fmt.Fprintln(out)
	return writeTable(out, sessions)
}

// row is the line of a session.
func (c clientStatus) row(route string, now time.Time) []string {
	client := c.Client
	if c.Program != "" {
		client = c.Program
	}
	if c.PID != 0 {
		client += " (" + strconv.Itoa(c.PID) + ")"
	}
	state := "busy"
	if c.Idle {
		state = "idle"
	}
	return []string{
		c.Session, route, now.Sub(c.Since).Round(time.Second).String(), client, orDash(c.User), orDash(c.Database),
		byteCount(c.FromClient), byteCount(c.FromUpstream), state,
	}
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// byteCount is n in a few letters.
func byteCount(n int64) string {
	const step = 1000
	value, unit := float64(n), ""
	for _, unit = range []string{"B", "kB", "MB", "GB", "TB"} {
		if value < step {
			break
		}
		if unit != "TB" {
			value /= step
		}
	}
	if unit == "B" {
		return strconv.FormatInt(n, 10) + " B"
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + unit
}
