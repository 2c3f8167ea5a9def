package server

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/memprof"
	"github.com/rookery-server/rookery/session"
)

// exposures are the buffers of pages that were written. A process whose clients
// leave no garbage collects because somebody looks at it, if for nothing else:
// what a page leaves is what such a process collects.
var exposures = sync.Pool{New: func() any { return new(exposure) }}

type exposure struct{ plain, out bytes.Buffer }

// expose writes everything in Prometheus text format, each family under its
// help and type.
func (s *Server) expose(w io.Writer) error {
	e := exposures.Get().(*exposure)
	defer exposures.Put(e)
	e.plain.Reset()
	e.out.Reset()
	s.metrics.set.WritePrometheus(&e.plain)
	annotate(&e.out, e.plain.Bytes())
	_, err := w.Write(e.out.Bytes())
	return err
}

// annotate copies samples and puts the help and type of a family before its
// first one. Comment lines are left out: the library writes some, without help,
// when its process-wide switch for metadata is on.
func annotate(dst *bytes.Buffer, src []byte) {
	var last []byte
	for line := range bytes.Lines(src) {
		if line[0] == '#' {
			continue
		}
		name := line[:bytes.IndexAny(line, "{ ")]
		if _, ok := families[string(name)]; !ok {
			for _, suffix := range [...]string{"_bucket", "_sum", "_count"} {
				if bytes.HasSuffix(name, []byte(suffix)) {
					name = name[:len(name)-len(suffix)]
				}
			}
		}
		if !bytes.Equal(name, last) {
			last = name
			f := families[string(name)]
			for _, s := range [...]string{"# HELP ", string(name), " ", f.help, "\n# TYPE ", string(name), " ", f.kind, "\n"} {
				dst.WriteString(s)
			}
		}
		dst.Write(line)
	}
}

// writeStats writes what the packages below count, from one snapshot.
func (s *Server) writeStats(w io.Writer) {
	if out, ok := w.(*bytes.Buffer); ok {
		s.writePage(page{out})
		return
	}
	var out bytes.Buffer
	s.writePage(page{&out})
	_, _ = w.Write(out.Bytes()) // whoever has its own set writes to where it will
}

func (s *Server) writePage(p page) {
	st := s.Stats()
	p.gauge(fmt.Sprintf(`rookery_build_info{version=%q,go=%q,backend=%q}`, s.opts.Version, runtime.Version(), st.Loop.Backend), 1)
	p.gauge("rookery_uptime_seconds", int64(st.Loop.Uptime/time.Second))
	p.connections(&st)
	s.metrics.writeHistograms(p)
	p.traffic(&st.Loop)
	p.work(&st)
	p.protocol(&st)
	if s.cluster != nil {
		p.writeCluster(s)
	}
	p.memory(s)
	p.collector()
}

func (p page) connections(st *Stats) {
	web := max(st.Loop.Open-st.Clients, 0) // read one after the other
	held := min(st.Loop.Held, web)
	p.gauge(`rookery_connections{protocol="jsonrpc",state="open"}`, st.Clients)
	p.gauge(`rookery_connections{protocol="http",state="open"}`, web-held)
	p.gauge(`rookery_connections{protocol="http",state="stream"}`, held)
	p.gauge("rookery_connections_buffered", st.Loop.Attached)
	p.counter("rookery_accepts_total", st.Loop.Accepted)
	p.counter("rookery_accept_errors_total", st.Loop.Refused)
	p.counter("rookery_accept_pauses_total", st.Loop.AcceptOff)
	for _, r := range loop.Reasons() {
		if r != loop.ReasonNone {
			p.sample("rookery_closes_total", "reason", r.String(), st.Loop.Closed[r])
		}
	}
	p.counter("rookery_slow_clients_closed_total", st.Loop.Closed[loop.ReasonSlow])
}

