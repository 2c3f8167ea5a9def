//go:build !unix

package loop

// writeNow takes nothing: all output goes through the sender.
func writeNow(uintptr, []byte) (int, error) { return 0, nil }

// readable does not know.
func readable(uintptr) bool { return false }

// descriptorsMax is no bound where descriptors are not limited.
func descriptorsMax() int64 { return 1 << 31 }
