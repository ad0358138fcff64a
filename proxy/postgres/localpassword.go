package postgres

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/xdg-go/scram"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// A Verifier finds out whether a client knows the local password, by SCRAM-SHA-256. It keeps what
// PostgreSQL keeps of a password, from which nobody can log in. It is safe for concurrent use.
type Verifier struct {
	// Hint says where the password is, to a client that has another one; empty is no word about it.
	Hint string

	server *scram.Server
}

// What PostgreSQL takes for a password that it is given in clear.
const (
	localIterations = 4096
	localSaltBytes  = 16
)

// NewVerifier returns a Verifier for password, which must not be empty.
func NewVerifier(password tokens.Secret) (*Verifier, error) {
	if password.Empty() {
		return nil, errors.New("the local password is empty")
	}
	client, err := scramClient(password.Reveal())
	if err != nil {
		return nil, fmt.Errorf("prepare the local password: %w", err)
	}
	salt := make([]byte, localSaltBytes)
	if _, err := rand.Read(salt); err != nil {
		return nil, fmt.Errorf("choose a salt: %w", err)
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: localIterations})
	if err != nil {
		return nil, fmt.Errorf("prepare the local password: %w", err)
	}
	// Whom the client calls itself here is of no interest, as in a server.
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	if err != nil {
		return nil, fmt.Errorf("prepare the local password: %w", err)
	}
	return &Verifier{server: server}, nil
}

// ask has client, who goes by the name of user and may bind its proof to binding, prove that it knows the
// password, and proves to it that this side does too. The caller tells client about an error.
//
// https://www.postgresql.org/docs/current/sasl-authentication.html
func (v *Verifier) ask(client net.Conn, binding scram.ChannelBinding, user string) error {
	offer := &pgproto3.AuthenticationSASL{AuthMechanisms: []string{mechanismSCRAM}}
	if binding.IsSupported() {
		offer.AuthMechanisms = []string{mechanismSCRAMPlus, mechanismSCRAM}
	}
	answer, err := v.exchange(client, offer)
	if err != nil {
		return err
	}
	mechanism, first, err := parseSASLInitialResponse(answer)
	if err != nil {
		return err
	}
	conversation, err := v.conversation(mechanism, first, binding)
	if err != nil {
		return err
	}
	challenge, err := conversation.Step(first)
	switch {
	case err != nil:
		return v.failed(challenge, user)
	case conversation.AuthzID() != "":
		return clientError(featureNotSupported, checkClient, "client uses authorization identity, but it is not supported")
	}
	proof, err := v.exchange(client, &pgproto3.AuthenticationSASLContinue{Data: []byte(challenge)})
	if err != nil {
		return err
	}
	final, err := conversation.Step(string(proof))
	if err != nil || !conversation.Valid() {
		return v.failed(final, user)
	}
	return say(client, &pgproto3.AuthenticationSASLFinal{Data: []byte(final)})
}

// exchange sends question and returns the body of the answer.
func (v *Verifier) exchange(client net.Conn, question pgproto3.BackendMessage) ([]byte, error) {
	if err := say(client, question); err != nil {
		return nil, err
	}
	m, err := readMessage(client, maxLoginMessage)
	_, badLength := errors.AsType[*lengthError](err)
	switch {
	case badLength:
		return nil, clientError(protocolViolation, checkClient, "%w", err)
	case err == io.EOF:
		// As psql does, which asks its user then and comes back.
		return nil, &proxy.SetupError{
			Stage: proxy.StagePeer, Err: errors.New("client left when it was asked for the local password"), Advice: v.advice(),
		}
	case err != nil:
		return nil, &proxy.SetupError{Stage: proxy.StageClient, Err: fmt.Errorf("read the client's answer to SASL: %w", err), Advice: v.advice()}
	case m.kind() != 'p':
		return nil, clientError(protocolViolation, checkClient, "expected SASL response, got message type %q", m.kind())
	}
	return m.body(), nil
}

// say sends m to client.
func say(client net.Conn, m pgproto3.BackendMessage) error {
	encoded, err := m.Encode(nil)
	if err == nil {
		_, err = client.Write(encoded)
	}
	if err != nil {
		return &proxy.SetupError{Stage: proxy.StageClient, Err: fmt.Errorf("ask the client for the local password: %w", err)}
	}
	return nil
}

