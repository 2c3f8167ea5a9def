// Package suite runs the 100K suite: it starts a cluster of real processes on
// this machine, puts clients on it with package bench/load, breaks things, and
// holds what it measures against named limits. The result is a report.Report.
//
// Each check is measured in the run that reports it; nothing is taken from a
// file or a constant. A check whose measurement fails counts as failed, and one
// that was left out as skipped with its reason.
//
// Nodes and load processes end with the caller, however that ends: each hangs
// on a pipe of its parent. Two runs beside each other do not meet, since every
// listener gets a port that was free.
package suite
