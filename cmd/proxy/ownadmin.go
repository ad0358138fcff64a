package main

import (
	"net"
	"os"
	"path/filepath"

	"dbvalet/proxy"
)

// ownAdmin is where a dbvalet has its admin endpoints that somebody runs in a terminal and that was told
// no other place: a socket that only the user can connect to, in the user's own directory. Commands such
// as "dbvalet status" look there when they are not told either. Empty: there is none.
func ownAdmin() string {
	path := ownAdminPath()
	if _, err := os.Lstat(path); path == "" || err != nil {
		return ""
	}
	return path
}

func ownAdminPath() string {
	dir, err := runtimeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, adminSocket)
}

// listenOwn listens there. Nobody has asked for it, so that it may fail without a word: where another
// dbvalet is there already, that one is asked.
func listenOwn() []net.Listener {
	path := ownAdminPath()
	if path == "" || os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return nil
	}
	listeners, err := proxy.Listen(proxy.ListenOptions{Addr: path, SocketName: adminSocket})
	if err != nil {
		return nil
	}
	return listeners
}
