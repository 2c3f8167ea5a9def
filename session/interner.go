package session

// Interner maps names to small numbers.
type Interner struct{}

// NewInterner returns an empty interner; 0 means the default.
func NewInterner(names, bytes int) *Interner { return &Interner{} }

// Intern returns the number of name, 0 when it cannot be kept.
func (in *Interner) Intern(name []byte) uint32 { return 0 }

// Name returns the name with number i, "other" for 0 and for a number never given.
func (in *Interner) Name(i uint32) string { return "other" }
