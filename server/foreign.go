package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/session"
)

// This file serves requests for other peers, to whose connections they came.
// What runs no user code is served at once, on the goroutine that reads the
// link; the rest waits in a queue of its own for handlers of its own, as many
// as Options.Workers, so that neither clients here nor those of a busy peer can
// take all of them.

// serveFor serves one request that came to connection conn of a peer. msg is
// not kept.
func (c *clustering) serveFor(link uint32, conn uint64, msg []byte) {
	s := c.s
	if old := c.remotes.find(link, conn); old != nil {
		c.superseded(old)
	}
	r := c.remotes.add(link, conn)
	if r == nil {
		c.noRoom.Add(1)
		_ = c.core.Reply(link, conn, cluster.ReplyLast|cluster.ReplyClose, c.web.failed(nil, nil, 503, errOverloaded))
		return
	}
	c.count.served.Inc()
	defer c.contain(r)
	e := s.exchanges.Get().(*exchange)
	defer s.putExchange(e)
	var scan [2]uint64
	n, _, bad := codec.ParseRequest(msg, &scan, &c.web.limits, &e.req)
	if bad != nil || n != len(msg) {
		if bad == nil {
			bad = errTrailing
		}
		s.metrics.malformedRequests.Inc()
		c.answer(r, cluster.ReplyLast|cluster.ReplyClose, bad.AppendResponse(nil))
		return
	}
	e.x = mcp.Exchange{Stream: r.id, Req: &e.req, Msg: msg}
	if s.mcp.Plan(&e.x) == mcp.OnLoop {
		s.timeMCP(s.metrics.mcpLoop, func() { s.mcp.ServeHTTP(&e.x) })
		c.served(r, &e.x)
		return
	}
	if !c.foreign.submit(foreignJob{r, appendWebRecord(nil, &e.x), time.Now()}) {
		s.metrics.shedBudget.Inc()
		c.answer(r, cluster.ReplyLast, c.web.overloaded(nil, &e.x))
	}
}

// errTrailing refuses what is more than one request.
var errTrailing = &codec.HTTPError{Status: 400, Reason: "not exactly one request"}

// contain is deferred around what serves a request: a panic, which is not that
// of a handler, costs the connection.
func (c *clustering) contain(r *remote) {
	if v := recover(); v != nil {
		c.s.panicked("request of a peer", v)
		c.answer(r, cluster.ReplyClose, nil)
	}
}

// answer sends a complete response and forgets the connection.
func (c *clustering) answer(r *remote, flags cluster.ReplyFlags, p []byte) {
	c.s.metrics.responses.Inc()
	_ = r.write(flags, p) // a client that is gone needs none
	c.done(r)
}

// done ends the time in which a request is served.
func (c *clustering) done(r *remote) {
	r.mu.Lock()
	r.serving = false
	r.mu.Unlock()
	c.remotes.remove(r)
}

// served sends what mcp made of a request.
func (c *clustering) served(r *remote, x *mcp.Exchange) {
	if x.Hold {
		c.s.metrics.responses.Inc()
		if !r.hold(x.Word) {
			c.remotes.remove(r)
			c.s.mcp.StreamClosed(r.id, x.Word)
			return
		}
		if !c.core.HandOverTo(x.Word, r.link) {
			c.remotes.postpone(r)
		}
		return
	}
	flags := cluster.ReplyLast
	if x.Close || closes(x.Req) {
		flags |= cluster.ReplyClose
	}
	c.answer(r, flags, x.Out)
}

// superseded ends what is here of a request that its peer asks once more, because
// it could not know whether it had come.
func (c *clustering) superseded(old *remote) {
	word, _ := old.close()
	c.remotes.remove(old)
	c.s.mcp.StreamClosed(old.id, word)
}

// clientGone ends what the client of a remote connection no longer waits for.
func (c *clustering) clientGone(r *remote) {
	word, serving := r.close()
	if !serving {
		c.remotes.remove(r)
	}
	c.s.mcp.StreamClosed(r.id, word)
}

// leave gives up a connection that goes to another peer with its session, and
// returns that peer's name for it, 0 if it is not that peer's.
func (c *clustering) leave(st mcp.StreamID, link uint32) (conn uint64) {
	if !isRemote(st) {
		return 0
	}
	r := c.remotes.get(st)
	if r == nil || r.link != link {
		return 0
	}
	r.close()
	c.remotes.remove(r)
	return r.conn
}

// send is host.Send for remote connections.
func (c *clustering) send(to mcp.StreamID, p []byte) error {
	if r := c.remotes.get(to); r != nil {
		return r.write(0, p)
	}
	return loop.ErrClosed
}

// end is host.End for remote connections.
func (c *clustering) end(to mcp.StreamID) {
	if r := c.remotes.get(to); r != nil {
		r.end()
	}
}

// movesAtOnce bounds how many sessions tidy moves: nobody waits for them.
const movesAtOnce = 1 << 8

// moveOn moves the sessions to where their clients are that could not go when
// those came, if they are there still.
func (c *clustering) moveOn() {
	late := c.remotes.takeLate(movesAtOnce)
	for i, r := range late {
		ref := r.stream()
		if rec, ok := c.s.sessions.Load(session.Ref(ref)); !ok || rec.Home != 0 || toSession(&rec).Stream != r.id {
			continue
		}
		if !c.core.HandOverTo(ref, r.link) {
			c.remotes.postpone(late[i:]...)
			return
		}
	}
}

