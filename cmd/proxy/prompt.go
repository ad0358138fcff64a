package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"dbvalet/config"
	"dbvalet/proxy"
)

// A prompter asks questions, and reads an answer from each line.
type prompter struct {
	in  *bufio.Reader // nil: nobody answers, and what has a default takes that
	out io.Writer
	// patient says that somebody is there who can answer again. From anything else, the line that follows
	// a wrong answer is the answer to another question.
	patient bool
}

// A question is one that has an answer of one line.
type question struct {
	text    string
	flag    string // that answers it as well
	initial string // the answer where somebody just presses Enter
	shown   string // in place of initial, where that is empty and does very well; empty: it must be answered
	// accept returns what the answer means, or an error that says what is wrong with it; nil: anything will do.
	accept func(answer string) (string, error)
}

// ask returns the answer.
func (p *prompter) ask(q question) (string, error) {
	for {
		answer, err := p.line(q)
		if err != nil {
			return "", err
		}
		if answer == "" && (q.initial != "" || q.shown != "") {
			answer = q.initial
		} else if answer == "" {
			err = errors.New("there has to be an answer")
		}
		if err == nil && q.accept != nil && answer != "" {
			answer, err = q.accept(answer)
		}
		switch {
		case err == nil:
			return answer, nil
		case !p.patient:
			return "", usageError{&config.Error{Err: fmt.Errorf("%s: %w", strings.ToLower(q.text), err), Advice: cmp.Or(proxy.Hint(err), "answer it with --"+q.flag)}}
		}
		fmt.Fprintf(p.out, "  %v\n", err)
		if hint := proxy.Hint(err); hint != "" {
			fmt.Fprintf(p.out, "  hint: %s\n", hint)
		}
	}
}

// line writes the question and reads what is answered.
func (p *prompter) line(q question) (string, error) {
	if p.in == nil {
		return "", nil
	}
	fmt.Fprint(p.out, q.text)
	if initial := cmp.Or(q.initial, q.shown); initial != "" {
		fmt.Fprintf(p.out, " [%s]", initial)
	}
	fmt.Fprint(p.out, ": ")
	line, err := p.in.ReadString('\n')
	if !p.patient {
		fmt.Fprintln(p.out) // which a terminal does by itself
	}
	if errors.Is(err, io.EOF) && line != "" {
		err = nil
	}
	if err != nil {
		return "", usageError{&config.Error{
			Err:    fmt.Errorf("%s: stdin ended without an answer", strings.ToLower(q.text)),
			Advice: "answer it with --" + q.flag + ", or all questions with flags and --yes; nothing was written",
		}}
	}
	return strings.TrimSpace(line), nil
}

// confirm asks whether to go on, which is what Enter means.
func (p *prompter) confirm(text string) (bool, error) {
	answer, err := p.ask(question{text: text, flag: "yes", initial: "Y/n", accept: func(answer string) (string, error) {
		switch strings.ToLower(answer) {
		case "y/n", "y", "yes":
			return "yes", nil
		case "n", "no":
			return "no", nil
		}
		return "", errors.New("that is neither yes nor no")
	}})
	return answer == "yes", err
}
