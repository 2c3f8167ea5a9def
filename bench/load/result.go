package load

import (
	"time"

	"github.com/rookery-server/rookery/bench"
)

// Schema is the number of the result's form. It rises when a field changes its
// meaning or goes; fields may be added under the same number.
const Schema = 1

// Result is what a run measured.
type Result struct {
	Schema  int       `json:"schema"`
	Started time.Time `json:"started"`
	// Interrupted says that the run ended before its time: the rest is what
	// was measured until then.
	Interrupted bool `json:"interrupted,omitempty"`
	// Command, Version and Commit are what the caller knows of itself.
	Command []string      `json:"command,omitempty"`
	Version string        `json:"version,omitempty"`
	Commit  string        `json:"commit,omitempty"`
	Machine bench.Machine `json:"machine"`
	Options Options       `json:"options"` // with defaults filled in

	Ramps  []RampResult  `json:"ramps"`
	Phases []PhaseResult `json:"phases"`
	// Seconds is the time series of the whole run, ramp and pauses included.
	Seconds []Second `json:"seconds"`
	// Total counts everything from Start on.
	Total  Counts `json:"total"`
	Checks Checks `json:"checks"`
	// Errors are the first few of each process in words.
	Errors    []string  `json:"errors,omitempty"`
	Events    *Audit    `json:"events,omitempty"` // nil: nothing was published
	Generator Generator `json:"generator"`
}

// Failed reports whether anything went wrong that a server must not do: an
// error, a wrong or unordered reply, an event lost or doubled.
func (r *Result) Failed() bool {
	return r.Total.Failures() > 0 || r.Checks.Violations() > 0 || r.Events != nil && r.Events.Violations() > 0
}

// RampResult is what opening clients was like.
type RampResult struct {
	FromS     float64       `json:"from_s"`
	Clients   int           `json:"clients"` // that were to be open in the end
	Opened    int           `json:"opened"`  // by this ramp: each was answered once
	Failed    int64         `json:"failed"`  // handshakes that failed and were tried again
	Took      time.Duration `json:"took_ns"` // from the first connect to the last answer
	PerSecond float64       `json:"per_second"`
	Handshake Latency       `json:"handshake"` // from the first connect of a client to its last answer
}

// PhaseResult is what happened between [Fleet.Phase] and [Phase.End].
type PhaseResult struct {
	Name      string  `json:"name"`
	FromS     float64 `json:"from_s"`
	ToS       float64 `json:"to_s"`
	Clients   int     `json:"clients"`   // to be open
	Connected int     `json:"connected"` // at the end
	// PerSecond is Replies over the length of the phase: round trips a second.
	PerSecond   float64 `json:"per_second"`
	Counts      Counts  `json:"counts"`
	Checks      Checks  `json:"checks"`
	Corrected   Latency `json:"corrected"`
	Uncorrected Latency `json:"uncorrected"`
	Handshake   Latency `json:"handshake"` // of clients that were opened or came back anew
	Outages     Outages `json:"outages"`
	// Generator is what the load processes used meanwhile.
	Generator Generator `json:"generator"`
}

// Took returns the length of the phase.
func (p *PhaseResult) Took() time.Duration {
	return time.Duration((p.ToS - p.FromS) * float64(time.Second))
}

// Outages are the times for which clients had no connection, or stream, that
// they should have had.
type Outages struct {
	Lost int64 `json:"lost"` // connections that ended without our doing
	Back int64 `json:"back"` // of clients that were served again
	// FirstLostS and LastBackS are when the first client lost its connection
	// and the last one was served again; 0: none did.
	FirstLostS float64 `json:"first_lost_s,omitempty"`
	LastBackS  float64 `json:"last_back_s,omitempty"`
	Length     Latency `json:"length"` // of the outages that ended
}

// Latency is a distribution of times.
type Latency struct {
	Count int64         `json:"count"`
	Mean  time.Duration `json:"mean_ns"`
	P50   time.Duration `json:"p50_ns"`
	P90   time.Duration `json:"p90_ns"`
	P95   time.Duration `json:"p95_ns"`
	P99   time.Duration `json:"p99_ns"`
	P999  time.Duration `json:"p999_ns"`
	P9999 time.Duration `json:"p9999_ns"`
	Max   time.Duration `json:"max_ns"`
	// Histogram is the whole distribution in nanoseconds, base64 of the
	// HdrHistogram V2 encoding; empty when Count is 0.
	Histogram string `json:"histogram,omitempty"`
}

