package server

import (
	"sync"

	"github.com/rookery-server/rookery/loop"
)

// ahead knows, for each HTTP connection with requests at workers, how many
// there are, and keeps the one request that may open a stream and therefore has
// to wait for them: a stream has no end that others could wait for.
//
// The loop's own word for it, Turn.Busy, is not enough. A worker writes its
// response before it lets the connection go, so the next request of a client
// that reuses its connection at once is Busy though nothing is ahead of it; and
// a request that is kept must be served the moment the last one is done, when
// there may be no further bytes that wake the loop.
//
// Life of an entry: enter (Step) → leave (Work) for each request; with wait
// (Step) in between, the last leave returns the kept request, whose stream
// becomes known with opened; the entry is forgotten when the count is zero, or
// with the connection if a stream was opened.
type ahead struct {
	shards [aheadShards]aheadShard
}

const aheadShards = 32 // a power of two

type aheadShard struct {
	mu   sync.Mutex
	conn map[ConnID]aheadEntry // guarded by mu
}

type aheadEntry struct {
	count int    // requests that workers have
	kept  []byte // the record that waits for them; nil if there is none
	word  uint64 // of the stream that kept has opened
}

// keptMax bounds a request that is kept. Those that open streams are small.
const keptMax = 64 << 10

func (a *ahead) of(h ConnID) *aheadShard {
	return &a.shards[(uint64(h)*0x9e3779b97f4a7c15)>>59]
}

// enter counts a request that becomes a worker's.
func (a *ahead) enter(h ConnID) {
	s := a.of(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		s.conn = make(map[ConnID]aheadEntry)
	}
	e := s.conn[h]
	e.count++
	s.conn[h] = e
}

// any reports whether a request of h is at a worker.
func (a *ahead) any(h ConnID) bool {
	s := a.of(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn[h].count > 0
}

// wait keeps record, which becomes ahead's, until the requests ahead of it are
// done. It reports false when there are none: the caller goes on by itself.
func (a *ahead) wait(h ConnID, record []byte) bool {
	s := a.of(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.conn[h]
	if !ok || e.count == 0 {
		return false
	}
	e.kept = record
	s.conn[h] = e
	return true
}

// leave counts a request out, once its response is written. It returns the
// request that waited for it, if it was the last.
func (a *ahead) leave(h ConnID) (record []byte) {
	s := a.of(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.conn[h]
	if !ok {
		return nil // the connection has closed
	}
	if e.count--; e.count > 0 {
		s.conn[h] = e
		return nil
	}
	if e.kept == nil {
		delete(s.conn, h)
		return nil
	}
	s.conn[h] = aheadEntry{} // stays: opened must see whether the connection does
	return e.kept
}

// reserve makes an entry for a connection on Hold, of which no request is at a
// worker, so that opened can tell whether it has closed. It reports false if it
// has already.
func (a *ahead) reserve(c loop.Conn) bool {
	h := c.Handle()
	s := a.of(h)
	s.mu.Lock()
	if s.conn == nil {
		s.conn = make(map[ConnID]aheadEntry)
	}
	s.conn[h] = aheadEntry{}
	s.mu.Unlock()
	if isOpen(c) {
		return true
	}
	a.forget(h) // Closed has looked here, or will find nothing
	return false
}

// opened notes the word of the stream that a kept request has opened, or 0 when
// it opened none. It reports false when the connection has closed meanwhile.
func (a *ahead) opened(h ConnID, word uint64) bool {
	s := a.of(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.conn[h]
	switch {
	case !ok:
		return false
	case word == 0:
		delete(s.conn, h)
	default:
		e.word = word
		s.conn[h] = e
	}
	return true
}

// forget drops what is known of a closed connection and returns the word of the
// stream that a kept request had opened on it, 0 if none.
func (a *ahead) forget(h ConnID) (word uint64) {
	s := a.of(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	word = s.conn[h].word
	delete(s.conn, h)
	return word
}
