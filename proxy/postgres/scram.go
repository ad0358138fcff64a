package postgres

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/xdg-go/scram"
	"github.com/xdg-go/stringprep"

	"dbvalet/proxy"
)

const (
	mechanismSCRAM     = "SCRAM-SHA-256"
	mechanismSCRAMPlus = "SCRAM-SHA-256-PLUS"
)

// maxIterations bounds the work that a server can ask for, to about half a second. PostgreSQL's
// default is 4,096.
const maxIterations = 1_000_000

// scram logs in by SCRAM-SHA-256, bound to the TLS connection where the database offers that, and
// demands the database's proof that it knows the password as well.
// https://www.postgresql.org/docs/current/sasl-authentication.html, RFC 5802, RFC 5929
func (l *login) scram(mechanisms []string) error {
	if !slices.Contains(mechanisms, mechanismSCRAM) && !slices.Contains(mechanisms, mechanismSCRAMPlus) {
		return proxy.LoginError("give the user a password, or IAM authentication, in the server's pg_hba.conf",
			"the database asks for SASL by %s, which dbvalet can't answer", proxy.Printable(strings.Join(mechanisms, ", ")))
	}
	if err := l.use(methodSCRAM); err != nil {
		return err
	}
	client, err := scramClient(l.cred.Password.Reveal())
	if err != nil {
		return scramError(err)
	}
	conversation, mechanism, err := l.scramConversation(client, mechanisms)
	if err != nil {
		return err
	}
	first, err := conversation.Step("")
	if err != nil {
		return scramError(err)
	}
	if err := l.send(&pgproto3.SASLInitialResponse{AuthMechanism: mechanism, Data: []byte(first)}); err != nil {
		return err
	}
	var challenge pgproto3.AuthenticationSASLContinue
	if err := l.receive(&challenge, pgproto3.AuthTypeSASLContinue); err != nil {
		return err
	}
	if n := iterations(challenge.Data); n > maxIterations {
		return proxy.LoginError("", "the server asks for %d iterations of SCRAM; at most %d are done", n, maxIterations)
	}
	proof, err := conversation.Step(string(challenge.Data))
	if err != nil {
		return scramError(err)
	}
	if err := l.send(&pgproto3.SASLResponse{Data: []byte(proof)}); err != nil {
		return err
	}
	var final pgproto3.AuthenticationSASLFinal
	if err := l.receive(&final, pgproto3.AuthTypeSASLFinal); err != nil {
		return err
	}
	// Without this a server that doesn't know the password could pass for the database.
	if _, err := conversation.Step(string(final.Data)); err != nil || !conversation.Valid() {
		return proxy.LoginError("the server may not be who it says it is; check host, port and ca= of the route",
			"SCRAM: the server could not prove that it knows the password")
	}
	return nil
}

// scramError is an error in the exchange; it may repeat what the server sent.
func scramError(err error) error {
	return proxy.LoginError("", "SCRAM: %s", proxy.Printable(err.Error()))
}

// scramClient prepares password as a PostgreSQL server does: by SASLprep or, where that can't be
// done, as it is.
func scramClient(password string) (*scram.Client, error) {
	if prepared, err := stringprep.SASLprep.Prepare(password); err == nil && prepared != "" {
		password = prepared
	}
	// The user name is the one of the startup message; PostgreSQL ignores it here.
	client, err := scram.SHA256.NewClientUnprepped("", password, "")
	if err != nil {
		return nil, err
	}
	return client.WithMinIterations(1), nil
}

// scramConversation chooses the mechanism. What is said about channel binding (RFC 5802, section 6)
// lets the server notice if somebody took an offer out on the way:
//
//	p  bound                          the server offers it and there is something to bind to
//	n  the client can't               the server offers it, but its certificate can't be bound to
//	y  the client could, if offered   the server doesn't offer it
func (l *login) scramConversation(client *scram.Client, mechanisms []string) (*scram.ClientConversation, string, error) {
	// There is no binding for a certificate whose signature names no hash, such as Ed25519.
	binding, err := scram.NewTLSServerEndpointBinding(l.bind)
	switch offered := slices.Contains(mechanisms, mechanismSCRAMPlus); {
	case offered && err == nil:
		return client.NewConversationWithChannelBinding(binding), mechanismSCRAMPlus, nil
	case !slices.Contains(mechanisms, mechanismSCRAM):
		return nil, "", proxy.LoginError("give the server a certificate that is signed with RSA or ECDSA",
			"the database insists on channel binding, which its certificate does not allow: %w", err)
	case err == nil:
		return client.NewConversationAdvertisingChannelBinding(), mechanismSCRAM, nil
	}
	return client.NewConversation(), mechanismSCRAM, nil
}

// receive reads the authentication request of the given kind into request. Anything else ends the
// login, AuthenticationOk before the server's proof above all.
func (l *login) receive(request pgproto3.BackendMessage, kind uint32) error {
	m, err := readMessage(l.conn, maxLoginMessage)
	if err != nil {
		return lost(err)
	}
	if m.kind() == 'E' {
		return l.refused(m)
	}
	if m.kind() != 'R' || len(m.body()) < 4 || !bytes.Equal(m.body()[:4], []byte{0, 0, 0, byte(kind)}) {
		return proxy.LoginError("the server may not be who it says it is; check host, port and ca= of the route",
			"SCRAM: the server left the exchange before its proof")
	}
	if err := request.Decode(m.body()); err != nil {
		return scramError(err)
	}
	return nil
}

// iterations finds the iteration count in a server-first-message, r=…,s=…,i=…; 0 if there is none.
func iterations(serverFirst []byte) int64 {
	for attr := range strings.SplitSeq(string(serverFirst), ",") {
		if value, ok := strings.CutPrefix(attr, "i="); ok {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return maxIterations + 1
			}
			return n
		}
	}
	return 0
}