func (p page) traffic(st *loop.Stats) {
	p.counter("rookery_received_bytes_total", st.BytesIn)
	p.counter("rookery_sent_bytes_total", st.BytesOut)
	p.gauge(`rookery_held_bytes{direction="in"}`, st.InHeld)
	p.gauge(`rookery_held_bytes{direction="out"}`, st.OutHeld)
	for _, c := range loop.Pauses() {
		p.sample("rookery_read_pauses_total", "cause", c.String(), st.Pauses[c])
	}
	p.gauge("rookery_loops", int64(st.Loops))
	p.gauge("rookery_loop_rings", st.Rings)
	p.counter("rookery_loop_batched_writes_total", st.Batched)
	// The samples of one family must stand together.
	for i := range st.PerLoop {
		p.sample("rookery_loop_connections", "loop", strconv.Itoa(i), st.PerLoop[i].Open)
	}
	for i := range st.PerLoop {
		p.histogram(&series{"rookery_loop_lag_seconds", loopLabel(i)}, &st.PerLoop[i].Lag)
	}
	for i := range st.PerLoop {
		p.histogram(&series{"rookery_loop_batch_seconds", loopLabel(i)}, &st.PerLoop[i].Batch)
	}
}

func (p page) work(st *Stats) {
	p.counter("rookery_worker_records_total", st.Loop.Records)
	p.counter("rookery_loop_panics_total", st.Loop.Panics)
	p.gauge("rookery_ring_depth", st.Loop.RingDepth)
	p.gauge("rookery_ring_capacity", st.Loop.RingCap)
	p.gauge(`rookery_workers{state="running"}`, st.Loop.Running)
	p.gauge(`rookery_workers{state="waiting"}`, st.Loop.Waiting)
	p.gauge("rookery_workers_limit", st.Loop.Workers)
	p.gauge("rookery_calls_in_flight", int64(st.InFlight))
	p.gauge("rookery_questions_open", int64(st.Asks))
}

func (p page) protocol(st *Stats) {
	p.gauge("rookery_sessions", int64(st.Sessions))
	m := &st.MCP
	p.counter("rookery_sessions_created_total", int64(m.SessionsCreated))
	p.counter("rookery_sessions_ended_total", int64(m.SessionsEnded))
	p.counter("rookery_sessions_unknown_total", int64(m.SessionsUnknown))
	p.counter(`rookery_mcp_messages_total{kind="request"}`, int64(m.Requests))
	p.counter(`rookery_mcp_messages_total{kind="notification"}`, int64(m.Notifications))
	p.counter(`rookery_mcp_messages_total{kind="answer"}`, int64(m.Answers))
	for _, o := range []struct {
		name string
		n    uint64
	}{
		{"ok", m.Succeeded}, {"tool_error", m.ToolErrors}, {"refused", m.Refused},
		{"failed", m.Failed}, {"cancelled", m.Cancelled},
	} {
		p.sample("rookery_mcp_requests_total", "outcome", o.name, int64(o.n))
	}
	p.counter("rookery_mcp_panics_total", int64(m.Panicked))
	p.counter("rookery_mcp_invalid_arguments_total", int64(m.InvalidInputs))
	p.counter(`rookery_mcp_refused_total{cause="origin"}`, int64(m.BadOrigin))
	p.counter(`rookery_mcp_refused_total{cause="http"}`, int64(m.BadHTTP))
	p.counter(`rookery_mcp_refused_total{cause="message"}`, int64(m.BadMessages))
	p.counter(`rookery_mcp_refused_total{cause="answer"}`, int64(m.AnswersUnknown))
	p.counter("rookery_mcp_streams_opened_total", int64(m.StreamsOpened))
	p.counter("rookery_mcp_notifications_sent_total", int64(m.Sent))
	p.counter("rookery_mcp_notifications_lost_total", int64(m.SendFailed))
	p.events(m, &st.Events)
	p.gauge("rookery_mcp_subscriptions", int64(m.Subscriptions))
	p.gauge("rookery_mcp_topics", int64(m.Topics))
	p.gauge("rookery_mcp_listens", int64(m.Listens))
	p.tasks(&m.Tasks)
}

