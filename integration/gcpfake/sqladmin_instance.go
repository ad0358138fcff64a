package gcpfake

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// connectorPort is where every instance listens for connectors. It can't be changed on their side.
const connectorPort = "3307"

// An Instance is a Cloud SQL instance: a TLS server that demands one of its client certificates, and
// passes the bytes inside on to a database without TLS.
type Instance struct {
	Address string // 127.x.y.z, where it listens at port 3307; read it before Move

	admin                 *SQLAdmin
	project, region, name string
	target                string // host:port of the database
	serverCA, clientCA    *authority

	listener net.Listener
	tasks    sync.WaitGroup // the accepting goroutine and the connections

	mu       sync.Mutex
	kinds    []string // of addresses: PRIMARY, PRIVATE, PSC
	version  string
	tokens   map[string]string // login token by the serial number of its certificate
	logins   []string
	accepted map[net.Conn]bool
	closed   bool
}

// ServeInstance starts the instance project:region:name, whose database is at target, a host:port. It
// listens at a loopback address of its own, because the port is the same for all. It has a public
// address and is PostgreSQL, unless told otherwise.
func (a *SQLAdmin) ServeInstance(name, target string) (*Instance, error) {
	parts := strings.Split(name, ":")
	if len(parts) < 3 {
		return nil, fmt.Errorf("%q is not project:region:name", name)
	}
	n := len(parts)
	i := &Instance{
		admin: a, project: strings.Join(parts[:n-2], ":"), region: parts[n-2], name: parts[n-1], target: target,
		kinds: []string{"PRIMARY"}, version: "POSTGRES_17", tokens: make(map[string]string), accepted: make(map[net.Conn]bool),
	}
	var err error
	if i.listener, err = listenConnector(); err != nil {
		return nil, err
	}
	i.Address, _, _ = net.SplitHostPort(i.listener.Addr().String())
	if i.serverCA, err = newAuthority("Google Cloud SQL Server CA"); err != nil {
		return nil, err
	}
	if i.clientCA, err = newAuthority("Google Cloud SQL Client CA"); err != nil {
		return nil, err
	}
	certificate, err := i.serverCA.server(i.project + ":" + i.name)
	if err != nil {
		return nil, err
	}
	a.state.Lock()
	a.instances[i.project+":"+i.name] = i
	a.state.Unlock()
	config := &tls.Config{
		Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: i.clientCA.pool(),
	}
	i.tasks.Go(func() { i.accept(config) })
	return i, nil
}

// SetAddresses sets which kinds of addresses the instance has: PRIMARY, PRIVATE, PSC.
func (i *Instance) SetAddresses(kinds ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.kinds = kinds
}

// Move makes the instance say another address than the one at which it listens.
func (i *Instance) Move(address string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.Address = address
}

// SetVersion sets the version of the database, such as MYSQL_8_4.
func (i *Instance) SetVersion(version string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.version = version
}

// Logins returns the principals that connected, in their order. It is the login token's, and so the
// one that the database would see.
func (i *Instance) Logins() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.logins)
}

func (i *Instance) close() {
	i.mu.Lock()
	i.closed = true
	for conn := range i.accepted {
		conn.Close()
	}
	i.mu.Unlock()
	i.listener.Close()
	i.tasks.Wait()
}

// settings is the answer of connectSettings.
func (i *Instance) settings() map[string]any {
	i.mu.Lock()
	defer i.mu.Unlock()
	settings := map[string]any{
		"kind": "sql#connectSettings", "region": i.region, "backendType": "SECOND_GEN", "databaseVersion": i.version,
		"serverCaCert": map[string]string{"kind": "sql#sslCert", "cert": i.serverCA.pem()},
		"serverCaMode": "GOOGLE_MANAGED_INTERNAL_CA",
	}
	addresses := []any{}
	for _, kind := range i.kinds {
		if kind == "PSC" {
			settings["pscEnabled"], settings["dnsName"] = true, i.Address
			continue
		}
		addresses = append(addresses, map[string]string{"type": kind, "ipAddress": i.Address})
	}
	settings["ipAddresses"] = addresses
	return settings
}

// sign makes the certificate of a client, and remembers the login that goes with it.
func (i *Instance) sign(key crypto.PublicKey, token string, life time.Duration) string {
	text, serial := i.clientCA.client(key, life)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tokens[serial] = token
	return text
}

func (i *Instance) accept(config *tls.Config) {
	for {
		conn, err := i.listener.Accept()
		if err != nil {
			return
		}
		i.mu.Lock()
		if i.closed {
			i.mu.Unlock()
			conn.Close()
			return
		}
		i.accepted[conn] = true
		i.mu.Unlock()
		i.tasks.Go(func() { i.serve(tls.Server(conn, config), conn) })
	}
}

// serve passes one connection on, if its certificate stands for a login that is good now.
func (i *Instance) serve(client *tls.Conn, raw net.Conn) {
	defer func() {
		client.Close()
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.accepted, raw)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if client.HandshakeContext(ctx) != nil || !i.login(client.ConnectionState().PeerCertificates[0]) {
		return
	}
	database, err := (&net.Dialer{}).DialContext(ctx, "tcp", i.target)
	if err != nil {
		return
	}
	defer database.Close()
	var answers sync.WaitGroup
	answers.Go(func() {
		_, _ = io.Copy(client, database)
		client.Close() // which ends the other direction too
	})
	_, _ = io.Copy(database, client)
	_ = database.(*net.TCPConn).CloseWrite()
	answers.Wait()
}

func (i *Instance) login(certificate *x509.Certificate) bool {
	i.mu.Lock()
	token := i.tokens[certificate.SerialNumber.String()]
	i.mu.Unlock()
	if !i.admin.TokenValid(token) {
		return false
	}
	t, _ := i.admin.Token(token)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.logins = append(i.logins, t.Principal)
	return true
}

// listenConnector finds a loopback address whose port is free.
func listenConnector() (net.Listener, error) {
	var failures error
	for c := byte(1); c < 255; c++ {
		l, err := net.Listen("tcp", net.JoinHostPort(net.IPv4(127, 33, 7, c).String(), connectorPort))
		if err == nil {
			return l, nil
		}
		failures = errors.Join(failures, err)
	}
	return nil, failures
}
