package session

import (
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/rookery-server/rookery/shard"
)

// Errors of Create and Adopt. They come as they are, not wrapped.
var (
	ErrFull   = errors.New("session: table is full")                 // Options.Max sessions exist
	ErrExists = errors.New("session: a session with this id exists") // Adopt only
	ErrNoID   = errors.New("session: the zero id is no session's")   // Adopt only
)

const (
	// MaxDefault is how many sessions a table holds unless told otherwise.
	MaxDefault = 1 << 20

	maxLimit = 1 << 30 // what Options.Max may ask for

	// chunkRecords slots of 64 bytes fill a size class of Go's allocator, and
	// objects of that class begin at a cache line: no slot touches two.
	chunkRecords = 256

	// stripes is a power of two. Locks are held for some nanoseconds; so many
	// that two cores seldom want the same, so few that they cost 4 KB.
	stripes = 64

	// loadTries is how often Load reads without a lock a record that others
	// are writing.
	loadTries = 4
)

// Options configures a Table. The zero value is useful.
type Options struct {
	// Max is the number of sessions at which Create says ErrFull; 0 means
	// MaxDefault. Memory is used for sessions that exist only.
	Max int

	// IdleTimeout is the time without use after which Sweep removes a session,
	// in steps of a second, rounded up; 0 means never.
	IdleTimeout time.Duration

	// Now is the clock; nil means time.Now.
	Now func() time.Time

	// NewID draws the ids of Create; nil means 128 bits from crypto/rand. An
	// id is what a client proves itself with: all but a few of its bits must
	// come from crypto/rand. NewID is called with no lock held, from any
	// goroutine, at least once for each session. When it gives only ids that
	// are zero or in use, newIDTries of them, the id comes from crypto/rand.
	NewID func() ID

	// Class tells the classes apart that Count counts; nil: all are of class 0.
	Class Class
}

// Table holds sessions. All methods may be called from any goroutine. Locks are
// taken one at a time and held for as long as it takes to copy a record.
type Table struct {
	max   int64            // immutable
	idle  uint32           // immutable; seconds, 0 never
	now   func() time.Time // immutable
	newID func() ID        // immutable; nil for ids
	start time.Time        // immutable

	ids    *shard.Map               // id → Ref
	chunks atomic.Pointer[[]*chunk] // replaced under alloc.mu by a longer one
	live   atomic.Int64             // sessions; written under alloc.mu
	counts counts                   // of the sessions that are there

	alloc struct {
		mu    sync.Mutex
		free  uint32 // 1 + index of the first free slot; 0 when there is none
		fresh uint32 // slots ever used
		ids   idSource
	}

	sweep struct {
		mu   sync.Mutex
		next uint32 // index at which the next call begins
	}

	stripes [stripes]stripe
}

type chunk [chunkRecords]slot

// stripe serialises the writers of all slots whose index it is congruent to.
type stripe struct {
	mu sync.Mutex

	// scratch is the copy that callbacks see, guarded by mu. A local variable
	// would be an allocation a call.
	scratch Record // 56 bytes: no two stripes share a cache line
}

// NewTable returns an empty table.
func NewTable(o Options) *Table {
	t := &Table{max: int64(o.Max), now: o.Now, newID: o.NewID}
	if o.Max <= 0 {
		t.max = MaxDefault
	}
	t.max = min(t.max, maxLimit)
	t.ids = shard.New(int(t.max))
	if o.IdleTimeout > 0 {
		t.idle = uint32(min((o.IdleTimeout+time.Second-1)/time.Second, 1<<31))
	}
	if t.now == nil {
		t.now = time.Now
	}
	t.start = t.now()
	t.counts.of = o.Class
	t.chunks.Store(new([]*chunk))
	t.alloc.ids.read = rand.Read
	return t
}

// Create adds a session with the state of r, a fresh id, and LastUsed now. It
// returns ErrFull when Max sessions exist.
func (t *Table) Create(r Record) (ID, Ref, error) {
	r.LastUsed = t.seconds()
	index, id, ok := t.takeAndDraw()
	if !ok {
		return ID{}, 0, ErrFull
	}
	s := t.slot(index)
	ref := makeRef(index, s.generation()+1)
	// Registered before it lives: nobody knows the id yet, and whoever removes
	// the session will find it registered.
	for tries := 1; !t.ids.Insert(shard.Key(id), uint64(ref)); tries++ {
		id = t.drawAgain(tries)
	}
	r.ID = id
	p := r.pack()
	t.counts.add(&r, 1)
	s.open(&p)
	return id, ref, nil
}

// Adopt adds a session under an id that another table has drawn, with the state
// of r and LastUsed now: a copy of a session, or one that moves here. It returns
// ErrFull when Max sessions exist, ErrExists when this table has the id, ErrNoID
// for the zero id. Of several callers with one id one succeeds.
func (t *Table) Adopt(id ID, r Record) (Ref, error) {
	if id == (ID{}) {
		return 0, ErrNoID
	}
	if _, ok := t.Find(id); ok {
		return 0, ErrExists
	}
	r.LastUsed = t.seconds()
	index, ok := t.take()
	if !ok {
		return 0, ErrFull
	}
	s := t.slot(index)
	ref := makeRef(index, s.generation()+1)
	if !t.ids.Insert(shard.Key(id), uint64(ref)) {
		t.give(index)
		return 0, ErrExists // somebody was faster
	}
	r.ID = id
	p := r.pack()
	t.counts.add(&r, 1)
	s.open(&p)
	return ref, nil
}

