package tokens

import (
	"errors"
	"strings"
	"testing"
)

func TestDecoderFindsThePassword(t *testing.T) {
	const nested = `{"db": {"password": "p.1", "username": "app", "host": "db.example.com", "port": 5433, "dbname": "orders"},
		"list": [{"pw": "l0"}, "l1"], "a.b": "dotted", "back\\slash": "bs", "pin": 12345678901234567890, "deep": {"password": "d"}}`
	for _, tt := range []struct {
		name, payload, path string
		want                Credential
	}{
		{"bare", "pw", "", Credential{}},
		{"bare with a newline", "pw\n", "", Credential{}},
		{"bare with the newline of Windows", "pw\r\n", "", Credential{}},
		{"bare that looks like JSON", "{pw", "", Credential{}},
		{"JSON of another kind", `["pw"]`, "", Credential{}},
		{"object", `{"password": "pw"}`, "", Credential{}},
		{"object of RDS", `{"username": "app", "password": "pw"}`, "", Credential{User: "app"}},
		{
			"object with everything", `{"engine": "postgres", "host": "db.example.com", "username": "app", "password": "pw", "dbname": "orders", "port": 5432}`, "",
			Credential{User: "app", Host: "db.example.com", Port: "5432", Database: "orders"},
		},
		{"port as a text", `{"password": "pw", "port": "3306"}`, "", Credential{Port: "3306"}},
		{"other names", `{"user": "app", "hostname": "h", "database": "d", "password": "pw"}`, "", Credential{User: "app", Host: "h", Database: "d"}},
		{"path to a text", nested, "db.password", Credential{}},
		{"path to an object", nested, "db", Credential{User: "app", Host: "db.example.com", Port: "5433", Database: "orders"}},
		{"path into an array", nested, "list.0.pw", Credential{}},
		{"path to an element", nested, "list.1", Credential{}},
		{"a dot in a key", nested, `a\.b`, Credential{}},
		{"a backslash in a key", nested, `back\slash`, Credential{}},
		{"an escaped backslash in a key", nested, `back\\slash`, Credential{}},
		{"a number", nested, "pin", Credential{}},
		{"path to an object with a password alone", nested, "deep", Credential{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			password := map[string]string{
				"db.password": "p.1", "db": "p.1", "list.0.pw": "l0", "list.1": "l1", `a\.b`: "dotted", `back\slash`: "bs", `back\\slash`: "bs",
				"pin": "12345678901234567890", "deep": "d",
			}[tt.path]
			if password == "" {
				password = "pw"
			}
			if !strings.Contains(tt.payload, `"password"`) && tt.path == "" {
				password = strings.TrimRight(tt.payload, "\r\n")
			}
			got, err := Decoder{Path: tt.path}.Credential([]byte(tt.payload))
			if err != nil {
				t.Fatal(err)
			}
			wantPassword(t, got, password)
			if got.Password = (Secret{}); got.User != tt.want.User || got.Host != tt.want.Host || got.Port != tt.want.Port || got.Database != tt.want.Database {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestDecoderSaysWhatIsWrongWithoutQuotingTheSecret(t *testing.T) {
	for _, tt := range []struct{ name, payload, path, text string }{
		{"empty", "", "", "is empty"},
		{"a newline alone", "\n", "", "is empty"},
		{"NUL", secretText + "\x00", "", "NUL byte"},
		{"NUL in the user", `{"password": "` + secretText + `", "username": "a\u0000"}`, "", "NUL byte"},
		{"empty password", `{"password": "", "other": "` + secretText + `"}`, "", "is empty"},
		{"no password", `{"pw": "` + secretText + `"}`, "", `without a text "password"`},
		{"password is no text", `{"password": ["` + secretText + `"]}`, "", `without a text "password"`},
		{"path into no JSON", secretText, "password", "path= is for JSON"},
		{"path to nothing", `{"pw": "` + secretText + `"}`, "password", `has no "password"`},
		{"path beyond a text", `{"pw": "` + secretText + `"}`, "pw.more", `has no "more"`},
		{"path beyond an array", `["` + secretText + `"]`, "1", `has no "1"`},
		{"negative element", `["` + secretText + `"]`, "-1", `has no "-1"`},
		{"path to an array", `{"pw": ["` + secretText + `"]}`, "pw", "neither a text"},
		{"path to a boolean", `{"pw": true, "x": "` + secretText + `"}`, "pw", "neither a text"},
		{"path to an object without a password", `{"pw": {"x": "` + secretText + `"}}`, "pw", `without a text "password"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cred, err := Decoder{Path: tt.path}.Credential([]byte(tt.payload))
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("got %v, %v, want an *Error", cred, err)
			}
			if !strings.Contains(e.Err.Error(), tt.text) || e.Advice == "" || !e.Denied {
				t.Errorf("got %q with advice %q, want %q and advice", e.Err, e.Advice, tt.text)
			}
			if leaks(e.Err.Error()) || leaks(e.Advice) || !cred.Password.Empty() {
				t.Error("the secret is shown")
			}
		})
	}
}

func TestSecretForAnotherUserIsRefused(t *testing.T) {
	for _, tt := range []struct {
		route, secret string
		ok            bool
	}{
		{"", "app", true},
		{"app", "app", true},
		{"app", "app_clone", true}, // the alternating users of AWS's rotation
		{"app_clone", "app", true},
		{"app", "admin", false},
		{"app", "app_clone_clone", false},
		{"app", "APP", false},
	} {
		cred, err := Decoder{User: tt.route}.Credential([]byte(`{"username": "` + tt.secret + `", "password": "pw"}`))
		switch {
		case tt.ok && (err != nil || cred.User != tt.secret):
			t.Errorf("route for %q, secret for %q: got %v, %v", tt.route, tt.secret, cred, err)
		case !tt.ok && !errors.Is(err, errOtherUser):
			t.Errorf("route for %q, secret for %q: got %v, %v, want an error", tt.route, tt.secret, cred, err)
		}
	}
	if cred, err := (Decoder{User: "app", Path: "password"}).Credential([]byte(`{"username": "admin", "password": "pw"}`)); err != nil || cred.User != "" {
		t.Errorf("a path to the password alone: got %v, %v, want the route's user to stand", cred, err)
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte(`{"db": [{"password": "x", "port": 1}]}`), "db.0")
	f.Add([]byte("pw\n"), "")
	f.Add([]byte(`{"a.b": {"password": "x"}}`), `a\.b`)
	f.Fuzz(func(t *testing.T, payload []byte, path string) {
		cred, err := Decoder{Path: path}.Credential(payload)
		if (err == nil) == cred.Password.Empty() {
			t.Errorf("got %v, %v, want a password or an error", cred, err)
		}
		if strings.ContainsRune(cred.Password.Reveal()+cred.User+cred.Host+cred.Port+cred.Database, 0) {
			t.Error("a NUL byte came through")
		}
	})
}
