package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dbvalet/config"
	"dbvalet/proxy"
)

// A meantError is err with a guess at what somebody wanted to write.
type meantError struct {
	err    error
	advice string
}

func (e *meantError) Error() string { return e.err.Error() }
func (e *meantError) Unwrap() error { return e.err }

// Hint returns the guess, and what err itself advises.
func (e *meantError) Hint() string {
	if hint := proxy.Hint(e.err); hint != "" {
		return e.advice + " " + hint
	}
	return e.advice
}

// meant adds to err the command that was probably meant by the first argument.
func meant(cmd *cobra.Command, args []string, err error) error {
	if len(args) == 0 {
		return err
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	best := config.Nearest(args[0], names)
	if best == "" || best == args[0] {
		return err
	}
	return withUsage(err, &meantError{err, fmt.Sprintf("did you mean %q?", cmd.CommandPath()+" "+best)})
}

// withUsage keeps that err is one of usage.
func withUsage(err error, better error) error {
	if _, ok := errors.AsType[usageError](err); ok {
		return usageError{better}
	}
	return better
}

// flagError is what is said about flags that can't be understood.
func flagError(cmd *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return usageError{err}
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	best := config.Nearest(strings.TrimLeft(unknown.GetSpecifiedName(), "-"), names)
	advice := fmt.Sprintf("%q lists flags and their values", cmd.CommandPath()+" --help")
	if best != "" {
		advice = fmt.Sprintf("did you mean --%s? ", best) + advice
	}
	return usageError{&meantError{err, advice}}
}

// completeFlags makes shells complete the values of flags, of cmd and all below it, where they are known.
func completeFlags(cmd *cobra.Command) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if values := config.FlagValues(f); values != nil {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // once
		}
	})
	for _, sub := range cmd.Commands() {
		completeFlags(sub)
	}
}
