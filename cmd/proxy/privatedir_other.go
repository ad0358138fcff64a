//go:build !unix

package main

import "errors"

// haveSockets says that clients on this system use no unix sockets.
const haveSockets = false

type privateDir struct{ path string }

func newPrivateDir() (*privateDir, error) {
	return nil, &commandError{err: errors.New("clients on this system use no unix sockets"), advice: "leave --unix out", status: exitUsage}
}

func (*privateDir) remove() {}
