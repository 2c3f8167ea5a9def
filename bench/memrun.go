package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rookery-server/rookery/memprof"
)

const (
	// A server's memory is read when it has not changed by more than
	// settleSlack for the settle time, at the latest after settleMax of them.
	// A server may take seconds to see that it is quiet and to give back what
	// it does not need. Where no figure depends on it a settleShort-th is
	// waited.
	defaultSettle = 4 * time.Second
	settleSlack   = 16 << 10
	settleShort   = 4
	settleMax     = 3
	settlePoll    = 100 * time.Millisecond

	// A burst is over when the memory is back within backSlack of what it
	// was, at the latest after backMax settle times.
	backSlack = 0.05
	backMax   = 5

	burstPoll = 5 * time.Millisecond
)

// subject is one server holding one kind of client, measured at rising counts.
type subject struct {
	program program
	kind    Kind
	counts  []int
	runs    int
	// full adds the account by component and, in the first stressRuns runs,
	// the burst and the reopening.
	full bool
}

// stressRuns are enough for figures whose bounds are tens of per cent.
const stressRuns = 3

func (s *subject) last() int { return s.counts[len(s.counts)-1] }

// name tells subjects apart in reports.
func (s *subject) name() string { return s.program.name + " " + string(s.kind) }

// memRun is what one run of one subject measured; bytes are Anon + Shmem of
// the server.
type memRun struct {
	zero     int64           // without clients
	own      []int64         // by count
	slabs    []memprof.Slabs // before, then by count; nil: not readable
	opening  time.Duration   // spent in opening the last count
	burst    BurstResult
	peak     int64         // during the burst
	after    int64         // when it was over
	back     time.Duration // from the burst's end until it was over
	closed   int64         // all clients gone
	reopened int64         // the last count once more
}

// memBench measures subjects one after another.
type memBench struct {
	self     []string
	yield    bool          // the clients give way to the server, see yielding
	timeout  time.Duration // of one order to the clients
	settle   time.Duration
	progress *progress
}

// site is a server and its clients during one run.
type site struct {
	server *server
	crew   *crew
	target Target
	kind   Kind
	long   time.Duration // to settle
	say    func(what string)
	tell   func(done int)
}

// on runs f on a fresh server and a fresh worker, and ends both.
func (b *memBench) on(ctx context.Context, s *subject, label string, f func(*site) error) (err error) {
	server, err := startServer(ctx, b.self, s.program)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	self := b.self
	if b.yield {
		self = yielding(self)
	}
	crew, err := hireCrew(self, b.timeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, crew.stop()) }()
	label = fmt.Sprintf("%s, %s", s.name(), label)
	return f(&site{
		server: server, crew: crew, target: server.target(s.kind), kind: s.kind, long: b.settle,
		say:  func(what string) { b.progress.step("%s: %s", label, what) },
		tell: func(done int) { b.progress.over("%s: %s clients", label, thousands(done)) },
	})
}

// measure is one undisturbed run: nothing asks the server anything.
func (b *memBench) measure(ctx context.Context, s *subject, run int) (r memRun, err error) {
	label := fmt.Sprintf("run %d of %d", run, s.runs)
	err = b.on(ctx, s, label, func(at *site) error {
		at.say("no clients")
		if r.zero, err = at.settle(ctx, at.long); err != nil {
			return err
		}
		r.addSlabs()
		for i, count := range s.counts {
			at.say(thousands(count) + " clients")
			if r.opening, err = at.crew.open(ctx, at.target, s.kind, count, at.tell); err != nil {
				return err
			}
			quiet := at.long // of the two counts that make the slope
			if i < len(s.counts)-2 {
				quiet = at.long / settleShort
			}
			own, err := at.settle(ctx, quiet)
			if err != nil {
				return err
			}
			r.own = append(r.own, own)
			r.addSlabs()
		}
		if s.full && run <= stressRuns {
			return at.stress(ctx, s, &r)
		}
		return at.crew.order(ctx, opCheck, at.target, s.kind)
	})
	return r, err
}

// addSlabs reads the kernel's slabs. Whether they can be read at all was found
// out, and said, before the first run.
func (r *memRun) addSlabs() {
	if s, err := memprof.ReadSlabs(); err == nil {
		r.slabs = append(r.slabs, s)
	}
}

// stress is the second half of a full run: a burst, the end of all clients,
// and as many new ones.
func (at *site) stress(ctx context.Context, s *subject, r *memRun) (err error) {
	at.say("all speak at once")
	if err := at.burst(ctx, r); err != nil {
		return err
	}
	if err := at.comeBack(ctx, r); err != nil {
		return err
	}
	at.say("all leave")
	if err := at.crew.order(ctx, opShut, at.target, s.kind); err != nil {
		return err
	}
	if r.closed, err = at.settle(ctx, at.long/settleShort); err != nil {
		return err
	}
	at.say("as many come again")
	if _, err := at.crew.open(ctx, at.target, s.kind, s.last(), at.tell); err != nil {
		return err
	}
	if r.reopened, err = at.settle(ctx, at.long); err != nil {
		return err
	}
	return at.crew.order(ctx, opCheck, at.target, s.kind)
}

