package load

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Geometry of all histograms: the same everywhere, so that they can be added.
const (
	latencyMin    = time.Microsecond
	latencyMax    = 10 * time.Minute
	latencyDigits = 3
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(latencyMin), int64(latencyMax), latencyDigits)
}

// record adds d to h; what is longer than latencyMax counts as that.
func record(h *hdrhistogram.Histogram, d int64) {
	// It fails for values out of range only.
	_ = h.RecordValue(min(max(d, 0), int64(latencyMax)))
}

// encoded returns h in the form of Latency.Histogram, "" when it is empty.
func encoded(h *hdrhistogram.Histogram) string {
	if h.TotalCount() == 0 {
		return ""
	}
	text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		panic("load: a histogram of our own cannot be encoded: " + err.Error())
	}
	return string(text)
}

// merge adds what encoded made to h.
func merge(h *hdrhistogram.Histogram, text string) error {
	if text == "" {
		return nil
	}
	from, err := hdrhistogram.Decode([]byte(text))
	if err != nil {
		return fmt.Errorf("load: a histogram: %w", err)
	}
	if dropped := h.Merge(from); dropped > 0 {
		return fmt.Errorf("load: a histogram has %d values out of range", dropped)
	}
	return nil
}

// packed returns h for the way to the coordinator: base64 of pairs of varints,
// the distance to the next index whose count is not 0, and that count. encoded
// takes milliseconds, in which calls would become late; this takes microseconds.
func packed(h *hdrhistogram.Histogram) string {
	if h.TotalCount() == 0 {
		return ""
	}
	var out []byte
	last := -1
	for i, n := range h.Export().Counts {
		if n > 0 {
			out = binary.AppendUvarint(out, uint64(i-last))
			out = binary.AppendUvarint(out, uint64(n))
			last = i
		}
	}
	return base64.StdEncoding.EncodeToString(out)
}

var errPacked = errors.New("load: a packed histogram is damaged")

// unpack adds what packed made to h.
func unpack(h *hdrhistogram.Histogram, text string) error {
	if text == "" {
		return nil
	}
	in, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return errPacked
	}
	from := newHistogram().Export()
	at := -1
	for len(in) > 0 {
		step, n := binary.Uvarint(in)
		if n <= 0 || step == 0 || step > uint64(len(from.Counts)-1-at) {
			return errPacked
		}
		count, m := binary.Uvarint(in[n:])
		if m <= 0 || int64(count) < 0 {
			return errPacked
		}
		at += int(step)
		from.Counts[at] = int64(count)
		in = in[n+m:]
	}
	h.Merge(hdrhistogram.Import(from))
	return nil
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	at := func(percent float64) time.Duration { return time.Duration(h.ValueAtPercentile(percent)) }
	l := Latency{Count: h.TotalCount(), Histogram: encoded(h)}
	if l.Count > 0 {
		l.Mean = time.Duration(h.Mean())
		l.P50, l.P90, l.P95, l.P99, l.P999, l.P9999, l.Max = at(50), at(90), at(95), at(99), at(99.9), at(99.99), time.Duration(h.Max())
	}
	return l
}

// AddLatencies returns the distribution of all values of list, exact to the
// resolution of the histograms (3 digits). It fails for a histogram that is not
// of this package.
func AddLatencies(list ...Latency) (Latency, error) {
	sum := newHistogram()
	for _, l := range list {
		if err := merge(sum, l.Histogram); err != nil {
			return Latency{}, err
		}
	}
	return latencyOf(sum), nil
}

// Bar is a part of a distribution: Count values up to To and above the To of the
// bar before.
type Bar struct {
	To    time.Duration `json:"to_ns"`
	Count int64         `json:"count"`
}

// Bars returns the distribution for a picture: bars that are each about a tenth
// of a decade wide, from the first to the last that is not empty. It fails for a
// histogram that is not of this package.
func (l Latency) Bars() ([]Bar, error) {
	h := newHistogram()
	if err := merge(h, l.Histogram); err != nil {
		return nil, err
	}
	const step = 1.2589254117941673 // 10^(1/10)
	var bars []Bar
	edge := float64(latencyMin)
	for _, b := range h.Distribution() {
		if b.Count == 0 {
			continue
		}
		for edge < float64(b.To) {
			edge *= step
			if len(bars) > 0 {
				bars = append(bars, Bar{To: time.Duration(edge)})
			}
		}
		if len(bars) == 0 {
			bars = append(bars, Bar{To: time.Duration(edge)})
		}
		bars[len(bars)-1].Count += b.Count
	}
	return bars, nil
}
