package mysql

import (
	"bytes"
	"database/sql"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	goclient "github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	goserver "github.com/go-mysql-org/go-mysql/server"
	driver "github.com/go-sql-driver/mysql"

	"dbvalet/proxy"
)

// startGoServer runs go-mysql's server: the other side of the login is not ours.
func startGoServer(t *testing.T, plugin, user, password string) string {
	t.Helper()
	server := goserver.NewServer("8.0.34-go-mysql", mysql.DEFAULT_COLLATION_ID, plugin, nil, serverTLS)
	users := goserver.NewInMemoryAuthenticationHandler(plugin)
	if err := users.AddUser(user, password, plugin); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				c, err := server.NewCustomizedConn(conn, users, answers{})
				for err == nil && !c.Closed() {
					err = c.HandleCommand()
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		serving.Wait()
	})
	return ln.Addr().String()
}

// answers is what go-mysql's server says.
type answers struct{ goserver.EmptyHandler }

func (answers) HandleQuery(string) (*mysql.Result, error) {
	rows, err := mysql.BuildSimpleTextResultset([]string{"answer"}, [][]any{{"forty-two"}})
	return mysql.NewResult(rows), err
}

// Both sides are implementations that we did not write.
func TestClientsAndServersThatAreNotOurs(t *testing.T) {
	for _, plugin := range []string{mysql.AUTH_NATIVE_PASSWORD, mysql.AUTH_CACHING_SHA2_PASSWORD} {
		for _, user := range []string{"app", ""} {
			t.Run(plugin+" "+user, func(t *testing.T) {
				server := startGoServer(t, plugin, "app", secret)
				r := serve(t, &Engine{User: user}, server, &source{passwords: []string{secret}})
				for _, password := range []string{"", "dummy"} {
					c, err := goclient.Connect(r.addr, "app", password, "")
					if err != nil {
						t.Fatalf("go-mysql with password %q: %v", password, err)
					}
					result, err := c.Execute("SELECT 1")
					if err != nil {
						t.Fatal(err)
					}
					if got, _ := result.GetString(0, 0); got != "forty-two" {
						t.Errorf("go-mysql got %q", got)
					}
					c.Close()

					db, err := sql.Open("mysql", fmt.Sprintf("app:%s@tcp(%s)/", password, r.addr))
					if err != nil {
						t.Fatal(err)
					}
					var got string
					if err := db.QueryRow("SELECT 1").Scan(&got); err != nil || got != "forty-two" {
						t.Errorf("go-sql-driver with password %q got %q, %v", password, got, err)
					}
					db.Close()
				}
			})
		}
	}
}

func TestServersRefusalReachesTheClient(t *testing.T) {
	server := startGoServer(t, mysql.AUTH_NATIVE_PASSWORD, "app", "another password")
	r := serve(t, &Engine{}, server, &source{passwords: []string{secret}})
	_, err := goclient.Connect(r.addr, "app", "", "")
	if err == nil || !strings.Contains(err.Error(), "1045") || strings.Contains(err.Error(), "dbvalet") {
		t.Errorf("got %v", err)
	}
}

func TestClientThatInsistsOnTLSIsToldByItself(t *testing.T) {
	server := startGoServer(t, mysql.AUTH_NATIVE_PASSWORD, "app", secret)
	r := serve(t, &Engine{User: "app"}, server, &source{passwords: []string{secret}})
	db, err := sql.Open("mysql", "app@tcp("+r.addr+")/?tls=skip-verify")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Ping(); err == nil || !strings.Contains(err.Error(), driver.ErrNoTLS.Error()) {
		t.Errorf("got %v", err)
	}
	r.log.wait(t, 1, "ssl-mode=DISABLED")
}

// A credential that the database refuses is replaced on a new connection, and the client notices
// nothing.
func TestRejectedCredentialIsReplaced(t *testing.T) {
	var mu sync.Mutex
	logins := 0
	db := newDatabase(t, func(p *peer) {
		reply := p.open(mysql.AUTH_NATIVE_PASSWORD)
		if reply == nil {
			return
		}
		mu.Lock()
		logins++
		mu.Unlock()
		if string(reply.auth) != string(mysql.CalcNativePassword([]byte(serverScramble), []byte(secret))) {
			p.say(3, "\xff\x15\x04#28000Access denied")
			return
		}
		p.say(3, okPacket)
		p.packet()
	})
	r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{"old", secret}})
	client, _ := dial(t, r.addr)
	if got := client.logIn("x"); got == nil || got.kind() != okHeader || got.seq() != 2 {
		t.Errorf("got %q", got)
	}
	if !strings.Contains(r.log.String(), "KILL does not reach") {
		t.Error("the log does not say that the thread id is another one")
	}
	mu.Lock()
	defer mu.Unlock()
	if logins != 2 {
		t.Errorf("%d logins", logins)
	}
}

