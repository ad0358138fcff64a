package diagnose

import (
	"fmt"
	"io"
	"strings"
)

// Text writes reports for people.
type Text struct {
	Out     io.Writer
	Symbols bool // in place of words: where the terminal knows them
	Colour  bool
}

// Begin says which route comes.
func (t Text) Begin(w *Walk) {
	fmt.Fprintf(t.Out, "%s: %s\n", w.Name, w.Upstream)
}

// Step writes the line of a step, when it is done.
func (t Text) Step(s Step) {
	took := ""
	if s.Took > 0 {
		took = fmt.Sprintf("%d ms", s.Took.Milliseconds())
	}
	line := fmt.Sprintf("  %s %-10s %8s  %s", t.mark(s.Status), s.Name, took, s.Text)
	fmt.Fprintln(t.Out, strings.TrimRight(line, " "))
}

// mark is the status, as wide as the others.
func (t Text) mark(s Status) string {
	words := map[Status]string{OK: "ok     ", Warning: "warning", Failed: "FAILED ", Skipped: "skipped"}
	if t.Symbols {
		words = map[Status]string{OK: "✓", Warning: "!", Failed: "✗", Skipped: "-"}
	}
	if !t.Colour {
		return words[s]
	}
	colour := map[Status]string{OK: "32", Warning: "33", Failed: "1;31", Skipped: "2"}[s]
	return "\x1b[" + colour + "m" + words[s] + "\x1b[0m"
}

// End says what to do about the first step that failed, and about those that are worth a word.
func (t Text) End(r *Report) {
	var who string
	for _, s := range r.Steps {
		if facts, ok := s.Facts.(IdentityFacts); ok && facts.Principal != "" {
			who = s.Text
		}
		if s.Status == Warning && len(s.Advice) > 0 && r.OK {
			t.advise(fmt.Sprintf("%s is worth a look:", s.Name), s.Advice)
		}
	}
	if r.OK {
		fmt.Fprintf(t.Out, "%s works\n", r.Route)
		return
	}
	for _, s := range r.Steps {
		if s.Name != r.Failed {
			continue
		}
		head := fmt.Sprintf("%s fails at %s.", r.Route, s.Name)
		if who != "" {
			head = fmt.Sprintf("%s fails at %s. We are: %s.", r.Route, s.Name, who)
		}
		t.advise(head+" What to do:", s.Advice)
	}
	if last := r.Steps[len(r.Steps)-1]; last.Name != r.Failed && last.Status != OK && len(last.Advice) > 0 {
		t.advise("And the "+last.Name+":", last.Advice)
	}
}

func (t Text) advise(head string, advice []Advice) {
	fmt.Fprintln(t.Out, head)
	for _, a := range advice {
		text := "  * " + a.Text
		if a.Copy != "" {
			text += ":\n      " + a.Copy
		}
		fmt.Fprintln(t.Out, text)
	}
}
