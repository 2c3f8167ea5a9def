package shard

// enlarge replaces b, whose table is full, by a bucket with room or by two.
// REQUIRES: b.mu held, h is the hash of a key that b serves.
func (m *Map) enlarge(h uint64, b *bucket) {
	groups := groupsFor(int(b.live.Load()))
	if groups <= groupsMax || b.depth >= m.depthMax {
		m.replace(h, b, m.copied(b, groups))
		return
	}
	low, high := m.split(b)
	m.replace(h, b, low, high)
}

// shrink replaces b by a smaller bucket if less than a quarter of its room is
// in use. REQUIRES: b.mu held, h is the hash of a key that b serves.
func (m *Map) shrink(h uint64, b *bucket) {
	live := int(b.live.Load())
	if 4*live >= b.room() {
		return
	}
	// Half as much again, so that the next few insertions do not undo it.
	if groups := groupsFor(live + live/2); groups < b.groups {
		m.replace(h, b, m.copied(b, groups))
	}
}

// copied returns a bucket that holds the keys of b in a table of its own.
// REQUIRES: b.mu held.
func (m *Map) copied(b *bucket, groups int) *bucket {
	c := newBucket(b.depth, groups)
	b.each(func(k0, k1, value uint64) {
		k := newKey(k0, k1)
		h, _, _ := m.hash(&k)
		c.place(h, k0, k1, value)
	})
	return c
}

// split returns two buckets that share the keys of b by the next bit of their
// hash. REQUIRES: b.mu held.
func (m *Map) split(b *bucket) (low, high *bucket) {
	bit := uint64(1) << (63 - b.depth)
	highKeys := 0
	b.each(func(k0, k1, _ uint64) {
		k := newKey(k0, k1)
		if h, _, _ := m.hash(&k); h&bit != 0 {
			highKeys++
		}
	})
	low = newBucket(b.depth+1, groupsFor(int(b.live.Load())-highKeys))
	high = newBucket(b.depth+1, groupsFor(highKeys))
	b.each(func(k0, k1, value uint64) {
		k := newKey(k0, k1)
		h, _, _ := m.hash(&k)
		if h&bit != 0 {
			high.place(h, k0, k1, value)
		} else {
			low.place(h, k0, k1, value)
		}
	})
	return low, high
}

// replace puts successors in the place of b, all at once for each key: who
// looked b up before still reads what was true until now. REQUIRES: b.mu held.
func (m *Map) replace(h uint64, b *bucket, successors ...*bucket) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dir.load()
	if len(successors) == 2 && b.depth == d.depth() {
		d = d.doubled()
	}
	d.set(h, b.depth, successors...)
	m.dir.store(d)
	b.dead = true
}
