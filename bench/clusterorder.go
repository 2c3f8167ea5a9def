package bench

import (
	"context"
	"net/netip"
	"time"
)

// roamersCommand is the hidden subcommand that holds clients of a cluster.
const roamersCommand = "roamers"

// What roamers are asked to do.
const (
	opEnroll op = "enroll" // make Count sessions at node Node, with streams if Streams
	opWatch  op = "watch"  // open Count listen streams at node Node
	opAwait  op = "await"  // until all have heard event Number
	opSettle op = "settle" // until all that left Victims, or lost their stream, are served again
	opAudit  op = "audit"  // what was heard of the events up to Number, but for Failed
)

// roamOrder is the part of an order that is for clients of a cluster.
type roamOrder struct {
	Nodes   []netip.AddrPort `json:"nodes"`
	Node    int              `json:"node"`
	Streams bool             `json:"streams"`
	Victims []int            `json:"victims"`
	Number  uint64           `json:"number"`
	Failed  []uint64         `json:"failed"`
	Gather  time.Duration    `json:"gather_ns"` // how long events may add up before clients take them
	// Since is when the fault happened, by the machine's clock.
	Since int64 `json:"since_ns"`
}

// roamAnswer is theirs.
type roamAnswer struct {
	At     int64   `json:"at_ns"`  // of opAwait: when the last one heard
	Served []int64 `json:"served"` // of opSettle: time from Since until a client was served again
	Gone   int     `json:"gone"`   // sessions that the cluster said it does not know
	Turned int     `json:"turned"` // times that a client was turned away, to try again
	Audit  audit   `json:"audit"`
}

// audit is what clients heard of numbered events.
type audit struct {
	Sessions int `json:"sessions"`
	Heard    int `json:"heard"`
	Lost     int `json:"lost"`    // acknowledged and not heard
	Doubled  int `json:"doubled"` // heard twice
	Early    int `json:"early"`   // heard after a later one
}

func (a *audit) add(b audit) {
	a.Sessions += b.Sessions
	a.Heard += b.Heard
	a.Lost += b.Lost
	a.Doubled += b.Doubled
	a.Early += b.Early
}

// roamers is the orchestrator's end of a process that holds clients of a
// cluster.
type roamers struct {
	crew   *crew
	nodes  []netip.AddrPort
	gather time.Duration // roamOrder.Gather of each order
}

func hireRoamers(self []string, c *nodes, timeout time.Duration) (*roamers, error) {
	p, err := startProcess(append(self[:len(self):len(self)], roamersCommand))
	if err != nil {
		return nil, err
	}
	return &roamers{crew: &crew{process: p, timeout: timeout}, nodes: c.addrs()}, nil
}

func (r *roamers) stop() error { return r.crew.stop() }

func (r *roamers) do(ctx context.Context, o op, count int, what roamOrder, progress func(int)) (roamAnswer, error) {
	what.Nodes, what.Gather = r.nodes, r.gather
	a, err := r.crew.do(ctx, order{Op: o, Count: count, Roam: &what}, progress)
	if a.Roam == nil {
		return roamAnswer{}, err
	}
	return *a.Roam, err
}

// enroll makes sessions at a node.
func (r *roamers) enroll(ctx context.Context, node, count int, streams bool, progress func(int)) error {
	_, err := r.do(ctx, opEnroll, count, roamOrder{Node: node, Streams: streams}, progress)
	return err
}

// watch opens listen streams at a node.
func (r *roamers) watch(ctx context.Context, node, count int, progress func(int)) error {
	_, err := r.do(ctx, opWatch, count, roamOrder{Node: node}, progress)
	return err
}

// await waits until all have heard event number and returns when the last did.
func (r *roamers) await(ctx context.Context, number uint64) (time.Time, error) {
	a, err := r.do(ctx, opAwait, 0, roamOrder{Number: number}, nil)
	return time.Unix(0, a.At), err
}

// settle waits until nobody is without a stream and returns how long each was
// that lost one, from since.
func (r *roamers) settle(ctx context.Context, victims []int, since time.Time) (roamAnswer, error) {
	return r.do(ctx, opSettle, 0, roamOrder{Victims: victims, Since: since.UnixNano()}, nil)
}

// audit returns what they heard of the events 1 to number.
func (r *roamers) audit(ctx context.Context, number uint64, failed []uint64) (audit, error) {
	a, err := r.do(ctx, opAudit, 0, roamOrder{Number: number, Failed: failed}, nil)
	return a.Audit, err
}
