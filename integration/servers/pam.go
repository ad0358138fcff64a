package servers

import (
	"fmt"
	"path/filepath"
)

// writePAMService tells PAM, in the root, to let a verifier decide on logins to a service. PAM's
// account step, which comes after the password, has nothing to add.
func writePAMService(r *root, service, verifier, config string) error {
	content := fmt.Sprintf("auth required %s %s %s\naccount required pam_permit.so\n", pamModule, verifier, config)
	return writeForAll(pamServiceFile(r, service), []byte(content))
}

func pamServiceFile(r *root, service string) string {
	return filepath.Join(r.dir, "etc/pam.d", service)
}
