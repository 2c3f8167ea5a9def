package tuning

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:embed knobs.json
var knobsJSON []byte

// Profile says what a machine is tuned for.
type Profile string

// Profiles of the table.
const (
	Server  Profile = "server"  // it holds clients
	Loadgen Profile = "loadgen" // it plays them
)

// Profiles are all profiles, the default first.
var Profiles = []Profile{Server, Loadgen}

// Kind says where a setting lives.
type Kind string

// Kinds of settings.
const (
	Sysctl Kind = "sysctl" // a file under /proc/sys
	Sysfs  Kind = "sysfs"  // a file under /sys, often with its choice in brackets
	Limit  Kind = "limit"  // a limit of resources that a process inherits
	Env    Kind = "env"    // a variable that the Go runtime reads
	Cgroup Kind = "cgroup" // a limit of the control group
)

// Need says how much depends on a knob.
type Need string

// Needs, the strongest first.
const (
	Required Need = "required" // without it the connections cannot be held
	Advised  Need = "advised"  // they can, but not as well
	Leave    Need = "leave"    // the default is right; the row says why
)

// Scope says what a knob belongs to.
type Scope string

// Scopes of knobs.
const (
	Netns   Scope = "netns"   // a network namespace: each container has its own
	Host    Scope = "host"    // the machine, set outside of containers
	Process Scope = "process" // a process and its children
)

// Knob is one row of the table.
type Knob struct {
	Name     string    `json:"name"`
	Kind     Kind      `json:"kind"`
	Path     string    `json:"path,omitempty"` // of sysfs
	Profiles []Profile `json:"profiles"`
	Need     Need      `json:"need"`
	Scope    Scope     `json:"scope"`
	// Kubernetes is "safe" or "unsafe" for what a pod may set, by the cluster's
	// own list, else empty.
	Kubernetes string `json:"kubernetes,omitempty"`
	// Derived defaults follow from the machine and may be higher than ours; an
	// absolute value in a file could lower them.
	Derived bool `json:"derived,omitempty"`
	// Optional knobs may be absent on a sound machine.
	Optional bool `json:"optional,omitempty"`
	Rule     Rule `json:"rule"`
	// Least is what Check asks for, Ours if it is empty; Ours is what it is set
	// to when it is less. Both have a formula for each field of the value, "-"
	// for one that is left alone, or words for the rule "choice".
	Least   []string `json:"least,omitempty"`
	Ours    []string `json:"ours"`
	Default string   `json:"default"`
	Effect  string   `json:"effect,omitempty"` // of a value that is too low
	Reason  string   `json:"reason"`
	// Fix is what to do where a command cannot do it; VALUE stands for the value.
	Fix     string   `json:"fix,omitempty"`
	Sources []string `json:"sources"`
	Persist string   `json:"persist,omitempty"` // how it stays; that of its kind if empty
	Undo    string   `json:"undo,omitempty"`
}

// Harm is a setting that is popular and harmful.
type Harm struct {
	Name     string    `json:"name"`
	Kind     Kind      `json:"kind"`
	Path     string    `json:"path,omitempty"`
	Profiles []Profile `json:"profiles,omitempty"` // empty: all
	Field    int       `json:"field"`              // of the value, from 1
	Is       string    `json:"is"`                 // exactly, above or below
	Value    string    `json:"value"`              // a formula, or a word for "exactly"
	Unless   string    `json:"unless,omitempty"`   // a setting that takes the harm away when it has a value
	Instead  string    `json:"instead"`
	Reason   string    `json:"reason"`
	Sources  []string  `json:"sources"`
}

// Practice is a harmful habit that leaves nothing to look at.
type Practice struct {
	What    string   `json:"what"`
	Reason  string   `json:"reason"`
	Sources []string `json:"sources"`
}

// Care says how settings of a kind are kept and undone.
type Care struct {
	Persist string `json:"persist"`
	Undo    string `json:"undo"`
}

// Table is all that is known.
type Table struct {
	Kinds     map[Kind]Care `json:"kinds"`
	Knobs     []Knob        `json:"knobs"`
	Harmful   []Harm        `json:"harmful"`
	Practices []Practice    `json:"practices"`
}

