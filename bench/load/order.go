package load

import (
	"net/netip"
	"time"
)

// op names what a load process is asked to do.
type op string

const (
	opSetup     op = "setup"     // the first order: Setup
	opRamp      op = "ramp"      // open Count clients at PerSecond; answered when all are up
	opRate      op = "rate"      // call PerSecond times a second
	opSpread    op = "spread"    // POST to the next target, or if not On to the one with the stream
	opPublish   op = "publish"   // event Number is about to be published
	opPublished op = "published" // it has been
	opAudit     op = "audit"     // who heard the events to Number, those of Failed excused?
	opShake     op = "shake"     // let a Share of clients reconnect within Over
	opFlush     op = "flush"     // report now
)

// order is one line from the coordinator to a load process.
type order struct {
	No        int64         `json:"no"`
	Op        op            `json:"op"`
	Setup     *setup        `json:"setup,omitempty"`
	Count     int           `json:"count,omitempty"`
	PerSecond float64       `json:"per_second,omitempty"`
	On        bool          `json:"on,omitempty"`
	Number    uint32        `json:"number,omitempty"`
	Failed    []uint32      `json:"failed,omitempty"`
	Share     float64       `json:"share,omitempty"`
	Over      time.Duration `json:"over_ns,omitempty"`
}

// setup is what a load process has to know.
type setup struct {
	Options  Options      `json:"options"` // complete and checked
	Shard    int          `json:"shard"`   // of Shards
	Shards   int          `json:"shards"`
	Capacity int          `json:"capacity"` // clients that it will have at most
	Started  int64        `json:"started"`  // of the run, Unix time in ns
	Run      string       `json:"run"`      // tells the run's events from those of others
	Sources  []netip.Addr `json:"sources"`  // to connect from; none: the kernel chooses
}

// answer is one line back: to an order, or a report of its own accord, or both.
type answer struct {
	Re     int64      `json:"re,omitempty"` // No of the order
	Error  string     `json:"error,omitempty"`
	Report *report    `json:"report,omitempty"`
	Audit  *auditPart `json:"audit,omitempty"`
}

// report is what has happened since the last one.
type report struct {
	Second int    `json:"second"` // of the run, in which all of it happened
	Ends   bool   `json:"ends"`   // nothing more will be told of that second
	Counts Counts `json:"counts"`
	Checks Checks `json:"checks"`
	// How things stand.
	Connected int `json:"connected"`
	Away      int `json:"away"`
	Flying    int `json:"flying"` // calls under way
	// Histograms, packed; "" is empty.
	Corrected   string `json:"corrected,omitempty"`
	Uncorrected string `json:"uncorrected,omitempty"`
	Handshake   string `json:"handshake,omitempty"`
	Outage      string `json:"outage,omitempty"`
	// When the first client lost its connection and the last one was back,
	// nanoseconds since the start; 0: none did.
	FirstLost int64    `json:"first_lost,omitempty"`
	LastBack  int64    `json:"last_back,omitempty"`
	Rounds    []round  `json:"rounds,omitempty"`
	Errors    []string `json:"errors,omitempty"` // the first few
}

// round is how far one event has come.
type round struct {
	Number uint32 `json:"number"`
	Count  int64  `json:"count"` // clients that heard it
	Last   int64  `json:"last"`  // when the last of them did, ns since the start
}

// auditPart is the audit of one process.
type auditPart struct {
	Clients int   `json:"clients"`
	Missing int64 `json:"missing"`
}

// eventMark stands in front of the number in the text of an event of run.
func eventMark(run string) string { return "load-" + run + "-" }

// handshakeID is the id of initialize and subscriptions/listen; calls count from
// the next one on.
const handshakeID = 1
