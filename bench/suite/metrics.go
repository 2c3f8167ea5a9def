package suite

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/rookery-server/rookery/bench/wire"
)

// sums adds the samples of each metric up over their labels.
func sums(page wire.Metrics) map[string]float64 {
	all := map[string]float64{}
	for name := range page {
		all[name] = page.Total(name)
	}
	return all
}

// grown adds to counts, by the value of a label, by how much the samples of a
// name have grown between two pages of a node.
func grown(counts map[string]float64, before, after wire.Metrics, name, label string) {
	for _, s := range after[name] {
		counts[s.Labels[label]] += s.Value
		i := slices.IndexFunc(before[name], func(t wire.Sample) bool { return maps.Equal(t.Labels, s.Labels) })
		if i >= 0 { // else it was not there yet
			counts[s.Labels[label]] -= before[name][i].Value
		}
	}
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
