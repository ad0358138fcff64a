// Command demo shows dbvalet's main job on one machine: a real PostgreSQL that takes nothing but TLS
// and a valid RDS IAM token, and psql, which has no password.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"dbvalet/integration/servers"
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
	say("Starting a private PostgreSQL 18, which the first time is fetched from Debian's packages into .cache/ ...")
	began := time.Now()
	db, err := servers.StartPostgres(ctx, servers.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Stop()) }()
	say("It listens on %s (after %v). It stands in for the RDS instance\n%s: TLS only, and user \"app\"\nlogs in with an IAM token, which a PAM module checks as RDS does, signature and all.",
		db.Addr(), time.Since(began).Round(100*time.Millisecond), db.Endpoint)

	say("Without a token nobody gets in, and without TLS neither:")
	direct := fmt.Sprintf("host=%s port=%d user=app dbname=%s", db.Host, db.Port, db.Database)
	if err := psql(ctx, refused, direct+" sslmode=require", "SELECT 1"); err != nil {
		return err
	}
	if err := psql(ctx, refused, direct+" sslmode=disable password=x", "SELECT 1"); err != nil {
		return err
	}

	say("Now dbvalet. It finds AWS credentials in the environment, mints the token, and verifies the server:")
	valet, err := startValet(ctx, program, db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, valet.stop()) }()

	say("psql has no password, and no TLS to set up:")
	for _, sql := range []string{
		"SELECT current_user, current_database(), version()",
		"SELECT ssl, version AS tls, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
		"CREATE TABLE parcels AS SELECT n AS id, 'parcel ' || n AS what FROM generate_series(1, 3) n; SELECT * FROM parcels",
	} {
		if err := psql(ctx, accepted, valet.conninfo, sql); err != nil {
			return err
		}
	}
	if err := lastDecision(db); err != nil {
		return err
	}

	say("A token is good for 15 minutes. The checker's clock goes 16 minutes ahead, and the same token is refused;\nthe database's own words reach psql:")
	if err := db.SetClockOffset(16 * time.Minute); err != nil {
		return err
	}
	if err := psql(ctx, refused, valet.conninfo, "SELECT 1"); err != nil {
		return err
	}
	if err := lastDecision(db); err != nil {
		return err
	}
	say("dbvalet has dropped the refused token. With the clock right again, it mints a new one:")
	if err := db.SetClockOffset(0); err != nil {
		return err
	}
	if err := psql(ctx, accepted, valet.conninfo, "SELECT count(*) AS parcels FROM parcels"); err != nil {
		return err
	}
	if err := lastDecision(db); err != nil {
		return err
	}
	if keep {
		return leaveRunning(ctx, valet)
	}
	say("That was it. \"make demo KEEP=1\" leaves everything running to play with.")
	return nil
}

// leaveRunning waits for Ctrl-C.
func leaveRunning(ctx context.Context, valet *valet) error {
	cmd, err := servers.Client(ctx, "18", "psql", valet.conninfo)
	if err != nil {
		return err
	}
	say("Everything keeps running until Ctrl-C. From another terminal:\n\n  psql %q\n\nor, if this machine has no psql, with the one that was fetched:\n\n  %s",
		valet.conninfo, commandLine(cmd.Args))
	<-ctx.Done()
	say("Stopping.")
	return nil
}
