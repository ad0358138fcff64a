package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dbvalet/config"
)

// reference is docs/configuration.md: what the schema says, and the commands with their flags.
func reference(root *cobra.Command) string {
	var out strings.Builder
	out.WriteString(config.Reference())
	out.WriteString("\n## Commands\n\n`dbvalet ROUTE...` serves routes. `--help` and `--version` are flags of it beside those above.\n")
	for _, cmd := range commandsBelow(root) {
		fmt.Fprintf(&out, "\n### `%s`\n\n%s.\n", cmd.UseLine(), cmd.Short)
		if cmd.Long != "" {
			fmt.Fprintf(&out, "\n%s\n", cmd.Long)
		}
		if flags := cmd.LocalFlags().FlagUsages(); flags != "" {
			fmt.Fprintf(&out, "\n```\n%s```\n", flags)
		}
	}
	return out.String()
}

// commandsBelow are the commands that do something, in their order. cobra's own are not among them.
func commandsBelow(cmd *cobra.Command) (commands []*cobra.Command) {
	for _, sub := range cmd.Commands() {
		switch {
		case sub.Name() == "help":
		case sub.HasSubCommands():
			commands = append(commands, commandsBelow(sub)...)
		default:
			commands = append(commands, sub)
		}
	}
	return commands
}