// Everything that the servers ask for is answered, with a token that fits nowhere else.
func TestUpstreamPlugins(t *testing.T) {
	token := strings.Repeat("t0ken/+", 400)
	ed, err := mysql.CalcEd25519Password([]byte(serverScramble+"uvwxyz012345"), token)
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name, methods string
		script        func(p *peer, r *response) bool
	}{
		{"cleartext in the first reply", "password", func(_ *peer, r *response) bool {
			return r.plugin == mysql.AUTH_CLEAR_PASSWORD && string(r.auth) == token+"\x00"
		}},
		{"cleartext asked for", "", func(p *peer, r *response) bool {
			p.say(3, "\xfemysql_clear_password\x00")
			return string(p.packet().payload()) == token+"\x00"
		}},
		{"sha2, in the server's cache", "", func(p *peer, r *response) bool {
			p.say(3, "\xfecaching_sha2_password\x00"+serverScramble+"\x00")
			got := p.packet().payload()
			p.say(5, "\x01\x03")
			return bytes.Equal(got, mysql.CalcCachingSha2Password([]byte(serverScramble), []byte(token)))
		}},
		{"sha2, in full", "", func(p *peer, r *response) bool {
			p.say(3, "\xfecaching_sha2_password\x00"+serverScramble+"\x00")
			p.packet()
			p.say(5, "\x01\x04")
			return string(p.packet().payload()) == token+"\x00"
		}},
		{"sha256", "", func(p *peer, r *response) bool {
			p.say(3, "\xfesha256_password\x00"+serverScramble+"\x00")
			return string(p.packet().payload()) == token+"\x00"
		}},
		{"ed25519", "", func(p *peer, r *response) bool {
			p.say(3, "\xfeclient_ed25519\x00"+serverScramble+"uvwxyz012345")
			return bytes.Equal(p.packet().payload(), ed)
		}},
		{"dialog with the question in the request", "", func(p *peer, r *response) bool {
			p.say(3, "\xfedialog\x00\x05Password: ")
			return string(p.packet().payload()) == token+"\x00"
		}},
		{"dialog with the question behind it", "", func(p *peer, r *response) bool {
			p.say(3, "\xfedialog\x00")
			return string(p.packet().payload()) == token+"\x00"
		}},
		{"two factors", "", func(p *peer, r *response) bool {
			p.say(3, "\xfecaching_sha2_password\x00"+serverScramble+"\x00")
			p.packet()
			p.say(5, "\x02mysql_clear_password\x00")
			return r.has(clientMultiFactor) && string(p.packet().payload()) == token+"\x00"
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			methods, err := ParseMethods(row.methods)
			if err != nil {
				t.Fatal(err)
			}
			seqs := map[string]byte{"sha2, in the server's cache": 6, "sha2, in full": 7, "cleartext in the first reply": 3, "two factors": 7}
			db := newDatabase(t, func(p *peer) {
				reply := p.open(mysql.AUTH_NATIVE_PASSWORD)
				if reply == nil {
					return
				}
				seq, ok := seqs[row.name]
				if !ok {
					seq = 5
				}
				if row.script(p, reply) {
					p.say(seq, okPacket)
				} else {
					p.say(seq, "\xff\x15\x04#28000Access denied")
				}
				p.packet()
			})
			r := serve(t, &Engine{User: "app", RequireAuth: methods}, db.addr, &source{passwords: []string{token}})
			client, _ := dial(t, r.addr)
			if got := client.logIn("x"); got == nil || got.kind() != okHeader || got.seq() != 2 {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestManySessionsAtOnce(t *testing.T) {
	db := newGoodDatabase(t)
	r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}}, func(s *proxy.Server) { s.HandshakeTimeout = 0 })
	var clients sync.WaitGroup
	for range 200 {
		clients.Go(func() {
			client, _ := dial(t, r.addr)
			if got := client.logIn("app"); got == nil || got.kind() != okHeader {
				t.Errorf("got %q", got)
				return
			}
			for range 20 {
				client.say(0, "\x0e")
				if got := client.packet(); got == nil || got.seq() != 1 {
					t.Errorf("COM_PING: got %q", got)
				}
			}
			client.Close()
		})
	}
	clients.Wait()
}
