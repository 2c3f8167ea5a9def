//go:build !linux

package main

import tuning "github.com/rookery-server/rookery/vm-tuning"

// readLimits knows nothing outside Linux: such a node is for development.
func readLimits(environ []string) limits {
	return limits{machine: &tuning.Machine{Environ: environ}}
}
