package dbtls

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

func TestWrongSettingsSayWhatToDo(t *testing.T) {
	ca := newAuthority(t, "Test Root")
	file, missing := ca.file(t), filepath.Join(t.TempDir(), "none.pem")
	rows := []struct {
		name    string
		options Options
		text    string
		hint    string
	}{
		{"unknown mode", Options{Mode: 9, Host: "db.test"}, "unknown TLS mode 9", ""},
		{"negative mode", Options{Mode: -1, Host: "db.test"}, "unknown TLS mode -1", ""},
		{"no host", Options{}, "no server name to verify", "tls_server_name=NAME"},
		{"dot as host", Options{Host: "."}, "no server name to verify", "tls_server_name=NAME"},
		{"unix socket", Options{Host: "/run/db.sock"}, `the host is "/run/db.sock"`, "tls_server_name=NAME"},
		{"host with port", Options{Host: "db.test:5432"}, `"db.test:5432" is neither`, "without a port"},
		{"Cloud SQL connection name", Options{Host: "p:europe-west1:i", CAFile: file}, "neither a host name nor project:instance", "tls_server_name=p:i"},
		{"Cloud SQL without CA", Options{Host: "10.0.0.1", ServerName: "p:i"}, "without the instance's own CA", "gcloud sql instances describe i --project p "},
		{"Cloud SQL with domain without CA", Options{Host: "example.com:p:i"}, "without the instance's own CA", "describe i --project example.com:p "},
		{"Cloud SQL with public CA", Options{Host: "p:i", CAFile: "system"}, "without the instance's own CA", "set ca=FILE"},
		{"verify-ca without CA", Options{Mode: VerifyCA, Host: "db.test"}, "any server that has a public certificate", "set ca=FILE"},
		{"verify-ca with public CA", Options{Mode: VerifyCA, Host: "db.test", CAFile: "system"}, "verify-ca with ca=system", "verify-full"},
		{"verify-ca with public CA on RDS", Options{Mode: VerifyCA, Host: "a.rds.amazonaws.com", CAFile: "system"}, "verify-ca with ca=system", "verify-full"},
		{"require with public CA", Options{Mode: Require, Host: "db.test", CAFile: "system"}, "require with ca=system", "verify-full"},
		{"missing CA file", Options{Host: "db.test", CAFile: missing}, "no such file", "working directory"},
		{"missing CA file in require", Options{Mode: Require, Host: "db.test", CAFile: missing}, "no such file", "working directory"},
		{"folder as CA file", Options{Host: "db.test", CAFile: t.TempDir()}, "is a directory", "PEM"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, err := New(row.options)
			e := asError(t, err)
			if !strings.Contains(e.Error(), row.text) {
				t.Errorf("got error %q, want it to say %q", e, row.text)
			}
			if !strings.Contains(e.Hint(), row.hint) {
				t.Errorf("got hint %q, want it to say %q", e.Hint(), row.hint)
			}
			if !e.Final() {
				t.Error("got an error that is worth another try, want a final one")
			}
		})
	}
	if _, err := New(Options{Host: "db.test", CAFile: missing}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist in the chain", err)
	}
}

func TestVerifiedAndDescribe(t *testing.T) {
	file := newAuthority(t, "Test Root").file(t)
	rows := []struct {
		options  Options
		verified bool
		describe string
	}{
		{Options{Host: "db.test"}, true, "TLS verify-full"},
		{Options{Host: "DB.test.", CAFile: file}, true, "TLS verify-full"},
		{Options{Host: "db.test", CAFile: "system"}, true, "TLS verify-full"},
		{Options{Host: "::1", CAFile: file}, true, "TLS verify-full"},
		{Options{Host: "localhost", ServerName: "db.test"}, true, "TLS verify-full as db.test"},
		{Options{Host: "10.0.0.1", ServerName: "p:i", CAFile: file}, true, "TLS verify-full as p:i"},
		{Options{Mode: VerifyCA, Host: "db.test", CAFile: file}, true, "TLS verify-ca"},
		{Options{Mode: VerifyCA, Host: "/run/db.sock", CAFile: file}, true, "TLS verify-ca"},
		{Options{Mode: VerifyCA, Host: "a.rds.amazonaws.com"}, true, "TLS verify-ca"},
		{Options{Mode: Require, Host: "db.test", CAFile: file}, true, "TLS require, CA verified"},
		{Options{Mode: Require, Host: "db.test"}, false, "TLS require, server not verified"},
		{Options{Mode: Require, Host: "a.rds.amazonaws.com"}, false, "TLS require, server not verified"},
		{Options{Mode: Require}, false, "TLS require, server not verified"},
		{Options{Mode: ZeroConfig, Host: "db.test"}, false, "TLS zero-config, server proves itself after the login"},
	}
	for _, row := range rows {
		c := newClient(t, row.options)
		if c.Verified() != row.verified || c.Describe() != row.describe {
			t.Errorf("%+v: got %v, %q, want %v, %q", row.options, c.Verified(), c.Describe(), row.verified, row.describe)
		}
		if c.Verified() != (c.config.VerifyConnection != nil) {
			t.Errorf("%+v: says verified %v, but the check is set: %v", row.options, c.Verified(), c.config.VerifyConnection != nil)
		}
	}
}
