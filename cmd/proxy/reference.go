package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dbvalet/config"
)

// reference is docs/configuration.md: what the schema says, and the commands with their flags.
func reference(root *cobra.Command) string {
	var out strings.Builder
	out.WriteString(config.Reference())
	out.WriteString("\n## Commands\n\n`dbvalet ROUTE...` serves routes. `--help` and `--version` are flags of it beside those above.\n" +
		"\n`dbvalet completion bash`, `zsh`, `fish` or `powershell` prints what makes that shell complete commands and flags;\nwith `--help` it says where that goes. `dbvalet man DIR` writes manual pages to a directory.\n")
	for _, cmd := range commandsBelow(root) {
		fmt.Fprintf(&out, "\n### `%s`\n\n%s.\n", cmd.UseLine(), cmd.Short)
		if cmd.Long != "" {
			fmt.Fprintf(&out, "\n%s\n", cmd.Long)
		}
		out.WriteString(ownFlags(cmd))
	}
	return out.String()
}

// ownFlags says which flags cmd has. Those of settings are described already.
func ownFlags(cmd *cobra.Command) string {
	settings := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.AddFlags(settings)
	own, common := pflag.NewFlagSet("", pflag.ContinueOnError), []string{}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if settings.Lookup(f.Name) != nil {
			common = append(common, "`--"+f.Name+"`")
		} else if f.Name != "help" {
			own.AddFlag(f)
		}
	})
	text := ""
	if len(common) > 0 {
		text += "\nOf the flags above it takes " + strings.Join(common, ", ") + ".\n"
	}
	if own.HasFlags() {
		text += "\n```\n" + own.FlagUsages() + "```\n"
	}
	return text
}

// commandsBelow are the commands that do something, in their order. cobra's own are not among them, nor hidden ones.
func commandsBelow(cmd *cobra.Command) (commands []*cobra.Command) {
	for _, sub := range cmd.Commands() {
		switch {
		case sub.Name() == "help", sub.Hidden, sub.IsAdditionalHelpTopicCommand():
		case sub.HasSubCommands():
			commands = append(commands, commandsBelow(sub)...)
		default:
			commands = append(commands, sub)
		}
	}
	return commands
}
