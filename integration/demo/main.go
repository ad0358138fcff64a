// Command demo shows dbvalet's main job on one machine: a real PostgreSQL and a real MariaDB that take
// nothing but TLS and a valid RDS IAM token, and psql and mariadb, which have no password. One dbvalet
// serves both.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	program := flag.String("program", "bin/dbvalet", "the dbvalet to show")
	keep := flag.Bool("keep", false, "leave everything running until Ctrl-C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := show(ctx, *program, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// show is the demonstration from beginning to end.
func show(ctx context.Context, program string, keep bool) (err error) {
	say("Starting a private PostgreSQL and a private MariaDB, which the first time are fetched from Debian's\npackages into .cache/ ...")
	var databases []*database
	for _, start := range []func(context.Context) (*database, error){startPostgres, startMariaDB} {
		began := time.Now()
		d, err := start(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.Stop()) }()
		say("%s listens on %s (after %v). It stands in for the RDS instance\n%s: TLS only, and user \"app\" logs in\nwith an IAM token, which is checked as RDS does, signature and all.",
			d.name, d.Addr(), time.Since(began).Round(100*time.Millisecond), d.Endpoint)
		databases = append(databases, d)
	}

	say("Without a token nobody gets in, and without TLS neither:")
	for _, d := range databases {
		for _, arguments := range d.direct {
			if err := d.run(ctx, refused, arguments, "SELECT 1"); err != nil {
				return err
			}
		}
	}

	say("Now dbvalet, one for both. It finds the AWS credentials of their accounts in a file, mints the tokens,\nand verifies the servers:")
	valet, err := startValet(ctx, program, databases)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, valet.stop()) }()

	for _, d := range databases {
		if err := story(ctx, d); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	if keep {
		return leaveRunning(ctx, databases)
	}
	say("That was it. \"make demo KEEP=1\" leaves everything running to play with.")
	return nil
}

// story is what one of the databases has to show through dbvalet.
func story(ctx context.Context, d *database) error {
	through := d.connection(d.valet)
	say("%s: the client %s has no password, and no TLS to set up:%s", d.name, d.program, d.remark)
	for _, sql := range d.queries {
		if err := d.run(ctx, accepted, through, sql); err != nil {
			return err
		}
	}
	if err := lastDecision(d); err != nil {
		return err
	}

	say("A token is good for 15 minutes. The checker's clock goes 16 minutes ahead, and the same token is refused;\nthe database's own words reach %s:", d.program)
	if err := d.SetClockOffset(16 * time.Minute); err != nil {
		return err
	}
	if err := d.run(ctx, refused, through, "SELECT 1"); err != nil {
		return err
	}
	if err := lastDecision(d); err != nil {
		return err
	}

	say("dbvalet has dropped the refused token. With the clock right again, it mints a new one:")
	if err := d.SetClockOffset(0); err != nil {
		return err
	}
	// Within a third of a second, clients are told again what the database said to the last one.
	<-time.After(500 * time.Millisecond)
	if err := d.run(ctx, accepted, through, d.again); err != nil {
		return err
	}
	return lastDecision(d)
}

// lastDecision shows what the checker of tokens wrote last.
func lastDecision(d *database) error {
	log, err := os.ReadFile(d.VerifierLog())
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	fmt.Printf("  token checker: %s\n", lines[len(lines)-1])
	return nil
}

// leaveRunning waits for Ctrl-C.
func leaveRunning(ctx context.Context, databases []*database) error {
	say("Everything keeps running until Ctrl-C. From another terminal, with the client of this machine or else\nwith the one that was fetched:")
	for _, d := range databases {
		cmd, err := d.client(ctx, d.version, d.program, d.connection(d.valet)...)
		if err != nil {
			return err
		}
		fmt.Printf("\n  %s\n  %s\n", commandLine(append([]string{d.program}, d.connection(d.valet)...)), commandLine(cmd.Args))
	}
	<-ctx.Done()
	say("Stopping.")
	return nil
}
