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

// NewChart returns an empty chart of lines with a series for each name.
func NewChart(id, title, unit string, names ...string) *Chart {
	c := &Chart{ID: id, Title: title, Kind: Lines, XUnit: "s", Unit: unit, X: []float64{}}
	for _, n := range names {
		c.Series = append(c.Series, Series{Name: n, Values: []Value{}})
	}
	return c
}
