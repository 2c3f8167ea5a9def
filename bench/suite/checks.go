package suite

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rookery-server/rookery/bench/report"
)

// part is what has to be done to measure a group of checks.
type part int

// Parts, in the order in which they run.
const (
	forming  part = iota // the cluster comes up
	ramping              // TCP clients are opened in steps
	loading              // calls over TCP at full size
	holding              // connections are held
	overload             // queues and pools are overrun
	sessions             // MCP sessions with streams, calls to any node
	failing              // a node dies under them
	leaving              // nodes leave, join, fall silent
	copying              // a cluster that copies everything everywhere
	crowding             // all clients on one node
	raging               // nodes die at random
)

// slackens says how Scale.Slack changes a limit.
type slackens int

const (
	exact  slackens = iota // not at all: what is right is right at any size
	slower                 // a time, or another value that may grow
	fewer                  // a rate, that may fall
	large                  // meant for the full size only: no limit below it
	beside                 // never had a limit: it is there to be read beside others
)

// spec is a check before it is measured. A limit below 0 is none.
type spec struct {
	part            part
	id              string
	group           int
	what, unit      string
	sense           report.Sense
	floor, bar, aim float64
	slack           slackens
}

const none = -1

// nodeCount is how many nodes the suite's cluster has.
const nodeCount = 4

const replicas = 3

// Stand in descriptions for the two times of a scale for which connections are
// held.
const shortHold, longHold = "{short}", "{long}"

