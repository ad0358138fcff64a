package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// A keyring is what a bastion is logged in to with: the agent's keys and those in files.
type keyring struct {
	host    *sshHost
	signers []ssh.Signer
	names   []string // of signers, for errors
	locked  []string // files with a passphrase, whose keys the agent does not have
	unread  []string // what is wrong with files that the user has named
	refused []int    // of signers, those that did not sign; they are the agent's
	passed  int      // of refused, those that goOn has seen
	noAgent error    // why there is none
	agent   net.Conn // nil: there is none
}

// maxKeyFile is how long a file with a key may be, in bytes.
const maxKeyFile = 1 << 20

// newKeyring collects the keys. Those that the user has named come first: a bastion hangs up after a
// few that it does not want. The keyring is closed after the login.
func (s *sshHost) newKeyring(ctx context.Context) (*keyring, *Error) {
	k := &keyring{host: s}
	held := k.askAgent(ctx)
	for _, file := range s.keys {
		err := k.addFile(file, held)
		if err != nil && s.mustRead {
			k.close()
			return nil, s.final(keyAdvice(file, err), fmt.Errorf("read the key %s: %w", file, err))
		}
		if err != nil { // another may do
			k.unread = append(k.unread, fmt.Sprintf("read the key %s: %v", file, err))
		}
	}
	if !s.onlyKeys {
		for _, signer := range held {
			k.add(signer, "the agent's "+agentName(signer))
		}
	}
	for _, file := range s.usualKeys {
		_ = k.addFile(file, held) // it is there or it isn't
	}
	if len(k.signers) == 0 {
		k.close()
		return nil, s.final(k.advice(), errors.New("there is no key to log in with"+k.missing()))
	}
	return k, nil
}

func (k *keyring) close() {
	if k.agent != nil {
		k.agent.Close()
	}
}

// askAgent returns what the agent holds.
func (k *keyring) askAgent(ctx context.Context) []ssh.Signer {
	if k.host.agent == "" {
		return nil
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", k.host.agent)
	if err != nil {
		k.noAgent = err
		return nil
	}
	k.agent = conn
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		k.noAgent = err
	}
	return signers
}

// agentName is what the agent calls a key: usually the file that it came from.
func agentName(signer ssh.Signer) string {
	if key, ok := signer.PublicKey().(*agent.Key); ok && key.Comment != "" {
		return printable(key.Comment)
	}
	return ssh.FingerprintSHA256(signer.PublicKey())
}

// add adds a key, unless it is there already.
func (k *keyring) add(signer ssh.Signer, name string) {
	for _, other := range k.signers {
		if bytes.Equal(other.PublicKey().Marshal(), signer.PublicKey().Marshal()) {
			return
		}
	}
	if s, ok := signer.(ssh.AlgorithmSigner); ok {
		signer = &watchedSigner{s, k, len(k.signers)}
	}
	k.signers, k.names = append(k.signers, signer), append(k.names, name)
}

// A watchedSigner notes that it did not sign: the agent's user did not confirm, or a token is not there.
type watchedSigner struct {
	ssh.AlgorithmSigner
	ring *keyring
	at   int // its place there
}

func (s *watchedSigner) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	signature, err := s.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
	if err != nil {
		s.ring.refused = append(s.ring.refused, s.at)
	}
	return signature, err
}

// goOn is an AuthCallback. Where a key did not sign, it goes on to those behind it, as OpenSSH does; SSH's
// package would end the login.
func (k *keyring) goOn(*ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	if len(k.refused) == k.passed {
		return nil, nil // the next method is the package's to choose
	}
	k.passed = len(k.refused)
	at := k.refused[k.passed-1]
	key := bareKey(k.signers[at])
	rest := slices.DeleteFunc(slices.Clone(k.signers[at+1:]), func(other ssh.Signer) bool {
		return bytes.Equal(bareKey(other), key) // without its certificate
	})
	if len(rest) == 0 {
		return nil, nil
	}
	return ssh.PublicKeys(rest...), nil
}

// bareKey is the public key of signer, without a certificate.
func bareKey(signer ssh.Signer) []byte {
	blob := signer.PublicKey().Marshal()
	if key, err := ssh.ParsePublicKey(blob); err == nil {
		if cert, ok := key.(*ssh.Certificate); ok {
			return cert.Key.Marshal()
		}
	}
	return blob
}

