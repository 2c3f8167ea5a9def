package loop

import (
	"sync"
	"sync/atomic"
)

// A slot is all that an idle connection costs in user space. It holds no
// pointer, so the collector never looks at it.
//
// Who may touch a field: "loop" the goroutine of the slot's loop only; "any"
// any goroutine; "open" set before the connection is published, constant while
// it is open.
type slot struct {
	state   atomic.Uint64 // any: see the constants below
	word    atomic.Uint64 // any: the protocol's 64 bits
	fd      int32         // open
	pending atomic.Uint32 // any: what the loop is asked to do, req… bits
	next    uint32        // link (index+1) of the mailbox or of a free list
	wnext   uint32        // loop: next in the wheel (index+1)
	wprev   uint32        // loop: previous in the wheel, or the bucket | wheelHead
	due     uint32        // loop: the tick at which a deadline is looked at
	busy    atomic.Uint32 // any under the slot lock: index+1 of what is attached
	lis     uint8         // open: listener, and so protocol
	pauses  uint8         // loop: 1<<Pause bits
	mode    uint16        // loop: mode… bits
}

// slotBytes is the memory budget of one idle connection: 48 MB a million.
const slotBytes = 48

// The state word of a slot.
//
//	63 ........ 32 | 21 ....... 16 | 15 .... 0
//	  generation   |     flags     |   users
//
// A user is whoever might use the descriptor: the loop from open to teardown,
// each system call of a writer, each stay in the mailbox. The last user closes
// the descriptor, raises the generation and frees the slot, so that a
// descriptor number is never reused under a system call in flight.
//
// Legal moves: users 0→1 (open, by the loop), +1 only while not closing or by
// someone who is a user already, locked set only together with +1 and cleared
// together with −1, closing and ending set once, all flags cleared when users
// reaches 0.
const (
	stateUser      = uint64(1)
	stateUsers     = uint64(1<<16 - 1)
	stateLocked    = uint64(1 << 16) // someone writes, or changes what is attached
	stateWaiters   = uint64(1 << 17) // someone waits for locked to clear
	stateClosing   = uint64(1 << 18) // no new users
	stateEnding    = uint64(1 << 19) // no new writes; closes when held output has left
	stateScheduled = uint64(1 << 20) // set by the loop; a worker has it or is about to
	stateOut       = uint64(1 << 21) // output is held
	stateLent      = uint64(1 << 22) // jobs that released the connection still run
	stateWorking   = stateScheduled | stateLent
	stateGenShift  = 32
)

func stateGen(v uint64) uint32 { return uint32(v >> stateGenShift) }

// parking is where goroutines wait for the lock of a slot. It is shared by many
// slots; a waiter that was woken for another slot just waits again.
type parking struct {
	mu   sync.Mutex
	cond sync.Cond
	_    [64]byte
}

const parkingLots = 64 // power of two

// lock makes the caller a user and the only one that may write. It reports
// false when the slot is not (or no longer) generation gen, or has one of the
// deny flags.
func (s *slot) lock(gen uint32, deny uint64, lot *parking) bool {
	return s.tryLock(gen, deny) || s.lockSlow(gen, deny, lot)
}

// tryLock is lock that does not wait, and may report false without a reason.
func (s *slot) tryLock(gen uint32, deny uint64) bool {
	v := s.state.Load()
	return stateGen(v) == gen && v&(deny|stateLocked) == 0 && v&stateUsers != 0 &&
		s.state.CompareAndSwap(v, (v|stateLocked)+stateUser)
}

func (s *slot) lockSlow(gen uint32, deny uint64, lot *parking) bool {
	lot.mu.Lock()
	defer lot.mu.Unlock()
	for {
		v := s.state.Load()
		switch {
		case stateGen(v) != gen || v&deny != 0 || v&stateUsers == 0:
			return false
		case v&stateLocked == 0:
			if s.state.CompareAndSwap(v, (v|stateLocked)+stateUser) {
				return true
			}
		case v&stateWaiters != 0 || s.state.CompareAndSwap(v, v|stateWaiters):
			lot.cond.Wait()
		}
	}
}

// unlock gives back what lock took and reports whether the caller was the last
// user, in which case it must finalize the slot.
func (s *slot) unlock(lot *parking) (last bool) {
	v := s.state.Add(^(stateLocked + stateUser) + 1)
	if v&stateWaiters != 0 {
		lot.mu.Lock()
		s.state.And(^stateWaiters)
		lot.cond.Broadcast()
		lot.mu.Unlock()
	}
	return v&stateUsers == 0
}

// use makes the caller a user without the lock.
func (s *slot) use(gen uint32) bool {
	for {
		v := s.state.Load()
		if stateGen(v) != gen || v&stateClosing != 0 || v&stateUsers == 0 {
			return false
		}
		if s.state.CompareAndSwap(v, v+stateUser) {
			return true
		}
	}
}

// unuse gives back one use and reports whether it was the last.
func (s *slot) unuse() (last bool) { return s.state.Add(^stateUser+1)&stateUsers == 0 }

// A slab holds slots in chunks that never move. Alloc and the local free list
// belong to the loop; slots freed elsewhere come back through a stack.
type slab struct {
	chunks [slabChunks]atomic.Pointer[[slabChunk]slot]
	used   int           // loop: slots ever handed out
	free   uint32        // loop: head (index+1) of the free list
	freed  atomic.Uint32 // any: head (index+1) of slots freed by others
	count  atomic.Int64  // chunks allocated
}

const (
	slabChunk  = 1024
	slabChunks = 4096
	slabMax    = slabChunk * slabChunks // 4,194,304 connections a loop
)

// at returns slot i, which must have been allocated once.
func (b *slab) at(i int) *slot { return &b.chunks[i/slabChunk].Load()[i%slabChunk] }

// lookup returns slot i or nil when there never was one.
func (b *slab) lookup(i int) *slot {
	if i >= slabMax {
		return nil
	}
	c := b.chunks[i/slabChunk].Load()
	if c == nil {
		return nil
	}
	return &c[i%slabChunk]
}

// alloc returns a free slot, its links zero, or −1 when all slabMax are in use.
func (b *slab) alloc() int {
	if b.free == 0 {
		b.free = b.freed.Swap(0)
	}
	if b.free != 0 {
		i := int(b.free - 1)
		s := b.at(i)
		b.free, s.next = s.next, 0
		return i
	}
	if b.used == slabMax {
		return -1
	}
	i := b.used
	if i%slabChunk == 0 {
		b.chunks[i/slabChunk].Store(new([slabChunk]slot))
		b.count.Add(1)
	}
	b.used++
	b.at(i).state.Store(1 << stateGenShift) // generation 0 would make handle 0
	return i
}

// retire raises the generation of slot i, whose last user the caller was, and
// puts it on the stack of freed slots.
func (b *slab) retire(i int, s *slot) {
	gen := stateGen(s.state.Load()) + 1
	if gen == 0 {
		gen = 1
	}
	s.word.Store(0)
	s.pending.Store(0)
	s.state.Store(uint64(gen) << stateGenShift)
	for {
		head := b.freed.Load()
		s.next = head
		if b.freed.CompareAndSwap(head, uint32(i)+1) {
			return
		}
	}
}

// bytes returns the memory of all chunks.
func (b *slab) bytes() int64 {
	return b.count.Load()*slabChunk*slotBytes + int64(len(b.chunks))*8
}
