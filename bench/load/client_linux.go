package load

import "github.com/rookery-server/rookery/bench/wire"

// client is what one client costs us while it is idle. It has no pointer, so
// that the collector has nothing to scan.
type client struct {
	fd         int32
	gen        uint32 // counts its connections: an event of an earlier one is stale
	prev, next int32  // in the list of ready clients; noOne at its ends and outside
	// Calls under way on its TCP connection, oldest first; while it is not up,
	// head is its handshake. noOne: none.
	head, tail int32
	seq        uint32 // id of its latest call
	base       uint32 // number of the latest event when it came; those up to it are not its own
	heard      uint32 // number of the latest event it heard
	since      uint32 // when it lost its connection, in units of sinceUnit after the start
	session    place  // Mcp-Session-Id
	event      place  // of the last event heard
	target     uint16
	retry      uint16 // that the stream asked for, in milliseconds
	state      state
	flags      flags
	tries      uint8 // handshakes that failed since it was up
	flying     uint8 // calls under way
}

const (
	noOne     = -1
	sinceUnit = 100_000 // ns: 32 bits of it are five days
)

// state is how far a client is on its way to being served:
// absent → (away →) session → dialing → greeting → up → absent.
type state uint8

const (
	absent   state = iota // nothing is under way for it
	away                  // waits to try again
	session               // its session is being initialized over the pool
	dialing               // its connection is being established
	greeting              // waits for the first answer on it
	up
)

type flags uint8

const (
	known    flags = 1 << iota // was up before
	listed                     // in the list of ready clients
	idler                      // never calls
	bursting                   // has calls of a burst before it
	keeping                    // has a kept
	chunked                    // its stream is in chunks
	shaken                     // we ended its connection
	loose                      // came while an event was being published: that one may reach it or not
)

func (c *client) is(f flags) bool { return c.flags&f != 0 }

// kept is what a connection needs while bytes of it wait: input that is not
// complete or output that the kernel did not take. It is attached while needed.
type kept struct {
	in, out  []byte
	response wire.Response
	reading  bool // response is in use
}

// call is a request under way, or the handshake of a client.
type call struct {
	due, made, sent int64 // ns since the start; made: when it took its place in the queue of deadlines
	client          int32
	next            int32 // call of the same connection, or free call
	older, newer    int32 // by made
	id              uint32
	size            uint32 // of its text
	gen             uint32 // counts the uses of this record
	post            int32  // that carries it; noOne: none
	target          uint16
	kind            kind
	tries           uint8
}

// kind is what a call is.
type kind uint8

const (
	kindFree        kind = iota
	kindHandshake        // its client's connection is on its way
	kindInitialize       // of a session, over the pool
	kindInitialized      // likewise
	kindCall
	kindNote // a notification over HTTP, which is answered too
)

// calls is a slab of calls and the queue of their deadlines, which come in the
// order in which calls are made, because all have the same time.
type calls struct {
	list           []call
	free           int32
	oldest, newest int32
	count          int
}

func newCalls() calls { return calls{free: noOne, oldest: noOne, newest: noOne} }

// take returns a call of kind, made now.
func (s *calls) take(k kind, client int32, due, now int64) int32 {
	i := s.free
	if i == noOne {
		i = int32(len(s.list))
		s.list = append(s.list, call{})
	} else {
		s.free = s.list[i].next
	}
	c := &s.list[i]
	*c = call{kind: k, client: client, due: due, made: now, next: noOne, older: s.newest, newer: noOne, post: noOne, gen: c.gen + 1}
	if s.newest == noOne {
		s.oldest = i
	} else {
		s.list[s.newest].newer = i
	}
	s.newest = i
	s.count++
	return i
}

// give takes call i back.
func (s *calls) give(i int32) {
	c := &s.list[i]
	if c.older == noOne {
		s.oldest = c.newer
	} else {
		s.list[c.older].newer = c.newer
	}
	if c.newer == noOne {
		s.newest = c.older
	} else {
		s.list[c.newer].older = c.older
	}
	c.kind, c.next = kindFree, s.free
	s.free = i
	s.count--
}

// ticket names one use of a call.
type ticket struct {
	call int32
	gen  uint32
}

func (s *calls) ticket(i int32) ticket { return ticket{i, s.list[i].gen} }

// valid reports whether t still names a call under way.
func (s *calls) valid(t ticket) bool {
	c := &s.list[t.call]
	return c.gen == t.gen && c.kind != kindFree
}
