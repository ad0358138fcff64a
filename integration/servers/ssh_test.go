package servers

import (
	"crypto/ed25519"
	"io"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// TestSSHServerForwards logs in with a key and has the server connect to itself.
func TestSSHServerForwards(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := StartSSH(t.Context(), SSHOptions{AuthorizedKeys: []string{string(ssh.MarshalAuthorizedKey(signer.PublicKey()))}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	_, _, hostKey, _, _, err := ssh.ParseKnownHosts([]byte(s.KnownHost))
	if err != nil {
		t.Fatal(err)
	}
	client, err := ssh.Dial("tcp", s.Addr(), &ssh.ClientConfig{
		User: SSHUser, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(hostKey),
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	defer client.Close()
	conn, err := client.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	defer conn.Close()
	greeting := make([]byte, len("SSH-2.0-"))
	if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != "SSH-2.0-" {
		t.Errorf("through the server: got %q, %v", greeting, err)
	}
	cmd, err := SSHClient(t.Context(), "ssh", "-V")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "OpenSSH_") {
		t.Errorf("ssh -V: got %q, %v", out, err)
	}
}
