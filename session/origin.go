package session

import "math/bits"

// Origin is the identity of a message in the stores of all processes: who
// published it, and which of its messages it is. Messages of one Origin have the
// same bytes; the zero Origin is none. It is an alias, so that packages which know nothing of each other
// can speak of the same type.
type Origin = struct {
	Peer uint64 // EventsOptions.Peer of the store that made the identity
	Seq  uint64 // counts the identities that it made, from 1 on
}

// NewOrigin returns an identity that this store has not given yet. Keep takes
// its identities from the same count: who numbers messages beside a store with
// the same Peer must do it here.
func (e *Events) NewOrigin() Origin { return e.bodies.newOrigin() }

// KeepAs is Keep for a message that has its identity already; with the zero
// Origin it is Keep. If a body with that identity is stored the caller gets a
// reference to it, msg is not looked at, and nothing is allocated; age is counted
// from when it was kept first.
func (e *Events) KeepAs(o Origin, msg []byte) (body uint32) { return e.bodies.keepAs(o, msg) }

// Origin returns the identity of a body that the caller holds, the zero Origin
// for body 0. It takes no lock: f of Each may call it.
func (e *Events) Origin(body uint32) Origin {
	if body == 0 {
		return Origin{}
	}
	return e.bodies.at(body).origin
}

// Message returns the message of a body that the caller holds, and false when
// it was evicted, or for body 0. The slice may be kept and must not be changed.
// It takes no lock: f of Each may call it.
func (e *Events) Message(body uint32) ([]byte, bool) {
	if body == 0 {
		return nil, false
	}
	return e.bodies.at(body).bytes()
}

func (b *bodies) newOrigin() Origin { return Origin{Peer: b.peer, Seq: b.origins.Add(1)} }

// hashOf mixes o into 32 bits, so that 64 messages of a peer that were published
// one after another lie side by side in the index: they come and go together.
// The steps are the end of MurmurHash3.
func hashOf(o Origin) uint32 {
	h := o.Peer ^ o.Seq>>6*0x9e3779b97f4a7c15
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return uint32(h^h>>33) + uint32(o.Seq)
}

func (b *bodies) keepAs(o Origin, msg []byte) uint32 {
	switch {
	case b.sizeMax < 0:
		return 0
	case o == Origin{}:
		return b.keep(msg)
	}
	n := b.share(o)
	if n == 0 {
		if len(msg) > b.sizeMax {
			b.tooLarge.Add(1)
			return 0
		}
		data := make([]byte, len(msg))
		copy(data, msg)
		n = b.shareOrLink(data, o)
	}
	b.enforce()
	return n
}

// share adds a reference to the body of o and returns its number, 0 if none is
// stored.
func (b *bodies) share(o Origin) uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.shareLocked(o)
}

// shareOrLink does what share does, or makes data the body of o.
func (b *bodies) shareOrLink(data []byte, o Origin) uint32 {
	now := b.seconds()
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := b.shareLocked(o); n != 0 {
		return n // somebody was faster
	}
	return b.linkLocked(data, o, now)
}

func (b *bodies) shareLocked(o Origin) uint32 {
	for n := b.findLocked(o); n != 0; n = b.findLocked(o) {
		if b.at(n).hold() {
			b.used.Add(entryBytes)
			return n
		}
	}
	return 0
}

// hold adds a reference to a body that somebody holds; it reports whether one
// still does. Who gives the last reference back frees the body, come what may.
func (s *body) hold() bool {
	for {
		state := s.state.Load()
		if state>>refShift == 0 {
			return false
		}
		if s.state.CompareAndSwap(state, state+refOne) {
			return true
		}
	}
}

// The index of origins is a hash table that grows by one bucket with each body:
// linear hashing (Litwin, "Linear hashing: a new tool for file and table
// addressing", 1980). No call pays for a table twice as large. b.heads has the
// buckets, each the number of its first body; body.chain leads on.

// bucketOf returns in which of so many buckets a hash belongs: that of its
// lowest bits, of one bit less as long as this bucket is not split.
func bucketOf(hash, buckets uint32) uint32 {
	mask := uint32(1)<<bits.Len32(buckets-1) - 1
	if bucket := hash & mask; bucket < buckets {
		return bucket
	}
	return hash & (mask >> 1)
}

// bucketLocked returns the bucket of o. REQUIRES: there is one.
func (b *bodies) bucketLocked(o Origin) *uint32 {
	return b.heads.at(bucketOf(hashOf(o), b.heads.fresh))
}

// findLocked returns the number of the stored body of o that somebody holds, 0
// if there is none.
func (b *bodies) findLocked(o Origin) uint32 {
	if b.heads.fresh == 0 {
		return 0
	}
	for n := *b.bucketLocked(o); n != 0; n = b.at(n).chain {
		if s := b.at(n); s.origin == o && s.state.Load()>>refShift != 0 {
			return n
		}
	}
	return 0
}

// indexLocked adds body n, which is s, to the index.
func (b *bodies) indexLocked(n uint32, s *body) {
	if int64(b.heads.fresh) < b.live {
		b.splitLocked()
	}
	head := b.bucketLocked(s.origin)
	s.chain, *head = *head, n
}

// splitLocked adds a bucket and moves into it what belongs there.
func (b *bodies) splitLocked() {
	to := b.heads.add()
	if to == 0 {
		return // the first one
	}
	from := to &^ (1 << (bits.Len32(to) - 1))
	kept, moved := uint32(0), uint32(0)
	for n := *b.heads.at(from); n != 0; {
		s := b.at(n)
		next := s.chain
		if bucketOf(hashOf(s.origin), to+1) == to {
			s.chain, moved = moved, n
		} else {
			s.chain, kept = kept, n
		}
		n = next
	}
	*b.heads.at(from), *b.heads.at(to) = kept, moved
}

// unindexLocked takes body n, which is s, out of the index.
func (b *bodies) unindexLocked(n uint32, s *body) {
	link := b.bucketLocked(s.origin)
	for *link != n {
		link = &b.at(*link).chain
	}
	*link, s.chain = s.chain, 0
}
