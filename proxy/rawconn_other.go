//go:build !linux

package proxy

import "net"

// fast returns conn; see rawconn_linux.go for what could be gained.
func fast(conn net.Conn) net.Conn { return conn }