// refusal names the keys that did not sign; empty: there are none.
func (k *keyring) refusal() string {
	var names []string
	for _, at := range k.refused {
		names = append(names, k.names[at])
	}
	if names == nil {
		return ""
	}
	return "the agent did not sign with " + strings.Join(names, ", ")
}

// addFile adds the key in a file. Where it has a passphrase, or is only named by its public half, the
// agent's is taken. A certificate beside it is shown too, as OpenSSH does.
func (k *keyring) addFile(file string, held []ssh.Signer) error {
	signer, err := readKey(file)
	if err != nil {
		public := publicHalf(file, err)
		for _, other := range held {
			if public != nil && bytes.Equal(other.PublicKey().Marshal(), public.Marshal()) {
				signer = other
			}
		}
		if signer == nil {
			if _, ok := errors.AsType[*ssh.PassphraseMissingError](err); ok {
				k.locked = append(k.locked, file)
			}
			return err
		}
	}
	if certified, ok := withCertificate(file, signer); ok {
		k.add(certified, file+"-cert.pub")
	}
	k.add(signer, file)
	return nil
}

func readKey(file string) (ssh.Signer, error) {
	if info, err := os.Stat(file); err != nil {
		return nil, pathCause(err)
	} else if info.Size() > maxKeyFile {
		return nil, errors.New("it is too long for a key")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, pathCause(err)
	}
	return ssh.ParsePrivateKey(content)
}

// pathCause leaves out the path, which is said anyway.
func pathCause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// publicHalf is the public key that belongs to a private one that can't be read; nil: it isn't known.
func publicHalf(file string, err error) ssh.PublicKey {
	if e, ok := errors.AsType[*ssh.PassphraseMissingError](err); ok && e.PublicKey != nil {
		return e.PublicKey
	}
	return readPublic(strings.TrimSuffix(file, ".pub") + ".pub")
}

func readPublic(file string) ssh.PublicKey {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(content)
	if err != nil {
		return nil
	}
	return key
}

// withCertificate returns signer with the certificate that stands beside file.
func withCertificate(file string, signer ssh.Signer) (ssh.Signer, bool) {
	cert, ok := readPublic(file + "-cert.pub").(*ssh.Certificate)
	if !ok {
		return nil, false
	}
	certified, err := ssh.NewCertSigner(cert, signer)
	return certified, err == nil
}

// keyAdvice is for a key that the user has named and that can't be had.
func keyAdvice(file string, err error) string {
	if _, ok := errors.AsType[*ssh.PassphraseMissingError](err); ok {
		return fmt.Sprintf(`the key has a passphrase: run "ssh-add %s", and start dbvalet where SSH_AUTH_SOCK is set`, file)
	}
	return "check the file; it should have a private key as ssh-keygen makes it"
}

// advice is for a login without a key that will do.
func (k *keyring) advice() string {
	switch {
	case len(k.locked) > 0:
		return fmt.Sprintf(`%s has a passphrase: run "ssh-add %s", and start dbvalet where SSH_AUTH_SOCK is set`, k.locked[0], k.locked[0])
	case len(k.signers) > 0:
		return fmt.Sprintf(`try "%s"; name the key with ssh_key=FILE on the route, or add it with ssh-add`, k.host.command)
	}
	return "name a key with ssh_key=FILE on the route, or run ssh-add and start dbvalet where SSH_AUTH_SOCK is set"
}

// missing says what was looked for.
func (k *keyring) missing() string {
	switch {
	case len(k.unread) > 0:
		return ": " + strings.Join(k.unread, ", ")
	case k.noAgent != nil:
		return fmt.Sprintf(": the agent at %s does not answer (%v), and no file has one", k.host.agent, dialCause(k.noAgent))
	case k.host.onlyKeys:
		return ": IdentitiesOnly in ~/.ssh/config leaves out the agent's, and no file has one that is not locked"
	case k.host.agent == "" && k.host.shellAgent:
		return ": SSH_AUTH_SOCK is not set, and no file has one that is not locked"
	case k.host.agent != "":
		return ": the agent holds none, and no file has one that is not locked"
	}
	return ": no file has one that is not locked"
}
