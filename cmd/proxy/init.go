package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dbvalet/config"
	"dbvalet/proxy"
	"dbvalet/tokens"
)

// initOptions are the answers that were given before anything was asked.
type initOptions struct {
	flags    *pflag.FlagSet
	commands []*cobra.Command // whose names no route can have

	upstream, engine, auth, user, database, port, name string

	yes bool
}

// newInitCommand makes "dbvalet init".
func newInitCommand() *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init [flags]",
		Short: "Ask a few questions, and write a route into your file",
		Long: `init asks where a database is, and how to log in there, checks that dbvalet can
serve it, shows what it is going to write, and adds the route to your file:
~/.config/dbvalet/dbvalet.yaml, or the one that --config names. What else is in
the file stays as it is. Nothing is written before the last answer.

Each question has a flag. With --yes nothing is asked, and what has no flag takes
its default. Answers may come from a pipe, one in each line.`,
		Example: `  dbvalet init
  dbvalet init --yes --upstream orders.abc123.us-east-1.rds.amazonaws.com --user app --database orders`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.flags, o.commands = cmd.Flags(), cmd.Root().Commands()
			p := &prompter{out: cmd.ErrOrStderr(), patient: onTerminal(cmd.InOrStdin())}
			if !o.yes {
				p.in = bufio.NewReader(cmd.InOrStdin())
			}
			return o.run(cmd.Context(), p)
		},
	}
	config.AddFlags(cmd.Flags(), "config")
	cmd.Flags().StringVar(&o.upstream, "upstream", "", "`WHERE` the database is: HOST, HOST:PORT, a route's URL, PROJECT:REGION:NAME, or aws, gcp, azure to choose")
	cmd.Flags().StringVar(&o.engine, "engine", "", "postgres or mysql")
	cmd.Flags().StringVar(&o.auth, "auth", "", "`SOURCE` of the credential, such as aws-iam or env:NAME")
	cmd.Flags().StringVar(&o.user, "user", "", "database user `NAME`; empty: the client's choice, or as the source says")
	cmd.Flags().StringVar(&o.database, "database", "", "`NAME` of the database; empty: the client's choice")
	cmd.Flags().StringVar(&o.port, "port", "", "`PORT` on 127.0.0.1 where clients connect, or another address to listen on")
	cmd.Flags().StringVar(&o.name, "name", "", "`NAME` of the route")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "ask nothing")
	return cmd
}

// run asks, checks, shows and writes.
func (o *initOptions) run(ctx context.Context, p *prompter) error {
	path, ours, err := o.path()
	if err != nil {
		return err
	}
	file, err := openRouteFile(path)
	if err != nil {
		return err
	}
	if p.in != nil {
		fmt.Fprintf(p.out, "This adds a route to %s. Enter takes what is in brackets, Ctrl-C ends it.\n\n", path)
	}
	d, err := o.draft(ctx, p, file.config.Routes)
	if err != nil {
		return err
	}
	content, err := file.with(d)
	if err != nil {
		return err
	}
	if err := showDraft(p.out, file, d); err != nil {
		return err
	}
	if ok, err := p.confirm("Write it"); err != nil || !ok {
		if err == nil {
			fmt.Fprintln(p.out, "nothing was written")
		}
		return err
	}
	if err := file.write(content); err != nil {
		return err
	}
	fmt.Fprintln(p.out, nextCommands(path, ours, d))
	return nil
}

// path is the file to write to. ours says that it is read without a flag.
func (o *initOptions) path() (path string, ours bool, err error) {
	if path = o.flags.Lookup("config").Value.String(); path != "" {
		return path, false, nil
	}
	if path = os.Getenv("DBVALET_CONFIG"); path != "" {
		return path, true, nil
	}
	if path = userFilePath(); path == "" {
		return "", false, usageError{&config.Error{Err: errors.New("this user has no home, and so no configuration of its own"), Advice: "name a file with --config"}}
	}
	if err := ownHome(path); err != nil {
		return "", false, usageError{&config.Error{Err: err, Advice: "run it as the user whose home it is, or name a file with --config"}}
	}
	for _, each := range []string{filepath.Dir(path), path} {
		info, err := os.Stat(each)
		if err == nil {
			err = ownWords(each, info)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", false, usageError{err}
		}
	}
	return path, true, nil
}

// ownHome returns an error if path, that of the user's own file, is in the home of another user, as it may
// be with sudo: what is made there would not be that user's to read.
func ownHome(path string) error {
	dirs := []string{filepath.Dir(filepath.Dir(path))}
	if home, err := os.UserHomeDir(); err == nil && strings.HasPrefix(path, home+string(filepath.Separator)) {
		dirs = append(dirs, home)
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err == nil {
			err = ownersFile(info)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("add a route to %s: %s: %w", path, dir, err)
		}
	}
	return nil
}

