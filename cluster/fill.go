package cluster

import (
	"slices"
	"time"

	"github.com/rookery-server/rookery/batch"
	"github.com/rookery-server/rookery/shard"
)

// filler brings whole partitions to peers that are to hold them: in one pass
// through the sessions for all that are wanted when it begins. What changes
// meanwhile follows on the bulk lane, behind what the pass has sent.
type filler struct {
	due     bool // partitions are wanted
	on      bool // a pass runs
	at      uint32
	links   []*Link
	pending bool // sent, not acknowledged

	uncertain bool // whether naked is right
	naked     bool // a partition has no complete copy
}

const fillStep = 256 // sessions looked at in one step

// step does a part of a pass and reports whether it could go on at once.
func (f *filler) step(c *Core, _ time.Duration) bool {
	c.mu.Lock()
	links := slices.Clone(c.links)
	c.mu.Unlock()
	f.settle(links)
	for _, l := range links {
		if l.takeOverrun() {
			f.due, f.uncertain = true, true
		}
	}
	if !f.on {
		if !f.due || !f.start(links) {
			return false
		}
	}
	n, more, full := 0, false, false
	c.o.Store.Range(f.at, func(ref uint64, s Session) bool {
		if n++; n > fillStep {
			more, f.at = true, uint32(ref)
			return false
		}
		if full = !f.send(c, ref, &s); full {
			f.at = uint32(ref) // the same again when there is room
			return false
		}
		return true
	})
	if !more && !full {
		f.on = false
	}
	return more && !full
}

// start begins a pass for everything that is wanted by peers that are alive.
func (f *filler) start(links []*Link) bool {
	f.due, f.links, f.at = false, nil, 0
	for _, l := range links {
		if !l.alive.Load() {
			continue
		}
		switch parts, ok := l.beginFill(); {
		case !ok:
			f.due = true // not yet
		case parts > 0:
			f.links = append(f.links, l)
		}
	}
	f.on = len(f.links) > 0
	f.pending = f.pending || f.on
	return f.on
}

// send brings one session to those in whose fill it is. It reports false if one
// of them has no room.
func (f *filler) send(c *Core, ref uint64, s *Session) bool {
	if s.Home != 0 {
		return true
	}
	part := shard.PartitionOf(shard.Key(s.ID))
	ok := true
	for _, l := range f.links {
		if l.state(part) != partFilling {
			continue
		}
		c.o.Store.Export(ref, func(full *Snapshot) {
			if full.Home != 0 {
				return // it has left since: in its epoch another one is home
			}
			ok = l.fillWith(part, func(b []byte, bodies *bodyOut) []byte { return l.appendOpen(b, ref, full, bodies) })
		})
		if !ok {
			return false
		}
		c.count.filled.Add(1)
	}
	return true
}

// settle makes partitions live whose fill the peer has processed, those of
// earlier passes included.
func (f *filler) settle(links []*Link) {
	if f.on || !f.pending {
		return
	}
	f.pending, f.uncertain = false, true
	for _, l := range links {
		if l.alive.Load() && !l.endFill() {
			f.pending = true
		}
	}
}

// covered reports whether every partition has at least one complete copy on
// another node.
func (f *filler) covered(c *Core) bool {
	if !f.uncertain {
		return !f.naked
	}
	f.uncertain, f.naked = false, false
	p := c.plan.Load()
	for part := range uint16(partitions) {
		if !slices.ContainsFunc(p.of(part), func(l *Link) bool { return !l.sameNode() && l.state(part) == partLive }) {
			f.naked = true
			return false
		}
	}
	return true
}

// idle reports whether everybody has what they are to hold.
func (f *filler) idle() bool { return !f.on && !f.pending && !f.due }

// beginFill turns the wanted partitions into ones that are being filled and
// returns how many there are; ok is false if there is no room to say so, or if
// changes of before are on their way still, which the fill would overtake.
func (l *Link) beginFill() (n int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m.Acked(batch.Data) < l.behind {
		return 0, false
	}
	var parts []uint16
	for p := range l.parts {
		if l.parts[p].state == partWanted {
			parts = append(parts, uint16(p))
		}
	}
	if len(parts) == 0 {
		return 0, true
	}
	seq, err := l.append(batch.Bulk, appendPartitions([]byte{kindReset}, parts))
	if err != nil {
		return 0, false
	}
	if l.filled == nil {
		l.filled = make([]uint64, partitions)
	}
	for _, p := range parts {
		l.parts[p].state, l.filled[p] = partFilling, seq
	}
	l.filling += len(parts)
	l.core.wake(l)
	return len(parts), true
}

// fillWith sends a session of a partition that is being filled.
func (l *Link) fillWith(p uint16, build func(b []byte, bodies *bodyOut) []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := &l.parts[p]
	if part.state != partFilling {
		return true // dropped meanwhile, or to be filled again
	}
	defer l.core.wake(l)
	return l.put(p, batch.Bulk, build)
}

// endFill turns partitions whose fill has been processed into live ones and
// reports whether none is left.
func (l *Link) endFill() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.filling == 0 {
		l.filled = nil
		return true
	}
	acked := l.m.Acked(batch.Bulk)
	for p := range l.parts {
		if part := &l.parts[p]; part.state == partFilling && l.filled[p] <= acked {
			part.state = partLive
			l.filling--
		}
	}
	if l.filling == 0 {
		l.filled = nil
	}
	return l.filling == 0
}

func (l *Link) takeOverrun() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.overrun
	l.overrun = false
	return was
}
