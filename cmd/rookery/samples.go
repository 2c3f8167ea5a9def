package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// samples is one page of metrics, by name. It is read here, in sixty lines and
// only as far as `rookery top` needs it, because the parser of the Prometheus
// project would bring protobuf into the binary and its memory into every node;
// a test compares the two on a node's page.
type samples map[string][]sample

// sample is one line of the page.
type sample struct {
	labels map[string]string // nil: none
	value  float64
}

// parseSamples reads a page in Prometheus text format, version 0.0.4. Comments
// and times of samples are passed over.
func parseSamples(page string) (samples, error) {
	all := samples{}
	n := 0
	for line := range strings.Lines(page) {
		n++
		line = strings.Trim(line, " \t\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		name, s, err := parseSample(line)
		if err != nil {
			return nil, fmt.Errorf("metrics, line %d: %w", n, err)
		}
		all[name] = append(all[name], s)
	}
	return all, nil
}

func parseSample(line string) (name string, s sample, err error) {
	end := strings.IndexAny(line, "{ \t")
	if end <= 0 {
		return "", s, fmt.Errorf("%q has no value", line)
	}
	name, rest := line[:end], line[end:]
	if rest[0] == '{' {
		if s.labels, rest, err = parseLabels(rest[1:]); err != nil {
			return "", s, err
		}
	}
	fields := strings.Fields(rest)
	if len(fields) != 1 && len(fields) != 2 { // a value, and perhaps its time
		return "", s, fmt.Errorf("%q has no value", line)
	}
	if s.value, err = strconv.ParseFloat(fields[0], 64); err != nil {
		return "", s, fmt.Errorf("%q is not a number", fields[0])
	}
	return name, s, nil
}

// parseLabels reads what stands behind the opening brace and returns what
// follows the closing one.
func parseLabels(text string) (labels map[string]string, rest string, err error) {
	labels = map[string]string{}
	for {
		text = strings.TrimLeft(text, ", \t")
		if rest, ok := strings.CutPrefix(text, "}"); ok {
			return labels, rest, nil
		}
		name, value, ok := strings.Cut(text, "=")
		value = strings.TrimLeft(value, " \t")
		if !ok || !strings.HasPrefix(value, `"`) {
			return nil, "", fmt.Errorf("%q is not a label", text)
		}
		unquoted, rest, err := parseLabelValue(value[1:])
		if err != nil {
			return nil, "", err
		}
		labels[strings.TrimRight(name, " \t")] = unquoted
		text = rest
	}
}

// parseLabelValue reads up to the closing quote. The escapes are those of the
// format: backslash, quote and n.
func parseLabelValue(text string) (value, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], nil
		case c == '\\' && i+1 < len(text):
			i++
			switch text[i] {
			case 'n':
				b.WriteByte('\n')
			case '\\', '"':
				b.WriteByte(text[i])
			default: // an unknown escape stands for itself
				b.WriteByte('\\')
				b.WriteByte(text[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", "", fmt.Errorf("%q has no closing quote", text)
}

// matches reports whether s has the labels of want: name, value, name, value...
func (s *sample) matches(want []string) bool {
	for i := 0; i+1 < len(want); i += 2 {
		if s.labels[want[i]] != want[i+1] {
			return false
		}
	}
	return true
}

// sum adds up the samples of a name that have some labels; unknown when there
// are none.
func (p samples) sum(name string, want ...string) figure {
	total := unknown
	for i := range p[name] {
		if s := &p[name][i]; s.matches(want) {
			total = total.plus(figure(s.value))
		}
	}
	return total
}

// label returns the value of a label of the first sample of a name, "" without.
func (p samples) label(name, label string) string {
	if list := p[name]; len(list) > 0 {
		return list[0].labels[label]
	}
	return ""
}

// histogram adds up the histograms of a name, whatever their labels.
func (p samples) histogram(name string) histogram {
	by := map[float64]float64{}
	for _, s := range p[name+"_bucket"] {
		if le, err := strconv.ParseFloat(s.labels["le"], 64); err == nil {
			by[le] += s.value
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