// parseSASLInitialResponse reads the body of a SASLInitialResponse:
//
//	n  name of the mechanism, zero
//	4  length of what follows; -1 is nothing, for mechanisms that are not SCRAM
//	n  the mechanism's first message
//
// A client that knows nothing of SASL sends its password there, so that no error repeats it.
func parseSASLInitialResponse(body []byte) (mechanism, first string, err error) {
	name, rest, ok := bytes.Cut(body, []byte{0})
	if mechanism = string(name); !ok || mechanism != mechanismSCRAM && mechanism != mechanismSCRAMPlus {
		return "", "", clientError(protocolViolation, checkClient, "client selected an invalid SASL authentication mechanism")
	}
	if len(rest) < 4 || int64(binary.BigEndian.Uint32(rest)) != int64(len(rest)-4) {
		return "", "", clientError(protocolViolation, checkClient, "malformed SASL initial response")
	}
	return mechanism, string(rest[4:]), nil
}

// conversation returns the server's half of the exchange by mechanism. The first message says what the
// client knows of channel binding (see scramConversation), and may not say that this side doesn't offer
// it where it does: somebody on the way would have left the offer out.
func (v *Verifier) conversation(mechanism, first string, binding scram.ChannelBinding) (*scram.ServerConversation, error) {
	switch bound := mechanism == mechanismSCRAMPlus; {
	case bound && !binding.IsSupported():
		return nil, clientError(protocolViolation, checkClient, "client selected an invalid SASL authentication mechanism")
	case bound:
		return v.server.NewConversationWithChannelBindingRequired(binding), nil
	case strings.HasPrefix(first, "p="):
		return nil, errBindingNegotiation
	case binding.IsSupported():
		return v.server.NewConversationWithChannelBinding(binding), nil
	}
	return v.server.NewConversation(), nil
}

// failed is the error for a client that the exchange failed with for a reason, as RFC 5802 names it. The
// words are a server's.
func (v *Verifier) failed(reason, user string) error {
	switch reason {
	case scram.ErrInvalidProof:
		return &proxy.SetupError{
			Stage: proxy.StagePeer,
			Err: coded{
				error:    fmt.Errorf(`password authentication failed for user "%s"`, user),
				sqlstate: invalidPassword, asServer: true,
			},
			Advice: v.advice(), Permanent: true,
		}
	case scram.ErrChannelBindingsDontMatch:
		return clientError(invalidAuthorization, bindingAdvice, "SCRAM channel binding check failed")
	case scram.ErrServerDoesSupportChannelBinding, scram.ErrChannelBindingNotSupported, scram.ErrUnsupportedChannelBindingType:
		return errBindingNegotiation
	}
	return clientError(protocolViolation, checkClient, "malformed SCRAM message")
}

const bindingAdvice = "something stands between the client and dbvalet that ends TLS; let the client connect to dbvalet itself"

var errBindingNegotiation = clientError(invalidAuthorization, bindingAdvice, "SCRAM channel binding negotiation error")

// advice is for who is asked for the local password and can't give it.
func (v *Verifier) advice() string {
	advice := "dbvalet asks for a password of its own here, not for the database's"
	if v.Hint != "" {
		advice += "; " + v.Hint
	}
	return advice
}

// localBinding returns what the client can bind its proof to: the certificate that it was shown, if
// there is only one that it can be; nothing where there is no TLS.
func localBinding(client *proxy.Client) (none scram.ChannelBinding) {
	config := client.Door.TLS
	if client.TLS() == nil || len(config.Certificates) != 1 || config.GetCertificate != nil || config.GetConfigForClient != nil {
		return none
	}
	cert := config.Certificates[0].Leaf
	if cert == nil {
		var err error
		if cert, err = x509.ParseCertificate(config.Certificates[0].Certificate[0]); err != nil {
			return none
		}
	}
	// It is the client's point of view in which the certificate is the peer's.
	binding, err := scram.NewTLSServerEndpointBinding(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}})
	if err != nil {
		return none
	}
	return binding
}
