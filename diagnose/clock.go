package diagnose

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"time"
)

// ClockFacts are those of the step clock: how far ours is ahead of each that said the time.
type ClockFacts struct {
	Compared []SkewFacts `json:"compared"`
}

// SkewFacts are those of one clock.
type SkewFacts struct {
	With  string  `json:"with"`          // aws, or database
	Ahead float64 `json:"ahead_seconds"` // of ours; negative: it is behind
}

const (
	// skewWarning and skewFailure are how far a clock may be off. A token's life is 15 minutes.
	skewWarning, skewFailure = time.Minute, 5 * time.Minute
	// skewSmall is what an HTTP date is not exact enough for.
	skewSmall = 2 * time.Second
)

func tooFar(skew time.Duration) bool { return skew.Abs() > skewFailure }

// cloudSkew is how far our clock is ahead of the cloud's; 0: nobody said.
func (v *visit) cloudSkew() time.Duration {
	if v.who.Clock.IsZero() {
		return 0
	}
	return v.who.ClockAt.Sub(v.who.Clock)
}

// clock compares ours with the cloud's and the database's. Where these disagree, it is the cloud's that counts:
// tokens are compared with it.
func (v *visit) clock(context.Context) Step {
	facts := ClockFacts{}
	var texts []string
	var right []string
	compare := func(with, name string, skew time.Duration) {
		facts.Compared = append(facts.Compared, SkewFacts{with, skew.Round(10 * time.Millisecond).Seconds()})
		if skew.Abs() < skewSmall {
			right = append(right, name)
		} else {
			texts = append(texts, skewText(skew, name))
		}
	}
	cloud, database := !v.who.Clock.IsZero(), !v.probe.Clock.IsZero()
	var worst time.Duration
	if database {
		worst = v.probe.ClockAt.Sub(v.probe.Clock)
		compare("database", "the database", worst)
	}
	if cloud {
		worst = v.cloudSkew()
		compare("aws", "AWS", worst)
	}
	if right != nil {
		texts = append(texts, "agrees with "+strings.Join(right, " and "))
	}
	step := Step{Status: OK, Text: "this machine's " + strings.Join(texts, ", "), Facts: facts}
	switch {
	case !cloud && !database:
		return Step{Status: Skipped, Text: "nobody said the time"}
	case tooFar(worst):
		step.Status = Failed
	case worst.Abs() > skewWarning:
		step.Status = Warning
	case database && v.probe.ClockAt.Sub(v.probe.Clock).Abs() > skewWarning:
		step.Status = Warning
		step.Advice = []Advice{{Text: "it is the database's clock that is wrong"}}
		return step
	default:
		return step
	}
	step.Advice = []Advice{{Text: "tokens and certificates depend on this machine's clock: have it set", Copy: setClock()}}
	return step
}

// skewText says how far our clock is off.
func skewText(skew time.Duration, other string) string {
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	return fmt.Sprintf("is %v %s %s", skew.Abs().Round(time.Second), direction, other)
}

// setClock is the command for that.
func setClock() string {
	switch runtime.GOOS {
	case "darwin":
		return "sudo sntp -sS time.apple.com"
	case "windows":
		return "w32tm /resync"
	}
	return "sudo timedatectl set-ntp true"
}

func cutPort(addr string) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(addr)
	return host, port, err == nil
}
