package cluster

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// client is a client that follows the protocol: it has one session, keeps a
// stream open somewhere, takes it up elsewhere when it breaks, with the id of
// the last event, and tries again when it is told to.
type client struct {
	w    *world
	n    int
	id   string // of its session; "" before it has one
	sid  ID
	conn *clientConn // its stream's, nil while it has none

	stream, seq uint32 // last event id; stream 0: none
	fork        uint32 // and its third part
	got         map[string]int
	by          map[string]string // from whom
	as          map[string]uint32 // as which number
	since       map[string]int    // how many of opened there were then
	opened      []*clientConn     // those on which it had its stream
	order       []string
	topics      map[string]bool // confirmed
	settled     map[string]bool // subscribed before there were faults
	posting     bool
	deleted     bool
	later       bool // it was told to take its time
	ended       bool // it asked for its session's end
	side        string
	tries       int
}

// clientConn is a connection of a client to a process.
type clientConn struct {
	c        *client
	p        *proc
	id       uint64
	open     bool
	stream   bool // it is answered with a stream
	answered func(line string)
	down     time.Duration // when the last piece arrives
	sent     int           // texts to the client
	lost     int           // from this one on they are lost
	// apart and away are between which nodes nothing passed, and who was paused,
	// when it was opened.
	apart map[[2]string]bool
	away  map[*proc]bool
	homes []*proc // whom it heard on it
}

func (w *world) addClient() *client {
	c := &client{w: w, n: len(w.clients), got: map[string]int{}, by: map[string]string{}, as: map[string]uint32{}, since: map[string]int{}, topics: map[string]bool{}, settled: map[string]bool{}}
	w.clients = append(w.clients, c)
	c.begin()
	return c
}

