package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	// askTime is for an answer that comes from memory, or a credential that has to be fetched.
	askTime = 10 * time.Second
	// loginTime is for one that costs logins.
	loginTime = 50 * time.Second
	// pollInterval is how often something is asked that is waited for.
	pollInterval = 100 * time.Millisecond
)

// newWaitCommand makes "dbvalet wait".
func newWaitCommand(configured func() (string, error)) *cobra.Command {
	a := &asker{configured: configured, timeout: askTime}
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "wait",
		Short: "Wait until clients are served",
		Long: `wait returns when the dbvalet with these admin endpoints has started and is ready:
it listens, and has a credential for every route. For scripts, and for images
without a shell or curl. The exit status is 1 if that takes too long.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.wait(cmd.Context(), limit)
		},
	}
	a.flags(cmd)
	cmd.Flags().DurationVar(&limit, "timeout", 30*time.Second, "how long to wait")
	return cmd
}

// wait asks until both answers are good.
func (a *asker) wait(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	last := error(&askError{err: errors.New("there was no time to ask"), advice: "give it more with --timeout"})
	for _, path := range []string{"/startup", "/readyz"} {
		err := poll(ctx, func() (bool, error) {
			status, body, err := a.ask(ctx, http.MethodGet, path)
			switch e, isAsk := errors.AsType[*askError](err); {
			case ctx.Err() != nil:
				return false, nil // what came before says more
			case err != nil && (!isAsk || e.final):
				return false, err
			case err != nil:
				last = err
			case status != http.StatusOK:
				last = errors.New(printableLines(strings.TrimSpace(body)))
			}
			return err == nil && status == http.StatusOK, nil
		})
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("dbvalet is not ready within %v: %w", limit, last)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// poll calls done until it returns true or an error, or ctx ends, which is an error too.
func poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// newHealthCommand makes "dbvalet health".
func newHealthCommand(configured func() (string, error)) *cobra.Command {
	a := &asker{configured: configured}
	var startup, live, upstream bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask once whether clients are served",
		Long: `health asks the dbvalet with these admin endpoints how it is, and prints what it
says. The exit status is 0 if that is good and 1 if it is not, or if nobody
answers. For probes of containers, and HEALTHCHECK of an image without a shell.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/readyz"
			switch {
			case startup:
				path = "/startup"
			case live:
				path = "/livez"
			case upstream:
				path = "/readyz?upstream=1"
			}
			if a.timeout == 0 {
				a.timeout = askTime
				if upstream {
					a.timeout = loginTime
				}
			}
			status, body, err := a.ask(cmd.Context(), http.MethodGet, path)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), printableLines(body))
			if status != http.StatusOK {
				return &askError{err: errors.New("it is not well: see the lines above")}
			}
			return nil
		},
	}
	a.flags(cmd)
	cmd.Flags().BoolVar(&startup, "startup", false, "ask whether it has started to serve")
	cmd.Flags().BoolVar(&live, "live", false, "ask whether it is alive")
	cmd.Flags().BoolVar(&upstream, "upstream", false, "have it log in to each database to find out")
	cmd.Flags().DurationVar(&a.timeout, "timeout", 0, "how long to wait for the answer (default 10s, and 50s with --upstream)")
	cmd.MarkFlagsMutuallyExclusive("startup", "live", "upstream")
	return cmd
}

// newShutdownCommand makes "dbvalet shutdown".
func newShutdownCommand(configured func() (string, error)) *cobra.Command {
	a := &asker{configured: configured, timeout: askTime}
	var wait bool
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "shutdown",
		Short: "End a running dbvalet",
		Long: `shutdown asks the dbvalet with these admin endpoints to end, as SIGTERM does. For
the end of a Kubernetes Job, and for images without a shell or curl.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, _, err := a.ask(cmd.Context(), http.MethodPost, "/quitquitquit"); err != nil || !wait {
				return err
			}
			ctx := cmd.Context()
			if limit > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, limit)
				defer cancel()
			}
			return a.awaitEnd(ctx)
		},
	}
	a.flags(cmd)
	cmd.Flags().BoolVar(&wait, "wait", false, "return when it has ended")
	cmd.Flags().DurationVar(&limit, "timeout", 0, "with --wait, for how long (default: for ever)")
	return cmd
}

// awaitEnd returns when nobody listens any more where the endpoints were.
func (a *asker) awaitEnd(ctx context.Context) error {
	err := poll(ctx, func() (bool, error) {
		_, _, err := a.ask(ctx, http.MethodGet, "/")
		return isGone(err), nil
	})
	if err != nil {
		return &askError{err: fmt.Errorf("dbvalet goes on: %w", err), advice: "sessions may be open: see --drain-timeout of dbvalet, or end it by a second signal"}
	}
	return nil
}
