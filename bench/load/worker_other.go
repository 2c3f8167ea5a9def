//go:build !linux

package load

import (
	"errors"
	"fmt"
	"os"
)

// Work needs epoll.
func Work(_, _ *os.File) error {
	return fmt.Errorf("load: clients are driven on Linux only: %w", errors.ErrUnsupported)
}
