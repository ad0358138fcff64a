package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// twoRoutes is a file with the routes orders and shop.
func twoRoutes(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dbvalet.yaml")
	text := "routes:\n" +
		"  - {name: orders, upstream: 'postgres://app@orders.example.com/orders', auth: 'env:PW'}\n" +
		"  - {name: shop, upstream: 'mysql://app@shop.example.com/shop', auth: 'env:PW'}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRoutesAreChosenByName(t *testing.T) {
	file := twoRoutes(t)
	const url = "postgres://app@other.example.com/x?auth=env:PW"
	for _, row := range []struct {
		name    string
		s       Sources
		routes  string
		problem string // in the error, or in its advice
	}{
		{"all", Sources{UserFile: file}, "orders shop", ""},
		{"one", Sources{UserFile: file, Args: []string{"shop"}}, "shop", ""},
		{"in the order of the arguments", Sources{UserFile: file, Args: []string{"shop", "orders", "shop"}}, "shop orders", ""},
		{"a URL alone", Sources{UserFile: file, Args: []string{url}}, "other", ""},
		{"a name and a URL", Sources{Environ: []string{"DBVALET_CONFIG=" + file}, Args: []string{"shop", url}}, "shop other", ""},
		{"URLs of the environment", Sources{UserFile: file, Environ: []string{"DBVALET_ROUTES=" + url}}, "other", ""},
		{"another file", Sources{UserFile: "/nowhere", Environ: []string{"DBVALET_CONFIG=" + file}}, "orders shop", ""},
		{"no user's file", Sources{UserFile: filepath.Join(t.TempDir(), "none")}, "", ""},
		{"a mistake", Sources{UserFile: file, Args: []string{"ordesr"}}, "", "did you mean orders?"},
		{"no file", Sources{Args: []string{"orders"}}, "", "there is no route called orders"},
		{"a URL with a mistake", Sources{UserFile: file, Args: []string{"app:" + "pw@db.example.com"}}, "", "not a URL"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := Load(row.s)
			if row.problem != "" {
				e, _ := err.(*Error) //nolint:errorlint // Load promises it
				if e == nil || !strings.Contains(e.Error()+e.Advice, row.problem) || strings.Contains(e.Error(), "pw@") {
					t.Errorf("got %v, want %q", err, row.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, r := range c.Routes {
				names = append(names, r.Name)
				if c.RouteOrigin(r.Name, "auth") == originDefault {
					t.Errorf("%s has no origin", r.Name)
				}
			}
			if got := strings.Fields(row.routes); !slices.Equal(got, names) {
				t.Errorf("got %q, want %q", names, got)
			}
		})
	}
}
