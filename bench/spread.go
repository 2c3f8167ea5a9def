package bench

import "slices"

// Spread is a figure measured several times.
type Spread struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Runs   []float64 `json:"runs"` // in the order measured
}

// spreadOf returns the spread of runs, which it keeps. REQUIRES: len(runs) > 0.
func spreadOf(runs []float64) Spread {
	sorted := slices.Sorted(slices.Values(runs))
	n := len(sorted)
	return Spread{
		Median: (sorted[(n-1)/2] + sorted[n/2]) / 2,
		Min:    sorted[0],
		Max:    sorted[n-1],
		Runs:   runs,
	}
}

// spreadBy measures f on each of runs.
func spreadBy[R any](runs []R, f func(R) float64) Spread {
	figures := make([]float64, len(runs))
	for i, r := range runs {
		figures[i] = f(r)
	}
	return spreadOf(figures)
}
