//go:build !linux

package early

// A Twin does nothing here: see the package documentation.
type Twin struct{}

// Hold does nothing.
func (*Twin) Hold(any) {}

// Close does nothing.
func (*Twin) Close() {}
