package report

import (
	"encoding/json"
	"math"
)

// Kind is how a chart is drawn.
type Kind string

// Kinds of charts.
const (
	Lines Kind = "lines" // values over X
	Bars  Kind = "bars"  // one bar for each X: a histogram

	// Points are for values of which many are missing.
	Points Kind = "points"
)

// Chart is values that share an axis.
type Chart struct {
	ID     string    `json:"id"`
	Title  string    `json:"title"`
	Kind   Kind      `json:"kind"`
	XUnit  string    `json:"x_unit"` // "s" since the run began, or what bars stand for
	Unit   string    `json:"unit"`
	LogX   bool      `json:"log_x,omitempty"`
	LogY   bool      `json:"log_y,omitempty"`
	X      []float64 `json:"x"` // ascending
	Series []Series  `json:"series"`
	Marks  []Mark    `json:"marks,omitempty"` // moments to be seen, at X
	Spans  []Span    `json:"spans,omitempty"` // what went on, from X to X
	Note   string    `json:"note,omitempty"`
}

// Series is a line of a chart: a value for each X of the chart.
type Series struct {
	Name   string  `json:"name"`
	Values []Value `json:"values"`
}

// Mark is a moment that a chart points out.
type Mark struct {
	X    float64 `json:"x"`
	Text string  `json:"text"`
	Bad  bool    `json:"bad,omitempty"` // a failure, not a recovery
}

// Span is a time of which a chart says what went on in it.
type Span struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
	Text string  `json:"text"`
	Bad  bool    `json:"bad,omitempty"` // something was wrong in it
}

// Value is a number, or NaN where nothing was measured, which is null in JSON.
type Value float64

// MarshalJSON writes null for what is no number.
func (v Value) MarshalJSON() ([]byte, error) {
	f := float64(v)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(f)
}

// UnmarshalJSON reads null as NaN.
func (v *Value) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*v = Value(math.NaN())
		return nil
	}
	return json.Unmarshal(text, (*float64)(v))
}

// Missing is the value where nothing was measured.
func Missing() Value { return Value(math.NaN()) }

// Add appends a moment: its X, and the values of the series in their order.
// Series without a value get a missing one.
func (c *Chart) Add(x float64, values ...float64) {
	c.X = append(c.X, x)
	for i := range c.Series {
		v := Missing()
		if i < len(values) {
			v = Value(values[i])
		}
		c.Series[i].Values = append(c.Series[i].Values, v)
	}
}

// Any reports whether there is a value to show.
func (c *Chart) Any() bool {
	for i := range c.Series {
		for _, v := range c.Series[i].Values {
			if !math.IsNaN(float64(v)) {
				return true
			}
		}
	}
	return false
}

// Between returns the part of a chart between two X, without marks and spans;
// zero is what its X count from.
func (c *Chart) Between(from, to, zero float64) *Chart {
	part := *c
	part.X, part.Series, part.Marks, part.Spans = []float64{}, nil, nil, nil
	for _, s := range c.Series {
		part.Series = append(part.Series, Series{Name: s.Name, Values: []Value{}})
	}
	for i, x := range c.X {
		if x < from || x > to {
			continue
		}
		part.X = append(part.X, x-zero)
		for j := range part.Series {
			part.Series[j].Values = append(part.Series[j].Values, c.Series[j].Values[i])
		}
	}
	return &part
}

// NewChart returns an empty chart of lines with a series for each name.
func NewChart(id, title, unit string, names ...string) *Chart {
	c := &Chart{ID: id, Title: title, Kind: Lines, XUnit: "s", Unit: unit, X: []float64{}}
	for _, n := range names {
		c.Series = append(c.Series, Series{Name: n, Values: []Value{}})
	}
	return c
}
