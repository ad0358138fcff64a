package tunnel

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// A hostKeys is how a bastion proves that it is the right one.
type hostKeys struct {
	host    *sshHost
	db      *knownhosts.HostKeyDB
	revoked []ssh.PublicKey // besides those that db marks
}

// newHostKeys reads known_hosts, at each login anew: what a hint said may have been done.
func (s *sshHost) newHostKeys() (*hostKeys, *Error) {
	files := slices.DeleteFunc(slices.Clone(s.knownHosts), func(file string) bool {
		_, err := os.Stat(file)
		return err != nil && !s.mustExist
	})
	db, err := knownhosts.NewDB(files...)
	if err != nil {
		return nil, s.final("correct or remove what can't be read there", fmt.Errorf("read the known host keys: %w", err))
	}
	revoked, err := readRevoked(s.revoked)
	if err != nil {
		return nil, s.final("RevokedHostKeys in ~/.ssh/config needs a file with a public key in each line; @revoked in known_hosts does the same", fmt.Errorf("read the revoked host keys: %w", err))
	}
	return &hostKeys{s, db, revoked}, nil
}

// readRevoked reads a file with a key in each line.
func readRevoked(file string) (keys []ssh.PublicKey, err error) {
	if file == "" {
		return nil, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(content, []byte("SSHKRL\n")) { // https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.krl
		return nil, fmt.Errorf("%s is a KRL, a form that dbvalet does not know", file)
	}
	n := 0
	for line := range bytes.Lines(content) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		if cert, ok := key.(*ssh.Certificate); ok {
			key = cert.Key
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// algorithms are those of the keys that known_hosts has. A bastion that has others as well would choose
// one of them, and look like another host. Of a bastion that isn't known, or only without its port, a bare
// key of another kind will do, as it is only to be shown.
func (k *hostKeys) algorithms() []string {
	if known := k.known(k.host.keyName); len(known) > 0 {
		return known
	}
	return append(k.known(k.host.portless),
		ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
}

// known are the algorithms of the keys that known_hosts has for name. Where it has an authority, whose key
// may be of another kind than those that it certifies, certificates of all kinds come first.
func (k *hostKeys) known(name string) []string {
	known := k.db.HostKeyAlgorithms(name)
	if bare := slices.DeleteFunc(slices.Clone(known), isCertificate); len(bare) < len(known) {
		return append([]string{
			ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01, ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
		}, bare...)
	}
	return known
}

func isCertificate(algorithm string) bool { return strings.Contains(algorithm, "-cert-") }

// check is an ssh.HostKeyCallback. Its errors are *Errors.
func (k *hostKeys) check(_ string, remote net.Addr, key ssh.PublicKey) error {
	s, trusted := k.host, k.db.HostKeyCallback()
	shown, authority := key, key
	if cert, ok := key.(*ssh.Certificate); ok {
		shown, authority = cert.Key, cert.SignatureKey
	}
	is := fmt.Sprintf("%s %s", shown.Type(), ssh.FingerprintSHA256(shown))
	if slices.ContainsFunc(k.revoked, func(r ssh.PublicKey) bool { return sameKey(r, shown) || sameKey(r, authority) }) {
		return s.final("it must not be trusted; ask whoever runs the host", fmt.Errorf("its host key, %s, or what certifies it is revoked in %s", is, s.revoked))
	}
	err := trusted(s.keyName, remote, key)
	if err == nil || len(k.known(s.keyName)) == 0 && trusted(s.portless, remote, key) == nil {
		return nil
	}
	mismatch, isMismatch := errors.AsType[*xknownhosts.KeyError](err)
	_, isRevoked := errors.AsType[*xknownhosts.RevokedError](err)
	switch {
	case isRevoked:
		return s.final("it must not be trusted; ask whoever runs the host", fmt.Errorf("its host key, %s, is marked as @revoked in known_hosts", is))
	case isMismatch && len(mismatch.Want) == 0:
		return s.final(s.learn(), fmt.Errorf("its host key is not known: %s", is))
	case isMismatch:
		want := mismatch.Want[0]
		return s.final(
			fmt.Sprintf(`somebody may be listening in; ask whoever runs the host, and only if the key was changed on purpose: ssh-keygen -R '%s' -f %s, then %s`, xknownhosts.Normalize(s.keyName), want.Filename, s.command),
			fmt.Errorf("its host key has changed: it is %s, and %s:%d has %s", is, want.Filename, want.Line, ssh.FingerprintSHA256(want.Key)))
	}
	return s.final("ask whoever runs the host; "+s.learn(), fmt.Errorf("its host certificate will not do: %s", printable(strings.TrimPrefix(err.Error(), "ssh: "))))
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// learn says how a host key becomes known.
func (s *sshHost) learn() string {
	scan := "ssh-keyscan "
	if s.port != "22" {
		scan += "-p " + s.port + " "
	}
	return fmt.Sprintf(`compare the fingerprint with what whoever runs the host says, and run "%s", which asks and remembers; or "%s%s >>%s"`,
		s.command, scan, s.name, s.knownHosts[0])
}

// final is an error that trying again does not change.
func (s *sshHost) final(advice string, err error) *Error {
	return &Error{Hop: s.hop.String(), Err: err, Advice: advice, Permanent: true}
}
