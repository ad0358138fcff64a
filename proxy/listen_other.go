//go:build !unix

package proxy

import "net"

// listenPrivately leaves the access to the directory's own rules.
func listenPrivately(path string) (net.Listener, error) {
	return net.Listen("unix", path)
}
