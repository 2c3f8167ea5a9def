package server

import (
	"bytes"
	"strconv"
	"time"
)

// page writes samples in Prometheus text format to the end of a buffer. It leaves
// no garbage while that has room: see [exposures].
type page struct{ out *bytes.Buffer }

func (p page) gauge(name string, v int64)   { p.sample(name, "", "", v) }
func (p page) counter(name string, v int64) { p.sample(name, "", "", v) }

// sample writes one value of a family, with a label unless label is empty.
func (p page) sample(name, label, value string, v int64) {
	b := append(p.out.AvailableBuffer(), name...)
	if label != "" {
		b = append(append(b, '{'), label...)
		b = append(strconv.AppendQuote(append(b, '='), value), '}')
	}
	p.end(b, float64(v))
}

// end writes b, which names a sample, its value and the end of the line. Whole
// numbers are written without an exponent.
func (p page) end(b []byte, v float64) {
	b = append(b, ' ')
	if whole := int64(v); float64(whole) == v {
		b = strconv.AppendInt(b, whole, 10)
	} else {
		b = strconv.AppendFloat(b, v, 'g', -1, 64)
	}
	p.out.Write(append(b, '\n'))
}

// series names the samples of a histogram: their family and, as they are written,
// their labels; "" are none.
type series struct{ name, labels string }

// begin appends the name of a sample and its labels.
func (s *series) begin(b []byte, suffix string) []byte {
	b = append(append(append(b, s.name...), suffix...), '{')
	if s.labels != "" {
		b = append(append(b, s.labels...), ',')
	}
	return b
}

// bucket writes how many values were le at most.
func (p page) bucket(s *series, le float64, n uint64) {
	b := append(s.begin(p.out.AvailableBuffer(), "_bucket"), `le="`...)
	b = strconv.AppendFloat(b, le, 'g', -1, 64)
	p.end(append(b, `"}`...), float64(n))
}

// totals writes what ends a histogram.
func (p page) totals(s *series, n uint64, sum time.Duration) {
	p.end(append(s.begin(p.out.AvailableBuffer(), "_bucket"), `le="+Inf"}`...), float64(n))
	p.end(s.bare(p.out.AvailableBuffer(), "_sum"), sum.Seconds())
	p.end(s.bare(p.out.AvailableBuffer(), "_count"), float64(n))
}

// bare appends the name of a sample that has no further label.
func (s *series) bare(b []byte, suffix string) []byte {
	b = append(append(b, s.name...), suffix...)
	if s.labels != "" {
		b = append(append(append(b, '{'), s.labels...), '}')
	}
	return b
}
