package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"

	"dbvalet/config"
	"dbvalet/peer"
	"dbvalet/proxy"
)

// autoListen is the word in listen= for a port on 127.0.0.1 that dbvalet chooses, and keeps from run to run.
const autoListen = "auto"

// maxTried is how many ports are tried, from the protocol's own on.
const maxTried = 1000

// ownPort is the protocol's own port, which clients use unless they are told otherwise.
func ownPort(scheme string) int {
	if scheme == "mysql" {
		return 3306
	}
	return 5432
}

// autoKey is whose port it is. Routes of the same name, for staging and production perhaps, have one each.
func autoKey(r *config.Route) portOwner {
	switch {
	case r.Host != "":
		return portOwner{r.Name, r.Endpoint()}
	case r.Instance != "":
		return portOwner{r.Name, r.Instance}
	}
	return portOwner{r.Name, sourceName(r.Auth)}
}

// autoPorts opens the ports of listen=auto. The zero value is ready; calls are not concurrent.
type autoPorts struct {
	// last is what was remembered at the last call: with Landlock in force nobody may look again.
	last []keptPort
}

// open listens for r on the port that it had before, or else on the first free one from the protocol's own
// on that is not another route's. What is remembered is locked until the port is open and noted, so that of
// two dbvalets that start at once neither gets the other's.
func (a *autoPorts) open(r *config.Route, log *slog.Logger) (net.Listener, error) {
	log = log.With("route", r.Name)
	memory := openPortMemory(a.last, log)
	defer func() { a.last = memory.ports; memory.close() }()
	owner := autoKey(r)
	kept := memory.port(owner)
	if kept != 0 {
		ln, err := listenLocally(kept)
		if err == nil {
			memory.keep(owner, kept)
			return ln, nil
		}
		log.Warn("the port of listen=auto is taken, so that the route has another one this time", takenBy(kept, err)...)
	}
	first := ownPort(r.Scheme)
	for port := first; port < first+maxTried; port++ {
		if port == kept || memory.has(port) {
			continue
		}
		ln, err := listenLocally(port)
		if err == nil {
			if kept == 0 {
				memory.keep(owner, port)
			}
			return ln, nil
		}
		if !proxy.IsInUse(err) {
			return nil, &proxy.ListenError{Addr: autoListen, Err: err, Advice: "write an address into listen="}
		}
	}
	return nil, &proxy.ListenError{
		Addr: autoListen, Err: fmt.Errorf("no port from %d to %d is free", first, first+maxTried-1),
		Advice: cmp.Or(memory.advice(), "write an address into listen="),
	}
}

// listenLocally is not proxy.Listen, which takes its time to find out who has a port that is taken.
func listenLocally(port int) (net.Listener, error) {
	return net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
}

// takenBy is what to say about a port that can't be had.
func takenBy(port int, err error) []any {
	attrs := []any{"port", port}
	if h, ok := peer.HolderOf(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}); ok {
		return append(attrs, "by", h.String())
	}
	return append(attrs, "err", err)
}
