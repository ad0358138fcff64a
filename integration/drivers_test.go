package integration

import (
	"bytes"
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/lib/pq"

	"dbvalet/integration/servers"
)

func TestDriverPGX(t *testing.T) {
	p := pg18(t)
	conn := connect(t, start(t, p.AWSEnvironment(), iamRoute(p)))
	if _, err := conn.Exec(t.Context(), "CREATE TEMP TABLE t (id int, what text)"); err != nil {
		t.Fatal(err)
	}
	var batch pgx.Batch
	batch.Queue("INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, 1000) n")
	batch.Queue("SELECT count(*) FROM t WHERE what LIKE $1", "row 1%")
	results := conn.SendBatch(t.Context(), &batch)
	defer results.Close()
	if _, err := results.Exec(); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := results.QueryRow().Scan(&n); err != nil || n != 112 {
		t.Errorf("got %d rows, %v; want 112", n, err)
	}
}

// TestDriverLibPQ covers the Go driver that insists on TLS unless it is told otherwise.
func TestDriverLibPQ(t *testing.T) {
	p := pg18(t)
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	db, err := sql.Open("postgres", v.conninfo()+" sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	prepared, err := db.PrepareContext(t.Context(), "SELECT $1::int + 1, current_user")
	if err != nil {
		t.Fatal(err)
	}
	defer prepared.Close()
	var n int
	var user string
	if err := prepared.QueryRowContext(t.Context(), 41).Scan(&n, &user); err != nil || n != 42 || user != "app" {
		t.Errorf("got %d and %q, %v; want 42 and app", n, user, err)
	}
	// The end of a context makes the driver send a cancel request.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := db.ExecContext(ctx, "SELECT pg_sleep(600)"); err == nil || ctx.Err() == nil {
		t.Errorf("the query ended with %v, want it canceled", err)
	}
	waitUntil(t, "the server has stopped the query", func() bool {
		return superuser(t, p, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%' AND state = 'active'") == "0"
	})
}

// TestDriverLibpq runs a C program that uses libpq as programs do: prepared statements, COPY, a
// pipeline, a notification and a cancel request.
func TestDriverLibpq(t *testing.T) {
	p := pg18(t)
	v := start(t, p.AWSEnvironment(), iamRoute(p))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	program := filepath.Join(t.TempDir(), "libpq_client")
	if err := servers.CompileClient(ctx, "18", "testdata/libpq_client.c", program); err != nil {
		t.Fatal(err)
	}
	cmd, err := servers.Run(ctx, "18", program, v.conninfo())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	want := "connected as app\nprepared 42\ncopied 1000 rows\npipelined 1 2 3\nnotified parcels\ncanceled 57014\n"
	if got := out.String(); got != want {
		t.Errorf("the program printed\n%s\nwant\n%s", got, want)
	}
}

func TestDumpIsTheSameAsADirectOne(t *testing.T) {
	p := pg18(t)
	v := start(t, nil, route("clear", p, secretFile(t, p.ClearPassword)))
	mustPSQL(t, v, "DROP TABLE IF EXISTS dumped; CREATE TABLE dumped AS SELECT n, md5(n::text) FROM generate_series(1, 10000) n")
	dump := func(conninfo string) string {
		stdout, stderr, err := client(t, "18", "pg_dump", "-t", "dumped", conninfo)
		if err != nil {
			t.Fatalf("pg_dump: %v\n%s", err, stderr)
		}
		// Each dump has a random key of its own, in these two lines.
		var kept strings.Builder
		for line := range strings.Lines(stdout) {
			if !strings.HasPrefix(line, `\restrict`) && !strings.HasPrefix(line, `\unrestrict`) {
				kept.WriteString(line)
			}
		}
		return kept.String()
	}
	if through, direct := dump(v.conninfo()), dump(directConninfo(p, "clear", p.ClearPassword)); through != direct || len(direct) < 300_000 {
		t.Errorf("the dump through dbvalet has %d bytes, the direct one %d, and they differ or are too small", len(through), len(direct))
	}
}
