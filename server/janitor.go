package server

import (
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/memprof"
	"github.com/rookery-server/rookery/session"
)

// janitor ends idle sessions and old tasks, keeps the responses of long calls
// alive, and gives memory back after a burst. It is one goroutine of the
// server's.
type janitor struct {
	s       *Server
	quit    chan struct{}
	done    chan struct{}
	running bool
	relief  relief
}

// Times and amounts of the janitor.
const (
	janitorEvery = time.Second
	// sweepMin is the least number of sessions looked at in one round; a round
	// sees at least a sixtieth of the table, so every session is seen once a
	// minute.
	sweepMin  = 1024
	sweepPart = 60
)

func newJanitor(s *Server) *janitor {
	return &janitor{s: s, quit: make(chan struct{}), done: make(chan struct{})}
}

func (j *janitor) start() {
	j.running = true
	go j.run()
}

// stop ends the janitor and waits for it.
func (j *janitor) stop() {
	if j.running {
		close(j.quit)
		<-j.done
	}
}

func (j *janitor) run() {
	defer close(j.done)
	tick := time.NewTicker(janitorEvery)
	defer tick.Stop()
	beat := time.NewTicker(j.s.opts.Loop.KeepAlive)
	defer beat.Stop()
	for {
		select {
		case <-j.quit:
			return
		case now := <-tick.C:
			j.sweep()
			if j.s.cluster != nil {
				j.s.cluster.tidy()
			}
			j.s.mcp.SweepTasks(now)
			j.relieve(now)
		case <-beat.C:
			j.s.mcp.KeepCallsAlive()
		}
	}
}

// sweep lets go of old events and ends sessions that are idle and have no open
// stream.
func (j *janitor) sweep() {
	j.s.events.Sweep(max(sweepMin, int(j.s.events.Stats().Logs)/sweepPart))
	if j.s.opts.SessionIdle <= 0 {
		return
	}
	n := max(sweepMin, j.s.sessions.Len()/sweepPart)
	table := sessions{table: j.s.sessions, cluster: j.s.cluster}
	ended := j.s.sessions.Sweep(n, j.used, func(ref session.Ref, r session.Record) {
		table.ended(uint64(ref), &r)
		j.s.mcp.SessionEnded(uint64(ref), toSession(&r))
	})
	if ended > 0 {
		j.s.log.Debug("idle sessions ended", slog.Int("sessions", ended))
	}
}

// used reports whether a session is in use although nobody asks anything of it:
// it has a stream open, the connection that it names or more, or is a copy, of
// which its home decides. A connection with a session or a stream has a word, a
// closed one has none.
func (j *janitor) used(r *session.Record) bool {
	sess := toSession(r)
	if r.Home != 0 || sess.Listening() {
		return true
	}
	if isRemote(sess.Stream) {
		return j.s.cluster.remotes.get(sess.Stream) != nil
	}
	return r.Stream != 0 && j.s.group.Conn(loop.Handle(r.Stream)).Word() != 0
}

// relieve gives memory back when the rule says so.
func (j *janitor) relieve(now time.Time) {
	st := j.s.group.Stats()
	if !j.relief.due(now, st.Messages+st.Accepted, memprof.ReadHeap()) {
		return
	}
	runtime.GC() // pools let go of what they keep in the second collection
	debug.FreeOSMemory()
	j.s.metrics.memoryReturns.Inc()
}
