package session

import "sync/atomic"

// Classes is how many classes of sessions a table can tell apart.
const Classes = 4

// Class sorts sessions by two fields of their records. It returns less than
// Classes, always the same for the same fields, and must not use the table.
type Class func(home uint32, kind uint8) int

// counts are the sessions of each class, so that nobody has to visit a million
// records to say how many of them are at home here.
type counts struct {
	of Class // immutable; nil: all are of class 0
	n  [Classes]atomic.Int64
}

func (c *counts) class(r *Record) int {
	if c.of == nil {
		return 0
	}
	return c.of(r.Home, r.Kind)
}

// add counts a session that comes, with 1, or goes, with -1.
func (c *counts) add(r *Record, by int64) { c.n[c.class(r)].Add(by) }

// moved counts a session whose record has changed.
func (c *counts) moved(home uint32, kind uint8, r *Record) {
	if home == r.Home && kind == r.Kind || c.of == nil {
		return
	}
	if from, to := c.of(home, kind), c.of(r.Home, r.Kind); from != to {
		c.n[from].Add(-1)
		c.n[to].Add(1)
	}
}

// Count returns how many sessions of each class of Options.Class there are, at
// the cost of reading as many numbers. While sessions come, go and change, the
// numbers are not of one moment: one that changes may be missing, or be counted
// in two classes.
func (t *Table) Count() (n [Classes]int) {
	for i := range n {
		n[i] = int(max(t.counts.n[i].Load(), 0))
	}
	return n
}
