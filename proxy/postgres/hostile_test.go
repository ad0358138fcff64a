package postgres

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// A hostileServer is what may stand where the database should.
type hostileServer struct {
	name string
	// code is the SQLSTATE of the error that the client gets, and message a part of it; or theirs.
	code, message string
	play          script
}

// theirs is for servers whose own words the client gets, and nothing else.
const theirs = "theirs"

// A hostileRoute is a route with servers that no credential is safe with.
type hostileRoute struct {
	name    string
	set     func(v *valet)
	gets    string // what they get of the credential all the same
	servers []hostileServer
}

// What a server may get of a credential. A proof is worth nothing to who does not know the password.
const (
	nothing = "nothing"
	aProof  = "a proof"
	all     = "the password"
)

var hostileRoutes = []hostileRoute{
	{"before TLS", func(*valet) {}, nothing, beforeTLS},
	{"TLS", func(*valet) {}, nothing, badCertificates},
	{"direct TLS", func(v *valet) { v.engine.Direct = true }, nothing, badDirectTLS()},
	{"login", func(*valet) {}, nothing, badLogins},
	{"after the password", func(*valet) {}, all, afterPassword},
	{"before the proof", func(*valet) {}, nothing, beforeProof},
	{"after the proof", func(*valet) {}, aProof, afterProof},
	{"SCRAM is required", func(v *valet) { v.engine.RequireAuth = mustParse(methodSCRAM) }, nothing,
		below(MethodPassword, methodMD5, methodNone)},
	{"a token, for which a password is required", func(v *valet) { v.engine.RequireAuth = mustParse(MethodPassword) }, nothing,
		below(methodSCRAM, methodMD5, methodNone)},
	{"silence", func(v *valet) { v.server.HandshakeTimeout = handshakeLimit }, nothing, silentServers},
	{"silence after the password", func(v *valet) { v.server.HandshakeTimeout = handshakeLimit }, all, []hostileServer{
		{"nothing", cannotConnectNow, "", func(c *dbConn) { c.open(); c.password(); c.wait() }},
		{"half a message", cannotConnectNow, "", func(c *dbConn) { c.open(); c.password(); c.write('R', 0, 0); c.wait() }},
	}},
}

// TestHostileServerGetsNoCredential has one route after the other connect to its servers at once, and
// looks at what they got and what is left of them.
func TestHostileServerGetsNoCredential(t *testing.T) {
	for _, route := range hostileRoutes {
		t.Run(route.name, func(t *testing.T) {
			databases := map[string]*database{"good": startDatabase(t, good(route.name))}
			for _, server := range route.servers {
				databases[server.name] = startDatabase(t, server.play)
			}
			v := newValet(t, "")
			v.engine.User = ""
			v.reaches(databases)
			route.set(v)
			v.serve(t)
			knowClients(t)
			goroutines, descriptors := runtime.NumGoroutine(), openFiles()

			t.Run("servers", func(t *testing.T) {
				for _, server := range route.servers {
					t.Run(server.name, func(t *testing.T) {
						t.Parallel()
						began := time.Now()
						c := v.dial(t)
						c.write(startupPacket(t, map[string]string{"user": server.name, "database": "orders"}))
						server.check(c)
						if took := time.Since(began); took > patience/2 {
							t.Errorf("it took %v", took)
						}
						checkSpoils(t, databases[server.name], route.gets)
					})
				}
			})
			soon(t, "the goroutines' end", func() bool { return runtime.NumGoroutine() <= goroutines })
			soon(t, "the descriptors' end", func() bool { return openFiles() <= descriptors })
			if n := v.server.Counts.Panics.Load(); n != 0 {
				t.Errorf("got %d panics; the log:\n%s", n, v.log.text())
			}
			failed, _ := v.log.find("set-up failed")
			for _, record := range failed {
				if text := fmt.Sprint(record["err"]); len(text) > 4000 || strings.ContainsAny(text, "\x1b\r") {
					t.Errorf("the log has an error of %d bytes, or with control characters in it: %q", len(text), text)
				}
			}
			c := v.dial(t)
			c.write(startupPacket(t, map[string]string{"user": "good"}))
			c.untilReady()
		})
	}
}

// reaches makes each user of the route have a database of its own.
func (v *valet) reaches(databases map[string]*database) {
	to := v.upstream.Endpoint
	v.upstream.Credentials.Source = userSource{}
	v.upstream.Locate = func(cred tokens.Credential) (proxy.Endpoint, error) {
		there := to
		there.Addr = databases[cred.ID].addr
		return there, nil
	}
}

// userSource has the same password for all users, and names the credential after them.
type userSource struct{}

var _ tokens.Source = userSource{}

func (userSource) Credential(_ context.Context, user string) (tokens.Credential, error) {
	return tokens.Credential{Password: tokens.NewSecret(secret), ID: user}, nil
}

// check reads what the client is told of the server.
func (s hostileServer) check(c *client) {
	c.t.Helper()
	if s.code == theirs {
		if got := c.rest(); !bytes.HasPrefix(got, []byte("E")) || !bytes.Contains(got, []byte(s.message)) {
			c.t.Errorf("client got %q, want an error of the server's with %q in it", got[:min(len(got), 200)], s.message)
		}
		return
	}
	response := c.refused()
	if response.Code != s.code || !strings.Contains(response.Message, s.message) {
		c.t.Errorf("got %s %q, want %s and %q", response.Code, response.Message, s.code, s.message)
	}
	if strings.Contains(fmt.Sprint(response), "evil words") {
		c.t.Errorf("got %v, which repeats what came before TLS", response)
	}
}

