package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	program := flag.String("program", "bin/dbvalet", "the dbvalet to measure")
	only := flag.String("only", "", "postgres or mariadb; default: both")
	rounds := flag.Int("rounds", 5, "how often everything is measured")
	seconds := flag.Int("seconds", 3, "how long a single measurement takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *program, *only, *rounds, *seconds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run starts everything, runs all measurements and prints the tables.
func run(ctx context.Context, program, only string, rounds, seconds int) (err error) {
	var starts []func(context.Context) (*database, error)
	switch only {
	case "":
		starts = append(starts, startPostgres, startMariaDB)
	case "postgres":
		starts = append(starts, startPostgres)
	case "mariadb":
		starts = append(starts, startMariaDB)
	default:
		return fmt.Errorf("-only=%s: there are postgres and mariadb", only)
	}
	var databases []*database
	for _, start := range starts {
		d, err := start(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.stop()) }()
		databases = append(databases, d)
	}
	v, err := startValet(program, databases)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.stop()) }()
	for _, d := range databases {
		if err := measure(ctx, v, d, rounds, seconds); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return idleMemory(v, databases)
}
