package peer

import (
	"fmt"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkOf is the cost that the check has for a connection, on a machine with few and with many.
func BenchmarkOf(b *testing.B) {
	for _, network := range []string{"tcp", "unix"} {
		for _, others := range []int{0, 4000} {
			b.Run(fmt.Sprintf("%s/%d others", network, others), func(b *testing.B) {
				ln := listen(b, network, "127.0.0.1:0")
				if others > 0 {
					raiseLimit(b, uint64(2*others+100))
				}
				for range others {
					pair(b, ln)
				}
				_, conn := pair(b, ln)
				benchmarkOf(b, conn)
			})
		}
	}
}

func benchmarkOf(b *testing.B, conn net.Conn) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Of(conn); err != nil {
			b.Fatal(err)
		}
	}
}

// raiseLimit sees to it that this many files can be open.
func raiseLimit(b *testing.B, files uint64) {
	b.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
	if limit.Max < files {
		b.Skipf("only %d files can be open here, and %d are needed", limit.Max, files)
	}
	limit.Cur = max(limit.Cur, files)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
}
