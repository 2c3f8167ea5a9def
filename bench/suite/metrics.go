package suite

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// sample is one line of a page of metrics.
type sample struct {
	name, labels string // labels as they stand between the braces
	value        float64
}

// samples reads a page in Prometheus text format. Lines that are none are
// passed over: a check whose metric is missing says so itself.
func samples(page []byte) (list []sample) {
	for line := range bytes.Lines(page) {
		text := strings.TrimSpace(string(line))
		at := strings.LastIndexByte(text, ' ')
		if at <= 0 || text[0] == '#' {
			continue
		}
		v, err := strconv.ParseFloat(text[at+1:], 64)
		if err != nil {
			continue
		}
		name, labels, _ := strings.Cut(text[:at], "{")
		list = append(list, sample{name, strings.TrimSuffix(labels, "}"), v})
	}
	return list
}

// label returns the value of a label, "" if there is none. Values of ours hold
// no quotes.
func (s sample) label(name string) string {
	_, rest, ok := strings.Cut(","+s.labels, ","+name+`="`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// sums adds the samples of each metric up over their labels.
func sums(page []byte) map[string]float64 {
	all := map[string]float64{}
	for _, s := range samples(page) {
		all[s.name] += s.value
	}
	return all
}

// total returns the sum of a metric's samples.
func total(page []sample, name string) (v float64) {
	for _, s := range page {
		if s.name == name {
			v += s.value
		}
	}
	return v
}

// find returns the value of the same sample in another page, 0 if it was not
// there yet.
func find(page []sample, s sample) float64 {
	i := slices.IndexFunc(page, func(t sample) bool { return t.name == s.name && t.labels == s.labels })
	if i < 0 {
		return 0
	}
	return page[i].value
}

// quantile returns a quantile of a histogram, as the upper end of the bucket
// that holds it, and how many samples there are. buckets are the cumulative
// counts by their upper ends, as label le gives them.
func quantile(buckets map[string]float64, q float64) (v float64, n int, err error) {
	type bucket struct{ to, count float64 }
	var list []bucket
	for le, count := range buckets {
		to, err := strconv.ParseFloat(le, 64) // +Inf too
		if err != nil {
			return 0, 0, fmt.Errorf("suite: bucket %q: %w", le, err)
		}
		list = append(list, bucket{to, count})
	}
	slices.SortFunc(list, func(a, b bucket) int { return cmp.Compare(a.to, b.to) })
	if len(list) == 0 || list[len(list)-1].count == 0 {
		return 0, 0, errors.New("suite: the servers have not measured any lookup of a session")
	}
	whole := list[len(list)-1].count
	i := slices.IndexFunc(list, func(b bucket) bool { return b.count >= q*whole })
	return list[i].to, int(whole), nil
}
