package server

import "sync"

// forwards is the table of exchanges. The zero value is ready for use.
type forwards struct {
	shards [forwardShards]forwardShard
}

const forwardShards = 32 // a power of two

type forwardShard struct {
	mu      sync.Mutex
	drawn   uint64                // guarded by mu; tokens so far
	byToken map[uint64]*forward   // guarded by mu
	byConn  map[ConnID][]*forward // guarded by mu
}

func (t *forwards) ofConn(h ConnID) (i uint64, s *forwardShard) {
	i = (uint64(h) * 0x9e3779b97f4a7c15) >> 59
	return i, &t.shards[i]
}

// add gives f a token. Who adds looks afterwards whether the connection is
// still open: closed may have been called before.
func (t *forwards) add(f *forward) {
	i, s := t.ofConn(f.conn.Handle())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byToken == nil {
		s.byToken, s.byConn = make(map[uint64]*forward), make(map[ConnID][]*forward)
	}
	s.drawn++
	f.token = s.drawn*forwardShards + i
	s.byToken[f.token] = f
	s.byConn[f.conn.Handle()] = append(s.byConn[f.conn.Handle()], f)
}

// get returns the exchange of a token, nil if it is over.
func (t *forwards) get(token uint64) *forward {
	s := &t.shards[token%forwardShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byToken[token]
}

// of returns the exchanges of a connection.
func (t *forwards) of(h ConnID) []*forward {
	_, s := t.ofConn(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byConn[h]
}

// remove forgets an exchange; it may have been forgotten already.
func (t *forwards) remove(f *forward) {
	h := f.conn.Handle()
	_, s := t.ofConn(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byToken[f.token] != f {
		return
	}
	delete(s.byToken, f.token)
	var left []*forward // not in place: of may have given the old ones away
	for _, other := range s.byConn[h] {
		if other != f {
			left = append(left, other)
		}
	}
	if left == nil {
		delete(s.byConn, h)
	} else {
		s.byConn[h] = left
	}
}

func (t *forwards) len() (n int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += len(s.byToken)
		s.mu.Unlock()
	}
	return n
}