// Counts are numbers of messages and connections.
type Counts struct {
	Due      int64 `json:"due"`     // on the schedule
	Sent     int64 `json:"sent"`    // calls
	Replies  int64 `json:"replies"` // good ones
	Notes    int64 `json:"notes"`   // notifications sent (they are due, not Sent)
	Late     int64 `json:"late"`    // sent over LateAfter after they were due
	Dropped  int64 `json:"dropped"` // due, but not sent within DropAfter
	Retried  int64 `json:"retried"` // calls asked again after a 503
	BytesIn  int64 `json:"bytes_in"`
	BytesOut int64 `json:"bytes_out"`

	// Calls that failed, by reason.
	Timeouts int64 `json:"timeouts"` // no answer within Timeout
	Resets   int64 `json:"resets"`   // the connection ended before the answer
	Statuses int64 `json:"statuses"` // an HTTP status that is no success
	Faults   int64 `json:"faults"`   // a JSON-RPC error, or a tool's
	Wrong    int64 `json:"wrong"`    // an answer that is not the one asked for, or not readable

	Connects int64 `json:"connects"`      // handshakes completed, first and later ones
	Refused  int64 `json:"refused"`       // handshakes that failed
	Lost     int64 `json:"lost"`          // connections that ended without our doing
	Back     int64 `json:"back"`          // clients served again after that
	Gone     int64 `json:"sessions_lost"` // 404 for a session
	Resumed  int64 `json:"resumed"`       // streams taken up again with their last event id
	Closed   int64 `json:"closed"`        // connections that we ended: for a wave, or because no answer came
}

// Failures is the number of calls that failed.
func (c *Counts) Failures() int64 {
	return c.Timeouts + c.Resets + c.Statuses + c.Faults + c.Wrong
}

// Checks counts what was verified of replies and events.
type Checks struct {
	Verified   int64 `json:"verified"`     // replies whose id and content were compared
	Ordered    int64 `json:"ordered"`      // of them those that had an order to keep
	OutOfOrder int64 `json:"out_of_order"` // overtook an earlier call of their connection
	Unasked    int64 `json:"unasked"`      // answers to no call under way, doubled ones included

	Heard     int64 `json:"heard"`     // numbered events that reached clients
	Gaps      int64 `json:"gaps"`      // numbers that were skipped when a later one came
	Filled    int64 `json:"filled"`    // of these those that came after all, out of order
	Doubled   int64 `json:"doubled"`   // events heard twice
	Unrelated int64 `json:"unrelated"` // other messages on streams
}

// Violations is how much was wrong: what was out of order, doubled or not asked
// for. A gap is none yet: it may be an event whose publication failed, or one
// that comes out of order, and the audit tells which are missing.
func (c *Checks) Violations() int64 {
	return c.OutOfOrder + c.Unasked + c.Filled + c.Doubled
}

// Audit is what became of published events at the end.
type Audit struct {
	Published int64 `json:"published"` // acknowledged by the server
	Failed    int64 `json:"failed"`    // not: such an event may be heard or not
	Clients   int   `json:"clients"`   // that were asked
	Missing   int64 `json:"missing"`   // acknowledged events not heard, over all clients
	Doubled   int64 `json:"doubled"`
	Filled    int64 `json:"filled"` // heard out of order
	// Took is how long the calls that published took, and Spread how long it
	// was from such a call to the last client that heard its event.
	Took   Latency `json:"took"`
	Spread Latency `json:"spread"`
}

// Violations is how much was wrong.
func (a *Audit) Violations() int64 { return a.Missing + a.Doubled }

// Second is one second of the run.
type Second struct {
	AtS        int           `json:"at_s"`
	Connected  int           `json:"connected"` // clients, at its end
	Away       int           `json:"away"`      // clients that lost their connection and are not back
	Due        int64         `json:"due"`
	Sent       int64         `json:"sent"`
	Replies    int64         `json:"replies"`
	Notes      int64         `json:"notes,omitempty"`
	P50        time.Duration `json:"p50_ns"` // corrected, of the replies of this second
	P99        time.Duration `json:"p99_ns"`
	Max        time.Duration `json:"max_ns"`
	Errors     int64         `json:"errors"`
	Late       int64         `json:"late"`
	Dropped    int64         `json:"dropped"`
	Connects   int64         `json:"connects"`
	Lost       int64         `json:"lost"`
	Heard      int64         `json:"heard"`
	Violations int64         `json:"violations"`
}

// Generator is what the load processes cost.
type Generator struct {
	Processes int           `json:"processes"`
	CPU       time.Duration `json:"cpu_ns"`
	// Memory is RssAnon + RssShmem of all load processes, now; bytes.
	Memory int64 `json:"memory"`
}
