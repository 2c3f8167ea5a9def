package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latency is a distribution of times, in nanoseconds.
type Latency struct {
	P50  time.Duration `json:"p50_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Max  time.Duration `json:"max_ns"`
}

// latencyMax is the longest time told apart; steps last seconds, not minutes.
const latencyMax = time.Minute

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(latencyMax), 3)
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	at := func(percent float64) time.Duration { return time.Duration(h.ValueAtPercentile(percent)) }
	return Latency{P50: at(50), P99: at(99), P999: at(99.9), Max: time.Duration(h.Max())}
}

// LoadOrder describes a load.
type LoadOrder struct {
	Kind    Kind          `json:"kind"`   // TCP, or Caller for tools/call
	Method  string        `json:"method"` // of TCP: "echo" or "echo.worker"
	Rate    float64       `json:"rate"`   // requests a second on a schedule; 0: a closed loop
	Warmup  time.Duration `json:"warmup_ns"`
	Measure time.Duration `json:"measure_ns"`
	PID     int           `json:"pid"` // of the server, whose CPU is read
}

// LoadResult is what a load measured after its warm-up.
type LoadResult struct {
	Requests int64         `json:"requests"`
	Took     time.Duration `json:"took_ns"`
	CPU      time.Duration `json:"server_cpu_ns"` // used by the server meanwhile
	// Latency counts from the moment a request was sent in a closed loop,
	// from the moment it was due with a rate.
	Latency Latency `json:"latency"`
	Late    int64   `json:"late"` // requests sent over a millisecond after they were due
}

// PerSecond returns the requests answered a second.
func (r LoadResult) PerSecond() float64 { return float64(r.Requests) / r.Took.Seconds() }

// CPUPerRequest returns the server's processor time a request.
func (r LoadResult) CPUPerRequest() time.Duration {
	return r.CPU / time.Duration(max(r.Requests, 1))
}

// BurstResult is what happened when all idle clients spoke at once.
type BurstResult struct {
	Clients int           `json:"clients"` // each was answered, each answer verified
	Took    time.Duration `json:"took_ns"`
	Latency Latency       `json:"latency"`
}
