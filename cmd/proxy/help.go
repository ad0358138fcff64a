package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dbvalet/config"
)

// The groups of commands in --help.
const (
	groupLaptop  = "laptop"
	groupConfig  = "config"
	groupRunning = "running"
)

// commandGroups are their headings.
func commandGroups() []*cobra.Group {
	return []*cobra.Group{
		{ID: groupLaptop, Title: "Commands for your databases"},
		{ID: groupConfig, Title: "Commands about the configuration"},
		{ID: groupRunning, Title: "Commands that ask a running dbvalet"},
	}
}

// newTopics are texts of their own in "dbvalet help", so that --help is short.
func newTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "routes", Short: "How a route is written", Long: routesHelp},
		{Use: "exit-status", Short: "What exit statuses mean", Long: exitStatusHelp},
	}
}

// usage writes what stands below a command's description in --help: commands and flags in groups.
func usage(cmd *cobra.Command) error {
	var out strings.Builder
	out.WriteString("Usage:\n")
	if cmd.Runnable() {
		fmt.Fprintf(&out, "  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&out, "  %s COMMAND\n", cmd.CommandPath())
	}
	if cmd.HasExample() {
		fmt.Fprintf(&out, "\nExamples:\n%s\n", cmd.Example)
	}
	for _, group := range append(cmd.Groups(), &cobra.Group{Title: "Commands"}) {
		writeCommands(&out, group.Title, cmd.Commands(), func(c *cobra.Command) bool { return c.IsAvailableCommand() && c.GroupID == group.ID })
	}
	writeCommands(&out, `Topics of "dbvalet help"`, cmd.Commands(), (*cobra.Command).IsAdditionalHelpTopicCommand)
	writeFlags(&out, cmd)
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&out, "\n\"%s COMMAND --help\" says more about a command.\n", cmd.CommandPath())
	}
	_, err := io.WriteString(cmd.OutOrStderr(), out.String())
	return err
}

// writeCommands has a line for each command that is chosen.
func writeCommands(out io.Writer, title string, commands []*cobra.Command, chosen func(*cobra.Command) bool) {
	for _, c := range commands {
		if !chosen(c) {
			continue
		}
		if title != "" {
			fmt.Fprintf(out, "\n%s:\n", title)
			title = ""
		}
		fmt.Fprintf(out, "  %-*s  %s\n", c.NamePadding(), c.Name(), c.Short)
	}
}

// writeFlags writes those of settings under the headings of the configuration, and the others first.
func writeFlags(out io.Writer, cmd *cobra.Command) {
	groups := map[string]*pflag.FlagSet{}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		title := cmp.Or(config.FlagGroup(f), "Flags")
		if groups[title] == nil {
			groups[title] = pflag.NewFlagSet("", pflag.ContinueOnError)
			groups[title].SortFlags = false
		}
		groups[title].AddFlag(f)
	})
	for _, title := range append([]string{"Flags"}, config.FlagGroups()...) {
		if groups[title] != nil {
			fmt.Fprintf(out, "\n%s:\n%s", title, groups[title].FlagUsagesWrapped(helpWidth))
		}
	}
}

// helpWidth is that of the lines of --help, in columns.
const helpWidth = 100