// target returns a process that the client reaches.
func (c *client) target() *proc {
	var all []*proc
	for _, p := range c.w.live() {
		if p.ready && (c.side == "" || strings.Contains(c.side, p.id.Node)) {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[c.w.rng.IntN(len(all))]
}

func (c *client) delay() time.Duration { return c.w.between(c.w.cfg.delay/2, 3*c.w.cfg.delay) }

// connect opens a connection and sends a request.
func (c *client) connect(msg string, stream bool, answered func(line string)) *clientConn {
	p := c.target()
	if p == nil {
		c.w.after(100*time.Millisecond, func() { answered("broken") })
		return nil
	}
	p.last++
	x := &clientConn{c: c, p: p, id: p.last, open: true, stream: stream, answered: answered, lost: math.MaxInt, apart: maps.Clone(c.w.blocked), away: map[*proc]bool{}}
	for _, q := range c.w.live() {
		x.away[q] = q.paused
	}
	p.conns[x.id] = x
	c.w.note("client %d asks %s: %s", c.n, p.id, msg)
	c.w.after(c.delay(), func() {
		p.do(func() {
			if x.open {
				p.store.request(x.id, msg)
			}
		})
	})
	return x
}

// toClient is what the process writes.
func (x *clientConn) toClient(flags ReplyFlags, text string) {
	if !x.open {
		return
	}
	w := x.c.w
	x.down = max(x.down, w.now+x.c.delay())
	n := x.sent
	x.sent++
	w.after(x.down-w.now, func() {
		if n < x.lost {
			for line := range strings.Lines(text) {
				x.answered(strings.TrimSuffix(line, "\n"))
			}
		}
	})
	if flags&ReplyClose != 0 {
		x.closeByServer()
	}
}

// closeByServer ends the connection behind what was written.
func (x *clientConn) closeByServer() {
	if !x.open {
		return
	}
	x.open = false
	x.p.store.connGone(x.id)
	w := x.c.w
	x.down = max(x.down, w.now+x.c.delay())
	w.after(x.down-w.now, func() { x.answered("broken") })
}

// cut ends it because the process is gone; some of what is on its way is lost.
func (x *clientConn) cut() {
	if !x.open {
		return
	}
	w := x.c.w
	x.open = false
	x.lost = x.sent - w.rng.IntN(3)
	x.down = max(x.down, w.now+x.c.delay())
	w.after(x.down-w.now, func() { x.answered("broken") })
}

// close ends it from the client's side: nothing more is read.
func (x *clientConn) close() {
	if x == nil || !x.open {
		return
	}
	x.open = false
	x.answered = func(string) {}
	x.c.w.after(x.c.delay(), func() { x.p.do(func() { x.p.store.connGone(x.id) }) })
}

func (p *proc) sortedConns() (all []*clientConn) {
	for _, x := range p.conns {
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b *clientConn) int { return cmp.Compare(a.id, b.id) })
	return all
}

// once sends a request that is answered with one line, and gives up after a
// while.
func (c *client) once(msg string, done func(line string)) {
	over := false
	var x *clientConn
	end := func(line string) {
		if !over {
			over = true
			x.close()
			done(line)
		}
	}
	x = c.connect(msg, false, end)
	c.w.after(5*time.Second, func() { end("broken") })
}

// begin makes the session.
func (c *client) begin() {
	c.once("init", func(line string) {
		id, ok := strings.CutPrefix(line, "init ")
		if !ok {
			c.w.after(c.w.between(50*time.Millisecond, 300*time.Millisecond), c.begin)
			return
		}
		c.id, c.sid = id, parseID(id)
		c.w.note("client %d has session %x", c.n, c.sid[:2])
		c.listen()
	})
}

// listen opens the stream or takes it up.
func (c *client) listen() {
	if c.deleted || c.conn != nil {
		return
	}
	last := "- - 0"
	if c.stream != 0 {
		last = utoa(c.stream) + " " + utoa(c.seq) + " " + utoa(c.fork)
	}
	var x *clientConn
	answered := false
	x = c.connect("get "+c.id+" "+last, true, func(line string) {
		answered = true
		c.hear(x, line)
	})
	if x == nil {
		return // nobody is there: it hears so, and tries again
	}
	c.conn = x
	c.w.after(4*time.Second, func() {
		if !answered && c.conn == x {
			c.tries++
			c.w.note("client %d waits no longer", c.n)
			x.close()
			c.conn = nil
			c.listen()
		}
	})
}

// hear takes a line of the stream.
func (c *client) hear(x *clientConn, line string) {
	if c.conn != x {
		return
	}
	words := strings.Fields(line)
	switch words[0] {
	case "open":
		x.homes = append(x.homes, x.p)
		c.opened = append(c.opened, x)
		c.stream, c.seq, c.fork = atou(words[1]), atou(words[2]), atou(words[3])
		c.tries = 0
	case "event":
		c.event(atou(words[1]), atou(words[2]), words[3], words[4])
		c.fork = atou(words[5])
	case "later":
		c.later = true
	case "goodbye":
	case "refused":
		if words[1] == "1" {
			c.unknown()
		}
		c.tries++
		x.close()
		c.again(x)
	case "broken":
		c.again(x)
	default:
		c.w.fail("client %d hears %q", c.n, line)
	}
}

func (c *client) again(x *clientConn) {
	c.conn = nil
	wait := c.w.between(10*time.Millisecond, 200*time.Millisecond)
	if c.later { // mcp's fencedRetry
		c.later, wait = false, wait+500*time.Millisecond
	}
	c.w.after(wait, c.listen)
}

// unknown: the server says that there is no such session.
func (c *client) unknown() {
	if !c.ended {
		c.w.whereIs(c.sid)
		c.w.fail("client %d: session %x is gone", c.n, c.sid[:2])
	}
	c.deleted = true
}

func (c *client) event(stream, seq uint32, what, by string) {
	c.w.note("client %d has %d-%x %s", c.n, stream, seq, what)
	if stream != c.stream || seq <= c.seq {
		c.w.fail("client %d: event %d-%x %s behind %d-%x", c.n, stream, seq, what, c.stream, c.seq)
	}
	c.seq = seq
	c.got[what]++
	c.conn.homes = append(c.conn.homes, c.w.named(by))
	c.w.happened(uint64(seq))
	if c.got[what] > 1 {
		why := c.excuse(what, c.w.named(c.by[what]))
		c.w.note("client %d: %s comes a second time: %s", c.n, what, why)
		switch {
		case why == noExcuse:
			c.w.fail("client %d has %s a second time %s", c.n, what, why)
		case !*simStrict: // else checkClient finds it
			c.got[what]--
			c.w.doubled[why]++
		}
	} else {
		c.order = append(c.order, what)
	}
	c.by[what], c.as[what], c.since[what] = by, seq, len(c.opened)
}

// Why an event may come twice: a home that a client came to since it heard the
// event cannot know what the one before has sent it.
const (
	noExcuse     = "without an excuse"
	excuseKilled = "its first home was killed when it was cut off from others"
	excuseCrash  = "its first home's machine was lost with what it had sent"
	excusePaused = "its first home was paused when the client came to another one"
	excuseApart  = "its first home was cut off from the next when the client came there"
)

// excuse returns why a client hears an event again that it had from first.
func (c *client) excuse(what string, first *proc) string {
	switch {
	case first.crashed:
		return excuseCrash
	case first.severed:
		return excuseKilled
	}
	for _, x := range c.opened[c.since[what]:] {
		switch {
		case x.away[first]:
			return excusePaused
		case slices.ContainsFunc(x.homes, func(p *proc) bool {
			return x.apart[[2]string{first.id.Node, p.id.Node}] || x.apart[[2]string{p.id.Node, first.id.Node}]
		}):
			return excuseApart
		}
	}
	return noExcuse
}

// hangUp ends the stream's connection from the client's side.
func (c *client) hangUp() {
	if c.conn != nil && c.conn.open {
		c.w.note("client %d hangs up", c.n)
		x := c.conn
		x.close()
		c.again(x)
	}
}

// act does one of the things that clients do beside listening.
func (c *client) act() {
	if c.id == "" || c.deleted || c.ended || c.posting {
		return
	}
	switch n := c.w.rng.IntN(10); {
	case n < 4:
		c.post("call "+c.id, nil)
	case n < 7:
		topic := "t" + utoa(uint32(c.w.rng.IntN(3)))
		if c.settled[topic] {
			return
		}
		verb := "sub"
		if c.w.chance(40) {
			verb = "unsub"
		}
		c.post(verb+" "+c.id+" "+topic, func() { c.topics[topic] = verb == "sub" })
	case n < 9:
		c.hangUp()
	}
}

// post sends a request until it is answered.
func (c *client) post(msg string, done func()) {
	c.posting = true
	c.once(msg, func(line string) {
		switch line {
		case "ok":
			c.posting = false
			if done != nil {
				done()
			}
		case "refused 1":
			c.unknown()
			c.posting = false
		default:
			c.w.after(c.w.between(50*time.Millisecond, 300*time.Millisecond), func() { c.post(msg, done) })
		}
	})
}
