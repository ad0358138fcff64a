package integration

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
)

// A visit connects to a database, asks it who the user is, and leaves.
type visit func(ctx context.Context) (user string, err error)

// postgresVisit visits through v's first route.
func postgresVisit(v *valet) visit {
	conninfo := v.conninfo() + " sslmode=disable"
	return func(ctx context.Context) (user string, err error) {
		conn, err := pgx.Connect(ctx, conninfo)
		if err != nil {
			return "", err
		}
		defer conn.Close(ctx)
		return user, conn.QueryRow(ctx, "SELECT current_user").Scan(&user)
	}
}

// mysqlVisit visits through v's first route.
func mysqlVisit(t *testing.T, v *valet) visit {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Logger = "tcp", v.addrs[0], "whoever", &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) (user string, err error) {
		db := sql.OpenDB(connector)
		defer db.Close()
		conn, err := db.Conn(ctx) // one attempt: database/sql tries again where a connection breaks
		if err != nil {
			return "", err
		}
		defer conn.Close()
		return user, conn.QueryRowContext(ctx, "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)").Scan(&user)
	}
}

// A crowd are clients that come and go all the time, and what became of their visits.
type crowd struct {
	t     *testing.T
	stop  context.CancelFunc
	going sync.WaitGroup

	mu     sync.Mutex
	users  map[string]int // visits by database user
	errors []error
}

// gather starts n clients that visit until the crowd is dismissed.
func gather(t *testing.T, n int, v visit) *crowd {
	ctx, cancel := context.WithCancel(t.Context())
	c := &crowd{t: t, stop: cancel, users: make(map[string]int)}
	for range n {
		c.going.Go(func() { c.come(ctx, v) })
	}
	t.Cleanup(func() { c.dismiss() })
	return c
}

// come visits again and again, with pauses, so that the machine has time for the servers too.
func (c *crowd) come(ctx context.Context, v visit) {
	for pause(ctx, 100*time.Millisecond+rand.N(200*time.Millisecond)) {
		// A visit is brought to its end: a client that gives up is no error of ours.
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		user, err := v(limit)
		cancel()
		c.mu.Lock()
		if err != nil {
			c.errors = append(c.errors, fmt.Errorf("%s: %w", time.Now().Format(time.TimeOnly), err))
		} else {
			c.users[user]++
		}
		c.mu.Unlock()
	}
}

// dismiss ends the visits, wants that none failed, and returns how many there were by user.
func (c *crowd) dismiss() map[string]int {
	c.t.Helper()
	c.stop()
	c.going.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, err := range c.errors {
		if i == 5 {
			c.t.Errorf("and %d errors more", len(c.errors)-i)
			break
		}
		c.t.Errorf("a client saw %v", err)
	}
	c.errors = nil
	return c.users
}

// pause waits for d and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
