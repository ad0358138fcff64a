package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newManCommand makes "dbvalet man", which packages are built with.
func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write manual pages, one for each command",
		Hidden: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(1)(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return writePages(cmd.Root(), args[0]) },
	}
}

// writePages writes the manual pages of root to dir, and makes it. SOURCE_DATE_EPOCH is their date, if
// it is set. The descriptions of root are changed by that.
func writePages(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of manual pages: %w", err)
	}
	for _, topic := range root.Commands() {
		if topic.IsAdditionalHelpTopicCommand() {
			root.Long += "\n\n" + topic.Short + ".\n\n" + topic.Long
		}
	}
	describe(root)
	header := &doc.GenManHeader{Section: "1", Source: "dbvalet " + version, Manual: "dbvalet"}
	if err := doc.GenManTree(root, header, dir); err != nil {
		return fmt.Errorf("write manual pages to %s: %w", dir, err)
	}
	return nil
}

// describe makes the descriptions of cmd and what is below it the Markdown that cobra takes them for.
func describe(cmd *cobra.Command) {
	cmd.Long, cmd.DisableAutoGenTag = asMarkdown(cmd.Long), true
	for _, sub := range cmd.Commands() {
		describe(sub)
	}
}

// asMarkdown keeps the lines of tables as they are: what is indented becomes verbatim text.
func asMarkdown(text string) string {
	var out strings.Builder
	inTable := false
	for line := range strings.Lines(text) {
		indented := strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "\t")
		if indented != inTable {
			out.WriteString("\n")
			inTable = indented
		}
		if indented {
			out.WriteString("    ")
		}
		out.WriteString(line)
	}
	return out.String()
}