// specs are all checks but those of ramps, which depend on the scale.
var specs = []spec{
	{forming, "cluster.formed", 1, "nodes that see all others, linked and with copies in place", "nodes", report.AtLeast, nodeCount, nodeCount, none, exact},
	{forming, "cluster.form-time", 1, "from the start of the first process until all agree", "s", report.AtMost, 5, 2, 1, slower},
	{forming, "cluster.calls", 1, "ordered pairs of nodes of which one answers a call for a session at home on the other", "pairs", report.AtLeast, nodeCount * (nodeCount - 1), nodeCount * (nodeCount - 1), none, exact},
	{forming, "cluster.ready", 1, "nodes that say they are ready", "nodes", report.AtLeast, nodeCount, nodeCount, none, exact},

	{ramping, "scaling.rate", 2, "connections established a second in the last ramp, each served once", "a second", report.AtLeast, 5000, 6000, 10_000, fewer},

	{holding, "sustained.short", 3, "connections lost while all are held for " + shortHold, "connections", report.AtMost, 0, 0, none, exact},
	{holding, "sustained.long", 3, "connections lost while all are held for " + longHold, "connections", report.AtMost, 0, 0, none, exact},
	{holding, "sustained.metrics", 3, "of the looks at all metrics meanwhile those that succeeded", "%", report.AtLeast, 99, 100, none, exact},
	{crowding, "sustained.one-node", 3, "connections lost while one node with six processes holds all", "connections", report.AtMost, 0, 0, none, exact},

	{loading, "performance.throughput", 4, "round trips over TCP, all clients connected", "a second", report.AtLeast, 5000, 25_000, 35_000, fewer},
	{loading, "performance.p50", 4, "latency from the due time, median", "ms", report.AtMost, 25, 5, 3, slower},
	{loading, "performance.p95", 4, "latency from the due time, 95th percentile", "ms", report.AtMost, 100, 25, 12, slower},
	{loading, "performance.p99", 4, "latency from the due time, 99th percentile", "ms", report.AtMost, 100, 60, 30, slower},
	{loading, "performance.max", 4, "latency from the due time, longest", "ms", report.AtMost, 500, 300, 150, slower},
	{loading, "performance.errors", 4, "calls that failed", "%", report.AtMost, 0.05, 0, none, exact},
	{loading, "performance.order", 4, "replies out of order on their connection", "%", report.AtMost, 0.01, 0, none, exact},
	{ramping, "performance.scaling", 4, "round trips at full size, compared with the smallest size, same load offered", "%", report.AtLeast, 50, 95, none, fewer},
	{sessions, "performance.sessions", 4, "round trips over MCP sessions, all streams open, POSTs at the nodes in turn", "a second", report.AtLeast, none, 12_000, 18_000, fewer},
	{sessions, "performance.sticky", 4, "the same with each POST at the node that has the client's stream", "a second", report.AtLeast, none, 12_000, 18_000, fewer},
	{sessions, "performance.fanout", 4, "an event for all sessions, until the last client has heard it, median", "ms", report.AtMost, none, none, none, beside},
	{sessions, "performance.session-errors", 4, "calls of MCP sessions that failed, of those sent", "%", report.AtMost, 0.05, 0, none, exact},
	{sessions, "performance.session-dropped", 4, "calls that were due and could not be sent within a second, of all that were due", "%", report.AtMost, none, 0, none, exact},
	{sessions, "performance.sticky-errors", 4, "failed, with each POST at the node that has the client's stream", "%", report.AtMost, 0.05, 0, none, exact},
	{sessions, "performance.sticky-dropped", 4, "could not be sent, with each POST at the node that has the client's stream", "%", report.AtMost, none, 0, none, exact},

	{failing, "failure.detected", 5, "until all others know that a node was killed", "s", report.AtMost, 3, 1, 0.5, slower},
	{failing, "failure.served", 5, "until the last of its clients was served again", "s", report.AtMost, none, 5, 4, slower},
	{failing, "failure.recovered", 5, "of its clients those served again", "%", report.AtLeast, 70, 100, none, exact},
	{failing, "failure.survival", 5, "sessions that survived", "%", report.AtLeast, 95, 100, none, exact},
	{failing, "failure.lost", 5, "acknowledged events that a client did not hear", "events", report.AtMost, 0, 0, none, exact},
	{failing, "failure.doubled", 5, "events that a client heard twice", "events", report.AtMost, 0, 0, none, exact},
	{failing, "failure.rebalanced", 5, "after its return, until all copies are where they should be", "s", report.AtMost, 120, 60, none, slower},

	{sessions, "components.registry", 6, "looking a session up by its id, 95th percentile under load, one at a time (the servers time one in 64)", "µs", report.AtMost, 50, 1, 0.2, slower},
	{overload, "components.backpressure", 6, "requests shed while queues are overrun", "requests", report.AtMost, 1000, 0, none, exact},
	{overload, "components.paused", 6, "times that reading was paused meanwhile (0: the queues were not overrun)", "times", report.AtLeast, 1, 1, none, exact},
	{overload, "components.pool", 6, "calls without a good answer after the pool was saturated", "calls", report.AtMost, 0, 0, none, exact},
	{overload, "components.drained", 6, "tasks left in queues afterwards", "tasks", report.AtMost, 0, 0, none, exact},
	{loading, "components.growth", 6, "growth of all servers' memory over the time of sustained calls", "MB", report.AtMost, 50, 20, 5, exact},

	{sessions, "network.pairs", 7, "messages a second of the pair of nodes that exchanged least", "a second", report.AtLeast, 1000, none, none, large},
	{leaving, "network.joined", 7, "until all agree that a node joined, from the start of its process", "s", report.AtMost, 5, 1, none, slower},
	{leaving, "network.left", 7, "until all agree that a node leaves and is to get nothing new, from SIGTERM", "s", report.AtMost, 5, 1, none, slower},
	{leaving, "network.drained", 7, "until its sessions have moved to the others and it has left, from SIGTERM", "s", report.AtMost, 10, 5, none, slower},
	{leaving, "network.silent", 7, "until all others know that a node is cut off (it says nothing more, its links stay open)", "s", report.AtMost, 3, 1, none, slower},
	{leaving, "network.healed", 7, "until all agree again after it speaks again", "s", report.AtMost, 10, 5, none, slower},

	{loading, "resources.memory-tcp", 8, "memory of all servers (PSS), TCP clients idle", "MB", report.AtMost, 4096, 300, 180, exact},
	{sessions, "resources.memory-sessions", 8, "memory of all servers (PSS), MCP sessions with streams idle, two copies each", "MB", report.AtMost, 4096, 450, 300, exact},
	{sessions, "resources.memory-events", 8, "memory of all servers (PSS) with events retained for each session and its copies", "MB", report.AtMost, 4096, 450, 300, exact},
	{loading, "resources.connection", 8, "memory of a TCP client: growth of all servers", "bytes", report.AtMost, 2048, 320, 111, large},
	{sessions, "resources.session", 8, "memory of an MCP session with its stream and two copies: growth of all servers", "bytes", report.AtMost, 2048, none, none, large},
	{loading, "resources.cpu", 8, "processors used by all servers under calls over TCP, of those there are", "%", report.AtMost, 90, none, none, exact},
	{loading, "resources.gc-p99", 8, "pauses of the garbage collector, 99th percentile of the worst process", "ms", report.AtMost, none, 5, 2, slower},
	{loading, "resources.gc-max", 8, "pauses of the garbage collector, longest of any process", "ms", report.AtMost, 100, 100, 20, slower},
	{loading, "resources.control-p99", 8, "the same of a control process that serves nobody, in the same run: 99th percentile", "ms", report.AtMost, none, none, none, beside},
	{loading, "resources.control-max", 8, "longest pause of the control process", "ms", report.AtMost, none, none, none, beside},
	{loading, "resources.control-late", 8, "how late the control process wakes from sleep, 99th percentile: it waits for a processor", "ms", report.AtMost, none, none, none, beside},

	{sessions, "replication.copies", 9, "copies that sessions have, of those they should", "%", report.AtLeast, 100, 100, none, exact},
	{copying, "replication.all", 9, "copies where each node is to have one", "%", report.AtLeast, 100, 100, none, exact},
	{failing, "replication.same", 9, "sessions after the failure, of those before", "%", report.AtLeast, 100, 100, none, exact},
	{failing, "replication.transparent", 9, "clients that had to begin a new session", "clients", report.AtMost, 0, 0, none, exact},
}

