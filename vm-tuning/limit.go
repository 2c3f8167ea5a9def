package tuning

// MemoryLimit returns what GOMEMLIMIT should be for r on m, in bytes. ok is
// false when the variable is set already or no control group limits memory.
func (t *Table) MemoryLimit(m *Machine, r Request) (bytes int64, ok bool) {
	const name = "GOMEMLIMIT"
	if _, set := m.getenv(name); set {
		return 0, false
	}
	for i := range t.Knobs {
		if t.Knobs[i].Name != name {
			continue
		}
		values, err := t.Knobs[i].Rule.values(t.Knobs[i].Ours, m.vars(&r))
		if err != nil {
			return 0, false // no limit to follow
		}
		bytes, err = parseNumber(values[0])
		return bytes, err == nil
	}
	return 0, false
}