// tidy lets go of connections that have ended, and moves what has waited. Call
// it now and then.
func (c *clustering) tidy() {
	c.moveOn()
	if n := c.noRoom.Swap(0); n > 0 {
		c.s.log.Warn("requests of peers found no room and were answered with 503", "requests", n, "remotes_max", remotesMax)
	}
	c.remotes.shrink()
	for _, l := range c.remotes.takeLoose() {
		if l.untold {
			err := c.core.Reply(l.r.link, l.r.conn, cluster.ReplyClose, nil)
			if err != nil && !errors.Is(err, cluster.ErrPeerGone) { // still no room
				c.remotes.loosen(l.r, true)
				continue
			}
		}
		if word, serving := l.r.close(); !serving {
			c.remotes.remove(l.r)
			c.s.mcp.StreamClosed(l.r.id, word)
		}
	}
}

// foreignWorker is the goroutine that runs a handler for another peer's client,
// as that handler sees it.
type foreignWorker struct {
	r    *remote
	pool *foreign

	mu   sync.Mutex
	away int // guarded by mu; goroutines between Leave and Return
}

var _ mcp.Worker = (*foreignWorker)(nil)

// Flush implements mcp.Worker.
func (w *foreignWorker) Flush(out []byte) ([]byte, error) {
	w.pool.s.metrics.pushed.Inc()
	return out[:0], w.r.write(0, out)
}

// Leave implements mcp.Worker. Nothing else of the connection can run
// meanwhile: its peer sends one request at a time.
func (w *foreignWorker) Leave(bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away == 0 {
		if err := w.pool.leave(); err != nil {
			return err
		}
	}
	w.away++
	return nil
}

// Return implements mcp.Worker.
func (w *foreignWorker) Return() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away--; w.away == 0 {
		w.pool.comeBack()
	}
}

// foreignJob is a request that waits for a handler.
type foreignJob struct {
	r      *remote
	record []byte
	at     time.Time
}

// Bounds of the queue.
const (
	foreignQueueMax = 1 << 12  // requests
	foreignBytesMax = 64 << 20 // bytes of requests; one may pass it
)

// foreign runs handlers for the clients of other peers. At most Options.Workers
// run at a time, and Options.WaitingMax wait outside of that count.
type foreign struct {
	s   *Server
	run func(*foreignJob)

	mu      sync.Mutex
	queue   []foreignJob // guarded by mu; a ring
	head    int          // guarded by mu; of the queue
	queued  int          // guarded by mu
	bytes   int          // guarded by mu; of requests in the queue
	active  int          // guarded by mu; goroutines that run and do not wait
	waiting int          // guarded by mu
	idle    sync.Cond    // on mu; signalled when neither is left
}

func newForeign(s *Server, run func(*foreignJob)) *foreign {
	f := &foreign{s: s, run: run, queue: make([]foreignJob, foreignQueueMax)}
	f.idle.L = &f.mu
	return f
}

// submit queues a request, whose record becomes foreign's. It reports false
// when the queue is full.
func (f *foreign) submit(j foreignJob) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.queued == len(f.queue) || f.bytes >= foreignBytesMax {
		return false
	}
	f.queue[(f.head+f.queued)%len(f.queue)] = j
	f.queued++
	f.bytes += len(j.record)
	f.startLocked()
	return true
}

// startLocked starts a goroutine if there is something to do and a place free.
// When the pool has none, those that run do it, and without those one of our own.
func (f *foreign) startLocked() {
	if f.queued == 0 || f.active >= f.s.opts.Workers {
		return
	}
	f.active++
	if f.s.pool.Submit(f.drain) == nil {
		return
	}
	if f.active == 1 {
		go f.drain()
		return
	}
	f.active--
}

func (f *foreign) drain() {
	for {
		j, ok := f.next()
		if !ok {
			return
		}
		f.run(&j)
	}
}

// next takes a request, or gives up the goroutine's place: there is none, or
// handlers that waited are back and too many are active.
func (f *foreign) next() (j foreignJob, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.queued == 0 || f.active > f.s.opts.Workers {
		f.active--
		f.signalLocked()
		return j, false
	}
	j, f.queue[f.head] = f.queue[f.head], foreignJob{}
	f.head = (f.head + 1) % len(f.queue)
	f.queued--
	f.bytes -= len(j.record)
	f.startLocked()
	return j, true
}

func (f *foreign) signalLocked() {
	if f.active+f.waiting+f.queued == 0 {
		f.idle.Broadcast()
	}
}

func (f *foreign) leave() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting >= f.s.opts.WaitingMax {
		return loop.ErrTooManyWaiting
	}
	f.waiting++
	f.active--
	f.startLocked()
	return nil
}

func (f *foreign) comeBack() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting--
	f.active++
}

// wait returns when everything that was submitted has been served, or with
// ctx's error.
func (f *foreign) wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.idle.Broadcast()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.active+f.waiting+f.queued > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		f.idle.Wait()
	}
	return nil
}

func (f *foreign) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.queued
}

func (f *foreign) running() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.active + f.waiting
}

// runFor serves one request on a worker.
func (c *clustering) runFor(j *foreignJob) {
	s := c.s
	defer c.contain(j.r)
	e := s.exchanges.Get().(*exchange)
	defer s.putExchange(e)
	x := e.load(j.r.id, j.record)
	wait := time.Since(j.at)
	s.metrics.queueWait.observe(wait)
	if s.late(wait) {
		s.metrics.shedDeadline.Inc()
		c.answer(j.r, cluster.ReplyLast, c.web.overloaded(nil, x))
		return
	}
	x.Worker = &foreignWorker{r: j.r, pool: c.foreign}
	s.timeMCP(s.metrics.mcpWorker, func() { s.mcp.ServeHTTP(x) })
	c.served(j.r, x)
}
