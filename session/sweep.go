package session

import "github.com/rookery-server/rookery/shard"

// Sweep looks at the next max records, beginning where the last call ended, and
// removes the sessions among them that have not been used for IdleTimeout. It
// returns how many it removed. Called every second with Len/10 it passes over
// the table in about ten seconds.
//
// keep is asked before an idle session is removed and spares it by returning
// true; it sees a copy. Like f of Update it must not block nor use the table. A
// nil keep spares sessions with an open stream. gone, if not nil, is called after
// each removal, with no lock held: it may use the table.
func (t *Table) Sweep(max int, keep func(*Record) bool, gone func(Ref, Record)) int {
	if t.idle == 0 {
		return 0
	}
	if keep == nil {
		keep = func(r *Record) bool { return r.Stream != 0 }
	}
	now, removed := t.seconds(), 0
	next, slots, n := t.claim(max)
	for range n {
		index := next
		if next++; next == slots {
			next = 0
		}
		s := t.slot(index)
		generation := s.generation()
		if generation%2 == 0 || !t.expired(s.lastUsed(), now) {
			continue
		}
		ref := makeRef(index, generation)
		r, ok := t.remove(ref, s, func(r *Record) bool {
			return t.expired(r.LastUsed, now) && !keep(r)
		})
		if ok {
			removed++
			if gone != nil {
				gone(ref, r)
			}
		}
	}
	return removed
}

// claim takes the next max slots of all slots for one call of Sweep.
func (t *Table) claim(max int) (first, slots uint32, n int) {
	t.sweep.mu.Lock()
	defer t.sweep.mu.Unlock()
	// Locked: there are never fewer than at the call before, whose next is below.
	slots = uint32(len(*t.chunks.Load()) * chunkRecords)
	if slots == 0 || max <= 0 {
		return 0, 0, 0
	}
	n = min(max, int(slots))
	first = t.sweep.next
	t.sweep.next = uint32((uint64(first) + uint64(n)) % uint64(slots))
	return first, slots, n
}

// expired reports whether a session was used too long ago. Seconds are rounded
// down, so only the one after the last is certain.
func (t *Table) expired(lastUsed, now uint32) bool {
	return now > lastUsed && now-lastUsed > t.idle
}

// remove ends the session of ref, which lives in s or did, if agreed says so
// under the lock. It returns the last record and reports whether it did.
func (t *Table) remove(ref Ref, s *slot, agreed func(*Record) bool) (Record, bool) {
	r, ok := t.shut(ref, s, agreed)
	if ok {
		t.ids.CompareAndDelete(shard.Key(r.ID), uint64(ref))
		t.give(ref.index())
	}
	return r, ok
}

func (t *Table) shut(ref Ref, s *slot, agreed func(*Record) bool) (Record, bool) {
	st := t.lock(ref)
	defer st.mu.Unlock()
	if !s.holds(ref) {
		return Record{}, false
	}
	p := s.read()
	r := p.unpack()
	st.scratch = r
	if !agreed(&st.scratch) {
		return Record{}, false
	}
	s.shut()
	t.counts.add(&r, -1)
	return r, true
}
