package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Verdict is what a check came to.
type Verdict string

// Verdicts, from best to worst.
const (
	Skipped  Verdict = "skipped"   // not run; Detail says why
	Noted    Verdict = "no limit"  // measured, to be read beside others
	Passed   Verdict = "passed"    // meets its bar, or its floor when it has no bar
	BelowBar Verdict = "below bar" // meets its floor but not its bar
	Failed   Verdict = "failed"    // misses its floor, or could not be measured
)

func (v Verdict) rank() int {
	switch v {
	case Skipped:
		return 0
	case Noted:
		return 1
	case Passed:
		return 2
	case BelowBar:
		return 3
	default:
		return 4
	}
}

// Sense says on which side of its limits a value is good.
type Sense string

// Senses.
const (
	AtMost  Sense = "at most"
	AtLeast Sense = "at least"
)

// Check is one named check: a measured value held against its limits. Floor is
// what is required, Bar what is wanted, Aim what would be better still.
type Check struct {
	ID      string   `json:"id"`    // such as "performance.p99"; unique in a report
	Group   int      `json:"group"` // 1 to 9, see Groups
	What    string   `json:"what"`
	Unit    string   `json:"unit,omitempty"`
	Sense   Sense    `json:"sense"`
	Floor   *float64 `json:"floor,omitempty"`
	Bar     *float64 `json:"bar,omitempty"`
	Aim     *float64 `json:"aim,omitempty"`
	Got     *float64 `json:"got,omitempty"` // nil: not measured
	Samples int      `json:"samples,omitempty"`
	Verdict Verdict  `json:"verdict"`
	Detail  string   `json:"detail,omitempty"`
}

// Groups are the names of the groups of checks, by their number.
var Groups = [...]string{
	1: "Cluster", 2: "Load scaling", 3: "Sustained load", 4: "Performance", 5: "Failure recovery",
	6: "Components", 7: "Network", 8: "Resources", 9: "Session replication",
}

// GroupName returns the name of group n.
func GroupName(n int) string {
	if n > 0 && n < len(Groups) {
		return Groups[n]
	}
	return "Group " + strconv.Itoa(n)
}

// Limit returns a pointer to v, for the limits of a Check.
func Limit(v float64) *float64 { return &v }

// Measure sets what was measured and the verdict that follows. A value that is
// no number fails.
func (c *Check) Measure(got float64, samples int) {
	c.Samples = samples
	if math.IsNaN(got) || math.IsInf(got, 0) {
		c.Got, c.Verdict = nil, Failed
		c.Detail = strings.TrimSpace("no value could be measured " + c.Detail)
		return
	}
	c.Got = &got
	switch {
	case c.Floor == nil && c.Bar == nil:
		c.Verdict = Noted // what cannot fail has not passed
	case !c.meets(c.Floor):
		c.Verdict = Failed
	case !c.meets(c.Bar):
		c.Verdict = BelowBar
	default:
		c.Verdict = Passed
	}
}

// Fail says that nothing could be measured, and why.
func (c *Check) Fail(format string, args ...any) {
	c.Got, c.Verdict, c.Detail = nil, Failed, fmt.Sprintf(format, args...)
}

// Skip says that the check was not run, and why.
func (c *Check) Skip(format string, args ...any) {
	c.Got, c.Verdict, c.Detail = nil, Skipped, fmt.Sprintf(format, args...)
}

// meets reports whether the measured value is on the good side of limit.
func (c *Check) meets(limit *float64) bool {
	switch {
	case limit == nil:
		return true
	case c.Sense == AtLeast:
		return *c.Got >= *limit
	default:
		return *c.Got <= *limit
	}
}

// limit writes a limit with its sense.
func (c *Check) limit(l *float64) string {
	if l == nil {
		return "–"
	}
	if c.Sense == AtLeast {
		return "≥ " + Number(*l)
	}
	return "≤ " + Number(*l)
}

// got writes the measured value with its unit.
func (c *Check) got() string {
	if c.Got == nil {
		return "–"
	}
	return strings.TrimSpace(Number(*c.Got) + " " + c.Unit)
}

// Number writes v with three digits that matter, thousands apart by commas.
func Number(v float64) string {
	a := math.Abs(v)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a >= 100 || v == math.Trunc(v):
		return commas(strconv.FormatFloat(v, 'f', 0, 64))
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}

// commas puts a comma before every third digit of a whole number.
func commas(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}
