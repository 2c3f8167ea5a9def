package loop

// A wheel keeps one deadline per slot in a ring of buckets, one bucket a tick.
// Links live in the slots, so a deadline costs 8 bytes and no timer. Deadlines
// further away than the ring stay in their bucket and are looked at once a
// turn; a deadline that moved later is found when its old bucket comes up, so
// activity of a connection costs one store and no relinking.
//
// It belongs to one goroutine.
type wheel struct {
	slots *slab
	heads [wheelBuckets + 1]uint32 // index+1 of the first slot; the last is the list being worked off
	now   uint32                   // last tick worked off
}

const (
	wheelBuckets = 512 // 256 s at the default tick; power of two
	wheelHead    = uint32(1 << 31)
)

// arm links slot i for tick due; it must not be linked.
func (w *wheel) arm(i int, s *slot, due uint32) {
	if int32(due-w.now) <= 0 {
		due = w.now + 1
	}
	s.due = due
	bucket := due % wheelBuckets
	head := w.heads[bucket]
	s.wnext, s.wprev = head, bucket|wheelHead
	if head != 0 {
		w.slots.at(int(head - 1)).wprev = uint32(i) + 1
	}
	w.heads[bucket] = uint32(i) + 1
}

// disarm unlinks slot i if it is linked.
func (w *wheel) disarm(s *slot) {
	switch {
	case s.wprev == 0:
		return
	case s.wprev&wheelHead != 0:
		w.heads[s.wprev&^wheelHead] = s.wnext
	default:
		w.slots.at(int(s.wprev - 1)).wnext = s.wnext
	}
	if s.wnext != 0 {
		w.slots.at(int(s.wnext - 1)).wprev = s.wprev
	}
	s.wnext, s.wprev = 0, 0
}

// sooner makes sure slot i is looked at no later than tick due.
func (w *wheel) sooner(i int, s *slot, due uint32) {
	if s.wprev != 0 && int32(s.due-due) <= 0 {
		return
	}
	w.disarm(s)
	w.arm(i, s, due)
}

// advance works off the ticks up to now. For each slot whose deadline has come
// it calls expire with the slot unlinked; expire arms it again or closes it.
func (w *wheel) advance(now uint32, expire func(i int, s *slot)) {
	if now-w.now > wheelBuckets {
		w.now = now - wheelBuckets // every bucket once is enough
	}
	for w.now != now {
		w.now++
		w.bucket(now, expire)
	}
}

// bucket looks at the slots of tick w.now. They are moved to a list of their own
// first, because expire may arm slots into the very bucket it is called from.
func (w *wheel) bucket(now uint32, expire func(i int, s *slot)) {
	n := w.now % wheelBuckets
	head := w.heads[n]
	if head == 0 {
		return
	}
	w.heads[n], w.heads[wheelBuckets] = 0, head
	w.slots.at(int(head - 1)).wprev = wheelBuckets | wheelHead
	for w.heads[wheelBuckets] != 0 {
		i := int(w.heads[wheelBuckets] - 1)
		s := w.slots.at(i)
		w.disarm(s)
		if int32(s.due-now) > 0 {
			w.arm(i, s, s.due)
			continue
		}
		expire(i, s)
	}
}
