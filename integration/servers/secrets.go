package servers

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
)

// newSecret returns a random password or key without characters that need quoting anywhere.
func newSecret() string {
	return rand.Text()
}

// newAccessKeyID returns an access key id with the prefix that AWS uses for permanent or for
// temporary credentials.
func newAccessKeyID(temporary bool) string {
	prefix := "AKIA"
	if temporary {
		prefix = "ASIA"
	}
	return prefix + rand.Text()[:16]
}

// md5Verifier is what PostgreSQL stores of a password for its md5 method:
//
//	"md5" + hex(MD5(password + user))
func md5Verifier(user, password string) string {
	sum := md5.Sum([]byte(password + user))
	return "md5" + hex.EncodeToString(sum[:])
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
