package suite

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rookery-server/rookery/bench/report"
)

// Options configure Run. The zero value of a field that has a default means
// that default.
type Options struct {
	Server string   // rookery binary; required
	Args   []string // of each node's serve, beyond what the suite needs
	Self   []string // command line of the hidden load worker; nil: this program
	// Control is the command line of the hidden control process; nil: none, and
	// what it measures counts as failed.
	Control []string
	// ControlShare is the share of one processor that the control process keeps
	// busy, from 0 to 1. With that of a server its pauses can be compared with
	// the server's, and the run has so much less of the machine.
	ControlShare float64
	Scale        Scale    // required
	Groups       []int    // only checks of these groups; none: all
	Checks       []string // only these, by name or by the part of it before the dot
	Logs         string   // directory for the nodes' logs, which must exist; "": none
	// Step bounds one step, such as a ramp or a failover; 0: DefaultStep.
	Step time.Duration
	// Soak is held in place of the second hold of the scale; 0: the scale's.
	Soak time.Duration
	// Chaos kills nodes at random under the sessions, one after another, and
	// starts them again, for Soak; 0: DefaultChaos. Groups and Checks do not
	// leave it out.
	Chaos bool
	Seed  uint64 // of what chaos chooses; 0: 1

	Command, Version, Commit string // for the report

	// Progress says what goes on, one short line each time; nil: nobody is told.
	Progress func(line string)
}

// Defaults of Options.
const (
	DefaultStep  = 3 * time.Minute
	DefaultChaos = 5 * time.Minute
)

// ErrOptions is wrapped by errors about options that make no sense.
var ErrOptions = errors.New("suite: options")

// filled returns o with defaults in place of zeros, or what is wrong with it.
func (o Options) filled() (Options, error) {
	bad := func(format string, args ...any) (Options, error) {
		return o, fmt.Errorf("%w: %s", ErrOptions, fmt.Sprintf(format, args...))
	}
	if o.Step == 0 {
		o.Step = DefaultStep
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Soak > 0 {
		o.Scale.Holds[1] = o.Soak
	}
	switch s := o.Scale; {
	case o.Server == "":
		return bad("which binary is to be measured?")
	case len(s.Ramps) == 0 || s.Ramps[len(s.Ramps)-1] != s.Clients || !slices.IsSorted(s.Ramps) || s.Clients < nodeCount:
		return bad("a scale needs ramps up to its clients, at least %d", nodeCount)
	case !(o.ControlShare >= 0 && o.ControlShare <= 1):
		return bad("a share of a processor is from 0 to 1")
	case o.Step < 0 || o.Soak < 0:
		return bad("times are above 0")
	}
	list := specsOf(o.Scale, o.Chaos)
	for _, g := range o.Groups {
		if !slices.ContainsFunc(list, func(s spec) bool { return s.group == g }) {
			return bad("there is no group %d", g)
		}
	}
	for _, id := range o.Checks {
		if !slices.ContainsFunc(list, func(s spec) bool { return s.named(id) }) {
			return bad("there is no check %q", id)
		}
	}
	if !slices.ContainsFunc(list, func(s spec) bool { return o.selected(&s) }) {
		return bad("nothing is left to check: the groups do not have the checks")
	}
	return o, nil
}

// Checks returns the checks that the options ask for, with their limits and not
// measured.
func Checks(o Options) ([]report.Check, error) {
	if o.Server == "" {
		o.Server = "any" // none is started
	}
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	return o.checks(), nil
}

func (o *Options) checks() []report.Check {
	list := []report.Check{}
	for _, s := range specsOf(o.Scale, o.Chaos) {
		if o.selected(&s) {
			list = append(list, s.check(o.Scale))
		}
	}
	return list
}
