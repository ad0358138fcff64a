package dbtls

import "fmt"

// Mode says how much of the server's identity is verified. Names and meaning are libpq's sslmode, but
// for the last, which libpq does not have. The zero value is the strictest.
type Mode int

const (
	VerifyFull Mode = iota // signed by a trusted CA and made out to the server's name
	VerifyCA               // signed by a trusted CA
	Require                // encrypted; verified like VerifyCA if a CA file is given, as libpq does
	ZeroConfig             // encrypted; the server proves after the login that the certificate is its own
)

// modeNames is in the order of the constants.
var modeNames = [...]string{"verify-full", "verify-ca", "require", "zero-config"}

// ParseMode returns the mode that libpq calls s. The error is an *Error.
func ParseMode(s string) (Mode, error) {
	for i, name := range modeNames {
		if s == name {
			return Mode(i), nil
		}
	}
	const instead = "use tls=verify-full, or tls=require if the server's certificate can't be verified yet"
	switch s {
	case "disable":
		return 0, newError("TLS mode disable is refused: the credential would go over the network in clear").withHint(instead)
	case "allow", "prefer":
		return 0, newError("TLS mode %s is refused: anybody on the way could talk the connection down to plain text, and the credential would go in clear", s).withHint(instead)
	}
	return 0, newError("unknown TLS mode %q", s).
		withHint("use tls=verify-full, verify-ca or require (MySQL calls them VERIFY_IDENTITY, VERIFY_CA and REQUIRED)")
}

// String returns libpq's name of the mode.
func (m Mode) String() string {
	if !m.valid() {
		return fmt.Sprintf("Mode(%d)", int(m))
	}
	return modeNames[m]
}

func (m Mode) valid() bool { return m >= 0 && int(m) < len(modeNames) }
