package proxy

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// A rawConn makes the reads and writes of a connection without telling Go's scheduler, which it may
// because they never block: the descriptor is non-blocking, and where nothing is to be had the
// goroutine waits in the poller as ever. For the small messages of a database session, telling costs
// more than the system call itself. Everything else, deadlines included, is the connection's own.
//
// There may be one reader and one writer at a time.
type rawConn struct {
	net.Conn
	raw syscall.RawConn

	// What the functions below work on. They are made once, as a closure per call would be garbage.
	readable, writable func(fd uintptr) bool
	in, out            []byte // what is left to fill, and to send
	received           int
	readErr, writeErr  syscall.Errno
}

// fast returns conn with cheaper reads and writes, where its kind allows that.
func fast(conn net.Conn) net.Conn {
	system, ok := conn.(syscall.Conn)
	if !ok {
		return conn
	}
	raw, err := system.SyscallConn()
	if err != nil {
		return conn
	}
	c := &rawConn{Conn: conn, raw: raw}
	c.readable, c.writable = c.readNow, c.writeNow
	return c
}

func (c *rawConn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c.in = b
	err := c.raw.Read(c.readable)
	c.in = nil
	switch {
	case err != nil:
		return 0, err
	case c.readErr != 0:
		return 0, c.opError("read", c.readErr)
	case c.received == 0:
		return 0, io.EOF
	}
	return c.received, nil
}

func (c *rawConn) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c.out, c.writeErr = b, 0
	err := c.raw.Write(c.writable)
	sent := len(b) - len(c.out)
	c.out = nil
	if err == nil && c.writeErr != 0 {
		err = c.opError("write", c.writeErr)
	}
	return sent, err
}

// CloseWrite ends what is written, as the connection itself would.
func (c *rawConn) CloseWrite() error {
	closeWrite(c.Conn)
	return nil
}

// readNow reads once; it returns false if there is nothing to read yet.
func (c *rawConn) readNow(fd uintptr) bool {
	c.received, c.readErr = systemCall(syscall.SYS_READ, fd, c.in)
	return c.readErr != syscall.EAGAIN
}

// writeNow writes as much as there is room for; it returns false if there is more to write.
func (c *rawConn) writeNow(fd uintptr) bool {
	for len(c.out) > 0 {
		n, errno := systemCall(syscall.SYS_WRITE, fd, c.out)
		if errno == syscall.EAGAIN {
			return false
		}
		if c.writeErr = errno; errno != 0 {
			return true
		}
		c.out = c.out[n:]
	}
	return true
}

// systemCall is read or write with b, which isn't empty.
func systemCall(number, fd uintptr, b []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if errno == 0 {
			return int(n), 0
		}
		if errno != syscall.EINTR {
			return 0, errno
		}
	}
}

// opError is the error that package net would return.
func (c *rawConn) opError(op string, errno syscall.Errno) error {
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, errno)}
}
