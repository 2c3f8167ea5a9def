//go:build race

package batch

// raceEnabled: the race detector allocates, so budgets of allocations do not hold.
const raceEnabled = true
