//go:build !invariants

package loop

func mangle([]byte) {}
