package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"dbvalet/integration/servers"
)

// A target is a way to a database.
type target struct {
	host, port string
	direct     bool // with the password and over TLS
}

// A database is a server and how it is measured.
type database struct {
	*servers.Server
	name           string // of the product
	scheme         string // of the route
	user, password string // who logs in on both ways, by a password
	direct         target
	through        target // by way of dbvalet
	measurements   []measurement
	idle           func(to target) (io.Closer, error) // opens a session
	stop           func() error
}

// A measurement is a line of the table.
type measurement struct {
	name, unit string
	// rate returns how many units there are a second, on one way to the database.
	rate func(ctx context.Context, to target, seconds int) (float64, error)
}

// measure runs all measurements of d and prints its table.
func measure(ctx context.Context, v *valet, d *database, rounds, seconds int) error {
	fmt.Printf("%-28s %12s %12s %8s %22s\n", d.name, "direct", "dbvalet", "ratio", "CPU of dbvalet")
	for _, m := range d.measurements {
		var direct, through, ratios, cpu []float64
		for range rounds {
			one, err := m.rate(ctx, d.direct, seconds)
			if err != nil {
				return err
			}
			before := v.cpuSeconds()
			other, err := m.rate(ctx, d.through, seconds)
			if err != nil {
				return err
			}
			cpu = append(cpu, (v.cpuSeconds()-before)/(other*float64(seconds))*1e6)
			direct, through, ratios = append(direct, one), append(through, other), append(ratios, other/one)
		}
		fmt.Printf("%-28s %12.0f %12.0f %8.2f %11.1f µs/%s\n", m.name, median(direct), median(through), median(ratios), median(cpu), m.unit)
	}
	fmt.Println()
	return nil
}

// idleMemory prints what idle sessions cost. All of them stay open until the end, as otherwise the
// later ones would find memory that the earlier ones have left.
func idleMemory(v *valet, databases []*database) error {
	const sessions = 500
	fmt.Printf("%-28s %.1f MiB, and for each of %d idle sessions\n", "resident memory", v.resident()/(1<<20), sessions)
	for _, d := range databases {
		before := v.resident()
		for range sessions {
			conn, err := d.idle(d.through)
			if err != nil {
				return err
			}
			defer conn.Close()
		}
		fmt.Printf("%-28s %.1f KiB\n", d.name, (v.resident()-before)/sessions/(1<<10))
	}
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
