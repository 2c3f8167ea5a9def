//go:build !linux

package loop

import "errors"

// deafen cannot be done here.
func deafen(int, string) error { return errors.ErrUnsupported }