// Default returns the table of this package. It is shared: do not change it.
var Default = sync.OnceValue(func() *Table {
	t, err := Parse(knobsJSON)
	if err != nil {
		panic(err) // the file is part of the program, and a test reads it
	}
	return t
})

// Parse reads a table and refuses one with gaps.
func Parse(text []byte) (*Table, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	t := &Table{}
	if err := d.Decode(t); err != nil {
		return nil, fmt.Errorf("table of knobs: %w", err)
	}
	for i := range t.Knobs {
		k := &t.Knobs[i]
		if len(k.Least) == 0 {
			k.Least = k.Ours
		}
		if k.Persist == "" {
			k.Persist = t.Kinds[k.Kind].Persist
		}
		if k.Undo == "" {
			k.Undo = t.Kinds[k.Kind].Undo
		}
		if err := k.check(); err != nil {
			return nil, fmt.Errorf("knob %s: %w", k.Name, err)
		}
	}
	for i := range t.Harmful {
		if err := t.Harmful[i].check(); err != nil {
			return nil, fmt.Errorf("harmful %s: %w", t.Harmful[i].Name, err)
		}
	}
	return t, nil
}

func (k *Knob) check() error {
	required := []struct{ field, value string }{
		{"name", k.Name}, {"default", k.Default}, {"reason", k.Reason}, {"persist", k.Persist}, {"undo", k.Undo},
		{"sources", strings.Join(k.Sources, "")}, {"scope", string(k.Scope)},
	}
	for _, r := range required {
		if r.value == "" {
			return fmt.Errorf("has no %s", r.field)
		}
	}
	if len(k.Profiles) == 0 {
		return fmt.Errorf("has no profiles")
	}
	if !slices.Contains([]Need{Required, Advised, Leave}, k.Need) {
		return fmt.Errorf("need %q is unknown", k.Need)
	}
	if k.Need != Leave && k.Effect == "" {
		return fmt.Errorf("has no effect")
	}
	if len(k.Ours) == 0 || len(k.Least) != len(k.Ours) {
		return fmt.Errorf("least and ours have %d and %d fields", len(k.Least), len(k.Ours))
	}
	if err := checkPlace(k.Kind, k.Path); err != nil {
		return err
	}
	return k.Rule.check(k.Ours, k.Least)
}

func (h *Harm) check() error {
	if h.Reason == "" || h.Instead == "" || len(h.Sources) == 0 || h.Field < 1 {
		return fmt.Errorf("needs a field, a reason, sources and what to set instead")
	}
	if err := checkPlace(h.Kind, h.Path); err != nil {
		return err
	}
	switch h.Is {
	case "exactly":
		return nil
	case "above", "below":
		_, err := ParseFormula(h.Value)
		return err
	}
	return fmt.Errorf("is %q, not exactly, above or below", h.Is)
}

// checkPlace refuses a kind that is unknown and a path where none belongs.
func checkPlace(kind Kind, path string) error {
	if !slices.Contains([]Kind{Sysctl, Sysfs, Limit, Env, Cgroup}, kind) {
		return fmt.Errorf("kind %q is unknown", kind)
	}
	if (kind == Sysfs) != strings.HasPrefix(path, "/sys/") {
		return fmt.Errorf("path %q for kind %s", path, kind)
	}
	return nil
}

// For returns the knobs of profile p, in the order of the table.
func (t *Table) For(p Profile) []*Knob {
	var list []*Knob
	for i := range t.Knobs {
		if slices.Contains(t.Knobs[i].Profiles, p) {
			list = append(list, &t.Knobs[i])
		}
	}
	return list
}

// File returns the path of a sysctl or a file of sysfs, else "".
func (k *Knob) File() string { return fileOf(k.Kind, k.Name, k.Path) }

// File returns the path of a sysctl or a file of sysfs, else "".
func (h *Harm) File() string { return fileOf(h.Kind, h.Name, h.Path) }

func fileOf(kind Kind, name, path string) string {
	switch kind {
	case Sysctl:
		return "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
	case Sysfs:
		return path
	}
	return ""
}

// Settable reports whether Apply may set k: a file of the running machine that
// no fix by hand stands beside.
func (k *Knob) Settable() bool { return k.File() != "" && k.Fix == "" && k.Need != Leave }
