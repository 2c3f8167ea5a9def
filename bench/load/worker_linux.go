package load

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rookery-server/rookery/bench"
	"github.com/rookery-server/rookery/bench/wire"
)

const (
	readSize   = 64 << 10
	eventCount = 512
	// tickMax bounds how long the loop sleeps. Options.Tick does how short: waking
	// for each of tens of thousands of calls a second would take the processor from
	// the server beside us.
	tickMax = int64(100 * time.Millisecond)
	// handshakesMax bounds the handshakes under way in one process: listen
	// backlogs do not overflow, and a slow server is not asked for everything.
	handshakesMax = 256
	// shakeAgain is when a client is looked at again that was to leave in the
	// middle of a call.
	shakeAgain = int64(10 * time.Millisecond)
	// Bounds of what is done before answers are read again: less than eventCount
	// each, so that a generator with too little time reads faster than it sends.
	// Otherwise answers would wait for us, and look late.
	timersAtOnce = 128
	callsAtOnce  = 128
	expiryAtOnce = 128
)

// worker is a load process: one thread on one epoll set, which holds clients,
// pooled connections and the pipe with its orders.
type worker struct {
	in, out int // descriptors of the orders and the answers
	orders  []byte
	ended   bool // no more orders will come
	epoll   int
	events  [eventCount]unix.EpollEvent
	buffer  [readSize]byte

	setup  *setup // nil before the first order
	o      *Options
	epoch  time.Time
	random *rand.Rand
	speech *speech
	texts  texts
	expect checker
	dialer *dialer

	clients []client
	calls   calls
	ids     arena // of sessions and events
	kept    map[int32]*kept
	spare   []*kept
	missed  map[int32]*gaps // by client
	targets []endpoint
	posts   []*post
	gone    []int32 // free places in posts
	ready   list
	timers  timers
	wanting []int32 // clients that want a handshake, in order

	outbox     outbox
	tally      *tally
	second     int
	connected  int
	aways      int
	opened     int // clients that have been up at least once
	handshakes int // under way
	ramp       ramp
	schedule   schedule
	behind     bool   // more is due than one turn of the loop may send
	published  uint32 // number of the latest event
	publishing bool
	mark       []byte        // in front of the number of an event
	fresh      wire.Response // of a stream that has none
	turnOf     int           // target that Spread chose last
	dialed     uint32        // pooled connections so far
	message    []byte        // scratch
	request    []byte        // scratch
}

// ramp is the opening of clients.
type ramp struct {
	want     int   // clients to be known
	started  int   // clients that were told to come
	order    int64 // to answer when they are; 0: none
	interval float64
	next     float64
}

