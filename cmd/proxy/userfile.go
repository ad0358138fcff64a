package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"dbvalet/config"
)

// userFilePath is where a user's own configuration is, so that its routes can be named without more;
// empty: the user has no home.
func userFilePath() string {
	dir, err := os.UserConfigDir()
	if err != nil || dir == "/.config" { // "/" is the home of users that have none
		return ""
	}
	return filepath.Join(dir, "dbvalet", "dbvalet.yaml")
}

// userFile is userFilePath, as far as the file may be trusted: routes run commands, and the home may be
// another user's, as with sudo.
func userFile() (string, error) {
	path := userFilePath()
	if path == "" {
		return "", nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil {
		err = ownFile(info)
	}
	if err != nil {
		return "", &config.Error{
			Err:    fmt.Errorf("the user's own configuration %s: %w", path, err),
			Advice: "make it yours, writable for nobody else, or name a file with --config",
		}
	}
	return path, nil
}

// completeRoutes is for shells: the names of the routes in the configuration that args does not have yet.
func completeRoutes(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := loadConfig(cmd, nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, r := range c.Routes {
		if !slices.Contains(args, r.Name) {
			names = append(names, cobra.CompletionWithDesc(r.Name, r.Upstream))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeRoute is completeRoutes for commands that take one.
func completeRoute(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeRoutes(cmd, args, word)
}
