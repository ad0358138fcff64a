//go:build !windows && !plan9

package audit

import (
	"io"
	"log/syslog"
)

// openSyslog connects to this machine's syslog, or to another at addr.
func openSyslog(network, addr string) (io.WriteCloser, error) {
	return syslog.Dial(network, addr, syslog.LOG_INFO|syslog.LOG_AUTH, "dbvalet")
}
