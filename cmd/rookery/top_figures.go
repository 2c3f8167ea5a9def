package main

import "time"

// topPage is what `rookery top` found at one moment; with --json it is one
// line. Figures that nobody could measure are null. Rates and latencies are of
// the interval, those of the garbage collector of the last minute.
type topPage struct {
	Schema   int       `json:"schema"` // 1; rises when a field is renamed, removed or changes its meaning
	Taken    time.Time `json:"taken"`
	Interval figure    `json:"interval_seconds"` // between this look and the one before; null in the first
	// ViewsDiffer says that nodes do not agree on who is alive.
	ViewsDiffer bool      `json:"views_differ"`
	Nodes       []nodeRow `json:"nodes"`
	Total       figures   `json:"total"`
}

// nodeRow is one node.
type nodeRow struct {
	Node    string `json:"node"`  // its admin address as long as its name is not known
	Admin   string `json:"admin"` // "": it has none
	State   string `json:"state"` // alive, suspect, draining, left; alone: in no cluster; down: it does not answer
	Error   string `json:"error,omitempty"`
	Version string `json:"version"`
	Workers int    `json:"workers"` // processes
	figures
}

// figures are the numbers of a node, or of all of them together.
type figures struct {
	Uptime      figure `json:"uptime_seconds"` // of the youngest
	Connections figure `json:"connections"`
	Streams     figure `json:"streams"` // of these, HTTP responses held open
	Sessions    figure `json:"sessions"`
	Copies      figure `json:"copies"`           // of sessions of other nodes
	Registry    figure `json:"registry_entries"` // both
	Received    figure `json:"received_per_second"`
	Sent        figure `json:"sent_per_second"`
	Calls       figure `json:"calls_per_second"`
	CallP50     figure `json:"call_p50_seconds"` // time in handlers
	CallP99     figure `json:"call_p99_seconds"`
	WaitP99     figure `json:"wait_p99_seconds"` // for a worker
	Shed        figure `json:"shed_per_second"`  // requests refused for want of time or room
	Memory      figure `json:"memory_bytes"`     // resident
	PerConn     figure `json:"memory_per_connection_bytes"`
	Processors  figure `json:"processors"` // busy with it
	GCs         figure `json:"gc_pauses"`  // in the last minute
	GCP99       figure `json:"gc_pause_p99_seconds"`
	GCMax       figure `json:"gc_pause_max_seconds"` // upper bound
	Links       figure `json:"links"`                // to other processes, connected
	Broken      figure `json:"links_broken"`
	LagP99      figure `json:"replication_lag_p99_seconds"` // until copies held a publication
	Unacked     figure `json:"unacknowledged_bytes"`        // on their way to other nodes
	Filled      *bool  `json:"filled"`                      // every session has its copies; null: in no cluster
}

// span is what happened on a node, or on all, between two looks.
type span struct {
	seconds                                        figure
	uptime, conns, streams, sessions, copies, regs figure
	received, sent, shed, cpu, memory              figure
	links, broken, unacked, filled                 figure
	call, wait, lag, gc                            histogram
}

// spanOf compares what a node said with what it said before.
func spanOf(t *target) span {
	s := blankSpan()
	if t.last == nil {
		return s
	}
	now := t.last
	s.uptime = now.sum("rookery_uptime_seconds")
	s.conns = now.sum("rookery_connections")
	s.streams = now.sum("rookery_connections", "state", "stream")
	s.sessions = now.sum("rookery_cluster_sessions", "role", "home")
	s.copies = now.sum("rookery_cluster_sessions", "role", "copy")
	s.regs = now.sum("rookery_sessions")
	if !s.sessions.known() {
		s.sessions = s.regs
	}
	s.memory = now.sum("process_resident_memory_bytes")
	s.links = now.sum("rookery_cluster_links", "state", "connected")
	s.broken = now.sum("rookery_cluster_links", "state", "broken")
	s.unacked = now.sum("rookery_cluster_unacknowledged_bytes")
	s.filled = now.sum("rookery_cluster_filled")
	s.gc = now.histogram("go_gc_pause_seconds").since(t.minute[0].gc)
	if t.was != nil {
		s.compare(now, t.was)
	}
	return s
}

func blankSpan() span {
	return span{
		seconds: unknown, uptime: unknown, conns: unknown, streams: unknown, sessions: unknown, copies: unknown, regs: unknown,
		received: unknown, sent: unknown, shed: unknown, cpu: unknown, memory: unknown,
		links: unknown, broken: unknown, unacked: unknown, filled: unknown,
	}
}