// showDraft shows what is going to be written.
func showDraft(out io.Writer, file *routeFile, d draft) error {
	text, err := d.yaml(2)
	if err != nil {
		return err
	}
	what := "gets this route"
	if !file.exists {
		what = "is going to be made, with this route"
	}
	_, err = fmt.Fprintf(out, "\n%s %s:\n\n%s\n", file.path, what, text)
	return err
}

// nextCommands says what was done, and what to do now.
func nextCommands(path string, ours bool, d draft) string {
	client := "psql"
	if d.Scheme == "mysql" {
		client = "mysql"
	}
	name := tokens.Quote(d.Name)
	if !ours {
		name = "--config " + tokens.Quote(path) + " " + name
	}
	return fmt.Sprintf("wrote %s; next:\n  dbvalet check %s\n  dbvalet %s %[2]s\n  dbvalet %[2]s", path, name, client)
}

// draft asks what is not known yet.
func (o *initOptions) draft(ctx context.Context, p *prompter, routes []*config.Route) (draft, error) {
	d, err := o.where(ctx, p)
	if err != nil {
		return draft{}, err
	}
	for _, ask := range []func(*prompter, *draft, []*config.Route) error{o.askEngine, o.askAuth, o.askUser, o.askDatabase, o.askListen, o.askName} {
		if err := ask(p, &d, routes); err != nil {
			return draft{}, err
		}
	}
	return d, nil
}

// answer is what the flag says, if it was given, or else what is asked for.
func (o *initOptions) answer(p *prompter, q question, flag string) (string, error) {
	if !o.flags.Changed(q.flag) {
		return p.ask(q)
	}
	if q.accept == nil || flag == "" && q.shown != "" {
		return flag, nil
	}
	answer, err := q.accept(flag)
	if err != nil {
		return "", usageError{&config.Error{Err: fmt.Errorf("--%s: %w", q.flag, err), Advice: cmp.Or(proxy.Hint(err), "correct it, or leave it out to be asked")}}
	}
	return answer, nil
}

// clouds are the answers that list what there is.
var clouds = map[string]func() finder{
	"aws":   func() finder { return (&awsPlace{}).find },
	"gcp":   func() finder { return (&gcpPlace{}).find },
	"azure": func() finder { return (&azurePlace{}).find },
}

// where asks where the database is.
func (o *initOptions) where(ctx context.Context, p *prompter) (draft, error) {
	var d draft
	if p.in != nil && !o.flags.Changed("upstream") {
		fmt.Fprint(p.out, `Where is the database? Write HOST or HOST:PORT, a URL such as postgres://app@HOST/orders,
PROJECT:REGION:NAME of Cloud SQL, or aws, gcp or azure to choose from what you can see there.
`)
	}
	answer, err := o.answer(p, question{text: "Database", flag: "upstream", accept: func(answer string) (string, error) {
		if clouds[answer] != nil {
			return answer, nil
		}
		var err error
		d, err = parsePlace(answer)
		return answer, err
	}}, o.upstream)
	if err != nil || clouds[answer] == nil {
		return d, err
	}
	found, err := clouds[answer]()(ctx)
	if err != nil {
		return draft{}, err
	}
	return pick(p, found)
}

// pick asks which of the databases that were found it is.
func pick(p *prompter, found []finding) (draft, error) {
	var drafts []draft
	rows := [][]string{}
	for _, f := range found {
		if f.draft != nil {
			drafts = append(drafts, *f.draft)
			rows = append(rows, []string{fmt.Sprintf("%3d", len(drafts)), f.title(), f.Engine, f.Endpoint, "IAM login " + f.IAM})
		}
	}
	if drafts == nil {
		return draft{}, &config.Error{Err: errors.New("there is no database with a route"), Advice: `"dbvalet discover" says why; write the database's endpoint`}
	}
	if p.in == nil {
		return draft{}, usageError{&config.Error{Err: errors.New("nobody is there to choose"), Advice: `write one of the routes that "dbvalet discover --routes" prints into --upstream`}}
	}
	if err := writeTable(p.out, rows); err != nil {
		return draft{}, err
	}
	var chosen draft
	_, err := p.ask(question{text: "Which one", flag: "upstream", initial: "1", accept: func(answer string) (string, error) {
		for i, row := range rows {
			if answer == strings.TrimSpace(row[0]) || answer == row[1] {
				chosen = drafts[i]
				chosen.settled = true
				return answer, nil
			}
		}
		return "", fmt.Errorf("write a number from 1 to %d", len(drafts))
	}})
	return chosen, err
}
