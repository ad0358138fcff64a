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
	"dbvalet/tokens"
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

// errOthers says whose a file is.
var errOthers = errors.New("it belongs to another user")

// ownWords returns an error if a file or directory that belongs to the user's own configuration may hold
// somebody else's words: routes run commands, and the home may be another user's, as with sudo.
func ownWords(path string, info fs.FileInfo) error {
	err := ownFile(info)
	if err == nil {
		return nil
	}
	advice := "name a file with --config"
	if !errors.Is(err, errOthers) {
		advice = "run chmod go-w " + tokens.Quote(path) + ", or " + advice
	}
	return &config.Error{File: path, Err: fmt.Errorf("not read as the user's own configuration: %w", err), Advice: advice}
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
