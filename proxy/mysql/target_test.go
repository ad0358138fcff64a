package mysql

import (
	"bytes"
	"errors"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
)

// column is a definition such as the server sends, whose contents nobody looks at.
var column = []byte("\x03def\x00\x00\x00\x10@@global.read_only\x00\x0c\x3f\x00\x01\x00\x00\x00\x08\x80\x00\x00\x00\x00")

// answered frames what a server answers to a command.
func answered(payloads ...[]byte) *recorder {
	var script []byte
	for i, payload := range payloads {
		script = append(script, newPacket(byte(i+1), payload)...)
	}
	return &recorder{script: bytes.NewReader(script)}
}

func TestServerIsAskedWhetherItIsReadOnly(t *testing.T) {
	eof := []byte{0xFE, 0, 0, 2, 0}
	okEnd := []byte{0xFE, 0, 0, 2, 0, 0, 0}
	row := func(first, second string) []byte {
		return appendLenenc(appendLenenc(nil, []byte(first)), []byte(second))
	}
	for _, r := range []struct {
		name    string
		caps    uint32
		answer  [][]byte
		fits    bool
		command string
	}{
		{"a writer", 0, [][]byte{{2}, column, column, eof, row("0", "0"), eof}, true, readOnlyQuery},
		{"a writer without EOF", mysql.CLIENT_DEPRECATE_EOF, [][]byte{{2}, column, column, row("0", "0"), okEnd}, true, readOnlyQuery},
		{"a replica", 0, [][]byte{{2}, column, column, eof, row("1", "0"), eof}, false, readOnlyQuery},
		{"a reader of Aurora", mysql.CLIENT_DEPRECATE_EOF, [][]byte{{2}, column, column, row("0", "1"), okEnd}, false, readOnlyQuery},
		{"words", 0, [][]byte{{2}, column, column, eof, row("OFF", "OFF"), eof}, true, readOnlyQuery},
		{"another word", 0, [][]byte{{2}, column, column, eof, row("NO_LOCK", "0"), eof}, false, readOnlyQuery},
		{"metadata announced", mysql.CLIENT_OPTIONAL_RESULTSET_METADATA, [][]byte{{1, 2}, column, column, eof, row("0", "0"), eof}, true, readOnlyQuery},
		{"attributes", mysql.CLIENT_QUERY_ATTRIBUTES, [][]byte{{2}, column, column, eof, row("0", "0"), eof}, true, "\x00\x01" + readOnlyQuery},
	} {
		t.Run(r.name, func(t *testing.T) {
			conn := answered(r.answer...)
			err := checkTarget(conn, proxy.ReadWrite, r.caps)
			if (err == nil) != r.fits || err != nil && !errors.Is(err, proxy.ErrUnfit) {
				t.Errorf("got %v, want it to fit: %v", err, r.fits)
			}
			want := newPacket(0, append([]byte{mysql.COM_QUERY}, r.command...))
			if !r.fits {
				want = append(want, newPacket(0, []byte{mysql.COM_QUIT})...)
			}
			if got := conn.written.Bytes(); !bytes.Equal(got, want) {
				t.Errorf("the server got %q, want %q", got, want)
			}
		})
	}
}

func FuzzReadOnlyAnswer(f *testing.F) {
	f.Add(uint32(0), []byte("\x01\x00\x00\x01\x02"))
	f.Add(uint32(mysql.CLIENT_DEPRECATE_EOF), []byte("\x04\x00\x00\x01\x010\x010\x01\x00\x00\x02\xfe"))
	f.Fuzz(func(_ *testing.T, caps uint32, script []byte) {
		_ = checkTarget(&recorder{script: bytes.NewReader(script)}, proxy.Primary, caps)
	})
}