// checkSpoils looks at what db got of the credential, inside of TLS and outside.
func checkSpoils(t *testing.T, db *database, gets string) {
	t.Helper()
	if n := len(db.all()); n != 1 {
		t.Errorf("the server saw %d connections, want 1", n)
	}
	for _, c := range db.all() {
		c.mu.Lock()
		got := bytes.Join([][]byte{c.outside, c.inside}, nil)
		outside := bytes.Contains(c.outside, []byte(secret))
		c.mu.Unlock()
		if n := bytes.Count(got, []byte(secret)); n > 1 || outside || (n == 1) != (gets == all) {
			t.Errorf("the server got the password %d times (in clear: %v), want %s", n, outside, gets)
		}
		if sent := bytes.Contains(got, []byte(",p=")); sent != (gets == aProof) {
			t.Errorf("the server got a proof: %v, want %s", sent, gets)
		}
		if bytes.Contains(got, []byte("pmd5")) || bytes.Contains(got, []byte("\x28md5")) {
			t.Errorf("the server got a hash of the password: %q", got)
		}
	}
}

// good is a server that is as it should be, for the route called name.
func good(name string) script {
	switch name {
	case "direct TLS":
		return direct(goodTLS())
	case "SCRAM is required":
		return asking[methodSCRAM]
	}
	return takes(secret)
}

// below are servers that log in by methods that the route does not allow.
func below(methods ...string) (servers []hostileServer) {
	for _, method := range methods {
		servers = append(servers, hostileServer{"asks for " + method, invalidAuthorization, `method "` + method + `"`, asking[method]})
	}
	return servers
}

// badDirectTLS are servers that don't know what it is, or take it for something else.
func badDirectTLS() []hostileServer {
	mute, foreign := goodTLS().Clone(), goodTLS().Clone()
	mute.NextProtos, foreign.NextProtos = nil, []string{"h2"}
	return []hostileServer{
		{"without ALPN", invalidAuthorization, "ALPN", direct(mute)},
		{"of another protocol", invalidAuthorization, "TLS handshake", direct(foreign)},
		{"that wants to be asked first", cannotConnectNow, "TLS handshake", func(c *dbConn) { c.sslRequest() }},
		{"that speaks in clear", invalidAuthorization, "not TLS", func(c *dbConn) { c.write(request(3)...); c.wait() }},
		{"of another CA", invalidAuthorization, "not signed by", direct(serverTLS(otherCA().issue(nil)))},
	}
}

// silentServers fall silent at one step each.
var silentServers = []hostileServer{
	{"at once", cannotConnectNow, "", func(c *dbConn) { c.wait() }},
	{"after SSLRequest", cannotConnectNow, "", func(c *dbConn) { c.sslRequest(); c.wait() }},
	{"after S", cannotConnectNow, "", func(c *dbConn) { c.sslRequest(); c.write('S'); c.wait() }},
	{"in TLS", cannotConnectNow, "", func(c *dbConn) { c.sslRequest(); c.write('S', 0x16, 3, 3, 0, 99); c.wait() }},
	{"after TLS", cannotConnectNow, "", func(c *dbConn) { c.open(); c.wait() }},
	{"in a message", cannotConnectNow, "", func(c *dbConn) { c.open(); c.write('R', 0); c.wait() }},
	{"in SCRAM", cannotConnectNow, "", func(c *dbConn) { c.open(); c.write(request(10, fields("SCRAM-SHA-256", "")...)...); c.wait() }},
	{"sends a byte at a time", cannotConnectNow, "", func(c *dbConn) {
		c.open()
		c.write('E', 0, 0, 0xff, 0)
		tick := time.NewTicker(handshakeLimit / 20)
		defer tick.Stop()
		for range tick.C {
			c.write('x')
		}
	}},
}

// endless says b again and again until the other side has ended the connection.
func (c *dbConn) endless(b ...byte) {
	many := bytes.Repeat(b, 1+4<<10/len(b))
	for {
		c.write(many...)
	}
}

// TestOddCancelKeyIsNotKept has servers whose keys no cancel request can name; clients get them as they are.
func TestOddCancelKeyIsNotKept(t *testing.T) {
	for _, size := range []int{0, 3, 257, 300, 100_000} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			db := startDatabase(t, says(request(0), raw('K', make([]byte, 4+size)...), raw('Z', 'I')))
			v := serve(t, db.addr)
			c := v.dial(t)
			c.startup()
			if got := c.untilReady(); !bytes.Contains(got, raw('K', make([]byte, 4+size)...)) {
				t.Errorf("client got %d bytes, want the key of %d in them", len(got), size)
			}
			if n := v.engine.keys(); n != 0 {
				t.Errorf("%d keys are kept, want none", n)
			}
		})
	}
}

// A server may say as much as it likes between the login and the first command: it is passed on, and
// nothing of it is kept.
func TestEndlessPrologueEndsWithTheClient(t *testing.T) {
	var serving sync.WaitGroup
	serving.Add(1)
	db := startDatabase(t, func(c *dbConn) {
		defer serving.Done()
		c.open()
		c.password()
		c.send(authOk)
		notice, err := (&pgproto3.NoticeResponse{Severity: "NOTICE", Message: strings.Repeat("x", 10_000)}).Encode(nil)
		c.must(err)
		c.endless(notice...)
	})
	c := serve(t, db.addr).dial(t)
	c.startup()
	c.read(4 << 20)
	c.Close()
	serving.Wait()
}