func (p page) tasks(t *mcp.TaskStats) {
	p.gauge("rookery_mcp_tasks", int64(t.Tasks))
	p.gauge("rookery_mcp_tasks_running", int64(t.Running))
	p.gauge("rookery_mcp_task_bytes", t.Bytes)
	p.counter("rookery_mcp_tasks_created_total", int64(t.Created))
	p.counter(`rookery_mcp_tasks_ended_total{outcome="completed"}`, int64(t.Completed))
	p.counter(`rookery_mcp_tasks_ended_total{outcome="failed"}`, int64(t.Failed))
	p.counter(`rookery_mcp_tasks_ended_total{outcome="cancelled"}`, int64(t.Cancelled))
	p.counter("rookery_mcp_tasks_expired_total", int64(t.Expired))
	p.counter("rookery_mcp_tasks_dropped_total", int64(t.Dropped))
	p.counter("rookery_mcp_tasks_panicked_total", int64(t.Panicked))
	p.counter("rookery_mcp_tasks_refused_total", int64(t.Refused))
}

func (p page) events(m *mcp.Stats, e *session.EventsStats) {
	p.counter("rookery_mcp_streams_resumed_total", int64(m.StreamsResumed))
	p.counter("rookery_mcp_resumes_refused_total", int64(m.ResumesRefused))
	p.counter("rookery_mcp_events_replayed_total", int64(m.Replayed))
	p.counter("rookery_mcp_notifications_kept_total", int64(m.Kept))
	p.gauge("rookery_event_logs", e.Logs)
	p.gauge("rookery_events", e.Events)
	p.gauge("rookery_event_bodies", e.Bodies)
	p.gauge("rookery_event_bytes", e.Bytes)
	p.counter(`rookery_events_evicted_total{cause="count"}`, int64(e.EvictedCount))
	p.counter(`rookery_events_evicted_total{cause="bytes"}`, int64(e.EvictedBytes))
	p.counter(`rookery_events_evicted_total{cause="age"}`, int64(e.EvictedAge))
	p.counter(`rookery_events_evicted_total{cause="budget"}`, int64(e.EvictedBudget))
	p.counter("rookery_events_too_large_total", int64(e.TooLarge))
}

func (p page) memory(s *Server) {
	r, err := s.memory()
	for _, c := range r.Components {
		if c.Name != memprof.Unaccounted || err == nil {
			p.sample("rookery_memory_bytes", "component", c.Name, c.Bytes)
		}
	}
	if err == nil {
		p.gauge("process_resident_memory_bytes", r.Resident.RSS)
	}
	p.gauge("go_goroutines", r.Heap.Goroutines)
	p.gauge("go_heap_live_bytes", r.Heap.Live)
	p.gauge("go_heap_goal_bytes", r.Heap.Goal)
	if cpu, err := memprof.CPUTime(os.Getpid()); err == nil {
		p.end(append(p.out.AvailableBuffer(), "process_cpu_seconds_total"...), cpu.Seconds())
	}
}

// gcBounds are the upper bounds of the collector's pause buckets.
var gcBounds = []time.Duration{10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond,
	250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond}

// collector writes the pauses of the garbage collector. The runtime knows them
// by buckets of its own: each counts where its upper bound lies, and the sum is
// one of upper bounds.
func (p page) collector() {
	gc := memprof.ReadGC()
	p.counter("go_gc_cycles_total", int64(gc.Cycles))
	var sum time.Duration
	var n uint64
	pauses := series{name: "go_gc_pause_seconds"}
	i := 0
	for _, le := range gcBounds {
		for ; i < len(gc.Pauses) && gc.Pauses[i].Max <= le; i++ {
			n += gc.Pauses[i].Count
			sum += time.Duration(gc.Pauses[i].Count) * gc.Pauses[i].Max
		}
		p.bucket(&pauses, le.Seconds(), n)
	}
	for ; i < len(gc.Pauses); i++ {
		n += gc.Pauses[i].Count
		sum += time.Duration(gc.Pauses[i].Count) * min(gc.Pauses[i].Max, time.Minute)
	}
	p.totals(&pauses, n, sum)
}

func loopLabel(i int) string { return `loop="` + strconv.Itoa(i) + `"` }

// histogram writes a histogram of a loop.
func (p page) histogram(s *series, h *loop.Histogram) {
	var n uint64
	for i, count := range h.Buckets {
		n += count
		if i < len(h.Buckets)-1 {
			p.bucket(s, (time.Microsecond << i).Seconds(), n)
		}
	}
	p.totals(s, n, h.Sum)
}