// burst lets all clients speak and watches the server's memory meanwhile.
func (at *site) burst(ctx context.Context, r *memRun) error {
	peaks := make(chan int64, 1)
	done := make(chan struct{})
	go func() { peaks <- peakOf(at.server.pid, done) }()
	result, err := at.crew.burst(ctx, at.target, at.kind)
	close(done)
	r.burst, r.peak = result, <-peaks
	return err
}

// peakOf returns the most memory seen until done is closed. A server that
// cannot be read has ended, which the burst reports.
func peakOf(pid int, done <-chan struct{}) (peak int64) {
	poll := time.NewTicker(burstPoll)
	defer poll.Stop()
	for {
		if m, err := memprof.ReadMemory(pid); err == nil {
			peak = max(peak, m.Own())
		}
		select {
		case <-poll.C:
		case <-done:
			return peak
		}
	}
}

// comeBack waits until the memory is what it was before the burst.
func (at *site) comeBack(ctx context.Context, r *memRun) error {
	before := float64(r.own[len(r.own)-1])
	start := time.Now()
	err := at.watch(ctx, func(own int64) bool {
		r.back = time.Since(start)
		return float64(own) <= before*(1+backSlack) || r.back >= backMax*at.long
	})
	if err != nil {
		return err
	}
	r.after, err = at.settle(ctx, at.long/settleShort)
	return err
}

// settle waits until the server's memory has been quiet for long and returns
// it.
func (at *site) settle(ctx context.Context, long time.Duration) (level int64, err error) {
	start := time.Now()
	quiet := start
	var last int64
	err = at.watch(ctx, func(own int64) bool {
		now := time.Now()
		if diff := own - level; diff > settleSlack || diff < -settleSlack {
			level, quiet = own, now
		}
		last = own
		return now.Sub(quiet) >= long || now.Sub(start) >= settleMax*at.long
	})
	return last, err
}

// watch reads the server's memory again and again until enough says so.
func (at *site) watch(ctx context.Context, enough func(own int64) bool) error {
	poll := time.NewTicker(settlePoll)
	defer poll.Stop()
	for {
		m, err := memprof.ReadMemory(at.server.pid)
		if err != nil || enough(m.Own()) {
			return err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// account is a subject's growth by component, from a run of its own in which
// the server is asked.
type account struct {
	growth   []memprof.Component // at the last count, less those without clients
	liveHeap int64               // growth of what is reachable
}

// explain makes the run that asks the server where its bytes are. What is
// reachable without clients is asked of another server, for a collection
// before the clients come would change what they grow.
func (b *memBench) explain(ctx context.Context, s *subject) (a account, err error) {
	var empty memprof.Report
	err = b.ask(ctx, s, func(_ *site, asked *admin) error {
		empty, err = asked.reportLive(ctx)
		return err
	})
	if err != nil {
		return a, err
	}
	err = b.ask(ctx, s, func(at *site, asked *admin) error {
		// The first question makes the server touch the code that answers.
		if _, err := asked.report(ctx); err != nil {
			return err
		}
		before, err := asked.report(ctx)
		if err != nil {
			return err
		}
		if _, err := at.crew.open(ctx, at.target, s.kind, s.last(), at.tell); err != nil {
			return err
		}
		if _, err := at.settle(ctx, at.long); err != nil {
			return err
		}
		after, err := asked.report(ctx)
		if err != nil {
			return err
		}
		live, err := asked.reportLive(ctx)
		if err != nil {
			return err
		}
		a = account{growth: growthOf(before, after), liveHeap: live.Heap.Live - empty.Heap.Live}
		return nil
	})
	return a, err
}

// ask runs f on a fresh server that has an admin listener.
func (b *memBench) ask(ctx context.Context, s *subject, f func(*site, *admin) error) error {
	return b.on(ctx, s, "account", func(at *site) error {
		addr, ok := at.server.admin()
		if !ok {
			return fmt.Errorf("bench: %s has no admin listener", s.program.name)
		}
		at.say("where the bytes are")
		return f(at, newAdmin(addr))
	})
}

// growthOf returns the components of after less those of before, in after's
// order, without the program's file pages: what remains adds up to the growth
// of Memory.Own.
func growthOf(before, after memprof.Report) []memprof.Component {
	var rows []memprof.Component
	for _, c := range after.Components {
		if c.Name == memprof.FilePages {
			continue
		}
		i := slices.IndexFunc(before.Components, func(b memprof.Component) bool { return b.Name == c.Name })
		if i >= 0 {
			c.Count -= before.Components[i].Count
			c.Bytes -= before.Components[i].Bytes
		}
		rows = append(rows, c)
	}
	return rows
}
