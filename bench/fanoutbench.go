package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/rookery-server/rookery/bench/wire"
)

// fanoutRounds is how often a change is published; enough ticks of the loops'
// clocks fall into them for a 99th percentile of their lag.
const (
	fanoutRounds      = 30
	fanoutRoundsQuick = 5
)

// FanoutResult is what a publication to many open streams took.
type FanoutResult struct {
	Clients int `json:"clients"`
	// Took is from the call that publishes to the last client's event, by
	// round, in nanoseconds.
	Took Spread `json:"took_ns"`
	// Bystander is the latency of a client that meanwhile asks, one call
	// after another, for something that is answered on the loop.
	Bystander Latency `json:"bystander_latency"`
	// LagP99 bounds the 99th percentile of the lateness of the loops' clocks
	// meanwhile from above, in nanoseconds; LagTicks is of how many ticks.
	LagP99   int64  `json:"loop_lag_p99_ns"`
	LagTicks uint64 `json:"loop_lag_ticks"`
}

// fanout holds many streams that listen for one resource and changes it.
func (b *cpuBench) fanout(ctx context.Context) error {
	rounds := fanoutRounds
	if b.Quick {
		rounds = fanoutRoundsQuick
	}
	clients := b.clients(fanoutClients)
	s := &subject{program: rookeryProgram(b.Server, b.Args), kind: Watch, counts: []int{clients}}
	m := &memBench{self: b.Self, timeout: b.Timeout, progress: b.progress}
	return m.on(ctx, s, measureFanout, func(at *site) error {
		addr, _ := at.server.admin()
		asked := newAdmin(addr)
		at.say("opening " + thousands(clients) + " clients")
		if _, err := at.crew.open(ctx, at.target, Watch, clients, at.tell); err != nil {
			return err
		}
		before, err := asked.lag(ctx)
		if err != nil {
			return err
		}
		at.say("publishing")
		r, err := at.crew.fanout(ctx, at.target, rounds)
		if err != nil {
			return err
		}
		after, err := asked.lag(ctx)
		if err != nil {
			return err
		}
		r.LagP99, r.LagTicks = after.since(before).p99()
		b.report.Fanout = &r
		return nil
	})
}

// lagMetric is the server's histogram of how late its loops' clocks tick.
const lagMetric = "rookery_loop_lag_seconds_bucket"

// buckets are the cumulative counts of a histogram, by upper edge in seconds.
type buckets map[float64]uint64

// lag returns the server's histogram of loop lag.
func (a *admin) lag(ctx context.Context) (buckets, error) {
	body, err := a.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	return parseBuckets(body, lagMetric)
}

// parseBuckets reads the buckets of a histogram and adds up those that differ
// in other labels.
func parseBuckets(text []byte, metric string) (buckets, error) {
	b := buckets{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line, ok := strings.CutPrefix(lines.Text(), metric+"{")
		if !ok {
			continue
		}
		_, line, _ = strings.Cut(line, `le="`)
		edge, count, ok := strings.Cut(line, `"} `)
		le, err := strconv.ParseFloat(edge, 64) // knows +Inf
		n, errCount := strconv.ParseUint(count, 10, 64)
		if !ok || err != nil || errCount != nil {
			return nil, fmt.Errorf("bench: /metrics: %q is no bucket", wire.Clip(lines.Bytes()))
		}
		b[le] += n
	}
	if len(b) == 0 {
		return nil, fmt.Errorf("bench: /metrics has no %s: use one build for both", metric)
	}
	return b, lines.Err()
}

// since returns what was counted after base.
func (b buckets) since(base buckets) buckets {
	d := buckets{}
	for le, n := range b {
		d[le] = n - base[le]
	}
	return d
}

// p99 returns the lowest edge below which 99 of 100 lie, and how many there are.
func (b buckets) p99() (ns int64, count uint64) {
	count = b[math.Inf(1)]
	edge := math.Inf(1)
	for le, n := range b {
		if float64(n) >= 0.99*float64(count) {
			edge = min(edge, le)
		}
	}
	if math.IsInf(edge, 1) {
		return math.MaxInt64, count
	}
	return int64(edge * float64(time.Second)), count
}