// rampID is the name of the check of a ramp.
func rampID(clients int) string { return "scaling." + strconv.Itoa(clients) }

// chaosSpecs are the checks of chaos, which is run only when asked for.
var chaosSpecs = []spec{
	{raging, "chaos.survival", 5, "sessions that survived while nodes were killed at random", "%", report.AtLeast, 95, 100, none, exact},
	{raging, "chaos.lost", 5, "acknowledged events that a client did not hear meanwhile", "events", report.AtMost, 0, 0, none, exact},
	{raging, "chaos.doubled", 5, "events that a client heard twice meanwhile", "events", report.AtMost, 0, 0, none, exact},
}

// specsOf returns all checks of a scale, in order of groups.
func specsOf(s Scale, chaos bool) []spec {
	list := slices.Clone(specs)
	if chaos {
		list = append(list, chaosSpecs...)
	}
	for _, n := range s.Ramps {
		list = append(list, spec{ramping, rampID(n), 2, fmt.Sprintf("established of %s clients", report.Number(float64(n))), "%", report.AtLeast, 100, 100, none, exact})
	}
	slices.SortStableFunc(list, func(a, b spec) int { return a.group - b.group })
	return list
}

// check returns the check with the limits of a scale, not measured yet.
func (s *spec) check(scale Scale) report.Check {
	limit := func(v float64) *float64 {
		if v == none || s.slack == large && scale.Slack > 1 {
			return nil
		}
		switch s.slack {
		case slower:
			v *= scale.Slack
		case fewer:
			v /= scale.Slack
		}
		return report.Limit(v)
	}
	holds := strings.NewReplacer(shortHold, scale.Holds[0].String(), longHold, scale.Holds[1].String())
	c := report.Check{
		ID: s.id, Group: s.group, What: holds.Replace(s.what), Unit: s.unit, Sense: s.sense,
		Floor: limit(s.floor), Bar: limit(s.bar), Aim: limit(s.aim),
	}
	c.Skip("the run ended before it")
	return c
}

// selected reports whether the options ask for the check.
func (o *Options) selected(s *spec) bool {
	if s.part == raging {
		return o.Chaos // asked for by itself
	}
	if len(o.Groups) > 0 && !slices.Contains(o.Groups, s.group) {
		return false
	}
	return len(o.Checks) == 0 || slices.ContainsFunc(o.Checks, s.named)
}

// named reports whether name is that of the check, or the part before the dot.
func (s *spec) named(name string) bool {
	return name == s.id || strings.HasPrefix(s.id, name+".")
}