// compare fills in what needs two looks.
func (s *span) compare(now, was *scrape) {
	grown := func(name string) figure { return now.sum(name).since(was.sum(name)) }
	grew := func(name string) histogram { return now.histogram(name).since(was.histogram(name)) }
	s.seconds = figure(now.at.Sub(was.at).Seconds())
	s.received = grown("rookery_messages_received_total")
	s.sent = grown("rookery_messages_sent_total")
	s.shed = grown("rookery_requests_shed_total")
	s.cpu = grown("process_cpu_seconds_total")
	s.call = grew("rookery_handler_seconds")
	s.wait = grew("rookery_queue_wait_seconds")
	s.lag = grew("rookery_cluster_replication_lag_seconds")
}

// rates are what a node did a second; the nodes of a cluster were not looked at
// at the same time, so they are added up as rates.
func (s *span) rates() (received, sent, shed, cpu, calls figure) {
	return s.received.over(s.seconds), s.sent.over(s.seconds), s.shed.over(s.seconds), s.cpu.over(s.seconds), s.call.count().over(s.seconds)
}

func (s *span) figures() figures {
	f := figures{
		Uptime: s.uptime, Connections: s.conns, Streams: s.streams, Sessions: s.sessions, Copies: s.copies, Registry: s.regs,
		CallP50: s.call.quantile(0.5).rounded(7), CallP99: s.call.quantile(0.99).rounded(7), WaitP99: s.wait.quantile(0.99).rounded(7),
		Memory: s.memory, PerConn: s.memory.over(s.conns).rounded(0),
		GCs: s.gc.count(), GCP99: s.gc.quantile(0.99).rounded(7), GCMax: s.gc.most(),
		Links: s.links, Broken: s.broken, LagP99: s.lag.quantile(0.99).rounded(7), Unacked: s.unacked,
	}
	f.Received, f.Sent, f.Shed, f.Processors, f.Calls = s.rates()
	if s.filled.known() {
		filled := s.filled == 1
		f.Filled = &filled
	}
	return f.rounded()
}

// rounded leaves out digits that mean nothing.
func (f figures) rounded() figures {
	for _, rate := range []*figure{&f.Received, &f.Sent, &f.Shed, &f.Calls} {
		*rate = rate.rounded(1)
	}
	f.Processors = f.Processors.rounded(3)
	return f
}

// page is what the last look found.
func (w *watch) page() topPage {
	p := topPage{Schema: 1, Taken: w.taken.UTC(), Interval: unknown, ViewsDiffer: w.differs, Nodes: []nodeRow{}}
	all := blankSpan()
	var received, sent, shed, cpu, calls = unknown, unknown, unknown, unknown, unknown
	for _, t := range w.targets {
		s := spanOf(t)
		row := nodeRow{Node: t.title(), Admin: t.addr, State: t.state, Workers: t.workers, figures: s.figures()}
		if t.last != nil {
			row.Version = t.last.label("rookery_build_info", "version")
		}
		if t.err != nil {
			row.Error = t.err.Error()
		}
		p.Nodes = append(p.Nodes, row)
		if s.seconds.known() {
			p.Interval = s.seconds.rounded(3)
		}
		r, o, d, c, n := s.rates()
		received, sent, shed, cpu, calls = received.plus(r), sent.plus(o), shed.plus(d), cpu.plus(c), calls.plus(n)
		all.add(&s)
	}
	p.Total = all.figures()
	p.Total.Received, p.Total.Sent, p.Total.Shed, p.Total.Processors, p.Total.Calls = received, sent, shed, cpu, calls
	p.Total = p.Total.rounded()
	return p
}

// add adds the figures of another node, except those that are rates.
func (s *span) add(o *span) {
	for _, pair := range [][2]*figure{
		{&s.conns, &o.conns}, {&s.streams, &o.streams}, {&s.sessions, &o.sessions}, {&s.copies, &o.copies}, {&s.regs, &o.regs},
		{&s.memory, &o.memory}, {&s.links, &o.links}, {&s.broken, &o.broken}, {&s.unacked, &o.unacked},
	} {
		*pair[0] = pair[0].plus(*pair[1])
	}
	if !s.uptime.known() || o.uptime < s.uptime {
		s.uptime = o.uptime
	}
	if !s.filled.known() || o.filled < s.filled {
		s.filled = o.filled
	}
	s.call, s.wait, s.lag, s.gc = s.call.plus(o.call), s.wait.plus(o.wait), s.lag.plus(o.lag), s.gc.plus(o.gc)
}
