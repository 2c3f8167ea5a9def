package fleet

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// A Page is memory that a supervisor shares with its workers: a secret, drawn
// before the first of them starts, whether the node ends, and one row each. Only
// the worker writes its row, but for Reset. All methods may be called from any goroutine of any of the
// processes.
type Page struct {
	mem  []byte
	rows int
}

// row is what a worker says of itself; a cache line of its own.
type row struct {
	open      atomic.Int64  // connections
	accepting atomic.Uint32 // 1: takes connections
	_         [52]byte
}

const (
	rowSize    = int(unsafe.Sizeof(row{}))
	secretSize = 32
	endingAt   = secretSize // a uint32
	headSize   = rowSize    // the secret, ending and room
)

// pageSize returns the size of a page, in bytes.
func pageSize(workers int) int { return headSize + workers*rowSize }

func (p *Page) row(i int) *row { return (*row)(unsafe.Pointer(&p.mem[headSize+i*rowSize])) }

// secret returns a copy of the secret.
func (p *Page) secret() []byte { return append([]byte(nil), p.mem[:secretSize]...) }

// ending is 1 when no worker will be started any more and all are told to end.
func (p *Page) ending() *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&p.mem[endingAt])) }

// End notes that the node ends.
func (p *Page) End() { p.ending().Store(1) }

// Open returns how many connections a worker holds.
func (p *Page) Open(worker int) int64 { return p.row(worker).open.Load() }

// Accepting reports whether a worker takes connections.
func (p *Page) Accepting(worker int) bool { return p.row(worker).accepting.Load() != 0 }

// Reset clears the row of a worker that has ended: nobody may wait for it.
func (p *Page) Reset(worker int) {
	p.row(worker).accepting.Store(0)
	p.row(worker).open.Store(0)
}

// Share returns the view of one worker.
func (p *Page) Share(worker int) *Share { return &Share{p, worker} }

// A Share paces the accepting of one worker so that all of them hold about the
// same number of connections; it is a loop.Pacer. It does not block.
type Share struct {
	page *Page
	self int
}

const (
	// A worker may be ahead of the least by slackMin, and by the slackPart-th
	// part of what that one holds: the fewer there are, the finer they are dealt.
	slackMin, slackPart = 4, 64
	// leave is how long a worker that is ahead leaves connections to others.
	leave = 10 * time.Millisecond
)

// Add notes that n more connections are open, or fewer.
func (s *Share) Add(n int) { s.page.row(s.self).open.Add(int64(n)) }

// Accepting notes whether the worker takes connections.
func (s *Share) Accepting(on bool) {
	var v uint32
	if on {
		v = 1
	}
	s.page.row(s.self).accepting.Store(v)
}

// Wait returns how long to leave connections to others: not at all unless one
// of those that accept holds clearly fewer.
func (s *Share) Wait() time.Duration {
	mine := s.page.row(s.self).open.Load()
	for i := range s.page.rows {
		if other := s.page.row(i); i != s.self && other.accepting.Load() != 0 {
			if least := other.open.Load(); mine > least+slackMin+least/slackPart {
				return leave
			}
		}
	}
	return 0
}

// Last reports whether the node ends and no other worker takes connections. One
// that has just been started may be about to, and is told to end first.
func (s *Share) Last() bool {
	for i := range s.page.rows {
		if i != s.self && s.page.row(i).accepting.Load() != 0 {
			return false
		}
	}
	return s.page.ending().Load() != 0
}
