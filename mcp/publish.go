package mcp

import (
	"runtime"
	"slices"
	"strings"

	"github.com/rookery-server/rookery/codec"
)

// publishBatch is how many clients are written to between two yields and two
// looks at the table. A write is a system call of a few microseconds: a batch
// keeps an event loop's core for about a millisecond.
const publishBatch = 256

var lastChunk = codec.AppendLastChunk(nil)

// notice is one message to many clients, built once per kind of framing.
type notice struct {
	line, plain, chunked []byte

	// For listeners, whose message carries their own id: what stands before
	// and behind it in the JSON.
	before, behind []byte
	json, framed   []byte     // scratch
	at             numberedAt // what framed holds

	body   uint32 // of msg in the event log, once somebody's log needs it; 0 none
	lost   bool   // it cannot be kept
	again  bool   // logs that have origin take it no more
	later  bool   // streams of sessions are written to by Commit, see unsent.go
	origin Origin // of the event; zero: drawn
	msg    []byte

	stream, seq uint32 // later: the event of the session that was told last, seq 0 if nothing is left to be written
}

// numberedAt is an event id and the framing around it; the zero value is none.
type numberedAt struct {
	stream, seq, fork uint32
	flags             uint8
}

// newNotice frames a finished message.
func newNotice(msg []byte) *notice {
	return &notice{
		msg:     msg,
		line:    append(slices.Clip(msg), '\n'),
		plain:   appendEvent(nil, false, msg),
		chunked: appendEvent(nil, true, msg),
	}
}

// newNotification builds a notification for listeners too; params is a JSON
// object without _meta, or nil.
func newNotification(method string, params []byte) *notice {
	members := ""
	if len(params) > 0 {
		members = strings.TrimSpace(string(params[1 : len(params)-1]))
	}
	if members == "" {
		params = nil
	}
	n := newNotice(codec.AppendNotification(nil, method, params))
	n.before = []byte(`{"jsonrpc":"2.0","method":"` + method + `","params":{"_meta":{"` + metaSubscriptionID + `":`)
	if members != "" {
		members = "," + members
	}
	n.behind = []byte("}" + members + "}}")
	return n
}

// framing returns the message as a stream of those flags takes it.
func (n *notice) framing(flags uint8) []byte {
	switch {
	case flags&flagTCP != 0:
		return n.line
	case flags&flagPlain != 0:
		return n.plain
	default:
		return n.chunked
	}
}

// tagged returns the message for a listener; valid until the next call.
func (n *notice) tagged(tag []byte, flags uint8) []byte {
	n.json = append(append(append(n.json[:0], n.before...), tag...), n.behind...)
	if flags&flagTCP != 0 {
		n.json = append(n.json, '\n')
		return n.json
	}
	n.framed, n.at = appendEvent(n.framed[:0], flags&flagPlain == 0, n.json), numberedAt{}
	return n.framed
}

// numbered returns the message with its id in a stream; valid until the next call.
// Many sessions have the same: those that have heard the same publications.
func (n *notice) numbered(flags uint8, stream, seq, fork uint32) []byte {
	at := numberedAt{stream, seq, fork, flags & (flagTCP | flagPlain)}
	if n.at == at && seq != 0 {
		return n.framed
	}
	n.at = at
	if flags&flagTCP != 0 {
		n.framed = appendStamped(n.framed[:0], n.msg, stream, seq, fork)
	} else {
		n.framed = appendNumbered(n.framed[:0], flags&flagPlain == 0, stream, seq, fork, n.msg)
	}
	return n.framed
}

// keep returns a reference to the message in the event log, 0 if it cannot be
// kept. release gives it back.
func (n *notice) keep(e Events) uint32 {
	if n.body == 0 && !n.lost {
		if n.origin == (Origin{}) {
			n.body = e.Keep(n.msg)
		} else {
			n.body = e.KeepAs(n.origin, n.msg)
		}
		n.lost = n.body == 0
	}
	return n.body
}

func (n *notice) release(e Events) {
	if n.body != 0 {
		e.Release(n.body)
		n.body = 0
	}
}

// listChanged announces that a list changed: to sessions that have finished
// their handshake and have or had a stream, and to listeners that asked for it.
func (s *Server) listChanged(kind listKind) {
	n := newNotification(kind.method(), nil)
	defer n.release(s.o.Events)
	batch := make([]owner, 0, publishBatch)
	flush := func() {
		left := batch
		s.publish(n, func(out []owner) int {
			k := copy(out, left)
			left = left[k:]
			return k
		})
		batch = batch[:0]
	}
	s.o.Sessions.Range(func(ref uint64, sess Session) bool {
		if (sess.Stream != 0 || sess.Gets != 0) && sess.State == StateReady && sess.Home == 0 {
			if batch = append(batch, ref); len(batch) == publishBatch {
				flush()
			}
		}
		return true
	})
	flush()
	var i uint32
	s.publish(n, func(out []owner) int { return s.subs.listeningTo(kind, &i, out) })
}

// publish sends n to the owners that next finds, batch by batch.
func (s *Server) publish(n *notice, next func(batch []owner) int) (delivered int) {
	var batch [publishBatch]owner
	for {
		k := next(batch[:])
		if k == 0 {
			return delivered
		}
		delivered += s.publishTo(n, batch[:k])
		runtime.Gosched()
	}
}

// publishTo sends n to some owners.
func (s *Server) publishTo(n *notice, owners []owner) (delivered int) {
	out := s.outbox()
	defer out.close()
	for _, o := range owners {
		var err error
		if o&listenBit != 0 {
			err = s.sendToListener(o, n, &out)
		} else {
			out.flush()
			err = s.sendToSession(o, n)
		}
		if s.countSent(err) {
			delivered++
		}
	}
	return delivered
}

func (s *Server) countSent(err error) bool {
	if err != nil {
		s.count.sendFailed.Add(1)
		return false
	}
	s.count.sent.Add(1)
	return true
}

func (s *Server) sendToListener(ref owner, n *notice, out *outbox) error {
	l, long, ok := s.subs.listener(ref)
	if ok && l.flags&flagOpening != 0 {
		out.flush()
		s.awaitOpen(l.stream)
		l, long, ok = s.subs.listener(ref)
	}
	if !ok || l.flags&flagPending != 0 {
		return ErrNoStream
	}
	return out.send(l.stream, n.tagged(l.tag(long), l.flags))
}
