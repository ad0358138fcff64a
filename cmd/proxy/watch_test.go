package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"dbvalet/config"
)

// TestFileThatChangesWhileItIsReadIsReadAgain changes files at the worst time: when they were read, and what
// they say is not yet in force.
func TestFileThatChangesWhileItIsReadIsReadAgain(t *testing.T) {
	const one, two = "routes:\n  - {name: one, upstream: 'postgres://app@db.example.com/?auth=env:PW', listen: '127.0.0.1:0'}\n",
		"routes:\n  - {name: two, upstream: 'postgres://app@db.example.com/?auth=env:PW', listen: '127.0.0.1:0'}\n"
	for name, row := range map[string]struct{ file, before, after, result string }{
		"the file itself":        {"dbvalet.yaml", one, one + two[len("routes:\n"):], "new: two"},
		"a file of config.d":     {"config.d/more.yaml", "{}\n", two, "new: two"},
		"a new file of config.d": {"config.d/more.yaml", "", two, "new: two"},
		"a file that is gone":    {"config.d/more.yaml", two, "", "gone: two"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			change := func(file, content string) {
				path := filepath.Join(dir, file)
				err := os.WriteFile(path, []byte(content), 0o600)
				if content == "" {
					err = os.Remove(path)
				}
				if err != nil {
					t.Error(err)
				}
			}
			if err := os.Mkdir(filepath.Join(dir, "config.d"), 0o700); err != nil {
				t.Fatal(err)
			}
			change("dbvalet.yaml", one)
			if row.before != "" {
				change(row.file, row.before)
			}
			times := 0
			signals := make(chan os.Signal, 1)
			o := options{signals: signals, load: func() (*config.Config, error) {
				c, err := config.Load(config.Sources{Environ: []string{"DBVALET_CONFIG=" + filepath.Join(dir, "dbvalet.yaml")}})
				if times++; times == 2 {
					change(row.file, row.after)
				}
				return c, err
			}}
			c, err := o.load()
			if err != nil {
				t.Fatal(err)
			}
			log := newScreen()
			ended := make(chan error, 1)
			ctx, end := context.WithCancel(t.Context())
			go func() { ended <- serve(ctx, c, o, display{log: slog.New(slog.NewJSONHandler(log, nil))}) }()
			log.await(t, `"msg":"ready"`)
			signals <- reloadSignal
			log.await(t, `"why":"SIGHUP","result":"no route has changed"`)
			log.await(t, `"why":"a file has changed","result":"`+row.result+`"`)
			end()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
