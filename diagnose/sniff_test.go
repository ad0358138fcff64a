package diagnose

import (
	"testing"
	"unicode"
)

func TestRecogniseKnowsWhatUsuallyListens(t *testing.T) {
	ask := make([]byte, 8)
	for _, row := range []struct {
		say   []byte
		heard string
		want  string
	}{
		{nil, "SSH-2.0-OpenSSH_9.9\r\n", "an SSH server (SSH-2.0-OpenSSH_9.9)"},
		{nil, "\x4a\x00\x00\x00\x0a9.7.4\x00", mysqlServer},
		{nil, "\x17\x00\x00\x00\xff\x10\x04Too many connections", mysqlServer},
		{nil, "220 mail.example.com ESMTP\r\n", mailServer},
		{ask, "S", postgresServer},
		{ask, "N", postgresServer},
		{ask, "HTTP/1.1 400 Bad Request\r\n", webServer},
		{[]byte("GET"), "HTTP/1.0 404 Not Found\r\n", webServer},
		{ask, "SS", ""},
		{nil, "", ""},
		{nil, "\x00\x00", ""},
	} {
		if got := recognise(row.say, []byte(row.heard)); got != row.want {
			t.Errorf("%q: got %q, want %q", row.heard, got, row.want)
		}
	}
}

func FuzzRecognise(f *testing.F) {
	f.Add(0, []byte("SSH-2.0-x\r\n"))
	f.Add(8, []byte("S"))
	f.Fuzz(func(t *testing.T, said int, heard []byte) {
		if said < 0 || said > 64 || len(heard) > maxBanner {
			return
		}
		for _, r := range recognise(make([]byte, said), heard) {
			if !unicode.IsPrint(r) {
				t.Errorf("%q plays tricks on a terminal", recognise(make([]byte, said), heard))
			}
		}
	})
}
