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
	rounds := flag.Int("rounds", 5, "how often everything is measured")
	seconds := flag.Int("seconds", 3, "how long a single measurement takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, *program, *rounds, *seconds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measure runs all measurements and prints the table.
func measure(ctx context.Context, program string, rounds, seconds int) (err error) {
	b, err := start(ctx, program)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()

	fmt.Printf("%-28s %12s %12s %8s %22s\n", "", "direct", "dbvalet", "ratio", "CPU of dbvalet")
	for _, m := range []struct {
		name, unit string
		args       []string
	}{
		{"selects/s, 1 client", "query", []string{"-S", "-c", "1", "-j", "1"}},
		{"selects/s, 8 clients", "query", []string{"-S", "-c", "8", "-j", "1"}},
		{"prepared/s, 1 client", "query", []string{"-S", "-M", "prepared", "-c", "1", "-j", "1"}},
		{"prepared/s, 8 clients", "query", []string{"-S", "-M", "prepared", "-c", "8", "-j", "1"}},
		{"connects/s, 1 client", "connect", []string{"-S", "-C", "-c", "1", "-j", "1"}},
		{"connects/s, 8 clients", "connect", []string{"-S", "-C", "-c", "8", "-j", "1"}},
	} {
		var direct, through, ratios, cpu []float64
		for range rounds {
			d, err := b.pgbench(ctx, b.direct, seconds, m.args)
			if err != nil {
				return err
			}
			before := b.cpuSeconds()
			t, err := b.pgbench(ctx, b.through, seconds, m.args)
			if err != nil {
				return err
			}
			cpu = append(cpu, (b.cpuSeconds()-before)/(t*float64(seconds))*1e6)
			direct, through, ratios = append(direct, d), append(through, t), append(ratios, t/d)
		}
		fmt.Printf("%-28s %12.0f %12.0f %8.2f %11.1f µs/%s\n", m.name, median(direct), median(through), median(ratios), median(cpu), m.unit)
	}
	return b.memory(ctx)
}
