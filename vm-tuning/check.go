package tuning

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
)

// Status is what Check says of a setting.
type Status string

// Statuses. Lacking, Harmful and Unreadable are faults.
const (
	OK            Status = "ok"
	Lacking       Status = "lacking"        // required, and too little
	Improvable    Status = "advised"        // not required, and could be better
	Harmful       Status = "harmful"        // set to something that does harm
	Unreadable    Status = "unreadable"     // there, but it does not tell
	Absent        Status = "absent"         // this machine has no such setting
	NotApplicable Status = "not applicable" // nothing here that it would bound
)

// Finding is what Check says of one setting.
type Finding struct {
	Name   string `json:"name"`
	Kind   Kind   `json:"kind"`
	Status Status `json:"status"`
	Need   Need   `json:"need,omitempty"`
	Have   string `json:"have,omitempty"`
	// Want is the value that would be set; Least is what the request needs.
	Want    string   `json:"want,omitempty"`
	Least   string   `json:"least,omitempty"`
	Effect  string   `json:"effect,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Fix     string   `json:"fix,omitempty"`
	Error   string   `json:"error,omitempty"`
	Sources []string `json:"sources,omitempty"`

	knob *Knob // nil for something harmful
}

// Fault reports whether the finding is something that has to be mended.
func (f *Finding) Fault() bool {
	return f.Status == Lacking || f.Status == Harmful || f.Status == Unreadable
}

// Check compares m with the table: knobs in their order, then what is harmful
// and set.
func (t *Table) Check(m *Machine, r Request) []Finding {
	r = r.normal()
	vars := m.vars(&r)
	var all []Finding
	for _, k := range t.For(r.Profile) {
		all = append(all, k.find(m, vars))
	}
	for i := range t.Harmful {
		if f, found := t.Harmful[i].find(m, &r, vars); found {
			all = append(all, f)
		}
	}
	return all
}

// find compares one knob.
func (k *Knob) find(m *Machine, vars Vars) Finding {
	f := Finding{Name: k.Name, Kind: k.Kind, Need: k.Need, Status: OK, Effect: k.Effect, Reason: k.Reason, Sources: k.Sources, knob: k}
	fail := func(err error) Finding {
		f.Status, f.Error = Unreadable, err.Error()
		return f
	}
	ours, err := k.Rule.values(k.Ours, vars)
	if errors.Is(err, ErrNotApplicable) {
		f.Status = NotApplicable
		return f
	} else if err != nil {
		return fail(err)
	}
	least, err := k.Rule.values(k.Least, vars)
	if err != nil {
		return fail(err)
	}
	f.Have, err = m.value(k.Kind, k.Name, k.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && k.Kind == Env:
		return f // the runtime's own choice, which is right
	case errors.Is(err, fs.ErrNotExist) && k.Kind == Cgroup:
		f.Status = NotApplicable
		return f
	case errors.Is(err, fs.ErrNotExist):
		f.Status = Absent
		return f
	case err == nil && f.Have == "":
		return fail(errEmpty)
	case err != nil:
		return fail(err)
	}
	if k.Need == Leave {
		return f
	}
	return k.compare(f, ours, least, fail)
}

// compare sets the status of f by what it has and what is wanted.
func (k *Knob) compare(f Finding, ours, least []string, fail func(error) Finding) Finding {
	have := strings.Fields(f.Have)
	enough, err := k.Rule.target(have, least)
	if err != nil {
		return fail(err)
	}
	want, err := k.Rule.target(have, ours)
	if err != nil {
		return fail(err)
	}
	f.Least = strings.Join(enough, " ")
	if slices.Equal(have, enough) {
		return f
	}
	f.Status = Improvable
	if k.Need == Required {
		f.Status = Lacking
	}
	f.Want = strings.Join(want, " ")
	f.Fix = k.fix(f.Want)
	return f
}

// fix says how to set k to value.
func (k *Knob) fix(value string) string {
	if k.Fix != "" {
		return strings.ReplaceAll(k.Fix, "VALUE", value)
	}
	return command(k.Kind, k.Name, k.Path, value)
}

// command returns what sets a value by hand.
func command(kind Kind, name, path, value string) string {
	switch kind {
	case Sysctl:
		if strings.Contains(value, " ") {
			return "sysctl -w " + name + `="` + value + `"`
		}
		return "sysctl -w " + name + "=" + value
	case Sysfs:
		return "echo " + value + " > " + path
	}
	return name + "=" + value
}

// find looks for something harmful; what cannot be read does no harm that this
// command could know of.
func (h *Harm) find(m *Machine, r *Request, vars Vars) (Finding, bool) {
	if len(h.Profiles) > 0 && !slices.Contains(h.Profiles, r.Profile) {
		return Finding{}, false
	}
	have, err := m.value(h.Kind, h.Name, h.Path)
	if err != nil {
		return Finding{}, false
	}
	fields := strings.Fields(have)
	if len(fields) < h.Field || !h.does(fields[h.Field-1], vars) {
		return Finding{}, false
	}
	if h.Unless != "" && m.hasSetting(h.Unless) {
		return Finding{}, false
	}
	f := Finding{
		Name: h.Name, Kind: h.Kind, Status: Harmful, Have: have, Want: h.Instead, Reason: h.Reason, Sources: h.Sources,
		Fix: h.Fix(),
	}
	return f, true
}

// Fix says how to undo h.
func (h *Harm) Fix() string {
	if h.Kind == Sysctl && h.Instead[0] >= '0' && h.Instead[0] <= '9' {
		return command(h.Kind, h.Name, h.Path, h.Instead)
	}
	return "set it to " + h.Instead
}

// does reports whether value is the harmful one.
func (h *Harm) does(value string, vars Vars) bool {
	if h.Is == "exactly" {
		return value == h.Value
	}
	formula, err := ParseFormula(h.Value)
	if err != nil {
		return false // Parse has refused it
	}
	bound, err := formula.Eval(vars)
	if err != nil {
		return false // it does not apply here
	}
	n, err := parseNumber(value)
	if err != nil {
		return false // a word, not a number
	}
	return h.Is == "above" && n > bound || h.Is == "below" && n < bound
}

// hasSetting reports whether a sysctl or a variable has a value.
func (m *Machine) hasSetting(name string) bool {
	kind := Env
	if strings.Contains(name, ".") {
		kind = Sysctl
	}
	v, err := m.value(kind, name, "")
	return err == nil && v != ""
}
