package main

import (
	"math"
	"slices"
	"strconv"

	"github.com/rookery-server/rookery/bench/wire"
)

// samples is one page of metrics, as observers read it.
type samples wire.Metrics

// sum adds up the samples of a name that have some labels; unknown when there
// are none.
func (p samples) sum(name string, want ...string) figure {
	total := unknown
	for i := range p[name] {
		if s := &p[name][i]; s.Has(want...) {
			total = total.plus(figure(s.Value))
		}
	}
	return total
}

// label returns the value of a label of the first sample of a name, "" without.
func (p samples) label(name, label string) string {
	if list := p[name]; len(list) > 0 {
		return list[0].Labels[label]
	}
	return ""
}

// histogram adds up the histograms of a name, whatever their labels.
func (p samples) histogram(name string) histogram {
	by := map[float64]float64{}
	for _, s := range p[name+"_bucket"] {
		if le, err := strconv.ParseFloat(s.Labels["le"], 64); err == nil {
			by[le] += s.Value
		}
	}
	var h histogram
	for le := range by {
		h.le = append(h.le, le)
	}
	slices.Sort(h.le)
	for _, le := range h.le {
		h.n = append(h.n, by[le])
	}
	return h
}

// histogram counts observations by upper bound: n[i] were not above le[i]. The
// zero value has none.
type histogram struct{ le, n []float64 }

// since returns what was observed after base, of which h is a later state. When
// they do not fit, as when the process was started anew, there is nothing to
// tell.
func (h histogram) since(base histogram) histogram {
	if !slices.Equal(h.le, base.le) {
		return histogram{}
	}
	d := histogram{h.le, make([]float64, len(h.n))}
	for i := range h.n {
		if d.n[i] = h.n[i] - base.n[i]; d.n[i] < 0 {
			return histogram{}
		}
	}
	return d
}

// plus returns both together. Of two with other bounds h stays alone.
func (h histogram) plus(other histogram) histogram {
	if len(h.le) == 0 {
		return other
	}
	if !slices.Equal(h.le, other.le) {
		return h
	}
	sum := histogram{h.le, make([]float64, len(h.n))}
	for i := range h.n {
		sum.n[i] = h.n[i] + other.n[i]
	}
	return sum
}

// count returns how many observations there are.
func (h histogram) count() figure {
	if len(h.n) == 0 {
		return unknown
	}
	return figure(h.n[len(h.n)-1])
}

// quantile returns the value below which the part q of the observations lies,
// as if those of a bucket were spread evenly in it; of those above the last bound
// nothing more is known than that bound. Unknown without observations.
func (h histogram) quantile(q float64) figure {
	if total := h.count(); !total.known() || total == 0 {
		return unknown
	}
	rank := q * h.n[len(h.n)-1]
	low, before := 0.0, 0.0
	for i, le := range h.le {
		if h.n[i] >= rank && h.n[i] > before {
			if math.IsInf(le, 1) {
				return figure(low)
			}
			return figure(low + (le-low)*(rank-before)/(h.n[i]-before))
		}
		low, before = le, h.n[i]
	}
	return figure(low)
}

// most returns the bound below which all observations lie, as far as there is
// one. Unknown without observations.
func (h histogram) most() figure {
	top := unknown
	last := 0.0
	for i, le := range h.le {
		if h.n[i] > last && !math.IsInf(le, 1) {
			top = figure(le)
		} else if h.n[i] > last && i > 0 {
			top = figure(h.le[i-1])
		}
		last = h.n[i]
	}
	return top
}
