package proxy

import (
	"cmp"
	"net"
	"time"
)

// TCP says how soon it is noticed that the other end of a connection is gone without a word: a NAT that
// forgot it, or a host that died. Its zero value is within a minute. Where a connection is not TCP, it
// means nothing.
type TCP struct {
	// Keepalive is after how much silence the other end is asked whether it is there. It has three
	// answers to give, each within a third of that time. 0 is 30 seconds.
	Keepalive time.Duration
	// UserTimeout is for how long what was sent may stay unacknowledged. 0 is 60 seconds. It is for
	// Linux, and elsewhere the system's own.
	UserTimeout time.Duration
}

const (
	defaultKeepalive   = 30 * time.Second
	defaultUserTimeout = time.Minute
	keepaliveAnswers   = 3
)

// watch has the kernel do that for conn, or for what is below its TLS: that of the way to a proxy.
func (t TCP) watch(conn net.Conn) {
	switch c := conn.(type) {
	case *net.TCPConn:
		c.SetKeepAliveConfig(t.config())
		setUserTimeout(c, cmp.Or(t.UserTimeout, defaultUserTimeout))
	case interface{ NetConn() net.Conn }:
		t.watch(c.NetConn())
	}
}

func (t TCP) config() net.KeepAliveConfig {
	idle := cmp.Or(t.Keepalive, defaultKeepalive)
	return net.KeepAliveConfig{
		Enable: true, Idle: idle, Interval: max(idle/keepaliveAnswers, time.Second), Count: keepaliveAnswers,
	}
}
