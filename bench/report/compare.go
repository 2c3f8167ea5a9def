package report

import (
	"bytes"
	"fmt"
	"io"
	"text/tabwriter"
)

// Change is what became of one check from one run to another.
type Change struct {
	ID      string   `json:"id"`
	What    string   `json:"what"`
	Unit    string   `json:"unit,omitempty"`
	Before  *float64 `json:"before"`
	After   *float64 `json:"after"`
	Ratio   *float64 `json:"ratio"` // after ÷ before; null where it has no meaning
	Better  bool     `json:"better"`
	Worse   bool     `json:"worse"`
	Was, Is Verdict  `json:"-"`
}

// Comparison is two runs side by side.
type Comparison struct {
	Schema  int      `json:"schema"`
	Before  string   `json:"before"` // what was compared: commit and time
	After   string   `json:"after"`
	Changes []Change `json:"changes"`
	// Warnings say what makes the runs hard to compare, such as other machines.
	Warnings []string `json:"warnings"`
}

// noise is the share by which two runs of the same on one machine differ
// easily: less is neither better nor worse.
const noise = 0.05

// Compare sets after beside before, check by check, in the order of after;
// checks that only before has come last.
func Compare(before, after *Report) *Comparison {
	c := &Comparison{Schema: Schema, Before: before.label(), After: after.label(), Changes: []Change{}, Warnings: []string{}}
	if before.Machine != after.Machine {
		c.Warnings = append(c.Warnings, "the machines differ: "+before.Machine.String()+" / "+after.Machine.String())
	}
	for _, s := range after.Settings {
		for _, t := range before.Settings {
			if s.Name == t.Name && s.Value != t.Value {
				c.Warnings = append(c.Warnings, fmt.Sprintf("%s: %s / %s", s.Name, t.Value, s.Value))
			}
		}
	}
	for i := range after.Checks {
		c.Changes = append(c.Changes, changed(before.Check(after.Checks[i].ID), &after.Checks[i]))
	}
	for i := range before.Checks {
		if after.Check(before.Checks[i].ID) == nil {
			c.Changes = append(c.Changes, changed(&before.Checks[i], nil))
		}
	}
	return c
}

func (r *Report) label() string {
	return fmt.Sprintf("%.12s of %s", r.Commit, r.Taken.UTC().Format("2006-01-02 15:04"))
}

// changed compares a check of two runs, one of which may lack it.
func changed(before, after *Check) Change {
	d := Change{}
	if before != nil {
		d.ID, d.What, d.Unit, d.Before, d.Was = before.ID, before.What, before.Unit, before.Got, before.Verdict
	}
	if after != nil {
		d.ID, d.What, d.Unit, d.After, d.Is = after.ID, after.What, after.Unit, after.Got, after.Verdict
	}
	if d.Before == nil || d.After == nil {
		return d
	}
	if *d.Before != 0 {
		d.Ratio = Limit(*d.After / *d.Before)
	}
	margin := noise * max(*d.Before, -*d.Before)
	up, down := *d.After > *d.Before+margin, *d.After < *d.Before-margin
	d.Better, d.Worse = down, up
	if after.Sense == AtLeast {
		d.Better, d.Worse = up, down
	}
	return d
}

// WriteTable writes the comparison for a terminal.
func (c *Comparison) WriteTable(w io.Writer) error {
	var out bytes.Buffer
	for _, s := range c.Warnings {
		fmt.Fprintf(&out, "differs: %s\n", s)
	}
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "check\t%s\t%s\tratio\t\t\n", c.Before, c.After)
	value := func(v *float64) string {
		if v == nil {
			return "–"
		}
		return Number(*v)
	}
	for i := range c.Changes {
		d := &c.Changes[i]
		word := ""
		switch {
		case d.Better:
			word = "better"
		case d.Worse:
			word = "worse"
		}
		if d.Was != d.Is && d.Was != "" && d.Is != "" {
			word += fmt.Sprintf(" (%s → %s)", d.Was, d.Is)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, value(d.Before), value(d.After), value(d.Ratio), d.Unit, word)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := w.Write(out.Bytes())
	return err
}
