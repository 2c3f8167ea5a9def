package tuning

// Change is one setting that differs from what it should be.
type Change struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	Need Need   `json:"need,omitempty"`
	File string `json:"file,omitempty"` // empty: not a setting of a running machine
	Old  string `json:"old"`
	New  string `json:"new"`
	// Fix is what to do by hand.
	Fix string `json:"fix,omitempty"`
	// Settable changes are made by Apply.
	Settable bool `json:"settable"`
	// Done and Error say how it went.
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"`
}

// Plan returns what would have to change for r, in the order of the table.
// Harmful settings are not in it: whoever set them should say why first.
func (t *Table) Plan(m *Machine, r Request) []Change {
	changes := []Change{}
	for _, f := range t.Check(m, r) {
		if f.knob == nil || f.Want == "" {
			continue
		}
		changes = append(changes, Change{
			Name: f.Name, Kind: f.Kind, Need: f.Need, File: f.knob.File(), Old: f.Have, New: f.Want, Fix: f.Fix, Settable: f.knob.Settable(),
		})
	}
	return changes
}