// Find returns the Ref of the session with that id and reports whether there is
// one. It may be gone when the Ref is used; the method then says so.
func (t *Table) Find(id ID) (Ref, bool) {
	ref, ok := t.ids.Get(shard.Key(id))
	return Ref(ref), ok
}

// Load returns the record of ref as it is at one moment of the call and reports
// whether the session exists.
func (t *Table) Load(ref Ref) (Record, bool) {
	s := t.slotOf(ref)
	if s == nil {
		return Record{}, false
	}
	for range loadTries {
		state := s.state.Load()
		if uint32(state>>32) != ref.generation() {
			return Record{}, false
		}
		if state&writing != 0 {
			continue
		}
		if p := s.read(); s.state.Load() == state {
			return p.unpack(), true
		}
	}
	// Writers are at it, or one was suspended in the middle: wait in line.
	st := t.lock(ref)
	defer st.mu.Unlock()
	if !s.holds(ref) {
		return Record{}, false
	}
	p := s.read()
	return p.unpack(), true
}

// Update calls f with a copy of the record of ref and stores what f made of it,
// all at once; it reports whether the session exists. No other update of the
// record, and no removal, happens in between. f must not block, nor use the
// table, nor keep the pointer. If f panics the record stays as it was. Opening or ending a stream
// counts as use: a session does not expire with the stream that kept it.
func (t *Table) Update(ref Ref, f func(*Record)) bool {
	s := t.slotOf(ref)
	if s == nil {
		return false
	}
	st := t.lock(ref)
	defer st.mu.Unlock()
	if !s.holds(ref) {
		return false
	}
	old := s.read()
	r := &st.scratch
	*r = old.unpack()
	id, stream, home, kind := r.ID, r.Stream, r.Home, r.Kind
	f(r)
	r.ID = id
	t.counts.moved(home, kind, r)
	if r.Stream != stream {
		r.LastUsed = max(r.LastUsed, t.seconds())
	}
	p := r.pack()
	s.write(&old, &p)
	return true
}

// Version returns a number that grows with each write to the record of ref, by
// this table's count, and reports whether the session exists. A call that left
// the record as it was is no write. Load the version first and the record after
// it: the record is that version or a newer one. The number wraps around after
// 2^31 writes, so a is newer than b if int32(a-b) > 0.
func (t *Table) Version(ref Ref) (uint32, bool) {
	s := t.slotOf(ref)
	if s == nil {
		return 0, false
	}
	version, generation := s.version()
	if generation != ref.generation() {
		return 0, false
	}
	return version, true
}

// Touch notes that the session is in use now. It writes at most once a second.
func (t *Table) Touch(ref Ref) {
	s := t.slotOf(ref)
	if s == nil {
		return
	}
	now := t.seconds()
	if s.lastUsed() == now {
		return // or the slot is another session's now: nothing to do either
	}
	st := t.lock(ref)
	defer st.mu.Unlock()
	if !s.holds(ref) {
		return
	}
	old := s.read()
	r := old.unpack()
	r.LastUsed = max(r.LastUsed, now)
	p := r.pack()
	s.write(&old, &p)
}

// Delete removes the session. It returns its last record and reports whether it
// existed: of several callers one gets true.
func (t *Table) Delete(ref Ref) (Record, bool) {
	s := t.slotOf(ref)
	if s == nil {
		return Record{}, false
	}
	return t.remove(ref, s, func(*Record) bool { return true })
}

// Len returns the number of sessions.
func (t *Table) Len() int { return int(t.live.Load()) }

// Bytes returns the memory the table holds, its registry included.
func (t *Table) Bytes() int64 {
	chunks := *t.chunks.Load()
	return int64(unsafe.Sizeof(*t)) + t.ids.Bytes() +
		int64(len(chunks))*int64(unsafe.Sizeof(chunk{})) + int64(cap(chunks))*int64(unsafe.Sizeof(chunks[0]))
}

// Range calls f for every session until f returns false, with no lock held: f
// may use the table. A session that exists during the whole call is visited
// once; one that comes or goes, at most once.
func (t *Table) Range(f func(Ref, Record) bool) { t.RangeFrom(0, f) }

// RangeFrom is Range for the sessions whose Ref has an index, its lower 32
// bits, of at least from. They are visited in the order of their indices, so a
// walk can go on where it was interrupted.
func (t *Table) RangeFrom(from uint32, f func(Ref, Record) bool) {
	chunks := *t.chunks.Load()
	for i := int(from / chunkRecords); i < len(chunks); i++ {
		c := chunks[i]
		for j := range c {
			index, generation := uint32(i*chunkRecords+j), c[j].generation()
			if generation%2 == 0 || index < from {
				continue
			}
			ref := makeRef(index, generation)
			if r, ok := t.Load(ref); ok && !f(ref, r) {
				return
			}
		}
	}
}

// seconds returns the time since the table was made, in whole seconds.
func (t *Table) seconds() uint32 {
	return uint32(max(t.now().Sub(t.start), 0) / time.Second)
}

// lock returns the stripe that serialises the writers of ref, locked.
func (t *Table) lock(ref Ref) *stripe {
	s := &t.stripes[ref.index()%stripes]
	s.mu.Lock()
	return s
}

// slotOf returns the slot of ref, nil when no Create can have returned ref.
func (t *Table) slotOf(ref Ref) *slot {
	if ref.generation()%2 == 0 || ref.generation() > generationMax {
		return nil
	}
	if int(ref.index()/chunkRecords) >= len(*t.chunks.Load()) {
		return nil
	}
	return t.slot(ref.index())
}

// slot returns slot number index, which must exist.
func (t *Table) slot(index uint32) *slot {
	return &(*t.chunks.Load())[index/chunkRecords][index%chunkRecords]
}