// Work is the body of a load process: it takes orders from in and answers on out
// until in ends. Nothing else may read in or write to out. It returns nil when in
// ends: its coordinator has gone, or needs it no more.
func Work(in, out *os.File) error {
	w := &worker{in: int(in.Fd()), out: int(out.Fd()), calls: newCalls(), kept: map[int32]*kept{}, missed: map[int32]*gaps{}, tally: newTally()}
	w.ready = newList()
	w.outbox = newOutbox()
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		w.outbox.close()
		return os.NewSyscallError("epoll_create1", err)
	}
	w.epoll = fd
	defer w.close()
	if err := unix.SetNonblock(w.in, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: pipeIndex}
	if err := unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, w.in, &event); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	for !w.ended {
		wait := tickMax
		if w.setup != nil {
			if wait, err = w.step(w.now()); err != nil {
				return err
			}
		}
		n, err := w.wait(wait)
		if err != nil {
			return err
		}
		for i := range n {
			if err := w.serve(&w.events[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// pipeIndex is the index of the orders in the epoll set. Clients have indices
// from 0 up, pooled connections from -1 down.
const pipeIndex = math.MinInt32

func (w *worker) close() {
	for i := range w.clients {
		if w.clients[i].fd >= 0 {
			_ = unix.Close(int(w.clients[i].fd))
		}
	}
	for _, p := range w.posts {
		if p != nil {
			_ = unix.Close(p.fd)
		}
	}
	_ = unix.Close(w.epoll)
	w.outbox.close()
}

// begin executes the order setup.
func (w *worker) begin(s *setup) error {
	w.setup, w.o = s, &s.Options
	// Seconds are those of the coordinator; from here on the clock is monotonic.
	now := time.Now()
	w.epoch = now.Add(-time.Duration(now.UnixNano() - s.Started))
	w.second = int(w.now() / int64(time.Second))
	w.random = rand.New(rand.NewPCG(w.o.Seed, uint64(s.Shard)))
	w.speech = newSpeech(w.o)
	w.texts = newTexts(w.o.Size.longest(), w.o.Seed)
	w.mark = []byte(eventMark(s.Run))
	w.expect.content = anything
	switch {
	case w.o.Protocol == JSONRPC && w.o.Method == echo:
		w.expect.content = echoed
	case w.o.Protocol != JSONRPC:
		w.expect.content = toolEchoed
	}
	w.dialer = newDialer(s.Sources, s.Shard*7)
	w.targets = make([]endpoint, len(w.o.Targets))
	w.clients = slices.Grow(w.clients, s.Capacity)
	return nil
}

func (w *worker) now() int64 { return int64(time.Since(w.epoch)) }

// step does what is due and says how long to wait at most.
func (w *worker) step(now int64) (int64, error) {
	if second := int(now / int64(time.Second)); second != w.second {
		if err := w.report(0); err != nil {
			return 0, err
		}
		w.second = second
	}
	w.expire(now)
	if err := w.recruit(now); err != nil {
		return 0, err
	}
	for range timersAtOnce {
		t, ok := w.timers.due(now)
		if !ok {
			break
		}
		w.ring(t, now)
	}
	w.admit(now)
	w.issue(now)
	return w.rest(now), nil
}

// rest returns how long nothing will be due.
func (w *worker) rest(now int64) int64 {
	until := min(now+tickMax, int64(w.second+1)*int64(time.Second))
	if len(w.timers) > 0 {
		until = min(until, w.timers[0].at)
	}
	if w.calls.oldest != noOne {
		until = min(until, w.calls.list[w.calls.oldest].made+int64(w.o.Timeout))
	}
	if w.schedule.interval > 0 {
		due := int64(w.schedule.next)
		if due <= now && !w.behind { // nobody is ready: an event will tell, or it is dropped
			due += int64(w.o.DropAfter)
		}
		until = min(until, due)
	}
	if r := &w.ramp; r.started < r.want && w.handshakes < handshakesMax {
		until = min(until, int64(r.next))
	}
	if until <= now {
		return 0
	}
	return max(until-now, int64(w.o.Tick))
}

// wait fills w.events and returns how many there are, none when wait has passed.
func (w *worker) wait(wait int64) (int, error) {
	n, err := await(w.epoll, w.events[:], wait)
	if errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	return n, os.NewSyscallError("epoll_pwait2", err)
}

// serve takes one event.
func (w *worker) serve(e *unix.EpollEvent) error {
	switch {
	case e.Fd == pipeIndex:
		return w.read()
	case e.Fd < 0:
		if p := w.posts[^e.Fd]; p != nil && int32(p.gen) == e.Pad {
			w.servePost(p, e.Events)
		}
	default:
		if c := &w.clients[e.Fd]; c.fd >= 0 && int32(c.gen) == e.Pad {
			w.serveClient(e.Fd, e.Events)
		}
	}
	return nil
}

// watch adds fd to the set, edge-triggered, so that one registration serves
// connecting, reading and writing.
func (w *worker) watch(fd int, index int32, gen uint32) error {
	event := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET,
		Fd:     index, Pad: int32(gen),
	}
	return bench.SocketError("epoll_ctl", unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &event))
}

// recruit starts the clients of the ramp whose time has come, and answers the
// order when all are up. It fails when nobody listens to the answer.
func (w *worker) recruit(now int64) error {
	r := &w.ramp
	for r.started < r.want && r.next <= float64(now) && w.handshakes < handshakesMax {
		r.next += r.interval
		r.started++
		i := int32(len(w.clients))
		c := client{fd: noOne, prev: noOne, next: noOne, head: noOne, tail: noOne, seq: handshakeID}
		// Neighbours are at different targets, and processes start at different ones.
		c.target = uint16((int(i) + w.setup.Shard) % len(w.targets))
		if share := w.o.Idle; int(float64(i+1)*share) > int(float64(i)*share) {
			c.flags |= idler
		}
		w.clients = append(w.clients, c)
		w.start(i, now)
	}
	if r.order != 0 && w.opened >= r.want {
		order := r.order
		r.order = 0
		return w.reply(answer{Re: order})
	}
	return nil
}

// admit starts handshakes of clients that wait for one.
func (w *worker) admit(now int64) {
	n := 0
	for n < len(w.wanting) && w.handshakes < handshakesMax {
		w.start(w.wanting[n], now)
		n++
	}
	w.wanting = slices.Delete(w.wanting, 0, n)
}

// ring does what a timer is for.
func (w *worker) ring(t timer, now int64) {
	switch t.what {
	case timerTry:
		w.wanting = append(w.wanting, t.index)
	case timerCall:
		if w.calls.valid(ticket{t.index, t.gen}) {
			w.dispatch(t.index, now)
		}
	case timerThink:
		w.think(t, now)
	case timerShake:
		switch c := &w.clients[t.index]; {
		case c.state != up: // it is on its way back already
		case c.flying > 0:
			t.at = now + shakeAgain
			w.timers.add(t)
		default:
			w.shake(t.index, now)
		}
	}
}

// expire gives up calls and handshakes that took too long.
func (w *worker) expire(now int64) {
	for range expiryAtOnce {
		k := w.calls.oldest
		if k == noOne {
			return
		}
		c := &w.calls.list[k]
		if now-c.made < int64(w.o.Timeout) {
			return
		}
		switch {
		case c.kind == kindHandshake:
			w.refuse(c.client, fmt.Errorf("a handshake took longer than %v", w.o.Timeout), 0, now)
		case w.o.Protocol == JSONRPC:
			w.giveUp(c.client, now)
		default:
			w.dropPostOf(k, now)
			if c.kind == kindInitialize || c.kind == kindInitialized {
				w.refuse(c.client, fmt.Errorf("a session took longer than %v", w.o.Timeout), 0, now)
			} else {
				w.timedOut(k, now)
			}
		}
	}
}
